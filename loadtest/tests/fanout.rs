//! `loadtest fanout` against a relay of its own: the executable, real sockets, few messages.
#![expect(clippy::unwrap_used, reason = "a run that prints no result should fail the test")]
mod schema;

use std::process::{Command, Output};

use serde_json::Value;

fn fanout(arguments: &[&str]) -> (Output, Value) {
    let small = [
        "fanout",
        "--receivers",
        "5",
        "--messages",
        "200",
        "--warmup",
        "0s",
        "--json",
        "--allow-not-valid",
    ];
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
        let schema = include_str!("../schema/fanout-1.json").parse().unwrap();
        assert_eq!(schema::breaches(&schema, &json), Vec::<String>::new());
        assert_eq!(json["counts"]["sent"], 200, "{json:#}");
        assert_eq!(json["counts"]["delivered"], 1000, "{json:#}");
        assert_eq!(json["latency_us"]["count"], 1000, "{json:#}");
        assert!(json["rss_per_connection"].as_u64() > Some(1000), "{json:#}");
    }
}

#[test]
fn a_closed_loop_is_said_to_be_one() {
    let told = |arguments: &[&str]| {
        let small = ["fanout", "--receivers", "2", "--messages", "20", "--warmup", "0s"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
        let output = command.args(small).arg("--allow-not-valid").args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap().contains("coordinated omission")
    };

    assert!(told(&["--window", "4"]));
    assert!(!told(&["--rate", "1000"]));
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

#[test]
fn what_a_switch_breaks_is_found() {
    let bare = ["--against", "bare"];
    assert_eq!(fanout(&bare).0.status.code(), Some(0));
    for (plant, [delivered, lost, duplicated, corrupt]) in
        [("flip", [999, 0, 0, 1]), ("drop", [999, 1, 0, 0]), ("double", [1000, 0, 1, 0])]
    {
        for plain in [&[][..], &["--plain"]] {
            let (output, json) = fanout(&[&bare[..], &["--plant", plant], plain].concat());

            assert_eq!(output.status.code(), Some(1), "{json:#}");
            let counts = &json["counts"];
            assert_eq!(counts["delivered"], delivered, "{plant} {json:#}");
            assert_eq!(counts["lost"], lost, "{plant} {json:#}");
            assert_eq!(counts["duplicated"], duplicated, "{plant} {json:#}");
            assert_eq!(counts["corrupt"], corrupt, "{plant} {json:#}");
        }
    }
}
