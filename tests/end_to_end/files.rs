//! `conclave send` and `conclave receive`: a file goes from one program to another, and neither claims what is not so.
use crate::common::{CONCLAVE, Talk};
use std::process::{Command, Stdio};

#[test]
fn f14_a_file_goes_from_one_terminal_to_another_and_a_refusal_is_a_failure() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("dev").display().to_string();
    let mut dev = Talk::start(&["dev", "--sip", "127.0.0.1:0", "--folder", &folder]);
    dev.until("ready in");
    let content: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    let path = temporary.path().join("report.bin");
    std::fs::write(&path, &content).unwrap();
    let path = path.display().to_string();
    let send = |name: &str, more: &[&str]| {
        let mut send = Command::new(CONCLAVE);
        let to = if more.contains(&"--to") { &[][..] } else { &["--to", "bob"] };
        send.args(["send", &path, "--as", name, "--folder", &folder]).args(to).args(more);
        send.output().unwrap()
    };

    // Nobody is there, and nothing can be sealed for somebody who never was.
    for (more, why) in [
        (&["--clear"][..], "bob is away, and only what is sealed waits"),
        (&[], "has no keys"),
        (&["--clear", "--to", "bbo"], "nobody of the name bbo is known here"),
        (&["--to", "bbo"], "nobody of the name bbo is known here"),
    ] {
        let absent = send("alice", more);
        assert_eq!(absent.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&absent.stderr).contains(why), "{absent:?}");
    }

    // What waits for him comes to whatever he starts first, and is not lost.
    let mut alice =
        Talk::start(&["chat", "lobby", "--as", "alice", "--plain", "--folder", &folder]);
    alice.say("/page bob a file is coming");
    alice.until("it waits in the mailbox");
    assert!(alice.end());
    let only = ["receive", "--as", "bob", "--from", "alice", "--count", "2", "--folder", &folder];
    let mut bob = Talk::start(&only);
    bob.until("waiting for 2 file(s)");
    bob.until("a file is coming");
    let stranger = send("carol", &[]);
    assert_eq!(stranger.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("603"), "{stranger:?}");
    for (more, seal) in [(&[][..], "sealed"), (&["--clear"], "not sealed")] {
        let sent = send("alice", more);
        let said = String::from_utf8_lossy(&sent.stdout).into_owned();
        assert!(sent.status.success(), "{sent:?}");
        let words =
            format!("sent report.bin, {seal}: 2000000 octets, the receiver has compared it");
        assert!(said.contains(&words), "{said}");
        let from = "from sip:alice@localhost: saved as ";
        let line = bob.until(&format!("received report.bin, {seal}, {from}"));
        let saved = line.rsplit("saved as ").next().unwrap();
        assert!(std::fs::read(saved).unwrap() == content, "it arrived changed");
    }
    assert!(bob.end());

    // A signal ends it in order, with what it has not got.
    let mut waiting = Talk::start(&["receive", "--as", "bob", "--folder", &folder]);
    waiting.until("waiting for 1 file(s)");
    let id = waiting.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(waiting.child.wait().unwrap().code(), Some(1));
}

/// What a command shows on a terminal, as the program `script` makes one.
fn on_a_terminal(arguments: &str) -> Command {
    let command = format!("stty rows 24 cols 100; exec {CONCLAVE} {arguments}");
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).env("TERM", "xterm").env("SHELL", "/bin/sh");
    script.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    script
}

#[test]
fn f14_on_a_terminal_both_sides_see_how_far_a_file_is_and_elsewhere_there_is_no_bar() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("dev").display().to_string();
    let mut dev = Talk::start(&["dev", "--sip", "127.0.0.1:0", "--folder", &folder]);
    dev.until("ready in");
    let path = temporary.path().join("film.bin");
    std::fs::write(&path, vec![7; 40 << 20]).unwrap();
    let send = format!("send {} --to bob --as alice --clear --folder {folder}", path.display());

    let receive = on_a_terminal(&format!("receive --as bob --folder {folder}")).spawn().unwrap();
    // He is not there at once.
    let sent = loop {
        let sent = on_a_terminal(&send).output().unwrap();
        if sent.status.success() {
            break sent;
        }
    };
    let received = receive.wait_with_output().unwrap();

    for (shown, over) in [(&sent.stdout, "sent film.bin"), (&received.stdout, "received film.bin")]
    {
        let shown = String::from_utf8_lossy(shown);
        assert!(shown.contains(over), "{shown}");
        // Its name, how much of how much, and how fast.
        let bar = |line: &str| {
            line.contains("film.bin") && line.contains("/40.00 MiB") && line.contains("/s")
        };
        assert!(shown.split(['\r', '\n']).any(bar), "{shown}");
    }
    let mut bob = Talk::start(&["receive", "--as", "bob", "--folder", &folder]);
    bob.until("waiting for 1 file(s)");
    let plain = Command::new(CONCLAVE).args(send.split(' ')).output().unwrap();
    assert!(plain.status.success(), "{plain:?}");
    let shown = [plain.stdout, plain.stderr].concat();
    assert!(!String::from_utf8_lossy(&shown).contains("MiB"), "{shown:?}");
}

#[test]
fn f14_a_file_that_is_sealed_for_somebody_away_is_received_when_they_are_back() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("dev").display().to_string();
    let mut dev = Talk::start(&["dev", "--sip", "127.0.0.1:0", "--folder", &folder]);
    dev.until("ready in");
    let content: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    let path = temporary.path().join("report.bin");
    std::fs::write(&path, &content).unwrap();
    let receive = ["receive", "--as", "bob", "--count", "1", "--folder", &folder];
    let mut bob = Talk::start(&receive);
    bob.until("waiting for 1 file(s)");
    drop(bob);
    let path = path.display().to_string();

    // His connection may be thought to be there for a moment.
    let sent = loop {
        let mut send = Command::new(CONCLAVE);
        send.args(["send", &path, "--to", "bob", "--as", "alice", "--folder", &folder]);
        let sent = send.output().unwrap();
        if sent.status.success() {
            break String::from_utf8_lossy(&sent.stdout).into_owned();
        }
    };

    assert!(sent.contains("400000 octets, it waits in their mailbox"), "{sent}");
    let mut bob = Talk::start(&receive);
    let line = bob.until("received report.bin, sealed, from sip:alice@localhost: saved as ");
    let saved = line.rsplit("saved as ").next().unwrap();
    assert!(std::fs::read(saved).unwrap() == content, "it arrived changed");
    assert!(bob.end());
}

#[test]
fn f14_a_file_that_a_chat_has_shown_and_not_fetched_is_received_later() {
    let temporary = tempfile::tempdir().unwrap();
    let (_dev, chat) = crate::chat::system(temporary.path());
    let mut alice = crate::chat::enter(&chat, "alice");
    assert!(crate::chat::enter(&chat, "bob").end());
    let path = temporary.path().join("report.txt");
    std::fs::write(&path, "the report").unwrap();
    alice.say(&format!("/send bob {}", path.display()));
    alice.until("* report.txt waits in the mailbox of bob, sealed");
    let mut bob = crate::chat::enter(&chat, "bob");
    bob.until("* alice has report.txt for you");
    assert!(bob.end());

    let folder = temporary.path().join("dev").display().to_string();
    let mut bob = Talk::start(&["receive", "--as", "bob", "--count", "1", "--folder", &folder]);
    let line = bob.until("received report.txt, sealed, from sip:alice@localhost: saved as ");
    let saved = line.rsplit("saved as ").next().unwrap();
    assert_eq!(std::fs::read_to_string(saved).unwrap(), "the report");
    assert!(bob.end() && alice.end());
}

#[test]
fn a_file_that_cannot_be_had_says_where_it_is_not_and_leaves_the_list_when_nobody_has_it() {
    let temporary = tempfile::tempdir().unwrap();
    let (_dev, chat) = crate::chat::system(temporary.path());
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| crate::chat::enter(&chat, name));
    let path = temporary.path().join("report.txt");
    std::fs::write(&path, "the report").unwrap();
    alice.say(&format!("/send bob {}", path.display()));
    bob.until("* alice has report.txt for you");
    assert!(alice.end());

    // She is away, and has left it nowhere.
    let mut refused = String::new();
    while !refused.contains("alice is away") {
        bob.say("/get 1");
        refused = bob.until("! /get 1: ");
    }
    assert!(refused.contains("it waits in no mailbox"), "{refused}");
    bob.say("/get");
    bob.until("  1  report.txt of alice (10 octets), sealed");
    // She is back, and has it no more.
    let mut alice = crate::chat::enter(&chat, "alice");
    bob.say("/get report.txt");
    bob.until("! /get report.txt: alice has it no more, and it waits in no mailbox: ask alice");
    alice.until("* bob asked for a file that you have not");
    bob.say("/get");
    bob.until("* nobody has a file for you");
    assert!(alice.end() && bob.end());
}

#[test]
fn a_file_that_is_sent_beside_a_running_chat_leaves_no_device_behind() {
    let temporary = tempfile::tempdir().unwrap();
    let (_dev, chat) = crate::chat::system(temporary.path());
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| crate::chat::enter(&chat, name));
    let folder = temporary.path().join("dev").display().to_string();
    let path = temporary.path().join("report.txt");
    std::fs::write(&path, "the report").unwrap();

    let mut send = Command::new(CONCLAVE);
    send.arg("send").arg(&path).args(["--to", "bob", "--as", "alice", "--folder", &folder]);
    let mut send = send.stdout(Stdio::null()).spawn().unwrap();
    bob.until("* alice offers report.txt for you");
    bob.say("/get report.txt");
    bob.until("* report.txt of alice, sealed, is saved as ");
    assert!(send.wait().unwrap().success());

    alice.say("/devices");
    let listed = [(); 2].map(|()| alice.until("  urn:uuid:"));
    let gone = listed.iter().filter(|line| line.ends_with(": taken back")).count();
    assert_eq!(gone, 1, "{listed:?}");
    assert!(alice.end() && bob.end());
}
