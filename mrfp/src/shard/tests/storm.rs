//! People come, talk, go and are sent away in an order that only the seed knows. When all have gone nothing is left.
use rand::Rng;

use super::*;

/// One connection and the seats that were asked for on it.
struct Guest {
    connection: Rc<Connection>,
    seats: Vec<u64>,
}

struct Storm {
    scene: Scene,
    guests: Vec<Guest>,
    /// All seats that were ever given.
    seats: u64,
    /// Messages that are not complete: of whom, and how far.
    open: Vec<(usize, u64, SendRequest, usize)>,
}

impl Storm {
    fn any(&mut self, below: usize) -> usize {
        self.scene.rng.random_range(0..below.max(1))
    }

    fn step(&mut self) {
        match self.any(12) {
            0 | 1 => self.come(),
            2 => self.sit(),
            3 => self.kick(),
            4..=6 => self.begin(),
            7..=9 => self.go_on(),
            10 => self.scene.shard.settle(),
            _ => self.scene.shard.tick(self.scene.now),
        }
    }

    fn come(&mut self) {
        if self.guests.len() < 12 {
            let connection = self.scene.connection();
            self.guests.push(Guest { connection, seats: Vec::new() });
            self.sit();
        }
    }

    /// Somebody takes one more seat, or is given one and does not come.
    fn sit(&mut self) {
        if self.guests.is_empty() {
            return;
        }
        self.seats += 1;
        let (n, at) = (self.seats, self.any(self.guests.len()));
        self.scene.seat(n);
        if self.any(5) > 0 {
            let connection = Rc::clone(&self.guests[at].connection);
            self.scene.bind(&connection, n);
            self.guests[at].seats.push(n);
        }
    }

    fn kick(&mut self) {
        let n = u64::try_from(self.any(usize::try_from(self.seats).unwrap())).unwrap() + 1;
        self.scene.relay.unseat(SeatId(n));
        let conference = self.scene.relay.conference();
        let relay = &self.scene.relay;
        self.scene.shard.plane.registry.remove_ticket(relay, &conference, SeatId(n));
    }

    /// The first chunk of a message to the room, or to somebody.
    fn begin(&mut self) {
        if self.guests.is_empty() {
            return;
        }
        let at = self.any(self.guests.len());
        let Some(n) = self.guests[at].seats.last().copied() else { return };
        let somebody = self.any(usize::try_from(self.seats).unwrap()) + 1;
        let to = match self.any(3) {
            0 => format!("sip:user{somebody}@example.net"),
            _ => "sip:room7@example.net".to_owned(),
        };
        let octets = self.any(200_000);
        let text = bytes::Bytes::from(vec![7; octets]);
        let body = msrp::cpim::Builder::new(&format!("sip:user{n}@example.net"), &to)
            .content("text/plain", text);
        let id = MessageId::random(&mut self.scene.rng);
        let send = SendRequest::whole(id, msrp::cpim::MEDIA_TYPE, body);
        self.open.push((at, n, send, 0));
        self.go_on();
    }

    /// The next chunk of some message; or its end before the end.
    fn go_on(&mut self) {
        if self.open.is_empty() {
            return;
        }
        let which = self.any(self.open.len());
        let (at, n, send, from) = self.open.swap_remove(which);
        let Some(guest) = self.guests.get(at) else { return };
        let connection = Rc::clone(&guest.connection);
        let octets = 1 + self.any(100_000);
        let (chunk, next) = send.chunk(from, octets);
        let chunk = match self.any(10) {
            0 => SendRequest { flag: msrp::Flag::Abort, ..chunk },
            _ => chunk,
        };
        self.scene.request(&connection, n, &chunk);
        if let Some(next) = next {
            self.open.push((at, n, send, next));
        }
    }

    /// Connections end as their tasks would end them: whoever has ended, and now and then somebody else.
    async fn go(&mut self) {
        let causes = [Cause::Disconnected, Cause::Slow];
        let mut at = 0;
        while at < self.guests.len() {
            if self.guests[at].connection.is_ending() || self.any(40) == 0 {
                let guest = self.guests.swap_remove(at);
                let cause = causes[self.any(2)];
                let socket = self.scene.sockets.remove(&guest.connection.number).unwrap();
                let shard = &self.scene.shard;
                connection::say_goodbye(&guest.connection, socket, shard, cause).await;
            } else {
                at += 1;
            }
        }
    }

    async fn all_go(&mut self) {
        for guest in std::mem::take(&mut self.guests) {
            let socket = self.scene.sockets.remove(&guest.connection.number).unwrap();
            let shard = &self.scene.shard;
            connection::say_goodbye(&guest.connection, socket, shard, Cause::Disconnected).await;
        }
        for seat in self.scene.relay.end_overdue(self.scene.now + Duration::from_secs(3600)) {
            let conference = self.scene.relay.conference();
            let relay = &self.scene.relay;
            self.scene.shard.plane.registry.remove_ticket(relay, &conference, seat);
        }
        self.scene.shard.settle();
    }
}

/// What there is besides the room itself: each by its name.
fn left(scene: &Scene) -> Vec<(&'static str, i64)> {
    let (shard, plane) = (&scene.shard, &scene.shard.plane);
    let whole = |count: usize| i64::try_from(count).unwrap();
    let seats = scene.relay.lock().seats().count();
    let people = scene.relay.lock().roster().people.len();
    let counted = [
        ("octets that wait", whole(plane.queued())),
        ("connections", whole(plane.connections())),
        ("connections by transport", plane.metrics.connections.sum()),
        ("connections that are behind", plane.metrics.slow_consumers.get()),
        ("connections without a seat", whole(plane.places.count())),
        ("sessions", plane.metrics.sessions.sum()),
        ("tickets", whole(plane.registry.seat_count())),
        ("seats", whole(seats)),
        ("people", whole(people)),
        ("rooms of the shard", whole(shard.rooms.borrow().len())),
        ("connections of the shard", whole(shard.connections.borrow().len())),
        ("octets at the door", whole(shard.door.octets())),
        ("addresses", whole(plane.registry.address_count())),
    ];
    counted.into_iter().filter(|(_, count)| *count != 0).collect()
}

async fn storm(seed: u64, transport: Transport) {
    let scene = Scene { transport, ..scene(Limits::default()) };
    let mut storm = Storm { scene, guests: Vec::new(), seats: 0, open: Vec::new() };
    storm.scene.rng = StdRng::seed_from_u64(seed);
    for _ in 0..400 {
        storm.step();
        storm.go().await;
        tokio::task::yield_now().await;
    }
    storm.all_go().await;

    assert_eq!(left(&storm.scene), [], "seed {seed} over {transport:?}");
}

#[tokio::test]
async fn when_all_have_gone_nothing_is_left() {
    for seed in 0..20 {
        storm(seed, Transport::Tcp).await;
        storm(seed, Transport::Tls).await;
    }
}
