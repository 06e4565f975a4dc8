//! The `mrfc` program: its ready line, its end with its parent, and what it says of a bad configuration.
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use service::{clock, tls};
use tokio::net::TcpStream;

use crate::raw::Raw;
use crate::world::Files;

/// A running program: where it speaks SIP. It ends with its parent.
pub(crate) fn started(files: &Files) -> (std::process::Child, std::net::SocketAddr) {
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
    let sip = ready["sip"].as_str().unwrap().parse().unwrap();
    (child, sip)
}

#[tokio::test]
async fn ten_thousand_connections_that_say_nothing_do_not_slow_somebody_who_was_there() {
    let files = Files::make("127.0.0.1:9".parse().unwrap());
    let (mut child, sip) = started(&files);
    let mut neighbour = Raw::to(sip, tls::load_roots(&files.path("ca.pem")).unwrap()).await;
    let mut silent = Vec::with_capacity(10_000);
    for n in 1..=10_000 {
        silent.push(TcpStream::connect(sip).await.unwrap());
        if n % 500 == 0 {
            let begun = clock::now();
            neighbour.say(&crate::torture::options(n)).await;
            assert_eq!(neighbour.code("OPTIONS").await, Some(401), "with {n} connections");
            let took = begun.elapsed();
            assert!(took < crate::torture::NEIGHBOUR, "{took:?} with {n} connections");
        }
    }
    drop(silent);
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

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

    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap();
    let (chain, key) = (line("certificate_file"), line("key_file"));
    let swapped = chain.replace("certificate_file", "key_file");
    for (before, after, complaint) in [
        (chain, "certificate_file = \"/none.pem\"", ".certificate_file: cannot read /none.pem"),
        (key, swapped.as_str(), "holds no private key"),
        (line("ca_file"), "ca_file = \"/none.pem\"", "control.ca_file: cannot read /none.pem"),
    ] {
        std::fs::write(files.config(), text.replacen(before, after, 1)).unwrap();
        let (good, why) = check();
        assert!(!good && why.contains(complaint) && why.contains("; name "), "{after}: {why}");
    }

    std::fs::write(files.config(), text).unwrap();
    let users = files.path("users.toml");
    let secret = "[[user]]\naor = \"sip:alice@example.net\"\nha1_sha256 = \"hunter2\"\n";
    std::fs::write(users, secret).unwrap();
    let (good, why) = check();
    assert!(!good && why.contains("ha1_sha256") && !why.contains("hunter2"), "{why}");
}
