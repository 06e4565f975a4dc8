//! A relay over real sockets, a focus that speaks control over QUIC, and participants over TLS.
#![expect(unreachable_pub, reason = "a module of each test file")]
#![allow(dead_code, reason = "each test file uses its own part")]
pub mod dns;
mod focus;
pub mod person;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control::{Gate, Level, Notice, Room, RoomNotice, RoomOrder, Seat};
use ids::{ConferenceId, Epoch, Era, SeatId, Term};
use mrfp::{Config, Server};
use msrp::cpim::Builder;
use msrp::{Body, MessageId, SendRequest};
use service::shutdown::Shutdown;
use service::tls::DevCa;
use tempfile::TempDir;

pub use focus::Focus;
pub use person::{Got, Person};

pub const ROOM: &str = "sip:room7@example.net";

/// Long enough for any machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not happen in time"),
    }
}

pub struct Stage {
    pub ca: Arc<DevCa>,
    pub msrp: SocketAddr,
    pub control: SocketAddr,
    pub ops: SocketAddr,
    pub ready: mrfp::Ready,
    pub focus: Focus,
    pub shutdown: Shutdown,
    pub served: tokio::task::JoinHandle<Result<(), mrfp::RunError>>,
    folder: TempDir,
}

fn config(ca: &DevCa, folder: &TempDir) -> Config {
    let files =
        ca.issue_files(&["localhost", "127.0.0.1", "example.net"], folder.path(), "relay").unwrap();
    let ca_file = folder.path().join("ca.pem");
    ca.write_certificate(&ca_file).unwrap();
    let text = format!(
        "shards = 2\n\
         [msrp]\nlisten = \"127.0.0.1:0\"\ncertificate_file = {chain:?}\nkey_file = {key:?}\n\
         [control]\nlisten = \"127.0.0.1:0\"\ncertificate_file = {chain:?}\nkey_file = {key:?}\n\
         ca_file = {ca_file:?}\n[ops]\nlisten = \"127.0.0.1:0\"\n[drain]\ntimeout_secs = 20\n",
        chain = files.certificate_file,
        key = files.key_file,
    );
    let path = folder.path().join("mrfp.toml");
    std::fs::write(&path, text).unwrap();
    let nothing = std::collections::HashMap::new();
    service::config::load_from(Some(&path), "MRFP", nothing, &[]).unwrap()
}

impl Stage {
    /// A relay with two shards and a focus that is connected.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with other bounds.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let ca = DevCa::new("test", service::clock::wall()).unwrap();
        Self::under(Arc::new(ca), change).await
    }

    /// The same under an authority that others are under too.
    pub async fn under(ca: Arc<DevCa>, change: impl FnOnce(&mut Config)) -> Self {
        let folder = TempDir::new().unwrap();
        let mut config = config(&ca, &folder);
        change(&mut config);
        let server = Server::bind(config).await.unwrap();
        let ready = server.ready().clone();
        let shutdown = Shutdown::new();
        let served = tokio::spawn(server.serve(shutdown.clone()));
        let stage = Self::around(ca, folder, ready).await;
        Self { shutdown, served, ..stage }
    }

    /// A relay that runs elsewhere, under this CA, and a focus that is connected to it.
    pub async fn around(ca: impl Into<Arc<DevCa>>, folder: TempDir, ready: mrfp::Ready) -> Self {
        let ca = ca.into();
        let (msrp, control, ops) = (ready.msrp, ready.control, ready.ops);
        let mut focus = Focus::new(&ca, control);
        focus.connect().await;
        let (shutdown, served) = (Shutdown::new(), tokio::spawn(async { Ok(()) }));
        Self { ca, msrp, control, ops, ready, focus, shutdown, served, folder }
    }

    /// Where the relay's files lie.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub async fn open(&mut self, level: Level, gate: Option<Gate>) {
        let room = Room {
            uri: ROOM.into(),
            term: Term(1),
            level,
            gate,
            message_octets_max: 100 * 1024 * 1024,
            charge: false,
            stored: None,
        };
        self.order(RoomOrder::Open(room)).await;
    }

    pub async fn order(&mut self, order: RoomOrder) {
        self.focus.order(order).await;
    }

    /// Waits for a notice that fits; others are kept for later.
    pub async fn notice(&mut self, fits: impl Fn(&RoomNotice) -> bool) -> RoomNotice {
        let (focus, fits) = (&mut self.focus, &fits);
        soon(
            "the notice",
            focus.notice(|notice| match notice {
                Notice::Room { notice, .. } => fits(notice).then(|| notice.clone()),
                Notice::Draining { .. } | Notice::AuthAsked(_) => None,
            }),
        )
        .await
    }

    /// Orders a seat; its path.
    pub async fn seat(&mut self, seat: Seat) -> String {
        let wanted = seat.seat;
        self.order(RoomOrder::Seat(seat)).await;
        let seated = |notice: &RoomNotice| matches!(notice, RoomNotice::Seated { seat, .. } if *seat == wanted);
        match self.notice(seated).await {
            RoomNotice::Seated { path, .. } => path,
            other => panic!("{other:?}"),
        }
    }

    /// A participant that has taken its seat.
    pub async fn join(&mut self, n: u64) -> Person {
        self.join_as(seat(n)).await
    }

    pub async fn join_as(&mut self, seat: Seat) -> Person {
        let (wanted, peer) = (seat.seat, seat.peer_path.clone().unwrap());
        let path = self.seat(seat).await;
        let mut person = Person::connect(&self.ca, self.msrp).await;
        person.aim(&path, &peer);
        person.bind().await;
        self.notice(|notice| *notice == RoomNotice::Bound { seat: wanted }).await;
        person
    }

    pub async fn lost(&mut self, wanted: u64) -> control::Cause {
        let lost = |notice: &RoomNotice| matches!(notice, RoomNotice::Lost { seat, .. } if seat.0 == wanted);
        match self.notice(lost).await {
            RoomNotice::Lost { cause, .. } => cause,
            other => panic!("{other:?}"),
        }
    }

    /// One of the relay's figures: the sum of all that have this name and at least these labels.
    pub async fn metric(&self, wanted: &str) -> f64 {
        let parts = |series: &str| {
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let labels = labels.trim_end_matches('}').split(',').map(str::to_owned);
            (name.to_owned(), labels.filter(|label| !label.is_empty()).collect::<Vec<_>>())
        };
        let (name, labels) = parts(wanted);
        let text = self.metrics().await;
        let fits = |line: &str| {
            let (series, value) = line.trim().rsplit_once(' ')?;
            let (other, more) = parts(series);
            let fits = other == name && labels.iter().all(|label| more.contains(label));
            fits.then(|| value.parse::<f64>().unwrap())
        };
        text.lines().filter_map(fits).sum()
    }

    /// Waits until one of the relay's figures is as it should be.
    pub async fn until(&self, line: &str, fits: impl Fn(f64) -> bool) {
        let fitting = async {
            while !fits(self.metric(line).await) {
                tokio::task::yield_now().await;
            }
        };
        soon(line, fitting).await;
    }

    /// All of them, with the head of the HTTP response.
    pub async fn metrics(&self) -> String {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut socket = tokio::net::TcpStream::connect(self.ops).await.unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).await.unwrap();
        text
    }
}

pub fn conference() -> ConferenceId {
    "room7".parse().unwrap()
}

pub fn aor(n: u64) -> String {
    format!("sip:user{n}@example.net")
}

pub fn seat(n: u64) -> Seat {
    let device = format!("urn:uuid:00000000-0000-4000-8000-{n:012}").parse().unwrap();
    Seat {
        private_messages: true,
        peer_path: Some(format!("msrps://ua{n}.example:9/u{n};tcp")),
        ..Seat::new(SeatId(n), aor(n).parse().unwrap(), device)
    }
}

pub fn gate(epoch: u64) -> Gate {
    Gate { era: Era(0), epoch: Epoch(epoch), shut: false, grace: false }
}

pub fn id(text: &str) -> MessageId {
    MessageId::parse(text.as_bytes()).unwrap()
}

/// A CPIM message of user `n`.
pub fn cpim(n: u64, to: &str, content_type: &str, content: impl Into<Bytes>) -> Body {
    Builder::new(&aor(n), to).content(content_type, content.into())
}

/// RFC 9420, 6, by hand: an application message of the room's group.
pub fn mls(epoch: u64, text: &str) -> Bytes {
    let mut bytes = vec![0, 1, 0, 2, 7];
    bytes.extend_from_slice(b"room7#0");
    bytes.extend_from_slice(&epoch.to_be_bytes());
    bytes.push(1);
    bytes.extend_from_slice(text.as_bytes());
    bytes.into()
}

pub fn sealed(n: u64, epoch: u64, text: &str) -> Body {
    cpim(n, ROOM, mrfp::session::SEALED, mls(epoch, text))
}

pub fn text(n: u64, text: &str) -> Body {
    cpim(n, ROOM, "text/plain", Bytes::copy_from_slice(text.as_bytes()))
}

pub fn message(name: &str, body: Body) -> SendRequest {
    SendRequest::whole(id(name), msrp::cpim::MEDIA_TYPE, body)
}
