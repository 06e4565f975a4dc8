//! The dialog layer (RFC 3261).
