//! Replays what the fuzzer of the decoder started from and found: every file of `fuzz/corpus/msrp_decoder`.

mod probe;

use std::fs;
use std::path::Path;

#[test]
fn every_seed_of_the_corpus_stands() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/msrp_decoder");
    let mut seeds = 0;
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let data = fs::read(&path).unwrap();
        // A failing test names the seed: what it printed last.
        println!("{}", path.display());
        probe::probe(&data);
        // Cut in every small way, whatever the seed itself says.
        for size in 0..48 {
            let mut again = data.clone();
            if let Some(first) = again.first_mut() {
                *first = size;
            }
            probe::probe(&again);
        }
        seeds += 1;
    }

    assert!(seeds >= 40, "{seeds} seeds");
}
