//! A conference, the devices of its people, and a journal in memory. Time stands still unless a test moves it.
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ids::{Aor, Era, SeatId};
use mls::identity::{DeviceKey, Issuer, request};
use mls::member::{Keyring, Member, MemberError};
use mls::wire::{Bundle, CommitRequest, CommitResult, EpochReport, Reason, WelcomeDelivery};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::conference::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// openmls compares KeyPackage lifetimes with the system clock, so tests live in the present.
pub(super) fn present() -> SystemTime {
    service::clock::wall()
}

pub(super) fn aor(person: &str) -> Aor {
    format!("sip:{person}@example.net").parse().unwrap()
}

pub(super) fn device(person: &str, number: u8) -> Participant {
    let device = format!("urn:uuid:00000000-0000-4000-8000-{number:012}").parse().unwrap();
    Participant { aor: aor(person), device }
}

/// A device as its person uses it.
pub(super) struct Device {
    pub(super) keyring: Keyring,
    /// Its signature key, in PKCS #8.
    pub(super) key: Vec<u8>,
    pub(super) founding: Option<Member>,
    pub(super) member: Option<Member>,
    /// It hears, and does nothing.
    pub(super) silent: bool,
    /// What it hears of the group is damaged.
    pub(super) garbled: bool,
    /// Nobody can follow a commit of its own.
    pub(super) spoils: bool,
    /// It has left KeyPackages in the directory.
    pub(super) packages: bool,
    pub(super) results: Vec<CommitResult>,
}

pub(super) struct World {
    pub(super) conference: Conference,
    pub(super) terms: Arc<Terms>,
    pub(super) now: SystemTime,
    pub(super) journal: Vec<Bytes>,
    pub(super) group: Option<Bytes>,
    pub(super) devices: BTreeMap<Participant, Device>,
    pub(super) seen: Vec<Effect>,
    issuer: Issuer,
    rng: StdRng,
    next_seat: u64,
    /// Reports on their way to the focus.
    reports: VecDeque<(SeatId, EpochReport)>,
    /// How many commands are being carried out, one within the other.
    depth: usize,
    /// Bundles on their way to the focus.
    pub(super) uplink: VecDeque<(Participant, Bundle)>,
}

impl World {
    pub(super) fn new(level: Level) -> Self {
        Self::with(level, Bounds::default())
    }

    pub(super) fn with(level: Level, bounds: Bounds) -> Self {
        let mut rng = StdRng::seed_from_u64(7);
        let now = present();
        let issuer = Issuer::generate(&mut rng, "devices", now - DAY, 400 * DAY).unwrap();
        let terms = Arc::new(Terms {
            id: "room7".parse().unwrap(),
            domain: String::from("example.net"),
            roots: issuer.roots().clone(),
            focus: issuer.focus_key(),
            bounds,
            nicknames: NicknamePolicy::new(
                true,
                Duration::from_secs(600),
                Nickname::parse("admin"),
            ),
        });
        let mut world = Self::unmade(terms, now, issuer, rng);
        let creator = aor("alice");
        let (relay, standing) = (Some("relay-0".into()), None);
        world.run(&Command::Create { creator, level, relay, standing }).unwrap();
        world
    }

    fn unmade(terms: Arc<Terms>, now: SystemTime, issuer: Issuer, rng: StdRng) -> Self {
        Self {
            conference: Conference::new(Arc::clone(&terms)),
            terms,
            now,
            journal: Vec::new(),
            group: None,
            devices: BTreeMap::new(),
            seen: Vec::new(),
            issuer,
            rng,
            next_seat: 1,
            reports: VecDeque::new(),
            depth: 0,
            uplink: VecDeque::new(),
        }
    }

    /// A conference that outlives emptiness, of alice and bob, where nobody is yet.
    pub(super) fn standing(level: Level) -> Self {
        let mut world = Self::new(level);
        world.conference = Conference::new(Arc::clone(&world.terms));
        world.journal.clear();
        world.seen.clear();
        let moderators = vec![aor("bob")];
        let standing = Some(Standing { moderators, subject: Some("Tea".into()) });
        let creator = aor("alice");
        world.run(&Command::Create { creator, level, relay: None, standing }).unwrap();
        world
    }

    /// A sealed room in which these devices are members; alice's first is there anyway.
    pub(super) fn room(others: &[(&str, u8)]) -> Self {
        let mut world = Self::new(Level::Sealed);
        world.arrive("alice", 1);
        world.settle();
        for (person, number) in others {
            world.arrive(person, *number);
        }
        world.pass(Duration::from_millis(200));
        for (person, number) in others {
            assert!(world.conference.is_member(&device(person, *number)), "{person} is not in");
        }
        world.seen.clear();
        world
    }

    pub(super) fn own(&mut self, person: &str, number: u8) -> Participant {
        self.own_as(device(person, number))
    }

    /// A device that is certified under this name.
    pub(super) fn own_as(&mut self, who: Participant) -> Participant {
        if !self.devices.contains_key(&who) {
            let key = DeviceKey::generate(&mut self.rng);
            let csr = request(&key, &who.name()).unwrap();
            let from = self.now - Duration::from_secs(60);
            let certificate = self.issuer.issue(&csr, &who.name(), from, 30 * DAY).unwrap();
            let (roots, pkcs8) = (self.issuer.roots(), key.to_pkcs8().unwrap().to_vec());
            let keyring = Keyring::new(key, &certificate, roots, self.now).unwrap();
            let device = Device {
                keyring,
                key: pkcs8,
                founding: None,
                member: None,
                silent: false,
                garbled: false,
                spoils: false,
                packages: true,
                results: Vec::new(),
            };
            self.devices.insert(who.clone(), device);
        }
        who
    }

    /// Is given a seat to be called for.
    pub(super) fn call(&mut self, person: &str, number: u8) -> SeatId {
        self.seated(person, number, Came::DialedOut).unwrap()
    }

    /// Takes a seat.
    pub(super) fn sit(&mut self, person: &str, number: u8) -> Result<SeatId, Refusal> {
        self.seated(person, number, Came::DialedIn)
    }

    fn seated(&mut self, person: &str, number: u8, came: Came) -> Result<SeatId, Refusal> {
        let who = self.own(person, number);
        let seat = SeatId(self.next_seat);
        self.next_seat += 1;
        let joining = Joining {
            who,
            seat,
            identities: vec![format!("sip:{person}@example.net")],
            peer_path: None,
            end: End { private_messages: true, ..End::default() },
            came,
            shown: Shown::Named,
            mask: None,
        };
        self.run(&Command::Join(joining)).map(|()| seat)
    }

    /// Takes a seat and connects.
    pub(super) fn arrive(&mut self, person: &str, number: u8) -> SeatId {
        let seat = self.sit(person, number).unwrap();
        self.run(&Command::Bound(seat)).unwrap();
        seat
    }

    pub(super) fn seat(&self, who: &Participant) -> SeatId {
        self.conference.roster().seat_of(who).unwrap().id
    }

    pub(super) fn run(&mut self, command: &Command) -> Result<(), Refusal> {
        let decision = self.conference.decide(self.now, command)?;
        self.journal.push(decision.event().to_bytes());
        self.group = decision.group().or_else(|| self.group.take());
        self.depth += 1;
        for effect in self.conference.take(decision) {
            self.carry_out(effect);
        }
        self.depth -= 1;
        while self.depth == 0
            && let Some((seat, report)) = self.reports.pop_front()
        {
            self.run(&Command::Report { seat, report }).ok();
        }
        Ok(())
    }

    /// A copy of the database.
    pub(super) fn copy(&self) -> (Vec<Bytes>, Option<Bytes>) {
        (self.journal.clone(), self.group.clone())
    }

    /// The focus ends, and starts with a copy of its database. Nobody who was there is.
    pub(super) fn put_back(&mut self, (journal, group): (Vec<Bytes>, Option<Bytes>)) {
        let recovered = Conference::recover(Arc::clone(&self.terms), &journal, group.as_ref());
        (self.journal, self.group) = (journal, group);
        self.conference = recovered.unwrap().conference;
        self.seen.clear();
        self.uplink.clear();
        self.run(&Command::Adopt).unwrap();
        let seats: Vec<SeatId> = self.conference.roster().seats().collect();
        for seat in seats {
            self.run(&Command::Gone { seat, why: Why::RelayLost }).unwrap();
        }
    }

    /// Ticks and brings bundles up until nothing is left to do at this time.
    pub(super) fn settle(&mut self) {
        for _ in 0..1000 {
            if let Some((by, bundle)) = self.uplink.pop_front() {
                self.offer(&by, &bundle).ok();
            } else if self.conference.due().is_some_and(|due| due <= self.now) {
                self.run(&Command::Tick).unwrap();
            } else {
                return;
            }
        }
        panic!("the conference does not come to rest");
    }

    /// Lets time pass, and everything that falls due in it happen.
    pub(super) fn pass(&mut self, time: Duration) {
        self.settle();
        let end = self.now + time;
        while let Some(due) = self.conference.due().filter(|due| *due <= end) {
            self.now = due.max(self.now);
            self.settle();
        }
        self.now = end;
        self.settle();
    }

    pub(super) fn offer(&mut self, by: &Participant, bundle: &Bundle) -> Result<(), Refusal> {
        let seat = self.conference.roster().seat_of(by).map_or(SeatId(0), |seat| seat.id);
        self.run(&Command::Bundle { seat, bundle: bundle.to_bytes() })
    }

    pub(super) fn member(&mut self, person: &str, number: u8) -> &mut Member {
        let device = self.devices.get_mut(&device(person, number)).unwrap();
        device.member.as_mut().unwrap()
    }

    pub(super) fn silence(&mut self, person: &str, number: u8) {
        self.devices.get_mut(&device(person, number)).unwrap().silent = true;
    }

    /// A commit of this member that only renews the group's key by covering what is pending.
    pub(super) fn commit(&mut self, person: &str, number: u8, other: (&str, u8)) -> Bundle {
        let who = self.own(other.0, other.1);
        let now = self.now;
        let claim = self.package(&who);
        let Participant { aor, device } = who;
        let claim = mls::wire::ClaimedKeyPackage { aor, device, key_package: claim };
        self.member(person, number).add(&[claim], now).unwrap()
    }

    pub(super) fn package(&self, who: &Participant) -> Bytes {
        let keyring = &self.devices[who].keyring;
        keyring.key_packages(1, false, present(), 30 * DAY).unwrap().packages[0].clone()
    }

    /// How often a device was asked for a commit, in what was seen.
    pub(super) fn asked(&self, who: &Participant) -> Vec<Reason> {
        let seat = self.conference.roster().seat_of(who).map(|seat| seat.id);
        let asked = self.seen.iter().filter_map(|effect| match effect {
            Effect::Tell(to, Told::Request(request)) if Some(*to) == seat => Some(request.reason),
            _ => None,
        });
        asked.collect()
    }

    /// All devices that are members and heard everything agree on epoch and key.
    pub(super) fn assert_agreement(&self) {
        let gate = self.conference.gate().unwrap();
        let mut authenticators = std::collections::BTreeSet::new();
        for (who, device) in &self.devices {
            if self.conference.is_member(who) && self.conference.roster().is_bound(who) {
                let member = device.member.as_ref().unwrap_or_else(|| panic!("{who} is out"));
                assert_eq!(member.epoch(), gate.epoch, "{who}");
                authenticators.insert(member.authenticator());
            }
        }
        assert_eq!(authenticators.len(), 1);
    }

    fn carry_out(&mut self, effect: Effect) {
        self.seen.push(effect.clone());
        match effect {
            Effect::Claim(of) => {
                let claim = |who: Participant| {
                    let package = self.devices[&who].packages.then(|| self.package(&who));
                    (who, package)
                };
                let packages = of.into_iter().map(claim).collect();
                self.run(&Command::Claimed(packages)).unwrap();
            }
            Effect::Tell(seat, told) => {
                let who = self.conference.roster().at(seat).map(|(who, _)| who.clone());
                if let Some(who) = who {
                    self.tell(&who, told);
                }
            }
            Effect::Announce(Announced::Commit(commit)) => self.announce(&commit),
            Effect::Announce(Announced::Proposals) => {
                for proposal in self.conference.proposals() {
                    self.announce(&proposal);
                }
            }
            _ => {}
        }
    }

    fn announce(&mut self, message: &Bytes) {
        let bound: Vec<Participant> = self.conference.roster().bound().cloned().collect();
        for who in bound {
            self.hear(&who, message);
        }
    }

    /// Who cannot follow says so, as a client does.
    fn hear(&mut self, who: &Participant, message: &Bytes) {
        let now = self.now;
        let Some(device) = self.devices.get_mut(who) else { return };
        let Some(member) = device.member.as_mut() else { return };
        let message = if device.garbled { &spoilt(message) } else { message };
        match member.process(message, now) {
            Ok(_) | Err(MemberError::OtherGroup) => {}
            Err(error) if device.silent => drop(error),
            Err(_) => {
                let report = member.report_unusable();
                self.report(who, report);
            }
        }
    }

    /// Brings a report up, once everybody has heard what is being said.
    pub(super) fn report(&mut self, who: &Participant, report: EpochReport) {
        let seat = self.conference.roster().seat_of(who).map(|seat| seat.id);
        self.reports.extend(seat.map(|seat| (seat, report)));
    }

    fn tell(&mut self, who: &Participant, told: Told) {
        let (now, tree) = (self.now, self.conference.tree());
        let era = self.conference.gate().map_or(Era(0), |gate| gate.era);
        let id = self.terms.id.clone();
        let proposals = self.conference.proposals();
        let state = self.conference.group_state(&who.aor).unwrap();
        let device = self.devices.get_mut(who).unwrap();
        let bundle = match told {
            Told::Proposals => {
                proposals.iter().for_each(|proposal| self.hear(who, proposal));
                return;
            }
            Told::Welcome(welcome) => {
                let delivery = WelcomeDelivery { era, welcome, tree };
                let joined = Member::join(&device.keyring, &id, &delivery, now).unwrap();
                device.member = Some(joined);
                return;
            }
            Told::Result(result) => {
                if matches!(result, CommitResult::Accepted { .. }) {
                    device.member = device.founding.take().or_else(|| device.member.take());
                }
                device.results.push(result);
                return;
            }
            Told::Request(_) if device.silent => return,
            Told::Request(CommitRequest { reason: Reason::Confirm, .. }) => {
                let report = device.member.as_ref().map(Member::report);
                report.into_iter().for_each(|report| self.report(who, report));
                return;
            }
            Told::Request(request) => match request.reason {
                Reason::Create => {
                    let made = Member::create(&device.keyring, &id, request.era, now).unwrap();
                    device.founding = Some(made.0);
                    made.1
                }
                Reason::Enter => {
                    let state = state.unwrap();
                    let known = device.member.as_ref().map(|m| (m.era(), m.epoch()));
                    if known == Some((state.era, state.epoch)) {
                        return;
                    }
                    let entered = Member::join_externally(&device.keyring, &id, &state, known, now);
                    let Ok((member, bundle)) = entered else {
                        let report = device.member.as_ref().map(Member::report);
                        report.into_iter().for_each(|report| self.report(who, report));
                        return;
                    };
                    device.member = Some(member);
                    bundle
                }
                Reason::Add | Reason::Remove | Reason::Confirm => {
                    match device.member.as_mut().map(|member| member.answer(&request, now)) {
                        Some(Ok(bundle)) => bundle,
                        None | Some(Err(MemberError::Committing | MemberError::NothingToDo)) => {
                            return;
                        }
                        Some(Err(error)) => panic!("{who}: {error}"),
                    }
                }
            },
        };
        let spoils = self.devices[who].spoils && bundle.kind == mls::wire::Kind::Commit;
        let commit = if spoils { spoilt(&bundle.commit) } else { bundle.commit.clone() };
        self.uplink.push_back((who.clone(), Bundle { commit, ..bundle }));
    }
}

/// The same with a membership tag that nobody but members can check (RFC 9420, 6.2).
pub(super) fn spoilt(commit: &Bytes) -> Bytes {
    let mut octets = commit.to_vec();
    *octets.last_mut().unwrap() ^= 1;
    octets.into()
}

/// A GroupInfo that shows newcomers another key to enter by, signed anew by its author (RFC 9420, 5.1.2 and 12.4.3).
pub(super) fn elsewhere(group_info: &Bytes, author: &[u8]) -> Bytes {
    // The extension, alone in its list: type, length, and the key with its length.
    let place = group_info.windows(6).position(|it| it == [0x24, 0x00, 0x04, 0x21, 0x20, it[5]]);
    let mut octets = group_info.to_vec();
    octets[place.unwrap() + 5] ^= 1;
    // In front of it is the envelope of an MLSMessage, behind it the signature with its length.
    let (front, end) = (4, octets.len() - 66);
    let vector = |octets: &[u8]| {
        let length = u16::try_from(octets.len()).unwrap();
        [&(length | 0x4000).to_be_bytes(), octets].concat()
    };
    let label = b"MLS 1.0 GroupInfoTBS";
    let signed = [&[20], &label[..], &vector(&octets[front..end])].concat();
    let key = aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(author).unwrap();
    octets[end + 2..].copy_from_slice(key.sign(&signed).as_ref());
    octets.into()
}
