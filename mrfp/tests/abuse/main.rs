//! Peers that mean harm, each beside a room of people who do not: every message of theirs arrives, in time.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "how much harm was felt is worth knowing")]
#[path = "../common/mod.rs"]
mod common;
mod idle;
mod rates;
mod slow;
mod talk;
