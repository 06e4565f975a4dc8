//! What one connection may cost others: so many messages in a turn, nothing once its socket takes nothing any more, and
//! nothing of a conference that is opened anew while it ends.
use std::io::Read;

use super::*;

/// Whoever talks without TLS.
fn plain(limits: Limits) -> Scene {
    Scene { transport: Transport::Tcp, ..scene(limits) }
}

impl Scene {
    /// Alice talks, and Bob does not read: until his socket takes nothing more.
    async fn block(&mut self) -> Rc<Connection> {
        let (alice, bob) = (self.connection(), self.connection());
        for (n, connection) in [(1, &alice), (2, &bob)] {
            self.seat(n);
            self.bind(connection, n);
        }
        // What a socket takes is known once the runtime has looked at it.
        tokio::task::yield_now().await;
        self.shard.settle();
        while !bob.writer().is_behind() {
            self.say(&alice);
        }
        bob
    }

    /// User 1 says something long to everybody.
    fn say(&mut self, alice: &Rc<Connection>) {
        let text = bytes::Bytes::from(vec![7; 256 * 1024]);
        let room = "sip:room7@example.net";
        let body =
            msrp::cpim::Builder::new("sip:user1@example.net", room).content("text/plain", text);
        let id = MessageId::random(&mut self.rng);
        self.request(alice, 1, &SendRequest::whole(id, msrp::cpim::MEDIA_TYPE, body));
        self.shard.settle();
    }

    /// The connection's task has seen that it ended.
    async fn end(&mut self, connection: &Rc<Connection>, cause: Cause) {
        let socket = self.sockets.remove(&connection.number).unwrap();
        connection::say_goodbye(connection, socket, &self.shard, cause).await;
    }

    fn at(&self, secs: u64) -> Instant {
        self.now + Duration::from_secs(secs)
    }
}

#[tokio::test]
async fn a_flood_of_bad_requests_is_cut_into_turns() {
    let mut scene = plain(Limits { refused_per_connection_per_sec: 0, ..Limits::default() });
    let mallory = scene.connection();
    let from: msrp::Path = "msrps://ua.example:9/u9;tcp".parse().unwrap();
    let address = Address::new(&msrp::Path::from(own(9)), &from);
    let bad = SendRequest::bodiless(MessageId::parse(b"flood").unwrap());
    let flood = bad.encode(&mut scene.rng).to(&address).to_bytes().repeat(500);

    let turns = mallory.take_plain(&flood, &scene.shard);

    assert_eq!(turns, 16, "32 in each");
    let answers = mallory.take_waiting_frames();
    assert_eq!(answers.len(), 500, "and each has its answer");
}

#[tokio::test]
async fn a_socket_that_takes_nothing_for_30_s_ends_its_connection_as_too_slow() {
    let mut scene = plain(Limits { blocked_secs: 30, ..Limits::default() });
    let bob = scene.block().await;
    scene.shard.tick(scene.at(1));

    scene.shard.tick(scene.at(30));
    assert!(!bob.is_ending());
    scene.shard.tick(scene.at(31));

    assert!(bob.is_ending());
    let slow = &scene.shard.plane.metrics.slow_disconnects;
    assert_eq!(slow.with_label_values(&["blocked"]).get(), 1);
}

#[tokio::test]
async fn a_socket_that_takes_a_little_now_and_then_is_not_blocked() {
    let mut scene = plain(Limits { blocked_secs: 30, ..Limits::default() });
    let bob = scene.block().await;
    // More than the system's buffers hold, so that some of it waits whatever they take.
    let alice = Rc::clone(&scene.shard.connections.borrow()[&1]);
    for _ in 0..48 {
        scene.say(&alice);
    }
    scene.shard.tick(scene.at(1));
    let before = bob.writer().writes();

    let mut read = vec![0; 64 * 1024];
    while bob.writer().writes() == before {
        scene.peers[1].read_exact(&mut read).unwrap();
        tokio::task::yield_now().await;
        bob.flush(&scene.shard);
    }
    assert!(bob.writer().is_behind(), "nothing waits any more, so nothing is shown");
    scene.shard.tick(scene.at(30));
    scene.shard.tick(scene.at(59));
    assert!(!bob.is_ending());
    scene.shard.tick(scene.at(60));
    assert!(bob.is_ending(), "the time runs from the last octet that was taken");
}

#[tokio::test]
async fn a_bound_of_nought_leaves_a_blocked_socket_alone() {
    let mut scene = plain(Limits { blocked_secs: 0, ..Limits::default() });
    let bob = scene.block().await;
    scene.shard.tick(scene.at(1));
    scene.shard.tick(scene.at(10_000));

    assert!(!bob.is_ending());
}

#[tokio::test]
async fn what_waits_for_a_connection_that_ends_in_the_middle_of_a_round_is_forgotten() {
    let mut scene = plain(Limits::default());
    let bob = scene.block().await;
    let plane = Arc::clone(&scene.shard.plane);
    assert!(plane.queued() > 0 && plane.metrics.slow_consumers.get() == 1);

    scene.shard.mark_dirty(Rc::clone(&bob));
    scene.end(&bob, Cause::Slow).await;
    scene.shard.settle();

    assert_eq!(plane.queued(), 0);
    assert_eq!(plane.metrics.slow_consumers.get(), 0);
    assert!(
        bob.take_waiting_frames().is_empty(),
        "a frozen list of receivers may keep it for minutes"
    );
}

#[tokio::test]
async fn who_leaves_a_room_that_was_closed_takes_no_seat_of_the_room_that_was_opened_anew() {
    let mut scene = plain(Limits::default());
    let alice = scene.connection();
    scene.seat(1);
    scene.bind(&alice, 1);
    scene.shard.settle();

    // The focus closes the conference and opens it again, before the shard has heard of it.
    let (plane, conference) = (Arc::clone(&scene.shard.plane), scene.relay.conference());
    for seat in scene.relay.close() {
        plane.registry.remove_ticket(&scene.relay, &conference, seat);
    }
    scene.relay = scene.room();
    scene.seat(1);
    scene.end(&alice, Cause::Disconnected).await;
    let again = scene.connection();
    scene.bind(&again, 1);
    scene.shard.settle();

    assert_eq!(scene.receivers(), [SeatId(1)]);
}

#[tokio::test]
async fn what_began_in_an_open_room_does_not_go_on_in_a_sealed_one() {
    let (mut scene, connections) = three();
    let (first, last) = stream("sip:room7@example.net");
    scene.request(&connections[0], 1, &first);
    scene.shard.settle();
    let begun = connections[1].take_waiting_frames().len();

    let sealed = control::Room { level: Level::Sealed, ..order() };
    scene.relay.open(&sealed, scene.now);
    scene.request(&connections[0], 1, &last);
    scene.shard.settle();

    assert_eq!(begun, 2, "the answer to the first request, and the first chunk");
    let frames = connections[1].take_waiting_frames();
    let text = frames.iter().map(|frame| frame.to_bytes()).collect::<Vec<_>>().concat();
    assert_eq!(frames.len(), 1, "{}", String::from_utf8_lossy(&text));
    assert!(text.ends_with(b"#\r\n") && !text.windows(2).any(|two| two == [7, 7]));
    let refused = scene.shard.plane.metrics.refusals.with_label_values(&["content_type"]).get();
    assert_eq!((refused, scene.streams()), (1, 0));
}
