//! What can go wrong for a member.
use ids::Epoch;

use crate::change::Fault;
use crate::codec::Malformed;
use crate::identity::BadCredential;
use crate::key_packages::BadKeyPackage;
use crate::wire::DeviceName;

/// Why something was not done. The member's state is as before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Not what it should be.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The commit, or the state of the group, breaks a rule.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A KeyPackage to be added is no good.
    #[error("the KeyPackage of {who}: {why}")]
    KeyPackage {
        /// Whose.
        who: DeviceName,
        /// Why.
        why: BadKeyPackage,
    },
    /// The own certificate is no good.
    #[error("the own certificate: {0}")]
    OwnCredential(BadCredential),
    /// The message is of another group.
    #[error("a message of another group")]
    OtherGroup,
    /// The group is not set up as this system sets groups up.
    #[error("the group has another suite, name or extensions than agreed")]
    OtherSettings,
    /// The state offered is older than what this device has seen.
    #[error("the group state is older than epoch {known}, which this device has seen")]
    Rollback {
        /// The epoch seen.
        known: Epoch,
    },
    /// The Welcome is for a KeyPackage this keyring does not hold (any more), or was used before.
    #[error("the Welcome opens with no KeyPackage of this device")]
    NotForUs,
    /// The message cannot be opened, or its signature is wrong.
    #[error("the message cannot be opened")]
    Unreadable,
    /// The key of the message is used up, or was given up when much later ones of its author came.
    #[error(
        "the key of a message of epoch {epoch} is gone: it was opened before, or is far too late"
    )]
    Used {
        /// Its epoch.
        epoch: Epoch,
    },
    /// So many messages of its author are missing before this one that its key cannot be reached.
    #[error(
        "the key of a message of epoch {epoch} is out of reach: too much of its author is missing"
    )]
    OutOfReach {
        /// Its epoch.
        epoch: Epoch,
    },
    /// Written in an old epoch by a device that has been removed since.
    #[error("{0} has been removed since")]
    RemovedSender(DeviceName),
    /// The focus may propose Removes, nobody anything else.
    #[error("a proposal nobody may make")]
    ForbiddenProposal,
    /// Removes are pending: nobody may write until a commit covers them.
    #[error("a removal is under way")]
    Paused,
    /// An own commit waits for its echo.
    #[error("a commit is under way")]
    Committing,
    /// The own external commit has not been accepted yet.
    #[error("not let in yet")]
    Entering,
    /// This device is out, or about to be.
    #[error("removed from the group")]
    Removed,
    /// There is nothing to commit.
    #[error("nothing to commit")]
    NothingToDo,
    /// No such device in the group.
    #[error("{0} is no member")]
    NotAMember(DeviceName),
    /// Somebody is in the group who has no business there.
    #[error("{0} is in the group and does not belong there")]
    Stranger(DeviceName),
    /// The plaintext or the message id is too long.
    #[error("too long for a sealed message")]
    TooLong,
    /// openmls failed at something that cannot fail with valid state.
    #[error("the group's state does not allow {0}")]
    Failed(&'static str),
}
