//! What prost makes of `control.proto`. Nothing outside this crate sees it: `order`, `notice` and `wire` check it.
#![allow(
    missing_docs,
    unnameable_types,
    unreachable_pub,
    unused_qualifications,
    clippy::all,
    reason = "generated; the contract is documented in control.proto"
)]
include!(concat!(env!("OUT_DIR"), "/conclave.control.rs"));
