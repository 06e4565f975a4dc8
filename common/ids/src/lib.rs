//! The nouns every crate shares: names of people, devices and conferences, and the counters that order what happens.
//!
//! Every name is checked when it is made, so that the rest of the code never meets an empty, oversized or
//! ambiguous one. This crate knows no protocol: SIP URIs with parameters, MSRP URIs and MLS identities live
//! in the crates named after them.
//!
//! ```
//! use ids::{Aor, ConferenceId};
//! let alice: Aor = "sip:Alice@Example.NET".parse()?;
//! assert_eq!(alice.as_str(), "sip:Alice@example.net");
//! assert_eq!("room7".parse::<ConferenceId>()?.as_str(), "room7");
//! # Ok::<(), ids::BadId>(())
//! ```
mod counter;
mod name;
mod pseudonym;

pub use counter::{Epoch, Era, Key, Number, SeatId, Seq, Term};
pub use name::{Aor, BadId, ConferenceId, DeviceId};
