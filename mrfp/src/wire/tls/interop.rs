//! Our end of TLS against OpenSSL's commands, over a socket: a peer that we did not write. Without the command the tests
//! say that they are skipped.
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use service::tls::{self, ClientAuth, DevCa, IdentityFiles, Trust};
use tempfile::TempDir;

use super::*;
use crate::wire::WireError;

/// How long anything may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(30);

const SIZES: [usize; 4] = [1, 16_384, 16_385, 1024 * 1024];

/// A CA and a server's certificate, as configurations and as files.
struct World {
    folder: TempDir,
    files: IdentityFiles,
    ca: DevCa,
}

/// One of OpenSSL's commands, and what it has said.
struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    out: Receiver<Vec<u8>>,
    errors: Receiver<Vec<u8>>,
    said: Vec<u8>,
    complained: Vec<u8>,
}

/// Our end.
struct Line {
    socket: TcpStream,
    tls: Tls,
    opened: BytesMut,
}

fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    if !found {
        println!("SKIPPED: no openssl command here");
    }
    found
}

/// No octet of it is a letter, which would be a command.
fn text(octets: usize) -> Vec<u8> {
    (128..=250).cycle().take(octets).collect()
}

impl World {
    fn new() -> Self {
        tls::install_provider();
        let folder = tempfile::tempdir().unwrap();
        let ca = DevCa::new("test", service::clock::wall()).unwrap();
        let files = ca.issue_files(&["localhost"], folder.path(), "server").unwrap();
        ca.write_certificate(&folder.path().join("ca.pem")).unwrap();
        Self { folder, files, ca }
    }

    fn server(&self) -> Arc<ServerConfig> {
        let identity = self.ca.issue(&["localhost"]).unwrap();
        let config = tls::server_config(&identity, ClientAuth::None, &[]).unwrap();
        let mut config = Arc::unwrap_or_clone(config);
        config.enable_secret_extraction = true;
        Arc::new(config)
    }

    /// `openssl s_client`, connected to our end.
    fn s_client(&self, arguments: &[&str]) -> (Program, Line) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let ca = self.folder.path().join("ca.pem");
        let program = Program::start(
            Command::new("openssl")
                .args(["s_client", "-servername", "localhost", "-verify_return_error"])
                .args(["-connect", &address, "-CAfile"])
                .arg(ca)
                .args(arguments),
        );
        let (socket, _) = listener.accept().unwrap();
        let mut line = Line::over(socket, Tls::server(self.server()).unwrap());
        line.until(|tls, _| !tls.is_handshaking());
        (program, line)
    }

    /// Our end, connected to `openssl s_server`.
    fn s_server(&self, arguments: &[&str]) -> (Program, Line) {
        let mut program = Program::start(
            Command::new("openssl")
                .args(["s_server", "-accept", "127.0.0.1:0", "-naccept", "1", "-cert"])
                .arg(&self.files.certificate_file)
                .arg("-key")
                .arg(&self.files.key_file)
                .args(arguments),
        );
        let address = program.line("ACCEPT ");
        let trust = Trust::Roots(self.ca.roots().unwrap());
        let config = tls::client_config(trust, None, &[]).unwrap();
        let mut config = Arc::unwrap_or_clone(config);
        config.enable_secret_extraction = true;
        let name = ServerName::try_from("localhost").unwrap();
        let socket = TcpStream::connect(address).unwrap();
        let mut line = Line::over(socket, Tls::client(Arc::new(config), name).unwrap());
        line.flush();
        line.until(|tls, _| !tls.is_handshaking());
        (program, line)
    }
}

impl Program {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = heard(child.stdout.take().unwrap());
        let errors = heard(child.stderr.take().unwrap());
        let stdin = child.stdin.take();
        Self { child, stdin, out, errors, said: Vec::new(), complained: Vec::new() }
    }

    /// Gives it something to send, or a command.
    fn give(&mut self, octets: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(octets).unwrap();
    }

    /// Waits until the last that it printed is this.
    fn until_said(&mut self, last: &[u8]) {
        while !self.said.ends_with(last) {
            self.said.extend(self.out.recv_timeout(PATIENCE).unwrap());
        }
    }

    /// Waits for a line that begins like this. What follows.
    fn line(&mut self, front: &str) -> String {
        loop {
            let said = String::from_utf8_lossy(&self.said);
            let mut lines = said.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            if let Some(rest) = lines.find_map(|line| line.strip_prefix(front)) {
                return rest.trim().to_owned();
            }
            self.said.extend(self.out.recv_timeout(PATIENCE).unwrap());
        }
    }

    /// Waits until it has complained of this, or noted it.
    fn until_complained(&mut self, of: &str) {
        while !String::from_utf8_lossy(&self.complained).contains(of) {
            let more = self.errors.recv_timeout(PATIENCE);
            let more = more.map_err(|_| String::from_utf8_lossy(&self.complained));
            self.complained.extend(more.unwrap());
        }
    }

    /// Waits until it ends by itself. All that it complained of.
    fn ended(mut self) -> String {
        while let Ok(more) = self.errors.recv_timeout(PATIENCE) {
            self.complained.extend(more);
        }
        self.child.wait().unwrap();
        String::from_utf8_lossy(&self.complained).into_owned()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn heard(mut from: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut room = [0; 16 * 1024];
        while let Ok(octets @ 1..) = from.read(&mut room) {
            if sender.send(room[..octets].to_vec()).is_err() {
                return;
            }
        }
    });
    receiver
}

impl Line {
    fn over(socket: TcpStream, tls: Tls) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { socket, tls, opened: BytesMut::new() }
    }

    fn flush(&mut self) {
        self.tls.seal(&[]);
        self.socket.write_all(&std::mem::take(&mut self.tls.out)).unwrap();
    }

    fn send(&mut self, plain: &[u8]) {
        self.tls.seal_slices(plain.chunks(5000));
        self.flush();
    }

    /// What the socket has; at its end nothing.
    fn raw(&mut self) -> Vec<u8> {
        let mut room = vec![0; 64 * 1024];
        let octets = self.socket.read(&mut room).unwrap();
        room.truncate(octets);
        room
    }

    /// Reads until this is so; what we owe in return leaves at once.
    fn until(&mut self, done: impl Fn(&Tls, &BytesMut) -> bool) {
        while !done(&self.tls, &self.opened) {
            let sealed = self.raw();
            assert!(!sealed.is_empty(), "the peer has gone");
            let incoming = self.tls.open(&sealed, &mut self.opened).unwrap();
            assert_eq!(incoming, Incoming::Open);
            self.flush();
        }
    }

    fn hear(&mut self, text: &[u8]) {
        self.until(|_, opened| opened.len() >= text.len());
        assert!(self.opened.split() == text, "what came is not what was sent");
    }

    /// Reads until the peer says that nothing follows.
    fn until_closed(&mut self) {
        loop {
            let sealed = self.raw();
            assert!(!sealed.is_empty(), "the stream ends, and nobody has said so");
            if self.tls.open(&sealed, &mut self.opened).unwrap() == Incoming::Closed {
                return;
            }
        }
    }

    fn is_agreed(&self) -> bool {
        matches!(self.tls.stage, Stage::Agreed(_))
    }

    /// One record as it is on the wire.
    fn record(&mut self) -> Vec<u8> {
        let mut sealed = Vec::new();
        while sealed.len() < 5
            || sealed.len() < 5 + usize::from(sealed[3]) * 256 + usize::from(sealed[4])
        {
            sealed.extend(self.raw());
        }
        sealed
    }

    /// What comes of octets that are no honest record's.
    fn refused(&mut self, sealed: &[u8]) -> record::Error {
        let error = self.tls.open(sealed, &mut self.opened).unwrap_err();
        assert!(self.opened.is_empty(), "nothing of it is handed out");
        self.send(b"nothing follows an alert");
        match error {
            WireError::Record(error) => error,
            other => panic!("{other}"),
        }
    }
}

#[test]
fn an_openssl_client_and_our_end_hear_each_other_with_every_suite_and_version() {
    if !has_openssl() {
        return;
    }
    let world = World::new();
    let ways: [&[&str]; 4] = [
        &["-ciphersuites", "TLS_AES_128_GCM_SHA256"],
        &["-ciphersuites", "TLS_AES_256_GCM_SHA384"],
        &["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
        // For good with rustls.
        &["-tls1_2"],
    ];
    for way in ways {
        let (mut client, mut line) = world.s_client(&[&["-quiet", "-nocommands"], way].concat());
        for octets in SIZES {
            client.give(&text(octets));
            line.hear(&text(octets));
            line.send(&text(octets));
            client.until_said(&text(octets));
            client.said.clear();
        }
        assert_eq!(line.is_agreed(), way != ["-tls1_2"], "{way:?}");

        line.tls.close();
        line.flush();
        line.until_closed();
        let complaints = client.ended();
        assert!(!complaints.contains("unexpected eof"), "our close_notify came: {complaints}");
    }
}

#[test]
fn an_openssl_server_and_our_end_hear_each_other_past_tickets_and_new_keys() {
    if !has_openssl() {
        return;
    }
    let world = World::new();
    let (mut server, mut line) = world.s_server(&["-num_tickets", "8"]);
    for octets in SIZES {
        server.give(&text(octets));
        line.hear(&text(octets));
        line.send(&text(octets));
        server.until_said(&text(octets));

        // A new key, and one of us in return.
        server.give(b"K\n");
        let tickets_and_update = line.raw();
        line.tls.open(&tickets_and_update, &mut line.opened).unwrap();
        assert!(matches!(&line.tls.stage, Stage::Agreed(records) if records.wants_seal()));
        line.flush();
    }

    line.tls.close();
    line.flush();
    line.until_closed();
    let complaints = server.ended();
    assert!(!complaints.contains("rror"), "{complaints}");
}

#[test]
fn an_openssl_server_of_tls_1_2_is_heard_through_rustls() {
    if !has_openssl() {
        return;
    }
    let world = World::new();
    let (mut server, mut line) = world.s_server(&["-tls1_2"]);
    for octets in SIZES {
        server.give(&text(octets));
        line.hear(&text(octets));
        line.send(&text(octets));
        server.until_said(&text(octets));
    }
    assert!(!line.is_agreed());
}

#[test]
fn s4_6_3_openssl_changes_its_key_with_and_without_asking_for_ours() {
    if !has_openssl() {
        return;
    }
    let world = World::new();
    let (mut client, mut line) = world.s_client(&["-brief"]);
    client.until_complained("Server Temp Key");
    for command in [&b"K\n"[..], b"k\n", b"K\n", b"k\n"] {
        client.give(command);
        client.until_complained("KEYUPDATE");
        client.complained.clear();
        client.give(b"word\n");
        line.hear(b"word\n");
        line.send(b"answer\n");
        client.until_said(b"answer\n");
        client.said.clear();
    }

    client.give(b"Q\n");
    line.until_closed();
}

#[test]
fn s6_2_openssl_is_told_why_and_nothing_else_when_a_record_is_bad() {
    if !has_openssl() {
        return;
    }
    let world = World::new();
    let (mut client, mut line) = world.s_client(&["-brief"]);
    client.give(b"hello\n");
    let mut sealed = line.record();
    *sealed.last_mut().unwrap() ^= 1;
    assert_eq!(line.refused(&sealed), record::Error::Forged);
    client.until_complained("bad record mac");
    assert_eq!(client.said, b"");

    let (mut client, mut line) = world.s_client(&["-brief"]);
    assert_eq!(line.refused(&[23, 3, 3, 0x41, 1]), record::Error::TooLong);
    client.until_complained("record overflow");
    assert_eq!(client.said, b"");
}

#[test]
fn s6_2_what_openssl_complains_of_ends_our_end() {
    if !has_openssl() {
        return;
    }
    let world = World::new();
    let (mut client, mut line) = world.s_client(&["-brief"]);
    line.tls.seal_slices(std::iter::once(&b"hello"[..]));
    *line.tls.out.last_mut().unwrap() ^= 1;
    line.flush();
    let sealed = line.record();
    assert_eq!(line.refused(&sealed), record::Error::Alert(20), "bad_record_mac");
    client.until_complained("bad record mac");
}
