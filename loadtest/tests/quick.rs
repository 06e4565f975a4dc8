//! `loadtest quick` against a real system of its own: the executable, real servers, real devices, few messages.
#![expect(clippy::unwrap_used, reason = "a run that prints no result should fail the test")]
use std::process::{Command, Output};

use serde_json::Value;

mod schema;

fn quick(arguments: &[&str]) -> Output {
    let small = [
        "quick",
        "--rooms",
        "2",
        "--members",
        "3",
        "--rate",
        "20",
        "--duration",
        "2s",
        "--warmup",
        "0.5s",
        // Other tests run beside this one.
        "--allow-not-valid",
    ];
    Command::new(env!("CARGO_BIN_EXE_loadtest")).args(small).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_result_that_could_not_be_written_is_not_measured_first() {
    let output = quick(&["--html", "/nowhere/at/all.html"]);

    let told = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("/nowhere/at/all.html") && !told.contains("starting"), "{told}");
}

#[test]
fn every_message_arrives_once_and_the_json_follows_its_schema() {
    let output = quick(&["--json", "--threshold", "loss=0,dup=0"]);
    let json: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", stderr(&output)));
    let schema: Value = serde_json::from_str(include_str!("../schema/report-2.json")).unwrap();

    assert_eq!(schema::breaches(&schema, &json), Vec::<String>::new());
    assert_eq!(output.status.code(), Some(0), "{json:#}\n{}", stderr(&output));
    assert_eq!(json["messages"]["accepted"], 50, "{json:#}");
    let counts = &json["deliveries"];
    assert_eq!(
        (&counts["delivered"], &counts["lost"], &counts["duplicated"]),
        (&100.into(), &0.into(), &0.into())
    );
    assert_eq!(json["latency_us"]["count"], 80, "{json:#}");
    assert!(json["latency_us"]["p99"].as_u64() >= json["latency_us"]["p50"].as_u64(), "{json:#}");
    assert!(
        json["servers"]
            .as_array()
            .unwrap()
            .iter()
            .all(|server| server["rss_octets"].as_u64() > Some(0)),
        "{json:#}"
    );
    let relay = &json["servers"][1]["relay"];
    // One for each measured message, less those that went while the relay was looked at when the warm-up ended.
    assert!(relay["chunks"].as_u64() >= Some(30), "{json:#}");
    assert!(relay["p50_us"].as_u64() >= Some(1), "{json:#}");
}

#[test]
fn a_threshold_that_cannot_be_met_ends_with_99() {
    let output = quick(&["--threshold", "p50<1us"]);

    assert_eq!(output.status.code(), Some(99), "{}", stderr(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("MISS p50<1us"));
}

#[test]
fn progress_goes_to_standard_error_line_by_line() {
    let output = quick(&["--interval", "500ms"]);

    let lines = stderr(&output).lines().filter(|line| line.contains("under way")).count();
    assert!(lines >= 2, "{}", stderr(&output));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("under way"));
}

/// `script` gives a command a terminal; it is part of every Debian.
#[test]
fn on_a_terminal_progress_is_a_bar_with_rates_and_the_health_of_the_generator() {
    let loadtest = env!("CARGO_BIN_EXE_loadtest");
    let small = "--rooms 1 --members 2 --rate 20 --duration 3s --warmup 0s --interval 500ms";
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command"])
        .arg(format!("{loadtest} quick {small} --allow-not-valid"))
        .arg("/dev/null")
        .env("TERM", "xterm")
        .output()
        .unwrap();

    let screen = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{screen}");
    for part in ["█", "2 of 3 s", "offered 20/s  achieved 2", "latency p50 ", "generator lag p99 "]
    {
        assert!(screen.contains(part), "{part:?} is not in {screen}");
    }
    // The bar makes room for the result.
    let (_, result) = screen.rsplit_once("generator lag p99 ").unwrap();
    assert!(result.contains("delivered"), "{result}");
}

#[test]
fn a_usage_error_ends_with_2_and_starts_nothing() {
    for arguments in [["--members", "1"], ["--rate", "0"], ["--size", "7"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .arg("quick")
            .args(arguments)
            .output()
            .unwrap();

        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(output.stdout.is_empty());
    }
}
