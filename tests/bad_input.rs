//! Strangers throw rubbish at every listener of a running system while two people talk in it. Each listener answers or
//! closes and counts it; the two notice nothing. What each kind of bad input gets is tested where it is decided: in the
//! tests of `mrfp`, `mrfc` and `common/edge`.
#![expect(clippy::unwrap_used, reason = "a test whose system does not start should fail")]
#![expect(clippy::indexing_slicing, reason = "a test may end at a wrong index")]
#![expect(clippy::print_stdout, reason = "a check that is skipped says so")]
mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::Talk;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// How long a peer may take to answer or to close. Longer than every time-out that is at stake here.
const PATIENCE: Duration = Duration::from_secs(30);

/// A system and two people in one of its conferences.
struct Party {
    dev: Talk,
    folder: tempfile::TempDir,
    roots: Arc<ClientConfig>,
    sip: String,
    https: String,
    msrp: String,
    metrics: [String; 2],
    alice: Talk,
    bob: Talk,
}

impl Party {
    fn start() -> Self {
        service::tls::install_provider();
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("dev");
        let folder = path.display().to_string();
        let mut dev = Talk::start(&["dev", "--sip", "127.0.0.1:0", "--folder", &folder]);
        let after = |line: String, word: &str| line.split(word).nth(1).unwrap().trim().to_owned();
        let sip = after(dev.until("focus"), "sips:");
        let https = after(dev.until("API"), "https://");
        let msrp = after(dev.until("relay"), "msrps://");
        let metrics =
            [(); 2].map(|()| after(dev.until("metrics"), "http://").replace("/metrics", ""));
        dev.until("ready in");
        let chat = |name: &str| {
            let mut talk =
                Talk::start(&["chat", "lobby", "--as", name, "--plain", "--folder", &folder]);
            talk.until("you hold the group key");
            talk
        };
        let (mut alice, bob) = (chat("alice"), chat("bob"));
        alice.until("bob joined");
        let ca = service::tls::load_roots(&path.join("ca.pem")).unwrap();
        let roots = service::tls::client_config(service::tls::Trust::Roots(ca), None, &[]).unwrap();
        Self { dev, folder: temporary, roots, sip, https, msrp, metrics, alice, bob }
    }

    fn are_well(&mut self, round: &str) {
        self.alice.say(&format!("still here, {round}"));
        self.bob.until(&format!("<alice> still here, {round}"));
        self.bob.say(&format!("me too, {round}"));
        self.alice.until(&format!("<bob> me too, {round}"));
    }

    /// The metrics of the MRFC (0) or the MRFP (1), as Prometheus reads them.
    fn metrics(&self, server: usize) -> String {
        let mut socket = TcpStream::connect(&self.metrics[server]).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        text.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// The sum of a metric over its labels.
    fn metric(&self, server: usize, name: &str) -> f64 {
        let text = self.metrics(server);
        let samples = text.lines().filter(|line| line.starts_with(name));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

/// Everything a peer sends back until it closes; nothing at all if it resets the connection.
fn rest(mut from: impl Read) -> Vec<u8> {
    let mut heard = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(read @ 1..) = from.read(&mut piece) {
        heard.extend_from_slice(&piece[..read]);
    }
    heard
}

fn plain(address: &str, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // The peer may close before it has read everything.
    drop(socket.write_all(bytes));
    rest(socket)
}

fn tls(config: &Arc<ClientConfig>, address: &str, bytes: &[u8]) -> String {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    drop(stream.write_all(bytes).and_then(|()| stream.flush()));
    String::from_utf8_lossy(&rest(stream)).into_owned()
}

#[test]
fn rubbish_on_every_listener_is_refused_and_counted_and_nobody_notices() {
    let mut party = Party::start();
    let msrp = party.msrp.clone();
    party.are_well("before");

    for address in [&party.sip, &party.https, &msrp] {
        // Not TLS at all: an alert or nothing, and the end.
        let heard = plain(address, &[0xff; 64]);
        assert!(heard.len() < 64, "{address} said {} octets", heard.len());
    }
    party.are_well("garbage before TLS");

    let heard = tls(&party.roots, &party.sip, b"\0\x01garbage\r\n\r\n");
    assert_eq!(heard, "", "SIP answered garbage");
    let heard = tls(&party.roots, &msrp, b"\0\x01garbage\r\n\r\n");
    assert_eq!(heard, "", "MSRP answered garbage");
    let heard = tls(&party.roots, &party.https, b"\0\x01garbage\r\n\r\n");
    assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 400"), "HTTPS said {heard}");
    party.are_well("garbage inside TLS");

    let unknown = "MSRP tid12345 SEND\r\nTo-Path: msrps://127.0.0.1:9/nobody;tcp\r\n\
                   From-Path: msrps://127.0.0.1:9/stranger;tcp\r\nMessage-ID: mid12345\r\n-------tid12345$\r\n";
    let heard = tls(&party.roots, &msrp, unknown.as_bytes());
    assert!(heard.starts_with("MSRP tid12345 481"), "an unknown To-Path got {heard}");
    let long = format!("MSRP tid12345 SEND\r\nTo-Path: {}\r\n", "x".repeat(1 << 20));
    let heard = tls(&party.roots, &msrp, long.as_bytes());
    assert!(
        heard.is_empty() || heard.starts_with("MSRP tid12345 400"),
        "a header of a MiB got {heard}"
    );
    let long = format!("OPTIONS sip:localhost SIP/2.0\r\nX: {}\r\n", "x".repeat(1 << 20));
    let heard = tls(&party.roots, &party.sip, long.as_bytes());
    assert!(heard.is_empty() || heard.starts_with("SIP/2.0 "), "a header of a MiB got {heard}");
    party.are_well("oversized headers");

    assert!(party.metric(1, "mrfp_parse_errors_total") >= 2.0, "the relay did not count");
    assert!(party.metric(0, "mrfc_sip_malformed_total") >= 2.0, "the focus did not count");
    for server in 0..2 {
        check_metrics(&party.metrics(server));
    }
    let Party { dev, alice, bob, folder, .. } = party;
    assert!(alice.end() && bob.end(), "a conversation did not end well");
    drop((dev, folder));
}

/// What `conclave dev` with these arguments complains about.
fn dev_complains(folder: &std::path::Path, arguments: &[&str]) -> String {
    let mut dev = Command::new(common::CONCLAVE);
    let dev = dev.args(["dev", "--folder"]).arg(folder).args(arguments).output().unwrap();
    assert!(!dev.status.success());
    String::from_utf8(dev.stderr).unwrap()
}

#[test]
fn dev_without_a_users_name_complains_about_the_option() {
    let folder = tempfile::tempdir().unwrap();

    let said = dev_complains(folder.path(), &["--sip", "127.0.0.1:0", "--users", ""]);

    assert!(said.contains("--users") && !said.contains("users.toml"), "{said}");
}

#[test]
fn dev_that_does_not_start_shows_no_cause_of_an_earlier_day() {
    let folder = tempfile::tempdir().unwrap();
    for log in ["mrfc.log", "mrfp.log"] {
        std::fs::write(folder.path().join(log), "an old cause\n").unwrap();
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let said = dev_complains(folder.path(), &["--sip", &address]);

    assert!(said.contains(&address) && !said.contains("an old cause"), "{said}");
}

/// Has `promtool` judge names, units and help texts, where it is installed.
fn check_metrics(text: &str) {
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        return println!("SKIPPED: promtool is not installed");
    };
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let judged = promtool.wait_with_output().unwrap();
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));
}
