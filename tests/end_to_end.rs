//! The whole system by its own commands: real processes, real sockets, and an exit code that tells the truth.
#![expect(clippy::unwrap_used, reason = "a test whose system does not start should fail")]
#[path = "end_to_end/anew.rs"]
mod anew;
#[path = "end_to_end/answers.rs"]
mod answers;
#[path = "end_to_end/chat.rs"]
mod chat;
#[path = "end_to_end/commands.rs"]
mod commands;
mod common;
#[path = "end_to_end/files.rs"]
mod files;
#[path = "end_to_end/operate.rs"]
mod operate;
#[path = "common/picture.rs"]
mod picture;
#[path = "end_to_end/shares.rs"]
mod shares;

use std::process::{Command, Output};

use common::{CONCLAVE, Talk};
use serde_json::Value;

fn demo(plant: &[&str]) -> (Output, Value) {
    let output = Command::new(CONCLAVE).args(["demo", "--json"]).args(plant).output().unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {} {}", text(&output.stdout), text(&output.stderr));
    });
    (output, report)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// S1-13, S3-04, S3-05, S3-11, S3-30.
#[test]
fn the_demo_keeps_every_promise() {
    let (output, report) = demo(&[]);

    assert!(output.status.success(), "{report:#}\n{}", text(&output.stderr));
    assert_eq!(report["broken"].as_array().unwrap().len(), 0);
    assert_eq!(report["messages"]["lost"], 0);
    assert_eq!(report["messages"]["duplicated"], 0);
    assert_eq!(report["server_saw_plaintext"], false);
    assert_eq!(report["removed_member_read_after_removal"], 0);
    assert_eq!(report["newcomer_read_before_joining"], 0);
    assert_eq!(report["members"], 5);
    assert_eq!(report["file"]["bytes"], 5 * 1024 * 1024);
    assert_eq!(report["file"]["sha256_sent"], report["file"]["sha256_received"]);
    let deferred = &report["deferred"];
    assert_eq!(deferred["stored_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(deferred["stored_sha256"], deferred["sent_sha256"]);
    assert_eq!(deferred["delivered_sha256"], deferred["sent_sha256"]);
    let sealed = &report["deferred_sealed"];
    assert_eq!(sealed["stored_sha256"].as_str().unwrap().len(), 64);
    assert_eq!(sealed["stored_sha256"], sealed["sent_sha256"]);
    assert_eq!(sealed["read"], true);
    let caught_up = &report["caught_up"];
    // Three before erin comes in, and then four of each of the four who are there.
    assert_eq!((&caught_up["messages"], &caught_up["missed"]), (&19.into(), &0.into()));
    assert_eq!(caught_up["epochs"], 1, "{report:#}");
    assert_eq!(caught_up["sha256_back"], caught_up["sha256_there"]);
    assert!(report["messages"]["delivered"].as_u64().unwrap() > 100, "{report:#}");
    assert!(report["elapsed_ms"].as_u64().unwrap() > 0);
}

#[test]
fn the_demo_fails_when_the_servers_see_plaintext() {
    let (output, report) = demo(&["--plant", "open-room"]);

    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["server_saw_plaintext"], true, "{report:#}");
}

#[test]
fn the_demo_fails_when_a_member_said_to_be_removed_still_reads() {
    let (output, report) = demo(&["--plant", "no-kick"]);

    assert_eq!(output.status.code(), Some(1));
    assert_ne!(report["removed_member_read_after_removal"], 0, "{report:#}");
}

#[test]
fn two_people_chat_through_pipes_on_a_system_kept_by_dev() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("dev").display().to_string();
    let mut dev = Talk::start(&["dev", "--sip", "127.0.0.1:0", "--folder", &folder]);
    dev.until("ready in");
    let chat =
        |name: &str| Talk::start(&["chat", "lobby", "--as", name, "--plain", "--folder", &folder]);

    let mut alice = chat("alice");
    alice.until("you hold the group key");
    let mut bob = chat("bob");
    bob.until("you hold the group key");
    alice.until("bob joined");
    alice.say("hello, bob");
    bob.until("<alice> hello, bob");
    bob.say("hello, alice");
    alice.until("<bob> hello, alice");
    alice.say("/kick bob");
    bob.until("the conference ended for you");
    alice.until("bob is out");
    assert!(alice.end());

    // Who comes back on the same device is the same member, with the keys it had.
    let mut alice = chat("alice");
    alice.until("you hold the group key as before");
    alice.say("/who");
    alice.until("* 1 device in epoch");
    assert!(alice.end());

    // A system started anew in the same folder begins anew.
    drop(dev);
    let mut dev = Talk::start(&["dev", "--sip", "127.0.0.1:0", "--folder", &folder]);
    dev.until("ready in");
    let mut alice = chat("alice");
    alice.until("you hold the group key (epoch 0)");
    assert!(alice.end());
}
