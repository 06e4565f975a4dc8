//! The `mrfc` program: its ready line, its end with its parent, and what it says of a bad configuration.
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::world::Files;

#[test]
fn it_says_where_it_listens_and_ends_with_its_parent() {
    let files = Files::make("127.0.0.1:9".parse().unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_mrfc"))
        .args(["serve", "--exit-with-parent", "--config"])
        .arg(files.config())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();

    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(ready["ready"], "mrfc");
    for listener in ["sip", "https", "ops"] {
        let address: std::net::SocketAddr = ready[listener].as_str().unwrap().parse().unwrap();
        assert_ne!(address.port(), 0, "{listener}");
    }

    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_configuration_is_checked_with_what_it_names_and_shows_no_secret() {
    let files = Files::make("127.0.0.1:9".parse().unwrap());
    let check = || {
        let config = files.config();
        let output = Command::new(env!("CARGO_BIN_EXE_mrfc"))
            .args(["check-config", "--config"])
            .arg(config)
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8(output.stderr).unwrap())
    };
    assert!(check().0);

    let text = std::fs::read_to_string(files.config()).unwrap();
    std::fs::write(files.config(), text.replace("[store]\npath", "[store]\npaht")).unwrap();
    let (good, why) = check();
    assert!(!good && why.contains("did you mean `store.path`"), "{why}");

    std::fs::write(files.config(), text).unwrap();
    let users = files.path("users.toml");
    let secret = "[[user]]\naor = \"sip:alice@example.net\"\nha1_sha256 = \"hunter2\"\n";
    std::fs::write(users, secret).unwrap();
    let (good, why) = check();
    assert!(!good && why.contains("ha1_sha256") && !why.contains("hunter2"), "{why}");
}
