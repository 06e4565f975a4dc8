//! The ways a participant can be connected: over plain TCP where that is allowed, over WebSocket, by certificate.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#[path = "../common/mod.rs"]
mod common;
mod dialing;
mod identity;
mod names;
mod plain;
mod renewal;
mod websocket;
