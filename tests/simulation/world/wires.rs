//! What is between the processes of a world: connections that keep order, lose everything at once or nothing, and may be
//! slow; the link between focus and relay; dialogs.
use std::time::Duration;

use bytes::Bytes;
use control::{Cause, ToFocus, ToRelay};
use rand::Rng as _;

use super::super::focus::Said;
use super::super::person::Person;
use super::{Happening, OUTBOX, World};

impl World {
    pub(super) fn focus_says(&mut self) -> bool {
        let Some(focus) = self.focus.as_mut() else { return false };
        let said = std::mem::take(&mut focus.said);
        let frames: Vec<ToRelay> = std::iter::from_fn(|| focus.link.poll()).collect();
        let dead = focus.dead;
        let quiet = said.is_empty() && frames.is_empty() && !dead;
        for frame in frames {
            let at = self.link_way(0);
            self.at(at, Happening::Order(self.link, Box::new(frame)));
        }
        for said in said {
            let way = self.way();
            self.later(
                way,
                match said {
                    Said::Answer { person, call, given } => {
                        Happening::Answered { person, call, given }
                    }
                    Said::Bye { person, seat, why } => Happening::HungUp { person, seat, why },
                },
            );
        }
        if dead {
            self.focus_dies();
        }
        !quiet
    }

    pub(super) fn relay_says(&mut self) -> bool {
        let Some(relay) = self.relay.as_mut() else { return false };
        let written = std::mem::take(&mut relay.written);
        let closed = std::mem::take(&mut relay.closed);
        let frames: Vec<ToFocus> = std::iter::from_fn(|| relay.link.poll()).collect();
        let quiet = written.is_empty() && closed.is_empty() && frames.is_empty();
        for (conn, octets) in written {
            self.send(conn, 1, octets);
        }
        for conn in closed {
            let at = self.conns.get(&conn).map(|conn| conn.arrive[1]).unwrap_or_default();
            let at = at.max(self.clock.elapsed) + Duration::from_millis(1);
            self.at(at, Happening::PersonFinds(conn));
        }
        for frame in frames {
            let at = self.link_way(1);
            self.at(at, Happening::Notice(self.link, Box::new(frame)));
        }
        !quiet
    }

    pub(super) fn link_way(&mut self, direction: usize) -> Duration {
        let way = self.way();
        let at = (self.clock.elapsed + way).max(self.link_arrives[direction]);
        self.link_arrives[direction] = at;
        at
    }

    /// Sends octets over a connection; each direction keeps its order.
    pub(super) fn send(&mut self, conn: u64, direction: usize, octets: Bytes) {
        self.watch.i25_nothing_is_said_in_the_clear(&octets);
        let way = self.way();
        let now = self.clock.elapsed;
        let Some(line) = self.conns.get_mut(&conn) else { return };
        if !line.up {
            return;
        }
        let slow = direction == 1 && self.people.get(line.person).is_some_and(|p| p.slow);
        let way = if slow { way + Duration::from_secs(4) } else { way };
        let at = (now + way).max(line.arrive[direction]);
        line.arrive[direction] = at;
        if direction == 0 {
            self.at(at, Happening::ToRelay(conn, octets));
            return;
        }
        line.queued += octets.len();
        if slow && line.queued > OUTBOX {
            self.watch.counts.outboxes_full += 1;
            self.breaks(conn, Cause::Slow);
        } else {
            self.at(at, Happening::ToPerson(conn, octets));
        }
    }

    pub(super) fn reaches(&mut self, conn: u64, octets: &Bytes) {
        let clock = self.clock;
        let Some(line) = self.conns.get_mut(&conn).filter(|line| line.up) else { return };
        line.queued -= octets.len();
        let person = self.people.get_mut(line.person);
        if let Some(seat) = person.and_then(Person::seat).filter(|seat| seat.conn == conn) {
            seat.reads(&clock, octets);
        }
    }

    /// A connection breaks: what is on its way is lost, and both ends find out by and by.
    pub(crate) fn breaks(&mut self, conn: u64, cause: Cause) {
        let Some(line) = self.conns.get_mut(&conn).filter(|line| line.up) else { return };
        line.up = false;
        self.watch.letters.ended(conn, self.clock.elapsed);
        let (relay, person) = (self.rng.random_range(1..8000), self.rng.random_range(1..8000));
        self.later(Duration::from_millis(relay), Happening::RelayFinds(conn, cause));
        self.later(Duration::from_millis(person), Happening::PersonFinds(conn));
    }

    /// A device finds its connection ended.
    pub(super) fn finds(&mut self, conn: u64) {
        if let Some(line) = self.conns.get_mut(&conn) {
            line.up = false;
            let person = line.person;
            self.watch.letters.ended(conn, self.clock.elapsed);
            let at = |person: &Person| person.seat_ref().map(|seat| seat.conn);
            if self.people.get(person).and_then(at) == Some(conn) {
                self.leaves_seat(person, "the connection ended", false);
                self.returns(person);
            }
        }
    }
}
