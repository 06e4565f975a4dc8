//! What happened, in words that are the same in every run of a seed: no octets, no times of day.
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

/// Lines that are shown of a run that failed, unless `LINES` says how many.
const SHOWN: usize = 80;

/// Lines that are kept for that.
const KEPT_MAX: usize = 20_000;

fn shown() -> usize {
    std::env::var("LINES").ok().and_then(|lines| lines.parse().ok()).unwrap_or(SHOWN)
}

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
        self.last.push_back(line);
        if self.last.len() > KEPT_MAX {
            self.last.pop_front();
        }
    }

    /// The same for two runs that did the same.
    pub(crate) fn digest(&self) -> u64 {
        self.hash.finish()
    }

    pub(crate) fn tail(&self) -> String {
        let skip = self.last.len().saturating_sub(shown());
        self.last.iter().skip(skip).cloned().collect::<Vec<_>>().join("\n")
    }
}
