//! What happened, in words that are the same in every run of a seed: no octets, no times of day.
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

/// Lines that are shown of a run that failed.
const SHOWN: usize = 80;

#[derive(Debug, Default)]
pub(crate) struct Trace {
    hash: DefaultHasher,
    last: VecDeque<String>,
    pub(crate) at: Duration,
    pub(crate) lines: u64,
}

impl Trace {
    pub(crate) fn line(&mut self, what: &str) {
        let line = format!("{:>8} ms  {what}", self.at.as_millis());
        line.hash(&mut self.hash);
        self.lines += 1;
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// The same for two runs that did the same.
    pub(crate) fn digest(&self) -> u64 {
        self.hash.finish()
    }

    pub(crate) fn tail(&self) -> String {
        self.last.iter().cloned().collect::<Vec<_>>().join("\n")
    }
}
