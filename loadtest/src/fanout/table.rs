//! Rounds become medians, medians become ratios, and those a table in Markdown, between two marks of a file. Pure.
use std::fmt::Write as _;

use super::rows::{Contestant, Demand, Row};

/// Where the table begins in a file.
pub const BEGIN: &str = "<!-- bench-peers: written by `make bench-peers`, not by hand -->";
/// Where it ends.
pub const END: &str = "<!-- bench-peers: end -->";

/// The figures of one contestant in all rounds; empty if it did not take part.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Who.
    pub who: Contestant,
    /// One figure a round.
    pub figures: Vec<f64>,
}

impl Measured {
    /// The middle one, or the mean of the two in the middle.
    #[must_use]
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.figures.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(f64::midpoint(lower, upper))
    }

    /// Median, least and most.
    fn words(&self) -> Option<String> {
        let least = self.figures.iter().copied().min_by(f64::total_cmp)?;
        let most = self.figures.iter().copied().max_by(f64::total_cmp)?;
        let median = self.median()?;
        let decimals = if median < 10.0 { 2 } else { usize::from(median < 100.0) };
        Some(format!("{median:.decimals$} ({least:.decimals$}–{most:.decimals$})"))
    }
}

/// The head of the table.
#[must_use]
pub fn head() -> String {
    "| load (`ROW=`) | unit | relay | others | ratio | must | aim | |\n|---|---|---|---|---|---|---|---|\n".to_owned()
}

/// One load's lines, one for each demand.
#[must_use]
pub fn lines(row: &Row, measured: &[Measured]) -> String {
    let Some((relay, others)) = measured.split_first() else { return String::new() };
    let word = |measured: &Measured| {
        let words = measured.words().unwrap_or_else(|| "not measured".to_owned());
        format!("{} {words}", measured.who.label())
    };
    let others_words: Vec<String> = others.iter().map(word).collect();
    let mut out = String::new();
    for (at, demand) in row.demands.iter().enumerate() {
        let first = at == 0;
        let (against, ratio, must, aim) = judge(*demand, relay, others);
        let met = match ratio {
            None => "not measured",
            Some(ratio) if ratio <= aim => "aim met",
            Some(_) if must.is_infinite() => "aim missed",
            Some(ratio) if ratio <= must => "must met",
            Some(_) => "MISSED",
        };
        let ratio = ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let must = if must.is_infinite() { String::new() } else { format!("≤ {must}") };
        let relay_words = relay.words().unwrap_or_else(|| "not measured".to_owned());
        let title = if first { format!("{} (`{}`)", row.title, row.name) } else { String::new() };
        let [unit, relay_words, others_words] = if first {
            [row.figure.unit().to_owned(), relay_words, others_words.join(", ")]
        } else {
            [const { String::new() }; 3]
        };
        // Writing to memory cannot fail.
        _ = writeln!(
            out,
            "| {title} | {unit} | {relay_words} | {others_words} | {ratio}{against} | {must} | ≤ {aim} | {met} |"
        );
    }
    out
}

/// Compared with whom, the ratio, and its bounds.
fn judge(demand: Demand, relay: &Measured, others: &[Measured]) -> (String, Option<f64>, f64, f64) {
    let median = relay.median();
    let over = |other: Option<f64>| Some(median? / other.filter(|other| *other > 0.0)?);
    match demand {
        Demand::Times(who, must, aim) => {
            let other = others.iter().find(|other| other.who == who).and_then(Measured::median);
            (format!(" × {}", who.label()), over(other), must, aim)
        }
        Demand::TimesBest(must, aim) => {
            let best = others.iter().filter_map(Measured::median).min_by(f64::total_cmp);
            (" × the best".to_owned(), over(best), must, aim)
        }
        Demand::AtMost(must, aim) => (String::new(), median, must, aim),
    }
}

/// The text of a file with what is between the marks replaced, or added at its end.
#[must_use]
pub fn placed(file: &str, table: &str) -> String {
    let section = format!("{BEGIN}\n{}\n{END}\n", table.trim_end());
    match (file.split_once(BEGIN), file.split_once(END)) {
        (Some((before, _)), Some((_, after))) => {
            format!("{before}{section}{}", after.trim_start_matches('\n'))
        }
        _ => format!("{}\n\n{section}", file.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fanout::rows::rows;

    fn measured(row: &Row, figures: &[&[f64]]) -> Vec<Measured> {
        let each = row.contestants.iter().zip(figures);
        each.map(|(who, figures)| Measured { who: *who, figures: figures.to_vec() }).collect()
    }

    fn row(name: &str) -> Row {
        rows().into_iter().find(|row| row.name == name).unwrap()
    }

    #[test]
    fn the_median_of_rounds_is_no_average() {
        let median = |figures: &[f64]| {
            Measured { who: row("window").contestants[0], figures: figures.to_vec() }.median()
        };

        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 4.0, 9.0]), Some(3.0));
        assert_eq!(median(&[]), None);
    }

    #[test]
    fn each_demand_has_a_line_with_the_ratio_of_medians() {
        let window = row("window");
        let text = lines(&window, &measured(&window, &[&[1.0, 1.1, 5.0], &[2.0], &[4.0], &[0.9]]));

        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("| 0.55 × nats | ≤ 0.5 | ≤ 0.35 | MISSED |"), "{text}");
        assert!(
            lines[0].contains("| 1.10 (1.00–5.00) | nats 2.00 (2.00–2.00), mosquitto"),
            "{text}"
        );
        assert!(lines[1].contains("| 0.28 × mosquitto |  | ≤ 0.25 | aim missed |"), "{text}");
    }

    #[test]
    fn the_best_of_the_others_and_an_absolute_bound_are_judged() {
        let (p99, idle) = (row("p99"), row("idle"));

        let text = lines(&p99, &measured(&p99, &[&[800.0], &[2000.0], &[1000.0], &[900.0]]));
        assert!(text.contains("0.89 × the best | ≤ 1.2 | ≤ 0.8 | must met"), "{text}");
        let text = lines(&idle, &measured(&idle, &[&[7.5], &[36.0], &[15.0], &[]]));
        assert!(text.contains("| 7.50 | ≤ 16 | ≤ 8 | aim met |"), "{text}");
        assert!(text.contains("bare not measured"), "{text}");
    }

    #[test]
    fn who_is_not_there_is_said_to_be_missing() {
        let file = row("file");

        let text = lines(&file, &measured(&file, &[&[200.0], &[]]));

        assert!(
            text.contains("haproxy not measured") && text.ends_with("not measured |\n"),
            "{text}"
        );
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let once = placed("# Results\n\nold\n", "| one |");
        let twice = placed(&format!("{once}\nbelow\n"), "| two |");

        assert_eq!(once, format!("# Results\n\nold\n\n{BEGIN}\n| one |\n{END}\n"));
        assert_eq!(twice, format!("# Results\n\nold\n\n{BEGIN}\n| two |\n{END}\nbelow\n"));
    }
}
