//! The whole system in one value: devices, the relay, the focus, what is on its way between them, and the time. The
//! next thing to happen is the earliest one; everything random comes from the seed.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control::{Cause, ToFocus, ToRelay};
use ids::SeatId;
use mls::identity::Issuer;
use mls::wire::GroupState;
use mrfc::conference::{Bounds, Command, Level, Nickname, NicknamePolicy, Participant, Terms, Why};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::clock::Clock;
use super::disk::Disk;
use super::faults::Fault;
use super::focus::{self, Call, Focus};
use super::person::{Person, Stage};
use super::relay::{self, Relay};
use super::watch::Watch;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// How often the relay looks at what took too long.
const SWEEP: Duration = Duration::from_millis(500);
/// Octets that wait for a slow device before its seat is closed: few, since nobody here says much.
const OUTBOX: usize = 6 * 1024;

/// What is on its way, or will happen by itself.
pub(crate) enum Happening {
    /// Octets of a device reach the relay.
    ToRelay(u64, Bytes),
    /// Octets of the relay reach a device.
    ToPerson(u64, Bytes),
    /// The relay finds a connection ended.
    RelayFinds(u64, Cause),
    /// A device finds its connection ended.
    PersonFinds(u64),
    Order(u64, Box<ToRelay>),
    Notice(u64, Box<ToFocus>),
    LinkDials,
    Calls(Call),
    Answered {
        person: usize,
        call: u64,
        given: Option<(SeatId, String)>,
    },
    Hangs {
        seat: SeatId,
        leaves: bool,
    },
    HungUp {
        person: usize,
        seat: SeatId,
        why: Why,
    },
    Fetches {
        person: usize,
        life: u64,
        fetch: u64,
        tries: u32,
    },
    Fetched {
        person: usize,
        life: u64,
        fetch: u64,
        state: Option<GroupState>,
    },
    PersonStarts(usize),
    Returns(usize),
    /// A device asks for its dialog, which may be lost.
    Refreshes(usize, SeatId),
    FocusStarts,
    RelayStarts,
    Sweep,
}

/// An MSRP connection, from the device that opened it.
#[derive(Debug)]
struct Conn {
    person: usize,
    /// When the last octets of each direction arrive.
    arrive: [Duration; 2],
    up: bool,
    queued: usize,
}

pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) rng: StdRng,
    pub(crate) watch: Watch,
    pub(crate) people: Vec<Person>,
    pub(crate) focus: Option<Focus>,
    pub(crate) relay: Option<Relay>,
    pub(crate) disk: Disk,
    terms: Arc<Terms>,
    queue: BTreeMap<(Duration, u64), Happening>,
    happenings: u64,
    conns: BTreeMap<u64, Conn>,
    next_conn: u64,
    relays: u64,
    /// Raised with each connection of the link; what is older is lost.
    link: u64,
    link_arrives: [Duration; 2],
    link_up: bool,
    /// No new trouble, short ways.
    pub(crate) calm: bool,
    said: u64,
    /// How many messages and commits were held up to the keys of who was removed.
    listened: (usize, usize),
}

impl World {
    pub(crate) fn new(seed: u64, people: &[(&str, u8)], fault: Fault) -> Self {
        let (mut rng, clock) = (StdRng::seed_from_u64(seed), Clock::new());
        let authority = clock.wall() - DAY;
        let issuer = Issuer::generate(&mut rng, "devices", authority, 400 * DAY).unwrap();
        let nicknames = NicknamePolicy::new(true, DAY, Nickname::parse("admin"));
        let terms = Arc::new(Terms {
            id: "room7".parse().unwrap(),
            domain: "example.net".into(),
            roots: issuer.roots().clone(),
            focus: issuer.focus_key(),
            bounds: Bounds::default(),
            nicknames,
        });
        let named = |(name, number): &(&str, u8)| Participant {
            aor: format!("sip:{name}@example.net").parse().unwrap(),
            device: format!("urn:uuid:00000000-0000-4000-8000-{number:012}").parse().unwrap(),
        };
        let mut people: Vec<Person> =
            people.iter().map(|one| Person::new(named(one), &issuer, &clock, &mut rng)).collect();
        let creator = people.first().unwrap().who.aor.clone();
        let mut disk = Disk::default();
        for person in &mut people {
            disk.publish(&person.who, person.packages(&clock));
            person.keeps(Fault::None);
        }
        let mut world = Self {
            clock,
            rng,
            watch: Watch::new(fault, creator.clone()),
            people,
            focus: None,
            relay: None,
            disk,
            terms,
            queue: BTreeMap::new(),
            happenings: 0,
            conns: BTreeMap::new(),
            next_conn: 0,
            relays: 0,
            link: 0,
            link_arrives: [Duration::ZERO; 2],
            link_up: false,
            calm: false,
            said: 0,
            listened: (0, 0),
        };
        world.relay_starts();
        world.focus_starts();
        world.create(creator);
        world.later(SWEEP, Happening::Sweep);
        world
    }

    fn create(&mut self, creator: ids::Aor) {
        let (level, relay, standing) = (Level::Sealed, Some("relay-0".to_owned()), None);
        self.with_focus(|focus, around| {
            focus.run(&Command::Create { creator, level, relay, standing }, around).unwrap();
        });
    }

    pub(crate) fn with_focus<T>(
        &mut self,
        act: impl FnOnce(&mut Focus, &mut focus::Around<'_>) -> T,
    ) -> Option<T> {
        let Self { focus, disk, watch, clock, .. } = self;
        let mut around = focus::Around { clock: *clock, disk, watch };
        focus.as_mut().map(|focus| act(focus, &mut around))
    }

    pub(crate) fn with_relay<T>(
        &mut self,
        act: impl FnOnce(&mut Relay, &mut relay::Around<'_>) -> T,
    ) -> Option<T> {
        let Self { relay, rng, watch, clock, .. } = self;
        let mut around = relay::Around { clock: *clock, rng, watch };
        relay.as_mut().map(|relay| act(relay, &mut around))
    }

    /// Puts something in the queue.
    pub(crate) fn later(&mut self, wait: Duration, what: Happening) {
        self.at(self.clock.elapsed + wait, what);
    }

    fn at(&mut self, at: Duration, what: Happening) {
        self.happenings += 1;
        self.queue.insert((at, self.happenings), what);
    }

    /// How long something takes on its way.
    pub(crate) fn way(&mut self) -> Duration {
        let millis = match self.rng.random_range(0..20) {
            0 if !self.calm => self.rng.random_range(300..3000),
            _ => self.rng.random_range(2..60),
        };
        Duration::from_millis(millis)
    }

    pub(crate) fn line(&mut self, what: &str) {
        self.watch.trace.line(what);
    }

    /// Runs until this much time has gone by, or a check has failed.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.clock.elapsed + time;
        while self.watch.violation.is_none() && self.step(end) {}
        if self.watch.violation.is_none() {
            self.clock.elapsed = end;
        }
    }

    /// The next thing happens, if it is due before the end.
    fn step(&mut self, end: Duration) -> bool {
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        let clock = self.clock;
        let focus = self.focus.as_ref().and_then(|focus| focus.due(&clock));
        let sessions = self.people.iter().filter_map(|person| {
            let due = match &person.stage {
                Stage::In(seat) => seat.due(&clock)?,
                Stage::Calling(until) => *until,
                Stage::Off | Stage::Out => return None,
            };
            Some(due)
        });
        let timed = focus.into_iter().chain(sessions).min();
        let Some(next) = queued.into_iter().chain(timed).min().filter(|at| *at <= end) else {
            return false;
        };
        self.clock.elapsed = next.max(self.clock.elapsed);
        self.watch.trace.at = self.clock.elapsed;
        if queued == Some(next)
            && let Some((_, happening)) = self.queue.pop_first()
        {
            self.happens(happening);
        } else {
            self.time_out();
        }
        self.settle();
        self.i1_who_was_removed_opens_nothing();
        true
    }

    /// Whoever was removed listens on with all the keys there were; every other one hears the commits too.
    fn i1_who_was_removed_opens_nothing(&mut self) {
        let Self { people, watch, clock, listened, .. } = self;
        let (passed, announced) = (watch.letters.passed.len(), watch.announced.len());
        let mut opened = None;
        for (index, person) in people.iter_mut().enumerate() {
            let Some(gone) = watch.departed.get(&person.who) else { continue };
            let Some(former) = person.former.as_mut() else { continue };
            let commits = watch.announced.iter().skip(listened.1).filter(|_| index % 2 == 0);
            for (_, commit) in commits {
                assert_eq!(former.opens(clock.now(), commit), None);
            }
            let later = watch.letters.passed.iter().skip(listened.0);
            for message in later.filter(|message| message.generation >= *gone) {
                let opens = former.opens(clock.now(), &message.sealed);
                watch.counts.held_up += 1;
                opened = opened.or_else(|| opens.map(|id| (person.who.clone(), id)));
            }
        }
        *listened = (passed, announced);
        watch.check("i1", opened.is_none(), || format!("{opened:?} was opened"));
    }

    fn time_out(&mut self) {
        let clock = self.clock;
        if self.focus.as_ref().and_then(|focus| focus.due(&clock)) <= Some(clock.elapsed) {
            self.with_focus(Focus::tick);
        }
        for index in 0..self.people.len() {
            let Self { people, rng, .. } = self;
            let Some(person) = people.get_mut(index) else { continue };
            match &mut person.stage {
                Stage::Calling(until) if *until <= clock.elapsed => {
                    person.stage = Stage::Out;
                    self.returns(index);
                }
                Stage::In(seat) => {
                    let due = seat.due(&clock).is_some_and(|due| due <= clock.elapsed);
                    if due && !seat.time_out(&clock, rng) {
                        self.leaves_seat(index, "no answer", false);
                        self.returns(index);
                    }
                }
                _ => {}
            }
        }
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::ToRelay(conn, octets) => {
                if self.conns.get(&conn).is_some_and(|conn| conn.up) {
                    self.with_relay(|relay, around| relay.reads(conn, &octets, around));
                }
            }
            Happening::ToPerson(conn, octets) => self.reaches(conn, &octets),
            Happening::RelayFinds(conn, cause) => {
                self.with_relay(|relay, _| relay.lost(conn, cause));
            }
            Happening::PersonFinds(conn) => self.finds(conn),
            Happening::Order(link, frame) if link == self.link => {
                self.with_relay(|relay, around| relay.hears(*frame, around));
            }
            Happening::Notice(link, frame) if link == self.link => {
                self.with_focus(|focus, around| focus.hears(*frame, around));
            }
            Happening::Order(..) | Happening::Notice(..) => {}
            Happening::LinkDials => self.dials(),
            Happening::Calls(call) => {
                self.with_focus(|focus, around| focus.called(call, around));
            }
            Happening::Answered { person, call, given } => self.answered(person, call, given),
            Happening::Hangs { seat, leaves } => {
                self.with_focus(|focus, around| focus.bye(seat, leaves, around));
            }
            Happening::HungUp { person, seat, why } => self.hung_up(person, seat, why),
            Happening::Fetches { person, life, fetch, tries } => {
                self.fetches(person, life, fetch, tries);
            }
            Happening::Fetched { person, life, fetch, state } => {
                let clock = self.clock;
                let Some(person) = self.people.get_mut(person).filter(|p| p.life == life) else {
                    return;
                };
                if let Some(seat) = person.seat().filter(|seat| seat.fetch == Some(fetch)) {
                    seat.entered(&clock, state.as_ref());
                }
            }
            Happening::PersonStarts(person) => self.person_starts(person),
            Happening::Returns(person) => self.calls(person),
            Happening::Refreshes(person, seat) => {
                let at = |person: &Person| person.seat_ref().map(|known| known.seat);
                if self.people.get(person).and_then(at) == Some(seat) {
                    self.line(&format!("{person} has lost its dialog"));
                    self.leaves_seat(person, "the dialog is lost", false);
                    self.calls(person);
                }
            }
            Happening::FocusStarts => self.focus_starts(),
            Happening::RelayStarts => self.relay_starts(),
            Happening::Sweep => {
                let now = self.clock.instant();
                self.with_relay(|relay, _| relay.sweep(now));
                self.later(SWEEP, Happening::Sweep);
            }
        }
    }

    /// Lets everything that takes no time happen.
    fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for person in 0..self.people.len() {
                quiet &= !self.person_says(person);
            }
            quiet &= !self.focus_says();
            quiet &= !self.relay_says();
            if quiet {
                return;
            }
        }
    }
}

mod people;
mod trouble;
mod wires;
