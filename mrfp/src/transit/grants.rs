//! The URIs this relay has handed out (RFC 4976, 6.3): whose each is, how long it lives, and where a message goes that
//! names it. Pure: it knows connections by their names only, and time is an argument.
//!
//! ```text
//!  peer ──────► [uri, …] ──────► owner        anybody who knows the URI reaches its owner, and nobody else
//!  owner ─────► [uri, peer, …] ─► peer        only its owner can go further with it
//! ```
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use msrp::{Path, Uri};

use crate::forward;

/// A connection: the thread that serves it, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// Which shard.
    pub shard: usize,
    /// Its number on that shard.
    pub connection: u64,
}

/// Who got a URI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A client: the URI is good on this connection only, and dies with it.
    Client(Hop),
    /// A relay that proved this name with its certificate: the URI is good on any connection with it.
    Relay(String),
}

/// Who a request comes from.
#[derive(Clone, Debug)]
pub struct Previous<'a> {
    /// The connection.
    pub hop: Hop,
    /// The name it proved, if it is a relay.
    pub relay: Option<&'a str>,
}

/// Where a request goes that may pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// To-Path behind us.
    pub to: Path,
    /// From-Path behind us.
    pub from: Path,
    /// The connection to use, if it is known.
    pub next: Next,
}

/// The next hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This connection.
    Hop(Hop),
    /// Whoever this URI, the first of To-Path, names: no connection with it is known. It is dialled for the user whose URI
    /// the request came by.
    Dial(Uri, Arc<str>),
}

/// Why a request may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Barred {
    /// The first URI of To-Path is none of ours, or lives no more.
    NotOurs,
    /// It ends here, and there is nobody here.
    EndsHere,
    /// Neither does it come from the URI's owner, nor does it go there.
    NotTheOwners,
    /// Behind us its From-Path would be more than the next hop reads.
    TooLong,
}

impl Barred {
    /// The label of the metric.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NotOurs => "not_ours",
            Self::EndsHere => "ends_here",
            Self::NotTheOwners => "not_the_owners",
            Self::TooLong => "too_long",
        }
    }
}

/// How many URIs there may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// In all.
    pub uris_max: usize,
    /// Of the clients of one connection. A relay asks for many users on one, and each of them is bounded.
    pub per_connection_max: usize,
    /// Of one user, on whatever connections and over whatever relays.
    pub per_user_max: usize,
}

/// Who asks for a URI.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Whose it will be.
    pub owner: Owner,
    /// The connection that it is asked for on.
    pub on: Hop,
    /// Whose password was proved.
    pub user: Arc<str>,
}

/// More URIs than may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// Addresses of the far side that one URI remembers: a session has one, and another after it moved.
const PEERS_MAX: usize = 4;

/// How often URIs that have ended are looked for; until then they only take room.
const SWEEP: Duration = Duration::from_secs(5);

#[derive(Debug)]
struct Grant {
    uri: Uri,
    owner: Owner,
    /// On which connection it was asked for.
    asked_on: Hop,
    user: Arc<str>,
    /// The way to its owner: that connection, or a later one of the same relay. None: that has ended.
    through: Option<Hop>,
    until: Instant,
    /// By which connections the far side came, and the URI it gave as its own.
    peers: Vec<(Uri, Hop)>,
}

/// All of them, by session-id.
#[derive(Debug)]
pub struct Grants {
    bounds: Bounds,
    grants: HashMap<String, Grant>,
    /// How many were asked for on each connection.
    counts: HashMap<Hop, usize>,
    /// How many each user has.
    users: HashMap<Arc<str>, usize>,
    /// For how many each connection is a way to the far side.
    peers: HashMap<Hop, usize>,
    swept: Option<Instant>,
}

impl Grants {
    /// None yet.
    pub fn new(bounds: Bounds) -> Self {
        let (grants, counts, peers) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { bounds, grants, counts, users: HashMap::new(), peers, swept: None }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.grants.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty()
    }

    /// Hands out `uri`, which has a session-id that nobody can guess.
    pub fn add(
        &mut self,
        uri: Uri,
        Asker { owner, on: asked_on, user }: Asker,
        now: Instant,
        lifetime: Duration,
    ) -> Result<(), TooMany> {
        self.sweep(now);
        let count = self.counts.get(&asked_on).copied().unwrap_or_default();
        let of_user = self.users.get(&user).copied().unwrap_or_default();
        let crowded = matches!(owner, Owner::Client(_)) && count >= self.bounds.per_connection_max;
        let full = self.grants.len() >= self.bounds.uris_max;
        if full || crowded || of_user >= self.bounds.per_user_max {
            return Err(TooMany);
        }
        let id = uri.session_id().unwrap_or_default().to_owned();
        self.counts.insert(asked_on, count + 1);
        self.users.insert(Arc::clone(&user), of_user + 1);
        let until = now + lifetime;
        let through = Some(asked_on);
        let grant = Grant { uri, owner, asked_on, user, through, until, peers: Vec::new() };
        self.grants.insert(id, grant);
        Ok(())
    }

    /// The living URI that this one is.
    fn find(&self, uri: &Uri, now: Instant) -> Option<&Grant> {
        let grant = self.grants.get(uri.session_id()?)?;
        (grant.until > now && grant.uri == *uri).then_some(grant)
    }

    /// Whether it is one of ours, and lives.
    pub fn is_ours(&self, uri: &Uri, now: Instant) -> bool {
        self.find(uri, now).is_some()
    }

    /// Whether a connection is of use to any URI: who has one on it, or who comes by it to one.
    pub fn uses(&self, hop: Hop) -> bool {
        self.counts.contains_key(&hop) || self.peers.contains_key(&hop)
    }

    /// Where a request with these paths goes (RFC 4976, 6.4). Two clients may use one relay: then its URIs follow one
    /// another, and each is checked.
    pub fn way(
        &mut self,
        (to, from): (&Path, &Path),
        previous: &Previous<'_>,
        now: Instant,
    ) -> Result<Way, Barred> {
        let (mut to, mut from) = (to.clone(), from.clone());
        let mut outside = true;
        loop {
            let uri = to.first().clone();
            let grant = self.find(&uri, now).ok_or(Barred::NotOurs)?;
            let rest = to.behind_first().ok_or(Barred::EndsHere)?;
            let behind = from.preceded_by(grant.uri.clone());
            let before = std::mem::replace(&mut from, behind);
            let to_ours = self.is_ours(rest.first(), now);
            let from_owner = outside && grant.is_of(previous);
            if from_owner && to_ours {
                (to, outside) = (rest, false);
                continue;
            }
            // From us back to us is no way to any owner.
            if to_ours {
                return Err(Barred::NotTheOwners);
            }
            let next = match from_owner {
                true => grant.outwards(rest.first()),
                false => grant.inwards(rest.first()).ok_or(Barred::NotTheOwners)?,
            };
            if !forward::is_readable(&from) {
                return Err(Barred::TooLong);
            }
            if outside {
                self.note(&uri, before.first(), (previous.hop, from_owner));
            }
            return Ok(Way { to: rest, from, next });
        }
    }

    /// The far side is reached by the connection that it came on first; another that claims its URI does not get what
    /// is sent to it. A relay that came back is reached by its new connection.
    fn note(&mut self, uri: &Uri, before: &Uri, (hop, from_owner): (Hop, bool)) {
        let Some(grant) = uri.session_id().and_then(|id| self.grants.get_mut(id)) else { return };
        if from_owner {
            grant.through.get_or_insert(hop);
            return;
        }
        if grant.peers.iter().any(|(known, _)| known == before) || grant.peers.len() == PEERS_MAX {
            return;
        }
        grant.peers.push((before.detached(), hop));
        *self.peers.entry(hop).or_default() += 1;
    }

    /// A connection has ended: the URIs that are good on it only have, too.
    pub fn lose(&mut self, hop: Hop) {
        if self.counts.contains_key(&hop) {
            self.remove_where(|grant| grant.owner == Owner::Client(hop));
        }
        if self.uses(hop) {
            self.peers.remove(&hop);
            for grant in self.grants.values_mut() {
                grant.peers.retain(|(_, peer)| *peer != hop);
                grant.through = grant.through.filter(|through| *through != hop);
            }
        }
    }

    /// Forgets what has ended, now and then.
    pub fn sweep(&mut self, now: Instant) {
        let due = |swept: Instant| now.saturating_duration_since(swept) >= SWEEP;
        if self.swept.is_none_or(due) {
            self.swept = Some(now);
            self.remove_where(|grant| grant.until <= now);
        }
    }

    fn remove_where(&mut self, ended: impl Fn(&Grant) -> bool) {
        let Self { grants, counts, users, peers, .. } = self;
        for (_, grant) in grants.extract_if(|_, grant| ended(grant)) {
            lower(counts, &grant.asked_on);
            lower(users, &grant.user);
            grant.peers.iter().for_each(|(_, hop)| lower(peers, hop));
        }
    }
}

fn lower<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

impl Grant {
    fn is_of(&self, previous: &Previous<'_>) -> bool {
        match &self.owner {
            Owner::Client(hop) => *hop == previous.hop,
            Owner::Relay(name) => {
                previous.relay.is_some_and(|proved| proved.eq_ignore_ascii_case(name))
            }
        }
    }

    /// From the owner to the far side.
    fn outwards(&self, next: &Uri) -> Next {
        let known = self.peers.iter().find(|(peer, _)| peer == next);
        known.map_or_else(|| self.dial(next), |(_, hop)| Next::Hop(*hop))
    }

    fn dial(&self, next: &Uri) -> Next {
        Next::Dial(next.detached(), Arc::clone(&self.user))
    }

    /// To the owner: a client has its connection, a relay the one the URI was asked for on, or another.
    fn inwards(&self, next: &Uri) -> Option<Next> {
        match &self.owner {
            Owner::Client(hop) => Some(Next::Hop(*hop)),
            Owner::Relay(name) => {
                let known = || self.through.map_or_else(|| self.dial(next), Next::Hop);
                next.host().eq_ignore_ascii_case(name).then(known)
            }
        }
    }
}

#[cfg(test)]
mod tests;
