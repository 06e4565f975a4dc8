//! One task that owns an [`Edge`] and a [`sip::endpoint::Endpoint`] and lets them talk: what the edge reads goes to the
//! endpoint, what the endpoint wants sent goes to the edge, and timers fire. It decides nothing about SIP.
//!
//! The task never waits for its user: while [`SipEvent`]s are not taken, it stops taking from the edge, whose flows then
//! stop reading; commands and timers go on.
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use service::{clock, tls};
use sip::endpoint::{
    Abandoned, Endpoint, EndpointLimits, Event, Failure, FlowAddresses, FlowId, Output,
    TransactionKey,
};
use sip::{Request, Response, Status};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use crate::edge::{Edge, Target};
use crate::event::{Closed, EdgeEvent, Peer, Refused};

/// What a driver needs to know.
#[derive(Clone, Debug, Default)]
pub struct DriverSettings {
    /// How many transactions there may be.
    pub limits: EndpointLimits,
    /// Our name and port in Via; the local address of each flow if not given.
    pub sent_by: Option<(String, Option<u16>)>,
}

/// What the user of a driver is told.
#[derive(Debug)]
pub enum SipEvent {
    /// A flow is open.
    Opened {
        /// Which.
        flow: FlowId,
        /// With whom.
        peer: Peer,
    },
    /// A flow is closed. Everything on it has ended already.
    Closed {
        /// Which.
        flow: FlowId,
        /// Why.
        why: Closed,
    },
    /// A new request; it wants one final [`Sip::respond`].
    Request {
        /// What to respond to.
        key: TransactionKey,
        /// Where it came from.
        flow: FlowId,
        /// What is asked.
        request: Request,
    },
    /// The ACK to a 2xx.
    Ack {
        /// The INVITE it belongs to.
        key: TransactionKey,
        /// Where it came from.
        flow: FlowId,
        /// The ACK.
        request: Request,
    },
    /// The client gave its INVITE up; to be answered 487.
    Cancelled {
        /// The INVITE.
        key: TransactionKey,
    },
    /// A request lost its transaction.
    Abandoned {
        /// The request.
        key: TransactionKey,
        /// Why.
        why: Abandoned,
    },
    /// A 2xx to an INVITE that nobody waits for any more: another branch of a fork, or too late. It wants ACK and BYE.
    Stray {
        /// The INVITE.
        key: TransactionKey,
        /// The 2xx.
        response: Response,
    },
    /// Something came that is no message; it is answered already. For counting.
    Malformed {
        /// On this flow.
        flow: FlowId,
        /// The status it deserved.
        status: Status,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Somebody got no flow. For counting.
    Refused {
        /// Why.
        why: Refused,
    },
}

/// A handle to the driver, cheap to clone. The driver ends, and its edge, when the last one is dropped, or when an event
/// cannot be told because the receiver of [`SipEvent`]s was dropped.
#[derive(Clone, Debug)]
pub struct Sip {
    commands: mpsc::Sender<Command>,
    edge: Edge,
}

/// A request under way.
#[derive(Debug)]
pub struct Exchange {
    /// Its transaction, for [`Sip::cancel`].
    pub key: TransactionKey,
    answers: mpsc::Receiver<Result<Response, Failure>>,
}

/// A flow that was dialled, and who answered; or why not.
pub type Dialled = Result<(FlowId, Peer), Closed>;

#[derive(Debug)]
enum Command {
    Connect { target: Target, reply: oneshot::Sender<Dialled> },
    Request { flow: FlowId, request: Request, reply: oneshot::Sender<Exchange> },
    Respond { key: TransactionKey, response: Response },
    Acknowledge { flow: FlowId, ack: Request },
    Cancel { key: TransactionKey },
}

/// Commands waiting for the driver; more wait in [`Sip`]'s functions.
const COMMANDS_MAX: usize = 256;

/// Events the user has not taken. With so many the driver takes nothing more from the edge.
const UNTAKEN_MAX: usize = 256;

/// Answers one exchange holds. Provisional ones are left out when it is half full.
const ANSWERS_MAX: usize = 16;

/// Starts a driver on the current runtime. It owns `events` and, with the handles, `edge`; listeners may be added to
/// the edge before or after.
pub fn spawn(
    edge: Edge,
    events: mpsc::Receiver<EdgeEvent>,
    settings: DriverSettings,
) -> Result<(Sip, mpsc::Receiver<SipEvent>), NoRandomness> {
    let mut seed = [0; 32];
    tls::provider().secure_random.fill(&mut seed).map_err(|_| NoRandomness)?;
    let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
    let (to_user, user) = mpsc::channel(UNTAKEN_MAX);
    let driver = Driver {
        edge: edge.clone(),
        endpoint: Endpoint::new(settings.limits, seed),
        sent_by: settings.sent_by,
        dialling: HashMap::new(),
        waiting: HashMap::new(),
        untaken: VecDeque::new(),
    };
    drop(tokio::spawn(driver.run(receiver, events, to_user)));
    Ok((Sip { commands, edge }, user))
}

/// The crypto provider has no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the crypto provider has no randomness")]
pub struct NoRandomness;

impl Sip {
    /// Dials, and waits until the flow is open.
    pub async fn connect(&self, target: Target) -> Dialled {
        self.ask(|reply| Command::Connect { target, reply }).await.unwrap_or(Err(Closed::ByUs))
    }

    /// Sends a request and waits for its final response.
    pub async fn request(&self, flow: FlowId, request: Request) -> Result<Response, Failure> {
        self.begin(flow, request).await?.last().await
    }

    /// Sends a request whose provisional responses matter too, or which may be cancelled.
    pub async fn begin(&self, flow: FlowId, request: Request) -> Result<Exchange, Failure> {
        let asked = self.ask(|reply| Command::Request { flow, request, reply }).await;
        asked.ok_or(Failure::FlowClosed)
    }

    /// Responds to a request.
    pub async fn respond(&self, key: TransactionKey, response: Response) {
        self.tell(Command::Respond { key, response }).await;
    }

    /// Sends the ACK to a 2xx.
    pub async fn acknowledge(&self, flow: FlowId, ack: Request) {
        self.tell(Command::Acknowledge { flow, ack }).await;
    }

    /// Gives an INVITE up. Its final response still comes.
    pub async fn cancel(&self, key: TransactionKey) {
        self.tell(Command::Cancel { key }).await;
    }

    /// Closes a flow when everything for it is written.
    pub fn close(&self, flow: FlowId) {
        self.edge.close(flow);
    }

    /// The edge under the driver.
    pub fn edge(&self) -> &Edge {
        &self.edge
    }

    async fn tell(&self, command: Command) {
        // A driver that is gone has no flows and no transactions: there is nothing to do.
        drop(self.commands.send(command).await);
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply)).await;
        answer.await.ok()
    }
}

impl Exchange {
    /// The next response: provisional ones, then the final one.
    pub async fn next(&mut self) -> Result<Response, Failure> {
        self.answers.recv().await.unwrap_or(Err(Failure::FlowClosed))
    }

    /// The final response.
    pub async fn last(&mut self) -> Result<Response, Failure> {
        loop {
            let response = self.next().await?;
            if response.status.is_final() {
                return Ok(response);
            }
        }
    }
}

struct Driver {
    edge: Edge,
    endpoint: Endpoint,
    sent_by: Option<(String, Option<u16>)>,
    dialling: HashMap<FlowId, oneshot::Sender<Dialled>>,
    waiting: HashMap<TransactionKey, mpsc::Sender<Result<Response, Failure>>>,
    untaken: VecDeque<SipEvent>,
}

impl Driver {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut events: mpsc::Receiver<EdgeEvent>,
        to_user: mpsc::Sender<SipEvent>,
    ) {
        loop {
            let due = self.endpoint.next_timeout();
            let has_room = self.untaken.len() < UNTAKEN_MAX;
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(clock::now(), command),
                    None => break,
                },
                event = events.recv(), if has_room => match event {
                    Some(event) => self.take(clock::now(), event),
                    None => break,
                },
                place = to_user.reserve(), if !self.untaken.is_empty() => match place {
                    Ok(place) => {
                        if let Some(event) = self.untaken.pop_front() {
                            place.send(event);
                        }
                    }
                    Err(_) => break,
                },
                () = wait_until(due) => self.endpoint.timeout(clock::now()),
            }
            self.flush();
        }
        self.edge.shutdown();
    }

    fn obey(&mut self, now: Instant, command: Command) {
        match command {
            Command::Connect { target, reply } => {
                drop(self.dialling.insert(self.edge.connect(target), reply));
            }
            Command::Request { flow, request, reply } => {
                let key = self.endpoint.request(now, flow, request);
                let (sender, answers) = mpsc::channel(ANSWERS_MAX);
                self.waiting.insert(key, sender);
                // Whoever does not wait for the exchange will not miss it.
                drop(reply.send(Exchange { key, answers }));
            }
            Command::Respond { key, response } => self.endpoint.respond(now, key, response),
            Command::Acknowledge { flow, ack } => self.endpoint.acknowledge(flow, ack),
            Command::Cancel { key } => self.endpoint.cancel(now, key),
        }
    }

    fn take(&mut self, now: Instant, event: EdgeEvent) {
        match event {
            EdgeEvent::Opened { flow, peer } => {
                self.endpoint.opened(flow, self.addresses(&peer));
                if let Some(reply) = self.dialling.remove(&flow) {
                    drop(reply.send(Ok((flow, peer.clone()))));
                }
                self.untaken.push_back(SipEvent::Opened { flow, peer });
            }
            EdgeEvent::Message { flow, message } => self.endpoint.receive(now, flow, message),
            EdgeEvent::Malformed { flow, status, why } => {
                self.untaken.push_back(SipEvent::Malformed { flow, status, why });
            }
            EdgeEvent::Closed { flow, why } => {
                if let Some(reply) = self.dialling.remove(&flow) {
                    drop(reply.send(Err(why)));
                    return;
                }
                self.endpoint.closed(now, flow);
                self.flush();
                self.untaken.push_back(SipEvent::Closed { flow, why });
            }
            EdgeEvent::Refused { why, .. } => self.untaken.push_back(SipEvent::Refused { why }),
        }
    }

    fn addresses(&self, peer: &Peer) -> FlowAddresses {
        let (sent_by_host, sent_by_port) = self.sent_by.clone().unwrap_or_else(|| {
            let host = match peer.local {
                std::net::SocketAddr::V4(local) => local.ip().to_string(),
                std::net::SocketAddr::V6(local) => format!("[{}]", local.ip()),
            };
            (host, Some(peer.local.port()))
        });
        FlowAddresses {
            transport: peer.security.transport().to_owned(),
            sent_by_host,
            sent_by_port,
            peer_host: peer.address.ip().to_string(),
            peer_port: peer.address.port(),
        }
    }

    fn flush(&mut self) {
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Send { flow, bytes } => self.edge.send(flow, bytes),
                Output::Event(event) => self.tell(event),
            }
        }
    }

    fn tell(&mut self, event: Event) {
        let event = match event {
            Event::Request { key, flow, request } => SipEvent::Request { key, flow, request },
            Event::Ack { key, flow, request } => SipEvent::Ack { key, flow, request },
            Event::Cancelled { key } => SipEvent::Cancelled { key },
            Event::Abandoned { key, why } => SipEvent::Abandoned { key, why },
            Event::Response { key, response } => return self.answer(key, response),
            Event::Failed { key, why } => {
                if let Some(sender) = self.waiting.remove(&key) {
                    drop(sender.try_send(Err(why)));
                }
                return;
            }
        };
        self.untaken.push_back(event);
    }

    fn answer(&mut self, key: TransactionKey, response: Response) {
        if response.status.is_provisional() {
            if let Some(sender) = self.waiting.get(&key)
                && sender.capacity() > ANSWERS_MAX / 2
            {
                drop(sender.try_send(Ok(response)));
            }
            return;
        }
        let is_success = response.status.is_success();
        let unclaimed = match self.waiting.remove(&key) {
            Some(sender) => match sender.try_send(Ok(response)) {
                Ok(()) => return,
                Err(error) => error.into_inner().ok(),
            },
            None => Some(response),
        };
        if let Some(response) = unclaimed.filter(|_| is_success) {
            self.untaken.push_back(SipEvent::Stray { key, response });
        }
    }
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}
