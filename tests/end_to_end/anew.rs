//! A system that was started again with an empty database, and the devices that were there before: they come in, and nobody is
//! told that anybody was led apart.
use std::path::Path;

use super::chat::{enter, system};
use crate::common::Talk;

/// Alice and bob are in the lobby for some epochs, and write to each other; then the system begins anew.
fn begun_anew(folder: &Path) -> (Talk, impl Fn(&str, &str) -> Talk) {
    let (dev, chat) = system(folder);
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| enter(&chat, name));
    alice.until("bob joined");
    let mut dave = enter(&chat, "dave");
    for talk in [&mut alice, &mut bob] {
        talk.until("dave joined");
    }
    dave.say("/leave");
    alice.until("dave is out");
    alice.say("/tell bob before");
    bob.until("<alice to you, sealed> before");
    bob.say("/tell alice as well");
    alice.until("<bob to you, sealed> as well");
    assert!(alice.end() && bob.end());
    drop(dev);
    system(folder)
}

/// What everybody is shown until each has heard each, one after the other.
fn all_heard(talks: &mut [(&str, Talk)]) -> Vec<String> {
    let mut shown = Vec::new();
    for speaker in 0..talks.len() {
        let mut said = String::new();
        if let Some((name, talk)) = talks.get_mut(speaker) {
            said = format!("{name} is here");
            talk.say(&said);
        }
        for (at, (_, talk)) in talks.iter_mut().enumerate() {
            if at != speaker {
                shown.extend(talk.all_until(&said));
            }
        }
    }
    shown
}

fn nobody_was_led_apart(shown: &[String]) {
    assert!(!shown.iter().any(|line| line.contains("in another group")), "{shown:#?}");
}

#[test]
fn i4_who_comes_back_to_a_system_that_began_anew_is_not_told_of_people_led_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = begun_anew(folder.path());

    let mut bob = chat("lobby", "bob");
    let mut shown = bob.all_until("you hold the group key");
    let carol = enter(&chat, "carol");
    shown.extend(bob.all_until("carol joined"));
    let mut talks = [("bob", bob), ("carol", carol)];
    shown.extend(all_heard(&mut talks));

    nobody_was_led_apart(&shown);
}

#[test]
fn i4_who_comes_back_to_people_who_began_anew_is_not_told_that_they_were_led_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = begun_anew(folder.path());

    let [mut carol, erin] = ["carol", "erin"].map(|name| enter(&chat, name));
    carol.until("erin joined");
    let mut bob = chat("lobby", "bob");
    let mut shown = bob.all_until("you hold the group key");
    shown.extend(carol.all_until("bob joined"));
    let mut talks = [("carol", carol), ("erin", erin), ("bob", bob)];
    shown.extend(all_heard(&mut talks));

    nobody_was_led_apart(&shown);
}

#[test]
fn i4_people_who_wrote_to_each_other_before_a_system_began_anew_do_so_again_without_an_alarm() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = begun_anew(folder.path());
    let dev = folder.path().join("dev");

    // Bob comes with what he had, alice with a device that was never there.
    std::fs::rename(dev.join("state-alice"), dev.join("state-away")).unwrap();
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| enter(&chat, name));
    let mut shown = Vec::new();
    for text in ["again", "and again", "and once more"] {
        bob.say(&format!("/tell alice {text}"));
        shown.extend(alice.all_until(&format!("<bob to you, sealed> {text}")));
        alice.say(&format!("/tell bob {text}"));
        shown.extend(bob.all_until(&format!("<alice to you, sealed> {text}")));
    }

    nobody_was_led_apart(&shown);
}
