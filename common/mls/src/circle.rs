//! Circles: people who write to each other outside of a room, and the group they share. One set of addresses has one
//! circle, and the name of its group is made from them, so that everybody who knows the people knows the group.
//!
//! ```text
//! found ─► Founding ─┬─► focus: Founding::ledger ─► Ledger
//!                    └─► beside the first message: join ─► open
//! ```
//!
//! A founder seals in the group's first epoch before the focus has ordered it; nobody has seen that group then, and if
//! another founding was first the focus passes neither it nor the message on. Every later change is a commit like that of
//! a conference. A [`CircleMember`] neither seals nor opens while somebody is in the group whom the circle does not name.
//!
//! **Not here:** how the messages travel, and the order of changes.
mod found;

pub use found::Founded;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ids::{Aor, ConferenceId, Epoch, Era};
use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::{MlsMessageIn, ProtocolMessage};
use sha2::{Digest as _, Sha256};

use crate::member::{Keyring, Member, MemberError, Processed};
use crate::wire::{Bundle, ClaimedKeyPackage, DeviceName, GroupState, WelcomeDelivery};

/// Most people in a circle: as many as one message for many goes to, and its author.
pub const PEOPLE_MAX: usize = 101;
/// How the names of circles begin. No conference has such a name.
const PREFIX: &str = "circle-";
/// Octets of the hash in a name: enough that nobody finds two sets of people with one name.
const NAME_OCTETS: usize = 20;
/// How far the clock of who founds a circle may be ahead of the focus's: its group's era is the time of its founding.
const CLOCKS_APART: Duration = Duration::from_secs(24 * 3600);

/// Not the people of a circle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a circle has 2 to {PEOPLE_MAX} people")]
pub struct BadCircle;

/// A set of people, and the name of their group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle {
    people: BTreeSet<Aor>,
    id: ConferenceId,
}

impl Circle {
    /// The circle of these people, each once and in any order.
    ///
    /// # Errors
    /// They are too few or too many.
    pub fn of(people: impl IntoIterator<Item = Aor>) -> Result<Self, BadCircle> {
        let people: BTreeSet<Aor> = people.into_iter().collect();
        if !(2..=PEOPLE_MAX).contains(&people.len()) {
            return Err(BadCircle);
        }
        let mut hash = Sha256::new_with_prefix(b"conclave circle");
        for person in &people {
            // No address holds a line break, so no two sets read alike.
            hash.update(person.as_str());
            hash.update(b"\n");
        }
        let digits = hash.finalize();
        let digits = digits.iter().take(NAME_OCTETS).map(|octet| format!("{octet:02x}"));
        let name = PREFIX.to_owned() + &digits.collect::<String>();
        Ok(Self { people, id: name.parse().map_err(|_| BadCircle)? })
    }

    /// The name of its group.
    pub const fn id(&self) -> &ConferenceId {
        &self.id
    }

    /// The people, in the order of their addresses.
    pub fn people(&self) -> impl Iterator<Item = &Aor> {
        self.people.iter()
    }

    /// Whether it is this person's.
    pub fn has(&self, person: &Aor) -> bool {
        self.people.contains(person)
    }

    /// Everybody but this person.
    pub fn others(&self, than: &Aor) -> Vec<Aor> {
        self.people.iter().filter(|person| *person != than).cloned().collect()
    }
}

/// Whether a group with this name is a circle's.
pub fn is_circle(id: &ConferenceId) -> bool {
    id.as_str().starts_with(PREFIX)
}

/// The group and the epoch that a message names in the clear. Nobody vouches for it.
pub fn group_of(message: &[u8]) -> Option<(ConferenceId, Era, Epoch)> {
    let message = MlsMessageIn::tls_deserialize_exact(message).ok()?;
    let message: ProtocolMessage = message.try_into_protocol_message().ok()?;
    let id = std::str::from_utf8(message.group_id().as_slice()).ok()?;
    let (conference, era) = id.split_once('#')?;
    let (conference, era) = (conference.parse().ok()?, era.parse().ok()?);
    Some((conference, Era(era), Epoch(message.epoch().as_u64())))
}

/// One device in the group of one circle.
#[derive(Debug)]
pub struct CircleMember {
    circle: Circle,
    member: Member,
}

impl CircleMember {
    /// The member this device was when it stopped; none if it was none: [`Member::load`].
    ///
    /// # Errors
    /// The state cannot be read, or the group has somebody in it whom the circle does not name.
    pub fn load(keyring: &Keyring, circle: &Circle) -> Result<Option<Self>, MemberError> {
        let member = Member::load(keyring, circle.id())?;
        member.map(|member| Self::among_its_people(circle, member)).transpose()
    }

    /// Comes in by Welcome.
    ///
    /// # Errors
    /// The Welcome is not for this device, or the group has somebody in it whom the circle does not name.
    pub fn join(
        keyring: &Keyring,
        circle: &Circle,
        delivery: &WelcomeDelivery,
        now: SystemTime,
    ) -> Result<Self, MemberError> {
        let member = Member::join(keyring, circle.id(), delivery, now)?;
        Self::among_its_people(circle, member)
    }

    /// Comes in by external commit. `known` is what this device has seen of the circle before.
    ///
    /// # Errors
    /// The state is no good or older than that, or the group has somebody in it whom the circle does not name.
    pub fn enter(
        keyring: &Keyring,
        circle: &Circle,
        state: &GroupState,
        known: Option<(Era, Epoch)>,
        now: SystemTime,
    ) -> Result<(Self, Bundle), MemberError> {
        let (member, bundle) = Member::join_externally(keyring, circle.id(), state, known, now)?;
        Ok((Self::among_its_people(circle, member)?, bundle))
    }

    fn among_its_people(circle: &Circle, member: Member) -> Result<Self, MemberError> {
        let joined = Self { circle: circle.clone(), member };
        match joined.stranger() {
            Some(stranger) => {
                joined.forget();
                Err(MemberError::Stranger(stranger))
            }
            None => Ok(joined),
        }
    }

    /// Seals a message for everybody in the circle.
    ///
    /// # Errors
    /// As for [`Member::seal`]; also while somebody is in the group whom the circle does not name.
    pub fn seal(&mut self, message_id: &str, plaintext: &[u8]) -> Result<Bytes, MemberError> {
        match self.stranger() {
            Some(stranger) => Err(MemberError::Stranger(stranger)),
            None => self.member.seal(message_id, plaintext),
        }
    }

    /// Takes in one message of the group: [`Member::process`].
    ///
    /// # Errors
    /// As there; also if its author is somebody whom the circle does not name.
    pub fn process(&mut self, bytes: &[u8], now: SystemTime) -> Result<Processed, MemberError> {
        let processed = self.member.process(bytes, now)?;
        match &processed {
            Processed::Message(opened) if !self.circle.has(&opened.from.aor) => {
                Err(MemberError::Stranger(opened.from.clone()))
            }
            _ => Ok(processed),
        }
    }

    /// Lets devices of its people in: [`Member::add`].
    ///
    /// # Errors
    /// As there.
    pub fn add(
        &mut self,
        devices: &[ClaimedKeyPackage],
        now: SystemTime,
    ) -> Result<Bundle, MemberError> {
        self.member.add(devices, now)
    }

    /// Covers all pending Removes: [`Member::commit_pending`].
    ///
    /// # Errors
    /// As there.
    pub fn commit_pending(&mut self, now: SystemTime) -> Result<Bundle, MemberError> {
        self.member.commit_pending(now)
    }

    /// Renews the leaf of this device: [`Member::refresh`].
    ///
    /// # Errors
    /// As there.
    pub fn refresh(&mut self) -> Result<Bundle, MemberError> {
        self.member.refresh()
    }

    /// Drops the own commit that the focus has refused.
    ///
    /// # Errors
    /// As for [`Member::abandon`].
    pub fn abandon(&mut self) -> Result<(), MemberError> {
        self.member.abandon()
    }

    /// Somebody in the group whom the circle does not name.
    fn stranger(&self) -> Option<DeviceName> {
        self.member.roster().find(|device| !self.circle.has(&device.aor)).cloned()
    }

    /// The device's view of the group.
    pub const fn group(&self) -> &Member {
        &self.member
    }

    /// The generation of the group key this device is in.
    pub fn generation(&self) -> (Era, Epoch) {
        (self.member.era(), self.member.epoch())
    }

    /// Forgets the group and its keys.
    pub fn forget(self) {
        self.member.forget();
    }
}
