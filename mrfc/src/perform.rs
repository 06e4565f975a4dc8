//! Carries effects out: orders for the relay, effects for the front. What an effect is to a relay says
//! [`crate::orders`]; here is what waits for a place in the relay's queue.
use control::RoomOrder;
use tokio::sync::mpsc;
use tracing::warn;

use crate::charging::Ledger;
use crate::conference::{Conference, Effect, Participant};
use crate::desk::SipEffect;
use crate::log::Logs;
use crate::orders::{Keys, orders};
use crate::relays::Relays;

/// The hands of a desk.
#[derive(Clone, Debug)]
pub(crate) struct Performer {
    pub(crate) relays: Relays,
    pub(crate) sip: mpsc::Sender<SipEffect>,
    /// Where messages are charged, if they are.
    pub(crate) charging: Option<Ledger>,
    /// Where it is kept what is said.
    pub(crate) logs: Option<Logs>,
}

impl Performer {
    /// Carries effects out in their order. Returns whose KeyPackages are wanted from the directory.
    pub(crate) async fn all(
        &self,
        conference: &Conference,
        relay: &str,
        mut keys: Keys,
        effects: Vec<Effect>,
    ) -> Vec<Participant> {
        let mut claims = Vec::new();
        for effect in effects {
            let id = conference.id().clone();
            match effect {
                Effect::Claim(of) => claims.extend(of),
                Effect::DialOut { who, by, by_shown_as } => {
                    self.say(SipEffect::DialOut { conference: id, who, by, by_shown_as }).await;
                }
                Effect::Bye(seat, why) => {
                    let reason = why.as_str().to_owned();
                    self.say(SipEffect::Bye { conference: id, seat, reason }).await;
                }
                effect => {
                    for order in orders(conference, &mut keys, effect) {
                        let order = self.charged(conference, order).await;
                        let order = self.placed(conference, order).await;
                        self.order(conference, relay, order).await;
                    }
                }
            }
        }
        claims
    }

    /// The order of a conference whose messages are charged. Who has which seat is on disk before the relay can tell of a
    /// message, also if we are not there to hear of it.
    async fn charged(&self, conference: &Conference, order: RoomOrder) -> RoomOrder {
        let Some(ledger) = &self.charging else { return order };
        let (uri, id) = (conference.uri(), conference.id());
        // What could not be noted is warned of where it failed; people talk on, and the record lacks a name.
        match order {
            RoomOrder::Open(room) => {
                if let Ok(uri) = uri.parse() {
                    ledger.seated(id, Ledger::EVERYBODY, &uri).await.ok();
                }
                RoomOrder::Open(control::Room { charge: true, ..room })
            }
            RoomOrder::Seat(seat) => {
                // The relay may know a number or a pseudonym; who pays is a person.
                let roster = conference.roster();
                let payer = roster.at(seat.seat).map(|(who, _)| roster.real(&who.aor));
                ledger.seated(id, seat.seat, payer.unwrap_or(&seat.aor)).await.ok();
                RoomOrder::Seat(seat)
            }
            other => other,
        }
    }

    /// The order of a conference that keeps a log: whoever comes back is given what comes behind its cursor.
    async fn placed(&self, conference: &Conference, order: RoomOrder) -> RoomOrder {
        match (&self.logs, order) {
            (Some(logs), RoomOrder::Seat(seat))
                if conference.keeps_log() && conference.is_returning(seat.seat) =>
            {
                let after = logs.cursor(conference.id(), &seat.device).await;
                RoomOrder::Seat(control::Seat { after, ..seat })
            }
            (_, order) => order,
        }
    }

    /// Gives one order to a relay that is not the conference's any more.
    pub(crate) async fn order(&self, conference: &Conference, relay: &str, order: RoomOrder) {
        if let Err(error) = self.relays.order(relay, conference.id(), order).await {
            warn!(relay, conference = %conference.id(), %error, "an order went nowhere");
        }
    }

    async fn say(&self, effect: SipEffect) {
        if self.sip.send(effect).await.is_err() {
            warn!("the front is gone");
        }
    }
}
