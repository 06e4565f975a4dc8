//! Each receiver gets each message once and in order, whatever happens in between: slow readers, lost pages, seats that
//! end, relays that start anew.
use ids::Term;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const RECEIVERS: u8 = 4;
/// Messages that may wait for a receiver.
const QUEUE_MAX: usize = 12;

fn device(name: u8) -> DeviceId {
    format!("urn:uuid:00000000-0000-4000-8000-0000000000{name:02x}").parse().unwrap()
}

fn number(term: u32, n: u64) -> Number {
    Number { term: Term(term), n }
}

fn content(number: Number) -> Bytes {
    Bytes::from(format!("{:>20}", number.to_string()))
}

/// One device, and what its seat would be sent.
#[derive(Default)]
struct Receiver {
    seat: Option<SeatId>,
    fall: u32,
    live: bool,
    queue: VecDeque<Number>,
    /// Whether the relay waits for the queue to be answered.
    drains: bool,
    got: Vec<Number>,
    asides: Vec<(usize, Bytes)>,
}

struct World {
    rng: StdRng,
    log: Log,
    last: Number,
    term: u32,
    /// Everything that was said and not lost with a relay, and by whom.
    said: Vec<(Number, u8)>,
    /// How many of those the focus has.
    stored: usize,
    cursors: HashMap<DeviceId, Number>,
    receivers: Vec<Receiver>,
    asks: Vec<(u8, SeatId, Number)>,
    seats: u64,
    now: Instant,
    restarted: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            rng: StdRng::seed_from_u64(seed),
            log: Log::new(number(1, 0), 100),
            last: number(1, 0),
            term: 1,
            said: Vec::new(),
            stored: 0,
            cursors: HashMap::new(),
            receivers: Vec::new(),
            asks: Vec::new(),
            seats: 0,
            now: service::clock::now(),
            restarted: false,
        };
        world.receivers.resize_with(RECEIVERS.into(), Receiver::default);
        // All of them are there from the beginning, so that everything is for each of them.
        (0..RECEIVERS).for_each(|who| world.come(who));
        world.tell_cursors();
        world
    }

    fn at(&mut self, who: u8) -> &mut Receiver {
        &mut self.receivers[usize::from(who)]
    }

    fn come(&mut self, who: u8) {
        self.seats += 1;
        let seat = SeatId(self.seats);
        let after = self.cursors.get(&device(who)).copied();
        let got = std::mem::take(&mut self.at(who).got);
        *self.at(who) = Receiver { seat: Some(seat), got, ..Receiver::default() };
        self.log.sit(seat, &device(who), after, self.last);
        self.go_on(who);
    }

    fn go(&mut self, who: u8) {
        if let Some(seat) = self.at(who).seat.take() {
            self.log.leave(seat);
            self.at(who).queue.clear();
            self.at(who).drains = false;
        }
    }

    fn say(&mut self, by: u8) {
        self.last.n += 1;
        let number = self.last;
        self.said.push((number, by));
        let content = Body::from(content(number));
        self.log.append(Entry { number, author: Some(device(by)), content });
        for who in 0..RECEIVERS {
            if who != by && self.at(who).seat.is_some() && self.at(who).live {
                self.push(who, number);
            }
        }
    }

    /// A receiver is sent an entry, unless it is too slow.
    fn push(&mut self, who: u8, place: Number) {
        if self.at(who).queue.len() < QUEUE_MAX {
            self.at(who).queue.push_back(place);
            return;
        }
        let one = self.at(who);
        (one.live, one.drains, one.fall) = (false, true, one.fall + 1);
        let (seat, fall) = (one.seat.unwrap(), one.fall);
        let before = number(place.term.0, place.n - 1);
        self.log.fall_behind(seat, &device(who), before, fall);
    }

    fn follow(&mut self, who: u8, next: Next) {
        match next {
            Next::Wait => {}
            Next::Ask(after, asker) => {
                assert_eq!(asker, device(who));
                let seat = self.at(who).seat.unwrap();
                self.asks.push((who, seat, after));
            }
            Next::Give { items, live, fall } => {
                for item in items {
                    if self.at(who).fall != fall {
                        break;
                    }
                    match item {
                        Given::Entry(place, body) => {
                            assert_eq!(body.gather(), content(place));
                            self.push(who, place);
                        }
                        Given::Aside(aside) => {
                            let behind = self.at(who).queue.len() + self.at(who).got.len();
                            self.at(who).asides.push((behind, aside));
                        }
                    }
                }
                if self.at(who).fall == fall {
                    self.at(who).live = live;
                    self.at(who).drains = !live;
                }
            }
        }
    }

    fn go_on(&mut self, who: u8) {
        let now = self.now;
        if let Some(seat) = self.at(who).seat {
            let next = self.log.go_on(seat, now);
            self.follow(who, next);
        }
    }

    fn answer(&mut self, who: u8) {
        if let Some(place) = self.at(who).queue.pop_front() {
            self.at(who).got.push(place);
            self.log.reach(&device(who), place);
        }
        if self.at(who).queue.is_empty() && std::mem::take(&mut self.at(who).drains) {
            let seat = self.at(who).seat.unwrap();
            self.log.drained(seat);
            self.go_on(who);
        }
    }

    fn store(&mut self, some: usize) {
        self.stored = (self.stored + some).min(self.said.len());
        if let Some((newest, _)) = self.stored.checked_sub(1).map(|at| self.said[at]) {
            self.log.store(newest);
        }
    }

    fn page(&mut self, lost: bool) {
        if self.asks.is_empty() {
            return;
        }
        let (who, seat, after) = self.asks.remove(0);
        if lost || self.at(who).seat != Some(seat) {
            return;
        }
        let behind =
            self.said[..self.stored].iter().filter(|(place, by)| *place > after && *by != who);
        let all: Vec<Number> = behind.map(|(place, _)| *place).collect();
        let complete = all.len() <= 5;
        let entries = all.into_iter().take(5).map(|place| (place, content(place))).collect();
        let next = self.log.page(seat, after, entries, complete, self.now);
        self.follow(who, next);
    }

    fn tell_cursors(&mut self) {
        self.cursors.extend(self.log.take_moved());
    }

    /// The relay starts anew: what was not stored is lost, and nobody was told that it was.
    fn restart(&mut self) {
        self.restarted = true;
        self.said.truncate(self.stored);
        self.term += 1;
        self.last = number(self.term, 0);
        self.log = Log::new(self.last, 100);
        self.asks.clear();
        (0..RECEIVERS).for_each(|who| {
            self.at(who).seat = None;
            self.at(who).queue.clear();
            self.at(who).drains = false;
        });
    }

    fn pass(&mut self) {
        self.now += ASK_AGAIN;
        for seat in self.log.overdue(self.now) {
            let who = (0..RECEIVERS).find(|who| self.at(*who).seat == Some(seat)).unwrap();
            self.go_on(who);
        }
    }

    fn step(&mut self, restarts: bool) {
        let who = self.rng.random_range(0..RECEIVERS);
        match self.rng.random_range(0..100) {
            0..40 => self.say(who),
            40..70 => self.answer(who),
            70..80 => self.store(3),
            80..86 => self.page(false),
            86..88 => self.page(true),
            88..92 => self.tell_cursors(),
            92..94 => self.pass(),
            94..96 => self.go(who),
            96..99 if self.at(who).seat.is_none() => self.come(who),
            99 if restarts && self.rng.random_range(0..4) == 0 => self.restart(),
            _ => {}
        }
    }

    /// Everybody comes, and everything is answered.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.store(100);
            for who in 0..RECEIVERS {
                if self.at(who).seat.is_none() {
                    self.come(who);
                }
                self.answer(who);
            }
            (0..self.asks.len()).for_each(|_| self.page(false));
            self.pass();
            let done = |one: &Receiver| one.live && one.queue.is_empty();
            if self.receivers.iter().all(done) {
                return;
            }
        }
        panic!("somebody never catches up");
    }
}

#[test]
fn whatever_happens_in_between_each_receiver_gets_each_message_once_and_in_order() {
    for seed in 0..400 {
        let mut world = World::new(seed);
        let restarts = seed % 2 == 0;
        for _ in 0..600 {
            world.step(restarts);
        }
        world.settle();

        for who in 0..RECEIVERS {
            let said = world.said.iter().filter(|(_, by)| *by != who);
            let said: Vec<Number> = said.map(|(place, _)| *place).collect();
            let mut got = world.receivers[usize::from(who)].got.clone();
            if world.restarted {
                // What was answered and not told the focus comes again, and what a relay took with it was never said: the
                // device knows a message by its id.
                let mut known = BTreeSet::new();
                got.retain(|place| said.contains(place) && known.insert(*place));
            }
            assert_eq!(got, said, "seed {seed}, receiver {who}");
        }
    }
}

#[test]
fn a_new_device_begins_with_what_comes_and_one_from_the_future_with_the_same() {
    let mut world = World::new(0);
    (0..20).for_each(|_| world.say(0));
    world.store(20);
    let (mut log, last, now) = (world.log, world.last, world.now);

    for (seat, after) in [(100, None), (101, Some(number(9, 9)))] {
        log.sit(SeatId(seat), &device(50), after, last);
        let live = Next::Give { items: Vec::new(), live: true, fall: 0 };
        assert_eq!(log.go_on(SeatId(seat), now), live);
    }
    assert!(log.take_moved().contains(&(device(50), last)));
}

#[test]
fn what_the_focus_says_to_one_comes_at_its_place_between_the_messages() {
    let mut log = Log::new(number(1, 0), 10_000);
    let now = service::clock::now();
    let entry = |n| Entry {
        number: number(1, n),
        author: None,
        content: Body::from(content(number(1, n))),
    };
    log.append(entry(1));
    log.sit(SeatId(1), &device(1), Some(number(1, 0)), number(1, 1));
    let welcome = Bytes::from_static(b"welcome");
    assert_eq!(log.aside(SeatId(1), number(1, 1), welcome.clone()), None);
    log.append(entry(2));

    let Next::Give { items, live: true, .. } = log.go_on(SeatId(1), now) else { panic!() };

    let given = |n| Given::Entry(number(1, n), Body::from(content(number(1, n))));
    assert_eq!(items, [given(1), Given::Aside(welcome.clone()), given(2)]);
    assert_eq!(log.aside(SeatId(1), number(1, 2), welcome.clone()), Some(welcome), "it is live");
}

#[test]
fn what_is_not_stored_stays_in_the_ring_however_large_it_grows() {
    let mut log = Log::new(number(1, 0), 40);
    for n in 1..=100 {
        let content = Body::from(content(number(1, n)));
        log.append(Entry { number: number(1, n), author: None, content });
    }
    assert_eq!(log.ring.len(), 100);

    log.fail(number(1, 1));
    log.store(number(1, 90));

    assert_eq!((log.ring.len(), log.since), (10, number(1, 90)));
    log.store(number(1, 100));
    assert_eq!((log.ring.len(), log.since), (2, number(1, 98)));
}

#[test]
fn what_the_focus_has_deleted_nobody_is_given_and_what_it_has_not_got_yet_everybody_is() {
    let mut log = Log::new(number(1, 0), 10_000);
    let (bob, now) = (device(1), service::clock::now());
    log.sit(SeatId(1), &bob, Some(number(1, 0)), number(1, 0));
    for n in 1..=4 {
        let content = content(number(1, n));
        log.append(Entry { number: number(1, n), author: None, content: Body::from(content) });
    }
    log.store(number(1, 3));

    log.purge();

    let Next::Ask(after, _) = log.go_on(SeatId(1), now) else { panic!("it was given something") };
    assert_eq!(after, number(1, 0));
    let next = log.page(SeatId(1), after, Vec::new(), true, now);
    let last = Given::Entry(number(1, 4), Body::from(content(number(1, 4))));
    assert_eq!(next, Next::Give { items: vec![last], live: true, fall: 0 });
}
