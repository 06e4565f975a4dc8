//! Every bound of the edge, with its unit, its default and the reason for it.
use std::time::Duration;

/// The bounds of an [`Edge`](crate::Edge).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeLimits {
    /// Connections, open and half open. More are closed at once.
    pub connections_max: usize,
    /// Accepted connections in their TLS handshake. One more ends the oldest, so that silent clients cannot keep others
    /// out.
    pub half_open_max: usize,
    /// How long a TLS handshake or a dial may take.
    pub handshake: Duration,
    /// How long nothing may be heard on an accepted flow. A registered device pings every two minutes.
    pub idle: Duration,
    /// How long a message may take from its first byte to its last.
    pub message: Duration,
    /// How long one write may make no progress.
    pub write: Duration,
    /// After so long a silence on a flow we dialled we ping (RFC 5626, 4.4.1: below two minutes).
    pub ping: Duration,
    /// How long the answer to a ping may take (RFC 5626, 4.4.1).
    pub pong: Duration,
    /// Bytes queued for one flow. At half of it we stop reading from that flow; at all of it we close it.
    pub queue_bytes_max: usize,
    /// Events waiting for the owner. A flow whose event does not fit waits, and reads nothing while it waits.
    pub events_max: usize,
    /// How large what comes may be.
    pub message_limits: sip::Limits,
}

impl Default for EdgeLimits {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            half_open_max: 1_000,
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(600),
            message: Duration::from_secs(60),
            write: Duration::from_secs(10),
            ping: Duration::from_secs(95),
            pong: Duration::from_secs(10),
            queue_bytes_max: 8 << 20,
            events_max: 1_024,
            message_limits: sip::Limits::default(),
        }
    }
}
