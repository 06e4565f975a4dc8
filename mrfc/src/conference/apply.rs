//! The second half of the path: following an event that has happened. It cannot fail.
use ids::{Aor, Era, SeatId, Term};
use mls::wire::Reason;

use super::decide::Change;
use super::effect::{Announced, Effect, Told};
use super::entries::Entries;
use super::event::{Departed, Event, What};
use super::group::Group;
use super::nickname::Nickname;
use super::nicknames::Nicknames;
use super::nouns::{At, Blob, Level, Participant, Why};
use super::partings::{Parting, Partings};
use super::roster::{Roster, Seat};
use super::rules::Rules;
use super::{About, Committing, Conference, Decision};

impl Conference {
    /// Follows a decision, once its event is kept, and lists what to carry out.
    pub fn take(&mut self, decision: Decision) -> Vec<Effect> {
        let (event, change) = decision.into_parts();
        match change {
            Change::None => {}
            Change::Begin(checked) => self.group.ledger = Some(checked.into_ledger().0),
            Change::Advance(checked) => {
                let ledger = self.group.ledger.as_mut();
                let ledger = ledger.expect("a commit was checked against a ledger");
                ledger.apply(*checked).expect("one task decides and follows, one at a time");
            }
            Change::Remove(checked) => {
                let ledger = self.group.ledger.as_mut();
                let ledger = ledger.expect("a removal was checked against a ledger");
                ledger
                    .apply_removal(*checked)
                    .expect("one task decides and follows, one at a time");
            }
        }
        self.apply(&event)
    }

    /// Follows an event and lists what to carry out.
    pub(super) fn apply(&mut self, event: &Event) -> Vec<Effect> {
        self.seq = self.seq.next();
        let effects = self.follow(event);
        self.note_vacancy(event.at);
        effects
    }

    fn follow(&mut self, event: &Event) -> Vec<Effect> {
        let at = event.at;
        match &event.what {
            What::Created { .. } => self.created(at, &event.what),
            What::Joined { .. } => self.came(at, &event.what),
            What::Answered { seat, peer_path, end } => {
                if let Some(place) = self.roster.seat_mut(*seat) {
                    place.peer_path = Some(peer_path.clone());
                    place.end = end.clone().unwrap_or_else(|| place.end.clone());
                }
                vec![Effect::Seat(*seat)]
            }
            What::Renamed { seat, nickname } => self.renamed(at, *seat, nickname.as_deref()),
            What::Alerting { seat } => self.rings(*seat),
            What::Bound { seat } => self.bound(at, *seat),
            What::Unseated { seat, why } => self.unseated(at, *seat, *why),
            What::Invited { by, who } => {
                self.roster.invite(who);
                let by_shown_as = self.shown_as(by);
                vec![Effect::DialOut { who: who.clone(), by: by.clone(), by_shown_as }]
            }
            What::Unreached { who } => self.not_reached(at, who),
            What::Ruled { ruling, .. } => self.ruled(ruling),
            What::Departed { who, why, pending } => self.departed(at, who, *why, pending),
            What::Advanced { .. } => self.advanced(event),
            What::Vouched { by, epoch, fingerprint } => {
                self.vouched(at, by.as_ref(), (*epoch, *fingerprint))
            }
            What::Astray { who, epoch } => self.went_astray(at, who, *epoch),
            What::GivenUp { author } => self.given_up(at, author),
            What::Doubted { by, era, until, .. } => self.doubted(by, *era, *until),
            What::Denied { who } => self.denied(who),
            What::Upheld => self.upheld(at),
            What::Outdated { term, era, skipped } => self.outdated(at, (*term, *era), *skipped),
            What::Gathered { of, until } => {
                self.committing.gathering(at, of.len(), *until);
                vec![Effect::Claim(of.clone())]
            }
            What::Claimed { packages } => {
                self.committing.claimed(packages);
                Vec::new()
            }
            What::Asked { whom, task, until } => self.asked(whom, task, *until),
            What::GaveUp { spoiled } => {
                self.committing.gave_up(at, spoiled.as_ref());
                Vec::new()
            }
            What::Moved { relay, term } => self.moved(relay, *term, at),
            What::Inherited { creator } => self.inherited(creator),
            What::Rested => self.rested(),
            What::Adopted => self.adopted(),
            What::Restored { term, era } => self.restored(at, *term, *era),
            What::Ended { term, era } => self.ended(*term, *era),
        }
    }

    fn came(&mut self, at: At, what: &What) -> Vec<Effect> {
        let What::Joined { who, seat, identities, peer_path, end, came, shown, behind, mask } =
            what
        else {
            return Vec::new();
        };
        match behind.as_ref().zip(who.aor.number_in(self.id())) {
            Some((behind, number)) => self.roster.mask(who, number, behind),
            None => self.roster.show(&who.aor, *shown),
        }
        self.partings.back(&who.aor, Some(&who.device));
        self.partings.back(&who.aor, None);
        let seat = Seat {
            id: *seat,
            bound: false,
            identities: identities.clone(),
            peer_path: peer_path.clone(),
            end: end.clone(),
            came: *came,
            alerting: false,
            since: at,
            mask: mask.clone(),
        };
        self.joined(at, who, seat)
    }

    fn renamed(&mut self, at: At, seat: SeatId, nickname: Option<&str>) -> Vec<Effect> {
        if let Some((who, _)) = self.roster.at(seat) {
            let nickname = nickname.and_then(|text| Nickname::parse(text).ok());
            self.nicknames.give(seat, &who.aor, nickname, at);
        }
        Vec::new()
    }

    fn created(&mut self, at: At, what: &What) -> Vec<Effect> {
        let What::Created { creator, level, relay, term, standing, moderators, subject, era } =
            what
        else {
            return Vec::new();
        };
        let (level, term, standing) = (*level, *term, *standing);
        self.term = term;
        self.vacant = Some(at);
        self.roster = Roster::default();
        moderators.iter().chain([creator]).for_each(|who| self.roster.found(who));
        self.group = Group { era: self.group.era.max(*era), ..Group::default() };
        self.committing = Committing::default();
        self.entries = Entries::default();
        self.nicknames = Nicknames::default();
        self.partings = Partings::default();
        self.rules = Rules { subject: subject.clone(), ..Rules::default() };
        let (creator, relay, created) = (creator.clone(), relay.clone(), at);
        let (joined, came, opens) = (false, false, relay.is_some());
        self.about = Some(About { creator, level, relay, term, created, joined, came, standing });
        if opens { vec![Effect::Open] } else { Vec::new() }
    }

    /// Nobody is left. Who may do what stays, and so do its rules; its era, terms and keys go on when somebody comes.
    fn rested(&mut self) -> Vec<Effect> {
        if let Some(about) = &mut self.about {
            about.relay = None;
        }
        self.roster.rest();
        self.group = Group { era: self.group.era, ..Group::default() };
        self.committing = Committing::default();
        self.nicknames = Nicknames::default();
        self.partings = Partings::default();
        vec![Effect::Close(Why::Ended)]
    }

    /// It is as if it had just been made, so that there is time to come back to it.
    fn restored(&mut self, at: At, term: Term, era: Era) -> Vec<Effect> {
        (self.term, self.group.era) = (term, era);
        if let Some(about) = &mut self.about {
            (about.created, about.joined, about.came) = (at, false, false);
        }
        self.rested()
    }

    fn inherited(&mut self, creator: &Aor) -> Vec<Effect> {
        if let Some(about) = &mut self.about {
            about.creator.clone_from(creator);
        }
        let seen = self.roster.seen_as(creator).clone();
        self.roster.appoint(&seen, true);
        Vec::new()
    }

    fn rings(&mut self, seat: SeatId) -> Vec<Effect> {
        if let Some(place) = self.roster.seat_mut(seat) {
            place.alerting = true;
        }
        Vec::new()
    }

    fn not_reached(&mut self, at: At, who: &Aor) -> Vec<Effect> {
        let hidden = self.roster.hidden(who);
        self.roster.declined(who);
        let (aor, device, why) = (who.clone(), None, Why::Unreachable);
        self.partings.add(Parting { aor, hidden, device, why, at });
        Vec::new()
    }

    fn joined(&mut self, at: At, who: &Participant, seat: Seat) -> Vec<Effect> {
        if let Some(about) = &mut self.about {
            about.joined = true;
            about.came |= *self.roster.real(&who.aor) == about.creator;
        }
        let id = seat.id;
        let former = self.roster.seat(who, seat);
        self.succeed();
        self.seats_over(former, at);
        self.committing.forget(who);
        self.find_joiners(at);
        let former = former.map(|seat| Effect::Unseat(seat, Why::Away));
        former.into_iter().chain([Effect::Seat(id)]).collect()
    }

    fn bound(&mut self, at: At, seat: SeatId) -> Vec<Effect> {
        if let Some(place) = self.roster.seat_mut(seat) {
            place.bound = true;
        }
        self.committing.somebody_came();
        self.find_joiners(at);
        let Some((who, _)) = self.roster.at(seat) else {
            return Vec::new();
        };
        let who = who.clone();
        let Some(facts) = self.group.facts.as_mut() else {
            return Vec::new();
        };
        if let Some(Blob(welcome)) = facts.held.remove(&who) {
            return vec![Effect::Tell(seat, Told::Welcome(welcome))];
        }
        if !facts.members.contains(&who) || facts.pending.contains(&who) {
            return Vec::new();
        }
        // A member that was away may have missed Removes and commits, or lost its keys.
        let proposals = (!facts.pending.is_empty()).then_some(Effect::Tell(seat, Told::Proposals));
        let catch_up = self.request(Reason::Enter, Vec::new());
        proposals.into_iter().chain([Effect::Tell(seat, catch_up)]).collect()
    }

    fn unseated(&mut self, at: At, seat: SeatId, why: Why) -> Vec<Effect> {
        let Some(who) = self.roster.unseat(seat) else {
            return Vec::new();
        };
        self.seats_over([seat], at);
        self.parted(&who, why, at);
        self.committing.forget(&who);
        // Membership outlives the dialog; who never was a member, or in an open room, is just gone.
        let belongs = self.group.is_member(&who) || self.group.is_heir(&who);
        if !belongs || self.level() == Some(Level::Open) {
            self.roster.drop_device(&who);
        }
        if why.did_not_come() {
            self.roster.declined(&who.aor);
        }
        self.succeed();
        self.find_joiners(at);
        let bye = (!why.dialog_over()).then_some(Effect::Bye(seat, why));
        std::iter::once(Effect::Unseat(seat, why)).chain(bye).collect()
    }

    /// The gate shuts first: while the seats are ended one after the other, nobody's message of the old epoch may
    /// reach those that are still there.
    pub(super) fn departed(
        &mut self,
        at: At,
        who: &Departed,
        why: Why,
        pending: &[Participant],
    ) -> Vec<Effect> {
        match who {
            Departed::Device(device) => self.parted(device, why, at),
            Departed::Person(aor) => {
                let devices = self
                    .roster
                    .devices_of(aor)
                    .map(|(device, _)| Participant { aor: aor.clone(), device: device.clone() });
                let devices: Vec<Participant> = devices.collect();
                devices.iter().for_each(|device| self.parted(device, why, at));
            }
        }
        // In a standing conference roles outlive those who come and go.
        let keeps = (self.is_standing() && why != Why::Kicked) || why == Why::Unusable;
        let (seats, calls): (Vec<SeatId>, _) = match who {
            // A device that leaves has ended its dialog by itself.
            Departed::Device(device) => {
                let seats: Vec<SeatId> = self.roster.drop_device(device).into_iter().collect();
                (seats.clone(), if why.dialog_over() { Vec::new() } else { seats })
            }
            Departed::Person(aor) => {
                let keeps = keeps && self.roster.is_moderator(aor);
                let hidden = self.roster.hidden(aor);
                let real = self.roster.real(aor).clone();
                let seats = self.roster.drop_person(aor);
                if keeps {
                    self.roster.found(&real);
                }
                if why == Why::Kicked {
                    self.roster.bar(&real, hidden);
                }
                (seats.clone(), seats)
            }
        };
        // Who leaves for good decides about nobody any more.
        if let Departed::Device(device) = who
            && !keeps
            && self.roster.devices_of(&device.aor).next().is_none()
        {
            self.roster.drop_person(&device.aor);
        }
        self.succeed();
        self.seats_over(seats.iter().copied(), at);
        self.committing.restart();
        if let Some(facts) = self.group.facts.as_mut() {
            facts.pending = pending.iter().cloned().collect();
            facts.held.retain(|device, _| !pending.contains(device));
        }
        self.find_joiners(at);
        let shut = self.group.is_shut();
        let gate = shut.then_some(Effect::Gate).into_iter();
        let unseats = seats.into_iter().map(|seat| Effect::Unseat(seat, why));
        let byes = calls.into_iter().map(|seat| Effect::Bye(seat, why));
        let proposals = shut.then_some(Effect::Announce(Announced::Proposals));
        gate.chain(unseats).chain(byes).chain(proposals).collect()
    }

    /// The room begins anew elsewhere: no path of the old relay is good any more.
    fn moved(&mut self, relay: &str, term: Term, at: At) -> Vec<Effect> {
        self.term = term;
        let mut stays = false;
        if let Some(about) = &mut self.about {
            let former = about.relay.replace(relay.to_owned());
            stays = former.as_deref() == Some(relay);
            about.term = term;
        }
        if stays {
            return vec![Effect::Open];
        }
        let seats: Vec<SeatId> = self.roster.seats().collect();
        self.seats_over(seats.iter().copied(), at);
        let mut effects = vec![Effect::Open];
        for seat in seats {
            if let Some(who) = self.roster.unseat(seat) {
                self.committing.forget(&who);
                effects.push(Effect::Bye(seat, Why::RelayLost));
            }
        }
        effects
    }

    fn ended(&mut self, term: Term, era: Era) -> Vec<Effect> {
        // What led here may be forgotten.
        self.term = self.term.max(term);
        self.group.era = self.group.era.max(era);
        let byes = self.roster.seats().map(|seat| Effect::Bye(seat, Why::Ended));
        let effects = byes.chain([Effect::Close(Why::Ended)]).collect();
        self.about = None;
        self.roster = Roster::default();
        self.group = Group { era: self.group.era, ..Group::default() };
        self.committing = Committing::default();
        self.nicknames = Nicknames::default();
        self.partings = Partings::default();
        effects
    }

    /// Remembers how a device went, for those who watch.
    fn parted(&mut self, who: &Participant, why: Why, at: At) {
        let hidden = self.roster.hidden(&who.aor);
        let (aor, device) = (who.aor.clone(), Some(who.device.clone()));
        self.partings.add(Parting { aor, hidden, device, why, at });
    }

    /// What belongs to seats and not to devices ends with them.
    fn seats_over(&mut self, seats: impl IntoIterator<Item = SeatId>, at: At) {
        let quarantine = self.terms.nicknames.quarantine;
        seats.into_iter().for_each(|seat| self.nicknames.over(seat, at, quarantine));
    }
}
