//! Looks for programs of chunks, orders and time that make a room's sessions panic, alter what was sent, leave receivers
//! waiting or let pass what the gate bars. What is checked lies in mrfp/tests/probe, so that the corpus is replayed
//! without a fuzzer.
#![no_main]

#[path = "../../mrfp/tests/probe/mod.rs"]
mod probe;

libfuzzer_sys::fuzz_target!(|data: &[u8]| probe::probe(data));
