//! A result for other programs: comma-separated rows, and the interval log of HdrHistogram, which its plotters read. Pure.
use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::report::Report;

/// The timeline, a line for each row: seconds from the start, messages, arrivals, latencies in microseconds.
#[must_use]
pub fn csv(report: &Report) -> String {
    let mut text =
        "seconds,offered,sent,accepted,arrived,p50_us,p90_us,p99_us,p99_9_us,max_us\n".to_owned();
    for (row, number) in report.timeline.rows.iter().zip(0_u64..) {
        let at = Duration::from_millis(report.timeline.row_ms * number).as_secs_f64();
        let of = row.latency.figures();
        // Writing to a string does not fail.
        let _always = writeln!(
            text,
            "{at},{},{},{},{},{},{},{},{},{}",
            row.offered,
            row.sent,
            row.accepted,
            row.heard,
            of.p50,
            of.p90,
            of.p99,
            of.p99_9,
            of.max
        );
    }
    text
}

/// The log: one histogram of latencies for each row, in microseconds, and one tagged `lag` for nothing but the whole run's
/// other measures under their own tags.
///
/// # Errors
/// A measure's word is no tag.
pub fn hdr(report: &Report) -> anyhow::Result<String> {
    let (mut log, mut serializer) = (Vec::new(), V2DeflateSerializer::new());
    {
        let mut builder = IntervalLogWriterBuilder::new();
        builder
            .add_comment(&format!("[{}; latencies in microseconds]", report.environment.command));
        builder.with_base_time(UNIX_EPOCH);
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
