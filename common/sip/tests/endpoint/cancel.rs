//! CANCEL, of both sides (RFC 3261, 9).
use sip::{Message, Method, Name, Response, Status};

use crate::bench::{Bench, OTHER, incoming, outgoing, with};

const NOTHING: [&str; 0] = [];

#[test]
fn s9_2_a_cancel_is_answered_200_and_the_user_answers_the_invite_487() {
    let mut bench = Bench::new();
    bench.receive(incoming(&Method::Invite, 1, "b1"));
    bench.respond(Status::RINGING);
    let ringing = bench.sent.clone().unwrap();

    let said = bench.receive(incoming(&Method::Cancel, 1, "b1"));

    assert_eq!(said, ["> 200 CANCEL", "cancelled"]);
    let tag = |message: &Message| message.headers().to().unwrap().tag().map(str::to_owned);
    assert_eq!(tag(bench.sent.as_ref().unwrap()), tag(&ringing), "one UAS, one tag");
    assert_eq!(bench.respond(Status::REQUEST_TERMINATED), ["> 487 INVITE"]);
}

#[test]
fn s9_2_a_cancel_for_nothing_is_answered_481() {
    let mut bench = Bench::new();
    bench.receive(incoming(&Method::Invite, 1, "b1"));

    assert_eq!(bench.receive(incoming(&Method::Cancel, 1, "b2")), ["> 481 CANCEL"]);
    assert_eq!(bench.endpoint.transactions(), 1);
}

#[test]
fn a_cancel_from_another_flow_cancels_nothing() {
    let mut bench = Bench::new();
    bench.receive(incoming(&Method::Invite, 1, "b1"));

    let said = bench.receive_on(OTHER, incoming(&Method::Cancel, 1, "b1"));

    assert_eq!(said, ["> 481 CANCEL"]);
}

#[test]
fn s17_2_3_a_client_of_rfc_2543_cancels_and_acknowledges_without_the_cookie() {
    let mut bench = Bench::new();
    let old = |method: &Method| {
        with(incoming(method, 1, ""), Name::Via, "SIP/2.0/TLS ua.example.net;branch=1")
    };
    bench.receive(old(&Method::Invite));

    assert_eq!(bench.receive(old(&Method::Cancel)), ["> 200 CANCEL", "cancelled"]);
    bench.respond(Status::REQUEST_TERMINATED);
    let to = bench.sent.clone().unwrap().headers().to().unwrap().to_string();
    assert_eq!(bench.receive(with(old(&Method::Ack), Name::To, &to)), NOTHING);
    assert_eq!(bench.endpoint.transactions(), 0);
}

#[test]
fn s9_1_our_cancel_waits_for_a_provisional_answer_and_has_the_branch_of_the_invite() {
    let mut bench = Bench::new();
    bench.send(outgoing(&Method::Invite));
    let invite = bench.request.clone().unwrap();

    assert_eq!(bench.cancel(), NOTHING);
    assert_eq!(bench.answered(Status::RINGING), ["> CANCEL", "response 180"]);

    let Some(Message::Request(cancel)) = bench.sent.clone() else { panic!("no CANCEL") };
    for name in [Name::Via, Name::From, Name::To, Name::CallId] {
        assert_eq!(cancel.headers.text(&name), invite.headers.text(&name), "{name}");
    }
    assert_eq!(cancel.headers.cseq().unwrap().to_string(), "1 CANCEL");
    assert_eq!(bench.receive(Response::to(&cancel, Status::OK)), NOTHING, "200 to the CANCEL");
    assert_eq!(bench.answered(Status::REQUEST_TERMINATED), ["> ACK", "response 487"]);
}

#[test]
fn s9_1_a_cancel_that_comes_too_late_lets_the_200_through() {
    let mut bench = Bench::new();
    bench.send(outgoing(&Method::Invite));
    bench.answered(Status::RINGING);
    assert_eq!(bench.cancel(), ["> CANCEL"]);

    assert_eq!(bench.answered(Status::OK), ["response 200"]);
}

#[test]
fn s9_1_an_invite_whose_cancel_brings_nothing_ends_after_32_seconds() {
    let mut bench = Bench::new();
    bench.send(outgoing(&Method::Invite));
    bench.answered(Status::RINGING);
    bench.cancel();

    assert_eq!(bench.due(), Some(std::time::Duration::from_secs(32)));
    assert_eq!(bench.fire(), ["failed: no answer in time"]);
}

#[test]
fn only_an_invite_is_cancelled() {
    let mut bench = Bench::new();
    bench.send(outgoing(&Method::Message));
    bench.answered(Status::TRYING);

    assert_eq!(bench.cancel(), NOTHING);
}
