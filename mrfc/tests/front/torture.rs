//! Messages in the manner of RFC 4475 said to a running MRFC: each is answered as its RFC says, on a connection that goes
//! on wherever that is possible, and a neighbour's request takes no longer than ever.
use std::time::Duration;

use service::clock;
use sip::header::Name;
use sip::{Method, Status};

use crate::phone::{Phone, good_offer};
use crate::raw::Raw;
use crate::relay::Manner;
use crate::world::{DOMAIN, World};

/// A neighbour's request may take this long while others misbehave. Far above what it takes, far below a time-out.
pub(crate) const NEIGHBOUR: Duration = Duration::from_secs(2);

/// An OPTIONS of alice with `from` replaced by `to`. Its own branch makes it a transaction of its own.
fn changed(n: usize, from: &str, to: &str) -> Vec<u8> {
    let text = format!(
        "OPTIONS sip:{DOMAIN} SIP/2.0\nVia: SIP/2.0/TLS raw.invalid;branch=z9hG4bK{n}\n\
         Max-Forwards: 70\nFrom: \"A\" <sip:alice@{DOMAIN}>;tag=t{n}\nTo: <sip:{DOMAIN}>\n\
         Call-ID: torture-{n}\nCSeq: 9 OPTIONS\nContact: <sip:alice@raw.invalid>\n\
         Date: Fri, 01 Jan 2010 16:00:00 GMT\nContent-Length: 0\n\n"
    );
    assert!(text.contains(from), "{from}");
    let text = if from.is_empty() { text } else { text.replace(from, to) };
    text.replace('\n', "\r\n").into_bytes()
}

/// An OPTIONS of alice that is as it should be.
pub(crate) fn options(n: usize) -> Vec<u8> {
    changed(n, "", "")
}

/// An INVITE of alice to the factory with this body.
fn invite(n: usize, media: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "INVITE sip:conference-factory@{DOMAIN} SIP/2.0\r\n\
         Via: SIP/2.0/TLS raw.invalid;branch=z9hG4bK{n}\r\nMax-Forwards: 70\r\n\
         From: <sip:alice@{DOMAIN}>;tag=t{n}\r\nTo: <sip:conference-factory@{DOMAIN}>\r\n\
         Call-ID: torture-{n}\r\nCSeq: 9 INVITE\r\nContact: <sip:alice@raw.invalid>\r\n\
         Content-Type: {media}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// What is said, under the name that RFC 4475 has for its like, and the status it gets.
type Case = (&'static str, &'static str, &'static str, u16);

/// Strange and legal, or wrong in one place: answered by whoever reads that place.
const READ: [Case; 24] = [
    ("wsinv", "Max-Forwards: 70", "MAX-forwards  :\n  0068", 200),
    ("compact names", "Call-ID:", "i :", 200),
    ("folded from", "From: \"A\" <", "f:\n \"A \\\" B\"\n  <", 200),
    ("lwsdisp", "\"A\" <", "caller of calls<", 200),
    ("intmeth", "OPTIONS", "!interesting-Method0123456789_*+`.%indeed'~", 501),
    ("esc01", "sip:example.net SIP", "sip:sips%3Auser%40example.com@example.net SIP", 404),
    ("escnull", "sip:example.net SIP", "sip:null-%00-null@example.net SIP", 404),
    ("esc02", "OPTIONS", "RE%47IST%45R", 501),
    ("semiuri", "sip:example.net SIP", "sip:user;par=u%40example.net@example.net SIP", 404),
    ("baddate", "GMT", "EST", 200),
    ("unkscm", "sip:example.net SIP", "nobodyKnowsThisScheme:totallyopaquecontent SIP", 416),
    ("novelsc", "sip:example.net SIP", "soap.beep://192.0.2.103:3002 SIP", 416),
    ("unksm2", "To: <sip:example.net>", "To: <isbn:2983792873>", 200),
    ("bext01", "Date:", "Require: nothingSupportsThis, northis\nDate:", 420),
    ("zeromf", "70", "0", 200),
    ("sdp01", "Date:", "Accept: text/nobodyKnowsThis\nDate:", 200),
    ("empty headers", "Date:", "Subject:\nX: \t \nSupported: ,,\nDate:", 200),
    ("a header that nobody has", "Date:", "UnknownHeader: ;;,,;;,;\nDate:", 200),
    ("regaut01", "Date:", "Authorization: NoOneKnowsThisScheme opaque-data=here\nDate:", 200),
    ("foreign via", "Via:", "Via: SIP/2.0/SCTP b;branch=z9hG4bKx\nVia:", 401),
    ("somebody else", "alice@", "bob@", 401),
    (
        "nobody in particular",
        "From: \"A\" <sip:alice@example.net>",
        "From: <sip:anonymous@anonymous.invalid>",
        200,
    ),
    ("another domain", "sip:example.net SIP", "sip:example.org SIP", 404),
    ("a method for others", "OPTIONS", "PRACK", 405),
];

/// Broken where everybody has to read: 400, or 505, from the parser.
const BROKEN: [Case; 20] = [
    ("ltgtruri", "sip:example.net SIP", "<sip:example.net> SIP", 400),
    ("lwsruri", "sip:example.net SIP", "sip:example.net; lr SIP", 400),
    ("lwsstart", "OPTIONS sip", "OPTIONS  sip", 400),
    ("trws", "SIP/2.0\nVia", "SIP/2.0  \nVia", 400),
    ("escruri", "sip:example.net SIP", "sip:example.net?Route=%3Csip:example.com%3E SIP", 400),
    ("badvers", "SIP/2.0\nVia", "SIP/7.0\nVia", 505),
    ("mismatch01", "9 OPTIONS", "9 INVITE", 400),
    ("mismatch02", "OPTIONS sip", "NEWMETHOD sip", 400),
    ("badinv01", ";tag=t", ";;tag=;t", 400),
    ("scalar02 cseq", "CSeq: 9", "CSeq: 36893488147419103232", 400),
    ("scalar02 max-forwards", "70", "300", 400),
    ("quotbal", "\"A\" <", "\"Mr. J. User <", 400),
    ("baddn", "From: \"A\" <", "From: Bell, Alexander <", 400),
    ("insuf", "To: <sip:example.net>\n", "", 400),
    ("multi01 from", "To:", "From: <sip:other@example.net>;tag=4\nTo:", 400),
    ("multi01 cseq", "To:", "CSeq: 8 OPTIONS\nTo:", 400),
    ("multi01 max-forwards", "To:", "Max-Forwards: 5\nTo:", 400),
    ("a line without colon", "Date:", "this is no header\nDate:", 400),
    ("a name that is no token", "Date:", "bad name: x\nDate:", 400),
    ("a via of another protocol", "SIP/2.0/TLS", "HTTP/1.1/TLS", 400),
];

/// The neighbour asks something harmless.
async fn neighbour_is_served(bob: &mut Phone) {
    let begun = clock::now();
    let options = bob.request("OPTIONS", &format!("sip:{DOMAIN}"));
    assert_eq!(bob.send(options).await.status, Status::OK);
    assert!(begun.elapsed() < NEIGHBOUR, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn r4475_44_messages_are_answered_on_one_connection_that_goes_on() {
    let world = World::start().await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut raw = Raw::registered(&world, "alice").await;
    for (n, (name, from, to, code)) in READ.iter().chain(&BROKEN).enumerate() {
        raw.say(&changed(n, from, to)).await;

        let answer = raw.code(name).await;
        assert_eq!(answer, Some(*code), "{name}");
    }
    neighbour_is_served(&mut bob).await;
}

#[tokio::test]
async fn r4475_3_3_9_a_missing_or_broken_length_is_400_and_ends_its_connection_only() {
    let world = World::start().await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let line = "Content-Length: 0\n";
    for (n, bad) in
        ["", "Content-Length: -999\n", "Content-Length: 13\nl: 5\n", "Content-Length: ten\n"]
            .into_iter()
            .enumerate()
    {
        let mut raw = Raw::connect(&world).await;
        raw.say(&changed(n, line, bad)).await;

        assert_eq!(raw.hear().await.unwrap().status, Status::BAD_REQUEST, "{bad:?}");
        assert!(raw.hear().await.is_none(), "{bad:?}: nothing behind it can be trusted");
    }
    neighbour_is_served(&mut bob).await;
}

#[tokio::test]
async fn research_a_header_line_that_is_not_utf8_hides_nothing() {
    let world = World::start().await;
    let mut raw = Raw::registered(&world, "alice").await;
    let text = changed(1, "Date:", "Subject: @@@\nRequire: nothing-knows-this\nDate:");
    let at = text.windows(3).position(|octets| octets == b"@@@").unwrap();
    let mut octets = text;
    octets[at..at + 3].copy_from_slice(b"\xff\xfe\x80");

    raw.say(&octets).await;

    assert_eq!(raw.hear().await.unwrap().status, Status::BAD_EXTENSION, "what is behind it counts");
}

#[tokio::test]
async fn r4475_3_1_1_8_several_messages_in_one_write_and_one_in_many() {
    let world = World::start().await;
    let mut raw = Raw::registered(&world, "alice").await;

    raw.say(&[changed(1, "", ""), b"\r\n\r\n".to_vec(), changed(2, "", "")].concat()).await;
    for _ in 0..2 {
        assert_eq!(raw.hear().await.unwrap().status, Status::OK);
    }
    for octet in changed(3, "", "") {
        raw.say(&[octet]).await;
    }
    assert_eq!(raw.hear().await.unwrap().status, Status::OK);
}

#[tokio::test]
async fn s8_2_2_2_a_merged_request_is_482_and_a_repeated_one_gets_its_answer_again() {
    let world = World::start().await;
    let mut raw = Raw::registered(&world, "alice").await;
    let first = invite(7, "application/sdp", b"v=0\r\n");
    let text = String::from_utf8(first.clone()).unwrap();

    raw.say(&first).await;
    raw.say(&first).await;
    raw.say(text.replace("z9hG4bK7", "z9hG4bKother").as_bytes()).await;

    let codes = [raw.hear().await, raw.hear().await, raw.hear().await];
    let codes = codes.map(|answer| answer.unwrap().status.code());
    assert_eq!(codes[0], codes[1], "the same answer to the same request");
    assert_eq!(codes[2], 482);
    assert_eq!(world.metric("mrfc_sip_requests_total{method=\"INVITE\"}").await, 1);
}

#[tokio::test]
async fn a_message_of_1_mib_is_413_and_the_connection_goes_on() {
    let world = World::start().await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let large = alice
        .request("MESSAGE", &format!("sip:bob@{DOMAIN}"))
        .with_body("application/octet-stream", vec![7; 1 << 20]);

    assert_eq!(alice.send(large).await.status, Status::REQUEST_ENTITY_TOO_LARGE);

    neighbour_is_served(&mut alice).await;
    neighbour_is_served(&mut bob).await;
}

#[tokio::test]
async fn bodies_that_lead_nowhere_are_refused_and_cost_nobody_anything() {
    let world = World::start().await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut raw = Raw::registered(&world, "alice").await;
    let pathless = good_offer().replace("a=path:", "a=x-path:");
    let depth = 2_000;
    let mut nested = String::new();
    for level in 0..depth {
        let inner = level + 1;
        nested.push_str(&format!(
            "--b{level}\r\nContent-Type: multipart/mixed;boundary=b{inner}\r\n\r\n"
        ));
    }
    let cases: [(&str, &[u8], &[u16]); 5] = [
        ("application/sdp", pathless.as_bytes(), &[488]),
        ("application/sdp", b"v=0\r\nm=", &[400, 488]),
        ("application/unknownformat", b"<xml/>", &[415, 488]),
        ("multipart/mixed;boundary=b0", nested.as_bytes(), &[400, 415, 488]),
        ("multipart/mixed", b"--\r\n", &[400, 415, 488]),
    ];
    for (n, (media, body, codes)) in cases.into_iter().enumerate() {
        let begun = clock::now();
        raw.say(&invite(n, media, body)).await;

        let code = raw.hear().await.unwrap().status.code();
        assert!(codes.contains(&code), "{media}: {code}");
        assert!(begun.elapsed() < NEIGHBOUR, "{media}: {:?}", begun.elapsed());
    }
    neighbour_is_served(&mut bob).await;
}

#[tokio::test]
async fn s9_2_and_15_1_somebody_elses_invite_and_dialog_cannot_be_cancelled_or_ended() {
    let world = World::with(Manner::Silent, |_| {}).await;
    let mut alice = Raw::registered(&world, "alice").await;
    let mut mallory = Raw::registered(&world, "mallory").await;
    let pending = String::from_utf8(invite(5, "application/sdp", good_offer().as_bytes())).unwrap();
    alice.say(pending.as_bytes()).await;
    let head = pending.split("Content-Type").next().unwrap();
    let cancel = head.replace("INVITE", "CANCEL") + "Content-Length: 0\r\n\r\n";

    // On another connection the same branch is another transaction.
    mallory.say(cancel.as_bytes()).await;
    assert_eq!(mallory.hear().await.unwrap().status, Status::NO_SUCH_DIALOG);
    let bye =
        head.replace("INVITE", "BYE").replace("alice@", "mallory@") + "Content-Length: 0\r\n\r\n";
    mallory.say(bye.as_bytes()).await;
    assert_eq!(mallory.hear().await.unwrap().status, Status::NO_SUCH_DIALOG);

    // Hers is still pending, and hers to cancel.
    alice.say(cancel.as_bytes()).await;
    let codes = [alice.hear().await, alice.hear().await];
    let mut codes = codes.map(|answer| answer.unwrap().status.code());
    codes.sort_unstable();
    assert_eq!(codes, [200, 487]);
}

#[tokio::test]
async fn s12_2_2_a_legal_gap_in_the_numbers_is_served_and_a_step_back_is_500() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let factory = format!("sip:conference-factory@{DOMAIN}");
    let mut talk = alice.invite(&factory, &good_offer()).await.ok().unwrap();
    let mut ahead = talk.dialog.request(Method::Bye).unwrap();
    let mut behind = ahead.clone();
    behind.headers.set(Name::CSeq, "1 BYE");
    behind.headers.remove(&Name::Via);

    assert_eq!(alice.send(behind).await.status, Status::SERVER_INTERNAL_ERROR);
    ahead.headers.set(Name::CSeq, "4711 BYE");
    assert_eq!(alice.send(ahead).await.status, Status::OK);
}

#[tokio::test]
async fn a_client_that_never_reads_and_two_thousand_that_say_nothing_slow_nobody() {
    let world = World::start().await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut deaf = Raw::registered(&world, "alice").await;
    let flood: Vec<u8> = (0..2_000).flat_map(|n| changed(n, "", "")).collect();
    // It writes as long as anybody takes it, and reads nothing.
    let writes = tokio::spawn(async move {
        drop(tokio::time::timeout(Duration::from_secs(5), deaf.say(&flood)).await);
        deaf
    });
    let mut silent = Vec::new();
    for _ in 0..2_000 {
        silent.push(tokio::net::TcpStream::connect(world.addresses.sip).await.unwrap());
    }

    for _ in 0..20 {
        neighbour_is_served(&mut bob).await;
    }
    drop((writes.await.unwrap(), silent));
}
