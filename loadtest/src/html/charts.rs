//! The charts of a result: which figures go where, and what has to be said beside them. Pure.
use std::collections::BTreeMap;

use super::plot::{Axis, Plot, escape};
use super::time;
use crate::latency::Latencies;
use crate::report::Report;
use crate::units::float;

/// Cells of the heat map for a factor of two in latency.
const CELLS_PER_OCTAVE: f64 = 3.0;
const COLORS: [&str; 4] = ["a", "b", "c", "d"];

fn figure(title: &str, says: &str, plot: Plot) -> String {
    format!(
        "<figure><figcaption>{}<span>{}</span></figcaption>{}</figure>",
        escape(title),
        escape(says),
        plot.svg(title)
    )
}

/// All charts that have something to show.
pub(super) fn all(report: &Report) -> String {
    let mut charts = vec![percentiles(report), heat(report)];
    if report.steps.len() > 1 {
        charts.extend([ramp_latency(report), ramp_rate(report)]);
    }
    charts.extend([throughput(report), arrivals(report)]);
    charts.extend(measures(report));
    if !report.timeline.usage.is_empty() {
        charts.extend([cpu(report), memory(report)]);
    }
    charts.concat()
}

/// The curve of a histogram: how many nines, and the latency that so many were at most.
fn curve(latencies: &Latencies) -> Vec<(f64, f64)> {
    let count = float(latencies.count());
    let mut points = Vec::new();
    let mut one_in = 1.0;
    while one_in <= count.max(1.0) {
        let percent = 100.0 - 100.0 / one_in;
        points.push((one_in, float(latencies.percentile(percent).max(1))));
        one_in *= 1.12;
    }
    let max = float(latencies.figures().max.max(1));
    points.push((count.max(1.0), max));
    points
}

fn nines(count: f64) -> Axis {
    // 0 % and 50 % would touch wherever there are many more.
    let least = if count > 1e4 { (1.0, "0") } else { (2.0, "50") };
    let ticks = [least, (10.0, "90"), (100.0, "99"), (1e3, "99.9"), (1e4, "99.99")];
    let ticks = ticks.into_iter().chain([(1e5, "99.999"), (1e6, "99.9999")]);
    let ticks = ticks.filter(|(at, _)| *at <= count.max(10.0));
    let ticks = ticks.map(|(at, label)| (at, format!("{label} %"))).collect();
    Axis::own("percentile", 1.0, count.max(10.0), ticks)
}

fn percentiles(report: &Report) -> String {
    let points = curve(&report.latency_histogram);
    let (least, most) = (points.first().map_or(1.0, |point| point.1), float(report.latency_us.max));
    let mut plot = Plot::new(
        nines(float(report.latency_us.count)),
        Axis::log("latency", least * 0.8, most * 1.1, time),
    );
    plot.line("end to end", "a", &points);
    if report.generator.lag_us.count > 0 {
        let lag = report.generator.lag_us;
        let known =
            [(1.0, lag.p50), (2.0, lag.p50), (10.0, lag.p90), (100.0, lag.p99), (1e3, lag.p99_9)];
        let known = known.into_iter().filter(|(at, _)| *at <= float(lag.count));
        let points: Vec<_> = known.map(|(at, us)| (at, float(us.max(1)))).collect();
        if lag.p99_9 > 0 && float(lag.p99_9) >= least * 0.8 {
            plot.line("generator", "b", &points);
        }
    }
    let says = if report.scenario.open_loop {
        "From the intended start of each message to each receiver having opened it"
    } else {
        "CLOSED LOOP: from when a message was sent; stalls are hidden"
    };
    figure("Latency by percentile", says, plot)
}

fn heat(report: &Report) -> String {
    let row = float(report.timeline.row_ms) / 1000.0;
    let rows = &report.timeline.rows;
    let measured = rows.iter().rposition(|row| row.latency.count() > 0).map_or(1, |last| last + 1);
    let counted: Vec<BTreeMap<i64, u64>> =
        rows.iter().take(measured).map(|row| cells(&row.latency)).collect();
    let all = counted.iter().flat_map(BTreeMap::keys);
    let (low, high) =
        (all.clone().min().copied().unwrap_or(0), all.max().copied().unwrap_or(1) + 1);
    let mut plot = Plot::new(
        Axis::until("seconds", row * float(measured as u64), whole),
        Axis::log("latency", edge(low), edge(high), time),
    );
    let densest = counted.iter().flat_map(BTreeMap::values).max().copied().unwrap_or(1);
    for (cells, number) in counted.iter().zip(0_u32..) {
        let from = f64::from(number) * row;
        for (cell, count) in cells {
            // By its root, so that what is rare can still be seen.
            let weight = (float(*count) / float(densest)).sqrt().max(0.10);
            let says = format!(
                "{} to {}: {count} at {from:.1} s",
                time(edge(*cell)),
                time(edge(cell + 1))
            );
            plot.cell((from, edge(*cell)), (from + row, edge(cell + 1)), weight, &says);
        }
    }
    let p99 = rows.iter().zip(0_u32..).filter(|(row, _)| row.latency.count() > 0);
    let p99: Vec<_> = p99
        .map(|(in_row, number)| {
            ((f64::from(number) + 0.5) * row, float(in_row.latency.percentile(99.0).max(1)))
        })
        .collect();
    plot.line("p99", "b", &p99);
    plot.shade(report.scenario.warmup_secs, "warm-up");
    for mark in &report.scenario.marks {
        plot.mark(mark.at_secs, &mark.what);
    }
    figure(
        "Latency over time",
        "By the time a message was meant for; the darker, the more arrivals",
        plot,
    )
}

fn cells(latencies: &Latencies) -> BTreeMap<i64, u64> {
    let mut cells = BTreeMap::new();
    for (us, count) in latencies.counted() {
        #[expect(clippy::cast_possible_truncation, reason = "a logarithm is small")]
        let cell = (float(us.max(1)).log2() * CELLS_PER_OCTAVE).floor() as i64;
        *cells.entry(cell).or_default() += count;
    }
    cells
}

#[expect(clippy::cast_precision_loss, reason = "the number of a cell is small")]
fn edge(cell: i64) -> f64 {
    (cell as f64 / CELLS_PER_OCTAVE).exp2()
}

/// Rows as a rate of something over time.
fn rate(report: &Report, of: impl Fn(&crate::book::Row) -> u64) -> Vec<(f64, f64)> {
    let row = float(report.timeline.row_ms) / 1000.0;
    // Several rows together, so that single messages do not make the line jump.
    let together = usize::try_from(1000 / report.timeline.row_ms.max(1)).unwrap_or(1).max(1);
    let chunks = report.timeline.rows.chunks(together);
    let mut points = Vec::new();
    let mut at = 0.0;
    for chunk in chunks {
        let time = row * float(chunk.len() as u64);
        let count: u64 = chunk.iter().map(&of).sum();
        points.push((at + time / 2.0, float(count) / time));
        at += time;
    }
    points
}

fn over_time(
    report: &Report,
    what: &str,
    lines: &[(&str, Vec<(f64, f64)>)],
    label: fn(f64) -> String,
) -> Plot {
    let points = lines.iter().flat_map(|(_, points)| points);
    let to = points.clone().map(|point| point.0).fold(0.0, f64::max);
    let most = points.map(|point| point.1).fold(0.0, f64::max);
    let mut plot =
        Plot::new(Axis::until("seconds", to, whole), Axis::linear(what, 0.0, most.max(1.0), label));
    plot.shade(report.scenario.warmup_secs, "warm-up");
    for mark in &report.scenario.marks {
        plot.mark(mark.at_secs, &mark.what);
    }
    for ((name, points), color) in lines.iter().zip(COLORS.iter().cycle()) {
        plot.line(name, color, points);
    }
    plot
}

fn throughput(report: &Report) -> String {
    let lines = [
        ("offered", rate(report, |row| row.offered)),
        ("accepted", rate(report, |row| row.accepted)),
    ];
    let says = format!(
        "Messages a second: {} offered, {} achieved",
        report.rate.offered, report.rate.achieved
    );
    figure("Offered and achieved", &says, over_time(report, "messages a second", &lines, whole))
}

fn arrivals(report: &Report) -> String {
    let lines = [("arrivals", rate(report, |row| row.heard))];
    let says = format!(
        "Arrivals a second at everybody, guests and warm-up included, each decrypted and compared octet for octet; \
         of measured messages at those who are owed them: {}",
        report.rate.deliveries
    );
    figure("Deliveries", &says, over_time(report, "arrivals a second", &lines, whole))
}

fn measures(report: &Report) -> Option<String> {
    let shown: Vec<_> = ["enter", "catchup", "epoch", "kick", "key", "seat", "start"]
        .iter()
        .filter_map(|name| Some((*name, report.measures.get(*name)?)))
        .filter(|(_, measured)| measured.us.count > 1)
        .take(COLORS.len())
        .collect();
    let most = shown.iter().map(|(_, of)| of.us.max).max()?;
    let least = shown.iter().map(|(_, of)| of.histogram.percentile(0.0)).min()?;
    let count = shown.iter().map(|(_, of)| of.us.count).max()?;
    let mut plot = Plot::new(
        nines(float(count)),
        Axis::log("time", float(least.max(1)) * 0.8, float(most) * 1.1, time),
    );
    for ((name, measured), color) in shown.iter().zip(COLORS) {
        plot.line(name, color, &curve(&measured.histogram));
    }
    Some(figure("Joining and the group", "What each word means is in the table below", plot))
}

fn usage(
    report: &Report,
    of: impl Fn(&crate::report::Usages, &str) -> Option<f64>,
) -> Vec<(String, Vec<(f64, f64)>)> {
    let names = report.timeline.usage.first().map(|first| first.cpu_percent.keys().cloned());
    let line = |name: String| {
        let samples = report.timeline.usage.iter();
        let points =
            samples.filter_map(|at| Some((float(at.at_ms) / 1000.0, of(at, &name)?))).collect();
        (name, points)
    };
    names.into_iter().flatten().map(line).collect()
}

fn cpu(report: &Report) -> String {
    // CPU time is counted in steps of 10 ms: over a second that is 1 %.
    let every = float(report.timeline.row_ms) / 1000.0;
    let lines: Vec<_> = usage(report, |at, name| at.cpu_percent.get(name).copied())
        .into_iter()
        .map(|(name, points)| (name, smooth(&points, 1.0 / every.max(0.001))))
        .collect();
    let lines: Vec<(&str, Vec<_>)> =
        lines.iter().map(|(name, points)| (name.as_str(), points.clone())).collect();
    let says = format!(
        "Percent of one CPU, of {}; the generator opens every message itself",
        report.environment.cpus
    );
    figure("CPU", &says, over_time(report, "percent", &lines, |at| format!("{at:.0} %")))
}

fn smooth(points: &[(f64, f64)], over: f64) -> Vec<(f64, f64)> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
    let over = over.max(1.0) as usize;
    let mean = |chunk: &[(f64, f64)]| {
        let count = float(chunk.len() as u64);
        let sum = |of: fn(&(f64, f64)) -> f64| chunk.iter().map(of).sum::<f64>() / count;
        (sum(|point| point.0), sum(|point| point.1))
    };
    points.chunks(over).map(mean).collect()
}

fn memory(report: &Report) -> String {
    let lines = usage(report, |at, name| Some(float(*at.rss_octets.get(name)?) / 1_048_576.0));
    let lines: Vec<(&str, Vec<_>)> =
        lines.iter().map(|(name, points)| (name.as_str(), points.clone())).collect();
    figure(
        "Memory",
        "Resident set in MiB",
        over_time(report, "MiB", &lines, |at| format!("{at:.0} MiB")),
    )
}

fn ramp_latency(report: &Report) -> String {
    let of = |figure: fn(&crate::latency::Figures) -> u64| -> Vec<(f64, f64)> {
        report
            .steps
            .iter()
            .map(|step| (step.offered, float(figure(&step.latency_us).max(1))))
            .collect()
    };
    let lines = [("p50", of(|of| of.p50)), ("p99", of(|of| of.p99)), ("p99.9", of(|of| of.p99_9))];
    let points = lines.iter().flat_map(|(_, points)| points);
    let (least, most) = points
        .fold((f64::MAX, 1.0_f64), |(least, most), point| (least.min(point.1), most.max(point.1)));
    let last = report.steps.last().map_or(1.0, |step| step.offered);
    let mut plot = Plot::new(
        Axis::until("messages a second offered", last, whole),
        Axis::log("latency", least * 0.8, most * 1.1, time),
    );
    for ((name, points), color) in lines.iter().zip(["c", "b", "d"]) {
        plot.line(name, color, points);
    }
    if let Some(knee) = report.knee {
        plot.mark(knee, "knee");
    }
    figure(
        "Latency by load",
        "Each step of the rate; behind the knee the system, or the generator, strains",
        plot,
    )
}

fn ramp_rate(report: &Report) -> String {
    let steps = || report.steps.iter();
    let last = report.steps.last().map_or(1.0, |step| step.offered);
    let mut plot = Plot::new(
        Axis::until("messages a second offered", last, whole),
        Axis::linear("messages a second", 0.0, last, whole),
    );
    plot.line(
        "offered",
        "a",
        &steps().map(|step| (step.offered, step.offered)).collect::<Vec<_>>(),
    );
    plot.line(
        "achieved",
        "b",
        &steps().map(|step| (step.offered, step.achieved)).collect::<Vec<_>>(),
    );
    if let Some(knee) = report.knee {
        plot.mark(knee, "knee");
    }
    figure("Achieved by load", "Where the lines part the system has fallen behind", plot)
}

fn whole(value: f64) -> String {
    if value >= 10_000.0 { format!("{:.0}k", value / 1000.0) } else { format!("{value}") }
}
