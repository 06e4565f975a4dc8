//! The relay as the active side (RFC 4975, 5.4; RFC 6135): it connects to participants that wait.
use std::sync::Arc;

use control::{Cause, Dial, Level, Reach, RoomNotice, RoomOrder, Seat};
use ids::SeatId;
use msrp::{Address, Item, Path, Reply, Status};
use rustls::ServerConfig;
use service::tls::{ClientAuth, DevCa, Fingerprint, Identity, server_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::common::{Stage, message, seat, soon, text};

/// A participant that waits for a connection.
pub(crate) struct Waiting {
    pub(crate) listener: TcpListener,
    identity: Identity,
    tls: Arc<ServerConfig>,
}

impl Waiting {
    pub(crate) async fn at(address: &str) -> Self {
        let ca = DevCa::new("theirs", service::clock::wall()).unwrap();
        let identity = ca.issue(&["ue.example"]).unwrap();
        let tls = server_config(&identity, ClientAuth::Any, &[]).unwrap();
        Self { listener: TcpListener::bind(address).await.unwrap(), identity, tls }
    }

    pub(crate) fn authority(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    pub(crate) async fn accept(&self) -> Met {
        soon("the connection", async {
            let (socket, _) = self.listener.accept().await.unwrap();
            let stream = TlsAcceptor::from(Arc::clone(&self.tls)).accept(socket).await.unwrap();
            let shown = stream
                .get_ref()
                .1
                .peer_certificates()
                .and_then(|all| all.first().map(Fingerprint::of));
            let (decoder, input) = (msrp::Decoder::default(), bytes::BytesMut::new());
            Met { stream, shown, decoder, input }
        })
        .await
    }

    /// A seat whose path leads here.
    pub(crate) fn seat(&self, n: u64, authority: &str, to: Option<String>) -> Seat {
        let reach = Reach {
            fingerprints: vec![self.identity.fingerprint().to_string()],
            dial: Some(Dial { to }),
            ..Reach::default()
        };
        Seat { reach, peer_path: Some(format!("msrps://{authority}/u{n};tcp")), ..seat(n) }
    }
}

/// The relay has connected.
pub(crate) struct Met {
    stream: TlsStream<TcpStream>,
    shown: Option<Fingerprint>,
    decoder: msrp::Decoder,
    input: bytes::BytesMut,
}

impl Met {
    /// The next request, answered.
    pub(crate) async fn request(&mut self, status: Status) -> msrp::Chunk {
        loop {
            if let Some(Item::Request(chunk)) = self.decoder.next(&mut self.input).unwrap() {
                let reply = Reply::new(&chunk.head, status).unwrap().encode().unwrap();
                self.stream.write_all(&reply.to_bytes()).await.unwrap();
                self.stream.flush().await.unwrap();
                return chunk;
            }
            let read = soon("a request", self.stream.read_buf(&mut self.input)).await;
            assert_ne!(read.unwrap(), 0, "the relay hung up");
        }
    }

    async fn ends(&mut self) {
        let mut rest = Vec::new();
        drop(soon("the end", self.stream.read_to_end(&mut rest)).await);
    }
}

async fn open_room() -> Stage {
    let mut stage = Stage::new().await;
    stage.open(Level::Open, None).await;
    stage
}

pub(crate) async fn bound(stage: &mut Stage, n: u64) {
    stage.notice(|notice| *notice == RoomNotice::Bound { seat: SeatId(n) }).await;
}

#[tokio::test]
async fn m4975_08_the_relay_connects_and_sends_at_once_and_shows_its_certificate() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let waiting = Waiting::at("127.0.0.1:0").await;
    let order = waiting.seat(2, &waiting.authority(), None);
    let path = stage.seat(order.clone()).await;

    let mut met = waiting.accept().await;
    let first = met.request(Status::OK).await;

    assert!(first.body.is_empty() && first.head.method() == Some(&msrp::Method::Send));
    let (to, from): (Path, Path) =
        (order.peer_path.unwrap().parse().unwrap(), path.parse().unwrap());
    assert!(first.head.to_path() == &to && first.head.from_path() == &from);
    assert!(met.shown.is_some(), "TLSSDP-02: the active side presents a certificate");
    bound(&mut stage, 2).await;

    assert_eq!(alice.ask(&message("m1aa", text(1, "hello"))).await.0, 200);
    assert_eq!(met.request(Status::OK).await.body, text(1, "hello"));
    let frame = message("m2aa", text(2, "hello too")).encode(&mut alice.rng);
    let frame = frame.to(&Address::new(&from, &to));
    met.stream.write_all(&frame.to_bytes()).await.unwrap();
    assert_eq!(alice.message().await, text(2, "hello too"));
}

#[tokio::test]
async fn m4975_09_two_sessions_to_one_peer_share_a_connection_and_the_last_to_go_ends_it() {
    let mut stage = open_room().await;
    let waiting = Waiting::at("127.0.0.1:0").await;
    stage.seat(waiting.seat(1, &waiting.authority(), None)).await;
    let mut met = waiting.accept().await;
    met.request(Status::OK).await;
    bound(&mut stage, 1).await;

    stage.seat(waiting.seat(2, &waiting.authority(), None)).await;
    met.request(Status::OK).await;
    bound(&mut stage, 2).await;

    let unseat = |n| RoomOrder::Unseat { seat: SeatId(n), reason: "left".into() };
    stage.order(unseat(1)).await;
    stage.seat(waiting.seat(3, &waiting.authority(), None)).await;
    met.request(Status::OK).await;
    stage.order(unseat(2)).await;
    stage.order(unseat(3)).await;
    met.ends().await;
}

#[tokio::test]
async fn p24_a_connection_is_not_reused_for_a_peer_that_another_certificate_was_named_for() {
    let mut stage = open_room().await;
    let waiting = Waiting::at("127.0.0.1:0").await;
    stage.seat(waiting.seat(1, &waiting.authority(), None)).await;
    let mut met = waiting.accept().await;
    met.request(Status::OK).await;

    let mut other = waiting.seat(2, &waiting.authority(), None);
    other.reach.fingerprints = vec![stage.ca.issue(&["x"]).unwrap().fingerprint().to_string()];
    stage.seat(other).await;
    let (socket, _) = soon("a second one", waiting.listener.accept()).await.unwrap();
    let refused = TlsAcceptor::from(Arc::clone(&waiting.tls)).accept(socket).await;

    // RFC 8122, 6.2: the relay ends the handshake, and the seat is lost.
    assert!(refused.is_err());
    assert_eq!(stage.lost(2).await, Cause::Disconnected);
}

#[tokio::test]
async fn m6714_03_with_cema_the_connection_goes_where_c_and_m_say_and_to_path_stays() {
    let mut stage = open_room().await;
    let waiting = Waiting::at("127.0.0.1:0").await;
    let order = waiting.seat(1, "ue.invalid:7", Some(waiting.authority()));
    stage.seat(order).await;

    let first = waiting.accept().await.request(Status::OK).await;

    assert_eq!(first.head.to_path().first().host(), "ue.invalid");
}

#[tokio::test]
async fn ipv6_the_relay_listens_there_and_connects_there() {
    let mut stage = Stage::with(|config| config.msrp.listen = "[::1]:0".parse().unwrap()).await;
    stage.open(Level::Open, None).await;
    let alice = stage.join(1).await;
    assert_eq!(alice.paths().0.first().host(), "[::1]");

    let waiting = Waiting::at("[::1]:0").await;
    stage.seat(waiting.seat(2, &waiting.authority(), None)).await;
    waiting.accept().await.request(Status::OK).await;
    bound(&mut stage, 2).await;
}

#[tokio::test]
async fn m4975_11_a_peer_that_refuses_the_first_request_has_no_session() {
    let mut stage = open_room().await;
    let waiting = Waiting::at("127.0.0.1:0").await;
    stage.seat(waiting.seat(1, &waiting.authority(), None)).await;

    let mut met = waiting.accept().await;
    met.request(Status::NO_SUCH_SESSION).await;

    assert_eq!(stage.lost(1).await, Cause::Misbehaved);
    met.ends().await;
}

#[tokio::test]
async fn a_peer_that_nothing_is_known_of_is_not_connected_to() {
    let mut stage = open_room().await;
    let waiting = Waiting::at("127.0.0.1:0").await;
    let mut order = waiting.seat(1, &waiting.authority(), None);
    order.reach.fingerprints.clear();

    stage.seat(order).await;

    assert_eq!(stage.lost(1).await, Cause::Disconnected);
}
