//! Who belongs to a conference, on which devices, at which seats. It holds facts; what somebody may do is
//! [`super::policy`]'s business.
use std::collections::{BTreeMap, BTreeSet};

use ids::{Aor, DeviceId, SeatId};

use super::masks::Masks;
use super::nouns::{At, Came, End, Participant, PeerPath, Shown};

/// A participant's place at the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its name.
    pub id: SeatId,
    /// Whether the participant has connected.
    pub bound: bool,
    /// URIs it may use as CPIM From.
    pub identities: Vec<String>,
    /// Its path, if known.
    pub peer_path: Option<PeerPath>,
    /// What else its SDP says.
    pub end: End,
    /// How its device came.
    pub came: Came,
    /// Its device, which is called, rings.
    pub alerting: bool,
    /// Since when it is there.
    pub since: At,
    /// The device that the relay sees in place of this one.
    pub mask: Option<DeviceId>,
}

/// A person on the roster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Person {
    moderator: bool,
    invited: bool,
    /// The number that others see in place of the name.
    hidden: Option<u32>,
    /// Who it is, where the roster has a pseudonym.
    behind: Option<Aor>,
    /// The devices that take part, each with its seat unless it is away.
    devices: BTreeMap<DeviceId, Option<Seat>>,
}

/// Everybody of a conference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    people: BTreeMap<Aor, Person>,
    /// Each with the number it was known by, if it hid.
    barred: BTreeSet<(Aor, Option<u32>)>,
    muted: BTreeSet<Aor>,
    hidden: u32,
    seats: BTreeMap<SeatId, Participant>,
    /// The last seat of each device that is away.
    former: BTreeMap<SeatId, Participant>,
    pub(super) masks: Masks,
}

impl Roster {
    /// Puts the founder on the roster.
    pub(super) fn found(&mut self, creator: &Aor) {
        self.people.entry(creator.clone()).or_default().moderator = true;
    }

    /// Puts somebody who is called on the roster. A bar is lifted.
    pub(super) fn invite(&mut self, who: &Aor) {
        self.unbar(who);
        self.people.entry(who.clone()).or_default().invited = true;
    }

    /// Gives a device a seat. Returns the one it had.
    pub(super) fn seat(&mut self, who: &Participant, seat: Seat) -> Option<SeatId> {
        self.former.retain(|_, away| away != who);
        self.seats.insert(seat.id, who.clone());
        let person = self.people.entry(who.aor.clone()).or_default();
        let former = person.devices.insert(who.device.clone(), Some(seat)).flatten();
        let former = former.map(|seat| seat.id);
        if let Some(former) = former {
            self.seats.remove(&former);
        }
        former
    }

    /// A device shares the key: it takes part, away or not, until it leaves.
    pub(super) fn belongs(&mut self, who: &Participant) {
        if let Some(person) = self.people.get_mut(&who.aor) {
            person.devices.entry(who.device.clone()).or_default();
        }
    }

    /// Changes a seat.
    pub(super) fn seat_mut(&mut self, id: SeatId) -> Option<&mut Seat> {
        let who = self.seats.get(&id)?;
        self.people.get_mut(&who.aor)?.devices.get_mut(&who.device)?.as_mut()
    }

    /// Ends a seat; the device is away.
    pub(super) fn unseat(&mut self, id: SeatId) -> Option<Participant> {
        let who = self.seats.remove(&id)?;
        if let Some(person) = self.people.get_mut(&who.aor)
            && let Some(seat) = person.devices.get_mut(&who.device)
        {
            *seat = None;
            self.former.insert(id, who.clone());
        }
        Some(who)
    }

    /// Takes a device off the roster, and its person when that was all there was. Returns its seat.
    pub(super) fn drop_device(&mut self, who: &Participant) -> Option<SeatId> {
        let person = self.people.get_mut(&who.aor)?;
        let seat = person.devices.remove(&who.device).flatten().map(|seat| seat.id);
        if let Some(seat) = seat {
            self.seats.remove(&seat);
        }
        self.former.retain(|_, away| away != who);
        let gone = person.devices.is_empty() && !person.moderator && !person.invited;
        self.masks.drop_device(who);
        if gone {
            self.forget(&who.aor);
        }
        seat
    }

    /// A called person has declined, or is no longer waited for.
    pub(super) fn declined(&mut self, who: &Aor) {
        if let Some(person) = self.people.get_mut(who) {
            person.invited = false;
            if person.devices.is_empty() && !person.moderator {
                self.forget(who);
            }
        }
    }

    /// Takes a person off the roster. Returns the seats.
    pub(super) fn drop_person(&mut self, who: &Aor) -> Vec<SeatId> {
        let devices = self.forget(who).map(|person| person.devices).unwrap_or_default();
        let seats: Vec<SeatId> = devices.into_values().flatten().map(|seat| seat.id).collect();
        for seat in &seats {
            self.seats.remove(seat);
        }
        seats
    }

    /// Others see this person so from now on. Who is known by name to those who are there stays so.
    pub(super) fn show(&mut self, who: &Aor, shown: Shown) {
        let known = self.people.get(who).is_some_and(|person| !person.devices.is_empty());
        if known {
            return;
        }
        let number = self.hidden + 1;
        let person = self.people.entry(who.clone()).or_default();
        match shown {
            Shown::Named => person.hidden = None,
            Shown::Hidden if person.hidden.is_some() => {}
            Shown::Hidden => (person.hidden, self.hidden) = (Some(number), number),
        }
    }

    /// Has somebody known by this pseudonym from now on, with what they may do, and this device of theirs by that one.
    pub(super) fn mask(&mut self, mask: &Participant, number: u32, behind: &Participant) {
        let known = self.people.get(&behind.aor).is_some_and(|person| person.devices.is_empty());
        let before = if known { self.people.remove(&behind.aor) } else { None };
        let before = before.unwrap_or_default();
        let person = self.people.entry(mask.aor.clone()).or_default();
        person.moderator |= before.moderator;
        person.invited |= before.invited;
        (person.hidden, person.behind) = (Some(number), Some(behind.aor.clone()));
        self.hidden = self.hidden.max(number);
        self.masks.add(mask, behind);
    }

    /// The number of whoever hides next.
    pub(super) const fn next_hidden(&self) -> u32 {
        self.hidden + 1
    }

    fn forget(&mut self, who: &Aor) -> Option<Person> {
        let person = self.people.remove(who)?;
        self.former.retain(|_, away| away.aor != *who);
        if let Some(behind) = &person.behind {
            self.masks.drop_person(behind);
        }
        Some(person)
    }

    /// Who somebody on the roster is.
    pub fn real<'a>(&'a self, who: &'a Aor) -> &'a Aor {
        self.people.get(who).and_then(|person| person.behind.as_ref()).unwrap_or(who)
    }

    /// What somebody is on the roster as: a pseudonym, or the name.
    pub fn seen_as<'a>(&'a self, who: &'a Aor) -> &'a Aor {
        self.masks.of(who).unwrap_or(who)
    }

    /// Whether this person belongs to the conference, by name or behind a pseudonym.
    pub fn includes(&self, who: &Aor) -> bool {
        self.has(who) || self.masks.of(who).is_some()
    }

    /// The number that others see in place of this person's name.
    pub fn hidden(&self, who: &Aor) -> Option<u32> {
        self.people.get(who)?.hidden
    }

    /// Gives or takes the right to decide about others.
    pub(super) fn appoint(&mut self, who: &Aor, moderator: bool) {
        if let Some(person) = self.people.get_mut(who) {
            person.moderator = moderator;
            if person.devices.is_empty() && !moderator && !person.invited {
                self.forget(who);
            }
        }
    }

    /// Lets a person talk, or not.
    pub(super) fn mute(&mut self, who: &Aor, muted: bool) {
        let who = self.real(who).clone();
        if muted {
            self.muted.insert(who);
        } else {
            self.muted.remove(&who);
        }
    }

    /// Whether a moderator keeps this person from talking.
    pub fn is_muted(&self, who: &Aor) -> bool {
        self.muted.contains(self.real(who))
    }

    /// How many are kept from talking, or out.
    pub(super) fn listed(&self) -> usize {
        self.muted.len() + self.barred.len()
    }

    /// The people who may decide about others.
    pub fn moderators(&self) -> impl Iterator<Item = &Aor> {
        self.people.iter().filter(|(_, person)| person.moderator).map(|(aor, _)| aor)
    }

    /// Where no moderator has a device in the conference, whoever is seated longest becomes one.
    pub(super) fn succeed(&mut self) {
        let governed = |person: &Person| person.moderator && !person.devices.is_empty();
        if self.people.values().any(governed) {
            return;
        }
        let next = self.bound().next().or_else(|| self.seats.values().next());
        if let Some(next) = next.map(|who| who.aor.clone()) {
            self.appoint(&next, true);
        }
    }

    /// Nobody is there: only those who moderate stay on the roster.
    pub(super) fn rest(&mut self) {
        self.seats.clear();
        self.former.clear();
        let moderator = || Person { moderator: true, ..Person::default() };
        let people = std::mem::take(&mut self.people).into_iter();
        let stays = people.filter(|(_, person)| person.moderator);
        self.people =
            stays.map(|(aor, person)| (person.behind.unwrap_or(aor), moderator())).collect();
        self.masks = Masks::default();
    }

    /// The person that others know by this number, in or kept out.
    pub(super) fn behind(&self, number: u32) -> Option<&Aor> {
        let here = self.people.iter().find(|(_, person)| person.hidden == Some(number));
        let out = || self.barred.iter().find(|(_, hidden)| *hidden == Some(number));
        here.map(|(aor, _)| aor).or_else(|| out().map(|(aor, _)| aor))
    }

    /// Lets a person in again.
    pub(super) fn unbar(&mut self, who: &Aor) {
        self.barred.retain(|(barred, _)| barred != who);
    }

    /// Keeps a person, who was known by this number or by name, out until invited again.
    pub(super) fn bar(&mut self, who: &Aor, hidden: Option<u32>) {
        self.barred.insert((who.clone(), hidden));
    }

    /// Whether this person is kept out.
    pub fn is_barred(&self, who: &Aor) -> bool {
        // None sorts before every number.
        let first = self.barred.range((who.clone(), None)..).next();
        first.is_some_and(|(barred, _)| barred == who)
    }

    /// Whether this person is kept out by name.
    pub(super) fn is_barred_by_name(&self, who: &Aor) -> bool {
        self.barred.contains(&(who.clone(), None))
    }

    /// Whether this person belongs to the conference.
    pub fn has(&self, who: &Aor) -> bool {
        self.people.contains_key(who)
    }

    /// Whether this person may decide about others.
    pub fn is_moderator(&self, who: &Aor) -> bool {
        self.people.get(who).is_some_and(|person| person.moderator)
    }

    /// Whether this device takes part, seated or away.
    pub fn has_device(&self, who: &Participant) -> bool {
        self.people.get(&who.aor).is_some_and(|person| person.devices.contains_key(&who.device))
    }

    /// Whether no device takes part.
    pub fn is_deserted(&self) -> bool {
        self.people.values().all(|person| person.devices.is_empty())
    }

    /// How many devices take part.
    pub fn devices(&self) -> usize {
        self.people.values().map(|person| person.devices.len()).sum()
    }

    /// A seat and whose it is.
    pub fn at(&self, id: SeatId) -> Option<(&Participant, &Seat)> {
        let who = self.seats.get(&id)?;
        Some((who, self.seat_of(who)?))
    }

    /// Who had this seat last, and has taken no other: what was said there may come behind the end of the seat.
    pub(super) fn was_at(&self, id: SeatId) -> Option<&Participant> {
        self.seats.get(&id).or_else(|| self.former.get(&id))
    }

    /// The seat of a device.
    pub fn seat_of(&self, who: &Participant) -> Option<&Seat> {
        self.people.get(&who.aor)?.devices.get(&who.device)?.as_ref()
    }

    /// Everybody on the roster.
    pub fn people(&self) -> impl Iterator<Item = &Aor> {
        self.people.keys()
    }

    /// The devices of a person that take part, each with its seat unless it is away.
    pub fn devices_of(&self, who: &Aor) -> impl Iterator<Item = (&DeviceId, Option<&Seat>)> {
        let devices = self.people.get(who).into_iter().flat_map(|person| &person.devices);
        devices.map(|(device, seat)| (device, seat.as_ref()))
    }

    /// Who is kept out, each with the number it was known by, if it hid.
    pub fn barred(&self) -> impl Iterator<Item = &(Aor, Option<u32>)> {
        self.barred.iter()
    }

    /// Whether somebody called has not come yet.
    pub fn is_invited(&self, who: &Aor) -> bool {
        self.people.get(who).is_some_and(|person| person.invited)
    }

    /// Every seat, in the order of their numbers.
    pub fn seats(&self) -> impl Iterator<Item = SeatId> + '_ {
        self.seats.keys().copied()
    }

    /// Whether the device is connected to its seat.
    pub fn is_bound(&self, who: &Participant) -> bool {
        self.seat_of(who).is_some_and(|seat| seat.bound)
    }

    /// The devices connected to their seats, longest seated first.
    pub fn bound(&self) -> impl Iterator<Item = &Participant> {
        self.seats.values().filter(|who| self.is_bound(who))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn participant(name: &str, device: u8) -> Participant {
        Participant {
            aor: format!("sip:{name}@example.net").parse().unwrap(),
            device: format!("urn:uuid:00000000-0000-4000-8000-0000000000{device:02x}")
                .parse()
                .unwrap(),
        }
    }

    fn seat(id: u64) -> Seat {
        Seat {
            id: SeatId(id),
            bound: false,
            identities: Vec::new(),
            peer_path: None,
            end: End::default(),
            came: Came::DialedIn,
            alerting: false,
            since: At::default(),
            mask: None,
        }
    }

    #[test]
    fn a_device_that_comes_back_has_one_seat_the_new_one() {
        let (mut roster, alice) = (Roster::default(), participant("alice", 1));

        assert_eq!(roster.seat(&alice, seat(1)), None);
        assert_eq!(roster.seat(&alice, seat(2)), Some(SeatId(1)));

        assert!(roster.at(SeatId(1)).is_none());
        assert_eq!(roster.seats().collect::<Vec<_>>(), [SeatId(2)]);
        assert_eq!(roster.devices(), 1);
    }

    #[test]
    fn an_unseated_device_is_away_and_still_takes_part() {
        let (mut roster, alice) = (Roster::default(), participant("alice", 1));
        roster.seat(&alice, seat(1));

        roster.unseat(SeatId(1));

        assert!(roster.has_device(&alice) && !roster.is_deserted());
        assert!(roster.seat_of(&alice).is_none());
    }

    #[test]
    fn a_person_goes_with_the_last_device_unless_invited() {
        let (mut roster, bob) = (Roster::default(), participant("bob", 1));
        roster.seat(&bob, seat(1));
        roster.seat(&participant("bob", 2), seat(2));

        assert_eq!(roster.drop_device(&bob), Some(SeatId(1)));
        assert!(roster.has(&bob.aor));
        roster.drop_device(&participant("bob", 2));
        assert!(!roster.has(&bob.aor));

        roster.invite(&bob.aor);
        roster.seat(&bob, seat(3));
        roster.drop_device(&bob);
        assert!(roster.has(&bob.aor));
    }

    #[test]
    fn a_bar_holds_until_the_next_invitation() {
        let (mut roster, dave) = (Roster::default(), participant("dave", 1));
        roster.seat(&dave, seat(1));

        assert_eq!(roster.drop_person(&dave.aor), [SeatId(1)]);
        roster.bar(&dave.aor, None);
        assert!(roster.is_barred(&dave.aor) && !roster.has(&dave.aor));

        roster.invite(&dave.aor);
        assert!(!roster.is_barred(&dave.aor));
    }
}
