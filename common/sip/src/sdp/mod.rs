//! SDP offer and answer for MSRP (RFC 4975, 8; RFC 3264).
