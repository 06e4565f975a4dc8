//! Carrying out an order: finding the room, making or ending seats and their session-ids. It speaks no wire format and
//! keeps no numbers; `relay` puts what happens in a room into its order.
use std::sync::Arc;
use std::time::Instant;

use control::{Cause, Forget, Notice, Order, RoomNotice, RoomOrder};
use ids::{ConferenceId, SeatId};
use msrp::{MessageId, Path, Uri, random_session_id};
use rand::RngCore;

use super::reach::{self, FarEnd};
use crate::doors::Errand;
use crate::drain::Drain;
use crate::plane::Plane;
use crate::registry::Ticket;
use crate::relay::Relay;
use crate::room::Room;
use crate::transit::Transit;

/// Carries out orders on a plane.
#[derive(Debug)]
pub(crate) struct Carrier {
    plane: Arc<Plane>,
    drain: Drain,
}

impl Carrier {
    pub(crate) fn new(plane: Arc<Plane>, drain: Drain) -> Self {
        Self { plane, drain }
    }

    pub(crate) fn carry(&self, order: Order, now: Instant, rng: &mut impl RngCore) {
        match order {
            Order::Drain { deadline } => self.drain.order(deadline),
            Order::Auth(answer) => self.auth_answered(answer),
            Order::Room { conference, order: RoomOrder::Open(room) } => {
                self.open(conference, &room, now);
            }
            Order::Room { conference, order } => match self.plane.registry.room(&conference) {
                Some(relay) => self.in_room(&conference, &relay, order, now, rng),
                None => tracing::debug!(%conference, "an order for a room that is not open"),
            },
        }
    }

    /// The focus has the charge of a message on disk.
    pub(crate) fn charged(&self, conference: &ConferenceId, id: &str) {
        if let Some(relay) = self.plane.registry.room(conference)
            && let Some(id) = MessageId::parse(id.as_bytes())
        {
            relay.charged(id);
        }
    }

    /// Brings the focus's word to the connection that asked, if it is still there and waits.
    fn auth_answered(&self, answer: control::AuthAnswer) {
        let transit = self.plane.transit.as_ref();
        if let Some(hop) = transit.and_then(|transit| transit.take_asked(answer.request)) {
            let errand = Errand::Auth { connection: hop.connection, answer: Box::new(answer) };
            self.plane.doors.push(hop.shard, errand);
        }
    }

    fn open(&self, conference: ConferenceId, room: &control::Room, now: Instant) {
        let plane = &self.plane;
        if let Some(relay) = plane.registry.room(&conference) {
            relay.open(room, now);
            return;
        }
        tracing::debug!(%conference, term = %room.term, "room opened");
        let new = Room::new(conference.clone(), room, now);
        let relay = Relay::new(new, &plane.doors, &plane.focus, &plane.metrics, &plane.limits);
        plane.registry.add_room(conference, Arc::new(relay));
    }

    fn in_room(
        &self,
        conference: &ConferenceId,
        relay: &Arc<Relay>,
        order: RoomOrder,
        now: Instant,
        rng: &mut impl RngCore,
    ) {
        match order {
            RoomOrder::Open(room) => relay.open(&room, now),
            RoomOrder::Close { reason } => {
                tracing::debug!(%conference, reason, "room closed");
                self.close(conference);
            }
            RoomOrder::Seat(seat) => self.seat(conference, relay, &seat, now, rng),
            RoomOrder::Unseat { seat, reason } => {
                tracing::debug!(%conference, %seat, reason, "unseated");
                self.unseat(conference, relay, seat);
            }
            RoomOrder::Gate(gate) => relay.move_gate(gate, now),
            RoomOrder::Broadcast { key, cpim, gate } => {
                relay.broadcast((key, cpim, gate), now, rng);
            }
            RoomOrder::Deliver { seat, cpim, .. } => relay.deliver(seat, cpim, now, rng),
            RoomOrder::Stored(number) => relay.stored(number),
            RoomOrder::Unstored(number) => relay.unstored(number),
            RoomOrder::Purge => relay.purge(),
            RoomOrder::Page(page) => relay.page(page, now, rng),
            RoomOrder::NicknameAnswer { seat, request, status } => {
                relay.nickname_answered(seat, request, status);
            }
        }
    }

    fn seat(
        &self,
        conference: &ConferenceId,
        relay: &Arc<Relay>,
        seat: &control::Seat,
        now: Instant,
        rng: &mut impl RngCore,
    ) {
        let registry = &self.plane.registry;
        let known = registry.ticket_of(conference, seat.seat);
        let FarEnd { path: peer, named } = match FarEnd::read(seat) {
            Ok(far_end) => far_end,
            Err(error) => {
                tracing::warn!(%conference, seat = %seat.seat, error, "a seat for nobody");
                return self.tell(
                    conference,
                    RoomNotice::Lost { seat: seat.seat, cause: Cause::Misbehaved },
                );
            }
        };
        if known.is_none() && self.plane.is_draining() {
            return self.tell(
                conference,
                RoomNotice::Lost { seat: seat.seat, cause: Cause::Disconnected },
            );
        }
        if relay.has_no_place_for(seat.seat) {
            tracing::warn!(%conference, seat = %seat.seat, "a one-to-one session has two legs");
            return self
                .tell(conference, RoomNotice::Lost { seat: seat.seat, cause: Cause::Misbehaved });
        }
        relay.seat(seat, now + self.plane.bind_wait());
        let own = match known {
            Some(ticket) => {
                if let Some(peer) = peer {
                    registry.set_peer(conference, seat.seat, (peer, seat.matching));
                }
                ticket.own
            }
            None => match self.mint(conference, relay, (seat, peer), rng) {
                Some(own) => own,
                None => {
                    let cause = Cause::Misbehaved;
                    relay.unseat(seat.seat);
                    return self.tell(conference, RoomNotice::Lost { seat: seat.seat, cause });
                }
            },
        };
        reach::follow(&self.plane, (conference, relay), seat, named);
        let path = own.as_str().to_owned();
        self.tell(conference, RoomNotice::Seated { seat: seat.seat, path });
    }

    /// A URI nobody can guess (RFC 4975, 14.1), and the ticket behind it.
    fn mint(
        &self,
        conference: &ConferenceId,
        relay: &Arc<Relay>,
        (seat, peer): (&control::Seat, Option<Path>),
        rng: &mut impl RngCore,
    ) -> Option<Uri> {
        let session_id = random_session_id(rng);
        let transport = seat.reach.transport;
        let Some(text) = self.plane.authorities.uri(transport, &session_id) else {
            tracing::warn!(%conference, seat = %seat.seat, ?transport, "a transport that is off");
            return None;
        };
        let own: Uri = match text.parse() {
            Ok(own) => own,
            Err(error) => {
                tracing::error!(%error, "msrp.advertise makes no MSRP URI");
                return None;
            }
        };
        let relay = Arc::clone(relay);
        let (seat, matching) = (seat.seat, seat.matching);
        let ticket = Ticket {
            relay,
            seat,
            transport,
            own: own.clone(),
            peer,
            matching,
            named: None,
            dialled: false,
        };
        self.plane.registry.add_ticket(conference, session_id, ticket);
        Some(own)
    }

    fn tell(&self, conference: &ConferenceId, notice: RoomNotice) {
        let told = self.plane.focus.notice(Notice::room(conference.clone(), notice));
        if told.is_err() {
            self.plane.focus.note_overrun();
        }
    }

    fn unseat(&self, conference: &ConferenceId, relay: &Relay, seat: SeatId) {
        relay.unseat(seat);
        self.plane.registry.remove_ticket(relay, conference, seat);
    }

    fn close(&self, conference: &ConferenceId) {
        let Some(relay) = self.plane.registry.remove_room(conference) else { return };
        for seat in relay.close() {
            self.plane.registry.remove_ticket(&relay, conference, seat);
        }
    }

    /// Ends what a full resend did not name.
    pub(crate) fn forget(&self, forget: Forget) {
        forget.rooms.iter().for_each(|conference| self.close(conference));
        for (conference, seat) in &forget.seats {
            if let Some(relay) = self.plane.registry.room(conference) {
                self.unseat(conference, &relay, *seat);
            }
        }
    }

    /// Ends every room: the books were lost, and the focus will say again what it wants.
    pub(crate) fn start_anew(&self) {
        for relay in self.plane.registry.rooms() {
            self.close(&relay.conference());
        }
    }

    /// Ends the seats nobody came for.
    pub(crate) fn end_overdue(&self, now: Instant) {
        for relay in self.plane.registry.rooms() {
            for seat in relay.end_overdue(now) {
                self.plane.registry.remove_ticket(&relay, &relay.conference(), seat);
                self.plane.metrics.sessions_closed.with_label_values(&["never_bound"]).inc();
            }
        }
    }

    /// What rooms with a log tell now and then.
    pub(crate) fn tend_logs(&self, now: Instant, rng: &mut impl RngCore) {
        self.plane.registry.rooms().iter().for_each(|relay| relay.tend_log(now, rng));
    }

    /// Brings the gauges up to date.
    pub(crate) fn measure(&self) {
        let (plane, metrics) = (&self.plane, &self.plane.metrics);
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        metrics.rooms.set(whole(plane.registry.room_count()));
        metrics.seats.set(whole(plane.registry.seat_count()));
        metrics.queued_octets.set(whole(plane.queued()));
        metrics.transit_uris.set(whole(plane.transit.as_ref().map_or(0, Transit::len)));
        metrics.notices_waiting.set(whole(plane.focus.link().waiting()));
    }
}
