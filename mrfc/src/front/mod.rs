//! The SIP server: one task owns the transactions, the bindings and the dialogs, and never waits for anybody. What
//! takes time (a desk, a relay) runs as one of the [`calls`], whose outcome comes back as one more event.
//!
//! The way of a request, by file: `edge` cuts it from a connection · `sip::endpoint` makes it a transaction ·
//! [`authenticate`] says who asks · [`screen`] turns away what nobody here does · [`dispatch`] gives it to
//! [`register`], [`invite`], [`refer`], [`watch`], [`message`] or the dialog it belongs to ([`dialogs`], [`renew`]) · [`answers`] sends the answer and
//! counts it. What the desks want said to devices ([`crate::desk::SipEffect`]) goes by [`dial_out`] and [`dispatch`].
//!
//! It knows no MLS, no journal and no relay: those are the desk's.
mod agreement;
mod answers;
mod authenticate;
mod calls;
mod deferral;
mod dial_out;
mod dialogs;
mod dispatch;
mod end;
mod fork;
mod guests;
mod hiding;
mod in_dialog;
mod invite;
mod keeper;
mod kept_calls;
mod late_calls;
mod list;
mod low;
mod message;
mod message_policy;
mod offer;
mod operator;
mod options;
mod outcomes;
mod pair_dialog;
mod pair_flows;
mod pair_invite;
mod pair_media;
mod pairs;
mod privacy;
mod protection;
mod reach;
mod recipients;
mod refer;
mod refusal;
mod register;
mod registering;
mod renew;
mod repeats;
mod screen;
mod session_timer;
mod sip_core;
mod target;
mod watch;
mod wishes;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use edge::{Edge, EdgeEvent, Security};
use ids::{Aor, ConferenceId, SeatId};
use mls::identity::{DeviceIdentity, Roots};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};
use service::clock;
use service::shutdown::Shutdown;
use service::tls::Names;
use sip::digest::NonceLimits;
use sip::endpoint::{Endpoint, EndpointLimits, FlowAddresses, FlowId, Output, TransactionKey};
use sip::gruu::Temporary;
use store::Store;
use tokio::sync::mpsc;

use crate::conference::Scene;
use crate::config::{Config, Limits};
use crate::desk::{Desks, Refusal, SipEffect};
use crate::filter::Rules;
use crate::legs::Legs;
use crate::mailbox::{Mailbox, NotStored, Stored};
use crate::metrics::Metrics;
use crate::people::Policies;
use crate::registrar::{Binding, Bounds, Registrar};
use crate::relays::Relays;
use crate::users::Users;

use answers::Open;
pub(crate) use authenticate::{Gatekeeper, Stranger};
use calls::Calls;
use deferral::Deferral;
use dial_out::{Dials, Ringing};
use dialogs::Dialogs;
use guests::GuestLists;
use invite::Joining;
use keeper::Keeper;
use kept_calls::KeptCalls;
use message::Messages;
pub(crate) use operator::{Access, Question, Registered};
use pairs::Pairs;
pub(crate) use pairs::Side;
use refer::Referrals;
pub(crate) use refusal::status as refused_with;
use repeats::Repeats;
use session_timer::Timers;
use watch::Watchers;

/// How often what has expired is looked for.
const TICK: Duration = Duration::from_secs(1);

/// What the front is made of.
pub(crate) struct FrontParts {
    pub(crate) config: Arc<Config>,
    pub(crate) users: Arc<Users>,
    pub(crate) edge: Edge,
    pub(crate) events: mpsc::Receiver<EdgeEvent>,
    pub(crate) effects: mpsc::Receiver<SipEffect>,
    pub(crate) questions: mpsc::Receiver<Question>,
    pub(crate) policies: Policies,
    pub(crate) desks: Desks,
    pub(crate) relays: Relays,
    pub(crate) legs: Legs,
    pub(crate) metrics: Metrics,
    /// Where messages wait, if they do.
    pub(crate) mailbox: Option<Mailbox>,
    /// Where registrations are kept.
    pub(crate) store: Store,
    /// Who was registered when the last process ended.
    pub(crate) known: Vec<(Aor, store::Registration)>,
    /// Whose certificates devices have.
    pub(crate) roots: Roots,
    /// The port in the URIs we hand out.
    pub(crate) port: u16,
}

/// The SIP server.
pub(crate) struct Front {
    domain: String,
    port: u16,
    config: Arc<Config>,
    users: Arc<Users>,
    edge: Edge,
    events: mpsc::Receiver<EdgeEvent>,
    effects: mpsc::Receiver<SipEffect>,
    questions: mpsc::Receiver<Question>,
    policies: Policies,
    desks: Desks,
    relays: Relays,
    metrics: Metrics,
    rng: StdRng,
    endpoint: Endpoint,
    gatekeeper: Gatekeeper,
    core_names: Names,
    registrar: Registrar,
    temporary: Temporary,
    keeper: Keeper,
    roots: Roots,
    flows: HashMap<FlowId, Flow>,
    /// Connections to be closed once what is queued for them is written.
    doomed: Vec<FlowId>,
    open: HashMap<TransactionKey, Open>,
    calls: Calls<WhatFor, Done>,
    dialogs: Dialogs,
    joining: HashMap<TransactionKey, Joining>,
    ended_early: HashSet<(ConferenceId, SeatId)>,
    ringing: HashMap<TransactionKey, Ringing>,
    dials: Dials,
    guest_lists: GuestLists,
    messages: Messages,
    mailbox: Option<Mailbox>,
    deferral: Deferral,
    pairs: Pairs,
    kept_calls: KeptCalls,
    timers: Timers,
    repeats: Repeats,
    legs: Legs,
    filter: Rules,
    referrals: Referrals,
    watchers: Watchers,
}

/// What is known of a connection.
#[derive(Debug, Default)]
struct Flow {
    /// Wrong passwords so far.
    failures: u32,
    /// Requests without a final answer.
    open: usize,
    /// The SIP core is at the other end: many people share it, and its word counts.
    core: bool,
    /// It is plain TCP, on a network that is protected by other means.
    plain: bool,
    /// Who is at the other end of it.
    address: Option<SocketAddr>,
    /// The device that has shown a certificate of ours.
    certified: Option<DeviceIdentity>,
}

/// What a task at the desks is for.
#[derive(Debug)]
enum WhatFor {
    /// A request that waits for it.
    Request(TransactionKey),
    /// A device that is to be called.
    Dial { conference: ConferenceId, who: Aor },
    /// People of a list that are to be called into this conference.
    Guests(ConferenceId),
    /// Watchers that are to be told of a change.
    Scene(ConferenceId),
    /// A device that is being given what waits for it.
    Mailbox(deferral::Slot),
    /// What has waited too long.
    Sweep,
    /// Nobody waits.
    Nobody,
}

/// What a task at the desks brought.
enum Done {
    Joined(TransactionKey, invite::Joined),
    Seated(Box<dial_out::Seated>),
    Opened(Box<pair_invite::Opened>),
    Kept(Box<kept_calls::Decided>),
    Referred(TransactionKey, refer::Referred),
    Subscribed(TransactionKey, Box<(watch::Asked, Result<Scene, Refusal>)>),
    Looked(Box<watch::Looked>),
    Shown(TransactionKey, Box<options::Shown>),
    Sealed(Box<message::Asked>),
    /// Who of a list is not called.
    Invited(ConferenceId, Vec<Aor>),
    Stored(TransactionKey, Box<Result<Stored, NotStored>>),
    Found(Box<deferral::Found>),
    /// A device is to be left alone for a while.
    Unsettled(deferral::Slot),
    /// For whom a notification lies in the mailbox.
    Told(Vec<Aor>),
    Swept(Vec<Aor>),
    Nothing,
}

impl Front {
    /// A front without connections.
    pub(crate) fn new(parts: FrontParts) -> Result<Self, NoRandomness> {
        let FrontParts { config, users, edge, events, effects, questions, .. } = parts;
        let policies = parts.policies;
        let (desks, relays, metrics, port) = (parts.desks, parts.relays, parts.metrics, parts.port);
        let limits = &config.limits;
        let bounds = Bounds {
            per_person_max: limits.bindings_per_person_max,
            total_max: limits.bindings_max,
            secs: (
                limits.register_secs_min,
                limits.register_secs_default,
                limits.register_secs_max,
            ),
        };
        // Checked with the configuration; without names there is no core.
        let core_names = Names::parse(&config.sip.core_names).unwrap_or_default();
        let mut endpoint_limits = EndpointLimits::default();
        if core_names.is_empty() {
            // With a core everybody may come on one connection.
            endpoint_limits.flow_transactions_max = limits.calls_per_connection_max * 4;
        }
        let mut rng = seeded()?;
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let front = Self {
            gatekeeper: gatekeeper(&config)?,
            core_names,
            registrar: recalled(Registrar::new(bounds), &parts.known),
            temporary: Temporary::new(&mut rng),
            keeper: Keeper::start(parts.store, keeper::Kept::of(&config)),
            roots: parts.roots,
            calls: Calls::new(limits.calls_max),
            endpoint: Endpoint::new(endpoint_limits, seed),
            domain: config.domain.clone(),
            rng,
            flows: HashMap::new(),
            doomed: Vec::new(),
            open: HashMap::new(),
            dialogs: Dialogs::default(),
            joining: HashMap::new(),
            ended_early: HashSet::new(),
            ringing: HashMap::new(),
            dials: Dials::default(),
            guest_lists: GuestLists::default(),
            messages: Messages::default(),
            mailbox: parts.mailbox,
            deferral: Deferral::default(),
            pairs: Pairs::default(),
            kept_calls: KeptCalls::default(),
            timers: Timers::default(),
            repeats: Repeats::default(),
            legs: parts.legs,
            filter: Rules::new(&config.filters),
            referrals: Referrals::default(),
            watchers: Watchers::default(),
            port,
            config,
            users,
            edge,
            events,
            effects,
            questions,
            policies,
            desks,
            relays,
            metrics,
        };
        front.gauges();
        Ok(front)
    }

    /// Serves until the shutdown.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let timers = [self.endpoint.next_timeout(), self.timers.next(), self.repeats.next()];
            let timer = timers.into_iter().flatten().min();
            tokio::select! {
                () = shutdown.triggered() => break,
                event = self.events.recv() => match event {
                    Some(event) => self.edge_event(event),
                    None => break,
                },
                Some(effect) = self.effects.recv() => self.effect(effect),
                Some(question) = self.questions.recv() => self.question(question),
                Some(outcome) = self.calls.next() => self.outcome(outcome),
                () = until(timer) => self.timeout(clock::now()),
                _ = tick.tick() => self.tick(),
            }
            self.drain();
        }
        self.edge.shutdown();
        self.keeper.finish().await;
    }

    fn timeout(&mut self, now: Instant) {
        self.endpoint.timeout(now);
        for (key, response) in self.repeats.due(now) {
            self.endpoint.respond(now, key, response);
        }
        self.sessions_due(now);
    }

    /// Does what the transactions want done, until they want nothing more.
    fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Send { flow, bytes } => self.edge.send(flow, bytes),
                Output::Event(event) => self.event(event),
            }
        }
        // Behind what was still to be said to them.
        for flow in self.doomed.drain(..) {
            self.edge.close(flow);
        }
    }

    fn edge_event(&mut self, event: EdgeEvent) {
        match event {
            EdgeEvent::Opened { flow, peer } => {
                let transport = peer.security.transport();
                let certificate = match &peer.security {
                    Security::Tls { certificate } => certificate.as_deref(),
                    Security::WebSocket | Security::Protected => None,
                };
                let core = certificate.is_some_and(|it| self.core_names.are_proved_by(it));
                let addresses = FlowAddresses {
                    transport: transport.to_owned(),
                    sent_by_host: self.domain.clone(),
                    sent_by_port: Some(self.port),
                    peer_host: peer.address.ip().to_string(),
                    peer_port: peer.address.port(),
                };
                let certified = certificate
                    .filter(|_| !core && self.config.registration.device_certificates)
                    .and_then(|it| self.roots.check(it, clock::wall()).ok());
                self.endpoint.opened(flow, addresses);
                let plain = matches!(peer.security, Security::Protected);
                let address = Some(peer.address);
                let known = Flow { core, plain, address, certified, ..Flow::default() };
                self.flows.insert(flow, known);
                if core {
                    for aor in self.registrar.core_is_back(flow, clock::now()) {
                        self.keep(&aor);
                    }
                }
            }
            EdgeEvent::Message { flow, message } => {
                self.endpoint.receive(clock::now(), flow, message);
            }
            EdgeEvent::Malformed { flow, status, why } => {
                tracing::debug!(flow = flow.0, %status, why, "malformed");
                self.metrics.malformed(status);
            }
            EdgeEvent::Closed { flow, why } => {
                tracing::debug!(flow = flow.0, %why, "connection over");
                self.endpoint.closed(clock::now(), flow);
                let core = self.is_core(flow);
                if core {
                    self.move_dialogs(flow);
                }
                self.flows.remove(&flow);
                let other = if core { self.core() } else { None };
                for aor in self.registrar.lost(flow, other) {
                    self.keep(&aor);
                }
                self.lost_dialogs(flow);
            }
            EdgeEvent::Refused { from, why } => {
                tracing::debug!(%from, %why, "connection refused");
                self.metrics.refused_connection(&why.to_string());
            }
        }
        self.gauges();
    }

    fn effect(&mut self, effect: SipEffect) {
        match effect {
            SipEffect::DialOut { conference, who, by, by_shown_as } => {
                self.dial(&conference, &who, (&by, by_shown_as));
            }
            SipEffect::KeyPackagesLow { of, device, left } => self.low(&of, &device, left),
            SipEffect::Changed { conference } => self.scene_changed(&conference),
            SipEffect::Deleted { conference } => self.scene_gone(&conference),
            SipEffect::Bye { conference, seat, reason } => self.hang_up(&conference, seat, &reason),
        }
    }

    fn tick(&mut self) {
        let now = clock::now();
        self.registrar.expire(now);
        self.keep_missed();
        self.stop_ringing(now);
        self.messages_late(now);
        self.deferred_due(now);
        self.pairs_late(now);
        self.kept_calls_due();
        self.referrals_late(now);
        self.watchers_due(now);
        self.metrics.rooms(self.desks.len(), self.desks.figures(), self.relays.reached());
        self.gauges();
    }

    fn gauges(&self) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.connections.set(gauge(self.flows.len()));
        self.metrics.dialogs.set(gauge(self.dialogs.len() + self.pairs.dialogs()));
        self.metrics.registrations.set(gauge(self.registrar.len()));
        self.metrics.registrations_parked.set(gauge(self.registrar.parked()));
    }

    fn limits(&self) -> &Limits {
        &self.config.limits
    }
}

/// The table with what is known from before: no connection of then is left.
fn recalled(mut registrar: Registrar, known: &[(Aor, store::Registration)]) -> Registrar {
    let (now, wall) = (clock::now(), clock::wall());
    for (aor, kept) in known {
        let left = kept.expires.duration_since(wall).unwrap_or_default();
        registrar.park(aor, Binding::kept(kept, now + left));
    }
    registrar
}

/// The gatekeeper of a listener: SIP and HTTPS have one each, since a nonce is good for one of them.
pub(crate) fn gatekeeper(config: &Config) -> Result<Gatekeeper, NoRandomness> {
    let lifetime = Duration::from_secs(config.limits.nonce_secs);
    let limits = NonceLimits { lifetime, ..NonceLimits::default() };
    Ok(Gatekeeper::new(&config.domain, limits, config.sip.md5, clock::now(), seeded()?))
}

/// The operating system gave no randomness; nothing can be kept from guessing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandomness;

/// Random numbers that nobody can guess.
pub(crate) fn seeded() -> Result<StdRng, NoRandomness> {
    let mut seed = [0; 32];
    let random = service::tls::provider().secure_random;
    random.fill(&mut seed).map_err(|_| NoRandomness)?;
    Ok(StdRng::from_seed(seed))
}

/// Sleeps until then; without a time, for ever.
async fn until(timer: Option<Instant>) {
    match timer {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
