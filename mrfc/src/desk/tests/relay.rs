//! A relay without rooms: it hands every order to the test, and says what the test wants said.
use std::net::SocketAddr;
use std::time::Duration;

use control::{
    Codec, Limits, Notice, Order, RelayLink, RelayName, RoomNotice, RoomOrder, Step, ToRelay,
};
use ids::{ConferenceId, SeatId};
use service::quic;
use service::tls::{DevCa, Identity};
use tokio::sync::{mpsc, oneshot};

/// How long a test waits for what must come.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

enum Say {
    Notice(Notice),
    /// Cut the connection, and start anew as this incarnation if one is named.
    Break(Option<&'static str>, oneshot::Sender<()>),
    Waiting(oneshot::Sender<usize>),
    /// Carry orders out, or only take them.
    Work(bool),
}

/// The test's end of it.
pub(super) struct FakeRelay {
    pub(super) address: SocketAddr,
    pub(super) orders: mpsc::UnboundedReceiver<(ConferenceId, RoomOrder)>,
    say: mpsc::UnboundedSender<Say>,
}

/// What a relay is told at its start.
pub(super) struct Habits {
    pub(super) name: &'static str,
    pub(super) incarnation: &'static str,
    /// It answers each seat.
    pub(super) seats: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self { name: "relay-0", incarnation: "first", seats: true }
    }
}

impl FakeRelay {
    pub(super) fn start(ca: &DevCa, habits: Habits) -> Self {
        let identity: Identity = ca.issue(&["relay.test"]).unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let endpoint = quic::listen(address, &identity, ca.roots().unwrap()).unwrap();
        let address = endpoint.local_addr().unwrap();
        let (tell, orders) = mpsc::unbounded_channel();
        let (say, said) = mpsc::unbounded_channel();
        let link = new_link(&habits);
        let (works, stalled) = (true, Vec::new());
        let relay = Running { endpoint, link, orders: tell, said, habits, works, stalled };
        drop(tokio::spawn(relay.run()));
        Self { address, orders, say }
    }

    pub(super) fn notice(&self, conference: &ConferenceId, notice: RoomNotice) {
        self.say.send(Say::Notice(Notice::room(conference.clone(), notice))).unwrap();
    }

    pub(super) fn bound(&self, conference: &ConferenceId, seat: SeatId) {
        self.notice(conference, RoomNotice::Bound { seat });
    }

    /// Cuts the connection; the focus has to dial again.
    pub(super) async fn cut(&self) {
        let (reply, done) = oneshot::channel();
        self.say.send(Say::Break(None, reply)).unwrap();
        done.await.unwrap();
    }

    /// Starts anew, without any memory.
    pub(super) async fn restart(&self, incarnation: &'static str) {
        let (reply, done) = oneshot::channel();
        self.say.send(Say::Break(Some(incarnation), reply)).unwrap();
        done.await.unwrap();
    }

    /// From now on orders are taken and not called carried out, as if the relay had died between the two.
    pub(super) fn stall(&self) {
        self.say.send(Say::Work(false)).unwrap();
    }

    /// Orders are carried out, those taken meanwhile too.
    pub(super) fn work(&self) {
        self.say.send(Say::Work(true)).unwrap();
    }

    /// How many notices the focus has not called safe.
    pub(super) async fn waiting(&self) -> usize {
        let (reply, answer) = oneshot::channel();
        self.say.send(Say::Waiting(reply)).unwrap();
        answer.await.unwrap()
    }

    /// The next order of this kind. Others before it are passed over.
    pub(super) async fn order<T>(&mut self, wanted: impl Fn(&RoomOrder) -> Option<T>) -> T {
        let next = async {
            loop {
                let (_, order) = self.orders.recv().await.expect("the relay runs");
                if let Some(found) = wanted(&order) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.expect("the order comes")
    }
}

struct Running {
    endpoint: quinn::Endpoint,
    link: RelayLink,
    orders: mpsc::UnboundedSender<(ConferenceId, RoomOrder)>,
    said: mpsc::UnboundedReceiver<Say>,
    habits: Habits,
    works: bool,
    /// Orders that were taken only.
    stalled: Vec<u64>,
}

impl Running {
    async fn run(mut self) {
        while let Some(incoming) = self.endpoint.accept().await {
            if let Ok(connection) = incoming.await
                && let Ok(pipe) = quic::open(connection).await
            {
                self.talk(pipe).await;
                self.link.broken();
            }
        }
    }

    async fn talk(&mut self, mut pipe: quic::Pipe) {
        let mut codec = Codec::<ToRelay>::new();
        self.link.connected();
        loop {
            while let Some(frame) = self.link.poll() {
                if pipe.send(Codec::encode(frame).unwrap()).await.is_err() {
                    return;
                }
            }
            tokio::select! {
                bytes = pipe.recv() => {
                    let Some(bytes) = bytes else { return };
                    codec.feed(&bytes);
                    while let Some(frame) = codec.next_frame().unwrap() {
                        if let Some(step) = self.link.receive(frame).unwrap() {
                            self.step(step);
                        }
                    }
                }
                said = self.said.recv() => match said {
                    Some(Say::Notice(notice)) => self.link.notice(notice).unwrap(),
                    Some(Say::Waiting(reply)) => drop(reply.send(self.link.waiting())),
                    Some(Say::Work(works)) => self.work(works),
                    Some(Say::Break(incarnation, done)) => {
                        pipe.close("cut by the test");
                        if let Some(incarnation) = incarnation {
                            self.habits.incarnation = incarnation;
                            self.link = new_link(&self.habits);
                        }
                        done.send(()).ok();
                        return;
                    }
                    None => return,
                },
            }
        }
    }

    fn step(&mut self, step: Step) {
        let (ticket, order) = match step {
            Step::Carry { ticket, order } => (ticket, order),
            Step::Forget(forget) => {
                for (conference, seat) in forget.seats {
                    let reason = String::from("forgotten");
                    self.orders.send((conference, RoomOrder::Unseat { seat, reason })).ok();
                }
                return;
            }
        };
        if let Order::Room { conference, order } = order {
            if let RoomOrder::Seat(seat) = &order
                && self.habits.seats
            {
                let path = path(seat.seat, self.habits.incarnation);
                let seated = RoomNotice::Seated { seat: seat.seat, path };
                self.link.notice(Notice::room(conference.clone(), seated)).unwrap();
            }
            self.orders.send((conference, order)).ok();
        }
        self.stalled.push(ticket);
        self.work(self.works);
    }

    fn work(&mut self, works: bool) {
        self.works = works;
        if works {
            self.stalled.drain(..).for_each(|ticket| self.link.carried_out(ticket));
        }
    }
}

fn new_link(habits: &Habits) -> RelayLink {
    let name = RelayName {
        name: habits.name.into(),
        incarnation: habits.incarnation.into(),
        msrp: "relay.test:2855".into(),
        fingerprint: "SHA-256 AB:CD".into(),
    };
    RelayLink::new(name, Limits::default())
}

/// The path this relay gives a seat.
pub(super) fn path(seat: SeatId, incarnation: &str) -> String {
    format!("msrps://relay.test:2855/{incarnation}{seat};tcp")
}
