//! Why a conference turns a command down. The front maps each to its SIP status, in one place.
use ids::{Aor, Epoch, Era, SeatId};
use mls::wire::CommitResult;

use super::{Command, Conference, Participant};

/// Why a command is turned down. Nothing has changed, but for [`Refusal::Unconfirmed`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none of this name, or no more.
    #[error("there is no such conference")]
    NoSuchConference,
    /// There was one of this name a while ago.
    #[error("this conference is over")]
    Over,
    /// There is one of this name.
    #[error("there is a conference of this name")]
    Exists,
    /// Whoever asks is no moderator.
    #[error("only a moderator may do this")]
    NotModerator,
    /// A moderator has removed this person, who may come back when invited again.
    #[error("a moderator has removed this person")]
    Barred,
    /// A moderator has locked the conference.
    #[error("the conference is locked")]
    Locked,
    /// There is nothing that others could see in place of the device.
    #[error("nobody is anonymous here")]
    NotAnonymous,
    /// Others have seen the name.
    #[error("you are here under your name; leave before you come back without it")]
    KnownByName,
    /// Without a moderator nobody could be asked any more.
    #[error("the last moderator cannot give the role up; hand it on first")]
    LastModerator,
    /// Whoever asks may not know who is in it.
    #[error("only participants may watch this conference")]
    NotWatcher,
    /// Whoever asks, or whom it is about, is not on the roster.
    #[error("{0} is not on the roster")]
    NotOnRoster(Aor),
    /// The conference's founder cannot be removed, muted or dismissed by somebody else.
    #[error("nobody else can remove, mute or dismiss the founder of a conference")]
    Founder,
    /// The conference, or this focus, has no place left.
    #[error("there is no place left")]
    Full,
    /// Whoever asks has made as many conferences as one person may.
    #[error("you have made as many conferences as one person may; end one first")]
    TooManyOwn,
    /// There is no such seat, or no more.
    #[error("there is no such seat")]
    NoSeat,
    /// It is so already.
    #[error("nothing would change")]
    NothingNew,
    /// There is nothing to do at this time.
    #[error("nothing is due")]
    NotYet,
    /// An open room has no group.
    #[error("an open conference has no group")]
    NoGroup,
    /// This very bundle was accepted before.
    #[error("this change was accepted before")]
    Repeated {
        /// The group.
        era: Era,
        /// The epoch it made.
        epoch: Epoch,
    },
    /// Nobody could follow an earlier change of this device's.
    #[error("nobody could follow an earlier change of this device; others change the group")]
    Distrusted,
    /// The device has entered as often as it may in a day.
    #[error("this device has entered the group too often today")]
    EntersTooOften,
    /// The change of the group breaks a rule, or came too late.
    #[error(transparent)]
    Group(#[from] mls::ledger::Refusal),
    /// The description names two places, and somebody between us has changed it (RFC 6714, 4.3).
    #[error("the address of the c= line is not that of a=path, and msrp-cema is not used")]
    OtherPlace,
    /// The conference has no nicknames.
    #[error("this conference has no nicknames")]
    NoNicknames,
    /// The nickname breaks the profile.
    #[error(transparent)]
    Nickname(#[from] super::nickname::BadNickname),
    /// The nickname is reserved, or somebody else's.
    #[error("the nickname is reserved, or in use by somebody else")]
    NicknameTaken,
    /// No relay can carry the room now.
    #[error("no relay can carry the room now")]
    NoRelay,
    /// The relay has no such transport, or cannot use the path.
    #[error("the relay has no place for such a session")]
    Unseatable,
    /// The relay did not answer in time.
    #[error("the relay did not answer in time")]
    RelaySilent,
    /// Somebody was removed, and that stands; whether the relay knows it yet is not certain.
    #[error("removed, but the relay has not confirmed it yet")]
    Unconfirmed,
    /// The store failed; nothing was changed.
    #[error("the store failed")]
    StoreFailed,
    /// This focus is stopping, or another owns the conference now.
    #[error("this focus does not own the conference any more")]
    NotOwner,
}

impl Refusal {
    /// What the author of a refused bundle is told.
    pub fn to_result(&self) -> CommitResult {
        match self {
            Self::Group(refusal) => refusal.to_result(),
            Self::Repeated { era, epoch } => CommitResult::Accepted { era: *era, epoch: *epoch },
            // Also where nothing was decided: it would hold on to its commit, and could not make the next one.
            other => CommitResult::Refused { why: other.to_string() },
        }
    }
}

impl Conference {
    /// What follows where the device that was asked for a change has just shown, by this refusal, that it cannot make it.
    pub fn failed(&self, seat: SeatId, refusal: &Refusal) -> Option<Command> {
        use mls::ledger::Refusal as Group;
        let (whom, _) = self.roster().at(seat)?;
        if self.awaited() != Some(whom) {
            return None;
        }
        let spoiled = match refusal {
            // It answered an earlier request, or lost a race: the answer to this one is yet to come. Also where it skips a
            // Remove: then it was still busy with an earlier request when this one came.
            Refusal::Group(Group::Lost { .. } | Group::Future { .. } | Group::SkipsRemove(_)) => {
                return None;
            }
            Refusal::Group(
                Group::KeyPackage(name) | Group::Duplicate(name) | Group::NotOnRoster(name),
            ) => Some(Participant::from(name)).filter(|spoiled| spoiled != whom),
            Refusal::Group(_) | Refusal::EntersTooOften => None,
            _ => return None,
        };
        Some(Command::Failed { whom: whom.clone(), spoiled })
    }
}
