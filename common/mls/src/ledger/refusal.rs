//! Why a change of the group is turned down.
use ids::{Epoch, Era};

use crate::codec::Malformed;
use crate::identity::BadCredential;
use crate::wire::{CommitResult, DeviceName};

/// Why a bundle or a removal is turned down. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not a bundle, or a part of it is not what it should be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It is for another group of this conference.
    #[error("the group is in era {era}")]
    WrongEra {
        /// The era the conference is in.
        era: Era,
    },
    /// It was made in an epoch that another commit has ended.
    #[error("another commit won; the group is in epoch {epoch} of era {era}")]
    Lost {
        /// The group.
        era: Era,
        /// The epoch the group is in.
        epoch: Epoch,
        /// SHA-256 of the commit that won; zero if that is long ago.
        winner: [u8; 32],
    },
    /// It was made in an epoch the group has not reached.
    #[error("the group is only in epoch {epoch}")]
    Future {
        /// The epoch the group is in.
        epoch: Epoch,
    },
    /// Whoever brought it did not make it.
    #[error("the committer is not the sender")]
    NotTheSender,
    /// Somebody it brings in, or its committer, may not be in the group.
    #[error("{0} is not on the roster")]
    NotOnRoster(DeviceName),
    /// A credential in it is no good.
    #[error("a leaf's credential: {0}")]
    Credential(#[from] BadCredential),
    /// A KeyPackage in it has expired or lives too long.
    #[error("the KeyPackage of {0} may not be used now")]
    KeyPackage(DeviceName),
    /// A device would have two leaves.
    #[error("{0} would have two leaves")]
    Duplicate(DeviceName),
    /// It proposes what nobody may propose here.
    #[error("a commit may add and remove, not {0}")]
    Forbidden(&'static str),
    /// It removes somebody it has no business to remove.
    #[error("the committer may not remove {0}")]
    RemovesAnother(DeviceName),
    /// It does not cover every pending Remove.
    #[error("it does not remove {0}, which is pending")]
    SkipsRemove(DeviceName),
    /// The committer's leaf would get another identity.
    #[error("the committer's identity would change")]
    ChangesIdentity,
    /// The Welcomes do not fit the commit.
    #[error("the Welcomes: {0}")]
    Welcomes(&'static str),
    /// The GroupInfo does not describe the state the commit leads to.
    #[error("the GroupInfo: {0}")]
    GroupInfo(&'static str),
    /// RFC 9420 forbids it (a bad signature, a missing path, a wrong tree ...).
    #[error("not a valid change of the group (RFC 9420, 12)")]
    Invalid,
    /// There is no such leaf to remove.
    #[error("no such member")]
    NotAMember,
}

impl Refusal {
    /// What its author is told.
    pub fn to_result(&self) -> CommitResult {
        match self {
            Self::Lost { era, epoch, winner } => {
                CommitResult::Lost { era: *era, epoch: *epoch, winner: *winner }
            }
            other => CommitResult::Refused { why: other.to_string() },
        }
    }
}
