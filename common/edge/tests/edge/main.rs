//! The edge and its driver over real loopback sockets, with peers that behave and peers that do not.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]
mod bounds;
mod calls;
mod harm;
mod tls;
mod websocket;
mod wire;
mod world;
