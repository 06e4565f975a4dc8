//! A control endpoint in the place of a relay: it speaks the real protocol over real QUIC, gives every seat a path, and
//! tells the test which orders it got. It carries no media.
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use control::{
    Codec, Level, Limits, Notice, Order, RelayLink, RelayName, RoomNotice, RoomOrder, Step,
};
use control::{ToFocus, ToRelay};
use ids::{ConferenceId, SeatId};
use rustls::RootCertStore;
use service::quic::{self, Pipe};
use service::tls::Identity;
use tokio::sync::{Notify, mpsc};

/// A relay without media.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    orders: mpsc::UnboundedReceiver<RoomOrder>,
    go: Arc<Notify>,
    said: mpsc::UnboundedSender<Notice>,
    pairs: Arc<Mutex<Vec<ConferenceId>>>,
}

/// How it behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Every seat is ready at once.
    Prompt,
    /// Seats are ready when the test says so ([`Relay::go`]).
    Held,
    /// No seat is ever ready.
    Silent,
}

/// The MSRP path of a seat.
pub(crate) fn path(seat: SeatId) -> String {
    format!("msrps://relay.example.net:2855/seat{seat};tcp")
}

impl Relay {
    pub(crate) fn start(identity: &Identity, roots: Arc<RootCertStore>, manner: Manner) -> Self {
        let endpoint = quic::listen("127.0.0.1:0".parse().unwrap(), identity, roots).unwrap();
        let address = endpoint.local_addr().unwrap();
        let (tell, orders) = mpsc::unbounded_channel();
        let go = Arc::new(Notify::new());
        let held = Arc::clone(&go);
        let (said, mut saying) = mpsc::unbounded_channel();
        let pairs = Arc::<Mutex<Vec<ConferenceId>>>::default();
        let made = Arc::clone(&pairs);
        tokio::spawn(async move {
            let name = RelayName {
                name: "mrfp-0".into(),
                incarnation: "run-1".into(),
                msrp: "relay.example.net:2855".into(),
                fingerprint: "SHA-256 AB:CD".into(),
            };
            let mut link = RelayLink::new(name, Limits::default());
            while let Some(incoming) = endpoint.accept().await {
                let Ok(connection) = incoming.await else { continue };
                link.connected();
                let pipe = quic::open(connection).await.unwrap();
                let told = (&tell, &*made);
                talk(&mut link, pipe, told, manner, (&held, &mut saying)).await;
                link.broken();
            }
        });
        Self { address, orders, go, said, pairs }
    }

    /// The seats that were held are ready now.
    pub(crate) fn go(&self) {
        self.go.notify_one();
    }

    /// The relay says this of a room.
    pub(crate) fn tell(&self, room: &ConferenceId, notice: RoomNotice) {
        self.said.send(Notice::room(room.clone(), notice)).unwrap();
    }

    /// The room of the newest session between two.
    pub(crate) fn last_pair(&self) -> ConferenceId {
        self.pairs.lock().unwrap().last().unwrap().clone()
    }

    /// The next order that `wanted` knows; others are passed over.
    pub(crate) async fn order<T>(&mut self, wanted: impl Fn(&RoomOrder) -> Option<T>) -> T {
        loop {
            let order = self.orders.recv().await.expect("the relay goes on");
            if let Some(found) = wanted(&order) {
                return found;
            }
        }
    }

    /// Waits until this seat is ended.
    pub(crate) async fn unseated(&mut self, seat: SeatId) -> String {
        self.order(|order| match order {
            RoomOrder::Unseat { seat: ended, reason } if *ended == seat => Some(reason.clone()),
            _ => None,
        })
        .await
    }

    /// The next seat it was asked for.
    pub(crate) async fn seat(&mut self) -> control::Seat {
        self.order(|order| match order {
            RoomOrder::Seat(seat) => Some(seat.clone()),
            _ => None,
        })
        .await
    }
}

async fn talk(
    link: &mut RelayLink,
    mut pipe: Pipe,
    (tell, pairs): (&mpsc::UnboundedSender<RoomOrder>, &Mutex<Vec<ConferenceId>>),
    manner: Manner,
    (go, saying): (&Notify, &mut mpsc::UnboundedReceiver<Notice>),
) {
    let mut codec = Codec::<ToRelay>::new();
    let mut held = Vec::new();
    loop {
        while let Some(frame) = link.poll() {
            let bytes = Codec::<ToFocus>::encode(frame).unwrap();
            if pipe.send(bytes).await.is_err() {
                return;
            }
        }
        let bytes = tokio::select! {
            bytes = pipe.recv() => bytes,
            Some(notice) = saying.recv() => {
                if matches!(notice, Notice::Room { notice: RoomNotice::Charged(_), .. }) {
                    link.reserve().unwrap();
                }
                link.notice(notice).unwrap();
                continue;
            }
            () = go.notified() => {
                held.drain(..).for_each(|notice| link.notice(notice).unwrap());
                continue;
            }
        };
        let Some(bytes) = bytes else { return };
        codec.feed(&bytes);
        while let Some(frame) = codec.next_frame().unwrap() {
            let Some(Step::Carry { ticket, order }) = link.receive(frame).unwrap() else {
                continue;
            };
            link.carried_out(ticket);
            let Order::Room { conference, order } = order else { continue };
            if matches!(&order, RoomOrder::Open(room) if room.level == Level::Pair) {
                pairs.lock().unwrap().push(conference.clone());
            }
            if let RoomOrder::Seat(seat) = &order {
                let path = match seat.reach.transport {
                    control::Transport::Tls => path(seat.seat),
                    control::Transport::WebSocket => path(seat.seat).replace(";tcp", ";ws"),
                    control::Transport::Tcp => path(seat.seat).replace("msrps:", "msrp:"),
                };
                let seated = RoomNotice::Seated { seat: seat.seat, path };
                let notice = Notice::Room { conference, notice: seated };
                match manner {
                    Manner::Prompt => link.notice(notice).unwrap(),
                    Manner::Held => held.push(notice),
                    Manner::Silent => {}
                }
            }
            // A test that is over does not listen.
            tell.send(order).ok();
        }
    }
}
