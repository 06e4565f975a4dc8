//! A result for other programs: comma-separated rows, and the interval log of HdrHistogram, which its plotters read. Pure.
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::report::Report;

/// The timeline, a line for each row: seconds from the start, messages, arrivals, latencies in microseconds, which are empty
/// where no arrival has one, as while warming up.
#[must_use]
pub fn csv(report: &Report) -> String {
    let mut text =
        "seconds,offered,sent,accepted,arrived,p50_us,p90_us,p99_us,p99_9_us,max_us\n".to_owned();
    for (row, number) in report.timeline.rows.iter().zip(0_u64..) {
        let at = Duration::from_millis(report.timeline.row_ms * number).as_secs_f64();
        let of = row.latency.figures();
        // Where nothing arrived there is no latency, which is not one of 0.
        let latency = |us: u64| if of.count > 0 { us.to_string() } else { String::new() };
        // Writing to a string does not fail.
        let _always = writeln!(
            text,
            "{at},{},{},{},{},{},{},{},{},{}",
            row.offered,
            row.sent,
            row.accepted,
            row.heard,
            latency(of.p50),
            latency(of.p90),
            latency(of.p99),
            latency(of.p99_9),
            latency(of.max)
        );
    }
    text
}

/// The log: one histogram of latencies for each row, in microseconds, and the whole run's other measures under their own tags.
/// Its base time is when the run began, if the result says so.
///
/// # Errors
/// A measure's word is no tag.
pub fn hdr(report: &Report) -> anyhow::Result<String> {
    let (mut log, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    {
        let mut builder = IntervalLogWriterBuilder::new();
        builder
            .add_comment(&format!("[{}; latencies in microseconds]", report.environment.command));
        builder.with_base_time(began(report));
        let mut writer = builder.begin_log_with(&mut log, &mut serializer)?;
        let length = Duration::from_millis(report.timeline.row_ms);
        for (row, number) in report.timeline.rows.iter().zip(0_u32..) {
            if row.latency.count() > 0 {
                let told =
                    writer.write_histogram(row.latency.histogram(), length * number, length, None);
                told.map_err(|error| anyhow::anyhow!("{error:?}"))?;
            }
        }
        let whole = Duration::from_secs_f64(report.scenario.duration_secs);
        for (name, measured) in &report.measures {
            let tag = Tag::new(name);
            let histogram = measured.histogram.histogram();
            let told = writer.write_histogram(histogram, Duration::ZERO, whole, tag);
            told.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        }
    }
    Ok(String::from_utf8(log)?)
}

fn began(report: &Report) -> SystemTime {
    let format = &time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(&report.environment.began, format)
        .map_or(UNIX_EPOCH, SystemTime::from)
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;
    use crate::report::tests::{Plant, report};

    #[test]
    fn the_rows_add_up_to_the_run() {
        let report = report(Plant::Nothing, "");

        let text = csv(&report);

        let column = |number: usize| -> u64 {
            let lines = text.lines().skip(1);
            lines.map(|line| line.split(',').nth(number).unwrap().parse::<u64>().unwrap()).sum()
        };
        assert_eq!([1, 2, 3, 4].map(column), [1100, 1100, 1100, 2200]);
    }

    #[test]
    fn a_row_without_an_arrival_has_no_latency_instead_of_one_of_0() {
        let report = report(Plant::Nothing, "");

        let text = csv(&report);

        let mut kinds = [0, 0];
        for (row, line) in report.timeline.rows.iter().zip(text.lines().skip(1)) {
            let heard = usize::from(row.latency.count() > 0);
            let mut cells = line.split(',').skip(5);
            assert!(cells.all(|cell| (heard == 0) == cell.is_empty() && cell != "0"), "{line}");
            kinds[heard] += 1;
        }
        assert!(kinds.iter().all(|rows| *rows > 0), "{kinds:?}");
    }

    #[test]
    fn the_log_begins_when_the_run_did() {
        let mut report = report(Plant::Nothing, "");
        let base = |report: &Report| {
            let log = hdr(report).unwrap();
            let entries: Vec<_> =
                IntervalLogIterator::new(log.as_bytes()).map(Result::unwrap).collect();
            entries.into_iter().find_map(|entry| match entry {
                LogEntry::BaseTime(time) => Some(time),
                _ => None,
            })
        };

        assert_eq!(base(&report), Some(Duration::from_secs(1_795_251_600)));
        report.environment.began.clear();
        assert_eq!(base(&report), Some(Duration::ZERO));
    }

    #[test]
    fn other_programs_find_every_latency_in_the_log() {
        let report = report(Plant::Nothing, "");

        let log = hdr(&report).unwrap();

        let mut count = 0;
        for entry in IntervalLogIterator::new(log.as_bytes()) {
            if let LogEntry::Interval(interval) = entry.unwrap() {
                let text = interval.encoded_histogram();
                count += crate::latency::Latencies::decode(text).unwrap().count();
            }
        }
        assert_eq!(count, report.latency_us.count);
    }
}
