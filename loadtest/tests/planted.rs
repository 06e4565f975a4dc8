//! A relay that breaks what it carries is found out. Only in a build with faults on purpose:
//! `make planted`.
#![cfg(feature = "planted-faults")]
#![expect(clippy::unwrap_used, reason = "a run that prints no result should fail the test")]
use std::process::Command;

use serde_json::Value;

fn quick(plant: &str, e2ee: &str) -> (Option<i32>, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["quick", "--rooms", "2", "--members", "3", "--rate", "50", "--duration", "3s"])
        .args(["--warmup", "0s", "--patience", "2s", "--json", "--allow-not-valid", "--e2ee", e2ee])
        .env("PLANTED_FAULT", plant)
        .output()
        .unwrap();
    let json = serde_json::from_slice(&output.stdout);
    let json = json.unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), json)
}

#[test]
fn frames_that_the_relay_leaves_out_are_lost_in_the_rooms_in_which_they_were_missing() {
    assert_eq!(quick("", "off").0, Some(0));

    let (code, json) = quick("drop", "off");

    assert_eq!(code, Some(1), "{:#}", json["broken"]);
    // Of 300 arrivals one in fifty.
    assert_eq!(json["deliveries"]["lost"], 6, "{:#}", json["deliveries"]);
    let faulty = json["rooms"]["faulty"].as_array().unwrap();
    let lost: u64 = faulty.iter().map(|room| room["lost"].as_u64().unwrap()).sum();
    assert_eq!((faulty.is_empty(), lost), (false, 6), "{:#}", json["rooms"]);
}

#[test]
fn frames_that_the_relay_swaps_come_out_of_order() {
    let (code, json) = quick("swap", "off");

    assert_eq!(code, Some(1), "{:#}", json["broken"]);
    assert!(json["deliveries"]["reordered"].as_u64() > Some(0), "{:#}", json["deliveries"]);
}

#[test]
fn frames_of_another_room_are_misdelivered_and_the_right_ones_lost() {
    let (code, json) = quick("stray", "off");

    assert_eq!(code, Some(1), "{:#}", json["broken"]);
    assert!(json["deliveries"]["misdelivered"].as_u64() > Some(0), "{:#}", json["deliveries"]);
    assert!(json["deliveries"]["lost"].as_u64() > Some(0), "{:#}", json["deliveries"]);
}

#[test]
fn in_a_sealed_room_frames_of_another_room_cannot_be_opened() {
    let (code, json) = quick("stray", "on");

    assert_eq!(code, Some(1), "{:#}", json["broken"]);
    let deliveries = &json["deliveries"];
    assert!(deliveries["undecryptable"].as_u64() > Some(0), "{deliveries:#}");
    assert!(deliveries["lost"].as_u64() > Some(0), "{deliveries:#}");
    assert_eq!(deliveries["misdelivered"], 0, "{deliveries:#}");
}
