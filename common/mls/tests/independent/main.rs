//! Members that run another implementation of MLS (mls-rs) in our groups, under our certificates and our focus.
//!
//! openmls on both sides would agree also where it is wrong. Here the ledger, members of ours and guests of the
//! other kind live in one group, and have to see the same epochs, rosters and secrets.
//!
//! **Not here:** what travels between them (SIP, MSRP); a guest is given the very octets that a device of ours gets.
#![expect(clippy::unwrap_used, reason = "a test has nobody to hand an error to")]
#![expect(clippy::indexing_slicing, reason = "the test has put there what it takes")]

mod guest;
mod room;
mod schedule;
mod tests;
