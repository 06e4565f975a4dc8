//! A shard with connections that nobody reads or writes: requests and errands come from the test, in its order.
mod copies;
mod counts;
mod storm;
mod turns;

use bytes::BytesMut;
use control::{Level, Match, RelayName, Transport};
use ids::Term;
use msrp::{Address, Decoder, Item, MessageId, SendRequest, Uri};
use rand::SeedableRng;
use service::tls::{ClientAuth, DevCa, Live, server_config};

use super::*;
use crate::config::Limits;
use crate::doors::Newcomer;
use crate::focus::Focus;
use crate::listeners::Authorities;
use crate::metrics::Metrics;
use crate::plane::Parts;
use crate::registry::Ticket;
use crate::room::Room;
use crate::wire::Ways;

const HERE: std::net::IpAddr = std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

struct Scene {
    shard: Rc<Shard>,
    relay: Arc<Relay>,
    now: Instant,
    rng: StdRng,
    /// The far ends of the connections.
    peers: Vec<std::net::TcpStream>,
    /// Our ends, by connection.
    sockets: HashMap<u64, tokio::net::tcp::OwnedReadHalf>,
    /// How people connect.
    transport: Transport,
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
    let tls = server_config(&identity, ClientAuth::None, &[]).unwrap();
    let plane = Arc::new(Plane::new(Parts {
        limits,
        shards: 1,
        authorities: Authorities::tls("r.example:2855"),
        ways: Ways::new(Arc::clone(&tls), tls, Arc::new([])),
        identity: Live::fixed(identity).unwrap(),
        peers: None,
        resolver: crate::resolve::Resolver::new(None).unwrap(),
        focus: Arc::new(Focus::new(name, 16_384, &mut rng)),
        metrics: Arc::new(Metrics::new(&service::metrics::Metrics::new())),
        transit: None,
    }));
    let relay = open(&plane, now);
    let shard = Rc::new(Shard::new(0, plane).unwrap());
    let (peers, sockets, transport) = (Vec::new(), HashMap::new(), Transport::Tls);
    Scene { shard, relay, now, rng, peers, sockets, transport }
}

/// An open room.
fn order() -> control::Room {
    control::Room {
        uri: "sip:room7@example.net".into(),
        term: Term(1),
        level: Level::Open,
        gate: None,
        message_octets_max: 1_000_000,
        charge: false,
        stored: None,
    }
}

fn open(plane: &Plane, now: Instant) -> Arc<Relay> {
    let room = Room::new("room7".parse().unwrap(), &order(), now);
    Arc::new(Relay::new(room, &plane.doors, &plane.focus, &plane.metrics, &plane.limits))
}

impl Scene {
    /// The same conference, opened anew.
    fn room(&self) -> Arc<Relay> {
        open(&self.shard.plane, self.now)
    }

    /// A connection that is here and has no seat.
    fn connection(&mut self) -> Rc<Connection> {
        let listener = std::net::TcpListener::bind((HERE, 0)).unwrap();
        self.peers.push(std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let (socket, _) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        assert_eq!(self.shard.plane.place(), Some(0));
        let slot = self.shard.plane.registry.slot(HERE, 1000).unwrap();
        let half_open = self.shard.plane.places.take(HERE).unwrap().place;
        let transport = self.transport;
        let newcomer = Newcomer { socket, address: HERE, transport, slot, half_open };
        let (connection, socket) = connection::enter(&self.shard, newcomer, self.now).unwrap();
        self.sockets.insert(connection.number, socket);
        connection
    }

    /// The focus gives a seat.
    fn seat(&self, n: u64) {
        let aor = format!("sip:user{n}@example.net").parse().unwrap();
        let device = format!("urn:uuid:00000000-0000-4000-8000-{n:012}").parse().unwrap();
        let seat = control::Seat::new(SeatId(n), aor, device);
        let seat = control::Seat { private_messages: true, ..seat };
        self.relay.seat(&seat, self.now + Duration::from_secs(60));
        let (relay, own) = (Arc::clone(&self.relay), own(n));
        let (transport, matching) = (self.transport, Match::Strict);
        let (seat, peer, named, dialled) = (SeatId(n), None, None, false);
        let ticket = Ticket { relay, seat, transport, own, peer, matching, named, dialled };
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

/// A text of user 1, in two chunks.
fn stream(to: &str) -> (SendRequest, SendRequest) {
    let text = bytes::Bytes::from(vec![7; 1000]);
    let body = msrp::cpim::Builder::new("sip:user1@example.net", to).content("text/plain", text);
    let id = MessageId::parse(b"stream1").unwrap();
    let whole = SendRequest::whole(id, msrp::cpim::MEDIA_TYPE, body);
    (whole.chunk(0, 500).0, whole.chunk(500, 1000).0)
}

fn abort() -> SendRequest {
    let bodiless = SendRequest::bodiless(MessageId::parse(b"stream1").unwrap());
    SendRequest { flag: msrp::Flag::Abort, ..bodiless }
}

/// Three people, of whom the first sends.
fn three() -> (Scene, Vec<Rc<Connection>>) {
    let mut scene = scene(Limits::default());
    let connections: Vec<_> = (0..3).map(|_| scene.connection()).collect();
    for (n, connection) in (1..).zip(&connections) {
        scene.seat(n);
        scene.bind(connection, n);
    }
    scene.shard.settle();
    (scene, connections)
}

impl Scene {
    fn streams(&self) -> usize {
        self.shard.rooms.borrow().get(&self.relay.id).map_or(0, LocalRoom::stream_count)
    }

    /// The participant of seat `n` hangs up.
    fn hang_up(&self, connection: &Connection, n: u64) {
        self.relay.lose(SeatId(n), Cause::Disconnected);
        self.shard.leave(connection, &[(self.relay.id, SeatId(n))]);
    }
}

#[tokio::test]
async fn a_private_stream_ends_though_its_only_receiver_has_left() {
    let (mut scene, connections) = three();
    scene.request(&connections[0], 1, &stream("sip:user2@example.net").0);
    scene.shard.settle();
    assert_eq!(scene.streams(), 1);

    scene.hang_up(&connections[1], 2);
    scene.request(&connections[0], 1, &abort());
    scene.shard.settle();

    assert_eq!(scene.streams(), 0);
}

#[tokio::test]
async fn a_stream_ends_for_its_receivers_when_its_last_piece_comes_too_late() {
    let (mut scene, connections) = three();
    let (first, last) = stream("sip:room7@example.net");
    scene.request(&connections[0], 1, &first);
    scene.shard.settle();

    scene.relay.unseat(SeatId(1));
    scene.request(&connections[0], 1, &last);
    scene.shard.settle();

    assert_eq!(scene.streams(), 0);
}

#[tokio::test]
async fn a_connection_that_ended_frees_its_address_while_a_stream_goes_on() {
    let (mut scene, connections) = three();
    scene.request(&connections[0], 1, &stream("sip:room7@example.net").0);
    scene.shard.settle();
    assert!(scene.shard.plane.registry.slot(HERE, 3).is_none());

    scene.hang_up(&connections[1], 2);

    assert!(scene.shard.plane.registry.slot(HERE, 3).is_some());
    assert_eq!(scene.streams(), 1);
}

#[tokio::test]
async fn s5_4_who_only_listens_in_a_quiet_room_stays_connected() {
    let (scene, connections) = three();

    scene.shard.tick(scene.now + Duration::from_secs(7 * 24 * 3600));

    assert!(connections.iter().all(|connection| !connection.is_ending()));
}

#[tokio::test]
async fn where_a_silence_is_bounded_it_ends_a_connection() {
    let mut scene = scene(Limits { idle_secs: 100, ..Limits::default() });
    let alice = scene.connection();
    scene.seat(1);
    scene.bind(&alice, 1);

    scene.shard.tick(scene.now + Duration::from_secs(100));
    assert!(!alice.is_ending());
    scene.shard.tick(scene.now + Duration::from_secs(101));

    assert!(alice.is_ending());
}

#[tokio::test]
async fn a_connection_without_a_seat_is_closed_however_long_silence_may_be() {
    let mut scene = scene(Limits { first_request_secs: 10, ..Limits::default() });
    let alice = scene.connection();

    scene.shard.tick(scene.now + Duration::from_secs(11));

    assert!(alice.is_ending());
}
