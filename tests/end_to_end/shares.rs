//! `/file`, `/send` and `/get` of `conclave chat` where not everybody is there, and where somebody has two devices.
use std::path::Path;
use std::process::{Command, Stdio};

use super::chat::{enter, system};
use crate::common::{CONCLAVE, Talk};

/// Fetches the one of this name; where it is.
fn fetched(talk: &mut Talk, name: &str) -> String {
    talk.say(&format!("/get {name}"));
    let line = talk.until(&format!("* {name} of alice, sealed, is saved as "));
    line.rsplit("saved as ").next().unwrap().to_owned()
}

fn written(folder: &Path) -> String {
    let path = folder.join("plan.txt");
    std::fs::write(&path, "the plan").unwrap();
    path.display().to_string()
}

#[test]
fn f14_a_small_file_for_the_room_reaches_who_is_away_also_when_its_author_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let [mut alice, bob, mut carol] = ["alice", "bob", "carol"].map(|name| enter(&chat, name));
    let plan = written(folder.path());
    assert!(bob.end());
    alice.until("* bob is away");

    alice.say(&format!("/file {plan}"));

    let told = alice.until("* everybody is told of plan.txt, and /get fetches it: ");
    assert!(told.ends_with("bob is away, and would miss it otherwise"), "{told}");
    carol.until("* alice has plan.txt for you (8 octets), sealed: /get plan.txt");
    alice.until("* plan.txt waits in your mailbox for who wants it, sealed");
    assert!(alice.end());
    let mut bob = chat("lobby", "bob");
    bob.until("* alice has plan.txt for you (8 octets), sealed: /get plan.txt");
    assert_eq!(std::fs::read_to_string(fetched(&mut bob, "plan.txt")).unwrap(), "the plan");

    // It comes by itself where nobody is away.
    let mut alice = enter(&chat, "alice");
    alice.say(&format!("/file {plan}"));
    alice.until("with who is here");
    for talk in [&mut bob, &mut carol] {
        talk.until("* alice shared plan.txt (8 octets); saved as ");
    }
    assert!(alice.end() && bob.end() && carol.end());
}

#[test]
fn f14_who_has_a_file_on_one_device_is_not_told_on_the_other_one_that_they_have_it_not() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| enter(&chat, name));
    let mut second = enter(&chat, "alice");
    alice.until("another device of alice joined");
    let plan = written(folder.path());

    second.say(&format!("/send bob {plan}"));
    bob.until("* alice has plan.txt for you");
    assert_eq!(std::fs::read_to_string(fetched(&mut bob, "plan.txt")).unwrap(), "the plan");
    second.until("* bob has got plan.txt (8 octets), sealed");

    bob.say("/page alice thank you");
    let shown = alice.all_until("thank you");
    assert!(!shown.iter().any(|line| line.contains("asked for a file")), "{shown:?}");
    assert!(alice.end() && bob.end() && second.end());
}

#[test]
fn a_folder_that_can_keep_no_received_file_is_refused_before_one_can_come() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let mut alice = enter(&chat, "alice");
    let file = written(folder.path());
    let dev = folder.path().join("dev").display().to_string();

    for bad in [&*file, "/proc/downloads"] {
        for command in [&["chat", "lobby", "--plain"][..], &["receive"]] {
            let words = ["--as", "bob", "--folder", &dev, "--downloads", bad];
            let mut bob = Command::new(CONCLAVE);
            let refused = bob.args(command).args(words).stdin(Stdio::null()).output().unwrap();

            let told = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(1), "{bad}: {told}");
            assert!(told.contains("received files cannot be kept: "), "{told}");
            assert!(told.contains(&format!("where  {bad}")), "{told}");
            assert!(told.contains("mend   name a folder that you can write to"), "{told}");
        }
    }

    // Nobody came in, and one that is not there yet is made.
    alice.say("/who");
    let shown = alice.all_until("sip:alice@localhost: here");
    assert!(!shown.iter().any(|line| line.contains("bob")), "{shown:?}");
    let new = folder.path().join("new/downloads");
    let place = new.display().to_string();
    let words =
        ["chat", "lobby", "--as", "bob", "--plain", "--folder", &dev, "--downloads", &place];
    let mut bob = Talk::start(&words);
    bob.until("you hold the group key");
    alice.until("bob joined");
    alice.say(&format!("/file {file}"));
    let told = bob.until("* alice shared plan.txt (8 octets); saved as ");
    assert!(told.ends_with(&new.join("plan.txt").display().to_string()), "{told}");
    assert!(alice.end() && bob.end());
}

#[test]
fn f14_whose_chat_is_killed_while_a_file_leaves_is_told_so_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let mut alice = enter(&chat, "alice");
    assert!(enter(&chat, "bob").end());
    let large = folder.path().join("large.bin");
    std::fs::write(&large, vec![7; 64 << 20]).unwrap();

    alice.say(&format!("/send bob {}", large.display()));
    alice.until("* large.bin is sealed for bob, who is away");
    alice.child.kill().unwrap();
    alice.child.wait().unwrap();

    let mut alice = chat("lobby", "alice");
    alice.until(
        "! large.bin was not in the mailbox of bob yet when the chat was stopped: /send bob it again",
    );
    let plan = written(folder.path());
    alice.say(&format!("/send bob {plan}"));
    alice.until("* plan.txt waits in the mailbox of bob, sealed");
    assert!(alice.end());
    // What has left, and what was told, is not told again.
    let mut alice = enter(&chat, "alice");
    alice.say("/who");
    let shown = alice.all_until("sip:alice@localhost: here");
    assert!(!shown.iter().any(|line| line.contains("when the chat was stopped")), "{shown:?}");
    assert!(alice.end());
}
