//! Who has gone, how and when: what a watcher is told of somebody who was there a moment ago, or is away. The oldest are
//! forgotten first.
use std::collections::VecDeque;

use ids::{Aor, DeviceId};

use super::nouns::{At, Why};

/// Partings remembered. A watcher hears of them within seconds; 1 024 go in a moment only when a relay is lost.
const PARTINGS_MAX: usize = 1_024;

/// Somebody who has gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parting {
    pub(super) aor: Aor,
    /// The number others saw in place of the name.
    pub(super) hidden: Option<u32>,
    /// None: nobody was reached at all.
    pub(super) device: Option<DeviceId>,
    pub(super) why: Why,
    pub(super) at: At,
}

/// The last ones to go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Partings(VecDeque<Parting>);

impl Partings {
    /// Somebody goes; an earlier going of theirs is forgotten.
    pub(super) fn add(&mut self, parting: Parting) {
        self.back(&parting.aor, parting.device.as_ref());
        self.0.push_back(parting);
        if self.0.len() > PARTINGS_MAX {
            self.0.pop_front();
        }
    }

    /// Somebody is back.
    pub(super) fn back(&mut self, aor: &Aor, device: Option<&DeviceId>) {
        self.0.retain(|known| known.aor != *aor || known.device.as_ref() != device);
    }

    /// The going of this device.
    pub(super) fn of(&self, aor: &Aor, device: &DeviceId) -> Option<&Parting> {
        self.0.iter().find(|known| known.aor == *aor && known.device.as_ref() == Some(device))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Parting> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_going_of_a_device_is_known_and_only_so_many_in_all() {
        let mut partings = Partings::default();
        let aor: Aor = "sip:alice@example.net".parse().unwrap();
        for n in 0..PARTINGS_MAX + 9 {
            let device = format!("urn:uuid:00000000-0000-4000-8000-{n:012}").parse().ok();
            for why in [Why::Away, Why::Left] {
                let (aor, device) = (aor.clone(), device.clone());
                partings.add(Parting { aor, hidden: None, device, why, at: At::default() });
            }
        }

        assert_eq!(partings.iter().count(), PARTINGS_MAX);
        assert!(partings.iter().all(|parting| parting.why == Why::Left));
    }
}
