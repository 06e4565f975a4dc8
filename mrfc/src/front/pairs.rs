//! The table of one-to-one sessions: which two dialogs belong together, and what is under way between them. Pure
//! bookkeeping; a pair is forgotten under all its names at once.
use std::collections::{HashMap, HashSet};
use std::time::Instant;

use ids::{Aor, ConferenceId};
use sip::dialog::{Dialog, DialogId};
use sip::endpoint::{FlowId, TransactionKey};
use sip::{Request, Response};

use super::fork::Fork;
use super::message::Way;
use super::pair_media::Media;

/// Names a pair; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PairId(u64);

/// One of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Side {
    /// Who called.
    Caller,
    /// Who was called.
    Callee,
}

impl Side {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Caller => Self::Callee,
            Self::Callee => Self::Caller,
        }
    }
}

/// One side's dialog with us.
#[derive(Debug)]
pub(super) struct Leg {
    pub(super) dialog: Dialog,
    pub(super) person: Aor,
    pub(super) flow: FlowId,
}

/// A session between two people.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) caller: Leg,
    pub(super) callee: Leg,
    /// Its way through a relay, if it has one.
    pub(super) media: Option<Media>,
}

impl Pair {
    pub(super) fn leg(&mut self, side: Side) -> &mut Leg {
        match side {
            Side::Caller => &mut self.caller,
            Side::Callee => &mut self.callee,
        }
    }
}

/// A call that nobody has answered.
#[derive(Debug)]
pub(super) struct Ring {
    pub(super) flow: FlowId,
    pub(super) caller: Aor,
    pub(super) callee: Aor,
    /// The tag of our answers to the caller.
    pub(super) tag: String,
    pub(super) fork: Fork,
    /// Our INVITEs that ring.
    pub(super) branches: Vec<TransactionKey>,
    pub(super) media: Option<Media>,
    pub(super) until: Instant,
}

/// An INVITE of ours to one device of the callee.
#[derive(Debug)]
pub(super) struct Branch {
    /// The caller's INVITE.
    pub(super) asked: TransactionKey,
    pub(super) request: Request,
    pub(super) person: Aor,
    pub(super) flow: FlowId,
    /// The device's other flows, should this one fail (RFC 5626, 5.3).
    pub(super) others: Vec<Way>,
    /// The device has said that it rings: the flow is good.
    pub(super) rings: bool,
    /// Nobody waits for it any more, or it made this dialog.
    pub(super) state: BranchState,
    pub(super) since: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BranchState {
    Ringing,
    GivenUp,
    Answered(DialogId),
}

/// A request of one side on its way to the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passing {
    pub(super) pair: PairId,
    pub(super) from: Side,
    pub(super) asked: TransactionKey,
}

/// An INVITE whose 2xx we passed on: its ACK belongs to the other side too.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unacknowledged {
    pub(super) pair: PairId,
    pub(super) from: Side,
    /// `CSeq` of our INVITE.
    pub(super) number: u32,
}

/// Every pair, and what is under way.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    last: u64,
    pairs: HashMap<PairId, Pair>,
    dialogs: HashMap<DialogId, (PairId, Side)>,
    flows: HashMap<FlowId, HashSet<PairId>>,
    rooms: HashMap<ConferenceId, PairId>,
    /// By the caller's INVITE.
    pub(super) rings: HashMap<TransactionKey, Ring>,
    /// By our INVITE.
    pub(super) branches: HashMap<TransactionKey, Branch>,
    /// By our request.
    pub(super) passing: HashMap<TransactionKey, Passing>,
    /// By the INVITE of whoever asked.
    pub(super) unacknowledged: HashMap<TransactionKey, Unacknowledged>,
    /// Our last ACK, for a 2xx that comes again.
    pub(super) acknowledged: HashMap<DialogId, Request>,
}

impl Pairs {
    /// How many dialogs they have, rings counted.
    pub(super) fn dialogs(&self) -> usize {
        (self.pairs.len() + self.rings.len()) * 2
    }

    /// How many pairs have a dialog on this connection.
    pub(super) fn len_on(&self, flow: FlowId) -> usize {
        self.flows.get(&flow).map_or(0, HashSet::len)
    }

    pub(super) fn insert(&mut self, pair: Pair) -> PairId {
        self.last += 1;
        let id = PairId(self.last);
        self.dialogs.insert(pair.caller.dialog.id().clone(), (id, Side::Caller));
        self.dialogs.insert(pair.callee.dialog.id().clone(), (id, Side::Callee));
        for leg in [&pair.caller, &pair.callee] {
            self.flows.entry(leg.flow).or_default().insert(id);
        }
        if let Some(media) = &pair.media {
            self.rooms.insert(media.room.clone(), id);
        }
        self.pairs.insert(id, pair);
        id
    }

    /// The pair and the side a request speaks of.
    pub(super) fn of_request(&self, request: &Request) -> Option<(PairId, Side)> {
        self.dialogs.get(&DialogId::of_request(request)?).copied()
    }

    /// The pair and the side of this dialog.
    pub(super) fn of(&self, id: &DialogId) -> Option<(PairId, Side)> {
        self.dialogs.get(id).copied()
    }

    pub(super) fn find(&mut self, id: PairId) -> Option<&mut Pair> {
        self.pairs.get_mut(&id)
    }

    /// The person at this dialog's other end, and the connection.
    pub(super) fn person(&self, id: &DialogId) -> Option<(&Aor, FlowId)> {
        let (pair, side) = self.dialogs.get(id)?;
        let pair = self.pairs.get(pair)?;
        let leg = match side {
            Side::Caller => &pair.caller,
            Side::Callee => &pair.callee,
        };
        Some((&leg.person, leg.flow))
    }

    pub(super) fn in_room(&self, room: &ConferenceId) -> Option<PairId> {
        self.rooms.get(room).copied()
    }

    /// The pairs with a dialog on this connection.
    pub(super) fn on(&self, flow: FlowId) -> Vec<PairId> {
        self.flows.get(&flow).into_iter().flatten().copied().collect()
    }

    /// One side has come over another connection.
    pub(super) fn moved(&mut self, id: PairId, side: Side, flow: FlowId) {
        let Some(pair) = self.pairs.get_mut(&id) else { return };
        let leg = pair.leg(side);
        let former = std::mem::replace(&mut leg.flow, flow);
        let other = pair.leg(side.other()).flow;
        if former != other {
            self.leave(former, id);
        }
        self.flows.entry(flow).or_default().insert(id);
    }

    /// A connection is gone, and another one leads to the same peer.
    pub(super) fn move_all(&mut self, from: FlowId, to: FlowId) {
        for id in self.on(from) {
            for side in [Side::Caller, Side::Callee] {
                if self.pairs.get_mut(&id).is_some_and(|pair| pair.leg(side).flow == from) {
                    self.moved(id, side, to);
                }
            }
        }
    }

    pub(super) fn remove(&mut self, id: PairId) -> Option<Pair> {
        let pair = self.pairs.remove(&id)?;
        for leg in [&pair.caller, &pair.callee] {
            self.dialogs.remove(leg.dialog.id());
            self.acknowledged.remove(leg.dialog.id());
            self.leave(leg.flow, id);
        }
        if let Some(media) = &pair.media {
            self.rooms.remove(&media.room);
        }
        self.unacknowledged.retain(|_, it| it.pair != id);
        Some(pair)
    }

    fn leave(&mut self, flow: FlowId, id: PairId) {
        if let Some(on_flow) = self.flows.get_mut(&flow) {
            on_flow.remove(&id);
            if on_flow.is_empty() {
                self.flows.remove(&flow);
            }
        }
    }

    /// Our final answer to a request in one of the dialogs left.
    pub(super) fn responded(&mut self, request: &Request, response: &Response) {
        if let Some((pair, side)) = self.of_request(request)
            && let Some(pair) = self.pairs.get_mut(&pair)
        {
            pair.leg(side).dialog.responded(request, response);
        }
    }
}
