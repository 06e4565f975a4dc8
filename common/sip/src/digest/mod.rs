//! Digest access authentication (RFC 7616 as RFC 8760 puts it into SIP), for SIP and for HTTP.
//!
//! [`Challenger`] asks and checks, [`Login`] answers, [`Proof`] is checked for a server that knows no secret. Only
//! `qop=auth`: no Basic, no `-sess`, no `auth-int`, nothing without a `qop`. SHA-256 always; MD5 only where a
//! configuration adds it as a second challenge. Nothing that could be used to log in is ever shown by `Debug`.
mod client;
mod fields;
mod hash;
mod nonce;
mod proof;
mod server;

pub use client::{Login, Rejected};
pub use fields::{BadCredentials, Challenge, Credentials};
pub use hash::{Algorithm, Ha1, NotHa1};
pub(crate) use hash::{hmac_sha256, same_secret};
pub use proof::Proof;
pub use server::{Challenger, Denied, Freshness, NonceLimits};
