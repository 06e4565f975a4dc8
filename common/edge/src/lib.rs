//! SIP on sockets: TLS, WebSocket over TLS and protected TCP, accepted; TLS and protected TCP, dialled. It frames, bounds and times; what a message means is the
//! business of `sip`, and who may do what that of its users.
//!
//! The way of bytes, by file: `accept` and `dial` make a connection and its TLS · `websocket` makes
//! a stream of WebSocket messages · `flow` runs it: the reader cuts
//! messages with [`sip::Decoder`] and tells the owner, the writer empties the `outbox` · [`Edge`] is the handle and the
//! table of flows · [`driver`] joins an edge and a [`sip::endpoint::Endpoint`] in one task and offers requests and
//! responses to servers and clients.
//!
//! No flow harms another: a handshake has its own task and a time-out, a slow reader fills only its own bounded outbox,
//! a flood waits on its own socket, since each flow has one place among the events at a time. Every bound is in
//! [`EdgeLimits`].
//!
//! ```no_run
//! # async fn example(server: std::sync::Arc<rustls::ServerConfig>) -> Result<(), Box<dyn std::error::Error>> {
//! use edge::{Edge, EdgeLimits, Listen, driver};
//! use sip::{Response, Status};
//!
//! let (edge, events) = Edge::new(EdgeLimits::default());
//! let address = edge.listen("127.0.0.1:0".parse()?, Listen::Tls(server)).await?;
//! let (sip, mut events) = driver::spawn(edge, events, driver::DriverSettings::default())?;
//! while let Some(event) = events.recv().await {
//!     if let driver::SipEvent::Request { key, request, .. } = event {
//!         sip.respond(key, Response::to(&request, Status::NOT_IMPLEMENTED)).await;
//!     }
//! }
//! # let _ = address;
//! # Ok(())
//! # }
//! ```
mod accept;
mod dial;
pub mod driver;
mod edge;
mod event;
mod flow;
mod limits;
mod outbox;
mod websocket;

pub use edge::{Dial, Edge, Listen, Target};
pub use event::{Closed, EdgeEvent, OpenedBy, Peer, Refused, Security};
pub use limits::EdgeLimits;
