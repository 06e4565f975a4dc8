//! Every bound of the codec, in one place. Behind a bound a peer gets 400 or loses the connection; memory never grows.

/// What the decoder takes from a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of start line and headers together. Default 16 KiB.
    pub head_octets_max: usize,
    /// Octets of one line of it. Default 8 KiB.
    pub line_octets_max: usize,
    /// Headers, To-Path and From-Path among them. Default 64.
    pub headers_max: usize,
    /// URIs in one path. Default 16.
    pub path_uris_max: usize,
    /// Octets of a body handed out at once; a longer chunk is handed out in pieces. Default 64 KiB, and not below
    /// 2048, because smaller pieces of a message must not be sent on (RFC 4975, section 7.1.1).
    pub piece_octets_max: usize,
    /// Octets of a body that is no SEND's: 10 240 by RFC 4975, section 7.1.
    pub other_body_octets_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_octets_max: 16 * 1024,
            line_octets_max: 8 * 1024,
            headers_max: 64,
            path_uris_max: 16,
            piece_octets_max: 64 * 1024,
            other_body_octets_max: 10_240,
        }
    }
}
