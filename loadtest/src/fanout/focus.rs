//! The focus's part: over the control link it opens one room and seats everybody, then keeps the link up until the run
//! is over. Nobody dials in; the seats' paths go straight to the generator.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use control::{
    Codec, FocusLink, Heard, Level, Limits, Notice, Order, Room, RoomNotice, RoomOrder, Seat,
    ToFocus, ToRelay, Transport,
};
use ids::{ConferenceId, DeviceId, SeatId, Term};
use service::quic::{self, Pipe};
use service::tls::DevCa;
use tokio::runtime::Runtime;

use super::msrp::{ROOM, user};

const CONFERENCE: &str = "room";
/// Seats ordered before the first of them is waited for.
const SEATS_AT_ONCE: usize = 256;
/// The longest the relay may take for all seats.
const SEATING_MAX: Duration = Duration::from_secs(60);
/// Octets of the longest message: as long as the content that may be asked for.
const MESSAGE_OCTETS_MAX: u64 = 1 << 30;

/// A focus whose room is open. The link ends with it.
#[derive(Debug)]
pub struct Focus {
    runtime: Option<Runtime>,
}

/// A seat: its path at the relay, and the participant's own.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Where to send.
    pub seat: String,
    /// What the participant's SDP would have said.
    pub own: String,
}

impl Focus {
    /// Opens the room and orders seats 0 to `seats` - 1.
    ///
    /// # Errors
    /// The relay cannot be reached, or does not seat everybody in time.
    pub fn open(
        ca: &DevCa,
        relay: SocketAddr,
        seats: usize,
        (level, transport): (Level, Transport),
    ) -> anyhow::Result<(Self, Vec<Paths>)> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let paths = runtime.block_on(async {
            let seating = async {
                let mut desk = Desk::connect(ca, relay).await?;
                let paths = desk.seat(seats, (level, transport)).await?;
                tokio::spawn(desk.keep_up());
                anyhow::Ok(paths)
            };
            tokio::time::timeout(SEATING_MAX, seating).await.context("the relay was too slow")?
        })?;
        Ok((Self { runtime: Some(runtime) }, paths))
    }
}

impl Drop for Focus {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

struct Desk {
    link: FocusLink,
    pipe: Pipe,
    codec: Codec<ToFocus>,
    seated: BTreeMap<u64, String>,
}

impl Desk {
    async fn connect(ca: &DevCa, relay: SocketAddr) -> anyhow::Result<Self> {
        let endpoint = quic::dialler(&ca.issue(&["focus"])?, ca.roots()?, relay)?;
        let connection = quic::connect(&endpoint, relay, super::line::SERVER_NAME).await?;
        let mut link = FocusLink::new("loadtest", "loadtest", Limits::default());
        link.connected();
        let pipe = quic::accept(connection).await?;
        let mut desk = Self { link, pipe, codec: Codec::new(), seated: BTreeMap::new() };
        while !desk.link.is_up() {
            desk.step().await?;
        }
        Ok(desk)
    }

    async fn seat(
        &mut self,
        seats: usize,
        (level, transport): (Level, Transport),
    ) -> anyhow::Result<Vec<Paths>> {
        let room = Room {
            uri: ROOM.into(),
            term: Term(1),
            level,
            gate: None,
            message_octets_max: MESSAGE_OCTETS_MAX,
            charge: false,
            stored: None,
        };
        self.order(RoomOrder::Open(room)).await?;
        let scheme = if transport == Transport::Tcp { "msrp" } else { "msrps" };
        let own = |seat: usize| format!("{scheme}://ua{seat}.example.net:9/u{seat};tcp");
        for seat in 0..seats {
            let mut order = Seat::new(SeatId(number(seat)), user(seat).parse()?, device(seat)?);
            order.peer_path = Some(own(seat));
            order.reach.transport = transport;
            self.order(RoomOrder::Seat(order)).await?;
            while self.seated.len() + SEATS_AT_ONCE < seat {
                self.step().await?;
            }
        }
        while self.seated.len() < seats {
            self.step().await?;
        }
        let paths = std::mem::take(&mut self.seated).into_values();
        Ok(paths.enumerate().map(|(at, seat)| Paths { seat, own: own(at) }).collect())
    }

    async fn order(&mut self, order: RoomOrder) -> anyhow::Result<()> {
        self.link.order(Order::room(conference()?, order))?;
        self.pump().await
    }

    async fn step(&mut self) -> anyhow::Result<()> {
        let bytes = self.pipe.recv().await.ok_or_else(|| anyhow!("the relay hung up"))?;
        self.codec.feed(&bytes);
        while let Some(frame) = self.codec.next_frame()? {
            let Heard::Notice { number, notice } = self.link.receive(frame)? else { continue };
            self.link.safe(number);
            if let Notice::Room { notice: RoomNotice::Seated { seat, path }, .. } = notice {
                self.seated.insert(seat.0, path);
            }
        }
        self.pump().await
    }

    async fn pump(&mut self) -> anyhow::Result<()> {
        while let Some(frame) = self.link.poll() {
            self.pipe.send(Codec::<ToRelay>::encode(frame)?).await?;
        }
        Ok(())
    }

    async fn keep_up(mut self) {
        while self.step().await.is_ok() {}
    }
}

fn conference() -> anyhow::Result<ConferenceId> {
    Ok(CONFERENCE.parse()?)
}

fn device(seat: usize) -> anyhow::Result<DeviceId> {
    Ok(format!("urn:uuid:00000000-0000-4000-8000-{seat:012}").parse()?)
}

fn number(seat: usize) -> u64 {
    u64::try_from(seat).unwrap_or(u64::MAX)
}
