//! The focus's end of the control link.
use std::collections::VecDeque;
use std::net::SocketAddr;

use control::{Codec, FocusLink, Heard, Limits, Notice, Order, RoomOrder, ToFocus, ToRelay};
use service::quic::{self, Pipe};
use service::tls::DevCa;

use super::conference;

pub struct Focus {
    link: FocusLink,
    endpoint: quinn::Endpoint,
    relay: SocketAddr,
    pipe: Option<Pipe>,
    codec: Codec<ToFocus>,
    heard: VecDeque<Notice>,
    ordered: u64,
    carried_out: u64,
    fingerprint: Option<String>,
    /// Notices are acknowledged only while this is set.
    pub acknowledges: bool,
}

impl Focus {
    pub fn new(ca: &DevCa, relay: SocketAddr) -> Self {
        let identity = ca.issue(&["focus"]).unwrap();
        let endpoint = quic::dialler(&identity, ca.roots().unwrap(), relay).unwrap();
        Self {
            link: FocusLink::new("focus-0", "incarnation-a", Limits::default()),
            endpoint,
            relay,
            pipe: None,
            codec: Codec::new(),
            heard: VecDeque::new(),
            ordered: 0,
            carried_out: 0,
            fingerprint: None,
            acknowledges: true,
        }
    }

    pub async fn connect(&mut self) {
        let connection = quic::connect(&self.endpoint, self.relay, "localhost").await.unwrap();
        self.pipe = Some(quic::accept(connection).await.unwrap());
        self.codec = Codec::new();
        self.link.connected();
        while !self.link.is_up() {
            self.step().await;
        }
        self.pump().await;
    }

    /// The connection breaks, and the focus forgets nothing.
    pub fn break_link(&mut self) {
        self.pipe = None;
        self.link.broken();
    }

    pub async fn order(&mut self, order: RoomOrder) {
        self.link.order(Order::room(conference(), order)).unwrap();
        self.pump().await;
    }

    pub async fn tell(&mut self, order: Order) {
        self.link.order(order).unwrap();
        self.pump().await;
    }

    pub async fn drain(&mut self, deadline: std::time::Duration) {
        self.link.order(Order::Drain { deadline }).unwrap();
        self.pump().await;
    }

    /// Waits for a notice that fits.
    pub async fn notice<T>(&mut self, fits: impl Fn(&Notice) -> Option<T>) -> T {
        loop {
            if let Some(at) = self.heard.iter().position(|notice| fits(notice).is_some()) {
                return self.heard.remove(at).and_then(|notice| fits(&notice)).unwrap();
            }
            self.step().await;
        }
    }

    /// Waits until the relay has carried out every order.
    pub async fn settled(&mut self) {
        while self.carried_out < self.ordered {
            self.step().await;
        }
    }

    /// The certificate that the relay's last greeting named.
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// Waits until the relay ends the link.
    pub async fn hung_up(&mut self) {
        while self.pipe.as_mut().unwrap().recv().await.is_some() {}
    }

    /// Notices that came and nobody waited for yet.
    pub fn left(&self) -> impl Iterator<Item = &Notice> {
        self.heard.iter()
    }

    async fn step(&mut self) {
        let bytes = self.pipe.as_mut().unwrap().recv().await.expect("the relay hung up");
        self.codec.feed(&bytes);
        while let Some(frame) = self.codec.next_frame().unwrap() {
            if let ToFocus::Acknowledge(number) = frame {
                self.carried_out = number;
            }
            match self.link.receive(frame).unwrap() {
                Heard::Up { hello, .. } => self.fingerprint = Some(hello.fingerprint),
                Heard::Notice { number, notice } => {
                    if self.acknowledges {
                        self.link.safe(number);
                    }
                    self.heard.push_back(notice);
                }
                Heard::Acknowledged | Heard::Nothing => {}
            }
        }
        self.pump().await;
    }

    async fn pump(&mut self) {
        while let Some(frame) = self.link.poll() {
            if let ToRelay::Order { number, .. } = frame {
                self.ordered = number;
            }
            let bytes = Codec::<ToRelay>::encode(frame).unwrap();
            if let Some(pipe) = &self.pipe {
                pipe.send(bytes).await.unwrap();
            }
        }
    }
}
