//! The task of one relay: moves bytes between its books and the wire.
//!
//! It reads and writes at the same time, so that two ends that both have much to say cannot block each other.
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use control::{Codec, FocusLink, Heard as FromLink, Notice, Order, Overfull, RoomOrder, ToFocus};
use ids::ConferenceId;
use rand::Rng as _;
use service::quic::{self, Pipe, QuicError};
use tokio::sync::{Notify, mpsc, watch};
use tracing::{debug, info, warn};

use super::logins::Logins;
use super::receipts::Receipts;
use super::safe::Open;
use super::{Face, Given, Heard, RelayAt, RelayParts};

/// How long a relay has for the handshake and its greeting.
const GREETING: Duration = Duration::from_secs(10);

/// What the task is tied to.
pub(super) struct Ends {
    pub(super) orders: mpsc::Receiver<Given>,
    pub(super) heard: mpsc::UnboundedSender<Heard>,
    pub(super) face: watch::Sender<Option<Face>>,
    pub(super) rooms: watch::Sender<usize>,
    pub(super) leaving: Arc<AtomicBool>,
}

pub(super) struct LinkTask {
    at: RelayAt,
    name: Arc<str>,
    dialler: quinn::Endpoint,
    pauses: (Duration, Duration),
    link: FocusLink,
    ends: Ends,
    open: Open,
    done: mpsc::UnboundedReceiver<(u64, u64)>,
    /// An order that found the books full.
    held: Option<Order>,
    rooms: HashSet<ConferenceId>,
    receipts: Receipts,
    logins: Logins,
}

/// The desks are gone: the task ends.
struct Ended;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Quic(#[from] QuicError),
    #[error("cannot resolve the relay's name: {0}")]
    Name(#[from] std::io::Error),
    #[error("the relay's name has no address")]
    NoAddress,
    #[error("no greeting within {} s", GREETING.as_secs())]
    Silent,
    #[error("the connection is gone")]
    Gone,
    #[error("a frame of the relay: {0}")]
    Frame(#[from] control::BadFrame),
    #[error("the relay misbehaved: {0}")]
    Misbehaved(#[from] control::Misbehaved),
    #[error("it calls itself {0:?}: check relays.name and relays.control")]
    AnotherRelay(String),
    #[error("it fell too far behind")]
    Overrun,
}

impl LinkTask {
    pub(super) fn new(parts: &RelayParts, at: RelayAt, ends: Ends) -> Self {
        let (tell, done) = mpsc::unbounded_channel();
        let incarnation = parts.incarnation.clone();
        Self {
            name: at.name.as_str().into(),
            at,
            dialler: parts.dialler.clone(),
            pauses: parts.pauses,
            link: FocusLink::new(parts.focus.clone(), incarnation, parts.limits),
            ends,
            open: Open::new(tell),
            done,
            held: None,
            rooms: HashSet::new(),
            receipts: Receipts::default(),
            logins: parts.logins.clone(),
        }
    }

    pub(super) async fn run(mut self, go: Arc<Notify>) {
        let (first, longest) = self.pauses;
        let mut pause = first;
        if self.meanwhile(go.notified()).await.is_err() {
            return;
        }
        loop {
            let dialled = self.meanwhile(dial(self.dialler.clone(), self.at.clone())).await;
            let broken = match dialled {
                Err(Ended) => return,
                Ok(Err(broken)) => broken,
                Ok(Ok(pipe)) => {
                    pause = first;
                    match self.talk(pipe).await {
                        Ok(Ended) => return,
                        Err(broken) => broken,
                    }
                }
            };
            self.link.broken();
            self.receipts.broken();
            self.ends.face.send_if_modified(|face| {
                face.as_mut().is_some_and(|face| std::mem::replace(&mut face.up, false))
            });
            warn!(relay = %self.name, %broken, "no link to the relay");
            // Many focuses that lost one relay do not all come back in the same moment.
            let jitter = rand::rng().random_range(0.5..1.0);
            if self.meanwhile(tokio::time::sleep(pause.mul_f64(jitter))).await.is_err() {
                return;
            }
            pause = (pause * 2).min(longest);
        }
    }

    /// Takes orders while something else is waited for.
    async fn meanwhile<T>(&mut self, wait: impl Future<Output = T>) -> Result<T, Ended> {
        let mut wait = std::pin::pin!(wait);
        loop {
            tokio::select! {
                done = &mut wait => return Ok(done),
                given = self.ends.orders.recv(), if self.held.is_none() => {
                    self.given(given.ok_or(Ended)?);
                }
                Some(done) = self.done.recv() => self.safe(done),
            }
        }
    }

    /// Uses a connection until it ends.
    async fn talk(&mut self, mut pipe: Pipe) -> Result<Ended, Broken> {
        self.link.connected();
        let (sender, mut codec) = (pipe.sender(), Codec::<ToFocus>::new());
        let mut outgoing: Option<Bytes> = None;
        let mut greeting = std::pin::pin!(tokio::time::sleep(GREETING));
        loop {
            if outgoing.is_none()
                && let Some(frame) = self.link.poll()
            {
                outgoing = Some(Codec::encode(frame)?);
            }
            if self.link.is_overrun() {
                pipe.close("the focus is too far ahead");
                return Err(Broken::Overrun);
            }
            let up = self.link.is_up();
            tokio::select! {
                permit = sender.reserve(), if outgoing.is_some() => {
                    let permit = permit.map_err(|_| Broken::Gone)?;
                    if let Some(bytes) = outgoing.take() {
                        permit.send(bytes);
                    }
                }
                bytes = pipe.recv() => {
                    codec.feed(&bytes.ok_or(Broken::Gone)?);
                    while let Some(frame) = codec.next_frame()? {
                        let heard = self.link.receive(frame)?;
                        self.heard(heard)?;
                    }
                }
                given = self.ends.orders.recv(), if self.held.is_none() => match given {
                    Some(given) => self.given(given),
                    None => return Ok(Ended),
                },
                Some(done) = self.done.recv() => self.safe(done),
                () = &mut greeting, if !up => return Err(Broken::Silent),
            }
        }
    }

    fn heard(&mut self, heard: FromLink) -> Result<(), Broken> {
        match heard {
            FromLink::Up { hello, .. } if *hello.relay != *self.name => {
                return Err(Broken::AnotherRelay(hello.relay));
            }
            FromLink::Up { hello, restarted } => {
                info!(relay = %self.name, msrp = %hello.msrp, restarted, "relay linked");
                let (msrp, fingerprint) = (hello.msrp, hello.fingerprint);
                self.ends.face.send_replace(Some(Face { msrp, fingerprint, up: true }));
                self.ends.leaving.store(false, Ordering::Relaxed);
                if restarted {
                    self.open.another_run();
                    self.tell(Heard::Restarted { relay: Arc::clone(&self.name) });
                }
                self.receipts.resent(&mut self.link);
                self.try_held();
            }
            FromLink::Notice { number, notice } => {
                let done = self.open.begin(number);
                match notice {
                    Notice::Room { conference, notice } => {
                        let relay = Arc::clone(&self.name);
                        self.tell(Heard::Notice { relay, conference, notice, done });
                    }
                    Notice::Draining { sessions } => {
                        info!(relay = %self.name, sessions, "draining");
                        self.ends.leaving.store(true, Ordering::Relaxed);
                    }
                    Notice::AuthAsked(asked) => {
                        let answer = self.logins.answer(&self.name, &asked);
                        // The books may be full of what waits for the relay: then this login fails there by time.
                        self.order_if_possible(Order::Auth(answer));
                    }
                }
            }
            FromLink::Acknowledged => {
                self.receipts.settle(&self.link);
                self.try_held();
            }
            FromLink::Nothing => {}
        }
        Ok(())
    }

    fn tell(&self, heard: Heard) {
        if self.ends.heard.send(heard).is_err() {
            debug!(relay = %self.name, "nobody listens any more");
        }
    }

    fn try_held(&mut self) {
        if let Some(order) = self.held.take() {
            self.order(order);
        }
    }

    fn given(&mut self, given: Given) {
        match given {
            Given::Order(order) => self.order(order),
            Given::Receipt(conference, reply) => {
                self.receipts.ask(&self.link, conference, reply);
            }
        }
    }

    fn order(&mut self, order: Order) {
        let count = match &order {
            Order::Room { conference, order: RoomOrder::Open(_) } => {
                self.rooms.insert(conference.clone())
            }
            Order::Room { conference, order: RoomOrder::Close { .. } } => {
                self.rooms.remove(conference)
            }
            _ => false,
        };
        if count {
            self.ends.rooms.send_replace(self.rooms.len());
        }
        match self.link.order(order.clone()) {
            Ok(()) => {}
            // The relay will have carried out something soon; until then the desks wait.
            Err(Overfull::Orders) => self.held = Some(order),
            Err(why @ (Overfull::Frame | Overfull::NoRoom | Overfull::Notices)) => {
                warn!(relay = %self.name, %why, "an order was dropped");
            }
        }
    }

    /// For an order that is worth nothing later.
    fn order_if_possible(&mut self, order: Order) {
        if let Err(why) = self.link.order(order) {
            debug!(relay = %self.name, %why, "an answer was dropped");
        }
    }

    fn safe(&mut self, done: (u64, u64)) {
        if let Some(number) = self.open.done(done) {
            self.link.safe(number);
        }
    }
}

async fn dial(dialler: quinn::Endpoint, at: RelayAt) -> Result<Pipe, Broken> {
    let address = tokio::net::lookup_host(&at.control).await?.next().ok_or(Broken::NoAddress)?;
    let connected = async {
        let connection = quic::connect(&dialler, address, &at.server_name).await?;
        quic::accept(connection).await
    };
    let pipe = tokio::time::timeout(GREETING, connected).await.map_err(|_| Broken::Silent)?;
    Ok(pipe?)
}
