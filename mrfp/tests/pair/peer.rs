//! The user of one leg: MSRP over TLS, answering only what the test says.
use std::sync::Arc;

use bytes::BytesMut;
use control::{Level, Room, RoomNotice, RoomOrder};
use ids::{SeatId, Term};
use msrp::{
    Address, Body, Chunk, Decoder, Flag, Head, Item, Path, Reply, SendRequest, Status,
    TransactionId,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustls::pki_types::ServerName;
use service::tls::{Trust, client_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::common::{ROOM, Stage, id, seat, soon};

pub(crate) struct Peer {
    pub(crate) hears: Hears,
    pub(crate) says: Says,
}

/// What comes in.
pub(crate) struct Hears {
    stream: ReadHalf<TlsStream<TcpStream>>,
    decoder: Decoder,
    input: BytesMut,
}

/// What goes out.
pub(crate) struct Says {
    stream: WriteHalf<TlsStream<TcpStream>>,
    pub(crate) rng: StdRng,
    pub(crate) address: Address,
}

/// The room that is a one-to-one session.
pub(crate) fn pair(charge: bool) -> RoomOrder {
    RoomOrder::Open(Room {
        uri: ROOM.into(),
        term: Term(1),
        level: Level::Pair,
        gate: None,
        message_octets_max: 100 * 1024 * 1024,
        charge,
        stored: None,
    })
}

/// A session with both legs in use: users 1 and 2.
pub(crate) async fn session(stage: &mut Stage, charge: bool) -> (Peer, Peer) {
    stage.order(pair(charge)).await;
    (Peer::join(stage, 1).await, Peer::join(stage, 2).await)
}

impl Peer {
    /// User `n` with its leg in use.
    pub(crate) async fn join(stage: &mut Stage, n: u64) -> Self {
        let path = stage.seat(seat(n)).await;
        Self::take(stage, n, &path).await
    }

    /// User `n` comes for its leg.
    pub(crate) async fn take(stage: &mut Stage, n: u64, path: &str) -> Self {
        let mut peer = Self::connect(stage, path, &seat(n).peer_path.unwrap()).await;
        assert_eq!(peer.ask(&SendRequest::bodiless(id("bind1"))).await, 200);
        stage.notice(|notice| *notice == RoomNotice::Bound { seat: SeatId(n) }).await;
        peer
    }

    pub(crate) async fn connect(stage: &Stage, to: &str, from: &str) -> Self {
        let socket = TcpStream::connect(stage.msrp).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let roots = Trust::Roots(stage.ca.roots().unwrap());
        let trusting = client_config(roots, None, &[]).unwrap();
        let connector = TlsConnector::from(trusting);
        let stream = TlsStream::from(connector.connect(name, socket).await.unwrap());
        let (read, write) = tokio::io::split(stream);
        Self { hears: Hears::new(read), says: Says::new(write, to, from) }
    }

    pub(crate) async fn send(&mut self, send: &SendRequest) -> TransactionId {
        self.says.send(send).await
    }

    /// Sends a request; the code of its answer.
    pub(crate) async fn ask(&mut self, send: &SendRequest) -> u16 {
        let transaction = self.send(send).await;
        self.answer_to(transaction).await
    }

    /// The answer to a request. What comes before it is lost.
    pub(crate) async fn answer_to(&mut self, transaction: TransactionId) -> u16 {
        loop {
            if let Item::Response(head) = self.hears.item().await.expect("an answer")
                && head.transaction() == transaction
            {
                return head.status().unwrap().code();
            }
        }
    }

    /// The next chunk or other request, which is not answered.
    pub(crate) async fn request(&mut self) -> Chunk {
        loop {
            if let Item::Request(chunk) = self.hears.item().await.expect("a request") {
                return chunk;
            }
        }
    }

    pub(crate) async fn answer(&mut self, head: &Head, status: Status) {
        self.says.answer(head, status).await;
    }

    /// The next message, answered with 200 as it comes.
    pub(crate) async fn message(&mut self) -> (Vec<Arc<Head>>, Body) {
        let (mut heads, mut body) = (Vec::new(), Body::new());
        loop {
            let chunk = self.request().await;
            body.append(&chunk.body);
            if let Some(flag) = chunk.end {
                self.answer(&chunk.head, Status::OK).await;
                heads.push(Arc::clone(&chunk.head));
                if flag == Flag::End {
                    return (heads, body);
                }
            }
        }
    }

    /// A REPORT: its Message-ID, its code and its range.
    pub(crate) async fn report(&mut self) -> (String, u16, String) {
        told(&self.request().await)
    }

    /// Everything that comes until a request of this peer's own is answered: so everything that was on its way.
    pub(crate) async fn rest(&mut self) -> Vec<Item> {
        let marker = self.send(&SendRequest::bodiless(id("marker"))).await;
        let mut items = Vec::new();
        loop {
            match self.hears.item().await.expect("the answer to the marker") {
                Item::Response(head) if head.transaction() == marker => return items,
                item => items.push(item),
            }
        }
    }
}

/// What a REPORT says.
pub(crate) fn told(chunk: &Chunk) -> (String, u16, String) {
    let status = chunk.head.report_status().expect("a REPORT").status.code();
    let id = chunk.head.message_id().unwrap().as_str().to_owned();
    (id, status, chunk.head.byte_range().to_string())
}

impl Hears {
    pub(crate) fn new(stream: ReadHalf<TlsStream<TcpStream>>) -> Self {
        Self { stream, decoder: Decoder::default(), input: BytesMut::new() }
    }

    /// What comes next; None at the end.
    pub(crate) async fn item(&mut self) -> Option<Item> {
        soon("something to hear", async {
            loop {
                if let Some(item) = self.decoder.next(&mut self.input).unwrap() {
                    return Some(item);
                }
                self.input.reserve(64 * 1024);
                match self.stream.read_buf(&mut self.input).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        })
        .await
    }
}

impl Says {
    /// Requests go to this path, and come from that one.
    pub(crate) fn new(stream: WriteHalf<TlsStream<TcpStream>>, to: &str, from: &str) -> Self {
        let (to, from): (Path, Path) = (to.parse().unwrap(), from.parse().unwrap());
        Self { stream, rng: StdRng::seed_from_u64(7), address: Address::new(&to, &from) }
    }

    pub(crate) async fn send(&mut self, send: &SendRequest) -> TransactionId {
        let frame = send.encode(&mut self.rng).to(&self.address);
        self.raw(&frame.to_bytes()).await;
        frame.payload.transaction()
    }

    pub(crate) async fn answer(&mut self, head: &Head, status: Status) {
        if let Some(frame) = Reply::new(head, status).unwrap().encode() {
            self.raw(&frame.to_bytes()).await;
        }
    }

    /// Sends text with the paths of this leg in place of `PATHS`.
    pub(crate) async fn text(&mut self, text: &str) {
        let paths = String::from_utf8(self.address.as_bytes().to_vec()).unwrap();
        self.raw(text.replace("PATHS", paths.trim_end()).as_bytes()).await;
    }

    pub(crate) async fn raw(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// As much as goes within a moment in which nothing more goes.
    pub(crate) async fn as_far_as_it_goes(&mut self, octets: &[u8]) -> usize {
        let mut sent = 0;
        while let Some(rest) = octets.get(sent..).filter(|rest| !rest.is_empty()) {
            let piece = rest.get(..16 * 1024).unwrap_or(rest);
            let moment = std::time::Duration::from_millis(500);
            match tokio::time::timeout(moment, self.stream.write(piece)).await {
                Ok(wrote) => sent += wrote.unwrap(),
                Err(_) => break,
            }
        }
        sent
    }
}
