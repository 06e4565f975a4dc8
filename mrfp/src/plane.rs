//! What all threads of a relay share: bounds, index, doors, books, counters. It decides nothing.
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;
use service::tls::{Authority, Live};

use crate::config::Limits;
use crate::doors::Doors;
use crate::focus::Focus;
use crate::listeners::Authorities;
use crate::metrics::Metrics;
use crate::pace::{Rates, Table};
use crate::places::Places;
use crate::registry::Registry;
use crate::resolve::Resolver;
use crate::session;
use crate::transit::Transit;
use crate::wire::Ways;

/// The shared state of one relay.
#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) limits: Limits,
    pub(crate) session_limits: session::Limits,
    pub(crate) rates: Rates,
    /// How often each network has connected of late.
    connects: Mutex<Table<IpAddr>>,
    /// `host:port` in the URIs we hand out.
    pub(crate) authorities: Authorities,
    pub(crate) ways: Ways,
    /// Who we are to those we connect to.
    pub(crate) identity: Arc<Live>,
    /// Under which roots peers prove their names; none: they cannot.
    pub(crate) peers: Option<Authority>,
    /// Where the hosts are that we connect to.
    pub(crate) resolver: Resolver,
    pub(crate) registry: Registry,
    pub(crate) doors: Arc<Doors>,
    pub(crate) focus: Arc<Focus>,
    pub(crate) metrics: Arc<Metrics>,
    /// The relay of RFC 4976, if it is on.
    pub(crate) transit: Option<Transit>,
    /// One for each connection that has no seat yet.
    pub(crate) places: Places,
    /// Connections of each shard.
    loads: Vec<AtomicUsize>,
    /// Octets that wait for connections that are behind.
    queued: AtomicUsize,
    draining: AtomicBool,
    ending: AtomicBool,
}

/// Networks whose rate of connecting is known at once: 4 MiB at most.
const NETWORKS_MAX: usize = 65_536;

/// What a plane is made of.
pub(crate) struct Parts {
    pub(crate) limits: Limits,
    pub(crate) shards: usize,
    pub(crate) authorities: Authorities,
    pub(crate) ways: Ways,
    pub(crate) identity: Arc<Live>,
    pub(crate) peers: Option<Authority>,
    pub(crate) resolver: Resolver,
    pub(crate) focus: Arc<Focus>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) transit: Option<Transit>,
}

impl Plane {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { limits, shards, authorities, ways, identity, peers, .. } = parts;
        let Parts { resolver, focus, metrics, transit, .. } = parts;
        Self {
            limits,
            session_limits: limits.session(),
            rates: limits.rates(),
            connects: Mutex::new(Table::new(limits.connects(), NETWORKS_MAX)),
            authorities,
            ways,
            identity,
            peers,
            resolver,
            registry: Registry::default(),
            doors: Arc::new(Doors::new(shards, limits.door_octets_max)),
            focus,
            metrics,
            transit,
            places: Places::new(limits.half_open_max, limits.half_open_per_address_max),
            loads: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            queued: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            ending: AtomicBool::new(false),
        }
    }

    /// Whether this network may open a connection now, or has opened too many of late.
    pub(crate) fn may_connect(&self, network: IpAddr, now: Instant) -> bool {
        self.connects.lock().unwrap_or_else(PoisonError::into_inner).take(network, now)
    }

    /// Takes a connection into account: the shard that has fewest, or none if there are too many.
    pub(crate) fn place(&self) -> Option<usize> {
        let counts = self.loads.iter().map(|load| load.load(Ordering::Relaxed));
        let (shard, _) = counts.enumerate().min_by_key(|(_, count)| *count)?;
        if self.connections() >= self.limits.connections_max {
            return None;
        }
        self.loads.get(shard)?.fetch_add(1, Ordering::Relaxed);
        Some(shard)
    }

    /// Takes a connection of a certain shard into account, unless there are too many.
    pub(crate) fn place_on(&self, shard: usize) -> bool {
        let Some(load) = self.loads.get(shard) else { return false };
        let free = self.connections() < self.limits.connections_max;
        if free {
            load.fetch_add(1, Ordering::Relaxed);
        }
        free
    }

    /// A connection of this shard is gone.
    pub(crate) fn leave(&self, shard: usize) {
        if let Some(load) = self.loads.get(shard) {
            load.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How many connections there are.
    pub(crate) fn connections(&self) -> usize {
        self.loads.iter().map(|load| load.load(Ordering::Relaxed)).sum()
    }

    /// A connection that had `before` octets waiting now has `after`.
    pub(crate) fn requeue(&self, before: usize, after: usize) {
        if before != after {
            self.queued.fetch_add(after, Ordering::Relaxed);
            self.queued.fetch_sub(before, Ordering::Relaxed);
        }
    }

    /// Octets that wait in the whole process.
    pub(crate) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Whether more would wait in the whole process than it may hold, if a connection had `after` instead of `before`.
    pub(crate) fn would_overfill(&self, before: usize, after: usize) -> bool {
        let others = self.queued().saturating_sub(before);
        others.saturating_add(after) > self.limits.queued_octets_max
    }

    /// From now on no seat is given.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.metrics.drain_state.set(1);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// From now on nothing that is sent is taken: what was taken before leaves, and the relay ends.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Seconds of a limit.
    pub(crate) fn bind_wait(&self) -> Duration {
        Duration::from_secs(self.limits.bind_secs)
    }
}

/// A generator seeded by the TLS library's source of randomness, the one our keys come from.
pub(crate) fn random() -> StdRng {
    let mut seed = [0_u8; 32];
    let source = service::tls::provider().secure_random;
    source.fill(&mut seed).expect("a machine without randomness cannot speak TLS either");
    StdRng::from_seed(seed)
}
