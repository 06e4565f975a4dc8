//! What happened in a conference. The journal keeps these, as JSON with a version; replaying them rebuilds the
//! conference, except its group, which comes from the snapshot beside the journal.
use bytes::Bytes;
use ids::{Aor, DeviceId, Epoch, Era, SeatId, Term};
use serde::{Deserialize, Serialize};

use super::nouns::{At, Blob, Came, End, Level, Participant, PeerPath, Shown, Why};
use super::rules::Ruling;

/// The format of the journal. A program reads its own and every earlier one.
const VERSION: u8 = 1;

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When it was decided.
    pub at: At,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum What {
    /// The conference was made, or made again after it had ended.
    Created {
        /// Its first moderator.
        creator: Aor,
        /// What the relay may see.
        level: Level,
        /// The relay appointed; none if it rests.
        #[serde(default)]
        relay: Option<String>,
        /// Its appointment.
        term: Term,
        /// It outlives emptiness.
        #[serde(default, skip_serializing_if = "is_false")]
        standing: bool,
        /// Who moderates it beside its creator.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        moderators: Vec<Aor>,
        /// What it is about.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        /// What its eras count from. Journals of an earlier time begin with none.
        #[serde(default, skip_serializing_if = "is_none_yet")]
        era: Era,
    },
    /// A device was given a seat. A former seat of the device is over.
    Joined {
        /// Who.
        who: Participant,
        /// Which seat.
        seat: SeatId,
        /// URIs it may use as CPIM From.
        identities: Vec<String>,
        /// Its path, if known.
        peer_path: Option<PeerPath>,
        /// What else its SDP says.
        #[serde(flatten)]
        end: End,
        /// How it came.
        #[serde(default)]
        came: Came,
        /// Whether others learn who it is.
        #[serde(default)]
        shown: Shown,
        /// Who is behind it, if it comes under a pseudonym.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        behind: Option<Participant>,
        /// The device that the relay sees in place of this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mask: Option<DeviceId>,
    },
    /// The SDP of a seated device became known.
    Answered {
        /// Whose seat.
        seat: SeatId,
        /// The path.
        peer_path: PeerPath,
        /// What else it says. A journal may be of a time when the path was all.
        #[serde(default)]
        end: Option<End>,
    },
    /// A participant is known by another nickname.
    Renamed {
        /// Whose seat.
        seat: SeatId,
        /// As others see it; none: no more.
        nickname: Option<String>,
    },
    /// The device that is called rings.
    Alerting {
        /// Whose seat.
        seat: SeatId,
    },
    /// The participant connected to its seat.
    Bound {
        /// Which.
        seat: SeatId,
    },
    /// A seat is over. Its device stays a member, if it was one.
    Unseated {
        /// Which.
        seat: SeatId,
        /// Why.
        why: Why,
    },
    /// Somebody was called.
    Invited {
        /// By whom.
        by: Aor,
        /// Who.
        who: Aor,
    },
    /// Somebody who was to be called is not reached.
    Unreached {
        /// Who.
        who: Aor,
    },
    /// A moderator, or the operator, has settled something.
    Ruled {
        /// Who; none: the operator.
        by: Option<Aor>,
        /// What.
        ruling: Ruling,
    },
    /// A device or a person is out of the conference.
    Departed {
        /// Who.
        who: Departed,
        /// Why.
        why: Why,
        /// Devices whose Remove is pending now.
        pending: Vec<Participant>,
    },
    /// The group moved to a new epoch, or began.
    Advanced {
        /// Whose change it was.
        by: Participant,
        /// The change ([`mls::wire::Bundle`]).
        bundle: Blob,
        /// The group.
        era: Era,
        /// Its epoch now.
        epoch: Epoch,
        /// New members.
        added: Vec<Participant>,
        /// Former members.
        removed: Vec<Participant>,
        /// Devices whose Remove is pending now.
        pending: Vec<Participant>,
        /// Until when somebody else is to vouch for the epoch; none: nobody is there to do it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trial: Option<At>,
    },
    /// Somebody other than its author is in this epoch, or nobody has complained of it.
    Vouched {
        /// Who; none: time is up.
        by: Option<Participant>,
        /// The epoch.
        epoch: Epoch,
        /// What all who are in it have in common.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fingerprint: Option<[u8; 32]>,
    },
    /// A member cannot follow the commit that made this epoch.
    Astray {
        /// Who.
        who: Participant,
        /// The epoch.
        epoch: Epoch,
    },
    /// Nobody can follow a commit: the group is given up. The next one begins without the commit's author.
    GivenUp {
        /// The author.
        author: Participant,
    },
    /// A device holds a later epoch than the journal knows of.
    Doubted {
        /// Which.
        by: Participant,
        /// The era of its group.
        era: Era,
        /// The epoch it holds.
        epoch: Epoch,
        /// Until when others may say where they are.
        until: At,
    },
    /// A member holds the epoch that the journal ends with, while others say that they are ahead.
    Denied {
        /// Who.
        who: Participant,
    },
    /// Those who said that they are ahead were not more than those who are not: they are wrong, or lie.
    Upheld,
    /// The journal is an old copy: members or the relay have seen what came after it. The group is given up, and the next
    /// one, the room and its keys are of an era, a term and a place that nobody can have seen.
    Outdated {
        /// Its newest appointment.
        term: Term,
        /// Its newest group.
        era: Era,
        /// Places of events that are left out in what keys are made of.
        skipped: u64,
    },
    /// The directory was asked for KeyPackages of joiners.
    Gathered {
        /// Of whom.
        of: Vec<Participant>,
        /// Until when an answer is waited for.
        until: At,
    },
    /// The directory answered.
    Claimed {
        /// A package for each device that has one.
        packages: Vec<(Participant, Option<Blob>)>,
    },
    /// A device was asked to change the group.
    Asked {
        /// Who.
        whom: Participant,
        /// For what.
        task: Task,
        /// Until when it is waited for.
        until: At,
    },
    /// What was waited for did not come.
    GaveUp {
        /// Whose KeyPackage was to blame.
        spoiled: Option<Participant>,
    },
    /// Another relay carries the room.
    Moved {
        /// Which.
        relay: String,
        /// Its appointment.
        term: Term,
    },
    /// The creator has left, and somebody else stands in that place.
    Inherited {
        /// Who.
        creator: Aor,
    },
    /// Nobody is left, and the conference stays: its room and its group are over.
    Rested,
    /// A focus took the conference over. It makes the journal grow, so that a former owner notices.
    Adopted,
    /// The journal came back with a backup. Nobody is in it any more; its room and its group, if somebody comes, are of a term
    /// and an era that nobody can have seen.
    Restored {
        /// Its newest appointment.
        term: Term,
        /// Its newest group.
        era: Era,
    },
    /// The conference is over. Of its journal only this may be left: one of the same name goes on from here.
    Ended {
        /// Its newest appointment.
        #[serde(default)]
        term: Term,
        /// Its newest group.
        #[serde(default)]
        era: Era,
    },
}

/// Who is out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Departed {
    /// One device of a person.
    Device(Participant),
    /// A person with all devices.
    Person(Aor),
}

/// What a device is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Task {
    /// To create the group.
    Create,
    /// To commit: cover the pending Removes and add these.
    Commit {
        /// Devices with a KeyPackage at hand.
        add: Vec<Participant>,
    },
    /// To enter by itself.
    Enter,
}

/// A journal entry that this program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum BadEvent {
    /// It is of a later version.
    #[error("the journal is of version {0}, this program reads up to {VERSION}")]
    Later(u8),
    /// It is no event.
    #[error("the journal holds what is no event")]
    Malformed(#[from] serde_json::Error),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_none_yet(era: &Era) -> bool {
    *era == Era::default()
}

fn is_false(value: &bool) -> bool {
    !*value
}

#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    v: u8,
    at: At,
    #[serde(flatten)]
    what: std::borrow::Cow<'a, What>,
}

#[derive(Deserialize)]
struct Version {
    v: u8,
}

impl Event {
    /// The journal's form.
    pub fn to_bytes(&self) -> Bytes {
        let what = std::borrow::Cow::Borrowed(&self.what);
        let kept = Kept { v: VERSION, at: self.at, what };
        serde_json::to_vec(&kept).expect("an event has no map with odd keys").into()
    }

    /// Reads the journal's form.
    ///
    /// # Errors
    /// It is of a later version, or no event.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BadEvent> {
        let Version { v } = serde_json::from_slice(bytes)?;
        if v > VERSION {
            return Err(BadEvent::Later(v));
        }
        let kept: Kept<'_> = serde_json::from_slice(bytes)?;
        Ok(Self { at: kept.at, what: kept.what.into_owned() })
    }
}
