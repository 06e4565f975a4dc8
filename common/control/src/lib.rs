//! What MRFC and MRFP tell each other: our Mp interface, without its sockets.
//!
//! `control.proto` is the contract. This crate turns it into checked values ([`Order`], [`Notice`]), cuts frames
//! out of a byte stream ([`Codec`]) and keeps the books of both ends of a link ([`FocusLink`], [`RelayLink`]):
//! numbers, acknowledgements, and the full resend after a break. [`gate`] reads the clear prefix of an MLS message.
//!
//! It opens no socket, starts no task and reads no clock. It cannot decrypt: it names no MLS crate.
//!
//! ```text
//!  MRFC                                                        MRFP
//!  desk ─ order ─► FocusLink ─ poll ─► bytes ═ QUIC ═► receive ─► RelayLink ─ Step::Carry ─► rooms
//!  desk ◄ Heard::Notice ─ FocusLink ◄─ receive ═ QUIC ═ bytes ◄ poll ─ RelayLink ◄─ notice ─ rooms
//! ```
//!
//! **State and happenings.** `Open`, `Seat`, `Unseat`, `Close`, `Gate` and `Drain` say what should be. The focus folds
//! them into one wanted state and sends that whole state again after a break, so none of them is ever buffered.
//! `Broadcast`, `Deliver`, `NicknameAnswer` and `AuthAnswer` happen once: they are kept until the relay has carried them out,
//! within a bound, and a relay skips a key that it has already seen.
//!
//! **Notices.** A notice is kept, numbered, until the focus has acknowledged it. A [`Charge`] is never lost to the bound:
//! whoever lets a charged message begin takes a place for its notice first ([`RelayLink::reserve`]), and turns the
//! message away when there is none. Only the end of the relay's process loses what was not acknowledged.
//!
//! ```
//! use control::{FocusLink, Heard, Level, Limits, Order, RelayLink, RelayName, Room, RoomOrder, Step};
//! let mut focus = FocusLink::new("focus-0", "incarnation-a", Limits::default());
//! let mut relay = RelayLink::new(
//!     RelayName {
//!         name: "relay-0".into(),
//!         incarnation: "incarnation-b".into(),
//!         msrp: "relay-0.example.net:2855".into(),
//!         fingerprint: "SHA-256 AB:CD".into(),
//!     },
//!     Limits::default(),
//! );
//! let room = Room {
//!     uri: "sip:room7@example.net".into(),
//!     term: ids::Term(1),
//!     level: Level::Sealed,
//!     gate: None,
//!     message_octets_max: 65_536,
//!     charge: false,
//!     stored: None,
//! };
//! focus.order(Order::room("room7".parse()?, RoomOrder::Open(room)))?;
//!
//! relay.connected();
//! focus.connected();
//! while let Some(frame) = relay.poll() {
//!     focus.receive(frame)?;
//! }
//! let mut steps = Vec::new();
//! while let Some(frame) = focus.poll() {
//!     steps.extend(relay.receive(frame)?);
//! }
//!
//! assert!(matches!(steps[0], Step::Carry { ticket: 1, .. }));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
mod auth;
mod bad;
mod charge;
mod codec;
mod focus_link;
pub mod gate;
mod log;
mod notice;
mod order;
mod proto;
mod reach;
mod relay_link;
mod wanted;
mod wire;

pub use auth::{AuthAnswer, AuthAsked};
pub use bad::{BadFrame, Misbehaved, Overfull};
pub use charge::{Charge, Ending};
pub use codec::{Codec, FRAME_OCTETS_MAX};
pub use focus_link::{FocusLink, Heard};
pub use log::{Deposit, Logged, Page, ReplayAsked};
pub use notice::{Cause, Notice, RoomNotice};
pub use order::{Gate, Level, Match, Order, Room, RoomOrder, Seat};
pub use reach::{Dial, Reach, Transport};
pub use relay_link::{Forget, RelayLink, RelayName, Step};
pub use wanted::Limits;
pub use wire::{Hello, ToFocus, ToRelay, Welcome};
