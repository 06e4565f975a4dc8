//! `conclave send` and `conclave receive`: a file goes from one program to another, and neither claims what is not so.
use crate::common::{CONCLAVE, Talk};
use std::process::Command;

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
    let send = |name: &str| {
        let mut send = Command::new(CONCLAVE);
        send.args(["send", &path, "--to", "bob", "--as", name, "--folder", &folder]);
        send.output().unwrap()
    };

    // Nobody is there.
    let absent = send("alice");
    assert_eq!(absent.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&absent.stderr).contains("480"), "{absent:?}");

    let only = ["receive", "--as", "bob", "--from", "alice", "--folder", &folder];
    let mut bob = Talk::start(&only);
    bob.until("waiting for 1 file(s)");
    let stranger = send("carol");
    assert_eq!(stranger.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("603"), "{stranger:?}");
    let sent = send("alice");
    let said = String::from_utf8_lossy(&sent.stdout).into_owned();
    assert!(sent.status.success(), "{sent:?}");
    assert!(said.contains("2000000 octets, the receiver has compared it"), "{said}");
    let line = bob.until("received report.bin from sip:alice@localhost: saved as ");
    assert!(bob.end());

    let saved = line.rsplit("saved as ").next().unwrap();
    assert!(std::fs::read(saved).unwrap() == content, "it arrived changed");
}
