//! `conclave chat`: what it answers to each line, also to the wrong ones, and how it ends and begins again.
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::chat::{enter, system, system_with};
use crate::common::{CONCLAVE, Talk};

#[test]
fn what_was_shown_is_not_shown_again_after_a_signal_or_the_end_of_input() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let mut alice = enter(&chat, "alice");
    let mut bob = enter(&chat, "bob");

    for (n, end) in ["-TERM", "-INT", "-HUP", "input", "/quit"].into_iter().enumerate() {
        alice.say(&format!("room {n}"));
        bob.until(&format!("<alice> room {n}"));
        alice.say(&format!("/tell bob letter {n}"));
        bob.until(&format!("sealed> letter {n}"));
        match end {
            "input" => assert!(bob.end()),
            "/quit" => {
                bob.say(end);
                assert!(bob.child.wait().unwrap().success());
            }
            signal => {
                let id = bob.child.id().to_string();
                assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
                assert!(bob.child.wait().unwrap().success(), "{signal}");
            }
        }
        bob = chat("lobby", "bob");
        bob.until("you hold the group key as before");
        alice.say("/tell bob next letter");
        let mut shown = bob.all_until("next letter");
        alice.say("next in the room");
        shown.extend(bob.all_until("<alice> next in the room"));
        let again = |line: &String| line.contains("> room ") || line.contains("> letter ");
        assert!(!shown.iter().any(again), "{end}: {shown:?}");
    }
    assert!(alice.end() && bob.end());
}

/// A terminal of its own, as the program `script` makes it, that is closed without a word.
#[test]
fn what_was_on_a_terminal_that_was_closed_is_not_shown_again() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let mut alice = enter(&chat, "alice");
    let dev = folder.path().join("dev");
    let chatting = format!("{CONCLAVE} chat lobby --as bob --folder {}", dev.display());
    let command = format!("stty rows 24 cols 100; exec {chatting}");
    let mut script = Command::new("script");
    script.args(["-qec", &command, "/dev/null"]).env("TERM", "xterm").env("SHELL", "/bin/sh");
    let mut bob = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    alice.until("bob joined");

    alice.say("on-the-screen");
    let (mut screen, mut octets) = (Vec::new(), [0; 4096]);
    while !screen.windows(13).any(|shown| shown == b"on-the-screen") {
        let read = bob.stdout.as_mut().unwrap().read(&mut octets).unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&screen));
        screen.extend_from_slice(&octets[..read]);
    }
    bob.kill().unwrap();
    bob.wait().unwrap();
    // It holds this until it has ended.
    File::open(dev.join("state-bob/lock")).unwrap().lock().unwrap();

    let mut bob = chat("lobby", "bob");
    let mut shown = bob.all_until("you hold the group key as before");
    alice.say("next");
    shown.extend(bob.all_until("<alice> next"));
    assert!(!shown.iter().any(|line| line.contains("on-the-screen")), "{shown:?}");
    assert!(alice.end() && bob.end());
}

#[test]
fn every_line_is_answered_in_words_that_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    // The focus tells of changes every five seconds only, as it does by default.
    let (_dev, chat) = system_with(folder.path(), &[]);
    let [mut alice, mut bob, carol] = ["alice", "bob", "carol"].map(|name| enter(&chat, name));
    alice.until("carol joined");

    alice.say("/who");
    for who in ["alice@localhost: here, moderator", "bob@localhost: here", "carol@localhost: here"]
    {
        alice.until(&format!("  sip:{who}"));
    }
    for (line, answer) in [
        ("/invite nobody", "* nobody is being called"),
        ("", "! /invite nobody: there is no such person"),
        ("/invite erin", "! /invite erin: no device of theirs can be reached now"),
        ("/invite alice", "! /invite alice: that is you"),
        ("/kick alice", "! /kick alice: that is you: /leave takes you out"),
        ("/ban alice", "! /ban alice: that is you"),
        ("/mute alice", "! /mute alice: that is you"),
        ("/kick", "! not understood: /kick; it is written /kick USER"),
        ("/etc/passwd", "a text that begins with a slash is written //etc/passwd"),
        ("/nick \u{1b}[31mRed", "the nickname was refused: 424"),
        ("/nick Red\u{202e}", "the nickname was refused: 424"),
        ("/nick Jay", "* you are known as Jay"),
        ("/tell alice me", "! /tell alice: that is you"),
        ("/tell bob, carol both", "* bob, carol are sent it, sealed"),
        ("/tell bob,bob once", "* bob has it, sealed"),
        ("/tell bbo x", "! /tell bbo: nobody of the name bbo is known here"),
        ("/send bbo /etc/passwd", "! passwd is not sent: nobody of the name bbo is known here"),
        ("/tell erin x", "! /tell erin: sip:erin@localhost has no keys"),
        ("/nick Bob", "! /nick Bob: somebody else has the name Bob"),
        ("/nick Erin", "! /nick Erin: somebody else has the name Erin"),
        (&format!("/nick {}", "x".repeat(300)), "300 letters are too many"),
        (
            &format!("/subject {}", "x".repeat(257)),
            "! /subject: a subject has at most 256 octets, and this has 257",
        ),
        ("/lost 12", "! /lost 12: name at least 4 letters of what /devices shows"),
        ("/mute dave", "! /mute dave: they are not here; here are bob, carol"),
        ("/private nobody x", "! /private nobody: nobody here is called so; here are bob, carol"),
        ("/private Jay x", "! /private Jay: that is you"),
        ("/verify alice", "! /verify alice: that is you"),
        ("/verify nobody", "you never wrote to each other; here are bob, carol"),
        ("/verified nobody", "! /verified nobody: they are not here"),
        ("/unverify bob", "! /unverify bob: bob is not verified; nothing has changed"),
        ("/confirm WRONG", "! /confirm: no device of yours waits with this code"),
        ("//etc/passwd", ""),
        ("a \u{202e}right\u{202c} b\u{feff}", ""),
    ] {
        if !line.is_empty() {
            alice.say(line);
        }
        if !answer.is_empty() {
            let said = alice.until(answer);
            assert!(!said.contains(|c: char| c.is_control() || c == '\u{202e}'), "{said:?}");
        }
    }
    bob.until("<alice> /etc/passwd");
    bob.until("<alice> a right b");
    // Told of her nickname or not: who does not know it yet asks.
    bob.say("/private Jay psst");
    alice.until("<bob to you alone, sealed> psst");
    assert!(alice.end() && bob.end() && carol.end());
}

#[test]
fn who_is_removed_hears_how_to_come_back_and_comes_when_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let [mut alice, mut carol] = ["alice", "carol"].map(|name| enter(&chat, name));
    alice.until("carol joined");

    alice.say("/kick carol");
    let told = carol.until("* the conference ended for you: removed by a moderator");
    assert!(told.contains("(/invite carol), start again: conclave chat lobby --as carol"));
    alice.until("* carol is removed, and comes back only when invited");
    assert_eq!(carol.child.wait().unwrap().code(), Some(6));
    let again = start(&folder.path().join("dev"), "carol");
    assert_eq!(again.status.code(), Some(1));
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("ask a moderator of lobby to let you in (/invite carol)"), "{said}");
    assert_eq!(said.matches("joining").count(), 1, "{said}");
    let mut carol = chat("hall", "carol");
    carol.until("you hold the group key");
    alice.say("/invite carol");
    carol.until("* you are called into lobby: to go there, /quit and join lobby");
    alice.until("* carol has taken the call, or is here");
    carol.say("/quit");
    assert!(carol.child.wait().unwrap().success());
    let carol = enter(&chat, "carol");
    assert!(alice.end() && carol.end());
}

#[test]
fn i21_who_hides_is_named_by_the_pseudonym() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let mut alice = enter(&chat, "alice");
    let dev = folder.path().join("dev").display().to_string();
    let words = ["chat", "lobby", "--as", "dave", "--anonymous", "--plain", "--folder", &dev];
    let mut dave = Talk::start(&words);
    dave.until("you hold the group key");
    alice.until("joined");

    for (line, answer) in [
        ("/verify anonymous-1", "* you and anonymous-1 (1 device): "),
        ("/private anonymous-1 x", "nobody writes in private to or from a pseudonym"),
        ("/tell anonymous-1 x", "anonymous-1 is here under a pseudonym, and nobody elsewhere"),
        ("/mute anonymous-1", "may not talk"),
        ("/unmute anonymous-1", "may talk"),
    ] {
        alice.say(line);
        alice.until(answer);
    }
    alice.say("/kick anonymous-1");
    alice.until("* anonymous-1 is removed");
    dave.until("* the conference ended for you: removed by a moderator");
}

#[test]
fn a_second_chat_says_that_it_is_not_kept_and_a_device_that_was_taken_back_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let mut alice = enter(&chat, "alice");
    let mut bob = enter(&chat, "bob");

    let mut second = chat("lobby", "bob");
    let told = second.until("! bob chats somewhere else already");
    assert!(told.contains("state-bob is in use") && told.contains("--state DIR"), "{told}");
    assert!(second.end());

    bob.say("/devices");
    let own = bob.until(" (this one): certificate ends in ");
    let own = own.trim().split(' ').next().unwrap().to_owned();
    bob.say(&format!("/lost {own}"));
    let state = folder.path().join("dev/state-bob").display().to_string();
    let way = format!("mv {state} {state}.taken-back");
    bob.until("It was this one");
    assert!(bob.until("* the conference ended for you: this device was taken back").contains(&way));
    assert_eq!(bob.child.wait().unwrap().code(), Some(7));
    alice.until("bob is out");
    let refused = start(&folder.path().join("dev"), "bob");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("was taken back"), "{said}");
    assert!(said.contains(&way), "{said}");

    assert!(Command::new("sh").args(["-c", &way]).status().unwrap().success());
    let mut bob = enter(&chat, "bob");
    alice.until("! bob has a new device");
    bob.say("it is me again");
    alice.until("<bob> it is me again");

    // From another device of his: the one that talks says so, too, and a script can tell.
    let mut second = enter(&chat, "bob");
    bob.say("/devices");
    let own = bob.until(" (this one): certificate ends in ");
    // The first letters are enough.
    let own: String = own.trim().trim_start_matches("urn:uuid:").chars().take(12).collect();
    second.say(&format!("/lost {own}"));
    second.until("is taken back; it was in 1 conference");
    let told = bob.until("* the conference ended for you: this device was taken back");
    assert!(told.contains(&way), "{told}");
    assert_eq!(bob.child.wait().unwrap().code(), Some(7));
    assert!(alice.end() && second.end());
}

/// A chat that is not to come about, until it has ended.
fn start(dev: &Path, name: &str) -> Output {
    let words = ["chat", "lobby", "--as", name, "--plain", "--folder"];
    Command::new(CONCLAVE).args(words).arg(dev).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_chat_whose_servers_are_gone_says_so_and_ends_with_a_code_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let (dev, chat) = system(folder.path());
    let mut alice = enter(&chat, "alice");

    drop(dev);

    let told = alice.until("* the conference ended for you: ");
    assert!(
        told.contains("You are still a member: start again with conclave chat lobby"),
        "{told}"
    );
    assert_eq!(alice.child.wait().unwrap().code(), Some(5));
    let again = start(&folder.path().join("dev"), "alice");
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(said.contains("is the system running (conclave dev)?"), "{said}");
}

#[test]
fn a_new_device_says_once_how_much_of_what_was_written_before_it_cannot_read() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let mut alice = enter(&chat, "alice");
    assert!(enter(&chat, "bob").end());
    for n in 1..=3 {
        alice.say(&format!("/tell bob letter {n}"));
        alice.until("* bob is not there: it waits in the mailbox, sealed");
    }

    let (dev, state) = (folder.path().join("dev"), folder.path().join("other"));
    let [dev, state] = [dev, state].map(|path| path.display().to_string());
    let other = ["chat", "lobby", "--as", "bob", "--plain", "--folder", &dev, "--state", &state];
    let mut other = Talk::start(&other);

    let told = other.until("cannot be read here: ");
    assert!(told.starts_with("* 3 messages of alice cannot be read here: they were sealed before"));
    let mut bob = enter(&chat, "bob");
    bob.until("sealed, ");
    assert!(bob.end() && other.end() && alice.end());
}

#[test]
fn who_goes_away_and_who_comes_back_is_told_to_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let mut alice = enter(&chat, "alice");
    let bob = enter(&chat, "bob");
    alice.until("bob joined");

    assert!(bob.end());
    alice.until("* bob is away");
    alice.say("/private bob x");
    alice.until("! /private bob: bob is away; /tell bob waits for them in their mailbox");
    alice.say("/page bob,carol x");
    alice.until("! /page bob,carol: it goes to one person at a time");
    let mut bob = enter(&chat, "bob");
    alice.until("* bob is back");

    // Who leaves for good is out.
    bob.say("/leave");
    assert!(bob.child.wait().unwrap().success());
    alice.until("; bob is out");
    assert!(alice.end());
}

/// IMDN-06.
#[test]
fn f12_who_paged_somebody_reads_what_became_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system_with(folder.path(), &[("MRFC_MAILBOX__KEEP_SECS", "5")]);
    let mut alice = enter(&chat, "alice");

    alice.say("/page bob are you there?");
    alice.until("* bob is not there: it waits in the mailbox, not sealed");

    let gone = alice.until("! bob did not come in time for what you wrote at 20");
    assert!(gone.ends_with(": it is gone"), "{gone}");
    let mut bob = chat("lobby", "bob");
    bob.until("you hold the group key");
    alice.say("/page bob and now?");
    bob.until("<alice to you, not sealed> and now?");
    alice.until("* bob has what you wrote at 20");
}
