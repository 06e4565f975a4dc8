//! What the focus tells a device: please commit, this became of your commit, come in, this is the group.
use bytes::Bytes;
use ids::{Epoch, Era};

use super::{ADDS_MAX, ClaimedKeyPackage, DeviceName, Malformed, STATE_OCTETS_MAX};
use crate::codec::{Reader, Writer};

/// Why the focus asks for a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There is no group: create one.
    Create,
    /// Devices wait to be added.
    Add,
    /// Removes are pending; nobody may write until a commit covers them.
    Remove,
    /// Nobody can add you: enter by external commit.
    Enter,
    /// Say whether you could follow the last commit ([`EpochReport`](super::EpochReport)).
    Confirm,
}

/// The focus asks one device to change the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRequest {
    /// Why.
    pub reason: Reason,
    /// The group it is about.
    pub era: Era,
    /// Devices to add.
    pub add: Vec<ClaimedKeyPackage>,
    /// Devices to remove beside those with a pending Remove.
    pub remove: Vec<DeviceName>,
}

impl CommitRequest {
    /// The encoding.
    pub fn to_bytes(&self) -> Bytes {
        let mut to = Writer::default();
        to.u8(match self.reason {
            Reason::Create => 1,
            Reason::Add => 2,
            Reason::Remove => 3,
            Reason::Enter => 4,
            Reason::Confirm => 5,
        });
        to.u32(self.era.0);
        to.list(&self.add, |to, claim| claim.write(to));
        to.list(&self.remove, |to, device| device.write(to)).finish()
    }

    /// Reads one whole request.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new(bytes, STATE_OCTETS_MAX, "commit request")?;
        let request = Self {
            reason: match from.u8("commit reason")? {
                1 => Reason::Create,
                2 => Reason::Add,
                3 => Reason::Remove,
                4 => Reason::Enter,
                5 => Reason::Confirm,
                _ => return Err(Malformed("commit reason")),
            },
            era: Era(from.u32("era")?),
            add: from.list(ADDS_MAX, "devices to add", ClaimedKeyPackage::read)?,
            remove: from.list(ADDS_MAX, "devices to remove", DeviceName::read)?,
        };
        from.end("commit request")?;
        Ok(request)
    }
}

/// What became of a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitResult {
    /// It made this epoch.
    Accepted {
        /// The group.
        era: Era,
        /// The epoch the group is in because of it.
        epoch: Epoch,
    },
    /// Another commit won the epoch it was made in.
    Lost {
        /// The group.
        era: Era,
        /// The epoch the group is in.
        epoch: Epoch,
        /// SHA-256 of the commit that won; zero if that is long ago.
        winner: [u8; 32],
    },
    /// It breaks a rule. Trying again with the same content is in vain.
    Refused {
        /// The rule, for people.
        why: String,
    },
}

impl CommitResult {
    /// The encoding.
    pub fn to_bytes(&self) -> Bytes {
        let mut to = Writer::default();
        match self {
            Self::Accepted { era, epoch } => to.u8(1).u32(era.0).u64(epoch.0),
            Self::Lost { era, epoch, winner } => to.u8(2).u32(era.0).u64(epoch.0).raw(winner),
            Self::Refused { why } => to.u8(3).text(&clip(why)),
        };
        to.finish()
    }

    /// Reads one whole result.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new(bytes, 4096, "commit result")?;
        let result = match from.u8("commit result")? {
            1 => Self::Accepted { era: Era(from.u32("era")?), epoch: Epoch(from.u64("epoch")?) },
            2 => Self::Lost {
                era: Era(from.u32("era")?),
                epoch: Epoch(from.u64("epoch")?),
                winner: from.array("winner")?,
            },
            3 => Self::Refused { why: from.text("reason")? },
            _ => return Err(Malformed("commit result")),
        };
        from.end("commit result")?;
        Ok(result)
    }
}

/// A reason never grows beyond what the reader accepts.
fn clip(why: &str) -> String {
    why.chars().take(200).collect()
}

/// The invitation as it reaches the added device: its Welcome and the tree of that epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WelcomeDelivery {
    /// The group.
    pub era: Era,
    /// The Welcome.
    pub welcome: Bytes,
    /// The ratchet tree. The same bytes for everybody added by one commit.
    pub tree: Bytes,
}

impl WelcomeDelivery {
    /// The encoding.
    pub fn to_bytes(&self) -> Bytes {
        let mut to = Writer::default();
        to.u32(self.era.0).blob(&self.welcome).blob(&self.tree).finish()
    }

    /// Reads one whole delivery.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let max = STATE_OCTETS_MAX;
        let mut from = Reader::new(bytes, max, "Welcome delivery")?;
        let delivery = Self {
            era: Era(from.u32("era")?),
            welcome: from.blob(max, "Welcome")?,
            tree: from.blob(max, "ratchet tree")?,
        };
        from.end("Welcome delivery")?;
        Ok(delivery)
    }
}

/// The public state of the group, for a device that enters by external commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// The group.
    pub era: Era,
    /// Its epoch.
    pub epoch: Epoch,
    /// The GroupInfo, signed by whoever made the epoch.
    pub group_info: Bytes,
    /// The ratchet tree.
    pub tree: Bytes,
}

impl GroupState {
    /// The encoding.
    pub fn to_bytes(&self) -> Bytes {
        let mut to = Writer::default();
        to.u32(self.era.0).u64(self.epoch.0).blob(&self.group_info).blob(&self.tree).finish()
    }

    /// Reads one whole state.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let max = STATE_OCTETS_MAX;
        let mut from = Reader::new(bytes, max, "group state")?;
        let state = Self {
            era: Era(from.u32("era")?),
            epoch: Epoch(from.u64("epoch")?),
            group_info: from.blob(max, "GroupInfo")?,
            tree: from.blob(max, "ratchet tree")?,
        };
        from.end("group state")?;
        Ok(state)
    }
}
