//! The counters, gauges and histograms of a process, in the text form that Prometheus reads.
//!
//! Names follow its conventions: base units (`_seconds`, `_bytes`), `_total` for counters, a help text. A name that
//! does not is our own mistake and ends the process at start-up. No room and no user ever goes into a label.
mod process;

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder, core::Collector, proto::MetricType,
};

/// Buckets for things that take microseconds to seconds.
pub const SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0,
];

/// Everything a process measures. Clones share one registry.
///
/// ```
/// let metrics = service::metrics::Metrics::new();
/// let messages = metrics.counter("mrfp_relayed_messages_total", "Messages given to at least one seat.");
/// messages.inc();
/// assert!(metrics.render().contains("mrfp_relayed_messages_total 1"));
/// ```
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    descriptions: Arc<Mutex<Vec<Description>>>,
}

/// What one metric is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Description {
    /// Its name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// What it means.
    pub help: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// With the build's name and the process's own figures.
    #[must_use]
    pub fn new() -> Self {
        let metrics = Self { registry: Registry::new(), descriptions: Arc::default() };
        let build = metrics.gauges(
            "conclave_build_info",
            "What runs here; always 1.",
            &["version", "commit", "rustc"],
        );
        let commit = option_env!("CONCLAVE_COMMIT").unwrap_or("unknown");
        let labels = [env!("CARGO_PKG_VERSION"), commit, env!("CONCLAVE_RUSTC")];
        build.with_label_values(&labels).set(1);
        metrics.register(process::Process, "");
        metrics
    }

    /// Every metric there can be, also those of which nothing has been counted yet, by name.
    #[must_use]
    pub fn describe(&self) -> Vec<Description> {
        let own = process::Process.collect().into_iter().map(|family| Description {
            name: family.name().to_owned(),
            kind: if family.get_field_type() == MetricType::COUNTER { COUNTER } else { GAUGE },
            labels: Vec::new(),
            help: family.help().to_owned(),
        });
        let mut all = self.descriptions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.extend(own);
        all.sort();
        all
    }

    /// A counter. Its name ends in `_total`.
    #[must_use]
    pub fn counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::with_opts(counter_opts(name, help)).expect(WELL_NAMED), COUNTER)
    }

    /// A counter for each value of some labels.
    #[must_use]
    pub fn counters(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(
            IntCounterVec::new(counter_opts(name, help), labels).expect(WELL_NAMED),
            COUNTER,
        )
    }

    /// A gauge of something whole.
    #[must_use]
    pub fn gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::with_opts(opts(name, help)).expect(WELL_NAMED), GAUGE)
    }

    /// A gauge for each value of some labels.
    #[must_use]
    pub fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(opts(name, help), labels).expect(WELL_NAMED), GAUGE)
    }

    /// A histogram, with [`SECONDS`] as buckets, or others.
    #[must_use]
    pub fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts { common_opts: opts(name, help), buckets: buckets.to_vec() };
        self.register(Histogram::with_opts(opts).expect(WELL_NAMED), HISTOGRAM)
    }

    /// A histogram for each value of some labels.
    #[must_use]
    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> HistogramVec {
        let opts = HistogramOpts { common_opts: opts(name, help), buckets: buckets.to_vec() };
        self.register(HistogramVec::new(opts, labels).expect(WELL_NAMED), HISTOGRAM)
    }

    fn register<C: Collector + Clone + 'static>(&self, collector: C, kind: &'static str) -> C {
        let described = collector.desc().into_iter().map(|desc| Description {
            name: desc.fq_name.clone(),
            kind,
            labels: desc.variable_labels.clone(),
            help: desc.help.clone(),
        });
        self.descriptions.lock().unwrap_or_else(PoisonError::into_inner).extend(described);
        self.registry
            .register(Box::new(collector.clone()))
            .expect("each metric is made once in a process");
        collector
    }

    /// All of it as text (Prometheus exposition format 0.0.4).
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        if let Err(error) = TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text) {
            tracing::warn!(%error, "metrics");
        }
        text
    }
}

const COUNTER: &str = "counter";
const GAUGE: &str = "gauge";
const HISTOGRAM: &str = "histogram";

const WELL_NAMED: &str = "names and labels of metrics are literals of ours";

fn counter_opts(name: &str, help: &str) -> Opts {
    assert!(name.ends_with("_total"), "the counter {name} must end in _total");
    opts(name, help)
}

fn opts(name: &str, help: &str) -> Opts {
    let odd_units = ["_ms", "_millis", "_milliseconds", "_us", "_micros", "_kb", "_mb", "_minutes"];
    let base = name.strip_suffix("_total").unwrap_or(name);
    let odd = odd_units.iter().any(|unit| base.ends_with(unit));
    assert!(!odd, "{name} is not in a base unit (seconds, bytes)");
    assert!(!help.is_empty(), "{name} has no help text");
    Opts::new(name, help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_and_the_process_are_always_there() {
        let text = Metrics::new().render();

        let version = env!("CARGO_PKG_VERSION");
        assert!(text.contains("conclave_build_info{commit="), "{text}");
        assert!(text.contains(&format!("version=\"{version}\"")), "{text}");
        for name in ["cpu_seconds_total", "resident_memory_bytes", "open_fds", "start_time_seconds"]
        {
            assert!(text.contains(&format!("\nprocess_{name} ")), "no {name} in {text}");
        }
    }

    #[test]
    fn a_metric_is_described_before_anything_is_counted() {
        let metrics = Metrics::new();
        let _refusals = metrics.counters("mrfp_refusals_total", "Turned down.", &["reason"]);

        let all = metrics.describe();

        let refusals = Description {
            name: "mrfp_refusals_total".into(),
            kind: "counter",
            labels: vec!["reason".into()],
            help: "Turned down.".into(),
        };
        assert!(all.contains(&refusals), "{all:?}");
        let cpu = all.iter().find(|metric| metric.name == "process_cpu_seconds_total").unwrap();
        assert_eq!(cpu.kind, "counter");
        assert!(all.is_sorted());
    }

    #[test]
    fn names_that_break_the_conventions_are_refused() {
        let refused = |name: &str, help: &str| {
            let (name, help) = (name.to_owned(), help.to_owned());
            std::thread::spawn(move || opts(&name, &help)).join().is_err()
        };

        assert!(refused("mrfp_relay_duration_ms", "How long."));
        assert!(refused("mrfp_wait_milliseconds_total", "How long."));
        assert!(refused("mrfp_sessions", ""));
        assert!(!refused("mrfp_rooms", "Rooms."));
        assert!(std::thread::spawn(|| counter_opts("mrfp_chunks", "Chunks.")).join().is_err());
    }
}
