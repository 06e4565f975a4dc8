//! The rules of RFC 4976 that fall to a relay, over real TLS connections.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
mod chain;
mod client;
#[allow(unused_imports, reason = "the users of these tests are `client`")]
#[path = "../common/mod.rs"]
mod common;
mod login;
mod passing;
mod reports;
mod websocket;
mod world;
