//! How a seat is reached, as its order says: which certificates its participant may show, and whether the relay connects
//! to it. Seats themselves are for `carry`.
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use ids::ConferenceId;
use msrp::Path;
use service::tls::Named;

use crate::doors::Errand;
use crate::plane::Plane;
use crate::relay::Relay;

/// What an order says of the far end of a seat, read.
pub(super) struct FarEnd {
    pub(super) path: Option<Path>,
    pub(super) named: Option<Arc<Named>>,
}

impl FarEnd {
    /// What is wrong with it is for the log.
    pub(super) fn read(seat: &control::Seat) -> Result<Self, String> {
        let path = seat.peer_path.as_deref().map(str::parse::<Path>).transpose();
        let path = path.map_err(|error| error.to_string())?;
        let lines = &seat.reach.fingerprints;
        let named = match lines.is_empty() {
            true => None,
            false => Some(Named::parse(lines.iter().map(String::as_str))),
        };
        let named = named.transpose().map_err(|error| error.to_string())?;
        Ok(Self { path, named: named.map(Arc::new) })
    }
}

/// Follows what an order says of a seat that has its ticket.
pub(super) fn follow(
    plane: &Plane,
    (conference, relay): (&ConferenceId, &Relay),
    seat: &control::Seat,
    named: Option<Arc<Named>>,
) {
    let registry = &plane.registry;
    if named.is_some() && registry.set_named(conference, seat.seat, named) {
        // Wherever it sits: who came before its certificate was named must be the one.
        for shard in 0..plane.doors.count() {
            plane.doors.push(shard, Errand::Named { room: relay.id, seat: seat.seat });
        }
    }
    if let Some(dial) = &seat.reach.dial
        && let Some(peer) = registry.start_dial(conference, seat.seat)
    {
        let shard = plane.shard_for(peer.host(), peer.port());
        let seat = (conference.clone(), seat.seat);
        plane.doors.push(shard, Errand::Dial { seat, to: dial.to.clone() });
    }
}

impl Plane {
    /// The shard that connects to this host and port, so that sessions can share a connection.
    pub(crate) fn shard_for(&self, host: &str, port: Option<u16>) -> usize {
        let mut hasher = DefaultHasher::new();
        (host.to_ascii_lowercase(), port).hash(&mut hasher);
        let shards = u64::try_from(self.doors.count()).unwrap_or(1).max(1);
        usize::try_from(hasher.finish() % shards).unwrap_or_default()
    }
}
