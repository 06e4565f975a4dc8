//! The program itself: its ready line, its exits, its complaints.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "how much harm was felt is worth knowing")]
#[path = "../common/mod.rs"]
mod common;
mod drain;
mod metrics;
mod soak;
mod storm;
#[expect(dead_code, reason = "its other parts are for abuse.rs")]
#[path = "../abuse/talk.rs"]
mod talk;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use service::tls::DevCa;

fn config(folder: &Path, more: &str) -> std::path::PathBuf {
    config_under(&DevCa::new("test", service::clock::wall()).unwrap(), folder, more)
}

fn config_under(ca: &DevCa, folder: &Path, more: &str) -> std::path::PathBuf {
    let files = ca.issue_files(&["localhost"], folder, "relay").unwrap();
    let ca_file = folder.join("ca.pem");
    ca.write_certificate(&ca_file).unwrap();
    let (chain, key) = (files.certificate_file, files.key_file);
    let identity = format!("certificate_file = {chain:?}\nkey_file = {key:?}\n");
    let text = format!(
        "{more}\n[msrp]\nlisten = \"127.0.0.1:0\"\n{identity}[control]\nlisten = \"127.0.0.1:0\"\n\
         {identity}ca_file = {ca_file:?}\n[ops]\nlisten = \"127.0.0.1:0\"\n"
    );
    let path = folder.join("mrfp.toml");
    std::fs::write(&path, text).unwrap();
    path
}

fn serve(config: &Path, more: &[&str]) -> (Child, serde_json::Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mrfp"))
        .args(["serve", "--config"])
        .arg(config)
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

/// SIGTERM.
fn terminate(child: &Child) {
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
}

#[test]
fn the_ready_line_names_every_listener_and_sigterm_ends_it_with_zero() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, ready) = serve(&config(folder.path(), ""), &[]);

    assert_eq!(ready["ready"], "mrfp");
    for listener in ["msrp", "control", "ops"] {
        let address: std::net::SocketAddr = ready[listener].as_str().unwrap().parse().unwrap();
        assert_ne!(address.port(), 0, "{listener}");
    }
    terminate(&child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_child_ends_when_its_parents_end_of_stdin_closes() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, _ready) = serve(&config(folder.path(), ""), &["--exit-with-parent"]);

    drop(child.stdin.take());

    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_key_that_nobody_knows_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), "shard = 3");

    let checked = Command::new(env!("CARGO_BIN_EXE_mrfp"))
        .args(["check-config", "--config"])
        .arg(config)
        .output()
        .unwrap();

    assert_eq!(checked.status.code(), Some(1));
    let complaint = String::from_utf8(checked.stderr).unwrap();
    assert!(complaint.contains("did you mean `shards`?"), "{complaint}");
}

/// How `check-config` ends, and what it complains about.
fn checked(config: &Path) -> (bool, String) {
    let checked = Command::new(env!("CARGO_BIN_EXE_mrfp"))
        .args(["check-config", "--config"])
        .arg(config)
        .output()
        .unwrap();
    (checked.status.success(), String::from_utf8(checked.stderr).unwrap())
}

#[test]
fn a_checked_configuration_has_files_with_which_the_relay_starts() {
    let folder = tempfile::tempdir().unwrap();
    let good = config(folder.path(), "");
    assert_eq!(checked(&good), (true, String::new()));
    let text = std::fs::read_to_string(&good).unwrap();
    let line = |key: &str| text.lines().find(|line| line.starts_with(key)).unwrap();
    let (chain, key, ca) = (line("certificate_file"), line("key_file"), line("ca_file"));
    let value = |line: &str| line.split_once(" = ").unwrap().1.to_owned();
    let other = DevCa::new("other", service::clock::wall()).unwrap();
    let other = other.issue_files(&["localhost"], folder.path(), "other").unwrap();
    let none = folder.path().join("none.pem");
    let cases = [
        (chain, format!("certificate_file = {none:?}"), "msrp.certificate_file: cannot read"),
        (chain, format!("certificate_file = {}", value(key)), "holds no certificate"),
        (key, format!("key_file = {}", value(chain)), "msrp.key_file: "),
        (key, format!("key_file = {:?}", other.key_file), "are no certificate and its key"),
        (ca, format!("ca_file = {none:?}"), "control.ca_file: cannot read"),
        (ca, format!("ca_file = {}", value(key)), "control.ca_file: "),
    ];
    for (before, after, complaint) in cases {
        std::fs::write(&good, text.replacen(before, &after, 1)).unwrap();

        let (fine, said) = checked(&good);

        let file = value(&after).trim_matches('"').to_owned();
        assert!(!fine && said.contains(complaint) && said.contains(&file), "{after}: {said}");
        assert!(said.contains("; name "), "{after} is not told how to mend: {said}");
        assert!(!said.contains("Caused by"), "{after} is told twice: {said}");
    }
}

#[test]
fn a_port_that_is_taken_is_told_with_the_listener() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), "");
    let text = std::fs::read_to_string(&path).unwrap();
    let _datagrams = std::net::UdpSocket::bind(address).unwrap();
    for table in ["msrp", "control", "ops"] {
        let head = format!("[{table}]\nlisten = ");
        let at = text.replace(&format!("{head}\"127.0.0.1:0\""), &format!("{head}\"{address}\""));
        std::fs::write(&path, at).unwrap();

        let serve = Command::new(env!("CARGO_BIN_EXE_mrfp"))
            .args(["serve", "--config"])
            .arg(&path)
            .output()
            .unwrap();

        let said = String::from_utf8(serve.stderr).unwrap();
        let wanted = format!("{table}.listen: cannot listen on {address}");
        assert!(said.contains(&wanted), "{said}");
    }
}
