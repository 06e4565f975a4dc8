//! The endpoint layer (RFC 3261).
