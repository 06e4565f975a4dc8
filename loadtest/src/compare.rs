//! Two results side by side: what became better, what worse, and whether they may be compared at all.
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use crate::output;
use crate::report::{Report, Verdict};
use crate::units::{float, grouped};

/// Two results to be compared.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 ok, 1 more was lost, doubled, changed, misdelivered, leaked or unreadable than in the first, \
                  or a result cannot be read, 2 usage, 3 a result is not valid, so that --worse-max could not judge its \
                  latencies, 99 something is worse by more than --worse-max. Where several are true, it is the first of them."
)]
pub struct Compare {
    /// The result to compare with
    before: PathBuf,
    /// The result that is judged
    after: PathBuf,
    /// By how many percent a latency, a rate or a cost may be worse
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
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
    /// What kind of figure.
    pub of: Of,
}

/// What a figure says, and so how it is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// What was carried: more is better.
    Carried,
    /// How long something took: less is better, and nobody knows if a result is not valid.
    Latency,
    /// What it cost: less is better.
    Cost,
    /// What must not happen: not one more than before.
    Fault,
}

/// What a comparison comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Faults of which there are more than before.
    pub faults: Vec<String>,
    /// What is worse by more than it may be.
    pub worse: Vec<String>,
    /// Figures that nobody can judge, because a result is not valid.
    pub unjudged: Vec<String>,
}

impl Line {
    /// By how many percent the second is worse; less than 0 if it is better.
    #[must_use]
    pub fn worse_percent(&self) -> f64 {
        if self.before == self.after {
            return 0.0;
        }
        if self.before == 0.0 {
            return if self.of == Of::Carried { -100.0 } else { 100.0 };
        }
        let change = (self.after - self.before) / self.before * 100.0;
        if self.of == Of::Carried { -change } else { change }
    }
}

/// Holds the second result up to the first: faults always, the rest if it is said how much worse it may be.
#[must_use]
pub fn judge(before: &Report, after: &Report, worse_max: Option<f64>) -> Judgement {
    let valid = before.generator.valid && after.generator.valid;
    let mut judgement = Judgement::default();
    for line in lines(before, after) {
        match (line.of, worse_max) {
            (Of::Fault, _) if line.after > line.before => {
                judgement.faults.push(format!(
                    "{} {} after {}",
                    number(line.after),
                    line.what,
                    number(line.before)
                ));
            }
            (Of::Fault, _) | (_, None) => {}
            (Of::Latency, Some(_)) if !valid => judgement.unjudged.push(line.what),
            (_, Some(most)) if line.worse_percent() > most => judgement.worse.push(line.what),
            (_, Some(_)) => {}
        }
    }
    judgement
}

impl Judgement {
    /// In words, a line for each part.
    #[must_use]
    pub fn told(&self, worse_max: Option<f64>) -> Vec<String> {
        let mut told = Vec::new();
        if !self.faults.is_empty() {
            told.push(format!("FAILED more faults than before: {}", self.faults.join(", ")));
        }
        if !self.unjudged.is_empty() {
            let what = self.unjudged.join(", ");
            told.push(format!("NOT VALID not judged, because a result is not valid: {what}"));
        }
        match worse_max {
            Some(most) if self.worse.is_empty() && self.unjudged.is_empty() => {
                told.push(format!("PASS nothing is worse by more than {most} %"));
            }
            Some(most) if self.worse.is_empty() => {
                told.push(format!("PASS nothing else is worse by more than {most} %"));
            }
            Some(most) => {
                told.push(format!("MISS worse by more than {most} %: {}", self.worse.join(", ")));
            }
            None => {}
        }
        told
    }

    /// The worst of it.
    #[must_use]
    pub const fn verdict(&self) -> Verdict {
        match (self.faults.is_empty(), self.unjudged.is_empty(), self.worse.is_empty()) {
            (false, _, _) => Verdict::Failed,
            (true, false, _) => Verdict::NotValid,
            (true, true, false) => Verdict::Missed,
            (true, true, true) => Verdict::Pass,
        }
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
            "{} rooms x {} of {}, {} guests, {} of {} octets, {}, acknowledged when {}, over {}, {} s, seed {}",
            ran.rooms,
            ran.members,
            ran.name,
            ran.guests,
            ran.kind.name(),
            ran.size_octets,
            ran.level.name(),
            ran.acknowledge.name(),
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
    let mut line = |what: String, before: f64, after: f64, of: Of| {
        lines.push(Line { what, before, after, of });
    };
    line("achieved msg/s".into(), before.rate.achieved, after.rate.achieved, Of::Carried);
    let figures = |report: &Report| {
        let of = report.latency_us;
        [("p50", of.p50), ("p90", of.p90), ("p99", of.p99), ("p99.9", of.p99_9), ("max", of.max)]
    };
    for ((name, one), (_, other)) in figures(before).into_iter().zip(figures(after)) {
        line(format!("latency {name} us"), float(one), float(other), Of::Latency);
    }
    for (name, one) in &before.measures {
        if let Some(other) = after.measures.get(name) {
            line(format!("{name} p50 us"), float(one.us.p50), float(other.us.p50), Of::Latency);
            line(format!("{name} p99 us"), float(one.us.p99), float(other.us.p99), Of::Latency);
        }
    }
    for one in &before.servers {
        if let Some(other) = after.servers.iter().find(|other| other.name == one.name) {
            let name = &one.name;
            line(
                format!("{name} us a delivery"),
                one.cpu_us_per_delivery,
                other.cpu_us_per_delivery,
                Of::Cost,
            );
            line(
                format!("{name} memory KiB"),
                float(one.rss_octets / 1024),
                float(other.rss_octets / 1024),
                Of::Cost,
            );
        }
    }
    if let (Some(one), Some(other)) = (before.knee, after.knee) {
        line("knee msg/s".into(), one, other, Of::Carried);
    }
    let faults = |report: &Report| {
        let of = &report.deliveries;
        [
            ("lost", of.lost),
            ("duplicated", of.duplicated),
            ("corrupt", of.corrupt),
            ("misdelivered", of.misdelivered),
            ("undecryptable", of.undecryptable),
            ("leaked", of.leaked),
        ]
    };
    for ((name, one), (_, other)) in faults(before).into_iter().zip(faults(after)) {
        line(name.into(), float(one), float(other), Of::Fault);
    }
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
        let change = if line.of == Of::Carried { -worse } else { worse };
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
        let judgement = judge(&before, &after, self.worse_max);
        for line in judgement.told(self.worse_max) {
            println!("{line}");
        }
        Ok(ExitCode::from(judgement.verdict().exit_code()))
    }
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if percent.is_finite() && percent >= 0.0 => Ok(percent),
        _ => Err("a number of percent, 0 or more".into()),
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
        assert_eq!((of("mrfp us a delivery"), of("lost")), (0.0, 0.0));
        assert!(table(&before, &after).contains("+60.0% worse"), "{}", table(&before, &after));
    }

    #[test]
    fn a_rate_that_falls_is_worse() {
        let line = Line { what: String::new(), before: 100.0, after: 50.0, of: Of::Carried };
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

    fn late() -> Report {
        report(Plant::Lag(Duration::from_millis(2)), "")
    }

    #[test]
    fn a_fault_more_than_before_fails_whatever_else_was_asked() {
        let (clean, lossy) = (report(Plant::Nothing, ""), report(Plant::Loss, ""));

        for worse_max in [None, Some(1000.0)] {
            let judged = judge(&clean, &lossy, worse_max);
            assert_eq!(judged.faults, ["1 lost after 0"]);
            assert_eq!(judged.verdict(), Verdict::Failed);
            assert!(judged.told(worse_max)[0].starts_with("FAILED"), "{judged:?}");
            assert_eq!(judge(&lossy, &clean, worse_max).verdict(), Verdict::Pass);
        }
        assert_eq!(judge(&lossy, &lossy, Some(0.0)).verdict(), Verdict::Pass);
    }

    #[test]
    fn latencies_of_a_result_that_is_not_valid_are_not_judged() {
        let (clean, slow) =
            (report(Plant::Nothing, ""), report(Plant::Slow(Duration::from_millis(8)), ""));

        assert_eq!(judge(&clean, &slow, Some(5.0)).verdict(), Verdict::Missed);
        assert_eq!(judge(&clean, &slow, None).verdict(), Verdict::Pass);
        for (before, after) in [(&clean, &late()), (&late(), &slow)] {
            let judged = judge(before, after, Some(5.0));
            assert!(judged.unjudged.contains(&"latency p99 us".to_owned()), "{judged:?}");
            assert!(!judged.worse.iter().any(|what| what.contains("latency")), "{judged:?}");
            assert_eq!(judged.verdict(), Verdict::NotValid);
            let told = judged.told(Some(5.0)).join("\n");
            assert!(told.contains("not judged") && !told.contains("PASS nothing is"), "{told}");
        }
    }

    #[test]
    fn how_much_worse_it_may_be_is_a_number_that_is_not_below_0() {
        for bad in ["nan", "inf", "-inf", "-5", "-0.1", "many", ""] {
            assert!(percent(bad).is_err(), "{bad}");
        }
        assert_eq!([percent("0"), percent("7.5")], [Ok(0.0), Ok(7.5)]);
    }

    #[test]
    fn what_differs_is_told_in_words() {
        let before = report(Plant::Nothing, "");
        let mut after = before.clone();
        after.scenario.members += 1;

        let told = differences(&before, &after).join("\n");

        assert!(
            told.contains("messages of 64 octets, sealed, acknowledged when relayed"),
            "{told}"
        );
    }
}
