//! A device's view of one group: the keys, and the only way to seal and open messages.
//!
//! ```text
//! create ─┐                      ┌─► Bundle ─► focus ─► echo ─┐
//! join ───┼─► Member ── commit ──┘                            ├─► process ─► Processed
//! enter ──┘      └─── seal ─► PrivateMessage        stream ───┘
//! ```
//!
//! Feed [`Member::process`] every handshake and application message of the group in the order of the stream. An own
//! commit takes effect only when its echo comes back; if another commit comes first, the own one is dropped and the
//! other applied. Entering by external commit is the exception openmls makes: the member is in the new epoch
//! at once, and may write once its echo has come.
//!
//! Every credential is checked against [`Roots`](crate::identity::Roots) before it is let in: all leaves on
//! joining, the new ones in each commit. `now` is the time the log accepted the message, where there is a log.
//! On joining, others' certificates may have ended since they were let in: the focus removes such a leaf.
//!
//! State is in the keyring's [`Records`](crate::storage::Records); a member that is kept there comes back with
//! [`Member::load`].
//!
//! **Not here:** de-duplication by message id, the order of the stream, when to retry.
mod commit;
mod error;
#[cfg(test)]
mod forge;
mod join;
mod keep;
mod keyring;
mod leaf;
mod process;

use std::collections::BTreeMap;

use bytes::Bytes;
use ids::{ConferenceId, Epoch, Era};
use openmls::prelude::{MlsGroup, OpenMlsProvider as _, Proposal};

pub use error::MemberError;
pub use keyring::Keyring;
pub use leaf::OwnLeaf;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::group::settings;
use crate::ledger::entrance;
use crate::roster::Roster;
use crate::wire::{DeviceName, EpochReport, Finding};

/// Longest message id in the additional data.
const MESSAGE_ID_OCTETS_MAX: usize = 255;
/// The format of the additional data: this octet, then the message id.
const AAD_VERSION: u8 = 1;
/// Largest plaintext of one sealed message; larger content goes as a file.
pub const PLAINTEXT_OCTETS_MAX: usize = 64 << 10;

/// One device in one group.
pub struct Member {
    keyring: Keyring,
    conference: ConferenceId,
    era: Era,
    /// The first epoch it has keys of.
    since: Epoch,
    group: MlsGroup,
    roster: Roster,
    /// Devices whose leaf went, and the first epoch without it. Only as far back as messages can be opened.
    departed: BTreeMap<DeviceName, Epoch>,
    /// The own external commit that has not come back yet.
    entering: Option<Entering>,
}

struct Entering {
    /// SHA-256 of the commit.
    hash: [u8; 32],
    /// The epoch it was made in.
    made_in: Epoch,
    /// It replaces a leaf of this device.
    returning: bool,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Processed {
    /// The group is in a new epoch.
    Commit(Committed),
    /// The focus wants this device removed. Nobody may write until a commit covers it.
    Remove(DeviceName),
    /// Somebody wrote.
    Message(Opened),
    /// An own application message came back. It says nothing; openmls cannot even check it.
    Own,
    /// A handshake of an epoch that is over, or a message too old to be opened.
    Stale {
        /// Its epoch.
        epoch: Epoch,
    },
    /// Of an epoch that is still to come: hold it, and process it after the commit.
    Future {
        /// Its epoch.
        epoch: Epoch,
    },
    /// Another commit won the epoch this member entered from. Enter again with the new state of the group.
    EntryLost,
}

/// A commit that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The epoch the group is in now.
    pub epoch: Epoch,
    /// Who made it.
    pub by: DeviceName,
    /// Devices let in.
    pub added: Vec<DeviceName>,
    /// Devices that went.
    pub removed: Vec<DeviceName>,
    /// It was this member's.
    pub own: bool,
    /// This member is out. Nothing more can be sealed or opened.
    pub removed_self: bool,
    /// An own commit was waiting for its echo and has lost. Make it again if it is still needed.
    pub lost_own: bool,
}

/// An opened message.
#[derive(Clone, PartialEq, Eq)]
pub struct Opened {
    /// Who wrote it: proven by the leaf's signature.
    pub from: DeviceName,
    /// The epoch it was sealed in.
    pub epoch: Epoch,
    /// The message id its author bound to it. Compare with the outer one.
    pub message_id: String,
    /// What was written.
    pub plaintext: Vec<u8>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened")
            .field("from", &self.from)
            .field("epoch", &self.epoch)
            .field("message_id", &self.message_id)
            .field("octets", &self.plaintext.len())
            .finish()
    }
}

impl std::fmt::Debug for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Member")
            .field("conference", &self.conference)
            .field("era", &self.era)
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}

impl Member {
    /// Seals a message for everybody in the group. The message id travels in the clear and is bound to it.
    pub fn seal(&mut self, message_id: &str, plaintext: &[u8]) -> Result<Bytes, MemberError> {
        if plaintext.len() > PLAINTEXT_OCTETS_MAX || message_id.len() > MESSAGE_ID_OCTETS_MAX {
            return Err(MemberError::TooLong);
        }
        self.may_act()?;
        if self.is_paused() {
            return Err(MemberError::Paused);
        }
        let mut aad = vec![AAD_VERSION];
        aad.extend_from_slice(message_id.as_bytes());
        // openmls forgets the additional data after every message.
        self.group.set_aad(aad);
        let records = self.keyring.records();
        records.sealing(self.group.group_id());
        let sealed =
            self.group.create_message(self.keyring.provider(), self.keyring.key(), plaintext);
        records.done(self.group.group_id());
        let sealed = sealed.map_err(|_| MemberError::Failed("sealing"))?;
        Ok(sealed.to_bytes().map_err(|_| MemberError::Failed("sealing"))?.into())
    }

    /// Pads sealed messages to a multiple of this many octets, to hide their length. 0: none.
    pub fn pad_to(&mut self, octets: usize) -> Result<(), MemberError> {
        self.group
            .set_configuration(
                self.keyring.provider().storage(),
                &settings(&self.conference, octets),
            )
            .map_err(|_| MemberError::Failed("settings"))
    }

    /// The conference.
    pub const fn conference(&self) -> &ConferenceId {
        &self.conference
    }

    /// The group.
    pub const fn era(&self) -> Era {
        self.era
    }

    /// The epoch the member is in.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.group.epoch().as_u64())
    }

    /// This device.
    pub fn me(&self) -> &DeviceName {
        self.keyring.device()
    }

    /// Proves that two members are in the same epoch of the same group (RFC 9420, 8.7). Secret from outsiders.
    pub fn authenticator(&self) -> [u8; 32] {
        self.group.epoch_authenticator().as_slice().try_into().unwrap_or_default()
    }

    /// A key of the present epoch for something else than messages, such as other media (RFC 9420, 8.5): all members who name
    /// this label and context have the same, and nobody else; the next epoch has another one.
    pub fn export(
        &self,
        label: &str,
        context: &[u8],
        octets: u16,
    ) -> Result<Zeroizing<Vec<u8>>, MemberError> {
        self.may_act()?;
        let crypto = self.keyring.provider().crypto();
        let key = self.group.export_secret(crypto, label, context, octets.into());
        key.map(Zeroizing::new).map_err(|_| MemberError::Failed("a key for something else"))
    }

    /// Tells the focus that this member is in its epoch. The authenticator itself stays inside.
    pub fn report(&self) -> EpochReport {
        let mut digest = Sha256::new();
        digest.update(b"conclave epoch\0");
        digest.update(self.authenticator());
        let fingerprint = digest.finalize().into();
        let finding = Finding::Confirmed { fingerprint, entrance: self.entrance() };
        EpochReport { era: self.era, epoch: self.epoch(), finding }
    }

    /// What stands for the key by which newcomers enter this epoch. With nothing to be said it is like no other.
    fn entrance(&self) -> [u8; 32] {
        let (crypto, key) = (self.keyring.provider().crypto(), self.keyring.key());
        let info = self.group.export_group_info(crypto, key, false).ok();
        let octets = info.and_then(|info| info.to_bytes().ok());
        octets.and_then(|octets| entrance(&octets).ok()).unwrap_or_default()
    }

    /// Tells the focus that this member cannot follow the commit that ends its epoch.
    pub fn report_unusable(&self) -> EpochReport {
        let (era, epoch) = (self.era, self.epoch().next());
        EpochReport { era, epoch, finding: Finding::Unusable }
    }

    /// The devices in the group, in the order of the leaves.
    pub fn roster(&self) -> impl Iterator<Item = &DeviceName> {
        self.roster.values().map(|leaf| &leaf.name)
    }

    pub(crate) fn leaves(&self) -> impl Iterator<Item = &crate::roster::Leaf> {
        self.roster.values()
    }

    /// The public signature key of a device in the group, to be pinned or compared.
    pub fn key_of(&self, device: &DeviceName) -> Option<&[u8]> {
        self.roster.values().find(|leaf| leaf.name == *device).map(|leaf| leaf.key.as_slice())
    }

    /// Whether Removes are pending, so that nobody may write.
    pub fn is_paused(&self) -> bool {
        self.group.has_pending_proposals()
    }

    /// Devices with a pending Remove.
    pub fn pending(&self) -> impl Iterator<Item = &DeviceName> {
        self.group.pending_proposals().filter_map(|queued| match queued.proposal() {
            Proposal::Remove(remove) => {
                self.roster.get(&remove.removed().u32()).map(|leaf| &leaf.name)
            }
            _ => None,
        })
    }

    /// Whether an own commit waits for its echo.
    pub fn is_committing(&self) -> bool {
        self.group.pending_commit().is_some()
    }

    /// Whether the own external commit waits for its echo.
    pub const fn is_entering(&self) -> bool {
        self.entering.is_some()
    }

    /// The epoch the own external commit was made in, while it waits for its echo.
    pub fn entering(&self) -> Option<Epoch> {
        self.entering.as_ref().map(|entering| entering.made_in)
    }

    /// Whether this device still has a leaf.
    pub fn is_active(&self) -> bool {
        self.group.is_active()
    }

    /// Forgets the group and its keys.
    pub fn forget(self) {
        self.unkeep();
    }

    /// In the group, and not waiting to be let in.
    fn may_act(&self) -> Result<(), MemberError> {
        if !self.group.is_active() {
            return Err(MemberError::Removed);
        }
        if self.entering.is_some() {
            return Err(MemberError::Entering);
        }
        Ok(())
    }
}
