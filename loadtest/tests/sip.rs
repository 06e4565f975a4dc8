//! `loadtest sip` against a focus of its own: the executable, real sockets, few calls.
#![expect(clippy::unwrap_used, reason = "a run that prints no result should fail the test")]
mod schema;

use std::process::{Command, Output};

use serde_json::Value;

fn sip(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    let small = ["sip", "--registrations", "12", "--conferences", "4", "--calls", "40"];
    let beside = ["--messages", "50", "--warmup", "0s", "--unpinned", "--allow-not-valid"];
    command.args(small).args(beside).args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = sip(arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn calls_are_made_and_ended_and_nothing_is_left_of_them() {
    let schema = include_str!("../schema/sip-1.json").parse().unwrap();
    for (arguments, offered) in
        [(["--rate", "100"], 100.0.into()), (["--window", "4"], Value::Null)]
    {
        let json = json(&[arguments[0], arguments[1], "--json"]);

        assert_eq!(schema::breaches(&schema, &json), Vec::<String>::new());
        assert!(json["calls"].as_u64() >= Some(40), "{json:#}");
        assert_eq!(json["offered_per_second"], offered, "{json:#}");
        assert_eq!(json["lag"]["count"], json["invite"]["count"], "{json:#}");
        let left = json["left"].as_array().unwrap();
        assert!(left.len() == 4 && left.iter().all(|table| table[1] == 0), "{json:#}");
    }
}

#[test]
fn a_phone_is_in_one_call_at_a_time_and_calls_for_which_there_is_none_are_told_of() {
    let output = sip(&["--window", "9"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("there are 8"), "{told}");

    // So many a second that eight phones cannot make them.
    let json = json(&["--rate", "100000", "--json"]);
    assert!(json["dropped"].as_u64() > Some(0), "{json:#}");
    let why = json["not_valid"].as_str().unwrap();
    assert!(why.contains("--registrations"), "{why}");
}

#[test]
fn a_closed_loop_is_said_to_be_one_and_an_open_one_says_what_was_offered() {
    let told = |arguments| String::from_utf8(sip(arguments).stdout).unwrap();

    let (closed, open) = (told(&["--window", "4"]), told(&["--rate", "100"]));

    assert!(closed.contains("coordinated omission"), "{closed}");
    assert!(open.contains("offered  100 a second") && !open.contains("omission"), "{open}");
}
