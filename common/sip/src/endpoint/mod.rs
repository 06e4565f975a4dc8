//! The transactions of one SIP element over reliable flows. It owns no socket, clock or task: it is told what came, what
//! closed and what time it is, and says through [`Endpoint::poll`] what to send and what happened. It knows no dialogs
//! and no users: a method it never heard of is a [`Event::Request`] like any other.
//!
//! Every call does its work at once and in order, so nothing can overtake: a request right behind an ACK is seen right
//! behind that ACK.
//!
//! ```
//! use std::time::{Duration, Instant};
//! use sip::endpoint::{Endpoint, EndpointLimits, Event, Failure, FlowId, Output};
//! use sip::{Method, Request, Uri};
//!
//! # let now = Instant::now();
//! let seed = [7; 32]; // from the operating system in a real program
//! let mut endpoint = Endpoint::new(EndpointLimits::default(), seed);
//! let request = Request::new(Method::Options, "sip:room7@example.net".parse::<Uri>().unwrap());
//! let key = endpoint.request(now, FlowId(1), request);
//! // Nobody said that the flow is open, so the request fails at once, not after 32 seconds.
//! assert!(matches!(
//!     endpoint.poll(),
//!     Some(Output::Event(Event::Failed { key: failed, why: Failure::FlowClosed })) if failed == key
//! ));
//! ```
mod clients;
mod event;
mod servers;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use clients::Client;
pub use event::{
    Abandoned, EndpointLimits, Event, Failure, FlowAddresses, FlowId, Output, TransactionKey,
};
use servers::Server;

use crate::header::Via;
use crate::message::Message;
use crate::transaction::id::{Branch, Id};
use crate::transaction::{ClientInput, ServerInput, Timer};

/// The client and server transactions of all flows.
pub struct Endpoint {
    limits: EndpointLimits,
    rng: StdRng,
    flows: HashMap<FlowId, Flow>,
    clients: HashMap<TransactionKey, Client>,
    servers: HashMap<TransactionKey, Server>,
    branches: HashMap<Branch, TransactionKey>,
    server_ids: HashMap<Id, TransactionKey>,
    request_ids: HashMap<Id, TransactionKey>,
    timers: BTreeSet<(Instant, TransactionKey)>,
    outputs: VecDeque<Output>,
    last_key: u64,
}

#[derive(Debug)]
struct Flow {
    addresses: FlowAddresses,
    transactions: BTreeSet<TransactionKey>,
}

impl Endpoint {
    /// An endpoint without flows. Branches and tags come from `seed`, which must be secret.
    pub fn new(limits: EndpointLimits, seed: [u8; 32]) -> Self {
        Self {
            limits,
            rng: StdRng::from_seed(seed),
            flows: HashMap::new(),
            clients: HashMap::new(),
            servers: HashMap::new(),
            branches: HashMap::new(),
            server_ids: HashMap::new(),
            request_ids: HashMap::new(),
            timers: BTreeSet::new(),
            outputs: VecDeque::new(),
            last_key: 0,
        }
    }

    /// A flow is open. What comes on a flow that is not open is dropped, and no request can be sent on it.
    pub fn opened(&mut self, flow: FlowId, addresses: FlowAddresses) {
        self.flows.entry(flow).or_insert(Flow { addresses, transactions: BTreeSet::new() });
    }

    /// A flow is closed: everything on it ends now.
    pub fn closed(&mut self, now: Instant, flow: FlowId) {
        let Some(closed) = self.flows.remove(&flow) else { return };
        for key in closed.transactions {
            self.client_input(now, key, ClientInput::FlowClosed, None);
            self.server_input(now, key, ServerInput::FlowClosed, None);
        }
    }

    /// Whether this flow is open.
    pub fn is_open(&self, flow: FlowId) -> bool {
        self.flows.contains_key(&flow)
    }

    /// A message came.
    pub fn receive(&mut self, now: Instant, flow: FlowId, message: Message) {
        if !self.is_open(flow) {
            return;
        }
        match message {
            Message::Request(request) => self.receive_request(now, flow, request),
            Message::Response(response) => self.receive_response(now, flow, response),
        }
    }

    /// It is `now`; every timer that is due fires.
    pub fn timeout(&mut self, now: Instant) {
        while let Some(&(at, key)) = self.timers.first() {
            if at > now {
                return;
            }
            self.timers.pop_first();
            if let Some(client) = self.clients.get_mut(&key) {
                client.timer = None;
                self.client_input(now, key, ClientInput::Timer, None);
            } else if let Some(server) = self.servers.get_mut(&key) {
                server.timer = None;
                self.server_input(now, key, ServerInput::Timer, None);
            }
        }
    }

    /// When [`Endpoint::timeout`] must be called next, if nothing else comes before.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The next thing to do or to know. To be asked until it says nothing, after each other call.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// How many transactions there are, of both sides.
    pub fn transactions(&self) -> usize {
        self.clients.len() + self.servers.len()
    }

    fn is_full(&self, flow: &Flow) -> bool {
        self.transactions() >= self.limits.transactions_max
            || flow.transactions.len() >= self.limits.flow_transactions_max
    }

    fn next_key(&mut self) -> TransactionKey {
        self.last_key += 1;
        TransactionKey(self.last_key)
    }

    fn random_tag(&mut self) -> Box<str> {
        format!("{:016x}", self.rng.next_u64()).into()
    }

    fn tell(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    fn forget_on_flow(&mut self, flow: FlowId, key: TransactionKey) {
        if let Some(flow) = self.flows.get_mut(&flow) {
            flow.transactions.remove(&key);
        }
    }

    /// Puts a timer in the place of `running`, and says when it fires.
    fn arm(
        &mut self,
        now: Instant,
        key: TransactionKey,
        running: Option<Instant>,
        timer: Option<Timer>,
    ) -> Option<Instant> {
        let Some(timer) = timer else { return running };
        self.disarm(key, running);
        let at = now + timer.duration();
        self.timers.insert((at, key));
        Some(at)
    }

    fn disarm(&mut self, key: TransactionKey, running: Option<Instant>) {
        if let Some(at) = running {
            self.timers.remove(&(at, key));
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (flows, clients, servers) = (self.flows.len(), self.clients.len(), self.servers.len());
        write!(f, "Endpoint ({flows} flows, {clients} client, {servers} server transactions)")
    }
}

impl FlowAddresses {
    fn via(&self, branch: Branch) -> Via {
        Via::new(&self.transport, &self.sent_by_host, self.sent_by_port, &branch.text())
    }

    /// Whether `via` is one of ours (18.1.2).
    fn sent(&self, via: &Via) -> bool {
        via.host.eq_ignore_ascii_case(&self.sent_by_host) && via.port == self.sent_by_port
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Method, Request, Response, Status};
    use crate::uri::Uri;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
    fn nothing_is_kept_of_what_is_over() {
        let (now, flow) = (Instant::now(), FlowId(1));
        let mut endpoint = Endpoint::new(EndpointLimits::default(), [7; 32]);
        let (transport, host) = ("TLS".to_owned(), "focus.example.net".to_owned());
        endpoint.opened(
            flow,
            FlowAddresses {
                transport,
                sent_by_host: host.clone(),
                sent_by_port: None,
                peer_host: host,
                peer_port: 1,
            },
        );
        let mut request = Request::new(Method::Options, "sip:a@b".parse::<Uri>().unwrap());
        for (name, value) in [("From", "<sip:a@b>;tag=1"), ("To", "<sip:a@b>"), ("Call-ID", "c")] {
            request = request.with(name.parse().unwrap(), value);
        }
        request = request.with("CSeq".parse().unwrap(), "1 OPTIONS");

        // Sent to itself: the endpoint is client and server.
        endpoint.request(now, flow, request.clone());
        let via = endpoint.flows[&flow].addresses.via(*endpoint.branches.keys().next().unwrap());
        request.headers.push_front(crate::Name::Via, via.to_string());
        endpoint.receive(now, flow, request.clone().into());
        let key = *endpoint.servers.keys().next().unwrap();
        endpoint.respond(now, key, Response::to(&request, Status::OK));
        endpoint.receive(now, flow, Response::to(&request, Status::OK).into());

        assert_eq!(endpoint.transactions(), 0);
        let indexes = endpoint.branches.len() + endpoint.server_ids.len();
        assert_eq!((indexes, endpoint.request_ids.len(), endpoint.timers.len()), (0, 0, 0));
        assert!(endpoint.flows[&flow].transactions.is_empty());
    }
}
