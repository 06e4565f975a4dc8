//! The link to the focus: QUIC with mutual TLS, one stream of frames. The focus dials; a new connection replaces an old
//! one. Rooms and sessions go on while it is away: [`control::RelayLink`] keeps what must be told. What an order does
//! is in `carry`.
mod caller;
mod carry;
mod reach;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control::{Codec, Misbehaved, Step, ToFocus, ToRelay};
use rand::rngs::StdRng;
use service::quic::{self, Pipe};
use service::{clock, shutdown::Shutdown};
use tokio::sync::mpsc;

use crate::plane::{self, Plane};

pub(crate) use caller::FocusNames;
pub(crate) use carry::Carrier;

/// How often seats that nobody came for are looked at.
const TICK: Duration = Duration::from_millis(500);

/// Tells a dialler that its certificate names somebody else.
const NOT_A_FOCUS: quinn::VarInt = quinn::VarInt::from_u32(1);

/// Connections that have shaken hands and wait to become the link.
const DIALLED_MAX: usize = 4;

/// Carries out orders and sends notices until `shutdown`.
pub(crate) async fn obey(
    (endpoint, names): (quinn::Endpoint, FocusNames),
    plane: Arc<Plane>,
    carrier: Carrier,
    shutdown: Shutdown,
) {
    let (dialled, links) = mpsc::channel(DIALLED_MAX);
    let accepting = tokio::spawn(accept(endpoint.clone(), names, dialled));
    let rng = plane::random();
    let (pipe, sender, next) = (None, None, None);
    let mut link = Link { plane, carrier, rng, pipe, sender, codec: Codec::new(), next };
    link.run(links, shutdown).await;
    accepting.abort();
    drop(link);
    // What was sent last has left when this returns, or its time is over.
    _ = tokio::time::timeout(Duration::from_secs(1), endpoint.wait_idle()).await;
}

async fn accept(endpoint: quinn::Endpoint, names: FocusNames, dialled: mpsc::Sender<Pipe>) {
    let names = Arc::new(names);
    while let Some(incoming) = endpoint.accept().await {
        let (names, dialled) = (Arc::clone(&names), dialled.clone());
        tokio::spawn(async move {
            // A client without a certificate of ours ends here, in the handshake.
            let connection = match incoming.await {
                Ok(connection) => connection,
                Err(error) => {
                    tracing::debug!(%error, "control handshake");
                    return;
                }
            };
            if !names.admit(&connection) {
                tracing::warn!(peer = %connection.remote_address(), "a certificate that names no focus");
                connection.close(NOT_A_FOCUS, b"not a focus");
                return;
            }
            match quic::open(connection).await {
                Ok(pipe) => drop(dialled.send(pipe).await),
                Err(error) => tracing::debug!(%error, "control stream"),
            }
        });
    }
}

struct Link {
    plane: Arc<Plane>,
    carrier: Carrier,
    rng: StdRng,
    pipe: Option<Pipe>,
    sender: Option<mpsc::Sender<Bytes>>,
    codec: Codec<ToRelay>,
    /// The frame that leaves next.
    next: Option<Bytes>,
}

/// What the link woke up for.
enum Woken {
    Dialled(Pipe),
    Heard(Option<Bytes>),
    Sent,
    Rung,
    Tick,
    Stop,
}

impl Link {
    async fn run(&mut self, mut links: mpsc::Receiver<Pipe>, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(TICK);
        let focus = Arc::clone(&self.plane.focus);
        loop {
            self.fill_next();
            let woken = tokio::select! {
                Some(pipe) = links.recv() => Woken::Dialled(pipe),
                heard = heard(&mut self.pipe) => Woken::Heard(heard),
                () = send(self.sender.as_ref(), &mut self.next) => Woken::Sent,
                () = focus.rung() => Woken::Rung,
                _ = ticks.tick() => Woken::Tick,
                () = shutdown.triggered() => Woken::Stop,
            };
            match woken {
                Woken::Dialled(pipe) => self.connected(pipe),
                Woken::Heard(Some(bytes)) => self.heard(&bytes),
                Woken::Heard(None) => self.broken("the focus went away"),
                Woken::Sent => {}
                Woken::Rung => self.rung(),
                Woken::Tick => self.tick(),
                Woken::Stop => break,
            }
        }
        self.flush().await;
    }

    fn connected(&mut self, pipe: Pipe) {
        tracing::info!(focus = %pipe.peer(), "the focus is connected");
        self.sender = Some(pipe.sender());
        if let Some(old) = self.pipe.replace(pipe) {
            old.close("another connection took over");
        }
        (self.codec, self.next) = (Codec::new(), None);
        self.plane.focus.link().connected();
        self.plane.metrics.control_up.set(1);
    }

    fn broken(&mut self, why: &str) {
        if let Some(pipe) = self.pipe.take() {
            tracing::warn!(focus = %pipe.peer(), gone = pipe.why_gone(), "{why}; rooms go on");
            pipe.close(why);
        }
        (self.sender, self.next) = (None, None);
        self.plane.focus.link().broken();
        self.plane.metrics.control_up.set(0);
    }

    fn heard(&mut self, bytes: &[u8]) {
        self.codec.feed(bytes);
        loop {
            match self.codec.next_frame() {
                Ok(Some(frame)) => {
                    if let Err(error) = self.obey(frame) {
                        self.broken(&error.to_string());
                        return;
                    }
                }
                Ok(None) => return,
                Err(error) => {
                    self.broken(&error.to_string());
                    return;
                }
            }
        }
    }

    fn obey(&mut self, frame: ToRelay) -> Result<(), Misbehaved> {
        let (step, charged) = {
            let mut link = self.plane.focus.link();
            (link.receive(frame)?, link.take_charged())
        };
        charged.into_iter().for_each(|(conference, id)| self.carrier.charged(&conference, &id));
        match step {
            Some(Step::Carry { ticket, order }) => {
                self.carrier.carry(order, clock::now(), &mut self.rng);
                self.plane.focus.link().carried_out(ticket);
            }
            Some(Step::Forget(forget)) => self.carrier.forget(forget),
            None => {}
        }
        Ok(())
    }

    fn fill_next(&mut self) {
        if self.pipe.is_none() || self.next.is_some() {
            return;
        }
        let frame = self.plane.focus.link().poll();
        self.next = frame.and_then(|frame| match Codec::<ToFocus>::encode(frame) {
            Ok(bytes) => Some(bytes),
            Err(error) => {
                tracing::error!(%error, "a notice that cannot be encoded");
                None
            }
        });
    }

    fn rung(&mut self) {
        // A greeting is the first frame of a link, so a new one needs a new link; the focus dials at once.
        if self.plane.focus.take_renamed() {
            self.broken("the relay has another certificate");
        }
    }

    fn tick(&mut self) {
        self.carrier.end_overdue(clock::now());
        self.carrier.tend_logs(clock::now(), &mut self.rng);
        if self.plane.focus.take_overrun() {
            tracing::error!("the focus has been away too long; every session ends");
            self.carrier.start_anew();
            self.broken("too many notices");
            self.plane.focus.renew(&mut self.rng);
        }
        self.carrier.measure();
    }

    /// Sends what is left, as long as the focus takes it.
    async fn flush(&mut self) {
        let last_words = async {
            self.fill_next();
            while self.next.is_some() {
                send(self.sender.as_ref(), &mut self.next).await;
                self.fill_next();
            }
        };
        _ = tokio::time::timeout(Duration::from_secs(1), last_words).await;
    }
}

async fn heard(pipe: &mut Option<Pipe>) -> Option<Bytes> {
    match pipe {
        Some(pipe) => pipe.recv().await,
        None => std::future::pending().await,
    }
}

/// Sends the frame and takes it out of its place. Dropped before that, nothing was sent.
async fn send(sender: Option<&mpsc::Sender<Bytes>>, next: &mut Option<Bytes>) {
    let (Some(sender), true) = (sender, next.is_some()) else {
        return std::future::pending().await;
    };
    match (sender.reserve().await, next.take()) {
        (Ok(permit), Some(bytes)) => permit.send(bytes),
        // The pipe is gone, which `heard` is about to say; the link sends the frame again.
        _ => std::future::pending().await,
    }
}
