//! Connections that we open so that messages can pass on (RFC 4976, 5.2 and 6.4.2): one for each host and port, opened
//! when first needed and used again. Whether a host may be dialled at all is for `transit/rules`; what leaves over the
//! connection is the connection's business, as if it had come in.
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use msrp::Uri;
use service::clock;

use crate::brake::Brake;
use crate::connection::{Held, Passing, undeliverable};
use crate::dial::{self, At, Peer};
use crate::doors::Errand;
use crate::plane::Plane;
use crate::shard::Shard;
use crate::transit::grants::Hop;

/// A host, and its port if the URI names one (RFC 4976, 8).
pub(crate) type Target = (String, Option<u16>);

/// How long a connection is kept without a use, and how often that is looked at.
const KEPT: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_secs(20);

/// Hosts that are being dialled at one time, and those of them for one user, on however many connections: who names hosts
/// that never answer leaves others their share. What may wait for one of them.
const DIALLING_MAX: usize = 256;
const DIALLING_FOR_ONE_MAX: usize = 16;
const WAITING_OCTETS_MAX: usize = 16 * 1024 * 1024;

/// Where we have connected to, or are about to.
#[derive(Debug, Default)]
pub(crate) struct Dials(Mutex<HashMap<Target, Dial>>);

#[derive(Debug)]
enum Dial {
    /// What waits for the connection.
    Under {
        way: Vec<Passing>,
        octets: usize,
        brake: Arc<Brake>,
        /// For which user it was begun.
        by: Arc<str>,
    },
    Open(Hop),
}

/// What becomes of something that is to pass on.
enum Queued {
    /// It is on its way, or waits for the connection; whose brake is to be minded.
    Done(Option<Arc<Brake>>),
    /// It waits, and somebody has to dial.
    Dial(Target, Arc<Brake>),
    /// Too much waits already.
    Full(Passing),
}

impl Dials {
    fn lock(&self) -> MutexGuard<'_, HashMap<Target, Dial>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(&self, target: Target, by: &Arc<str>, mut passing: Passing, plane: &Plane) -> Queued {
        let octets = passing.octets();
        let mut dials = self.lock();
        let full = !dials.contains_key(&target) && is_full(&dials, by);
        match dials.entry(target) {
            Entry::Occupied(mut known) => match known.get_mut() {
                Dial::Open(hop) => Queued::Done(hand_over(plane, *hop, passing)),
                Dial::Under { octets: waiting, .. } if *waiting + octets > WAITING_OCTETS_MAX => {
                    Queued::Full(passing)
                }
                Dial::Under { way, octets: waiting, brake, .. } => {
                    *waiting += octets;
                    passing.wait_for(Some(Arc::clone(brake)));
                    way.push(passing);
                    Queued::Done(Some(Arc::clone(brake)))
                }
            },
            Entry::Vacant(_) if full => Queued::Full(passing),
            Entry::Vacant(place) => {
                let target = place.key().clone();
                let brake = Arc::new(Brake::new(plane.limits.pair_marks()));
                passing.wait_for(Some(Arc::clone(&brake)));
                let (way, waits) = (vec![passing], Arc::clone(&brake));
                place.insert(Dial::Under { way, octets, brake: waits, by: Arc::clone(by) });
                Queued::Dial(target, brake)
            }
        }
    }

    /// The connection stands. What waited goes first: nobody else can hand anything over meanwhile.
    fn opened(&self, target: &Target, hop: Hop, plane: &Plane) {
        let mut dials = self.lock();
        if let Some(Dial::Under { way, .. }) = dials.insert(target.clone(), Dial::Open(hop)) {
            way.into_iter().for_each(|passing| drop(hand_over(plane, hop, passing)));
        }
    }

    /// Nobody is there.
    fn failed(&self, target: &Target) -> Vec<Passing> {
        match self.lock().remove(target) {
            Some(Dial::Under { way, .. }) => way,
            _ => Vec::new(),
        }
    }

    /// A connection has ended; the next message dials again.
    pub(crate) fn lose(&self, hop: Hop) {
        self.lock().retain(|_, dial| !matches!(dial, Dial::Open(open) if *open == hop));
    }
}

/// Whether no other host may be dialled now for this user.
fn is_full(dials: &HashMap<Target, Dial>, by: &str) -> bool {
    let (mut all, mut own) = (0, 0);
    for dial in dials.values() {
        if let Dial::Under { by: other, .. } = dial {
            all += 1;
            own += usize::from(**other == *by);
        }
    }
    all >= DIALLING_MAX || own >= DIALLING_FOR_ONE_MAX
}

fn hand_over(plane: &Plane, hop: Hop, mut passing: Passing) -> Option<Arc<Brake>> {
    let brake = plane.transit.as_ref().and_then(|transit| transit.brake_of(hop));
    passing.wait_for(brake.clone());
    let errand = Errand::Pass { connection: hop.connection, passing: Box::new(passing) };
    plane.doors.push(hop.shard, errand);
    brake
}

/// Sends something for a user to the host of `uri`, which is dialled if need be, and says whose brake is to be
/// minded.
pub(crate) fn pass(
    shard: &Rc<Shard>,
    (by, uri): (&Arc<str>, &Uri),
    passing: Passing,
) -> Option<Arc<Brake>> {
    let transit = shard.plane.transit.as_ref()?;
    if let Err(forbidden) = transit.rules.may_dial(uri) {
        let label = forbidden.label();
        shard.plane.metrics.transit_refusals.with_label_values(&[label]).inc();
        tracing::debug!(host = uri.host(), reason = label, "not dialled");
        undeliverable(shard, passing);
        return None;
    }
    let target = (uri.host().to_ascii_lowercase(), uri.port());
    match transit.dials.queue(target, by, passing, &shard.plane) {
        Queued::Done(brake) => brake,
        Queued::Dial(target, brake) => {
            tokio::task::spawn_local(connect(Rc::clone(shard), target, uri.detached()));
            Some(brake)
        }
        Queued::Full(passing) => {
            undeliverable(shard, passing);
            None
        }
    }
}

async fn connect(shard: Rc<Shard>, target: Target, uri: Uri) {
    let Some(transit) = &shard.plane.transit else { return };
    let whom = dial::Target { uri, to: None, peer: Peer::Authority, at: At::Allowed };
    match dial::dial(&shard, &whom).await {
        Ok(held) => {
            held.dialled(&shard, &target.0, clock::now());
            let hop = Hop { shard: shard.index, connection: held.number };
            transit.dials.opened(&target, hop, &shard.plane);
            keep(held).await;
            transit.dials.lose(hop);
        }
        Err(error) => {
            tracing::debug!(host = target.0, port = ?target.1, %error, "not reached");
            for passing in transit.dials.failed(&target) {
                undeliverable(&shard, passing);
            }
        }
    }
}

/// Holds a connection as long as it is of use (RFC 4976, 5.4).
async fn keep(held: Held) {
    while held.is_alive() {
        tokio::time::sleep(LOOK).await;
        let unused = held.last_use().map(|used| clock::now().saturating_duration_since(used));
        if unused.is_none_or(|unused| unused >= KEPT) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_hosts_that_hang_uses_up_its_own_share_and_no_others() {
        let mut dials = HashMap::new();
        let mut dial = |n: usize, by: &str| {
            if is_full(&dials, by) {
                return false;
            }
            let brake = Arc::new(Brake::new(crate::brake::Marks { high: 1, low: 0 }));
            let dial = Dial::Under { way: Vec::new(), octets: 0, brake, by: by.into() };
            dials.insert((format!("h{n}.example"), None), dial).is_none()
        };

        let mallory = (0..100).filter(|n| dial(*n, "mallory")).count();
        let others = (100..600).filter(|n| dial(*n, &format!("user{n}"))).count();

        assert_eq!(mallory, DIALLING_FOR_ONE_MAX);
        assert_eq!(mallory + others, DIALLING_MAX);
    }
}
