//! Replays what the fuzzer of sessions started from and found, every file of `fuzz/corpus/session`, and some programs
//! by chance.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![expect(clippy::indexing_slicing, reason = "tables of fewer entries than the index can name")]
mod probe;

use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

#[test]
fn every_program_of_the_corpus_stands() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/session");
    let mut programs = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        println!("{}", path.display());
        probe::probe(&fs::read(&path).unwrap());
        programs += 1;
    }

    assert!(programs >= 10, "{programs} programs");
}

#[test]
fn programs_by_chance_stand() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in seed.map_or(0..300, |seed: u64| seed..seed + 1) {
        println!("SEED={seed}");
        let mut program = vec![0; 1500];
        StdRng::seed_from_u64(seed).fill_bytes(&mut program);
        probe::probe(&program);
    }
}
