//! Connections that the relay opened, and the identity of a far end: sessions are put on it without a request of the
//! peer, and it ends when nobody needs it any more. Whom to connect to, and over which way, is for `dial`.
use std::ops::Deref;
use std::rc::Rc;
use std::time::Instant;

use control::{Cause, Transport};
use ids::SeatId;
use msrp::{Head, MessageId, Path, SendRequest};
use rustls::pki_types::UnixTime;
use service::clock;
use service::tls::{Authority, Named};
use tokio::net::TcpStream;

use super::{Connection, run};
use crate::registry::Ticket;
use crate::relay::RoomId;
use crate::session::Refusal;
use crate::shard::Shard;
use crate::wire::Wire;

/// A use of a connection that the relay opened. When the last is gone, and no session is left, the connection ends.
pub(crate) struct Held(Rc<Connection>);

impl Deref for Held {
    type Target = Rc<Connection>;

    fn deref(&self) -> &Rc<Connection> {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.holds.update(|holds| holds - 1);
        self.0.end_if_idle();
    }
}

/// Serves a socket that the relay has connected, and starts its handshake.
pub(crate) fn serve(
    shard: &Rc<Shard>,
    socket: TcpStream,
    (transport, wire): (Transport, Wire),
    now: Instant,
) -> Result<Held, &'static str> {
    if !shard.plane.place_on(shard.index) {
        return Err("connections");
    }
    let (read, write) = socket.into_split();
    let connection = Connection::add(shard, (transport, wire), write, (None, None), now);
    let held = connection.hold();
    tokio::task::spawn_local(run(Rc::clone(&connection), read, Rc::clone(shard)));
    connection.mark_dirty(shard);
    Ok(held)
}

impl Connection {
    /// One more use.
    pub(crate) fn hold(self: &Rc<Self>) -> Held {
        self.holds.update(|holds| holds + 1);
        Held(Rc::clone(self))
    }

    /// Whether nothing needs it: no session, and nobody who holds it.
    pub(super) fn is_idle(&self) -> bool {
        self.holds.get() == 0
            && !self.is_used_through()
            && self.sessions.try_borrow().is_ok_and(|all| all.is_empty())
    }

    pub(super) fn end_if_idle(&self) {
        if self.is_idle() {
            self.end(Cause::Disconnected);
        }
    }

    /// Whether it can still be used.
    pub(crate) fn is_alive(&self) -> bool {
        self.ending.get().is_none()
    }

    /// Waits until both ends are agreed; false if they never are.
    pub(crate) async fn agreed(&self) -> bool {
        loop {
            let changed = self.agreement.notified();
            if !self.is_alive() {
                return false;
            }
            if !self.wire.borrow().is_handshaking() {
                return true;
            }
            changed.await;
        }
    }

    /// Puts a session on it, with the relay as the active side: its first request leaves at once (RFC 4975, 5.4).
    pub(crate) fn sit(
        self: &Rc<Self>,
        shard: &Rc<Shard>,
        ticket: Ticket,
        peer: Path,
    ) -> Result<(), Refusal> {
        let own = ticket.own.clone();
        let session_id = own.session_id().ok_or(Refusal::NoSession)?.to_owned();
        let mut seated = self.sit_down(shard, ticket, (peer, own))?;
        let frame = {
            let rng = &mut *shard.rng.borrow_mut();
            SendRequest::bodiless(MessageId::random(rng)).encode(rng).to(&seated.address)
        };
        seated.binding = Some(frame.payload.transaction());
        self.sessions.borrow_mut().insert(session_id, Box::new(seated));
        self.reply(Some(frame), shard);
        Ok(())
    }

    /// Whether this answers the request that was to bind a session. One that was turned down is none.
    pub(super) fn binding_answered(self: &Rc<Self>, shard: &Shard, head: &Head) -> bool {
        let bound = {
            let mut sessions = self.sessions.borrow_mut();
            let mut all = sessions.values_mut();
            let found = all.find(|seated| seated.binding == Some(head.transaction()));
            found.map(|seated| {
                seated.binding = None;
                seated.lane
            })
        };
        if let Some(lane) = bound
            && head.status().is_some_and(|status| !status.is_success())
        {
            self.fail(shard, lane, Cause::Misbehaved);
        }
        bound.is_some()
    }

    /// Whether the far end has shown, and holds the key of, one of these certificates.
    pub(super) fn shows(&self, named: &Named) -> bool {
        let wire = self.wire.borrow();
        wire.certificates().and_then(|chain| chain.first()).is_some_and(|own| named.has(own))
    }

    /// Whether the far end has proved a name, under the roots of `msrp.peer_ca_file` (RFC 4976, 9.2).
    pub(super) fn has_proved(&self, shard: &Shard, host: &str) -> bool {
        let Some(authority) = &shard.plane.peers else { return false };
        let wire = self.wire.borrow();
        let Some(chain) = wire.certificates() else { return false };
        let trusts = || {
            let since = clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            authority.trusts(chain, UnixTime::since_unix_epoch(since))
        };
        let proof = &mut self.through.borrow_mut().proof;
        proof.proves(host, trusts, || Authority::names(chain, host))
    }

    /// Somebody else than signalling named is at the far end: nothing is said to it (RFC 4975, 14.4).
    pub(super) fn is_impostor(&self, shard: &Shard) {
        tracing::debug!(self.number, "not the certificate that signalling named");
        shard.plane.metrics.identity_failures.inc();
        self.end(Cause::Misbehaved);
    }

    /// Signalling named other certificates for a seat.
    pub(crate) fn named(&self, shard: &Shard, room: RoomId, seat: SeatId) {
        let conference = {
            let sessions = self.sessions.borrow();
            let found = sessions.values().find(|seated| seated.is(room, seat));
            let Some(seated) = found else { return };
            seated.conference.clone()
        };
        let ticket = shard.plane.registry.ticket_of(&conference, seat);
        if let Some(named) = ticket.and_then(|ticket| ticket.named)
            && !self.shows(&named)
        {
            self.is_impostor(shard);
        }
    }
}
