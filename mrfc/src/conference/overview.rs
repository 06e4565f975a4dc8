//! What an operator may know of a conference: who is in it and in which state, never what is said. It changes nothing.
use std::time::SystemTime;

use ids::{Aor, DeviceId, Epoch, Era};

use super::nouns::{Level, Participant};
use super::rules::Rules;
use super::{Conference, Seat};

/// A conference as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// Its URI.
    pub uri: String,
    /// Who made it.
    pub creator: Aor,
    /// What the relay may see.
    pub level: Level,
    /// The relay that carries its room; empty while it rests.
    pub relay: String,
    /// Whether it outlives emptiness.
    pub standing: bool,
    /// Since when it exists.
    pub created: SystemTime,
    /// What holds in it.
    pub rules: Rules,
    /// Where its group is, if it has one.
    pub group: Option<(Era, Epoch)>,
    /// Everybody on the roster.
    pub people: Vec<Person>,
    /// Who is kept out until invited again.
    pub barred: Vec<Aor>,
}

/// Somebody on the roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub aor: Aor,
    /// Whether this person may decide about others.
    pub moderator: bool,
    /// Whether this person may not talk.
    pub muted: bool,
    /// What others see in place of the name.
    pub shown_as: Option<String>,
    /// The devices that take part.
    pub devices: Vec<Device>,
}

/// A device that takes part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Which.
    pub id: DeviceId,
    /// Where it is.
    pub presence: Presence,
    /// Whether it has a leaf in the group.
    pub member: bool,
    /// What others see.
    pub nickname: Option<String>,
}

/// Where a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It has no seat; it belongs to the conference all the same.
    Away,
    /// It has a seat and has not connected to it.
    Seated,
    /// It is connected to its seat.
    Connected,
}

impl Conference {
    /// The conference as it is now, if it exists.
    pub fn overview(&self) -> Option<Overview> {
        let about = self.about.as_ref()?;
        let group = self.group.facts.as_ref().map(|facts| (self.group.era, facts.epoch));
        let people = self.roster.people().map(|aor| Person {
            aor: self.roster.real(aor).clone(),
            moderator: self.roster.is_moderator(aor),
            muted: self.roster.is_muted(aor),
            shown_as: self.shown_as(aor),
            devices: self.devices_of(aor),
        });
        let mut barred: Vec<Aor> = self.roster.barred().map(|(aor, _)| aor.clone()).collect();
        barred.dedup();
        Some(Overview {
            uri: self.uri(),
            creator: about.creator.clone(),
            level: about.level,
            relay: about.relay.clone().unwrap_or_default(),
            standing: about.standing,
            created: about.created.into(),
            rules: self.rules.clone(),
            group,
            people: people.collect(),
            barred,
        })
    }

    fn devices_of(&self, aor: &Aor) -> Vec<Device> {
        let real = |id: &DeviceId| {
            let mask = Participant { aor: aor.clone(), device: id.clone() };
            self.roster.masks.real_device(&mask).clone()
        };
        let device = |(id, seat): (&DeviceId, Option<&Seat>)| Device {
            id: real(id),
            presence: match seat {
                None => Presence::Away,
                Some(seat) if seat.bound => Presence::Connected,
                Some(_) => Presence::Seated,
            },
            member: self.is_member(&Participant { aor: aor.clone(), device: id.clone() }),
            nickname: seat.and_then(|seat| self.nickname(seat.id)).map(ToString::to_string),
        };
        self.roster.devices_of(aor).map(device).collect()
    }
}
