//! What effects are to a relay: pure, from an effect to the orders that carry it out. [`crate::desk`] sends them.
//!
//! Whatever happens once has a key made of the event's place in the journal, so that carrying it out again after a
//! crash is seen by the relay as the repetition it is.
use bytes::Bytes;
use control::RoomOrder;
use ids::{Key, SeatId, Seq};
use mls::wire::{self, WelcomeDelivery};

use crate::conference::{Announced, Conference, Effect, Told};

/// Keys of one event: its effects have the lower half, answers outside the journal the upper.
const KEYS_SHIFT: u32 = 16;
const ANSWERS_FROM: u64 = 1 << (KEYS_SHIFT - 1);

/// Counts the keys given out since one event.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    next: u64,
    end: u64,
}

impl Keys {
    /// For the effects of this event.
    pub const fn of_event(place: Seq) -> Self {
        let next = place.0 << KEYS_SHIFT;
        Self { next, end: next + ANSWERS_FROM }
    }

    /// For answers between this event and the next.
    pub const fn of_answers(place: Seq) -> Self {
        let next = (place.0 << KEYS_SHIFT) + ANSWERS_FROM;
        Self { next, end: next + ANSWERS_FROM }
    }

    /// The event that a key was given out for, by its place ([`Conference::place`]).
    pub const fn place_of(key: Key) -> Seq {
        Seq(key.0 >> KEYS_SHIFT)
    }

    fn take(&mut self) -> Option<Key> {
        let key = Key(self.next);
        self.next += 1;
        (key.0 < self.end).then_some(key)
    }
}

/// What the relay has to do for an effect. Effects that are not the relay's give nothing.
pub fn orders(conference: &Conference, keys: &mut Keys, effect: Effect) -> Vec<RoomOrder> {
    match effect {
        Effect::Open => conference.room().map(RoomOrder::Open).into_iter().collect(),
        Effect::Close(why) => vec![RoomOrder::Close { reason: why.as_str().to_owned() }],
        Effect::Seat(seat) => conference.seat(seat).map(RoomOrder::Seat).into_iter().collect(),
        Effect::Unseat(seat, why) => {
            vec![RoomOrder::Unseat { seat, reason: why.as_str().to_owned() }]
        }
        Effect::Gate => conference.gate().map(RoomOrder::Gate).into_iter().collect(),
        Effect::Tell(seat, told) => tell(conference, keys, seat, told),
        Effect::Announce(Announced::Commit(commit)) => {
            let gate = conference.gate();
            broadcast(conference, keys, commit)
                .map(|order| with_gate(order, gate))
                .into_iter()
                .collect()
        }
        Effect::Announce(Announced::Proposals) => {
            let proposals = conference.proposals().into_iter();
            proposals.filter_map(|proposal| broadcast(conference, keys, proposal)).collect()
        }
        Effect::Claim(_) | Effect::DialOut { .. } | Effect::Bye(..) => Vec::new(),
    }
}

fn tell(conference: &Conference, keys: &mut Keys, seat: SeatId, told: Told) -> Vec<RoomOrder> {
    let era = conference.gate().map(|gate| gate.era).unwrap_or_default();
    let messages = match told {
        Told::Welcome(welcome) => {
            let delivery = WelcomeDelivery { era, welcome, tree: conference.tree() };
            vec![(wire::WELCOME, delivery.to_bytes())]
        }
        Told::Request(request) => vec![(wire::COMMIT_REQUEST, request.to_bytes())],
        Told::Result(result) => vec![(wire::COMMIT_RESULT, result.to_bytes())],
        Told::Proposals => conference.proposals().into_iter().map(|p| (wire::MLS, p)).collect(),
    };
    let Some((to, _)) = conference.roster().at(seat) else {
        return Vec::new();
    };
    let room = conference.uri();
    let deliver = |(content_type, content)| {
        let key = keys.take()?;
        // What the whole group is told stays that when one device hears it alone. Addressed to a person it would be a
        // private message, of another group.
        let to = if content_type == wire::MLS { &*room } else { to.aor.as_str() };
        let cpim = cpim(conference, key, to, (content_type, content));
        Some(RoomOrder::Deliver { key, seat, cpim })
    };
    messages.into_iter().filter_map(deliver).collect()
}

fn broadcast(conference: &Conference, keys: &mut Keys, message: Bytes) -> Option<RoomOrder> {
    let key = keys.take()?;
    let cpim = cpim(conference, key, &conference.uri(), (wire::MLS, message));
    Some(RoomOrder::Broadcast { key, cpim, gate: None })
}

fn with_gate(order: RoomOrder, gate: Option<control::Gate>) -> RoomOrder {
    match order {
        RoomOrder::Broadcast { key, cpim, .. } => RoomOrder::Broadcast { key, cpim, gate },
        other => other,
    }
}

/// A message of the focus. Clients trust the MLS content, never this envelope.
fn cpim(
    conference: &Conference,
    key: Key,
    to: &str,
    (content_type, content): (&str, Bytes),
) -> Bytes {
    let message = msrp::cpim::Builder::new(&conference.uri(), to)
        .imdn(&format!("{}.{key}", conference.id()), &[]);
    message.content(content_type, content).gather()
}
