//! The transaction layer (RFC 3261).
