//! People who come, talk, leave, are sent away and are cut off, over real sockets and two shards, in an order that only the
//! seed knows. Whoever stays hears everything once, and when all have gone the relay is as it was.
#![expect(clippy::indexing_slicing, reason = "a place that is not there fails the test")]
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use control::{Level, RoomNotice, RoomOrder};
use ids::SeatId;
use msrp::{Address, Body, Decoder, Flag, Item, MessageId, Method, Reply, SendRequest, Status};
use msrp::{Path, TransactionId};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};
use rustls::pki_types::ServerName;
use service::tls::DevCa;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsConnector;

use super::drain::ready_of;
use super::{config_under, serve};
use crate::common::person::trusting;
use crate::common::{ROOM, Stage, aor, conference, cpim, seat, soon, text};

const GUESTS: usize = 10;
const STEPS: usize = 250;
const ROUNDS: usize = 4;

/// Little more than the guests need at once, so that what is not given back is soon missed.
const LIMITS: &str = "shards = 2\n[limits]\nhalf_open_max = 6\nconnections_per_address_max = 30\n\
                      connections_max = 30\nconnects_per_address_per_sec = 0\n\
                      chunks_per_seat_per_sec = 0\nopen_messages_max = 64\n";

/// What the relay may be larger by after some more rounds: buffers that happened to be larger.
const GROWTH_OCTETS_MAX: f64 = 8.0 * 1024.0 * 1024.0;

/// What one guest has heard.
#[derive(Default)]
struct Heard {
    whole: Vec<Bytes>,
    open: HashMap<MessageId, Body>,
    answers: HashMap<TransactionId, u16>,
    ended: bool,
}

#[derive(Default)]
struct Ears {
    heard: Mutex<Heard>,
    news: Notify,
}

impl Ears {
    fn hear(&self, what: impl FnOnce(&mut Heard)) {
        what(&mut self.heard.lock().unwrap());
        self.news.notify_one();
    }

    /// Waits until this is so.
    async fn until(&self, what: &str, fits: impl Fn(&Heard) -> bool) {
        soon(what, async {
            while !fits(&self.heard.lock().unwrap()) {
                self.news.notified().await;
            }
        })
        .await;
    }
}

struct Guest {
    n: u64,
    /// The moment, in messages begun, at which the focus knew that it is there.
    came: usize,
    address: Address,
    says: mpsc::UnboundedSender<Bytes>,
    ears: Arc<Ears>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Guest {
    /// The socket closes, whatever was on its way.
    fn cut(&self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

/// A message as its sender knows it.
struct Sent {
    /// All of it: the relay gives a message an id of its own, and no two are alike.
    octets: Bytes,
    from: u64,
    to: Option<u64>,
    transactions: Vec<TransactionId>,
    /// How its last chunk ended.
    end: Option<Flag>,
    ears: Arc<Ears>,
}

impl Sent {
    fn is_for(&self, n: u64) -> bool {
        self.to.map_or(self.from != n, |to| to == n)
    }

    /// Its sender was told that all of it has arrived.
    fn has_arrived(&self) -> bool {
        let heard = self.ears.heard.lock().unwrap();
        let ok = |id| heard.answers.get(id) == Some(&200);
        self.end == Some(Flag::End) && self.transactions.iter().all(ok)
    }
}

struct Storm {
    stage: Stage,
    rng: StdRng,
    guests: Vec<Guest>,
    gone: Vec<Guest>,
    sent: Vec<Sent>,
    /// Messages that go on: which of those sent, and where.
    open: Vec<(usize, SendRequest, usize)>,
    last: u64,
    empty_seats: Vec<u64>,
    /// Of whom the focus has not been asked whether it heard that they are lost.
    lost: Vec<u64>,
    /// Messages of which it was seen that somebody who stayed had them.
    proved: usize,
}

async fn read(
    mut socket: impl AsyncReadExt + Unpin,
    ears: Arc<Ears>,
    answer: mpsc::UnboundedSender<Bytes>,
) {
    let (mut decoder, mut input) = (Decoder::default(), BytesMut::new());
    loop {
        while let Some(item) = decoder.next(&mut input).unwrap() {
            let chunk = match item {
                Item::Response(head) => {
                    let status = head.status().unwrap().code();
                    let again =
                        |heard: &mut Heard| heard.answers.insert(head.transaction(), status);
                    ears.hear(|heard| assert_eq!(again(heard), None, "answered twice"));
                    continue;
                }
                Item::Request(chunk) => chunk,
            };
            assert_eq!(chunk.head.method(), Some(&Method::Send), "nobody asked for reports");
            if chunk.end.is_some() {
                let reply = Reply::new(&chunk.head, Status::OK).unwrap().encode().unwrap();
                drop(answer.send(reply.to_bytes()));
            }
            let id = chunk.head.message_id().unwrap();
            ears.hear(|heard| {
                let body = heard.open.entry(id).or_default();
                let here = body.octets() + 1;
                assert!(
                    chunk.body.is_empty() || chunk.range.start == here,
                    "a gap, or octets twice: {} at {here}, {:?}",
                    chunk.range,
                    chunk.end
                );
                body.append(&chunk.body);
                if let Some(Flag::End | Flag::Abort) = chunk.end {
                    let body = heard.open.remove(&id).unwrap();
                    if chunk.end == Some(Flag::End) {
                        heard.whole.push(body.gather());
                    }
                }
            });
        }
        input.reserve(64 * 1024);
        if !matches!(socket.read_buf(&mut input).await, Ok(1..)) {
            ears.hear(|heard| heard.ended = true);
            return;
        }
    }
}

async fn write(mut socket: impl AsyncWriteExt + Unpin, mut frames: mpsc::UnboundedReceiver<Bytes>) {
    while let Some(octets) = frames.recv().await {
        if socket.write_all(&octets).await.is_err() || socket.flush().await.is_err() {
            return;
        }
    }
}

impl Storm {
    fn any(&mut self, below: usize) -> usize {
        self.rng.random_range(0..below.max(1))
    }

    async fn step(&mut self) {
        match self.any(24) {
            0..=3 => self.come().await,
            4 => self.give_a_seat_to_nobody().await,
            5 => self.kick().await,
            6 => self.leave(),
            7..=13 => self.begin(),
            _ => self.go_on(),
        }
        tokio::task::yield_now().await;
        let (here, gone) =
            self.guests.drain(..).partition(|guest| !guest.ears.heard.lock().unwrap().ended);
        self.guests = here;
        self.gone.extend::<Vec<_>>(gone);
    }

    async fn come(&mut self) {
        if self.guests.len() == GUESTS {
            return;
        }
        self.last += 1;
        let (n, order) = (self.last, seat(self.last));
        let path = self.stage.seat(order.clone()).await;
        let (to, from): (Path, Path) =
            (path.parse().unwrap(), order.peer_path.unwrap().parse().unwrap());
        let socket = TcpStream::connect(self.stage.msrp).await.unwrap();
        let tls = TlsConnector::from(trusting(&self.stage.ca));
        let name = ServerName::try_from("localhost").unwrap();
        let stream = soon("the handshake", tls.connect(name, socket)).await.unwrap();
        let (reads, writes) = tokio::io::split(stream);
        let (says, frames) = mpsc::unbounded_channel();
        let ears = Arc::new(Ears::default());
        let tasks = [
            tokio::spawn(read(reads, Arc::clone(&ears), says.clone())),
            tokio::spawn(write(writes, frames)),
        ];
        let address = Address::new(&to, &from);
        let hello = SendRequest::bodiless(MessageId::random(&mut self.rng));
        says.send(hello.encode(&mut self.rng).to(&address).to_bytes()).unwrap();
        self.stage.notice(|notice| *notice == RoomNotice::Bound { seat: SeatId(n) }).await;
        let came = self.sent.len();
        self.guests.push(Guest { n, came, address, says, ears, tasks });
    }

    async fn give_a_seat_to_nobody(&mut self) {
        self.last += 1;
        self.empty_seats.push(self.last);
        self.stage.seat(seat(self.last)).await;
    }

    async fn unseat(&mut self, n: u64) {
        let reason = String::from("a moderator's wish");
        self.stage.order(RoomOrder::Unseat { seat: SeatId(n), reason }).await;
    }

    /// Anybody but the first, who stays to the end.
    async fn kick(&mut self) {
        if self.guests.len() > 1 {
            let at = 1 + self.any(self.guests.len() - 1);
            let guest = self.guests.remove(at);
            self.unseat(guest.n).await;
            self.gone.push(guest);
        }
    }

    /// Somebody is gone, perhaps in the middle of a chunk.
    fn leave(&mut self) {
        if self.guests.len() > 1 {
            let at = 1 + self.any(self.guests.len() - 1);
            let guest = self.guests.remove(at);
            if self.any(2) == 0 {
                let body = cpim(guest.n, ROOM, "text/plain", vec![b'?'; 20_000]);
                let half = SendRequest::whole(
                    MessageId::random(&mut self.rng),
                    msrp::cpim::MEDIA_TYPE,
                    body,
                );
                let frame = half.encode(&mut self.rng).to(&guest.address).to_bytes();
                let octets = self.any(frame.len());
                drop(guest.says.send(frame.slice(..octets)));
            }
            guest.cut();
            self.lost.push(guest.n);
            self.gone.push(guest);
        }
    }

    /// The first chunk of a message to the room, or to somebody who may be there.
    fn begin(&mut self) {
        if self.guests.is_empty() {
            return;
        }
        let at = self.any(self.guests.len());
        let to =
            (self.any(4) == 0).then(|| self.any(self.guests.len())).map(|to| self.guests[to].n);
        let mut content = vec![0; [10, 3000, 150_000][self.any(3)]];
        self.rng.fill_bytes(&mut content);
        let from = &self.guests[at];
        let whom = to.map_or_else(|| ROOM.to_owned(), aor);
        let body = cpim(from.n, &whom, "application/octet-stream", content);
        let id = MessageId::random(&mut self.rng);
        let send = SendRequest::whole(id, msrp::cpim::MEDIA_TYPE, body.clone());
        let (from, ears) = (from.n, Arc::clone(&from.ears));
        let transactions = Vec::new();
        self.sent.push(Sent { octets: body.gather(), from, to, transactions, end: None, ears });
        self.open.push((self.sent.len() - 1, send, 0));
        self.say(self.open.len() - 1, false);
    }

    fn go_on(&mut self) {
        if !self.open.is_empty() {
            let which = self.any(self.open.len());
            let aborts = self.any(12) == 0;
            self.say(which, aborts);
        }
    }

    /// The next chunk of an open message; or its end before the end.
    fn say(&mut self, which: usize, aborts: bool) {
        let (of, send, from) = self.open.swap_remove(which);
        let most = [500, 70_000][self.any(2)];
        let octets = 1 + self.any(most);
        let Some(guest) = self.guests.iter().find(|guest| guest.n == self.sent[of].from) else {
            return;
        };
        let (chunk, next) = send.chunk(from, octets);
        let chunk = if aborts { SendRequest { flag: Flag::Abort, ..chunk } } else { chunk };
        let frame = chunk.encode(&mut self.rng).to(&guest.address);
        // The writer is gone if the relay has hung up.
        drop(guest.says.send(frame.to_bytes()));
        self.sent[of].transactions.push(frame.payload.transaction());
        match next.filter(|_| !aborts) {
            Some(next) => self.open.push((of, send, next)),
            None => self.sent[of].end = Some(chunk.flag),
        }
    }

    /// All that was begun ends, and everybody who is there has heard what there was.
    async fn calm(&mut self) {
        while !self.open.is_empty() {
            self.say(0, false);
        }
        for guest in &self.guests {
            let asked = self.sent.iter().filter(|sent| sent.from == guest.n);
            let asked: Vec<_> = asked.flat_map(|sent| &sent.transactions).collect();
            let all = |heard: &Heard| asked.iter().all(|id| heard.answers.contains_key(*id));
            guest.ears.until("the answers", |heard| heard.ended || all(heard)).await;
        }
        let (id, first) = (MessageId::random(&mut self.rng), &self.guests[0]);
        let last = text(first.n, &format!("all of it, {}", first.n));
        let marker = SendRequest::whole(id, msrp::cpim::MEDIA_TYPE, last.clone());
        let frame = marker.encode(&mut self.rng).to(&first.address);
        first.says.send(frame.to_bytes()).unwrap();
        for guest in self.guests.iter().skip(1) {
            let marked = |heard: &Heard| heard.whole.iter().any(|heard| last == heard[..]);
            guest.ears.until("the last message", marked).await;
        }
        // What others had begun who have gone.
        for guest in &self.guests {
            guest.ears.until("the end of what was begun", |heard| heard.open.is_empty()).await;
        }
    }

    /// Nothing was lost for those who stayed, and nobody heard anything twice, or broken, or not meant for them.
    fn check(&mut self) {
        let sent: HashMap<_, _> = self.sent.iter().map(|sent| (&sent.octets, sent)).collect();
        for guest in self.guests.iter().chain(&self.gone) {
            let mut times: HashMap<Bytes, usize> = HashMap::new();
            for octets in &guest.ears.heard.lock().unwrap().whole {
                *times.entry(octets.clone()).or_default() += 1;
                if octets.windows(9).any(|some| some == b"all of it") {
                    continue;
                }
                let sent = sent.get(octets).expect("nobody sent it, or it was altered on its way");
                assert!(sent.is_for(guest.n), "{} heard what was not for it", guest.n);
                assert_eq!(sent.end, Some(Flag::End), "whole, though it was not");
            }
            assert!(times.values().all(|times| *times == 1), "{} heard something twice", guest.n);
            if self.gone.iter().any(|gone| gone.n == guest.n) {
                continue;
            }
            for sent in self.sent.iter().skip(guest.came) {
                if sent.is_for(guest.n) && sent.has_arrived() {
                    let heard = times.contains_key(&sent.octets);
                    assert!(
                        heard,
                        "{} did not hear {} of {}",
                        guest.n,
                        sent.octets.len(),
                        sent.from
                    );
                    self.proved += 1;
                }
            }
        }
    }

    /// Everybody goes, and what the relay says of itself is as it was before they came.
    async fn all_go(&mut self) {
        for seat in std::mem::take(&mut self.empty_seats) {
            self.unseat(seat).await;
        }
        for guest in self.guests.drain(..) {
            guest.cut();
            self.lost.push(guest.n);
        }
        for n in std::mem::take(&mut self.lost) {
            self.stage.lost(n).await;
        }
        (self.gone, self.sent) = (Vec::new(), Vec::new());
        let empty = async {
            loop {
                let left = self.left().await;
                if left.is_empty() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        if tokio::time::timeout(crate::common::PATIENCE, empty).await.is_err() {
            panic!("left when all have gone: {:?}", self.left().await);
        }
        let opened = self.stage.metric("mrfp_sessions_opened_total{transport=\"tls\"}").await;
        let text = self.stage.metrics().await;
        let closed = |line: &str| {
            let value = line.strip_prefix("mrfp_sessions_closed_total{")?.split(' ').nth(1)?;
            value.parse::<f64>().ok()
        };
        assert_eq!(text.lines().filter_map(closed).sum::<f64>(), opened, "sessions that never end");
    }

    /// The gauges of the relay that are not as they are when nobody is there.
    async fn left(&self) -> Vec<String> {
        let text = self.stage.metrics().await;
        let gauges = text.lines().filter_map(|line| {
            line.strip_prefix("# TYPE mrfp_")?
                .strip_suffix(" gauge")
                .map(|name| format!("mrfp_{name}"))
        });
        let gauges: Vec<_> = gauges.collect();
        assert!(gauges.len() > 8, "{gauges:?}");
        let is_gauge = |line: &str| {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            gauges.iter().any(|gauge| gauge == name)
        };
        let usual = ["mrfp_control_up 1", "mrfp_rooms 1"];
        let strange =
            |line: &&str| is_gauge(line) && !usual.contains(line) && !line.ends_with(" 0");
        text.lines().filter(strange).map(str::to_owned).collect()
    }
}

#[tokio::test]
async fn after_a_storm_over_two_shards_nothing_was_lost_or_doubled_and_nothing_is_left() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20);
    println!("SEED={seed}");
    let (ca, folder) =
        (DevCa::new("test", service::clock::wall()).unwrap(), TempDir::new().unwrap());
    let (mut child, ready) =
        serve(&config_under(&ca, folder.path(), LIMITS), &["--exit-with-parent"]);
    let mut stage = Stage::around(ca, folder, ready_of(&ready)).await;
    stage.open(Level::Open, None).await;
    let mut storm = Storm {
        stage,
        rng: StdRng::seed_from_u64(seed),
        guests: Vec::new(),
        gone: Vec::new(),
        sent: Vec::new(),
        open: Vec::new(),
        last: 0,
        empty_seats: Vec::new(),
        lost: Vec::new(),
        proved: 0,
    };

    let mut resident = Vec::new();
    for _ in 0..ROUNDS {
        storm.come().await;
        for _ in 0..STEPS {
            storm.step().await;
        }
        storm.calm().await;
        storm.check();
        storm.all_go().await;
        resident.push(storm.stage.metric("process_resident_memory_bytes").await);
    }

    println!("{} deliveries proved, resident {resident:?}", storm.proved);
    assert!(storm.proved > ROUNDS * 30, "{} deliveries", storm.proved);
    let (first, last) = (resident[0], resident[ROUNDS - 1]);
    assert!(last < first + GROWTH_OCTETS_MAX, "{resident:?}");
    let text = storm.stage.metrics().await;
    for count in
        ["mrfp_connections_refused_total", "mrfp_parse_errors_total", "mrfp_stray_answers_total"]
    {
        let some = |line: &&str| line.starts_with(count) && !line.ends_with(" 0");
        assert_eq!(text.lines().find(some), None);
    }
    storm.stage.order(RoomOrder::Close { reason: "over".into() }).await;
    storm.stage.until("mrfp_rooms", |rooms| rooms == 0.0).await;
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", conference());
}
