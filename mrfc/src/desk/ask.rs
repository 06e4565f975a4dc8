//! What a desk is asked, by the front and by the relays. Each ask with a `reply` is answered once.
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use control::RoomNotice;
use ids::{Aor, SeatId};
use mls::wire::DeviceName;
use tokio::sync::oneshot;

use super::{Gone, Joiner, SeatGiven};
use crate::conference::{End, Level, Overview, Participant, Refusal, Ruling, Scene, Standing};
use crate::relays::Done;

/// A conference that is to be made here.
pub(super) struct Made {
    pub(super) creator: Aor,
    pub(super) level: Level,
    /// None: it rests until somebody comes.
    pub(super) relay: Option<String>,
    pub(super) standing: Option<Standing>,
}

pub(super) type Reply<T> = oneshot::Sender<Result<T, Refusal>>;

/// From the front, and from the operator.
pub(super) enum Ask {
    Create {
        new: Made,
        reply: Reply<()>,
    },
    Join {
        seat: SeatId,
        joiner: Joiner,
        reply: Reply<SeatGiven>,
    },
    Alerting {
        seat: SeatId,
    },
    Answered {
        seat: SeatId,
        peer_path: String,
        end: End,
    },
    Gone {
        seat: SeatId,
        how: Gone,
    },
    Invite {
        by: Aor,
        who: Aor,
        reply: Reply<()>,
    },
    Call {
        who: Aor,
        reply: Reply<()>,
    },
    Kick {
        by: Aor,
        who: Aor,
        reply: Reply<()>,
    },
    Unreached {
        who: Aor,
    },
    Rule {
        by: Option<Aor>,
        ruling: Ruling,
        reply: Reply<()>,
    },
    Glance {
        reply: Reply<Scene>,
    },
    Delete {
        by: Aor,
        reply: Reply<()>,
    },
    Scene {
        reply: Reply<Scene>,
    },
    Overview {
        reply: Reply<Overview>,
    },
    Close {
        reply: Reply<()>,
    },
    Expel {
        who: Aor,
        reply: Reply<()>,
    },
    Revoke {
        devices: Arc<BTreeSet<DeviceName>>,
        reply: Reply<()>,
    },
    /// Whether this is a pseudonym that the person has here.
    IsMask {
        mask: Participant,
        of: Aor,
        reply: Reply<()>,
    },
    GroupState {
        who: Aor,
        reply: Reply<Option<Bytes>>,
    },
}

/// From a relay.
pub(super) enum FromRelay {
    /// The notice is done with when `done` is dropped.
    Notice { notice: RoomNotice, done: Done },
    /// It has started anew.
    Restarted,
}
