//! Keeps docs/metrics.md true to what the servers export: the page is made from the help texts. `UPDATE=1 cargo test
//! --test metrics` writes it anew.
#![expect(clippy::unwrap_used, reason = "a test that cannot read the tree should fail")]
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use service::metrics::Description;

fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Each server shows these at `/metrics` of its operations port (`ops.listen`), for Prometheus. Units are seconds and bytes.\n\
         No room and no user is ever a label. What every process has (`conclave_`, `process_`) comes first.\n\n\
         This page is made from the help texts in `mrfc/src/metrics.rs` and `mrfp/src/metrics.rs`.\n",
    );
    let (focus, relay) = (mrfc::metrics(), mrfp::metrics());
    let of = |all: &[Description], server: &str| -> Vec<Description> {
        all.iter().filter(|metric| metric.name.starts_with(server)).cloned().collect()
    };
    let own =
        |metric: &&Description| !["mrfc_", "mrfp_"].iter().any(|s| metric.name.starts_with(s));
    let common: Vec<Description> = relay.iter().filter(own).cloned().collect();
    for (title, metrics) in
        [("both", common), ("mrfc", of(&focus, "mrfc_")), ("mrfp", of(&relay, "mrfp_"))]
    {
        write!(page, "\n## {title}\n\n| name | kind | labels | meaning |\n|---|---|---|---|\n")
            .unwrap();
        for Description { name, kind, labels, help } in metrics {
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            writeln!(page, "| `{name}` | {kind} | {} | {help} |", labels.join(" ")).unwrap();
        }
    }
    page
}

#[test]
fn the_page_names_what_the_servers_export() {
    let path = root().join("docs/metrics.md");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, page()).unwrap();
    }

    let written = fs::read_to_string(&path).unwrap_or_default();

    assert!(
        written == page(),
        "docs/metrics.md is out of date: UPDATE=1 cargo test --test metrics"
    );
}

#[test]
fn no_label_names_a_room_or_a_user() {
    let barred =
        ["room", "user", "aor", "conference", "device", "session", "address", "peer", "uri"];
    for metric in mrfc::metrics().into_iter().chain(mrfp::metrics()) {
        for label in &metric.labels {
            assert!(!barred.contains(&label.as_str()), "{} has the label {label}", metric.name);
        }
    }
}

#[test]
fn dashboards_and_alerts_would_find_the_names_operators_know() {
    let wanted = [
        "conclave_build_info",
        "mrfp_sessions",
        "mrfp_connections",
        "mrfp_sessions_opened_total",
        "mrfp_sessions_closed_total",
        "mrfp_relayed_chunks_total",
        "mrfp_relayed_bytes_total",
        "mrfp_relayed_messages_total",
        "mrfp_relay_duration_seconds",
        "mrfp_write_queue_bytes",
        "mrfp_slow_consumers",
        "mrfp_slow_consumer_disconnects_total",
        "mrfp_dropped_chunks_total",
        "mrfp_parse_errors_total",
        "mrfp_drain_state",
        "mrfp_drain_sessions_remaining",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ];
    let exported = mrfp::metrics();
    for name in wanted {
        assert!(exported.iter().any(|metric| metric.name == name), "nothing is called {name}");
    }
}

#[test]
fn figures_of_the_relay_tell_transports_directions_and_reasons_apart() {
    let labels: [(&str, &[&str]); 8] = [
        ("mrfp_sessions", &["transport"]),
        ("mrfp_connections", &["transport"]),
        ("mrfp_sessions_opened_total", &["transport"]),
        ("mrfp_sessions_closed_total", &["reason"]),
        ("mrfp_relayed_chunks_total", &["direction", "transport"]),
        ("mrfp_relayed_bytes_total", &["direction", "transport"]),
        ("mrfp_slow_consumer_disconnects_total", &["reason"]),
        ("mrfp_dropped_chunks_total", &["reason"]),
    ];
    let exported = mrfp::metrics();
    for (name, wanted) in labels {
        let found = exported.iter().find(|metric| metric.name == name).unwrap();
        assert_eq!(found.labels, wanted, "{name}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
