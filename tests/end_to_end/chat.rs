//! `conclave chat`: what moderators type, what everybody sees of it, and that neither input nor files do harm.
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::common::Talk;
use crate::picture::PNG;

/// A system in this folder, and a way to chat on it. Its focus tells of changes at once.
pub(crate) fn system(folder: &Path) -> (Talk, impl Fn(&str, &str) -> Talk) {
    system_with(folder, &[("MRFC_CONFERENCES__NOTIFY_SECS", "0")])
}

pub(crate) fn system_with(
    folder: &Path,
    variables: &[(&str, &str)],
) -> (Talk, impl Fn(&str, &str) -> Talk + use<>) {
    let folder = folder.join("dev").display().to_string();
    let arguments = ["dev", "--sip", "127.0.0.1:0", "--folder", &folder];
    let mut dev = Talk::start_with(&arguments, variables);
    dev.until("ready in");
    let chat = move |room: &str, name: &str| {
        Talk::start(&["chat", room, "--as", name, "--plain", "--folder", &folder])
    };
    (dev, chat)
}

/// Somebody in the lobby, with the group key.
pub(crate) fn enter(chat: impl Fn(&str, &str) -> Talk, name: &str) -> Talk {
    let mut talk = chat("lobby", name);
    talk.until("you hold the group key");
    talk
}

#[test]
fn f8_a_moderator_types_what_is_settled_and_everybody_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| enter(&chat, name));

    alice.say("/subject Tea and cake");
    bob.until("* the conference is about Tea and cake");
    alice.say("/mute bob");
    bob.until("! a moderator has muted you: you may read, and not talk");
    alice.until("* bob may not talk");
    bob.say("do you hear me?");
    bob.until("! a moderator has muted you: you may read, and not talk");
    alice.say("/mute bob");
    alice.until("! /mute bob: bob is muted already; nothing has changed");
    alice.say("/unmute bob");
    bob.until("* you may talk again");
    alice.say("/lock");
    bob.until("* the conference is locked");
    bob.say("/who");
    bob.until("  about Tea and cake");
    bob.until("  sip:alice@localhost: here, moderator");
    bob.until("  sip:bob@localhost: here");
    bob.until("  locked");

    // A refusal says what was typed, why not, and how to mend it.
    bob.say("/kick alice");
    bob.until("! /kick alice: removing somebody was refused: 403 only a moderator may do this");
    bob.say("/ban alice");
    let refused = bob.until("! /ban alice: ");
    assert!(refused.contains("only a moderator may do this; ask a moderator"), "{refused}");
    alice.say("/kick carol");
    alice.until(
        "! /kick carol: they are not here; here are bob. /ban keeps out who is not here, too",
    );
    alice.say("/dismiss alice");
    alice.until("! /dismiss alice: dismissing a moderator was refused: 403 the last moderator");

    alice.say("/moderator bob");
    bob.until("* bob moderates");
    bob.say("/unlock");
    bob.until("* the conference is not locked any more");
    bob.say("/dismiss alice");
    bob.until(
        "! /dismiss alice: dismissing a moderator was refused: 403 nobody else can remove, mute or",
    );
    bob.say("/dismiss bob");
    bob.until("* bob does not moderate any more");
    alice.say("/ban bob");
    bob.until("the conference ended for you");
    // Its input is open, and it ends all the same.
    assert_eq!(bob.child.wait().unwrap().code(), Some(6));
    alice.until("* done: bob is kept out");
    alice.say("/unban bob");
    alice.until("* done: bob may come again");
    alice.say("/unban bob");
    alice.until("! /unban bob: bob is not kept out; nothing has changed");
    alice.say("/ban nobody");
    alice.until("! /ban nobody: nobody of the name nobody is known here");
    enter(&chat, "bob");
}

#[test]
fn what_cannot_be_said_or_shared_is_refused_and_a_file_lands_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| enter(&chat, name));
    alice.until("bob joined");

    alice.stdin.as_mut().unwrap().write_all(b"caf\xe9\n").unwrap();
    bob.until("<alice> caf\u{fffd}");
    alice.say(&"x".repeat(70_000));
    alice.until("! the line is too long");
    let shared = folder.path().join("..plan.txt");
    std::fs::write(&shared, "the plan").unwrap();
    alice.say(&format!("/file {}", folder.path().display()));
    alice.until("it is no file");

    for name in ["plan.txt", "plan-2.txt"] {
        alice.say(&format!("/file {}", shared.display()));
        let told = bob.until("* alice shared ..plan.txt (8 octets); saved as ");
        let saved = folder.path().join("dev/downloads").join(name);
        assert!(told.ends_with(&saved.display().to_string()), "{told}");
        assert_eq!(mode(&saved), 0o600);
        assert_eq!(std::fs::read_to_string(saved).unwrap(), "the plan");
    }
}

#[test]
fn f14_a_large_picture_for_the_room_is_announced_with_its_small_one_and_fetched_when_its_author_is_gone()
 {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| enter(&chat, name));
    alice.until("bob joined");
    let picture = folder.path().join("holiday.png");
    let mut content = hex::decode(PNG).unwrap();
    // Nobody looks behind the end of a picture.
    content.resize(16 << 20, 7);
    std::fs::write(&picture, &content).unwrap();

    alice.say(&format!("/file {}", picture.display()));
    alice.until("* everybody is told of holiday.png, and /get fetches it");
    bob.until("* alice has holiday.png for you (16777216 octets), sealed: /get holiday.png");
    bob.until("* a small picture of holiday.png is saved as ");
    alice.until("* holiday.png waits in your mailbox for who wants it, sealed");
    assert!(alice.end());
    bob.say("/get holiday.png");

    let told = bob.until("* holiday.png of alice, sealed, is saved as ");
    let saved = told.rsplit(' ').next().unwrap();
    assert!(std::fs::read(saved).unwrap() == content, "it arrived changed");
}

/// Who may do what with a file.
fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn who_is_verified_gets_nothing_while_they_have_a_device_that_nobody_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let [mut alice, mut bob] = ["alice", "bob"].map(|name| enter(&chat, name));
    alice.until("bob joined");

    let number = |line: String| line.rsplit(": ").next().unwrap().to_owned();
    alice.say("/verify bob");
    let hers = number(alice.until("* you and bob (1 device): "));
    bob.say("/verify alice");
    assert_eq!(number(bob.until("* you and alice (1 device): ")), hers);
    alice.say("/verify");
    let all = alice.until("* everybody here should see ");
    bob.say("/verify");
    assert_eq!(bob.until("* everybody here should see "), all);
    alice.say("/verified bob");
    alice.until("* bob is verified");

    // He comes from a second device; as far as anybody can see, it might be somebody else's.
    let mut second = enter(&chat, "bob");
    let told = bob.until("! this device meets another one of yours for the first time (urn:uuid:");
    assert!(told.contains("if it is not yours: /lost urn:uuid:"), "{told}");
    alice.until("! bob has a new device");
    alice.say("are you both bob?");
    alice.until("! not sent yet: bob has a device that you have not accepted");
    alice.say("/accept bob");
    bob.until("<alice> are you both bob?");
    second.until("<alice> are you both bob?");

    // One of the two was lost: the other takes it back, and it is out of the conference.
    bob.say("/devices");
    let listed = [(); 2].map(|()| bob.until("  urn:uuid:"));
    let lost = listed.iter().find(|line| !line.contains("(this one): certificate ends in "));
    let lost = lost.unwrap().trim().split(": ").next().unwrap().to_owned();
    bob.say(&format!("/lost {lost}"));
    second.until("the conference ended for you");
    let told = bob.until(&format!("* {lost} is taken back; it was in 1 conference"));
    assert!(told.ends_with("1 conference"), "{told}");
    alice.until("bob is out");
    bob.say("now it is only me");
    alice.until("<bob> now it is only me");

    alice.say("/quit");
    assert!(alice.child.wait().unwrap().success());
    let mut alice = enter(&chat, "alice");
    alice.say("/verify bob");
    alice.until("  verified before");
}

#[test]
fn a_folder_that_keeps_a_device_of_somebody_else_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let mut alice = enter(&chat, "alice");
    alice.say("/quit");
    assert!(alice.child.wait().unwrap().success());
    let [hers, his] = ["alice", "bob"].map(|name| folder.path().join(format!("dev/state-{name}")));
    let keys = [&hers, &his].map(|state| state.with_extension("key"));
    std::fs::rename(&hers, &his).unwrap();
    std::fs::rename(&keys[0], &keys[1]).unwrap();

    let mut bob = chat("lobby", "bob");
    assert!(!bob.child.wait().unwrap().success());

    std::fs::rename(&his, &hers).unwrap();
    std::fs::rename(&keys[1], &keys[0]).unwrap();
    let mut alice = chat("lobby", "alice");
    alice.until("you hold the group key");
    alice.say("/devices");
    alice.until("(this one): certificate ends in ");
    alice.say("/quit");
    assert!(alice.child.wait().unwrap().success());
}

#[test]
fn i21_who_hides_in_a_room_tells_nobody_their_name_by_writing_to_them_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let mut alice = enter(&chat, "alice");
    let dev = folder.path().join("dev").display().to_string();
    let words = ["chat", "lobby", "--as", "bob", "--anonymous", "--plain", "--folder", &dev];
    let mut bob = Talk::start(&words);
    bob.until("you hold the group key");

    for line in ["/tell alice it is me", "/page alice it is me", "/send alice x.txt", "/get x.txt"]
    {
        bob.say(line);
        let refused = bob.until(&format!("! {}", line.split(' ').next().unwrap()));
        assert!(refused.contains("would go out under your name"), "{refused}");
    }
    bob.say("guess who");
    assert!(alice.until("guess who").contains("<anonymous-1>"));
}

#[test]
fn a_device_that_is_met_only_outside_of_the_room_is_in_a_number_to_compare() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let [mut alice, _bob] = ["alice", "bob"].map(|name| enter(&chat, name));
    alice.until("bob joined");
    alice.say("/verified bob");
    alice.until("* bob is verified");
    let mut second = chat("hall", "bob");
    second.until("you hold the group key");

    second.say("/tell alice it is me");
    alice.until("! bob has a new device");

    alice.say("/verify bob");
    alice.until("* you and bob (1 device): ");
    let number = |line: String| line.rsplit(": ").next().unwrap().to_owned();
    let hers = number(alice.until("  outside of this room (2 devices): "));
    second.say("/verify alice");
    assert_eq!(number(second.until("* you and alice (1 device): ")), hers);
}

/// S4-16.
#[test]
fn f12_what_is_told_to_somebody_who_is_not_there_waits_and_shows_its_times() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let mut alice = enter(&chat, "alice");

    // He never had a device, so nothing can be sealed for him, and nothing leaves without a seal unless it is asked for.
    alice.say("/tell bob are you there?");
    let refused = alice.until("! /tell bob: sip:bob@localhost has no keys");
    assert!(refused.contains("/page sends it in the clear"), "{refused}");
    alice.say("/page bob are you there?");
    alice.until("* bob is not there: it waits in the mailbox, not sealed");
    alice.say("/tell --clear nobody at all");
    alice.until("! /page nobody: there is no such person");
    let mut bob = chat("lobby", "bob");

    let line = bob.until("are you there?");
    assert!(
        line.starts_with("<alice to you, not sealed, sent 20") && line.contains(", kept since 20"),
        "{line}"
    );
    bob.say("/page alice now I am");
    bob.until("* alice has it, not sealed");
    alice.until("<bob to you, not sealed> now I am");
    assert!(alice.end() && bob.end());
}

/// Whether these octets are in any file of a folder.
fn lies_in(folder: &Path, octets: &[u8]) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return lies_in(&path, octets);
        }
        // A socket, or a file that is gone by now.
        let content = std::fs::read(path).unwrap_or_default();
        content.windows(octets.len()).any(|part| part == octets)
    })
}

/// S3-04, S3-05, S3-30, S4-16.
#[test]
fn f11_what_is_told_is_sealed_waits_for_who_is_away_and_is_opened_when_they_are_back() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let mut alice = enter(&chat, "alice");
    let bob = enter(&chat, "bob");
    assert!(bob.end());

    alice.say("/tell bob the heron lands at nine");
    alice.until("* bob is not there: it waits in the mailbox, sealed");
    alice.say("/page bob the stork lands at ten");
    alice.until("* bob is not there: it waits in the mailbox, not sealed");
    assert!(!lies_in(folder.path(), b"heron lands"));
    let mut bob = chat("lobby", "bob");
    let line = bob.until("the heron lands at nine");
    assert!(
        line.starts_with("<alice to you, sealed, ") && line.contains("kept since 20"),
        "{line}"
    );
    alice.until("* bob has opened it");
    bob.say("/msg alice understood");
    bob.until("* alice has it, sealed");
    alice.until("<bob to you, sealed> understood");
    bob.until("* alice has opened it");

    // A second device of his reads along, also what he writes, and so does the first.
    let mut tablet = enter(&chat, "bob");
    tablet.say("/tell alice from my tablet");
    alice.until("<bob to you, sealed> from my tablet");
    bob.until("<you to alice, sealed> from my tablet");
    bob.say("/tell alice,carol all of you");
    bob.until("! /tell alice,carol: sip:carol@localhost has no keys");
    bob.say("/tell alice from my phone");
    alice.until("<bob to you, sealed> from my phone");
    tablet.until("<you to alice, sealed> from my phone");

    alice.say("/nick Jay");
    alice.until("* you are known as Jay");
    bob.say("/private alice psst");
    bob.until("* alice alone has it, sealed");
    alice.until("<bob to you alone, sealed> psst");
    assert!(alice.end() && bob.end() && tablet.end());
}

/// S3-18.
#[test]
fn f14_a_file_for_one_person_is_sealed_for_the_two_and_fetched_when_they_want_it() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let mut alice = chat("lobby", "alice");
    alice.until("you hold the group key");
    let mut bob = chat("lobby", "bob");
    bob.until("you hold the group key");
    let plan = folder.path().join("plan.txt");
    std::fs::write(&plan, "the plan").unwrap();

    bob.say("/get");
    bob.until("* nobody has a file for you");
    alice.say(&format!("/send bob {}", plan.display()));
    alice.until("* plan.txt is sealed for bob");
    bob.until("* alice has plan.txt for you (8 octets), sealed: /get plan.txt");
    // What is sent again is there once.
    alice.say(&format!("/send bob {}", plan.display()));
    bob.until("sealed: /get plan.txt (the same file as number 1, in its place)");
    bob.say("/get");
    bob.say("/get other.txt");
    let listed = bob.all_until("! /get other.txt: nobody has a file of that name for you");
    let is_it = |line: &&String| line.ends_with("  plan.txt of alice (8 octets), sealed");
    assert_eq!(listed.iter().filter(is_it).count(), 1, "{listed:?}");
    let mut get = |typed: &str, content: &str| {
        bob.say(&format!("/get {typed}"));
        let line = bob.until("* plan.txt of alice, sealed, is saved as ");
        let saved = line.rsplit("saved as ").next().unwrap();
        assert_eq!(std::fs::read_to_string(saved).unwrap(), content);
        assert_eq!(mode(Path::new(saved)), 0o600);
    };
    get("plan.txt of alice", "the plan");
    alice.until("* bob has got plan.txt (8 octets), sealed");

    // Two of one name, and what was fetched is on the list no more.
    for content in ["plan B", "the other plan"] {
        std::fs::write(&plan, content).unwrap();
        alice.say(&format!("/send bob {}", plan.display()));
        alice.until("* plan.txt is sealed for bob");
    }
    bob.until("* alice has plan.txt for you (6 octets), sealed: /get plan.txt");
    let told = bob.until("* alice has plan.txt for you (14 octets), sealed: /get ");
    bob.say("/get plan.txt");
    let refused = bob.until("! /get plan.txt: there are 2 of that name: /get ");
    let second = told.rsplit(' ').next().unwrap();
    assert!(refused.ends_with(&format!("/get {second}")), "{refused}");
    let mut get = |typed: &str, content: &str| {
        bob.say(&format!("/get {typed}"));
        let line = bob.until("* plan.txt of alice, sealed, is saved as ");
        let saved = line.rsplit("saved as ").next().unwrap();
        assert_eq!(std::fs::read_to_string(saved).unwrap(), content);
    };
    get(second, "the other plan");
    get("plan.txt", "plan B");
    bob.say("/get");
    bob.until("* nobody has a file for you");
    alice.say(&format!("/send carol {}", plan.display()));
    let refused = alice.until("! plan.txt is not sent: sip:carol@localhost has no keys");
    assert!(refused.contains("conclave send --clear") && !refused.contains("/page"), "{refused}");
    assert!(alice.end() && bob.end());
}

/// S3-30.
#[test]
fn f14_a_file_for_who_is_away_waits_in_their_mailbox_also_when_its_sender_has_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let mut alice = enter(&chat, "alice");
    let bob = enter(&chat, "bob");
    assert!(bob.end());
    let plan = folder.path().join("plan.txt");
    std::fs::write(&plan, "the plan").unwrap();

    alice.say(&format!("/send bob {}", plan.display()));
    alice.until("* plan.txt is sealed for bob, who is away");
    alice.until("* plan.txt waits in the mailbox of bob, sealed");
    assert!(alice.end());

    let mut bob = chat("lobby", "bob");
    bob.until("* alice has plan.txt for you (8 octets), sealed: /get plan.txt");
    // What was shown and not fetched is still there the next time, also after a kill.
    assert!(bob.end());
    let mut bob = chat("lobby", "bob");
    bob.until("* a file waits for you: /get shows which");
    drop(bob);
    let mut bob = chat("lobby", "bob");
    bob.say("/get");
    bob.until("  1  plan.txt of alice (8 octets), sealed");
    bob.say("/get plan.txt");
    let line = bob.until("* plan.txt of alice, sealed, is saved as ");
    let saved = line.rsplit("saved as ").next().unwrap();
    assert_eq!(std::fs::read_to_string(saved).unwrap(), "the plan");
    assert!(bob.end());
    let mut bob = chat("lobby", "bob");
    bob.say("/get");
    bob.until("* nobody has a file for you");
    assert!(bob.end());
}

/// I19, from outside: a device that is killed is the member it was, in the epoch it was in.
#[test]
fn a_chat_that_is_killed_goes_on_in_its_group_without_entering_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (_dev, chat) = system(folder.path());
    let dev = folder.path().join("dev").display().to_string();
    let state = folder.path().join("bob").display().to_string();
    let secret = folder.path().join("passphrase").display().to_string();
    std::fs::write(&secret, "correct horse").unwrap();
    let options = ["--state", &state, "--passphrase-file", &secret, "--folder", &dev];
    let bob =
        || Talk::start(&[&["chat", "lobby", "--as", "bob", "--plain"], &options[..]].concat());
    let mut alice = enter(&chat, "alice");
    let mut first = bob();
    let entered = first.until("you hold the group key");
    alice.until("bob joined");
    first.say("before");
    alice.until("<bob> before");
    alice.say("to bob");
    first.until("<alice> to bob");

    drop(first);
    let mut second = bob();
    let again = second.until("you hold the group key as before");
    second.say("after");
    alice.until("<bob> after");
    alice.say("and back");
    second.until("<alice> and back");

    let epoch = |line: &str| line.rsplit(' ').next().unwrap().to_owned();
    assert_eq!(epoch(&again), epoch(&entered), "it entered anew");
    let octets = std::fs::read(folder.path().join("bob/vault")).unwrap();
    assert!(!octets.windows(6).any(|part| part == b"to bob"));
    let third = Command::new(crate::common::CONCLAVE)
        .args(["chat", "lobby", "--as", "bob", "--plain"])
        .args(options)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(!third.status.success() && said.contains("in use by another process"), "{said}");
}
