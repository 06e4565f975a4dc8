//! What goes wrong in a world: processes that die and come back, links that break.
use std::time::Duration;

use control::Cause;
use rand::Rng as _;

use super::super::faults::Fault;
use super::super::focus::{self, Focus};
use super::super::person::Stage;
use super::super::relay::Relay;
use super::{Happening, World};

impl World {
    fn a_while(&mut self, millis: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(millis))
    }

    pub(crate) fn focus_dies(&mut self) {
        if self.focus.take().is_none() {
            return;
        }
        self.watch.counts.focus_deaths += 1;
        self.line("the focus dies");
        if self.watch.fault == Fault::ForgetsCommit {
            self.disk.forget_commit();
        }
        self.link_breaks();
        let wait = self.a_while(100..6000);
        self.later(wait, Happening::FocusStarts);
        // Dialogs are not kept: who asks for theirs hears that there is none.
        for person in 0..self.people.len() {
            let seat = self.people.get(person).and_then(|p| p.seat_ref()).map(|seat| seat.seat);
            if let Some(seat) = seat {
                let ask = wait + self.a_while(1000..90_000);
                self.later(ask, Happening::Refreshes(person, seat));
            }
        }
    }

    pub(super) fn focus_starts(&mut self) {
        let Self { disk, watch, clock, terms, .. } = self;
        let mut around = focus::Around { clock: *clock, disk, watch };
        let focus = Focus::start(terms, &mut around);
        self.focus = Some(focus);
        self.line("the focus starts");
        let wait = self.a_while(10..1000);
        self.later(wait, Happening::LinkDials);
    }

    pub(crate) fn relay_dies(&mut self) {
        if self.relay.take().is_none() {
            return;
        }
        self.watch.counts.relay_deaths += 1;
        self.line("the relay dies");
        self.link_breaks();
        let conns: Vec<u64> = self.conns.keys().copied().collect();
        conns.into_iter().for_each(|conn| self.breaks(conn, Cause::Disconnected));
        let wait = self.a_while(100..6000);
        self.later(wait, Happening::RelayStarts);
    }

    pub(super) fn relay_starts(&mut self) {
        self.relays += 1;
        self.relay = Some(Relay::start(self.relays));
        self.line("the relay starts");
        let wait = self.a_while(10..1000);
        self.later(wait, Happening::LinkDials);
    }

    /// The link between focus and relay breaks, and is dialled again.
    pub(crate) fn link_breaks(&mut self) {
        self.link += 1;
        self.link_up = false;
        self.watch.broken();
        if let Some(focus) = self.focus.as_mut() {
            focus.link.broken();
        }
        if let Some(relay) = self.relay.as_mut() {
            relay.link.broken();
        }
        let wait = self.a_while(100..3000);
        self.later(wait, Happening::LinkDials);
    }

    pub(super) fn dials(&mut self) {
        let (Some(focus), Some(relay)) = (self.focus.as_mut(), self.relay.as_mut()) else { return };
        if self.link_up {
            return;
        }
        self.link += 1;
        self.link_up = true;
        self.link_arrives = [self.clock.elapsed; 2];
        focus.link.connected();
        relay.link.connected();
        self.line("the link is up");
    }

    pub(crate) fn person_dies(&mut self, index: usize) {
        let Some(person) = self.people.get_mut(index) else { return };
        if matches!(person.stage, Stage::Off) {
            return;
        }
        let (who, conn) = (person.who.clone(), person.crash());
        self.watch.counts.device_deaths += 1;
        self.line(&format!("{who} dies"));
        self.watch.letters.orphan(&who);
        if let Some(conn) = conn {
            self.breaks(conn, Cause::Disconnected);
        }
        let wait = self.a_while(200..8000);
        self.later(wait, Happening::PersonStarts(index));
    }

    pub(super) fn person_starts(&mut self, index: usize) {
        let clock = self.clock;
        let Some(person) = self.people.get_mut(index) else { return };
        let whole = person.is_whole(&clock);
        person.restart(&clock);
        let who = person.who.clone();
        // Of what it left in the directory it may have the keys no more.
        if person.keyring.records().key_packages(clock.wall()) == 0 {
            let packages = person.packages(&clock);
            person.keeps(Fault::None);
            self.disk.publish(&who, packages);
        }
        self.watch.check("i19", whole, || format!("what {who} kept is torn"));
        self.line(&format!("{who} starts"));
        self.calls(index);
    }

    /// The connection of a device breaks.
    pub(crate) fn line_breaks(&mut self, index: usize) {
        let conn = self.people.get(index).and_then(|p| p.seat_ref()).map(|seat| seat.conn);
        if let Some(conn) = conn {
            self.line(&format!("the connection of {index} breaks"));
            self.breaks(conn, Cause::Disconnected);
        }
    }
}
