//! Whom this session talks to, by their keys: it tells of devices that were not there before, and holds what is to be
//! said while a verified person has one that nobody has accepted. What is known of whom is in [`Pins`].
use std::time::Instant;

use ids::Aor;
use zeroize::Zeroizing;

use super::pins::{News, Pins, Sighting};
use super::witness::Witness;
use super::{Output, Session, letter};
use crate::event::{DeviceNews, Event};

/// Numbers to be compared with somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Of the epoch: everybody in the conference sees the same.
    pub epoch: String,
    /// Of this person and another one, with what is known of that one.
    pub pair: Option<Pair>,
}

/// The number of two people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The other one sees the same.
    pub number: String,
    /// How many devices the other one has in the group.
    pub devices: usize,
    /// They were compared before.
    pub verified: bool,
}

/// What a session knows of those it talks to.
#[derive(Debug)]
pub(super) struct Trust {
    pins: Pins,
    /// The changes of the pins that are followed; none before anybody was looked at, as in a group that was kept.
    version: Option<u64>,
    /// Whose devices nobody has accepted.
    held: Vec<Aor>,
    told: bool,
    /// What this device has seen of the group.
    witness: Witness,
}

impl Trust {
    pub(super) fn new(pins: Pins, witness: Witness) -> Self {
        Self { pins, version: None, held: Vec::new(), told: false, witness }
    }

    pub(super) fn held(&self) -> &[Aor] {
        &self.held
    }
}

impl Session {
    /// What this device knows of others'.
    pub fn pins(&self) -> &Pins {
        &self.trust.pins
    }

    /// The group has changed: who is in it now?
    pub(super) fn recognise(&mut self) {
        let Some(member) = self.group.member() else { return };
        // An entry counts when the focus has sent it back.
        if !member.is_entering() {
            let generation = (member.era(), member.epoch());
            self.trust.witness.note(generation, &member.authenticator());
        }
        for sighting in self.trust.pins.see(member.me(), member.keys()) {
            self.outputs.push_back(Output::Event(told(sighting)));
        }
        self.trust.version = Some(self.trust.pins.version());
        self.trust.held = self.trust.pins.held(member.keys());
        self.trust.told = false;
    }

    /// Whether nothing may be said now. Somebody may have accepted a device in another conference.
    pub(super) fn is_held(&mut self) -> bool {
        if self.trust.version != Some(self.trust.pins.version()) {
            self.recognise();
        }
        let held = !self.trust.held.is_empty();
        if held && !self.trust.told && self.outgoing.has_unsealed() {
            self.trust.told = true;
            let who = self.trust.held.clone();
            self.outputs.push_back(Output::Event(Event::Held { who }));
        }
        held
    }

    /// What goes along, sealed, with what is said: what this device has seen of the group.
    pub(super) fn seen(&mut self) -> String {
        self.trust.witness.told()
    }

    /// Compares what somebody has seen of the group with what this device has; a difference is told once.
    pub(super) fn compare(&mut self, who: &Aor, plaintext: &[u8]) {
        let Some(told) = letter::seen(plaintext) else { return };
        let Some(epoch) = self.trust.witness.compare(&told) else { return };
        self.outputs.push_back(Output::Event(Event::Split { who: who.clone(), epoch }));
    }

    /// What is held does not grow late: it waits for a person.
    pub(super) fn postpone(&mut self, now: Instant) {
        if !self.trust.held.is_empty() {
            self.outgoing.postpone(now);
        }
    }

    /// Believes the devices this person has now; says whether one of them had not been accepted.
    pub fn accept(&mut self, who: &Aor) -> bool {
        let any = self.trust.pins.accept(who);
        self.recognise();
        any
    }

    /// Notes that somebody has compared numbers with this person, or takes it back.
    pub fn verify(&mut self, who: &Aor, verified: bool) {
        self.trust.pins.verify(who, verified);
        self.recognise();
    }

    /// The numbers of this epoch, and of this person and another one; none before this device holds the group key.
    pub fn numbers(&self, other: Option<&Aor>) -> Option<Numbers> {
        let member = self.group.member()?;
        let pair = other.and_then(|other| {
            let number = member.pair_number(other)?;
            let devices = member.roster().filter(|device| device.aor == *other).count();
            Some(Pair { number, devices, verified: self.trust.pins.is_verified(other) })
        });
        Some(Numbers { epoch: member.epoch_number(), pair })
    }
}

impl Session {
    /// A key of the present epoch for something else than messages; none before this device holds the group key.
    pub fn export(&self, label: &str, octets: u16) -> Option<Zeroizing<Vec<u8>>> {
        self.group.member()?.export(label, b"", octets).ok()
    }
}

impl From<News> for DeviceNews {
    fn from(news: News) -> Self {
        match news {
            News::New => Self::New,
            News::OtherKey => Self::OtherKey,
        }
    }
}

fn told(sighting: Sighting) -> Event {
    Event::Device {
        who: sighting.device.aor,
        device: sighting.device.device,
        news: sighting.news.into(),
        held: sighting.held,
    }
}

#[cfg(test)]
pub(super) mod tests;
