//! The operator's commands beside a running system: what they show, what they change, and how they fail.
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::{CONCLAVE, Talk};

/// A command typed in this folder, without anything from the tester's own environment.
fn typed(folder: &Path, words: &str) -> Output {
    let mut command = Command::new(CONCLAVE);
    command.args(words.split(' ')).current_dir(folder).env("HOME", folder);
    command.output().unwrap()
}

fn shown(folder: &Path, words: &str) -> String {
    let output = typed(folder, words);
    let (out, err) = (crate::text(&output.stdout), crate::text(&output.stderr));
    assert!(output.status.success(), "{words}: {out}{err}");
    out
}

fn json(folder: &Path, words: &str) -> Value {
    serde_json::from_str(&shown(folder, &format!("{words} -o json"))).unwrap()
}

/// The exit code and what was complained.
fn failed(folder: &Path, words: &str) -> (i32, String) {
    let output = typed(folder, words);
    assert!(output.stdout.is_empty(), "{words}: {}", crate::text(&output.stdout));
    (output.status.code().unwrap(), crate::text(&output.stderr))
}

#[test]
fn an_operator_looks_and_acts_beside_a_system_kept_by_dev() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let dev_folder = here.join("conclave-dev").display().to_string();
    let mut dev = Talk::start(&["dev", "--sip", "127.0.0.1:0", "--folder", &dev_folder]);
    dev.until("conclave room list");
    let mut alice =
        Talk::start(&["chat", "lobby", "--as", "alice", "--plain", "--folder", &dev_folder]);
    alice.until("you hold the group key");
    let mut bob = Talk::start(&["chat", "hall", "--as", "bob", "--plain", "--folder", &dev_folder]);
    bob.until("you hold the group key");

    // The profile in ./conclave-dev is found by itself.
    let rooms = shown(here, "room list");
    let line: Vec<&str> = rooms.lines().nth(2).unwrap().split_whitespace().collect();
    assert_eq!(line, ["lobby", "sealed", "1", "1", "sip:alice@localhost"], "{rooms}");
    assert_eq!(json(here, "room get lobby")["group"]["epoch"], 0);
    let members = shown(here, "member list lobby");
    assert!(members.contains("moderator") && members.contains("connected"), "{members}");
    let registrations = json(here, "registration list alice");
    assert_eq!(registrations["registrations"][0]["access"], "tls");
    assert!(shown(here, "status").contains("1 of 1 reached"));
    assert!(shown(here, "relay list").lines().nth(1).unwrap().contains("serving"));
    assert!(shown(here, "config check").contains("mrfc.toml is good"));

    assert!(shown(here, "room lock hall").contains("hall is locked"));
    let (_, words) = failed(here, "chat hall --as alice --plain");
    assert!(words.contains("403"), "{words}");
    assert_eq!(json(here, "room get hall")["locked"], true);
    shown(here, "room nicknames hall off");
    assert!(shown(here, "room get hall").contains("locked, no nicknames"));
    assert_eq!(shown(here, "room unlock hall"), "hall is not locked\n");
    assert_eq!(json(here, "member mute hall bob")["muted"], "sip:bob@localhost");
    assert!(shown(here, "member list hall").contains("moderator, muted"));
    assert_eq!(shown(here, "member unmute hall bob"), "sip:bob@localhost may talk in hall\n");
    shown(here, "member ban hall alice");
    assert!(shown(here, "room get hall").contains("kept out"));
    assert_eq!(json(here, "member unban hall alice")["unbanned"], "sip:alice@localhost");

    let made = json(here, "room create standup --creator bob --level open");
    assert_eq!((&made["creator"], &made["level"]), (&"sip:bob@localhost".into(), &"open".into()));
    assert_eq!(shown(here, "room close standup"), "closed standup\n");
    let drained = shown(here, "relay drain mrfp-0");
    assert!(drained.contains("gets no new room; 2 are left"), "{drained}");
    let (code, words) = failed(here, "room create --creator bob");
    assert_eq!(code, 1, "{words}");
    assert!(words.contains("no relay can carry the room now"), "{words}");
    assert!(shown(here, "relay drain mrfp-0 --undo").contains("gets new rooms again"));

    assert_eq!(shown(here, "member kick lobby alice"), "sip:alice@localhost is out of lobby\n");
    alice.until("the conference ended for you");
    assert_eq!(json(here, "registration drop bob")["registrations"], 1);
    let audit = json(here, "audit");
    let actions: Vec<&str> =
        audit["audit"].as_array().unwrap().iter().map(|l| l["action"].as_str().unwrap()).collect();
    assert_eq!(actions[0], "DELETE /v1/registrations/{person}");
    assert!(actions.contains(&"DELETE /v1/conferences/{name}/members/{person}"), "{actions:?}");
    let attempts = shown(here, "audit --registrations --actor alice");
    assert!(attempts.contains("200 registered"), "{attempts}");
    assert!(shown(here, "audit --limit 1").lines().count() == 2);
}

#[test]
fn every_failure_says_what_where_and_how_to_mend_it_and_its_kind_is_the_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let (code, words) = failed(here, "room list");
    assert_eq!(code, 1);
    assert!(words.contains("no MRFC is named") && words.contains("conclave dev"), "{words}");

    let dev_folder = here.join("conclave-dev").display().to_string();
    let mut dev = Talk::start(&["dev", "--sip", "127.0.0.1:0", "--folder", &dev_folder]);
    dev.until("conclave room list");
    let profile = std::fs::read_to_string(here.join("conclave-dev/operator.toml")).unwrap();
    std::fs::write(here.join("wrong.token"), "0123456789abcdef").unwrap();
    std::fs::write(here.join("other.toml"), profile.replace("localhost", "example.net")).unwrap();

    let cases = [
        ("room get nowhere", 3, ["there is no such conference", "conclave room list"]),
        ("registration drop carol", 3, ["nobody of this name", "conclave registration list"]),
        ("relay drain mrfp-7", 3, ["no such relay", "conclave relay list"]),
        ("member kick nowhere alice", 3, ["there is no such conference", "conclave member list"]),
        ("room purge nowhere", 3, ["there is no such conference", "conclave room list"]),
        ("room lock nowhere", 3, ["there is no such conference", "conclave room list"]),
        ("member mute nowhere bob", 3, ["there is no such conference", "conclave member list"]),
        ("room create No! --creator bob", 1, ["a conference id is", "name, https://"]),
        ("status --token-file wrong.token", 4, ["wrong token", "admin.token_file"]),
        ("status --token-file none.token", 1, ["none.token", "--token-file"]),
        ("status --profile other.toml", 1, ["ca.pem", "--ca-file"]),
        (
            "status --server 127.0.0.1:1 --ca-file conclave-dev/ca.pem --token-file wrong.token",
            5,
            ["cannot be reached", "https://127.0.0.1:1"],
        ),
        ("status --server 127.0.0.1:1", 1, ["is not named", "--profile names one"]),
        ("config check --file nowhere.toml", 1, ["cannot read nowhere.toml", "check it again"]),
    ];
    for (typed, code, expected) in cases {
        let (seen, words) = failed(here, typed);
        assert_eq!(seen, code, "{typed}: {words}");
        for part in expected.iter().chain(&["\n  where  ", "\n  mend   "]) {
            assert!(words.contains(part), "{typed}: {words}");
        }
        assert!(!words.contains("0123456789abcdef"), "{words}");
    }

    // A file that went bad while the system runs.
    let file = here.join("conclave-dev/mrfc.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("domain =", "domian =")).unwrap();
    let (code, words) = failed(here, "config check");
    assert_eq!(code, 1);
    assert!(words.contains("did you mean `domain`") && words.contains("mrfc.toml"), "{words}");
    drop(dev);
    let (code, words) = failed(here, "status");
    assert_eq!(code, 5, "{words}");
    assert!(words.contains("is it running?") && words.contains("operator.toml"), "{words}");
}

#[test]
fn a_database_is_backed_up_beside_the_focus_and_put_back_when_it_has_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let dev_folder = here.join("conclave-dev").display().to_string();
    let mut dev = Talk::start(&["dev", "--sip", "127.0.0.1:0", "--folder", &dev_folder]);
    dev.until("conclave room list");
    shown(here, "room create town-hall --standing --creator bob --level open");
    let of = "--config conclave-dev/mrfc.toml";

    assert!(shown(here, &format!("db migrate {of}")).contains("0 changes made"));
    assert!(shown(here, &format!("db verify {of}")).contains("sound"));
    let backup = format!("db backup {of} --to kept");
    assert!(shown(here, &backup).contains("backed up to kept"));
    let (_, words) = failed(here, &backup);
    assert!(words.contains("name a file that is not there"), "{words}");
    assert!(words.contains("\n  where  kept\n"), "{words}");
    shown(here, "room close town-hall");

    let restore = format!("db restore {of} --from kept");
    let (_, words) = failed(here, &format!("{restore} --force"));
    assert!(words.contains("stop that focus"), "{words}");
    let sigterm = Command::new("kill").arg(dev.child.id().to_string()).status().unwrap();
    assert!(sigterm.success() && dev.child.wait().unwrap().success());
    let (_, words) = failed(here, &restore);
    assert!(words.contains("--force replaces it"), "{words}");
    let put_back = shown(here, &format!("{restore} --force"));
    assert!(put_back.contains("1 conferences begin anew"), "{put_back}");

    assert!(here.join("conclave-dev/mrfc.sqlite.replaced").exists());
    assert!(shown(here, &format!("db verify {of}")).contains("sound"));
    assert!(shown(here, &format!("db migrate {of}")).contains("0 changes made"));
    std::fs::write(here.join("notadb"), "the plan").unwrap();
    for from in ["nothing", "notadb"] {
        let (_, words) = failed(here, &format!("db restore {of} --from {from} --force"));
        assert!(words.contains(&format!("\n  where  {from}\n")), "{words}");
        assert!(words.contains("name a file that `conclave db backup` has made"), "{words}");
    }
}

#[test]
fn what_a_system_keeps_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let dev_folder = folder.path().join("dev");
    let of = dev_folder.display().to_string();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;

    for _time in 0..2 {
        let mut dev = Talk::start(&["dev", "--sip", "127.0.0.1:0", "--folder", &of]);
        dev.until("ready in");

        assert_eq!(mode(&dev_folder), 0o700);
        for file in ["mrfc.sqlite", "mrfc.sqlite-wal", "mrfc.log", "mrfp.log", "directions.json"] {
            assert_eq!(mode(&dev_folder.join(file)), 0o600, "{file}");
        }
        // A folder of an earlier version.
        std::fs::set_permissions(&dev_folder, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}
