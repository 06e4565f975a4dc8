//! How often a device has entered the group by itself in a day. Each entry changes the key of everybody, and none needs
//! anybody's leave, so that a broken device or a bad one could keep all others busy (RFC 9420, 16.9 leaves the bound to us).
use std::collections::BTreeMap;
use std::time::Duration;

use super::Refusal;
use super::nouns::{At, Participant};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The day of each device that has entered: when it began, and how often it has entered since.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entries(BTreeMap<Participant, (At, u32)>);

impl Entries {
    /// Whether this device may enter now.
    pub(super) fn may(&self, who: &Participant, now: At, max: u32) -> Result<(), Refusal> {
        let today = self.0.get(who).filter(|(began, _)| now < began.after(DAY));
        let spent = today.is_some_and(|(_, times)| *times >= max);
        if spent { Err(Refusal::EntersTooOften) } else { Ok(()) }
    }

    /// It has entered. As many days are remembered as devices may take part.
    pub(super) fn entered(&mut self, who: &Participant, at: At, devices_max: usize) {
        self.0.retain(|_, (began, _)| at < began.after(DAY));
        if self.0.len() >= devices_max && !self.0.contains_key(who) {
            let first = self.0.iter().min_by_key(|(_, (began, _))| *began);
            let first = first.map(|(who, _)| who.clone());
            first.and_then(|who| self.0.remove(&who));
        }
        let (_, times) = self.0.entry(who.clone()).or_insert((at, 0));
        *times = times.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(number: u8) -> Participant {
        Participant {
            aor: "sip:bob@example.net".parse().unwrap(),
            device: format!("urn:uuid:00000000-0000-4000-8000-{number:012}").parse().unwrap(),
        }
    }

    #[test]
    fn a_device_enters_so_often_in_a_day_and_not_more_and_others_are_not_its_business() {
        let (mut entries, noon) = (Entries::default(), At::default().after(DAY / 2));

        for hour in 0..3 {
            let now = noon.after(Duration::from_secs(3600 * hour));
            assert_eq!(entries.may(&device(1), now, 3), Ok(()));
            entries.entered(&device(1), now, 100);
        }

        let last = noon.after(DAY - Duration::from_millis(1));
        assert_eq!(entries.may(&device(1), last, 3), Err(Refusal::EntersTooOften));
        assert_eq!(entries.may(&device(2), last, 3), Ok(()));
        assert_eq!(entries.may(&device(1), noon.after(DAY), 3), Ok(()));
    }

    #[test]
    fn no_more_days_are_remembered_than_devices_may_take_part() {
        let mut entries = Entries::default();
        for number in 0..9 {
            let now = At::default().after(Duration::from_secs(u64::from(number)));
            entries.entered(&device(number), now, 4);
        }

        assert_eq!(entries.0.len(), 4);
        assert_eq!(entries.may(&device(8), At::default(), 1), Err(Refusal::EntersTooOften));
    }
}
