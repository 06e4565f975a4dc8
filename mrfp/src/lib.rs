//! The media relay (MRFP). It checks, numbers and forwards MSRP chunks, and never holds a group key: its build names no
//! crate that could decrypt.
//!
//! # The path of one chunk
//!
//! ```text
//!  bytes                Chunk             Admitted              Parcel            Frame            bytes
//! socket ─► connection ─► session::admit ─► relay ─ room::pass ─► doors ─► shard ─► outbox ─► writer ─► sockets
//!           wire::open        │ Refusal        │ Refusal                      │ Full
//!            Decoder::next    ▼                ▼                              ▼
//!                          reports ─► status to the sender             the receiver's connection ends
//! ```
//!
//! 1. `accept` takes the connection and gives it to the shard with the fewest: one thread, one runtime, and it stays.
//! 2. `connection` reads what the socket has, in one call, into the shard's buffer; `wire` opens it into one allocation of
//!    the batch's size. That is the one copy on the way in.
//! 3. `msrp::Decoder` cuts it into chunks, whose bodies are slices of that allocation. A chunk of any length comes in
//!    pieces of 64 KiB at most, each a valid chunk.
//! 4. `connection/requests` finds the session by To-Path. The first request takes the seat: `registry` knows the
//!    session-id, `room` says whether it is free (481, 506).
//! 5. `session` admits the chunk: CPIM headers, sender, recipient, content, size, order. A sealed message is held until
//!    it is whole (`session/open`), and copied if it comes in more than one piece; a file or an open room's message is
//!    passed on piece by piece.
//! 6. `relay` locks the `room`, which decides once more what may have changed meanwhile (does the sender still sit, may
//!    this epoch pass) and gives the number. Still under the lock the chunk goes to the `doors` of the shards where the
//!    room has receivers, once for each shard: so all shards, and all members, see one order.
//! 7. Each `shard` runs through its ready list of routes (`shard/local`) and queues a frame in each `outbox`: the seat's
//!    own address and the payload that all share.
//! 8. When the batch is done, `writer` empties each outbox that has something: gather, seal, one write. The sealing copy
//!    is the one copy for each receiver.
//! 9. `reports` words the 200 and the REPORT for the sender, which leave in the same write as everything else for it.
//!
//! # A room that keeps a log
//!
//! Where the order of a room says what is stored, its messages and the focus's broadcasts are deposited with the focus
//! under the room's lock (`relay/log`), and live delivery waits for nothing. A sender's 200 waits (`connection/kept`) until
//! the focus says that the disk has it. `room/log` keeps the last messages in a ring, and who is behind: whoever took a seat
//! and was here before, was on hold, or had no room for a chunk (`shard/behind`). A seat that is behind is given pages of the
//! focus's log, each when the one before is answered, until the next place is in the ring; then the rest of the ring is
//! pushed to its shard under the room's lock, and behind it that the seat is live: what comes after that place in the order
//! comes by itself. So there is no gap and nothing twice. Receivers' answers move the cursors of their devices, which the
//! focus is told twice a second and when a seat ends.
//!
//! # From leg to leg
//!
//! A one-to-one session has no room's order and no switch: what one leg sends goes to the other as it is. [`pair`] has its
//! picture, [`forward`] what is owed to the sender. `connection/requests` parts the two ways.
//!
//! # The path of an order
//!
//! `obey` takes frames from the focus, [`control::RelayLink`] keeps their numbers, `obey/carry` finds the room, and
//! `relay` gives a broadcast its place in the same order that messages have. Notices go the other way through `focus`,
//! and wait there while the focus is away; rooms go on.
//!
//! # Connections that the relay opens
//!
//! Where an order says that the participant waits (`control::Reach`), `obey/reach` sends an errand to one shard, and
//! `dial` there finds the peer (`resolve` asks the name servers), connects, checks who it is, and puts the session on the connection
//! (`connection/outgoing`), whose first request leaves at once. From then on it is a connection like any other.
//!
//! # The path of what only passes through
//!
//! Where the relay of RFC 4976 is on, `connection/login` takes AUTH: `auth` asks for a proof and judges what the focus
//! says about it, `transit/grants` hands out a URI. Whatever names such a URI and goes further does not come to a seat:
//! `connection/transit` asks `transit/grants` for the way, hands it to the door of the shard that has the next hop's
//! connection, and there `forward` keeps what the next hop owes. What becomes of it goes back by the same doors. Where
//! no connection leads to the next hop, `dials` has one opened, if `transit/rules` allows it; relays know each other by
//! their certificates.
//!
//! # What waits, and for whom
//!
//! Sessions of one connection take turns by octets. Within a session whole messages overtake a stream until its last
//! piece is there (`outbox/lanes`), so a file holds up no chat and all receivers see messages completed in one order.
//! What left is remembered until it is answered (`outbox/unanswered`): a session whose receiver is silent for
//! `limits.answer_secs` ends, and a receiver that refuses a stream is sent no more of it (`connection/answers`).
//!
//! A receiver that does not read fills its own outbox and loses its own connection, or falls behind where there is a log.
//! A sender is paused by its own socket
//! only, while the other leg of its one-to-one session has too much to read (`brake`), or while the machine as a whole
//! cannot keep up (`doors`). A gathered message waits for its own last chunk, or
//! some seconds for its epoch. Nothing waits for the focus but handshakes and nicknames;
//! a charged message that begins is refused when no more charges can wait for it.
//!
//! A peer that goes faster than `limits` allows is not read for a while (`pace`), which pauses it and nobody else. One
//! that floods with bad requests is closed. What it sent in one read may be hundreds of requests; so many of them are
//! carried out in a turn, and then others have theirs. An address that connects too often is turned away (`accept`).
//! A socket that takes nothing for `limits.blocked_secs` ends (`connection/timeouts`), whatever waits for it.
//!
//! # Locks
//!
//! A room's lock comes first, then a door's or the focus's; the index's shards are locked alone. None is held across an
//! await, and none for longer than it takes to push one errand to each shard.
mod accept;
pub mod auth;
mod brake;
pub mod config;
mod connection;
mod dial;
mod dials;
mod doors;
mod drain;
mod focus;
pub mod forward;
mod listeners;
mod metrics;
mod obey;
pub mod outbox;
pub mod pace;
pub mod pair;
mod places;
mod plane;
mod program;
mod registry;
mod relay;
pub mod reports;
mod resolve;
pub mod room;
mod server;
pub mod session;
mod shard;
pub mod transit;
mod wire;
mod writer;

pub use config::Config;
pub use program::{ProgramError, check_config, serve};
pub use server::{Ready, RunError, Server, run};

/// Every metric of a relay, for whoever documents or watches it.
pub fn metrics() -> Vec<service::metrics::Description> {
    let registry = service::metrics::Metrics::new();
    drop(metrics::Metrics::new(&registry));
    // What certificates say of themselves is counted where they are renewed.
    drop(service::tls::Watch::new(Vec::new(), &registry));
    registry.describe()
}
