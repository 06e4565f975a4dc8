//! The process's own figures, read from `/proc/self` when asked for. Where `/proc` is missing, so are they.
use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, Opts};

/// Linux shows process times in hundredths of a second on every architecture (`proc(5)`, USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// Linux's smallest page; on the architectures we build for, the usual one.
const PAGE_BYTES: f64 = 4096.0;

#[derive(Clone, Debug)]
pub(super) struct Process;

#[derive(Debug, PartialEq)]
struct Figures {
    cpu_seconds: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
    threads: f64,
    started_ticks: f64,
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families = Vec::new();
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        if let Some(figures) = figures(&stat) {
            families.extend(cpu(figures.cpu_seconds));
            gauge(&mut families, "virtual_memory_bytes", "Address space.", figures.virtual_bytes);
            gauge(&mut families, "resident_memory_bytes", "Memory in use.", figures.resident_bytes);
            gauge(&mut families, "threads", "Threads.", figures.threads);
            if let Some(booted) = booted_seconds() {
                let started = booted + figures.started_ticks / TICKS_PER_SECOND;
                gauge(&mut families, "start_time_seconds", "When it started, since 1970.", started);
            }
        }
        if let Some(open) = open_fds() {
            gauge(&mut families, "open_fds", "Open file descriptors.", open);
        }
        if let Some(max) = max_fds() {
            gauge(&mut families, "max_fds", "File descriptors it may open.", max);
        }
        families
    }
}

fn cpu(seconds: f64) -> Vec<MetricFamily> {
    let opts = Opts::new("process_cpu_seconds_total", "CPU time used, user and system.");
    let Ok(counter) = Counter::with_opts(opts) else { return Vec::new() };
    counter.inc_by(seconds);
    counter.collect()
}

fn gauge(families: &mut Vec<MetricFamily>, name: &str, help: &str, value: f64) {
    if let Ok(gauge) = Gauge::with_opts(Opts::new(format!("process_{name}"), help)) {
        gauge.set(value);
        families.extend(gauge.collect());
    }
}

/// `proc(5)`: the name, field 2, is in brackets and may hold anything; the rest is separated by spaces.
fn figures(stat: &str) -> Option<Figures> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(Figures {
        cpu_seconds: (field(14)? + field(15)?) / TICKS_PER_SECOND,
        threads: field(20)?,
        started_ticks: field(22)?,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * PAGE_BYTES,
    })
}

fn booted_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn open_fds() -> Option<f64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    // One of them is the folder being read.
    u32::try_from(count.saturating_sub(1)).ok().map(f64::from)
}

fn max_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat =
            "7 (a) b (c)) S 1 7 7 0 -1 4194304 0 0 0 0 150 50 0 0 20 0 9 0 4200 1000000 30 0";

        let figures = figures(stat).unwrap();

        assert_eq!(
            (figures.cpu_seconds, figures.threads, figures.started_ticks),
            (2.0, 9.0, 4200.0)
        );
        assert_eq!((figures.virtual_bytes, figures.resident_bytes), (1_000_000.0, 30.0 * 4096.0));
    }

    #[test]
    fn a_line_that_is_cut_gives_no_figures() {
        assert_eq!(figures(""), None);
        assert_eq!(figures("7 (name) S 1 2"), None);
    }
}
