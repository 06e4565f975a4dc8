//! Looks for records that make the record layer panic, hand out what the peer did not say, go on behind an error, or depend
//! on how the stream was cut. What is checked lies in common/record/tests/probe, so that the corpus is replayed without a
//! fuzzer.
#![no_main]

#[path = "../../common/record/tests/probe/mod.rs"]
mod probe;

libfuzzer_sys::fuzz_target!(|data: &[u8]| probe::probe(data));
