//! The relay of RFC 4976 for one-to-one sessions: clients that have proved a password get a URI, and whatever names it
//! passes between its owner and the far side. Rooms know nothing of it, and it knows nothing of rooms. What a request
//! on a connection leads to is in `connection/transit`; here is what all connections share.
//!
//! ```text
//!  AUTH ─► auth ─► focus ─► grants           SEND, REPORT, … ─► grants::way ─► the next hop's connection
//!            │ 401                                                  │ Barred        │ forward::Ledger
//!            ▼                                                      ▼               ▼
//!          client                                              481, 403       REPORT to the sender
//! ```
//!
//! **No open relay.** A request passes only from the owner of a URI or to it, never between two others. Who is no owner
//! reaches nobody but the owner, and nothing is dialled for them. What is dialled for an owner is what the operator has
//! allowed, by default nothing: then messages pass between those who have connected here themselves.
pub mod grants;
mod rules;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use msrp::{Path, Uri, random_session_id};
use rand::RngCore;

use crate::auth::Auth;
use crate::brake::Brake;
use crate::config;
use crate::dials::Dials;
use crate::forward;
use grants::{Asker, Barred, Bounds, Grants, Hop, Previous, TooMany, Way};

pub(crate) use rules::Rules;

/// What the connections of a relay share about passing messages on.
#[derive(Debug)]
pub(crate) struct Transit {
    pub(crate) rules: Rules,
    auth: Mutex<Auth>,
    grants: Mutex<Grants>,
    /// Which connection waits for the focus's word, by the number of the question.
    asked: Mutex<HashMap<u64, Hop>>,
    /// The connections that we opened.
    pub(crate) dials: Dials,
    /// What waits for each connection that something may pass on to.
    brakes: Mutex<HashMap<Hop, Arc<Brake>>>,
    /// Has as many holders besides this one as requests are on their way.
    flights: Flight,
}

/// A request that is coming in, waits, has no answer yet, or began a message that has not ended: each holds one until
/// nothing more is owed for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flight(Arc<()>);

impl Transit {
    /// None where the relay is off. `authority` is where participants connect.
    pub(crate) fn new(
        config: &config::Relay,
        authority: &str,
        now: Instant,
        rng: &mut impl RngCore,
    ) -> Option<Self> {
        let rules = Rules::new(config, authority)?;
        let bounds = Bounds {
            uris_max: config.uris_max,
            per_connection_max: config.uris_per_connection_max,
            per_user_max: config.uris_per_user_max,
        };
        Some(Self {
            auth: Mutex::new(Auth::new(rules.policy(), now, rng)),
            grants: Mutex::new(Grants::new(bounds)),
            asked: Mutex::default(),
            dials: Dials::default(),
            brakes: Mutex::default(),
            flights: Flight::default(),
            rules,
        })
    }

    pub(crate) fn auth(&self) -> MutexGuard<'_, Auth> {
        self.auth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grants(&self) -> MutexGuard<'_, Grants> {
        self.grants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<u64, Hop>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a ledger of this relay may hold.
    pub(crate) fn ledger(&self) -> forward::Limits {
        forward::Limits { unanswered_max: UNANSWERED_MAX, answer: self.rules.answer }
    }

    /// Notes which connection waits for an answer. False: too many wait.
    pub(crate) fn note_asked(&self, request: u64, hop: Hop) -> bool {
        let mut asked = self.asked();
        let full = asked.len() >= self.rules.asked_max;
        match asked.entry(request) {
            Entry::Vacant(place) if !full => {
                place.insert(hop);
                true
            }
            _ => false,
        }
    }

    /// Which connection waits for this answer. It is asked once.
    pub(crate) fn take_asked(&self, request: u64) -> Option<Hop> {
        self.asked().remove(&request)
    }

    /// Hands out a URI nobody can guess: 128 random bits (RFC 4976, 6.3).
    pub(crate) fn grant(
        &self,
        asker: Asker,
        now: Instant,
        lifetime: Duration,
        rng: &mut impl RngCore,
    ) -> Result<Uri, TooMany> {
        let text = format!("msrps://{}/{};tcp", self.rules.authority, random_session_id(rng));
        // The rules have been checked with a session-id of this form.
        let uri: Uri = text.parse().map_err(|_| TooMany)?;
        self.grants().add(uri.clone(), asker, now, lifetime)?;
        Ok(uri)
    }

    /// Where a request with these paths goes, if anywhere.
    pub(crate) fn way(
        &self,
        paths: (&Path, &Path),
        previous: &Previous<'_>,
        now: Instant,
    ) -> Result<Way, Barred> {
        self.grants().way(paths, previous, now)
    }

    fn brakes(&self) -> MutexGuard<'_, HashMap<Hop, Arc<Brake>>> {
        self.brakes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something may pass on to this connection.
    pub(crate) fn note_brake(&self, hop: Hop, brake: &Arc<Brake>) {
        self.brakes().entry(hop).or_insert_with(|| Arc::clone(brake));
    }

    /// What waits for a connection.
    pub(crate) fn brake_of(&self, hop: Hop) -> Option<Arc<Brake>> {
        self.brakes().get(&hop).cloned()
    }

    /// Whether a connection is the way to somebody.
    pub(crate) fn uses(&self, hop: Hop, now: Instant) -> bool {
        let mut grants = self.grants();
        grants.sweep(now);
        grants.uses(hop)
    }

    /// A connection has ended.
    pub(crate) fn lose(&self, hop: Hop) {
        self.dials.lose(hop);
        self.brakes().remove(&hop);
        self.grants().lose(hop);
    }

    /// How many URIs there are.
    pub(crate) fn len(&self) -> usize {
        self.grants().len()
    }

    /// A request is on its way.
    pub(crate) fn begin(&self) -> Flight {
        self.flights.clone()
    }

    /// How many requests are on their way.
    pub(crate) fn in_flight(&self) -> usize {
        Arc::strong_count(&self.flights.0) - 1
    }
}

/// Chunks that may wait for the answers of one next hop before senders pause: 16 MiB of full pieces.
const UNANSWERED_MAX: usize = 256;
