//! `conclave chat`: commands that need somebody else to be there, or another device of one's own.
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use super::chat::{enter, system, system_with};
use crate::common::CONCLAVE;

#[test]
fn a_new_device_shows_a_code_and_comes_in_when_that_is_typed_on_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let confirmed = [("MRFC_ISSUER__NEW_DEVICES", "confirmed")];
    let (_dev, chat) = system_with(folder.path(), &confirmed);
    let mut alice = enter(&chat, "alice");
    let [dev, other] = ["dev", "other"].map(|name| folder.path().join(name).display().to_string());
    let words = ["chat", "lobby", "--as", "alice", "--plain", "--folder", &dev, "--state", &other];
    let mut second = Command::new(CONCLAVE);
    second.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut second = second.spawn().unwrap();
    let lines = BufReader::new(second.stderr.take().unwrap()).lines().map(Result::unwrap);
    let told = { lines }.find(|line| line.contains("this device waits for another one")).unwrap();
    let code = told.rsplit_once("type there: ").unwrap().1;

    alice.say("/confirm 00000 00000 00000 00000");
    alice.until("! /confirm: no device of yours waits with this code");
    alice.say(code);

    let known = alice.until("* urn:uuid:");
    assert!(known.ends_with(" is yours now"), "{known}");
    let lines = BufReader::new(second.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!({ lines }.any(|line| line.contains("you hold the group key")));
    // Whoever has let it in is not told of it as of something new.
    let shown = alice.all_until("another device of alice joined");
    assert!(!shown.iter().any(|line| line.contains("new device")), "{shown:?}");
    drop(second.stdin.take());
    assert!(second.wait().unwrap().success());
    assert!(alice.end());
}

#[test]
fn only_what_says_so_goes_out_without_a_seal_and_shows_it_on_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| enter(&chat, name));
    alice.until("bob joined");

    for (line, sealed) in [
        ("/tell --clear bob by tell", false),
        ("/page bob by page", false),
        ("/tell bob by tell --clear", true),
    ] {
        let text = line.rsplit_once("bob ").unwrap().1;
        let seal = if sealed { "sealed" } else { "not sealed" };
        alice.say(line);
        alice.until(&format!("* bob has it, {seal}"));
        bob.until(&format!("<alice to you, {seal}> {text}"));
    }
    alice.say("/accept bob");
    alice.until("* bob has no device that waits to be accepted");
    alice.say("/verified bob");
    alice.until("* bob is verified");
    alice.say("/unverify bob");
    alice.until("* bob is not verified any more");
    alice.say("/unverify bob");
    alice.until("! /unverify bob: bob is not verified; nothing has changed");
    assert!(alice.end() && bob.end());
}

#[test]
fn a_long_line_goes_out_whole_or_is_refused_with_a_way_to_send_it() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| enter(&chat, name));
    alice.until("bob joined");

    let long = "y".repeat(60_000);
    alice.say(&long);
    bob.until(&format!("<alice> {long}"));
    alice.say(&format!("/tell bob {long}"));
    bob.until(&format!("<alice to you, sealed> {long}"));
    for octets in [64 * 1024, 64 * 1024 + 1, 1 << 20] {
        for command in ["", "/tell bob "] {
            alice.say(&format!("{command}{}", "z".repeat(octets - command.len())));
            let refused = alice.until("! ");
            assert!(refused.ends_with("send it as a file"), "{octets}: {refused}");
        }
    }
    alice.say("and then");
    let shown = bob.all_until("<alice> and then");
    assert!(!shown.iter().any(|line| line.contains('z')), "{shown:?}");
    assert!(alice.end() && bob.end());
}

#[test]
fn a_nickname_is_told_to_the_others_and_nobody_is_put_out_by_it_but_whom_to_name_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| enter(&chat, name));
    alice.until("bob joined");

    bob.say("/nick Jay");
    bob.until("* you are known as Jay");
    alice.until("* bob is now called Jay");
    for line in ["/mute Jay", "/moderator Jay", "/ban Jay", "/kick Jay"] {
        alice.say(line);
        alice.until(&format!("! {line}: name bob, who is called so here"));
    }
    bob.say("/nick");
    alice.until("* bob is not called Jay any more");
    alice.say("/kick bob");
    alice.until("* bob is removed, and comes back only when invited");
    assert_eq!(bob.child.wait().unwrap().code(), Some(6));
    assert!(alice.end());
}

#[test]
fn a_device_that_is_kept_nowhere_leaves_everything_when_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| enter(&chat, name));
    let mut second = chat("lobby", "bob");
    let told = second.until("! bob chats somewhere else already");
    assert!(told.contains("leaves everything then"), "{told}");
    second.until("you hold the group key");
    second.say("/tell alice from here, too");
    alice.until("<bob to you, sealed> from here, too");

    assert!(second.end());

    alice.until("a device of bob is out");
    bob.say("/devices");
    let listed = [(); 2].map(|()| bob.until("  urn:uuid:"));
    let gone = listed.iter().filter(|line| line.ends_with(": taken back")).count();
    assert_eq!(gone, 1, "{listed:?}");
    // Outside of the room, too: what is verified there counts one device.
    alice.say("/tell bob only here");
    bob.until("<alice to you, sealed> only here");
    alice.say("/verify bob");
    let shown = alice.all_until("if bob sees the same");
    assert!(!shown.iter().any(|line| line.contains("2 devices")), "{shown:?}");
    assert!(alice.end() && bob.end());
}

#[test]
fn a_device_that_nobody_accepted_holds_what_is_said_also_after_a_restart_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| enter(&chat, name));
    alice.until("bob joined");
    alice.say("/verified bob");
    alice.until("* bob is verified");
    let mut second = enter(&chat, "bob");
    alice.until("! bob has a new device");

    let file = folder.path().join("note.txt");
    std::fs::write(&file, "a note").unwrap();
    alice.say(&format!("/file {}", file.display()));
    alice.until("goes out as soon as it may");
    alice.say("/verify bob");
    alice.until("* you and bob (2 devices): ");
    alice.say("is it you?");
    alice.say("/tell bob are you there?");
    alice.until("! not sent yet: bob has a device that you have not accepted");
    alice.say("/quit");
    // What waited for a person to look is gone with the chat, and they hear so.
    let told =
        alice.until("! 3 things that you said or sent were held until you accept a device of bob");
    assert!(told.ends_with("nobody has it, and it is gone now"), "{told}");
    assert_eq!(alice.child.wait().unwrap().code(), Some(1));

    let mut alice = enter(&chat, "alice");
    alice.say("are you still both bob?");
    alice.until("! not sent yet: bob has a device that you have not accepted");
    alice.say("/accept bob");
    bob.until("<alice> are you still both bob?");
    second.until("<alice> are you still both bob?");
}
