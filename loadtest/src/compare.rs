//! Two results side by side: what became better, what worse, and whether they may be compared at all.
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::output;
use crate::report::Report;
use crate::units::{float, grouped};

/// Two results to be compared.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 ok, 1 a result cannot be read, 99 something is worse by more than --worse-max."
)]
pub struct Compare {
    /// The result to compare with
    before: PathBuf,
    /// The result that is judged
    after: PathBuf,
    /// By how many percent a latency, a rate or a cost may be worse
    #[arg(long, value_name = "PERCENT")]
    worse_max: Option<f64>,
}

/// A figure of both.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// What it is.
    pub what: String,
    /// In the first result.
    pub before: f64,
    /// In the second.
    pub after: f64,
    /// Whether more of it is better.
    pub more_is_better: bool,
}

impl Line {
    /// By how many percent the second is worse; less than 0 if it is better.
    #[must_use]
    pub fn worse_percent(&self) -> f64 {
        if self.before == self.after {
            return 0.0;
        }
        if self.before == 0.0 {
            return if self.more_is_better { -100.0 } else { 100.0 };
        }
        let change = (self.after - self.before) / self.before * 100.0;
        if self.more_is_better { -change } else { change }
    }
}

/// Why the figures of two results do not say the same. Empty: they may be compared.
#[must_use]
pub fn differences(before: &Report, after: &Report) -> Vec<String> {
    let mut found = Vec::new();
    let mut differ = |what: &str, one: String, other: String| {
        if one != other {
            found.push(format!("{what}: {one} and {other}"));
        }
    };
    let (one, other) = (&before.scenario, &after.scenario);
    let shape = |ran: &crate::report::Ran| {
        format!(
            "{} rooms x {} of {}, {} guests, {} octets, {:?} {:?} {:?} over {}, {} s, seed {}",
            ran.rooms,
            ran.members,
            ran.name,
            ran.guests,
            ran.size_octets,
            ran.level,
            ran.acknowledge,
            ran.kind,
            ran.transport.name(),
            ran.duration_secs,
            ran.seed
        )
    };
    differ("scenario", shape(one), shape(other));
    differ("loop", format!("open {}", one.open_loop), format!("open {}", other.open_loop));
    differ("offered", format!("{}/s", before.rate.offered), format!("{}/s", after.rate.offered));
    let (one, other) = (&before.environment, &after.environment);
    differ("build", one.profile.clone(), other.profile.clone());
    let machine =
        |of: &crate::report::Environment| format!("{} x {}, {}", of.cpus, of.cpu_model, of.kernel);
    differ("machine", machine(one), machine(other));
    for (name, report) in [("the first", before), ("the second", after)] {
        if !report.generator.valid {
            found.push(format!("{name} is not valid: {}", report.generator.why.join("; ")));
        }
    }
    found
}

/// Every figure that both have.
#[must_use]
pub fn lines(before: &Report, after: &Report) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut line = |what: String, before: f64, after: f64, more_is_better: bool| {
        lines.push(Line { what, before, after, more_is_better });
    };
    line("achieved msg/s".into(), before.rate.achieved, after.rate.achieved, true);
    let figures = |report: &Report| {
        let of = report.latency_us;
        [("p50", of.p50), ("p90", of.p90), ("p99", of.p99), ("p99.9", of.p99_9), ("max", of.max)]
    };
    for ((name, one), (_, other)) in figures(before).into_iter().zip(figures(after)) {
        line(format!("latency {name} us"), float(one), float(other), false);
    }
    for (name, one) in &before.measures {
        if let Some(other) = after.measures.get(name) {
            line(format!("{name} p50 us"), float(one.us.p50), float(other.us.p50), false);
            line(format!("{name} p99 us"), float(one.us.p99), float(other.us.p99), false);
        }
    }
    for one in &before.servers {
        if let Some(other) = after.servers.iter().find(|other| other.name == one.name) {
            let name = &one.name;
            line(
                format!("{name} us a delivery"),
                one.cpu_us_per_delivery,
                other.cpu_us_per_delivery,
                false,
            );
            line(
                format!("{name} memory KiB"),
                float(one.rss_octets / 1024),
                float(other.rss_octets / 1024),
                false,
            );
        }
    }
    if let (Some(one), Some(other)) = (before.knee, after.knee) {
        line("knee msg/s".into(), one, other, true);
    }
    let faults = |report: &Report| {
        let of = &report.deliveries;
        of.lost + of.duplicated + of.corrupt + of.misdelivered + of.undecryptable + of.leaked
    };
    line("faults".into(), float(faults(before)), float(faults(after)), false);
    lines
}

/// The comparison in words.
#[must_use]
pub fn table(before: &Report, after: &Report) -> String {
    let mut text = String::new();
    for difference in differences(before, after) {
        // Writing to a string does not fail.
        let _always = writeln!(text, "CAREFUL       {difference}");
    }
    let _always = writeln!(text, "{:<24} {:>14} {:>14} {:>9}", "", "before", "after", "change");
    for line in lines(before, after) {
        let worse = line.worse_percent();
        let word = match worse {
            worse if worse >= 5.0 => "worse",
            worse if worse <= -5.0 => "better",
            _ => "",
        };
        let change = if line.more_is_better { -worse } else { worse };
        let _always = writeln!(
            text,
            "{:<24} {:>14} {:>14} {change:>+8.1}% {word}",
            line.what,
            number(line.before),
            number(line.after)
        );
    }
    text.trim_end().to_owned()
}

fn number(value: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a figure of a run"
    )]
    let whole = value.max(0.0) as u64;
    if value < 100.0 && value.fract() != 0.0 { format!("{value:.1}") } else { grouped(whole) }
}

impl Compare {
    /// Compares and prints.
    ///
    /// # Errors
    /// A result cannot be read.
    #[expect(clippy::print_stdout, reason = "the comparison is what this command prints")]
    pub fn carry_out(&self) -> anyhow::Result<ExitCode> {
        let (before, after) = (output::read(&self.before)?, output::read(&self.after)?);
        println!("{}", table(&before, &after));
        let Some(worse_max) = self.worse_max else { return Ok(ExitCode::SUCCESS) };
        let worse =
            lines(&before, &after).into_iter().filter(|line| line.worse_percent() > worse_max);
        let worse: Vec<String> = worse.map(|line| line.what).collect();
        if worse.is_empty() {
            println!("PASS nothing is worse by more than {worse_max} %");
            return Ok(ExitCode::SUCCESS);
        }
        println!("MISS worse by more than {worse_max} %: {}", worse.join(", "));
        Ok(ExitCode::from(99))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{Plant, report};
    use std::time::Duration;

    #[test]
    fn what_became_worse_is_named_and_what_is_the_same_is_not() {
        let before = report(Plant::Nothing, "");
        let after = report(Plant::Slow(Duration::from_millis(8)), "");

        let of = |what: &str| {
            let lines = lines(&before, &after);
            lines.into_iter().find(|line| line.what == what).unwrap().worse_percent()
        };
        assert!((59.0..61.0).contains(&of("latency p99 us")), "{}", of("latency p99 us"));
        assert_eq!((of("mrfp us a delivery"), of("faults")), (0.0, 0.0));
        assert!(table(&before, &after).contains("+60.0% worse"), "{}", table(&before, &after));
    }

    #[test]
    fn a_rate_that_falls_is_worse() {
        let line = Line { what: String::new(), before: 100.0, after: 50.0, more_is_better: true };
        assert_eq!(line.worse_percent(), 50.0);
    }

    #[test]
    fn runs_that_say_nothing_about_each_other_are_marked() {
        let before = report(Plant::Nothing, "");
        let mut after = report(Plant::Drop, "");
        after.environment.profile = "release".into();
        after.scenario.members += 1;

        let found = differences(&before, &after);

        assert_eq!(found.len(), 3, "{found:?}");
        assert!(differences(&before, &before).is_empty());
    }
}
