//! Our end of TLS against rustls's at the other, in memory, with both versions and whoever gives its keys away.
use std::io::{Read, Write};

use rustls::{ClientConnection, SupportedProtocolVersion, version};
use service::tls::{self, ClientAuth, DevCa};

use super::*;

fn configs(
    version: &'static SupportedProtocolVersion,
    gives_keys: bool,
) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let ca = DevCa::new("test", service::clock::wall()).unwrap();
    let identity = ca.issue(&["localhost"]).unwrap();
    let server = tls::server_config(&identity, ClientAuth::None, &[]).unwrap();
    let mut server = Arc::unwrap_or_clone(server);
    server.enable_secret_extraction = gives_keys;
    let client = ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(ca.roots().unwrap())
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

struct Pair {
    ours: Tls,
    theirs: ClientConnection,
    opened: BytesMut,
    heard: Vec<u8>,
}

impl Pair {
    fn new(version: &'static SupportedProtocolVersion, gives_keys: bool) -> Self {
        let (server, client) = configs(version, gives_keys);
        let name = ServerName::try_from("localhost").unwrap();
        let theirs = ClientConnection::new(client, name).unwrap();
        let ours = Tls::server(server).unwrap();
        let mut pair = Self { ours, theirs, opened: BytesMut::new(), heard: Vec::new() };
        while pair.theirs.is_handshaking() || pair.ours.is_handshaking() {
            pair.carry();
        }
        pair
    }

    /// Carries what waits at either end to the other.
    fn carry(&mut self) -> Incoming {
        let (mut wire, mut incoming) = (Vec::new(), Incoming::Open);
        while self.theirs.wants_write() {
            self.theirs.write_tls(&mut wire).unwrap();
        }
        if !wire.is_empty() {
            incoming = self.ours.open(&wire, &mut self.opened).unwrap();
        }
        self.ours.seal(&[]);
        let out = std::mem::take(&mut self.ours.out);
        let mut rest = &*out;
        while !rest.is_empty() {
            self.theirs.read_tls(&mut rest).unwrap();
            self.theirs.process_new_packets().unwrap();
            // An error says that there is no more for now.
            drop(self.theirs.reader().read_to_end(&mut self.heard));
        }
        incoming
    }
}

#[test]
fn either_version_carries_octets_both_ways_and_says_when_nothing_follows() {
    for (version, gives_keys) in
        [(&version::TLS13, true), (&version::TLS13, false), (&version::TLS12, true)]
    {
        let mut pair = Pair::new(version, gives_keys);
        let agreed = matches!(pair.ours.stage, Stage::Agreed(_));
        assert_eq!(agreed, gives_keys && version == &version::TLS13);

        for octets in [1, 5000, 40_000] {
            let text: Vec<u8> = (0..=250).cycle().take(octets).collect();
            pair.theirs.set_buffer_limit(None);
            pair.theirs.writer().write_all(&text).unwrap();
            pair.ours.seal_slices(text.chunks(777));
            pair.carry();
            assert_eq!(pair.opened.split(), text);
            assert_eq!(std::mem::take(&mut pair.heard), text);
        }
        if version == &version::TLS13 {
            pair.theirs.refresh_traffic_keys().unwrap();
            pair.carry();
        }
        pair.ours.close();
        pair.carry();
        pair.theirs.send_close_notify();
        assert_eq!(pair.carry(), Incoming::Closed);
        let end = pair.theirs.reader().read(&mut [0]);
        assert_eq!(end.unwrap(), 0, "our close_notify came");
    }
}

#[test]
fn what_the_client_says_with_its_last_flight_is_not_lost_wherever_the_stream_is_cut() {
    for step in [1, 50, 100_000] {
        let (server, client) = configs(&version::TLS13, true);
        let mut theirs =
            ClientConnection::new(client, ServerName::try_from("localhost").unwrap()).unwrap();
        let (mut ours, mut opened) = (Tls::server(server).unwrap(), BytesMut::new());
        theirs.writer().write_all(b"at once").unwrap();
        while ours.is_handshaking() {
            let mut wire = Vec::new();
            while theirs.wants_write() {
                theirs.write_tls(&mut wire).unwrap();
            }
            for piece in wire.chunks(step) {
                ours.open(piece, &mut opened).unwrap();
            }
            theirs.read_tls(&mut &*std::mem::take(&mut ours.out)).unwrap();
            theirs.process_new_packets().unwrap();
        }
        assert_eq!(opened, "at once");
        assert!(matches!(ours.stage, Stage::Agreed(_)));
    }
}

#[test]
fn s4_6_3_a_new_key_right_behind_the_handshake_is_taken_and_answered() {
    for step in [1, 100_000] {
        let (server, client) = configs(&version::TLS13, true);
        let name = ServerName::try_from("localhost").unwrap();
        let mut theirs = ClientConnection::new(client, name).unwrap();
        let (mut ours, mut opened) = (Tls::server(server).unwrap(), BytesMut::new());
        while ours.is_handshaking() {
            let mut wire = Vec::new();
            if !theirs.is_handshaking() {
                theirs.refresh_traffic_keys().unwrap();
                theirs.writer().write_all(b"with the next key").unwrap();
            }
            while theirs.wants_write() {
                theirs.write_tls(&mut wire).unwrap();
            }
            for piece in wire.chunks(step) {
                ours.open(piece, &mut opened).unwrap();
            }
            theirs.read_tls(&mut &*std::mem::take(&mut ours.out)).unwrap();
            theirs.process_new_packets().unwrap();
        }
        assert_eq!(opened, "with the next key");

        ours.seal_slices(std::iter::once(&b"answer"[..]));
        theirs.read_tls(&mut &*ours.out).unwrap();
        theirs.process_new_packets().unwrap();
        let mut answer = [0; 6];
        theirs.reader().read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"answer");
    }
}

#[test]
fn s6_2_nothing_follows_the_alert() {
    let mut pair = Pair::new(&version::TLS13, true);
    pair.ours.out = Vec::new();
    assert!(pair.ours.open(b"GET / HTTP/1.1", &mut pair.opened).is_err());
    let alert = pair.ours.out.len();
    assert!(alert > 0);

    pair.ours.seal_slices(std::iter::once(&b"secret"[..]));
    pair.ours.close();

    assert_eq!(pair.ours.out.len(), alert);
    assert_eq!(pair.ours.open(b"x", &mut pair.opened).unwrap(), Incoming::Closed);
}

#[tokio::test]
async fn a_peer_that_asks_for_new_keys_and_does_not_read_fills_no_room() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (socket, _unread) =
        tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
    let (_read, socket) = socket.unwrap().into_split();
    let mut pair = Pair::new(&version::TLS13, true);
    let (block, mut writes) = (vec![0; 64 * 1024], 0);
    while pair.ours.write(&socket, &mut writes).unwrap() == Written::All {
        pair.ours.seal_slices(std::iter::once(&*block));
    }
    let waiting = pair.ours.waiting();

    for _ in 0..1000 {
        pair.theirs.refresh_traffic_keys().unwrap();
        pair.theirs.writer().write_all(b"x").unwrap();
        let mut wire = Vec::new();
        while pair.theirs.wants_write() {
            pair.theirs.write_tls(&mut wire).unwrap();
        }
        pair.ours.open(&wire, &mut pair.opened).unwrap();
        assert_eq!(pair.ours.write(&socket, &mut writes).unwrap(), Written::Blocked);
    }

    assert!(pair.ours.waiting() <= waiting);
    assert_eq!(pair.opened.len(), 1000);
}

#[test]
fn what_no_longer_can_be_sealed_does_not_leave() {
    let mut pair = Pair::new(&version::TLS13, true);
    pair.ours.unless_broken(Err(record::Error::Exhausted));

    pair.ours.seal_slices(std::iter::once(&b"secret"[..]));
    pair.ours.close();

    assert!(pair.ours.out.is_empty());
    assert_eq!(pair.ours.open(b"x", &mut pair.opened).unwrap(), Incoming::Closed);
}

#[test]
fn room_that_was_lent_comes_back_unless_something_waits_in_it() {
    let mut pair = Pair::new(&version::TLS13, true);
    pair.ours.out = Vec::new();
    let mut room = Vec::with_capacity(1000);
    pair.ours.lend(&mut room);
    assert_eq!((room.capacity(), pair.ours.out.capacity()), (0, 1000));
    pair.ours.give_back(&mut room);
    assert_eq!((room.capacity(), pair.ours.out.capacity()), (1000, 0));

    pair.ours.lend(&mut room);
    pair.ours.seal_slices(std::iter::once(&b"text"[..]));
    pair.ours.give_back(&mut room);
    assert!(room.is_empty() && room.capacity() == 0 && pair.ours.wants_write());
}
