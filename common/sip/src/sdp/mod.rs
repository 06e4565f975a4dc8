//! SDP for MSRP: the offer, the answer, and what can be wrong with them (RFC 4975, 8; RFC 3264; RFC 6135; RFC 7701),
//! and what a line says of a file that it is for (RFC 5547).
//!
//! [`Offer::parse`] reads what a peer offers and finds the media line we can take; [`Offer::answer`] writes our answer
//! with as many media lines; [`offer`] and [`parse_answer`] are the other direction. [`answer_terms`] and
//! [`offer_terms`] say who connects, and where to. Other media are refused with port
//! zero and otherwise ignored. Nothing is resolved or compared with certificates here.
mod connect;
mod exchange;
mod file;
mod media;
mod path;
mod through;

pub use connect::{Agreement, Target, Terms, answer_terms, offer_terms};
pub use exchange::host_and_port;
pub use exchange::{BadSdp, Offer, Origin, closed_file, offer, parse_answer};
pub use file::{BadFile, FileDates, FileHash, FileMedia, FileRange, FileSelector, Repetition};
pub use media::{BadFingerprint, Direction, Fingerprint, MsrpMedia, Proto, Setup};
pub use through::{Ends, Through};
