//! What devices do in a world: call, take their seats, talk, and tell what they were told.
use std::time::Duration;

use client::Event;
use control::Cause;
use ids::SeatId;
use mrfc::conference::{Participant, Why};
use rand::Rng as _;

use super::super::faults::Fault;
use super::super::focus::Call;
use super::super::person::{Stage, Told};
use super::{Conn, Happening, World};

impl World {
    /// Comes back after a while, if it wants to.
    pub(super) fn returns(&mut self, person: usize) {
        let wait = Duration::from_millis(self.rng.random_range(100..4000));
        self.later(wait, Happening::Returns(person));
    }

    pub(super) fn person_says(&mut self, index: usize) -> bool {
        let Self { people, rng, clock, .. } = self;
        let Some(person) = people.get_mut(index) else { return false };
        let (who, wanted) = (person.who.clone(), person.wants);
        let Some(seat) = person.seat() else { return false };
        let (conn, told) = (seat.conn, seat.told());
        let octets = seat.writes(clock, rng);
        let quiet = told.is_empty() && octets.is_none();
        let first = octets.clone().filter(|_| self.watch.fault == Fault::SendsBeforeWriting);
        if !quiet && !person.keeps(self.watch.fault) {
            first.into_iter().for_each(|octets| self.happens(Happening::ToRelay(conn, octets)));
            self.person_dies(index);
            return true;
        }
        let Some(seat) = self.people.get_mut(index).and_then(|person| person.seat()) else {
            return true;
        };
        for told in &told {
            if let Told::Event(event) = told {
                seat.session.told(event);
            }
        }
        if !quiet && seat.inside {
            let standing = seat.session.standing();
            self.watch.stands(&who, &standing);
        }
        if let Some(octets) = octets {
            self.send(conn, 0, octets);
        }
        for told in told {
            self.told(index, &who, conn, wanted, told);
        }
        !quiet
    }

    pub(super) fn told(
        &mut self,
        index: usize,
        who: &Participant,
        conn: u64,
        wanted: bool,
        told: Told,
    ) {
        match told {
            Told::Event(Event::Message(message)) => {
                let body = String::from_utf8_lossy(&message.body).into_owned();
                let times = if self.watch.fault == Fault::ShowsTwice { 2 } else { 1 };
                let life = self.people.get(index).map_or(0, |person| person.life);
                (0..times).for_each(|_| self.watch.shown((who, life), &message.id, &body));
            }
            Told::Event(Event::Entered { era, epoch, by }) => {
                self.line(&format!("{who} entered {era}/{epoch} {by:?}"));
                self.watch.letters.entered(conn, (era, epoch), self.clock.elapsed);
            }
            Told::Event(Event::Unreadable { why }) => {
                self.line(&format!("{who} cannot read: {why}"));
            }
            Told::Event(Event::Refused { why }) => {
                self.line(&format!("{who} changed the group in vain: {why}"));
            }
            Told::Event(Event::Advanced { epoch, .. }) => {
                self.line(&format!("{who} is in {epoch}"));
            }
            Told::Event(Event::Split { who: other, epoch }) => self.watch.split(who, &other, epoch),
            Told::Event(Event::Removed) => self.line(&format!("{who} was removed")),
            Told::Event(_) => {}
            Told::Settled { body, accepted } => self.watch.settled(&body, accepted),
            Told::Fetch => self.begins_fetch(index),
            Told::Dead | Told::NoSeat => {
                self.leaves_seat(index, "the relay does not answer", false);
                if wanted {
                    self.returns(index);
                }
            }
        }
    }

    pub(super) fn begins_fetch(&mut self, index: usize) {
        let way = self.way();
        let Some(person) = self.people.get_mut(index) else { return };
        person.fetches += 1;
        let (life, fetch) = (person.life, person.fetches);
        if let Some(seat) = person.seat() {
            seat.fetch = Some(fetch);
            self.later(way, Happening::Fetches { person: index, life, fetch, tries: 0 });
        }
    }

    pub(super) fn fetches(&mut self, person: usize, life: u64, fetch: u64, tries: u32) {
        let Some(who) = self.people.get(person).map(|person| person.who.clone()) else { return };
        let way = self.way();
        match self.with_focus(|focus, _| focus.group_state(&who)) {
            Some(state) => {
                self.later(way, Happening::Fetched { person, life, fetch, state });
            }
            None => {
                let again = Duration::from_millis(500 << tries.min(6));
                let tries = tries + 1;
                self.later(again, Happening::Fetches { person, life, fetch, tries });
            }
        }
    }

    /// A device gives its seat up, and says so.
    pub(crate) fn leaves_seat(&mut self, index: usize, why: &str, leaves: bool) {
        let Some(person) = self.people.get_mut(index) else { return };
        let (who, wanted) = (person.who.clone(), person.wants);
        let Some(seat) = person.seat_ref() else { return };
        let (conn, seat) = (seat.conn, seat.seat);
        let told = person.end(why);
        if let Some(line) = self.conns.get_mut(&conn) {
            line.up = false;
        }
        self.watch.letters.ended(conn, self.clock.elapsed);
        for told in told.into_iter().filter(|told| !matches!(told, Told::Fetch | Told::Dead)) {
            self.told(index, &who, conn, wanted, told);
        }
        let (bye, lost) = (self.way(), self.way());
        self.later(bye, Happening::Hangs { seat, leaves });
        self.later(lost, Happening::RelayFinds(conn, Cause::Disconnected));
    }

    pub(super) fn hung_up(&mut self, index: usize, seat: SeatId, why: Why) {
        let Some(person) = self.people.get_mut(index) else { return };
        if why == Why::Kicked {
            person.wants = false;
        }
        if person.seat_ref().is_some_and(|known| known.seat == seat) {
            self.leaves_seat(index, why.as_str(), false);
            self.returns(index);
        }
    }

    /// A device calls, if it wants to and may.
    pub(crate) fn calls(&mut self, index: usize) {
        let way = self.way();
        let Self { people, rng, clock, .. } = self;
        let Some(person) = people.get_mut(index) else { return };
        if !person.wants || !matches!(person.stage, Stage::Out) {
            return;
        }
        let path = person.call(clock.elapsed, rng);
        let call = Call { person: index, call: person.calls, who: person.who.clone(), path };
        let line = format!("{} calls", person.who);
        self.line(&line);
        self.later(way, Happening::Calls(call));
    }

    pub(super) fn answered(&mut self, index: usize, call: u64, given: Option<(SeatId, String)>) {
        let (conn, now) = (self.next_conn + 1, self.clock.elapsed);
        let Self { people, rng, .. } = self;
        let Some(person) = people.get_mut(index) else { return };
        let expected = person.calls == call && matches!(person.stage, Stage::Calling(_));
        match given {
            Some((seat, path)) if expected && person.wants => {
                person.seated((seat, &path), conn, now, rng);
                self.next_conn = conn;
                let line = Conn { person: index, arrive: [now; 2], up: true, queued: 0 };
                self.conns.insert(conn, line);
                if self.relay.is_none() {
                    self.breaks(conn, Cause::Disconnected);
                }
            }
            Some((seat, _)) => {
                if expected {
                    person.stage = Stage::Out;
                }
                let way = self.way();
                self.later(way, Happening::Hangs { seat, leaves: false });
            }
            None if expected => {
                person.stage = Stage::Out;
                self.returns(index);
            }
            None => {}
        }
    }

    /// Says something new, if it has a seat.
    pub(crate) fn says(&mut self, index: usize) {
        let Self { people, rng, clock, watch, said, .. } = self;
        let Some(person) = people.get_mut(index) else { return };
        let (who, life) = (person.who.clone(), person.life);
        let Some(seat) = person.seat() else { return };
        *said += 1;
        let body = format!("m{said}");
        let id = seat.say(clock, rng, &body);
        watch.letters.said(id, &body, (&who, life));
        watch.trace.line(&format!("{who} says {body}"));
        let (conn, is_out) = (seat.conn, seat.session.standing().members == 0);
        if watch.fault == Fault::SpeaksInTheClear && is_out {
            self.send(conn, 0, format!("Content-Type: text/plain\r\n\r\n{body}").into());
        }
    }
}
