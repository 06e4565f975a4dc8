//! One-to-one sessions over real sockets: two legs back to back, and what RFC 4975 and RFC 4976 want of the node
//! between them. Each test is named by its rule; C24.247 stands for charging as TS 24.247 and its call flows have it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![expect(clippy::expect_used, reason = "helpers of tests fail by panicking")]
#[path = "../common/mod.rs"]
#[allow(unused_imports, reason = "the users of these tests are `peer`")]
mod common;

mod charging;
mod dialing;
mod failing;
mod passing;
mod peer;
mod pressure;
