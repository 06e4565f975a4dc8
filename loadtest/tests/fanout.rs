//! `loadtest fanout` against a relay of its own: the executable, real sockets, few messages.
#![expect(clippy::unwrap_used, reason = "a run that prints no result should fail the test")]
use std::process::{Command, Output};

use serde_json::Value;

fn fanout(arguments: &[&str]) -> (Output, Value) {
    let small = ["fanout", "--receivers", "5", "--messages", "200", "--warmup", "0s", "--json"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    let output = command.args(small).args(arguments).output().unwrap();
    let json = serde_json::from_slice(&output.stdout);
    let json = json.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    (output, json)
}

#[test]
fn every_message_reaches_every_receiver_once_and_unchanged() {
    for arguments in [
        &["--window", "16"][..],
        &["--window", "1", "--octets", "5000"],
        &["--rate", "10000", "--shards", "2"],
    ] {
        let (output, json) = fanout(arguments);

        assert_eq!(output.status.code(), Some(0), "{arguments:?} {json:#}");
        assert_eq!(json["counts"]["sent"], 200, "{json:#}");
        assert_eq!(json["counts"]["delivered"], 1000, "{json:#}");
        assert_eq!(json["latency_us"]["count"], 1000, "{json:#}");
        assert!(json["rss_per_connection"].as_u64() > Some(1000), "{json:#}");
    }
}

#[test]
fn a_usage_error_ends_with_2_and_starts_nothing() {
    for arguments in [["--receivers", "0"], ["--octets", "15"], ["--rate", "0"], ["--window", "0"]]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
        let output = command.arg("fanout").args(arguments).output().unwrap();

        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
}
