//! Somebody who says one thing of a file and sends another (RFC 5547), to a mailbox and to a device: raw SIP and raw MSRP over
//! TLS, since our own devices do not lie. Each is answered clearly, and nothing of it stays.
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use bytes::BytesMut;
use client::{Arrival, Broken, FileToSend, Inbox};
use mls::wire::SEALED_FILE;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rustls::pki_types::ServerName;
use service::tls::{self, Identity, Named, Trust};
use sha2::{Digest as _, Sha256};
use sip::dialog::{Dialog, random_call_id, random_tag};
use sip::digest::Login;
use sip::header::CSeq;
use sip::{Decoder, Item, Message, Method, Name, Request, Response, Side, Status, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::files::{Desk, content};
use crate::left::{arrived, blobs};
use crate::{House, soon};

const GIB: u64 = 1 << 30;
/// Where the liar says that it is; it connects and is not connected to.
const OWN: &str = "msrps://127.0.0.1:7394/liar1234;tcp";

/// Somebody with a password who says what they like.
struct Liar {
    stream: TlsStream<TcpStream>,
    decoder: Decoder,
    buffer: BytesMut,
    identity: Identity,
    login: Login,
    rng: StdRng,
    number: u32,
}

async fn connect(address: &str, trust: Trust, identity: Option<&Identity>) -> TlsStream<TcpStream> {
    let connector = TlsConnector::from(tls::client_config(trust, identity, &[]).unwrap());
    let stream = TcpStream::connect(address).await.unwrap();
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap()
}

impl Liar {
    async fn of(house: &House, user: &str) -> Self {
        let profile = house.directions.profile(user).unwrap();
        let (address, roots) = (profile.system.sip.to_string(), profile.system.roots.clone());
        Self {
            stream: connect(&address, Trust::Roots(roots), None).await,
            decoder: Decoder::new(Side::Dialled, sip::Limits::default()),
            buffer: BytesMut::new(),
            identity: Identity::self_signed(service::clock::wall()).unwrap(),
            login: Login::new(user, &profile.password),
            rng: StdRng::seed_from_u64(7),
            number: 0,
        }
    }

    /// Offers somebody a file of which this is said.
    async fn offers(&mut self, to: &str, file: &File<'_>) -> (Request, Response) {
        let fingerprint = self.identity.fingerprint();
        let sdp = format!(
            "v=0\r\no=- 77 3 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=message 7394 TCP/TLS/MSRP *\r\na=sendonly\r\na=path:{OWN}\r\na=setup:active\r\n\
             a=accept-types:*\r\na=fingerprint:{fingerprint}\r\n{}",
            file.lines()
        );
        let uri: Uri = format!("sip:{to}@localhost").parse().unwrap();
        let request = Request::new(Method::Invite, uri.clone())
            .with(Name::MaxForwards, 70)
            .with(Name::From, format!("<sip:alice@localhost>;tag={}", random_tag(&mut self.rng)))
            .with(Name::To, format!("<{uri}>"))
            .with(Name::CallId, random_call_id(&mut self.rng))
            .with(Name::Contact, "<sip:alice@127.0.0.1:5061;transport=tls>")
            .with_body("application/sdp", sdp);
        let mut asked = self.numbered(request.clone());
        self.say(&asked).await;
        let mut answer = self.hears().await;
        if answer.status == Status::UNAUTHORIZED {
            let challenge = answer.headers.text(&Name::WwwAuthenticate).unwrap().into_owned();
            self.login.challenged([challenge.as_str()], None).unwrap();
            let proof = self.login.authorize("INVITE", &uri.to_string(), &mut self.rng).unwrap();
            asked = self.numbered(request.with(Name::Authorization, proof));
            self.say(&asked).await;
            answer = self.hears().await;
        }
        (asked, answer)
    }

    fn numbered(&mut self, request: Request) -> Request {
        self.number += 1;
        let via = format!("SIP/2.0/TLS raw.invalid;branch=z9hG4bKliar{}", self.number);
        let cseq = CSeq { number: self.number, method: Method::Invite };
        request.with(Name::Via, via).with(Name::CSeq, cseq)
    }

    async fn say(&mut self, request: &Request) {
        self.stream.write_all(&request.to_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next final answer.
    async fn hears(&mut self) -> Response {
        soon(async {
            loop {
                while let Some(item) = self.decoder.decode(&mut self.buffer) {
                    if let Item::Message(Message::Response(response)) = item
                        && response.status.is_final()
                    {
                        return response;
                    }
                }
                assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "it hung up");
            }
        })
        .await
    }

    /// The session that an offer has led to.
    async fn session(&mut self, (asked, answer): (Request, Response)) -> Session {
        assert_eq!(answer.status, Status::OK, "{}", warning(&answer));
        let dialog = Dialog::uac(&asked, &answer).unwrap();
        let acknowledged = dialog.acknowledgement(asked.headers.cseq().unwrap().number);
        let via = format!("SIP/2.0/TLS raw.invalid;branch=z9hG4bKack{}", self.number);
        self.say(&acknowledged.with(Name::Via, via)).await;
        let theirs = sip::sdp::parse_answer(&answer.body).unwrap();
        let to = theirs.path.first().unwrap().clone();
        let address = to.trim_start_matches("msrps://").split('/').next().unwrap().to_owned();
        let named: Vec<String> =
            theirs.identity().unwrap().iter().map(ToString::to_string).collect();
        let trust = Trust::Named(Named::parse(named.iter().map(String::as_str)).unwrap());
        let stream = connect(&address, trust, Some(&self.identity)).await;
        Session { stream, to, number: 0 }
    }
}

/// What is said of a file.
struct File<'a> {
    kind: &'a str,
    size: u64,
    hash: [u8; 32],
    transfer: &'a str,
    more: &'a str,
}

impl<'a> File<'a> {
    fn sealed(size: u64, transfer: &'a str) -> Self {
        let hash = Sha256::digest(transfer).into();
        Self { kind: SEALED_FILE, size, hash, transfer, more: "" }
    }

    fn lines(&self) -> String {
        let Self { kind, size, hash, transfer, more } = self;
        let digits: Vec<String> = hash.iter().map(|octet| format!("{octet:02X}")).collect();
        let hash = digits.join(":");
        format!(
            "a=file-selector:name:\"x\" type:{kind} size:{size} hash:sha-256:{hash}\r\n\
             a=file-transfer-id:{transfer}\r\n{more}"
        )
    }
}

fn warning(answer: &Response) -> String {
    answer.headers.text(&Name::Warning).map(|text| text.into_owned()).unwrap_or_default()
}

/// A connection on which a file is sent.
struct Session {
    stream: TlsStream<TcpStream>,
    to: String,
    number: u32,
}

impl Session {
    /// Sends a chunk; how it is answered.
    async fn send(&mut self, kind: &str, range: &str, body: &[u8], flag: char) -> u16 {
        self.number += 1;
        let id = format!("liar{:04}", self.number);
        let head = format!(
            "MSRP {id} SEND\r\nTo-Path: {}\r\nFrom-Path: {OWN}\r\nMessage-ID: liar1\r\n\
             Success-Report: yes\r\nByte-Range: {range}\r\nContent-Type: {kind}\r\n\r\n",
            self.to
        );
        let end = format!("\r\n-------{id}{flag}\r\n");
        let frame = [head.as_bytes(), body, end.as_bytes()].concat();
        self.stream.write_all(&frame).await.unwrap();
        self.stream.flush().await.unwrap();
        let answer = self.frame().await;
        let answer =
            answer.strip_prefix(&format!("MSRP {id} ")).unwrap_or_else(|| panic!("{answer}"));
        answer.get(..3).unwrap().parse().unwrap()
    }

    /// What the other side reports of the whole file.
    async fn reported(&mut self) -> u16 {
        let report = self.frame().await;
        let status = report.split_once("Status: 000 ").unwrap_or_else(|| panic!("{report}")).1;
        status.get(..3).unwrap().parse().unwrap()
    }

    /// The next frame; those that come here have no body.
    async fn frame(&mut self) -> String {
        soon(async {
            let mut text = String::new();
            while !text.ends_with("$\r\n") {
                let octet = self.stream.read_u8().await.unwrap();
                text.push(char::from(octet));
            }
            text
        })
        .await
    }
}

/// Octets of the disk that the files of a folder take.
fn taken_by(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap());
    files.map(|file| file.blocks() * 512).sum()
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).map_or(true, |mut files| files.next().is_none())
}

/// Waits for what the other side does after its answer.
async fn until(is_so: impl Fn() -> bool) {
    soon(async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn f14_ten_gibioctets_are_announced_to_a_mailbox_and_a_few_come() {
    let (file_max, all_max) = ((20 * GIB).to_string(), (15 * GIB).to_string());
    let house = House::with(&[
        ("MRFC_MAILBOX__FILES__FILE_OCTETS_MAX", &file_max),
        ("MRFC_MAILBOX__FILES__OCTETS_MAX", &all_max),
    ]);
    let arriving = house.folder.path().join("dev/arriving");
    let mut liar = Liar::of(&house, "alice").await;
    let offered = liar.offers("bob", &File::sealed(10 * GIB, "t1")).await;
    let mut session = liar.session(offered).await;

    let range = |from: u32| format!("{from}-{}/{}", from + 1023, 10 * GIB);
    assert_eq!(session.send(SEALED_FILE, &range(1), &[7; 1024], '+').await, 200);
    assert!(taken_by(&arriving) < 1 << 20, "the disk is kept free for what was announced");
    // What is announced counts while it may come.
    let second = liar.offers("bob", &File::sealed(10 * GIB, "t2")).await.1;
    assert_eq!(second.status, Status::TEMPORARILY_UNAVAILABLE);
    assert!(warning(&second).contains("the mailbox is full"), "{}", warning(&second));
    assert_eq!(session.send(SEALED_FILE, &range(1025), &[7; 1024], '$').await, 400);

    drop(session);
    until(|| is_empty(&arriving)).await;
    assert!(blobs(&house).is_empty());
    let after = liar.offers("bob", &File::sealed(10 * GIB, "t2")).await;
    liar.session(after).await;
}

#[tokio::test]
async fn f14_ten_gibioctets_are_announced_to_a_device_and_a_few_come() {
    let house = House::open();
    let (bob, desk) = (house.guest("bob").await, Desk::new());
    let mut liar = Liar::of(&house, "alice").await;
    let mut inbox = bob.device.inbox();
    let file = File { kind: "text/plain", ..File::sealed(10 * GIB, "t1") };
    let range = |from: u32| format!("{from}-{}/{}", from + 1023, 10 * GIB);

    let taking = async { offered(&mut inbox).await.accept(&desk.into).await };
    // It takes the offer once somebody has come.
    let sending = async {
        let asked = liar.offers("bob", &file).await;
        let mut session = liar.session(asked).await;
        assert_eq!(session.send("text/plain", &range(1), &[7; 1024], '+').await, 200);
        session
    };
    let (mut session, taken) = soon(async { tokio::join!(sending, taking) }).await;
    assert!(taken_by(desk.into.path()) < 1 << 20, "the disk is kept free");
    assert_eq!(session.send("text/plain", &range(1025), &[7; 1024], '$').await, 400);

    drop(session);
    let over = soon(taken.unwrap().finished()).await.unwrap_err();
    assert_eq!((over.why, over.go_on_from), (Broken::Short, 0));
    assert!(is_empty(desk.into.path()));
}

async fn offered(inbox: &mut Inbox) -> client::FileOffer {
    match inbox.next().await.unwrap() {
        Arrival::File(offer) => offer,
        other => panic!("no file is offered: {other:?}"),
    }
}

#[tokio::test]
async fn f14_octets_that_are_not_what_was_said_of_them_are_refused_by_a_mailbox_and_nothing_stays()
{
    let house = House::open();
    let arriving = house.folder.path().join("dev/arriving");
    let mut liar = Liar::of(&house, "alice").await;

    for (id, kind, range, octets, status) in [
        ("behind", SEALED_FILE, "1-101/101", 101, 413),
        ("further", SEALED_FILE, "1-100/1000", 100, 413),
        ("outside", SEALED_FILE, "101-200/100", 100, 413),
        ("short", SEALED_FILE, "1-99/100", 99, 400),
        ("less", SEALED_FILE, "1-99/99", 99, 400),
        ("other", "text/plain", "1-100/100", 100, 415),
    ] {
        let asked = liar.offers("bob", &File::sealed(100, id)).await;
        let mut session = liar.session(asked).await;
        assert_eq!(session.send(kind, range, &vec![7; octets], '$').await, status, "{id}");
    }
    // Every octet is there, and it is another file.
    let asked = liar.offers("bob", &File::sealed(100, "hash")).await;
    let mut session = liar.session(asked).await;
    assert_eq!(session.send(SEALED_FILE, "1-100/100", &[7; 100], '$').await, 200);
    assert_eq!(session.reported().await, 400);

    drop(session);
    until(|| is_empty(&arriving)).await;
    assert!(blobs(&house).is_empty());
}

#[tokio::test]
async fn f14_s8_1_a_transfer_of_the_same_name_is_not_taken_twice() {
    let house = House::open();
    let (bob, desk) = (house.guest("bob").await, Desk::new());
    let mut liar = Liar::of(&house, "alice").await;
    let hash = Sha256::digest([7; 100]).into();
    let asked = liar.offers("carol", &File { hash, ..File::sealed(100, "t1") }).await;
    let mut session = liar.session(asked).await;
    assert_eq!(session.send(SEALED_FILE, "1-100/100", &[7; 100], '$').await, 200);
    assert_eq!(session.reported().await, 200);

    let again = liar.offers("carol", &File::sealed(50, "t1")).await.1;
    assert_eq!(again.status, Status::NOT_ACCEPTABLE_HERE);
    assert!(warning(&again).contains("was here before"), "{}", warning(&again));
    assert_eq!(blobs(&house), [vec![7; 100]]);

    let mut inbox = bob.device.inbox();
    let file = File { kind: "text/plain", ..File::sealed(100, "t1") };
    let declining = async { offered(&mut inbox).await.decline().await };
    let (first, ()) = soon(async { tokio::join!(liar.offers("bob", &file), declining) }).await;
    assert_eq!(first.1.status, Status::DECLINE);
    let again = liar.offers("bob", &file).await.1;
    assert_eq!(again.status, Status::NOT_ACCEPTABLE_HERE);
    assert!(warning(&again).contains("was used before"), "{}", warning(&again));
    // What is not in the file, or in no file, is asked for of nobody.
    for range in ["900-2000", "101-*", "50-10", "0-10"] {
        let more = format!("a=file-range:{range}\r\n");
        let file = File { more: &more, ..File::sealed(100, range) };
        let file = File { kind: "text/plain", ..file };
        let taking = async {
            match inbox.next().await.unwrap() {
                Arrival::File(offer) => drop(offer.accept(&desk.into).await.unwrap_err()),
                other => panic!("{other:?}"),
            }
        };
        let asked = soon(async {
            tokio::select! {
                asked = liar.offers("bob", &file) => asked,
                () = async { taking.await; std::future::pending().await } => unreachable!(),
            }
        });
        assert_eq!(asked.await.1.status, Status::NOT_ACCEPTABLE_HERE, "{range}");
    }
    assert!(is_empty(desk.into.path()));
}

/// FT-11, by way of a mailbox.
#[tokio::test]
async fn f14_s6_a_name_with_folders_that_was_left_stays_in_the_folder_of_who_fetches_it() {
    let house = House::open();
    let (alice, bob, desk) = (house.guest("alice").await, house.guest("bob").await, Desk::new());

    for (at, (name, saved)) in [
        ("../escaped", "_escaped"),
        ("/etc/passwd", "_etc_passwd"),
        ("..\\..\\x\u{1b}[2J\r\n.exe", "_.._x_[2J__.exe"),
    ]
    .into_iter()
    .enumerate()
    {
        let content = content(1_000 + at);
        let file = desk.file("source", &content);
        let file = FileToSend { name: name.into(), media_type: SEALED_FILE.to_owned(), ..file };
        arrived(soon(alice.device.leave_file(&bob.aor, &file)).await).await;
        let wanted = crate::left::selector(&content);
        let fetched = soon(bob.device.fetch_left(&bob.aor, &wanted, &desk.into)).await;
        let fetched = arrived(fetched).await.path.unwrap();
        assert_eq!(fetched, desk.into.path().join(saved), "{name:?}");
    }
    // A blob has a name that nobody chose.
    let blobs = fs::read_dir(house.folder.path().join("dev/blobs")).unwrap();
    for blob in blobs {
        let name = blob.unwrap().file_name().into_string().unwrap();
        assert!(name.bytes().all(|octet| octet.is_ascii_hexdigit()), "{name}");
    }
}
