//! Private messages (RFC 7701, 6.2 and 6.3): whom they reach, and what is reported of them.
use bytes::Bytes;
use control::Seat;
use msrp::cpim::Builder;
use msrp::{Body, FailureReport, SendRequest, SuccessReport};

use crate::common::{Got, Person, aor, cpim, message, seat, text};
use crate::open_room;

fn private(n: u64, to: u64, content: &str) -> Body {
    cpim(n, &aor(to), "text/plain", Bytes::copy_from_slice(content.as_bytes()))
}

fn reported(name: &str, body: Body) -> SendRequest {
    SendRequest { success_report: SuccessReport::Yes, ..message(name, body) }
}

/// Waits for a REPORT; what its CPIM wrapper says, if it has one.
async fn wrapper(person: &mut Person) -> Option<(Vec<u8>, Vec<u8>)> {
    while !matches!(person.next().await, Got::Report(_, 200, _)) {}
    let report = person.report.take().unwrap();
    if !report.head.has_body() {
        return None;
    }
    assert!(report.head.is_type("message/cpim"));
    let message = msrp::cpim::Message::read(&report.body).unwrap();
    assert!(message.content.is_empty());
    let header = |name| message.envelope.headers().get_exact(name).unwrap().to_vec();
    Some((header("From"), header("To")))
}

#[tokio::test]
async fn m7701_15_a_report_about_a_private_message_says_whom_it_was_from_and_for() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let mut bob = stage.join(2).await;
    let from = format!("\"Alice, the first\" <{};user=phone>", aor(1));
    let to = format!("Bob <{}>", aor(2));
    let whole = |octets: usize| {
        let head = format!("From: {from}\r\nTo: {to}\r\n\r\nContent-Type: text/plain\r\n\r\n");
        Body::from(Bytes::from([head.into_bytes(), vec![b'x'; octets]].concat()))
    };
    let expected = Some((from.clone().into_bytes(), to.clone().into_bytes()));

    alice.send(&reported("short", whole(10))).await;
    assert_eq!(wrapper(&mut alice).await, expected);
    alice.send(&reported("short", whole(10))).await;
    assert_eq!(wrapper(&mut alice).await, expected, "also when it is repeated");
    let long = reported("long1", whole(9000));
    let (first, next) = long.chunk(0, 4000);
    let (second, _) = long.chunk(next.unwrap(), 9000);
    alice.send(&first).await;
    alice.send(&second).await;
    assert_eq!(wrapper(&mut alice).await, expected, "also when it came in chunks");

    assert_eq!(bob.message().await, whole(10));
    assert_eq!(bob.message().await, whole(9000), "and once only");
    alice.send(&reported("room1", text(1, "to all"))).await;
    assert_eq!(wrapper(&mut alice).await, None, "a room message needs none");
}

#[tokio::test]
async fn m7701_15_addresses_that_fit_no_report_are_left_out_of_it() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let _bob = stage.join(2).await;
    let from = format!("\"{}\" <{}>", "A".repeat(12_000), aor(1));
    let body = format!("From: {from}\r\nTo: <{}>\r\n\r\nContent-Type: text/plain\r\n\r\nx", aor(2));

    alice.send(&reported("long1", Body::from(Bytes::from(body)))).await;

    assert_eq!(wrapper(&mut alice).await, None);
}

#[tokio::test]
async fn m7701_14_what_cannot_be_delivered_privately_is_refused_and_reaches_nobody() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let mut closed = stage.join_as(Seat { private_messages: false, ..seat(2) }).await;
    let two = Builder::new(&aor(1), &aor(2)).header("To", &format!("<{}>", aor(3)));
    let two = two.content("text/plain", Bytes::from("x"));
    stage.seat(seat(4)).await;
    let table = [
        ("unknown", private(1, 9, "x"), 404),
        ("mistyped", cpim(1, "sip:bob-example.net", "text/plain", "x"), 404),
        ("not-here", private(1, 4, "x"), 404),
        ("closed", private(1, 2, "x"), 428),
        ("several", two, 403),
    ];

    for (name, body, status) in table {
        assert_eq!(alice.ask(&message(name, body)).await.0, status, "{name}");
    }
    assert_eq!(alice.ask(&message("marker", text(1, "marker"))).await.0, 200);
    assert_eq!(closed.message().await, text(1, "marker"));
}

#[tokio::test]
async fn m7701_14_the_report_matrix_holds_for_private_messages_too() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let _bob = stage.join(2).await;
    for (n, failure_report) in
        [FailureReport::Yes, FailureReport::Partial, FailureReport::No].into_iter().enumerate()
    {
        let good =
            SendRequest { failure_report, ..message(&format!("good{n}"), private(1, 2, "x")) };
        let lost =
            SendRequest { failure_report, ..message(&format!("lost{n}"), private(1, 9, "x")) };
        alice.send(&good).await;
        alice.send(&lost).await;
        let marker = alice.send(&SendRequest::bodiless(crate::common::id("marker"))).await;
        let mut got = Vec::new();
        loop {
            match alice.next().await {
                Got::Response(of, ..) if of == marker => break,
                Got::Response(_, status, _) => got.push(status),
                other => panic!("{other:?}"),
            }
        }
        let expected: &[u16] = match failure_report {
            FailureReport::Yes => &[200, 404],
            FailureReport::Partial => &[404],
            FailureReport::No => &[],
        };
        assert_eq!(got, expected, "{failure_report:?}");
    }
}

#[tokio::test]
async fn m7701_13_a_message_to_oneself_reaches_each_of_ones_sessions() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let mut tablet = stage.join_as(Seat { aor: seat(1).aor, ..seat(11) }).await;
    let mut bob = stage.join(2).await;

    alice.send(&message("self1", private(1, 1, "note"))).await;
    assert_eq!(bob.ask(&message("marker", text(2, "marker"))).await.0, 200);

    assert_eq!(tablet.message().await, private(1, 1, "note"));
    assert_eq!(alice.message().await, private(1, 1, "note"));
    assert_eq!(alice.message().await, text(2, "marker"));
}
