//! The way of a one-to-one session through a relay: each side is told the relay's place for it, and the relay is told
//! what each side said of its own end (RFC 4975, 8; RFC 6135; RFC 8122). Pure. Which of two descriptions is the offer is
//! known by their order (RFC 3264, 4).
use bytes::Bytes;
use control::{Match, Reach, RoomOrder, Seat};
use ids::{Aor, ConferenceId, DeviceId, SeatId};
use sip::sdp::{BadSdp, Ends, Proto, Setup, Terms, Through, answer_terms, offer_terms};

use super::end::House;
use super::offer::peer_path;
use super::pairs::Side;
use crate::legs::Places;

/// The caller's seat; the callee's is the next.
const CALLER: SeatId = SeatId(1);
const CALLEE: SeatId = SeatId(2);

/// A session's place at a relay.
#[derive(Clone, Debug)]
pub(super) struct Media {
    pub(super) room: ConferenceId,
    pub(super) relay: String,
    house: House,
    places: Places,
    people: [(Aor, DeviceId); 2],
    /// Whose offer waits for its answer, and what we answer to it.
    offered: Option<(Side, Terms)>,
}

/// What becomes of a description: what the other side is told, and what the relay is.
pub(super) struct Passed {
    pub(super) description: Bytes,
    pub(super) order: RoomOrder,
}

/// The seat of one side, before anything is known of its end but the transport.
pub(super) fn seat(side: Side, person: &Aor, device: &DeviceId, reach: Reach) -> Seat {
    let id = match side {
        Side::Caller => CALLER,
        Side::Callee => CALLEE,
    };
    Seat { reach, ..Seat::new(id, person.clone(), device.clone()) }
}

/// What the relay must know of whoever offers this.
pub(super) fn reach_of(house: &House, offer: &[u8]) -> Result<Reach, BadSdp> {
    let through = Through::parse(offer)?;
    let terms = answer_terms(through.media())?;
    Ok(house.end(through.media(), &terms)?.reach())
}

impl Media {
    pub(super) fn new(
        room: ConferenceId,
        relay: String,
        house: House,
        places: Places,
        people: [(Aor, DeviceId); 2],
    ) -> Self {
        Self { room, relay, house, places, people, offered: None }
    }

    /// What was offered is not answered, or refused.
    pub(super) fn withdrawn(&mut self) {
        self.offered = None;
    }

    /// A description of this side, for the other one.
    pub(super) fn pass(&mut self, from: Side, description: &[u8]) -> Result<Passed, BadSdp> {
        let through = Through::parse(description)?;
        let answers = self.offered.take().filter(|(side, _)| *side != from);
        let (terms, setup, cema) = match answers {
            Some((_, given)) => (offer_terms(through.media())?, given.setup, given.cema),
            None => {
                let terms = answer_terms(through.media())?;
                self.offered = Some((from, terms.clone()));
                (terms, Setup::ActPass, true)
            }
        };
        let end = self.house.end(through.media(), &terms)?;
        let (path, fingerprint) = self.places.of(from.other());
        let secure = path.to_ascii_lowercase().starts_with("msrps:");
        if secure != (through.media().proto == Proto::TcpTlsMsrp) {
            return Err(BadSdp::Transport);
        }
        let description = through.write(&Ends { path, fingerprint, setup, cema });
        let [caller, callee] = &self.people;
        let (person, device) = match from {
            Side::Caller => caller,
            Side::Callee => callee,
        };
        let matching = if end.by_session_id { Match::SessionId } else { Match::Strict };
        let seat = Seat {
            peer_path: Some(peer_path(through.media())),
            matching,
            ..seat(from, person, device, end.reach())
        };
        Ok(Passed { description, order: RoomOrder::Seat(seat) })
    }
}
