//! Loads a system from outside, as its users do, and says what it carried: real devices over SIP/TLS, HTTPS and MSRP/TLS
//! in sealed rooms, every arrival decrypted and checked.
//!
//! ```sh
//! cargo run --release -p loadtest -- quick
//! cargo run --release -p loadtest -- quick --rooms 4 --members 5 --rate 50 --duration 10s --threshold 'p99<20ms,loss=0'
//! cargo run --release -p loadtest -- quick --json      # one object, schema/quick-1.json
//! ```
//!
//! `quick` starts its own system on loopback (the executable starts itself again as MRFC and MRFP), seats everyone, sends
//! for `--warmup` and then `--duration`, waits at most `--patience` for what is late, and ends with exit code 0 (ok), 1 (a
//! message was lost, doubled, changed, misdelivered or unreadable, or something failed), 2 (usage) or 99 (a threshold was
//! missed). Progress goes to standard error, the result to standard output.
//!
//! What one delivery costs the relay, next to what it costs other servers, is for `fanout` to say: raw MSRP, no devices and no
//! keys, every octet checked. Its manual is that of [`fanout`].
//!
//! What a call costs the focus, while thousands of phones stay registered, is for `sip` to say: its manual is that of [`calls`].
//!
//! # What each number of `quick` means
//!
//! - **offered**: messages of the schedule, and how many a second. The schedule is *open*: message *n* is meant for the
//!   time *n* / rate, and nothing that happens moves it. A sender that waited for answers would send less while the system
//!   is slow, and would not see how slow it is (coordinated omission).
//! - **sent**: messages that were handed to a sender's device. **accepted**: those of which the relay has taken the last
//!   octet, and behind it the *achieved rate*: measured messages over the time until the last of them was accepted. Below
//!   the offered rate the system has fallen behind.
//! - **failed**: refused, or not answered in time. **unanswered**: still without an answer when patience ended.
//! - **delivered** a/b: of b arrivals that had to happen (every accepted message at everyone else in its room), a did,
//!   decrypted, in the name of their proven sender, octet for octet as sent. **lost** is b - a: what had not arrived when
//!   patience ended, so a system that is only far behind shows losses too, and achieves less than was offered.
//! - **dup**: shown again to somebody who had it. **corrupt**: shown with content that nobody sent. **misdelivered**: shown
//!   in another room, to its author, or in another's name. **undecryptable**: arrived and could not be opened.
//!   Each of these fails the run, warm-up included.
//! - **reorder**: shown after a later message of the same sender. It is told and not judged: a message that was refused
//!   because the group key changed is sealed again and may arrive later.
//! - **latency e2e**: from the *intended* start of a message to one receiver having decrypted it, one value for each
//!   receiver, in an HDR histogram (three digits; percentiles are never averaged). It holds everything between: the
//!   generator's own lag, the sender's queue, sealing, the relay, the receiver's opening. Only messages meant for after the
//!   warm-up count. A lost message has no latency: it fails the run.
//! - **lag**: from the intended start of a message to its being handed to the device: the part of the latency that is the
//!   generator's own. The result is *not valid* when its p99 is more than a tenth of the measured p99, when a message was
//!   **dropped** because too many of its sender waited, or when less than a tenth of the machine's CPU time was **idle**: it
//!   says more about the generator, or the machine, than about the system. A threshold on latency is not met by it.
//! - **cpu** of the generator: 100 % is one CPU. Devices seal and open here, so this is most of the work of a run.
//! - **us a delivery**: CPU time of a server over the arrivals of measured messages, from the end of the warm-up until all
//!   had arrived; `/proc` counts in steps of 10 ms, so short runs are coarse. **memory**: its resident set at the end, and
//!   the most there was.
//!
//! Generator and servers share one machine here: the figures compare commits on one machine and say little about another.
//!
//! # Files
//!
//! | file | what it is |
//! |---|---|
//! | `cli` | the grammar and the exit code |
//! | `scenario` | the schedule and the content of every message, before anything is sent (pure) |
//! | `quick` | starts the system, runs the fleet, keeps the book, draws up the report |
//! | `fleet` | the devices: they join, send and listen |
//! | `pace` | each message at its time (pure) |
//! | `book` | what became of every message at every receiver (pure) |
//! | `latency` | the histogram (pure) |
//! | `usage` | CPU and memory from `/proc` |
//! | `threshold` | what is demanded (pure) |
//! | `report`, `summary` | the result as JSON and in words (pure) |
//! | `live` | progress on standard error |
//! | `fanout/` | what a delivery costs: see there |
//! | `calls/` | what a call costs: see there |
//! | `units` | durations as people write them (pure) |
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
