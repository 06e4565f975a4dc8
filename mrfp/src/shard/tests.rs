//! A shard with connections that nobody reads or writes: requests and errands come from the test, in its order.
use bytes::BytesMut;
use control::{Level, RelayName};
use ids::Term;
use msrp::{Address, Decoder, Item, MessageId, SendRequest, Uri};
use rand::SeedableRng;
use service::tls::{ClientAuth, DevCa, server_config};

use super::*;
use crate::config::Limits;
use crate::doors::Newcomer;
use crate::focus::Focus;
use crate::metrics::Metrics;
use crate::plane::Parts;
use crate::registry::Ticket;
use crate::room::Room;

const HERE: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

struct Scene {
    shard: Rc<Shard>,
    relay: Arc<Relay>,
    now: Instant,
    rng: StdRng,
    /// The far ends of the connections.
    peers: Vec<std::net::TcpStream>,
}

fn scene(limits: Limits) -> Scene {
    let now = clock::now();
    let mut rng = StdRng::seed_from_u64(1);
    let name = RelayName {
        name: "relay".into(),
        incarnation: String::new(),
        msrp: "r.example:2855".into(),
        fingerprint: String::new(),
    };
    let identity = DevCa::new("test", clock::wall()).unwrap().issue(&["r.example"]).unwrap();
    let plane = Arc::new(Plane::new(Parts {
        limits,
        shards: 1,
        authority: "r.example:2855".into(),
        tls: server_config(&identity, ClientAuth::None, &[]).unwrap(),
        focus: Arc::new(Focus::new(name, &mut rng)),
        metrics: Arc::new(Metrics::new(&service::metrics::Metrics::new())),
    }));
    let order = control::Room {
        uri: "sip:room7@example.net".into(),
        term: Term(1),
        level: Level::Open,
        gate: None,
        message_octets_max: 1_000_000,
    };
    let room = Room::new("room7".parse().unwrap(), &order, now);
    let relay = Arc::new(Relay::new(room, &plane.doors, &plane.focus, &plane.metrics, 64 * 1024));
    let shard = Rc::new(Shard::new(0, plane).unwrap());
    Scene { shard, relay, now, rng, peers: Vec::new() }
}

impl Scene {
    /// A connection that is here and has no seat.
    fn connection(&mut self) -> Rc<Connection> {
        let listener = std::net::TcpListener::bind((HERE, 0)).unwrap();
        self.peers.push(std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        assert_eq!(self.shard.plane.place(), Some(0));
        let slot = self.shard.plane.registry.slot(HERE, 100).unwrap();
        let newcomer = Newcomer { socket, address: HERE, slot };
        connection::enter(&self.shard, newcomer, self.now).unwrap().0
    }

    /// The focus gives a seat.
    fn seat(&self, n: u64) {
        let seat = control::Seat {
            seat: SeatId(n),
            aor: format!("sip:user{n}@example.net").parse().unwrap(),
            device: format!("urn:uuid:00000000-0000-4000-8000-{n:012}").parse().unwrap(),
            identities: Vec::new(),
            muted: false,
            private_messages: true,
            peer_path: None,
        };
        self.relay.seat(&seat, self.now + Duration::from_secs(60));
        let (relay, own) = (Arc::clone(&self.relay), own(n));
        let ticket = Ticket { relay, seat: SeatId(n), own, peer: None };
        let conference = self.relay.conference();
        self.shard.plane.registry.add_ticket(&conference, format!("s{n}"), ticket);
    }

    /// A request of the participant of seat `n` comes in.
    fn request(&mut self, connection: &Rc<Connection>, n: u64, send: &SendRequest) {
        let from: msrp::Path = format!("msrps://ua.example:9/u{n};tcp").parse().unwrap();
        let address = Address::new(&msrp::Path::from(own(n)), &from);
        let octets = send.encode(&mut self.rng).to(&address).to_bytes();
        let mut input = BytesMut::from(&octets[..]);
        let mut decoder = Decoder::default();
        while let Some(item) = decoder.next(&mut input).unwrap() {
            let Item::Request(chunk) = item else { panic!() };
            connection.request(&self.shard, chunk, self.now);
        }
    }

    /// Its first request takes the seat.
    fn bind(&mut self, connection: &Rc<Connection>, n: u64) {
        let send = SendRequest::bodiless(MessageId::random(&mut self.rng));
        self.request(connection, n, &send);
    }

    fn receivers(&self) -> Vec<SeatId> {
        self.shard.routes(self.relay.id).iter().map(|route| route.seat).collect()
    }
}

fn own(n: u64) -> Uri {
    format!("msrps://r.example:2855/s{n};tcp").parse().unwrap()
}

#[tokio::test]
async fn who_comes_while_the_last_other_is_kicked_is_a_receiver() {
    let mut scene = scene(Limits::default());
    let (alice, bob) = (scene.connection(), scene.connection());
    scene.seat(1);
    scene.seat(2);
    scene.bind(&alice, 1);
    scene.shard.settle();
    assert_eq!(scene.receivers(), [SeatId(1)]);

    scene.relay.unseat(SeatId(1));
    scene.bind(&bob, 2);
    scene.shard.settle();

    assert_eq!(scene.receivers(), [SeatId(2)]);
}

#[tokio::test]
async fn who_comes_while_the_last_other_hangs_up_is_a_receiver() {
    let mut scene = scene(Limits::default());
    let (alice, bob) = (scene.connection(), scene.connection());
    scene.seat(1);
    scene.seat(2);
    scene.bind(&alice, 1);
    scene.shard.settle();

    scene.bind(&bob, 2);
    scene.relay.lose(SeatId(1), Cause::Disconnected);
    scene.shard.leave(&alice, &[(scene.relay.id, SeatId(1))]);
    scene.shard.settle();

    assert_eq!(scene.receivers(), [SeatId(2)]);
}
