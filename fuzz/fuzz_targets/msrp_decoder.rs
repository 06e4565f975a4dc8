//! Looks for octets that make the MSRP decoder panic, hold memory, or depend on how the stream was cut. What is
//! checked lies in common/msrp/tests/probe, so that the corpus is replayed without a fuzzer.
#![no_main]

#[path = "../../common/msrp/tests/probe/mod.rs"]
mod probe;

libfuzzer_sys::fuzz_target!(|data: &[u8]| probe::probe(data));
