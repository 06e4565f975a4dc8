//! The rooms of one-to-one sessions at the relays: two seats each, ordered here, and what the relays say of them. Beside
//! it, where a session is charged, each message's charge goes to the ledger before the relay is told that it is safe.
//!
//! Nothing of a pair outlives the MRFC but its charges: with the connections of the two devices their dialogs are gone,
//! and the relay closes the rooms that nobody names to it any more.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use control::{Level, Room, RoomNotice, RoomOrder, Seat};
use ids::{ConferenceId, SeatId, Term};
use store::Store;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use crate::charging::Ledger;
use crate::config::Config;
use crate::desk::{Refusal, SipEffect};
use crate::relays::{Heard, Relays};

/// The rooms of pairs. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Legs {
    relays: Relays,
    ledger: Ledger,
    rooms: Arc<Mutex<HashMap<ConferenceId, Waiting>>>,
}

#[derive(Debug)]
struct Waiting {
    relay: String,
    asked: HashMap<SeatId, oneshot::Sender<String>>,
}

/// Where the two sides connect to.
#[derive(Clone)]
pub(crate) struct Places {
    paths: [String; 2],
    fingerprint: String,
}

impl std::fmt::Debug for Places {
    /// Leaves out the paths, which are secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Places")
    }
}

impl Places {
    /// The path and the relay's certificate, for one side.
    pub(crate) fn of(&self, side: crate::front::Side) -> (&str, &str) {
        let [caller, callee] = &self.paths;
        let path = match side {
            crate::front::Side::Caller => caller,
            crate::front::Side::Callee => callee,
        };
        (path, &self.fingerprint)
    }
}

/// What a session's room allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoomTerms {
    pub(crate) message_octets_max: u64,
    pub(crate) charge: bool,
}

impl Legs {
    /// Hears what the relays say before the desks do, who hear the rest of it.
    pub(crate) fn start(
        config: &Config,
        (store, relays): (&Store, &Relays),
        heard: mpsc::UnboundedReceiver<Heard>,
        sip: mpsc::Sender<SipEffect>,
    ) -> (Self, mpsc::UnboundedReceiver<Heard>) {
        let (desks, rest) = mpsc::unbounded_channel();
        let ledger = Ledger::start(store.clone(), config.sessions.charge_file.clone());
        let legs = Self { relays: relays.clone(), ledger, rooms: Arc::default() };
        drop(tokio::spawn(legs.clone().listen(heard, desks, sip)));
        (legs, rest)
    }

    /// Where charges are kept.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Has a room with these two seats made, and waits for their places.
    pub(crate) async fn open(
        &self,
        id: &ConferenceId,
        terms: RoomTerms,
        seats: [Seat; 2],
    ) -> Result<(String, Places), Refusal> {
        let relay = self.relays.place().ok_or(Refusal::NoRelay)?;
        if terms.charge {
            // On disk before the relay can tell of a message, also if we are not there to hear of it.
            for seat in &seats {
                self.ledger.seated(id, seat.seat, &seat.aor).await?;
            }
        }
        let mut asked = HashMap::new();
        let [first, second] = &seats;
        let answers = [first, second].map(|seat| {
            let (reply, answer) = oneshot::channel();
            asked.insert(seat.seat, reply);
            answer
        });
        self.rooms().insert(id.clone(), Waiting { relay: relay.clone(), asked });
        let room = Room {
            uri: format!("sip:{id}"),
            term: Term(1),
            level: Level::Pair,
            gate: None,
            message_octets_max: terms.message_octets_max,
            charge: terms.charge,
            stored: None,
        };
        let orders = std::iter::once(RoomOrder::Open(room));
        for order in orders.chain(seats.into_iter().map(RoomOrder::Seat)) {
            self.relays.order(&relay, id, order).await.map_err(|_| Refusal::NoRelay)?;
        }
        let [first, second] = answers;
        let paths = [
            first.await.map_err(|_| Refusal::RelaySilent)?,
            second.await.map_err(|_| Refusal::RelaySilent)?,
        ];
        let face = self.relays.face(&relay).ok_or(Refusal::NoRelay)?;
        Ok((relay, Places { paths, fingerprint: face.fingerprint }))
    }

    /// Changes what the relay knows of a session.
    pub(crate) async fn order(&self, relay: &str, id: &ConferenceId, order: RoomOrder) {
        if let Err(error) = self.relays.order(relay, id, order).await {
            debug!(relay, %error, "an order went nowhere");
        }
    }

    /// Ends a session's room, wherever it is.
    pub(crate) async fn close(&self, id: &ConferenceId, reason: &str) {
        let waiting = self.rooms().remove(id);
        if let Some(Waiting { relay, .. }) = waiting {
            self.order(&relay, id, RoomOrder::Close { reason: reason.to_owned() }).await;
        }
    }

    /// Hears what the relays say: what is about pairs and charges stays here, the rest goes to the desks.
    async fn listen(
        self,
        mut heard: mpsc::UnboundedReceiver<Heard>,
        desks: mpsc::UnboundedSender<Heard>,
        sip: mpsc::Sender<SipEffect>,
    ) {
        // A task that outlived the desks would hold the relays, and hear what is for the next focus.
        while let Some(heard) = tokio::select! {
            heard = heard.recv() => heard,
            () = desks.closed() => None,
        } {
            match heard {
                Heard::Notice { conference, notice: RoomNotice::Charged(charge), done, .. } => {
                    self.ledger.charge(conference, charge, done);
                }
                Heard::Notice { conference, notice, .. }
                    if self.rooms().contains_key(&conference) =>
                {
                    if let Some(effect) = self.noticed(conference, notice)
                        && sip.send(effect).await.is_err()
                    {
                        return;
                    }
                }
                Heard::Restarted { relay } => {
                    for effect in self.lost(&relay) {
                        sip.send(effect).await.ok();
                    }
                    desks.send(Heard::Restarted { relay }).ok();
                }
                other => {
                    desks.send(other).ok();
                }
            }
        }
    }

    fn noticed(&self, conference: ConferenceId, notice: RoomNotice) -> Option<SipEffect> {
        match notice {
            RoomNotice::Seated { seat, path } => {
                let mut rooms = self.rooms();
                let waiting = rooms.get_mut(&conference)?.asked.remove(&seat)?;
                // Who asked may have stopped waiting.
                waiting.send(path).ok();
                None
            }
            RoomNotice::Lost { seat, cause } => {
                let reason = format!("the session's connection is gone: {cause:?}");
                Some(SipEffect::Bye { conference, seat, reason })
            }
            _ => None,
        }
    }

    /// A relay has started anew: the sessions it had are over.
    fn lost(&self, relay: &str) -> Vec<SipEffect> {
        let rooms = self.rooms();
        let here = rooms.iter().filter(|(_, waiting)| waiting.relay == relay);
        let bye = |conference: &ConferenceId| SipEffect::Bye {
            conference: conference.clone(),
            seat: SeatId(1),
            reason: String::from("the relay has started anew"),
        };
        here.map(|(conference, _)| bye(conference)).collect()
    }

    fn rooms(&self) -> std::sync::MutexGuard<'_, HashMap<ConferenceId, Waiting>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
