//! Coming back: a member as it is kept in the device's [`Records`](crate::storage::Records), and what is made of that.
//!
//! What openmls keeps is not enough: which era counts, who has departed, whether an entry is under way. That is one small
//! record for each conference, written with each commit. [`Member::load`] burns the generations that were reserved when
//! the device stopped, so that none is used twice, whatever had left of them.
use std::collections::BTreeMap;

use ids::{ConferenceId, Epoch, Era};
use openmls::prelude::{MlsGroup, OpenMlsProvider as _, PastEpochDeletion};

use super::{Entering, Keyring, Member, MemberError};
use crate::codec::{Malformed, Reader, Writer};
use crate::group::group_id;
use crate::roster::roster;
use crate::storage::MEMBER;
use crate::wire::DeviceName;

/// The format of the record.
const VERSION: u8 = 1;
/// Departed devices in a record, at most: far more than leave within the epochs that can still be opened.
const DEPARTED_MAX: usize = 100_000;
/// Octets of a record, at most.
const OCTETS_MAX: usize = 64 << 20;

impl Member {
    /// The member this device was in the conference when it stopped; none if it was none, or its state does not fit
    /// together: then it enters anew.
    ///
    /// # Errors
    /// The state is there and cannot be read. It has been forgotten.
    pub fn load(keyring: &Keyring, conference: &ConferenceId) -> Result<Option<Self>, MemberError> {
        let records = keyring.records();
        let Some(record) = records.own(&name(conference)) else { return Ok(None) };
        let loaded = Kept::read(&record).map_err(MemberError::from);
        let loaded = loaded.and_then(|kept| Self::restore(keyring, conference, kept));
        if !matches!(loaded, Ok(Some(_))) {
            records.remove_own(&name(conference));
        }
        loaded
    }

    fn restore(
        keyring: &Keyring,
        conference: &ConferenceId,
        kept: Kept,
    ) -> Result<Option<Self>, MemberError> {
        let id = group_id(conference, kept.era);
        let group = MlsGroup::load(keyring.provider().storage(), &id);
        let Ok(Some(group)) = group else {
            keyring.records().forget_group(&id);
            return group.map(|_none| None).map_err(|_| MemberError::Failed("coming back"));
        };
        let roster = roster(group.members())?;
        let mut member = Self {
            keyring: keyring.clone(),
            conference: conference.clone(),
            era: kept.era,
            since: kept.since,
            group,
            roster,
            departed: kept.departed,
            entering: kept.entering,
        };
        member.burn()?;
        Ok(Some(member))
    }

    /// Uses up what was reserved. A member that may not write has sealed nothing since a commit that is still to come,
    /// and the next epoch has ratchets of its own.
    fn burn(&mut self) -> Result<(), MemberError> {
        let records = self.keyring.records();
        let reserved = records.resume(self.group.group_id());
        if self.may_act().is_err() || self.is_paused() {
            return Ok(());
        }
        for _generation in 0..reserved {
            records.skipping(self.group.group_id());
            let burnt = self.group.create_message(self.keyring.provider(), self.keyring.key(), b"");
            records.done(self.group.group_id());
            burnt.map_err(|_| MemberError::Failed("coming back"))?;
        }
        Ok(())
    }

    /// Makes this the member the device has in its conference. A member that joined, entered or moved on is that
    /// already; one that created the group is when the focus has accepted it. A group of an older era is forgotten.
    pub fn keep(&self) {
        let records = self.keyring.records();
        let name = name(&self.conference);
        let before = records.own(&name).and_then(|record| Kept::read(&record).ok());
        if let Some(before) = before.filter(|before| before.era != self.era) {
            records.forget_group(&group_id(&self.conference, before.era));
        }
        let mut record = Writer::default();
        record.u8(VERSION).u32(self.era.0).u64(self.since.0);
        record.option(self.entering.as_ref(), |w, entering| {
            w.raw(&entering.hash).u64(entering.made_in.0).u8(u8::from(entering.returning));
        });
        let departed: Vec<_> = self.departed.iter().collect();
        record.list(&departed, |w, (device, gone)| {
            w.text(&device.aor).text(&device.device).u64(gone.0);
        });
        records.put_own(&name, &record.finish());
    }

    /// Writes where the ratchets are, so that nothing has to be burnt: before a device stops in order.
    pub fn settle(&mut self) -> Result<(), MemberError> {
        // All epochs stay: openmls writes the secrets whenever it is asked to delete some.
        let none = PastEpochDeletion::older_than_duration(std::time::Duration::MAX);
        self.group
            .delete_past_epoch_secrets(self.keyring.provider(), none)
            .map_err(|_| MemberError::Failed("settling"))
    }

    /// The device is no member any more.
    pub(super) fn unkeep(&self) {
        self.keyring.records().remove_own(&name(&self.conference));
        self.keyring.records().forget_group(self.group.group_id());
    }
}

fn name(conference: &ConferenceId) -> Vec<u8> {
    [MEMBER, conference.as_str().as_bytes()].concat()
}

/// A member's record.
struct Kept {
    era: Era,
    since: Epoch,
    entering: Option<Entering>,
    departed: BTreeMap<DeviceName, Epoch>,
}

impl Kept {
    fn read(record: &[u8]) -> Result<Self, Malformed> {
        let what = "the record of a member";
        let mut reader = Reader::new(record, OCTETS_MAX, what)?;
        if reader.u8(what)? != VERSION {
            return Err(Malformed(what));
        }
        let (era, since) = (Era(reader.u32(what)?), Epoch(reader.u64(what)?));
        let entering = reader.option(what, |r| {
            let (hash, made_in) = (r.array(what)?, Epoch(r.u64(what)?));
            Ok(Entering { hash, made_in, returning: r.u8(what)? == 1 })
        })?;
        let departed = reader.list(DEPARTED_MAX, what, |r| {
            let device = DeviceName { aor: r.name(what)?, device: r.name(what)? };
            Ok((device, Epoch(r.u64(what)?)))
        })?;
        reader.end(what)?;
        Ok(Self { era, since, entering, departed: departed.into_iter().collect() })
    }
}
