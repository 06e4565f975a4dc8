//! Who is behind which pseudonym: one for a person while any device of theirs takes part, and one for each device for each
//! time that it comes. Only the focus has this, in its journal; nobody who reads the roster's names learns it.
use std::collections::BTreeMap;

use ids::{Aor, DeviceId};

use super::nouns::Participant;

/// The pseudonyms of a conference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Masks {
    /// The pseudonym of each person who hides.
    people: BTreeMap<Aor, Aor>,
    /// The devices behind their pseudonyms.
    devices: BTreeMap<Participant, Participant>,
}

impl Masks {
    /// One more device hides.
    pub(super) fn add(&mut self, mask: &Participant, behind: &Participant) {
        self.people.insert(behind.aor.clone(), mask.aor.clone());
        self.devices.insert(mask.clone(), behind.clone());
    }

    /// What this person is known by.
    pub(super) fn of(&self, who: &Aor) -> Option<&Aor> {
        self.people.get(who)
    }

    /// The device behind this one.
    pub(super) fn behind(&self, mask: &Participant) -> Option<&Participant> {
        self.devices.get(mask)
    }

    /// What a device is known by, or was and has a place under that still.
    pub(super) fn of_device<'a>(
        &'a self,
        who: &'a Participant,
    ) -> impl Iterator<Item = &'a Participant> {
        let devices = self.devices.iter().filter(move |(_, behind)| *behind == who);
        devices.map(|(mask, _)| mask)
    }

    /// A device takes part no more.
    pub(super) fn drop_device(&mut self, mask: &Participant) {
        self.devices.remove(mask);
    }

    /// A person takes part no more.
    pub(super) fn drop_person(&mut self, who: &Aor) {
        self.people.remove(who);
        self.devices.retain(|_, behind| behind.aor != *who);
    }

    /// Which device others see in place of this one.
    pub(super) fn real_device<'a>(&'a self, who: &'a Participant) -> &'a DeviceId {
        &self.behind(who).unwrap_or(who).device
    }
}
