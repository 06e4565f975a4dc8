//! Loads a system from outside, as its users do, and says what it carried: real devices over SIP/TLS, HTTPS and MSRP/TLS
//! in sealed rooms, every arrival decrypted and checked.
//!
//! ```sh
//! cargo run --release -p loadtest -- quick                               # a system of its own, 12 seconds
//! cargo run --release -p loadtest -- run mass-join --html result.html    # a scenario; `run --list` names them
//! cargo run --release -p loadtest -- run my-scenario.toml --threshold 'p99<20ms,epoch.p99<1s,loss=0'
//! cargo run --release -p loadtest -- ramp --rate 200                     # where it strains
//! cargo run --release -p loadtest -- smoke --target FOLDER               # two members at a system that runs
//! cargo run --release -p loadtest -- selftest                            # whether its figures are right
//! ```
//!
//! A load starts its own system on loopback (the executable starts itself again as MRFC and MRFP) unless `--target` names
//! another, seats everyone, sends for `--warmup` and then `--duration`, and waits at most `--patience` for what is late.
//! At another's system the rooms have names that no other run has, and at the end those who stayed leave them; what its
//! servers use is in the result if `--metrics NAME=URL` says where they tell it (Prometheus's text over HTTP).
//! Progress goes to standard error, the result to standard output. Ctrl-C, SIGTERM or SIGHUP ends
//! the load and gives the result so far; so does a server or an agent that dies, and the result is then a failure.
//!
//! | exit code | what it says |
//! |---|---|
//! | 0 | nothing is wrong |
//! | 1 | a message was lost, doubled, changed, misdelivered, leaked or unreadable, or something failed |
//! | 2 | usage |
//! | 3 | *not valid*: the generator was the bottleneck, and the latencies say nothing about the system |
//! | 99 | a threshold was missed |
//!
//! Where several are true, it is the first of them.
//!
//! What one delivery costs the relay, next to what it costs other servers, is for `fanout` to say: raw MSRP, no devices and no
//! keys, every octet checked. Its manual is that of [`fanout`]. What a call costs the focus, while thousands of phones stay
//! registered, is for `sip` to say: its manual is that of [`calls`].
//!
//! # Scenarios
//!
//! A scenario is a TOML file; those of `scenarios/` are built in and say themselves what they are for. What is left out, all
//! but `name`, is as in `quick`; what the command line says goes before the file. Besides those who stay, who are owed every
//! message, a room may have guests, who do what their `[[act]]` says and are owed nothing:
//!
//! ```toml
//! name = "mass-join"
//! about = "..."
//! rooms = 1            # conferences
//! members = 10         # who stay, in each; `speakers` of them speak
//! rate = 20            # messages a second over all rooms
//! duration = "20s"     # and `warmup`, `patience`
//! size = "4KiB"        # of a message, or with `send = "files"` of a file
//! e2ee = true          # false: rooms that the relay can read
//! acknowledge = "relayed"  # or "stored"
//! transport = "tls"    # or "wss": MSRP over WebSocket over TLS, as browsers have it
//! threshold = "loss=0"
//! [[act]]
//! what = "join"        # join, leave, kick, away (ends the seat, stays a member), vanish (loses its connections), pause (stops reading)
//! who = 50             # guests of each room
//! at = "5s"            # from the start of measuring; `over` spreads them
//! back = "10s"         # undone after so long; with `every`, done again
//! ```
//!
//! Every guest must do it before the measured time ends. What would be undone later than that is not: the run is over.
//!
//! `ramp`, `soak`, `churn`, `mailbox` and `files` are scenarios with options of their own. The schedule of messages and acts is
//! fixed by the scenario and `--seed` before anything is sent. `acknowledge = "stored"` has the system acknowledge a message
//! when it is stored: guests who go away, or stop reading, and come back are then owed everything that was said meanwhile, as
//! those are who stay. `mailbox` measures that.
//!
//! # What each number means
//!
//! - **offered**: messages of the schedule, and how many a second. The schedule is *open*: message *n* is meant for the
//!   time *n* / rate, and nothing that happens moves it. A sender that waited for answers would send less while the system
//!   is slow, and would not see how slow it is (coordinated omission). `--closed` does just that, says so, and marks the result.
//! - **sent**: messages that were handed to a sender's device. **accepted**: those of which the relay has taken the last
//!   octet, and behind it the *achieved rate*: measured messages over the time until the last of them was accepted. Below
//!   the offered rate the system has fallen behind.
//! - **failed**: refused, or not answered in time. **unanswered**: still without an answer when patience ended.
//! - **delivered** a/b: of b arrivals that had to happen (every accepted message at everyone else in its room who stays, or for
//!   whom it is kept), a did, decrypted, in the name of their proven sender, octet for octet as sent. **lost** is b - a: what had not arrived when
//!   patience ended, so a system that is only far behind shows losses too, and achieves less than was offered.
//! - **dup**: shown again to somebody who had it. **corrupt**: shown with content that nobody sent. **misdelivered**: shown
//!   in another room, to its author, or in another's name. **undecryptable**: arrived and could not be opened. **leaked**: shown
//!   to somebody whose removal had been accepted before the message was meant to be sent. Each of these fails the run, warm-up
//!   included, and rooms in which one happened are told of one by one.
//! - **reorder**: shown after a later message of the same sender. In a sealed room it is told and not judged: a message that
//!   was refused because the group key changed is sealed again and may arrive later. In an open room it fails the run.
//! - **latency e2e**: from the *intended* start of a message to one receiver having decrypted it, one value for each
//!   receiver, in an HDR histogram (three digits; percentiles are never averaged). It holds everything between: the
//!   generator's own lag, the sender's queue, sealing, the relay, the receiver's opening. Only messages meant for after the
//!   warm-up count, and only receivers who stay. A lost message has no latency: it fails the run.
//! - **start, seat, key**: a device starts (certificate, KeyPackages, REGISTER); INVITE until its seat is taken; until it holds
//!   the group key. Those who come before the run come eight at a time. **enter**: all of it for a guest, from the time it was
//!   *meant* to come. **kick**: from that time to the focus having accepted the removal. **epoch**: from the intended time of a
//!   change to a member who stays being in an epoch with it, one value for each.
//! - **catchup**: from the time a guest is meant to come back to its having the last message that had been accepted when it was
//!   back, in rooms that store.
//! - **guests**: *went* is how many times one went, of their own accord or because of a removal: *removed* is a part of it. *Cut
//!   off* are seats that ended although their guest did not go, as of somebody who does not read; *missed* is what was accepted
//!   while they were away and nobody kept for them; *unreadable* what was sealed before they came or after they went.
//! - **knee**: the highest rate of a ramp before the first step that strains: less than 98 % achieved, a p99 above ten times
//!   that of the first step (or `--p99-max`), or a generator that is late itself. The ramp ends there.
//! - **lag**: from the intended start of a message to its being handed to the device: the part of the latency that is the
//!   generator's own. The result is *not valid* when its p99 is more than a tenth of the measured p99, when a message was
//!   **dropped** because too many of its sender waited, or when less than a tenth of the machine's CPU time was **idle**: it
//!   says more about the generator, or the machine, than about the system. A threshold on latency is not met by it. A check
//!   that only asks whether everything arrives says `--allow-not-valid`; `smoke` does.
//! - **cpu** of the generator: 100 % is one CPU. Devices seal and open here, so this is most of the work of a run.
//! - **us a delivery**: CPU time of a server over the arrivals of measured messages, from the end of the warm-up until all
//!   had arrived; `/proc` counts in steps of 10 ms, so short runs are coarse. **memory**: its resident set at the end, the
//!   most there was, and by how much the median of the last quarter of the run is above that of the first (`growth` in a
//!   threshold; for `soak`).
//!
//! A threshold that is missed says what was measured, and whether it can be believed; one that the scenario cannot measure
//! (`enter.p99` where no guest comes, `knee` without a ramp) is a usage error before anything is loaded.
//!
//! Generator and servers share one machine here: the figures compare commits on one machine and say little about another.
//!
//! # Results
//!
//! `--json` prints, `--save` writes one object (`schema/report-2.json`), histograms included. `--html` writes a page that needs
//! nothing else, `--csv` the timeline, `--hdr` a log for the plotters of HdrHistogram; `report` makes them from a saved result,
//! and `compare` puts two side by side and says whether they may be compared. It fails (1) when more was lost, doubled,
//! changed, misdelivered, leaked or unreadable than in the first, and with `--worse-max` also when something is worse by more
//! than so many percent (99); latencies of a result that is *not valid* are then not judged (3).
//!
//! # Several generators
//!
//! `--agents 2` starts two here, `--agent 'ssh load2 loadtest agent'` one elsewhere. They speak with the controller over standard
//! input and output, so there is no port to protect. Rooms are dealt out whole, so that one clock times a delivery; counts are
//! summed and histograms merged value by value.
//!
//! # Files
//!
//! | file | what it is |
//! |---|---|
//! | `cli`, `output` | the grammar, the exit code, the files that are written |
//! | `recipe`, `scenario`, `acts` | scenario files; the schedule and the content of every message; what guests do when (pure) |
//! | `conduct` | starts or finds the system, has it loaded, looks at the servers, draws up the report |
//! | `agent`, `engine` | several generators; one generator's run |
//! | `stage`, `fleet` | who sits where; the devices: they join, send and listen, come and go |
//! | `pace` | each message at its time (pure) |
//! | `book` | what became of every message at every receiver, over time, and of the group (pure) |
//! | `latency` | the histogram (pure) |
//! | `usage`, `environment` | CPU and memory from `/proc`; where a run takes place |
//! | `watch` | the servers, by `/proc` or by what they say of themselves over HTTP |
//! | `threshold` | what is demanded (pure) |
//! | `report`, `summary`, `html`, `export`, `compare` | the result as JSON, in words, as a page, for other programs, beside another (pure) |
//! | `selftest` | a server whose stalls are known |
//! | `live` | progress on standard error |
//! | `fanout/` | what a delivery costs: see there |
//! | `calls/` | what a call costs: see there |
//! | `units` | durations and octets as people write them (pure) |
//!
//! The pure part can be had alone:
//!
//! ```
//! use std::{num::NonZeroU32, time::Duration};
//! use loadtest::{book::{Book, Note}, scenario::{Place, Scenario}};
//!
//! let scenario = Scenario {
//!     rooms: 1, members: 2, rate: NonZeroU32::MIN, duration: Duration::from_secs(1), warmup: Duration::ZERO,
//!     size: 8, ..Scenario::default()
//! };
//! let shots = scenario.schedule()?;
//! let sender = shots[0].sender;
//! let mut book = Book::new(scenario, shots);
//!
//! book.note(Note::Accepted { number: 0, at: Duration::from_millis(3) });
//! assert_eq!(book.deliveries().lost, 1);
//! let receiver = Place { room: 0, member: 1 - sender.member };
//! book.note(Note::Heard { receiver, from: Some(sender), content: Some(0), at: Duration::from_millis(4) });
//! assert_eq!(book.deliveries().lost, 0);
//! // The histogram keeps three digits.
//! assert!((4000..4010).contains(&book.latency().max));
//! # Ok::<(), loadtest::scenario::BadScenario>(())
//! ```
pub mod acts;
mod agent;
pub mod book;
pub mod calls;
pub mod cli;
pub mod compare;
pub mod conduct;
mod engine;
mod environment;
pub mod export;
pub mod fanout;
mod fleet;
pub mod html;
pub mod latency;
mod live;
pub mod output;
pub mod pace;
pub mod recipe;
pub mod report;
pub mod scenario;
#[cfg(test)]
#[path = "../tests/schema/mod.rs"]
mod schema;
pub mod selftest;
mod stage;
pub mod summary;
pub mod threshold;
pub mod units;
pub mod usage;
pub mod watch;
