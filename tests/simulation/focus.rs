//! The MRFC without sockets: the conference, its journal, its link to the relay, and as much of the front as devices
//! need to come and go. It does what a desk does, and its decisions are the product's.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use control::{Cause, FocusLink, Heard, Notice, Order, RoomNotice, RoomOrder, ToFocus};
use ids::{SeatId, Seq};
use mls::wire::{self, GroupState};
use mrfc::conference::{
    Announced, Came, Command, Conference, Effect, End, Joining, Level, Participant, PeerPath,
    Refusal, Shown, Terms, Told, Why,
};
use mrfc::orders::{Keys, orders};

use super::clock::Clock;
use super::disk::Disk;
use super::faults::Fault;
use super::watch::Watch;

/// How long a joiner waits for its seat.
const SEATED: Duration = Duration::from_secs(5);
/// How long a seat lives without a dialog after a start.
const ORPHANED: Duration = Duration::from_secs(600);
/// How long what is due and could not be done is left alone.
const REST: Duration = Duration::from_secs(1);
/// A seat that is never given.
const NO_SEAT: SeatId = SeatId(0);

/// What surrounds the focus.
pub(crate) struct Around<'a> {
    pub(crate) clock: Clock,
    pub(crate) disk: &'a mut Disk,
    pub(crate) watch: &'a mut Watch,
}

/// What it tells devices by SIP.
#[derive(Debug)]
pub(crate) enum Said {
    /// The answer to a call: a seat and its path, or nothing.
    Answer { person: usize, call: u64, given: Option<(SeatId, String)> },
    /// The dialog of this seat is over.
    Bye { person: usize, seat: SeatId, why: Why },
}

/// Somebody calls.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) person: usize,
    pub(crate) call: u64,
    pub(crate) who: Participant,
    pub(crate) path: String,
}

struct Waiting {
    person: usize,
    call: u64,
    until: Duration,
}

pub(crate) struct Focus {
    pub(crate) conference: Conference,
    pub(crate) link: FocusLink,
    answers: Keys,
    tail: Vec<(Seq, Vec<Effect>)>,
    waiting: BTreeMap<SeatId, Waiting>,
    paths: BTreeMap<SeatId, String>,
    orphans: BTreeSet<SeatId>,
    orphans_until: Duration,
    dialogs: BTreeMap<SeatId, usize>,
    rest: Option<Duration>,
    pub(crate) said: Vec<Said>,
    /// It dies when the next event is kept, before anything of it is carried out.
    pub(crate) dies_at_next: bool,
    pub(crate) dead: bool,
}

impl Focus {
    /// Starts, and follows the journal that is there.
    pub(crate) fn start(terms: &Arc<Terms>, around: &mut Around<'_>) -> Self {
        let (journal, group) = (&around.disk.journal, around.disk.group.as_ref());
        let recovered = Conference::recover(Arc::clone(terms), journal, group).unwrap();
        let incarnation = format!("focus-{}", around.disk.start());
        let conference = recovered.conference;
        let mut focus = Self {
            answers: Keys::of_answers(conference.place()),
            orphans: conference.roster().seats().collect(),
            orphans_until: around.clock.elapsed + ORPHANED,
            conference,
            link: FocusLink::new("mrfc", incarnation, control::Limits::default()),
            tail: recovered.tail,
            waiting: BTreeMap::new(),
            paths: BTreeMap::new(),
            dialogs: BTreeMap::new(),
            rest: None,
            said: Vec::new(),
            dies_at_next: false,
            dead: false,
        };
        if focus.conference.is_open() {
            focus.run(&Command::Adopt, around).unwrap();
            focus.restate(around);
        }
        focus
    }

    fn restate(&mut self, around: &mut Around<'_>) {
        let keys = Keys::of_event(self.conference.place());
        let wanted = self.conference.wanted();
        self.perform(keys, wanted, around);
        for (place, effects) in std::mem::take(&mut self.tail) {
            self.perform(Keys::of_event(place), effects, around);
        }
    }

    /// Decides, keeps, follows, carries out.
    pub(crate) fn run(
        &mut self,
        command: &Command,
        around: &mut Around<'_>,
    ) -> Result<(), Refusal> {
        let mut of = self.step(command, around)?;
        while !of.is_empty() && !self.dead {
            let claim = |who: Participant| {
                let claim = around.disk.claim(&who, around.watch.fault);
                if let Some(claim) = &claim {
                    around.watch.claimed(&who, claim);
                }
                (who, claim.map(|claim| claim.package))
            };
            let packages = of.into_iter().map(claim).collect();
            of = self.step(&Command::Claimed(packages), around)?;
        }
        Ok(())
    }

    fn step(
        &mut self,
        command: &Command,
        around: &mut Around<'_>,
    ) -> Result<Vec<Participant>, Refusal> {
        if self.dead {
            return Err(Refusal::NotOwner);
        }
        let decision = self.conference.decide(around.clock.wall(), command)?;
        let event = decision.event().clone();
        around.disk.append(event.to_bytes(), decision.group());
        let effects = self.conference.take(decision);
        self.answers = Keys::of_answers(self.conference.place());
        around.watch.kept(&event, &self.conference);
        if std::mem::take(&mut self.dies_at_next) {
            self.dead = true;
            return Ok(Vec::new());
        }
        for effect in &effects {
            if let Effect::Unseat(seat, _) | Effect::Bye(seat, _) = effect {
                self.seat_over(*seat);
            }
        }
        let keys = Keys::of_event(self.conference.place());
        let claims = self.perform(keys, effects, around);
        if let Some(gate) = self.conference.gate().filter(|gate| gate.shut) {
            let number = self.link.is_up().then(|| self.link.last_order());
            around.watch.shutting((gate.era, gate.epoch), number);
        }
        Ok(claims)
    }

    fn seat_over(&mut self, seat: SeatId) {
        self.paths.remove(&seat);
        self.orphans.remove(&seat);
        if let Some(waiting) = self.waiting.remove(&seat) {
            self.answer(&waiting, None);
        }
    }

    fn answer(&mut self, waiting: &Waiting, given: Option<(SeatId, String)>) {
        let Waiting { person, call, .. } = *waiting;
        self.said.push(Said::Answer { person, call, given });
    }

    fn perform(
        &mut self,
        mut keys: Keys,
        effects: Vec<Effect>,
        around: &mut Around<'_>,
    ) -> Vec<Participant> {
        let mut claims = Vec::new();
        for effect in effects {
            match effect {
                Effect::Claim(of) => claims.extend(of),
                // Whoever is invited calls by themselves here.
                Effect::DialOut { .. } => {}
                Effect::Bye(seat, why) => {
                    if let Some(person) = self.dialogs.remove(&seat) {
                        self.said.push(Said::Bye { person, seat, why });
                    }
                }
                effect => {
                    around.watch.told(&effect);
                    for order in orders(&self.conference, &mut keys, effect) {
                        self.order(order);
                    }
                }
            }
        }
        claims
    }

    fn order(&mut self, order: RoomOrder) {
        let id = self.conference.id().clone();
        // A room that is not open takes nothing; whatever that was is restated when it opens.
        self.link.order(Order::room(id, order)).ok();
    }

    /// Runs a command whose refusal nobody waits for.
    fn tried(&mut self, command: &Command, around: &mut Around<'_>) {
        drop(self.run(command, around));
    }

    pub(crate) fn called(&mut self, call: Call, around: &mut Around<'_>) {
        if !self.conference.is_open() {
            // Everybody had left, and it was over: whoever comes makes it anew.
            let (creator, relay) = (around.watch.founder.clone(), Some("relay-0".to_owned()));
            let level = Level::Sealed;
            self.tried(
                &Command::Create { creator: creator.unwrap(), level, relay, standing: None },
                around,
            );
        }
        let seat = around.disk.seat();
        let Call { person, call, who, path } = call;
        let joining = Joining {
            identities: vec![who.aor.as_str().to_owned()],
            who,
            seat,
            peer_path: Some(PeerPath(path)),
            end: End::default(),
            came: Came::DialedIn,
            shown: Shown::Named,
            mask: None,
        };
        let waiting = Waiting { person, call, until: around.clock.elapsed + SEATED };
        match self.run(&Command::Join(joining), around) {
            Ok(()) => {
                self.dialogs.insert(seat, person);
                self.waiting.insert(seat, waiting);
            }
            Err(_) => self.answer(&waiting, None),
        }
    }

    /// The device has ended its dialog: for good, or to come back.
    pub(crate) fn bye(&mut self, seat: SeatId, leaves: bool, around: &mut Around<'_>) {
        // A dialog of before the start is not known any more.
        if self.dialogs.remove(&seat).is_none() {
            return;
        }
        let gone = Command::Gone { seat, why: Why::Away };
        let command = if leaves { Command::Leave(seat) } else { gone };
        self.tried(&command, around);
    }

    /// Somebody is to go. True: it was decided, and the relay's word of it is waited for.
    pub(crate) fn kick(&mut self, command: &Command, around: &mut Around<'_>) -> bool {
        if self.run(command, around).is_err() || self.dead {
            return false;
        }
        let Command::Kick { who, .. } = command else { return false };
        let number = self.link.is_up().then(|| self.link.last_order());
        around.watch.kicking(who, number);
        true
    }

    /// The state of the group, as over HTTPS.
    pub(crate) fn group_state(&self, who: &Participant) -> Option<GroupState> {
        self.conference.group_state(&who.aor).ok().flatten()
    }

    /// When time asks for something.
    pub(crate) fn due(&self, clock: &Clock) -> Option<Duration> {
        let due = self.conference.due().map(|due| clock.of_wall(due));
        let due = due.map(|due| self.rest.map_or(due, |rest| due.max(rest)));
        let waiting = self.waiting.values().map(|waiting| waiting.until);
        let orphans = (!self.orphans.is_empty()).then_some(self.orphans_until);
        due.into_iter().chain(waiting).chain(orphans).min()
    }

    pub(crate) fn tick(&mut self, around: &mut Around<'_>) {
        let now = around.clock.elapsed;
        let late = |(seat, waiting): (&SeatId, &Waiting)| (waiting.until <= now).then_some(*seat);
        let late: Vec<SeatId> = self.waiting.iter().filter_map(late).collect();
        for seat in late {
            if let Some(waiting) = self.waiting.remove(&seat) {
                self.answer(&waiting, None);
            }
            self.tried(&Command::Gone { seat, why: Why::RelayLost }, around);
        }
        if now >= self.orphans_until {
            for seat in std::mem::take(&mut self.orphans) {
                self.tried(&Command::Gone { seat, why: Why::Forgotten }, around);
            }
        }
        let wall = around.clock.wall();
        while !self.dead && self.conference.due().is_some_and(|due| due <= wall) {
            if self.rest.take().is_some_and(|rest| rest > now) {
                self.rest = Some(now + REST);
                return;
            }
            if self.run(&Command::Tick, around).is_err() {
                self.rest = Some(now + REST);
                return;
            }
        }
    }

    pub(crate) fn hears(&mut self, frame: ToFocus, around: &mut Around<'_>) {
        match self.link.receive(frame).unwrap() {
            Heard::Up { restarted, .. } => {
                if restarted {
                    let waits = |seat: &SeatId| self.waiting.contains_key(seat);
                    let seats = self.conference.roster().seats().filter(|seat| !waits(seat));
                    for seat in seats.collect::<Vec<SeatId>>() {
                        self.tried(&Command::Gone { seat, why: Why::RelayLost }, around);
                    }
                }
                // So that an acknowledgement speaks of what the end of the resend does too.
                self.order(RoomOrder::Unseat { seat: NO_SEAT, reason: String::new() });
                around.watch.resent(self.link.last_order());
            }
            Heard::Notice { number, notice: Notice::Room { notice, .. } } => {
                self.notice(notice, around);
                if !self.dead {
                    self.link.safe(number);
                }
            }
            Heard::Notice { number, .. } => self.link.safe(number),
            Heard::Acknowledged => around.watch.acknowledged(self.link.carried_out_up_to()),
            Heard::Nothing => {}
        }
    }

    fn notice(&mut self, notice: RoomNotice, around: &mut Around<'_>) {
        match notice {
            RoomNotice::Seated { seat, path } => self.seated(seat, path, around),
            RoomNotice::Bound { seat } => self.tried(&Command::Bound(seat), around),
            RoomNotice::Lost { seat, cause } => {
                if let Some(waiting) = self.waiting.remove(&seat) {
                    self.answer(&waiting, None);
                }
                let why = match cause {
                    Cause::Disconnected => Why::Disconnected,
                    Cause::Slow => Why::Slow,
                    Cause::Silent => Why::Silent,
                    Cause::Misbehaved => Why::Misbehaved,
                };
                self.tried(&Command::Gone { seat, why }, around);
            }
            RoomNotice::Handshake { seat, content_type, body, .. }
                if content_type == wire::BUNDLE =>
            {
                self.bundle(seat, body, around);
            }
            RoomNotice::Handshake { seat, content_type, body, .. }
                if content_type == wire::EPOCH_REPORT =>
            {
                let report = wire::EpochReport::from_bytes(&body).unwrap();
                self.tried(&Command::Report { seat, report }, around);
            }
            _ => {}
        }
    }

    fn seated(&mut self, seat: SeatId, path: String, around: &mut Around<'_>) {
        if self.conference.roster().at(seat).is_none() {
            return;
        }
        let former = self.paths.insert(seat, path.clone());
        match self.waiting.remove(&seat) {
            Some(waiting) => self.answer(&waiting, Some((seat, path))),
            None if former.is_some_and(|former| former != path) => {
                self.tried(&Command::Gone { seat, why: Why::RelayLost }, around);
            }
            None => {}
        }
    }

    fn bundle(&mut self, seat: SeatId, bundle: bytes::Bytes, around: &mut Around<'_>) {
        let welcomes = wire::Bundle::from_bytes(&bundle).map(|bundle| bundle.welcomes);
        if self.leads_apart(seat, &bundle, around.watch) {
            return;
        }
        let Err(refusal) = self.run(&Command::Bundle { seat, bundle }, around) else { return };
        if self.dead {
            return;
        }
        if around.watch.fault == Fault::WelcomesLosers {
            let tell = |one: wire::Invitation| Effect::Tell(seat, Told::Welcome(one.welcome));
            let effects = welcomes.unwrap_or_default().into_iter().map(tell).collect();
            self.perform(self.answers, effects, around);
        }
        around.watch.turned_down(&refusal);
        let tell = Effect::Tell(seat, Told::Result(refusal.to_result()));
        for order in orders(&self.conference, &mut self.answers, tell) {
            self.order(order);
        }
        if let Some(failed) = self.conference.failed(seat, &refusal) {
            self.tried(&failed, around);
        }
    }

    /// Shows a member its own commit as if it had won, and nobody else. True: it did.
    fn leads_apart(&mut self, seat: SeatId, bundle: &bytes::Bytes, watch: &Watch) -> bool {
        let Ok(bundle) = wire::Bundle::from_bytes(bundle) else { return false };
        if bundle.kind != wire::Kind::Commit || !watch.leads_apart() {
            return false;
        }
        let announce = Effect::Announce(Announced::Commit(bundle.commit));
        for order in orders(&self.conference, &mut self.answers, announce) {
            if let RoomOrder::Broadcast { key, cpim, .. } = order {
                self.order(RoomOrder::Deliver { key, seat, cpim });
            }
        }
        true
    }
}
