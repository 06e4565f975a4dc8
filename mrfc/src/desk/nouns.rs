//! What the front gives the desks, and what it is asked to do: small values, and nothing that acts.
use std::fmt;

use ids::{Aor, ConferenceId, DeviceId, SeatId};

use super::{Came, End, Shown, Standing};
use crate::config::Level;

/// A conference to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewConference {
    /// Its name; none: a random one.
    pub id: Option<ConferenceId>,
    /// Its first moderator.
    pub creator: Aor,
    /// What the relay may see.
    pub level: Level,
    /// What makes it outlive emptiness.
    pub standing: Option<Standing>,
}

/// A device that wants a seat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joiner {
    /// The person.
    pub aor: Aor,
    /// The device.
    pub device: DeviceId,
    /// URIs it may use as CPIM From.
    pub identities: Vec<String>,
    /// `a=path` of its SDP; none if it is called, or has yet to answer.
    pub peer_path: Option<String>,
    /// What else its SDP says.
    pub end: End,
    /// How it comes.
    pub came: Came,
    /// Whether others learn who it is.
    pub shown: Shown,
    /// If not: the device that others see in place of this one; never used before, but by this device in this dialog.
    pub mask: DeviceId,
}

/// A seat, ready to be taken.
#[derive(Clone, PartialEq, Eq)]
pub struct SeatGiven {
    /// Its name.
    pub seat: SeatId,
    /// The MSRP URI for the SDP, with the relay's host and port. Whoever knows it may take the seat.
    pub path: String,
    /// The hash of the relay's certificate, for `a=fingerprint`.
    pub fingerprint: String,
    /// What others see in place of the name, and what is to be written as, if whoever sits there hides.
    pub shown_as: Option<String>,
    /// The device that others see in place of this one, whose certificate this one is to have.
    pub mask: Option<DeviceId>,
}

impl fmt::Debug for SeatGiven {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SeatGiven({})", self.seat)
    }
}

/// How a dialog ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// BYE without a word of leaving, or a lost flow: the device stays a member.
    Away,
    /// Nothing was heard of it until its session expired (RFC 4028): the device stays a member.
    Silent,
    /// BYE with `Reason: conclave;cause=1`: the device leaves.
    Left,
    /// The call was declined.
    Refused,
    /// The call was declined as busy.
    Busy,
    /// The call was never answered.
    Unreached,
}

/// What the front has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SipEffect {
    /// Call every registered device of this person.
    DialOut {
        /// Into which conference.
        conference: ConferenceId,
        /// Whom.
        who: Aor,
        /// Who asked for it.
        by: Aor,
        /// What others see of that one, if they hide.
        by_shown_as: Option<String>,
    },
    /// A device has few KeyPackages left, and should leave new ones.
    KeyPackagesLow {
        /// Whose.
        of: Aor,
        /// Which.
        device: DeviceId,
        /// How many it has left.
        left: usize,
    },
    /// Those who watch this conference may look again.
    Changed {
        /// Which.
        conference: ConferenceId,
    },
    /// This conference is no more, and somebody watched it.
    Deleted {
        /// Which.
        conference: ConferenceId,
    },
    /// End the dialog of this seat, if there is one.
    Bye {
        /// Whose seat.
        conference: ConferenceId,
        /// Which.
        seat: SeatId,
        /// For the Reason header.
        reason: String,
    },
}
