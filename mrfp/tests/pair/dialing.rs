//! A leg whose user waits for a connection: the relay is the active side (RFC 4975, 5.4; RFC 6135).
use bytes::Bytes;
use control::{Cause, Dial, Reach, RoomNotice, Seat};
use ids::SeatId;
use msrp::{Body, SendRequest, Status};
use service::tls::{ClientAuth, DevCa, Identity, server_config};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::common::{Stage, id, seat, soon};
use crate::peer::{Hears, Peer, Says, pair};

/// A user that waits, with this certificate.
struct Waiting {
    listener: TcpListener,
    identity: Identity,
}

impl Waiting {
    async fn with(identity: Identity) -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), identity }
    }

    /// The order for the leg of user `n`.
    fn leg(&self, n: u64, fingerprints: Vec<String>) -> Seat {
        let port = self.listener.local_addr().unwrap().port();
        let reach = Reach { fingerprints, dial: Some(Dial { to: None }), ..Reach::default() };
        Seat { reach, peer_path: Some(format!("msrps://localhost:{port}/u{n};tcp")), ..seat(n) }
    }

    /// The relay comes.
    async fn meet(&self, order: &Seat, path: &str) -> std::io::Result<Peer> {
        let (socket, _) = soon("the connection", self.listener.accept()).await.unwrap();
        let tls = server_config(&self.identity, ClientAuth::Any, &[]).unwrap();
        let stream = soon("the handshake", TlsAcceptor::from(tls).accept(socket)).await?;
        let back = order.peer_path.as_deref().unwrap();
        let (read, write) = tokio::io::split(tokio_rustls::TlsStream::from(stream));
        Ok(Peer { hears: Hears::new(read), says: Says::new(write, path, back) })
    }
}

fn text(name: &str, text: &'static str) -> SendRequest {
    SendRequest::whole(id(name), "text/plain", Body::from(Bytes::from_static(text.as_bytes())))
}

/// User 2 of a session whose user 1 has come is met, and both talk.
async fn talks(mut stage: Stage, waiting: Waiting, fingerprints: Vec<String>) {
    stage.order(pair(false)).await;
    let mut alice = Peer::join(&mut stage, 1).await;
    let order = waiting.leg(2, fingerprints);
    let path = stage.seat(order.clone()).await;

    let mut bob = waiting.meet(&order, &path).await.unwrap();
    let first = bob.request().await;

    assert!(first.head.method() == Some(&msrp::Method::Send) && first.body.is_empty(), "M4975-08");
    assert_eq!(first.head.to_path().to_wire(), order.peer_path.unwrap());
    assert_eq!(first.head.from_path().to_wire(), path);
    bob.answer(&first.head, Status::OK).await;
    stage.notice(|notice| *notice == RoomNotice::Bound { seat: SeatId(2) }).await;
    assert_eq!(alice.ask(&text("message1", "to who waited")).await, 200);
    assert_eq!(bob.message().await.1, b"to who waited"[..]);
    assert_eq!(bob.ask(&text("message2", "from who waited")).await, 200);
    assert_eq!(alice.message().await.1, b"from who waited"[..]);
}

#[tokio::test]
async fn m4975_08_the_relay_connects_to_a_leg_by_the_fingerprint_that_signalling_named() {
    let theirs = DevCa::new("theirs", service::clock::wall()).unwrap();
    let waiting = Waiting::with(theirs.issue(&["ue.example"]).unwrap()).await;
    let fingerprint = waiting.identity.fingerprint().to_string();

    talks(Stage::new().await, waiting, vec![fingerprint]).await;
}

#[tokio::test]
async fn m4975_08_the_relay_connects_to_a_leg_whose_name_an_authority_proves() {
    let stage = Stage::with(|config| {
        config.msrp.peer_ca_file = Some(config.control.ca_file.clone());
    })
    .await;
    let waiting = Waiting::with(stage.ca.issue(&["localhost"]).unwrap()).await;

    talks(stage, waiting, Vec::new()).await;
}

#[tokio::test]
async fn m4975_15_a_leg_whose_certificate_is_of_another_name_is_lost_and_what_waited_for_it_fails()
{
    let mut stage = Stage::with(|config| {
        config.msrp.peer_ca_file = Some(config.control.ca_file.clone());
    })
    .await;
    stage.order(pair(false)).await;
    let mut alice = Peer::join(&mut stage, 1).await;
    let waiting = Waiting::with(stage.ca.issue(&["elsewhere.example"]).unwrap()).await;
    let order = waiting.leg(2, Vec::new());
    let path = stage.seat(order.clone()).await;
    assert_eq!(alice.ask(&text("message1", "hello?")).await, 200);

    assert!(waiting.meet(&order, &path).await.is_err());

    assert_eq!(stage.lost(2).await, Cause::Disconnected);
    assert_eq!(alice.report().await, ("message1".into(), 481, "1-6/6".into()));
}
