//! What a person sees while a run goes on, on standard error: a bar and a few lines on a terminal, otherwise a line for
//! each interval. Standard output is left to the result.
use std::io::{IsTerminal, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::book::Interval;
use crate::scenario::Scenario;
use crate::summary;

const REDRAW: Duration = Duration::from_millis(200);

/// Shows how a run goes.
#[derive(Debug)]
pub(crate) enum Live {
    /// On a terminal.
    Bar(ProgressBar),
    /// In a file or a pipe.
    Lines,
}

impl Live {
    /// Starts showing.
    pub(crate) fn start(scenario: &Scenario) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines;
        }
        let bar = ProgressBar::new((scenario.warmup + scenario.measured()).as_secs());
        let style = ProgressStyle::with_template("{spinner} {wide_bar} {pos} of {len} s\n{msg}");
        bar.set_style(style.unwrap_or_else(|_bad_template| ProgressStyle::default_bar()));
        bar.enable_steady_tick(REDRAW);
        Self::Bar(bar)
    }

    /// Says what is done now.
    pub(crate) fn say(&self, what: &str) {
        match self {
            Self::Bar(bar) => bar.set_message(what.to_owned()),
            Self::Lines => line(what),
        }
    }

    /// Says something that stays to be read.
    pub(crate) fn note(&self, what: &str) {
        match self {
            Self::Bar(bar) => bar.println(what),
            Self::Lines => line(what),
        }
    }

    /// Shows what happened in the interval that ended `at` this time of the run.
    pub(crate) fn progress(&self, at: Duration, scenario: &Scenario, interval: &Interval) {
        match self {
            Self::Bar(bar) => {
                bar.set_position(at.as_secs());
                bar.set_message(summary::screen(at, scenario, interval));
            }
            Self::Lines => line(&summary::progress(at, scenario, interval)),
        }
    }

    /// Makes room for the result.
    pub(crate) fn finish(&self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn line(text: &str) {
    // A run whose terminal was closed still has its result to write.
    let _closed = writeln!(std::io::stderr(), "{text}");
}
