//! The server side: what reaches the user, what is answered without it, and what a transaction costs.
use std::time::Duration;

use sip::endpoint::{Abandoned, EndpointLimits, Event, Output};
use sip::{Message, Method, Name, Status};

use crate::bench::{Bench, FLOW, OTHER, ack, incoming, with};

const NOTHING: [&str; 0] = [];

fn invited(bench: &mut Bench) -> sip::Request {
    let invite = incoming(&Method::Invite, 1, "b1");
    bench.receive(invite.clone());
    invite
}

fn in_dialog(bench: &Bench, request: sip::Request) -> sip::Request {
    let to = bench.sent.as_ref().unwrap().headers().to().unwrap().to_string();
    with(request, Name::To, &to)
}

#[test]
fn a_request_right_behind_the_ack_reaches_the_user_right_behind_it() {
    let mut bench = Bench::new();
    let invite = invited(&mut bench);
    bench.respond(Status::OK);
    let ok = bench.sent.clone().unwrap();
    let message = in_dialog(&bench, incoming(&Method::Message, 2, "b3"));

    // Both before anything is polled, as when they come in one segment.
    bench.endpoint.receive(bench.now, FLOW, ack(&invite, &ok, "b2").into());
    bench.endpoint.receive(bench.now, FLOW, message.into());

    assert_eq!(bench.said(), ["ack", "request MESSAGE"]);
    assert_eq!(bench.respond(Status::OK), ["> 200 MESSAGE"]);
}

#[test]
fn two_messages_in_a_dialog_at_once_are_both_answered_in_any_order() {
    let mut bench = Bench::new();
    invited(&mut bench);
    bench.respond(Status::OK);
    let first = in_dialog(&bench, incoming(&Method::Message, 2, "b2"));
    let second = in_dialog(&bench, incoming(&Method::Message, 3, "b3"));

    assert_eq!(bench.receive(first), ["request MESSAGE"]);
    let (key, request) = (bench.key, bench.request.clone());
    assert_eq!(bench.receive(second), ["request MESSAGE"]);

    assert_eq!(bench.respond(Status::OK), ["> 200 MESSAGE"]);
    (bench.key, bench.request) = (key, request);
    assert_eq!(bench.respond(Status::ACCEPTED), ["> 202 MESSAGE"]);
}

#[test]
fn s8_2_1_a_method_nobody_knows_reaches_the_user_and_the_flow_stays() {
    let mut bench = Bench::new();
    let bogus: Method = "BOGUS".parse().unwrap();

    assert_eq!(bench.receive(incoming(&bogus, 1, "b1")), ["request BOGUS"]);
    assert_eq!(bench.respond(Status::METHOD_NOT_ALLOWED), ["> 405 BOGUS"]);
    assert_eq!(bench.receive(incoming(&Method::Options, 2, "b2")), ["request OPTIONS"]);
}

#[test]
fn s16_3_max_forwards_0_is_for_the_user() {
    let mut bench = Bench::new();
    let request = with(incoming(&Method::Options, 1, "b1"), Name::MaxForwards, "0");

    assert_eq!(bench.receive(request), ["request OPTIONS"]);
    assert_eq!(bench.respond(Status::TOO_MANY_HOPS), ["> 483 OPTIONS"]);
}

#[test]
fn s8_1_1_a_request_without_what_it_must_have_is_answered_400() {
    let mut bench = Bench::new();
    for name in [Name::From, Name::CallId, Name::CSeq] {
        let mut request = incoming(&Method::Options, 1, "b1");
        request.headers.remove(&name);
        bench.endpoint.receive(bench.now, FLOW, request.into());
        let Some(Output::Send { bytes, .. }) = bench.endpoint.poll() else { panic!("no answer") };

        assert!(bytes.starts_with(b"SIP/2.0 400 "), "{name}");
    }
    let mut ack = incoming(&Method::Ack, 1, "b1");
    ack.headers.remove(&Name::CallId);
    assert_eq!(bench.receive(ack), NOTHING, "an ACK is never answered");
    assert_eq!(bench.endpoint.transactions(), 0);
}

#[test]
fn s8_2_2_2_a_merged_request_is_answered_482() {
    let mut bench = Bench::new();
    assert_eq!(bench.receive(incoming(&Method::Message, 1, "b1")), ["request MESSAGE"]);

    let said = bench.receive_on(OTHER, incoming(&Method::Message, 1, "b2"));

    assert_eq!(said, ["> 482 MESSAGE"]);
    let inside = with(incoming(&Method::Message, 1, "b3"), Name::To, "<sip:x@y>;tag=in");
    assert_eq!(bench.receive(inside), ["request MESSAGE"], "only outside of dialogs");
}

#[test]
fn s18_2_1_the_via_says_where_the_request_came_from() {
    let mut bench = Bench::new();
    let via = "SIP/2.0/TLS ua.example.net;rport;branch=z9hG4bKb1, SIP/2.0/TCP x;branch=z9hG4bKc";
    bench.receive(with(incoming(&Method::Options, 1, ""), Name::Via, via));

    bench.respond(Status::OK);

    let vias = bench.sent.unwrap().headers().vias().unwrap();
    assert_eq!(vias[0].params.value("received"), Some("192.0.2.7"));
    assert_eq!(vias[0].params.value("rport"), Some("40001"));
    assert_eq!(vias[0].branch(), Some("z9hG4bKb1"));
    assert_eq!(vias[1].to_string(), "SIP/2.0/TCP x;branch=z9hG4bKc");
}

#[test]
fn s18_2_1_received_is_added_only_where_sent_by_is_another_host() {
    let mut bench = Bench::new();
    let received = |bench: &Bench| {
        let via = bench.sent.as_ref().unwrap().headers().via().unwrap();
        via.params.value("received").map(str::to_owned)
    };

    bench.receive(incoming(&Method::Options, 1, "b1"));
    bench.respond(Status::OK);
    assert_eq!(received(&bench).as_deref(), Some("192.0.2.7"));
    let same = "SIP/2.0/TLS 192.0.2.7:5061;branch=z9hG4bKb2";
    bench.receive(with(incoming(&Method::Options, 2, ""), Name::Via, same));
    bench.respond(Status::OK);
    assert_eq!(received(&bench), None);
}

#[test]
fn s17_2_1_100_leaves_after_200_ms_unless_the_user_answered() {
    let mut bench = Bench::new();
    invited(&mut bench);
    assert_eq!(bench.pass(Duration::from_millis(199)), NOTHING);
    assert_eq!(bench.pass(Duration::from_millis(1)), ["> 100 INVITE"]);
    assert_eq!(bench.sent.clone().unwrap().headers().to().unwrap().tag(), None);

    assert_eq!(bench.respond(Status::OK), ["> 200 INVITE"]);
    assert!(bench.sent.unwrap().headers().to().unwrap().tag().is_some());
}

#[test]
fn a_flow_that_closes_during_an_invite_frees_everything() {
    let mut bench = Bench::new();
    invited(&mut bench);
    bench.receive(incoming(&Method::Message, 2, "b2"));

    assert_eq!(bench.close(), ["abandoned: the flow closed"; 2]);

    assert_eq!(bench.endpoint.transactions(), 0);
    assert_eq!(bench.endpoint.next_timeout(), None);
    assert_eq!(bench.respond(Status::OK), NOTHING, "too late");
    assert_eq!(bench.receive(incoming(&Method::Message, 3, "b3")), NOTHING, "a closed flow");
}

#[test]
fn s13_3_1_4_a_2xx_nobody_acknowledges_is_told_after_32_seconds() {
    let mut bench = Bench::new();
    invited(&mut bench);
    bench.respond(Status::OK);
    assert_eq!(bench.due(), Some(Duration::from_secs(32)));
    bench.now += Duration::from_secs(32);
    bench.endpoint.timeout(bench.now);

    let Some(Output::Event(Event::Abandoned { key, why })) = bench.endpoint.poll() else {
        panic!("nothing was told")
    };

    assert_eq!((Some(key), why), (bench.key, Abandoned::NotAcknowledged));
}

#[test]
fn s13_2_2_4_an_ack_may_come_on_another_flow_but_must_know_the_tag() {
    let mut bench = Bench::new();
    let invite = invited(&mut bench);
    bench.respond(Status::OK);
    let ok = bench.sent.clone().unwrap();
    let forged = with(ack(&invite, &ok, "b2"), Name::To, "<sip:room7@focus.example.net>;tag=guess");

    assert_eq!(bench.receive_on(OTHER, forged), NOTHING);
    assert_eq!(bench.receive_on(OTHER, ack(&invite, &ok, "b3")), ["ack"]);
    assert_eq!(bench.receive_on(OTHER, ack(&invite, &ok, "b4")), NOTHING, "once");
}

#[test]
fn the_tag_that_the_user_chose_is_the_tag_of_the_transaction() {
    let mut bench = Bench::new();
    let invite = invited(&mut bench);
    let ok = sip::Response::to(&invite, Status::OK).with_to_tag("mine");
    bench.endpoint.respond(bench.now, bench.key.unwrap(), ok);
    bench.said();
    let ok = bench.sent.clone().unwrap();
    assert_eq!(ok.headers().to().unwrap().tag(), Some("mine"));

    assert_eq!(bench.receive(ack(&invite, &ok, "b2")), ["ack"]);
}

#[test]
fn s17_2_1_the_ack_to_a_failure_is_absorbed_and_ends_the_transaction() {
    let mut bench = Bench::new();
    let invite = invited(&mut bench);
    bench.respond(Status::BUSY_HERE);
    let busy = bench.sent.clone().unwrap();

    assert_eq!(bench.receive(ack(&invite, &busy, "b1")), NOTHING);
    assert_eq!(bench.endpoint.transactions(), 0);
}

#[test]
fn a_finished_transaction_vanishes() {
    let mut bench = Bench::new();
    bench.receive(incoming(&Method::Message, 1, "b1"));

    bench.respond(Status::OK);

    assert_eq!(bench.endpoint.transactions(), 0);
    assert_eq!(bench.endpoint.next_timeout(), None);
}

#[test]
fn more_requests_than_there_may_be_are_answered_503() {
    let limits = EndpointLimits {
        transactions_max: 3,
        flow_transactions_max: 2,
        ..EndpointLimits::default()
    };
    let mut bench = Bench::with_limits(limits);
    let message = |number: u32| incoming(&Method::Message, number, &format!("b{number}"));
    bench.receive(message(1));
    bench.receive(message(2));

    assert_eq!(bench.receive(message(3)), ["> 503 MESSAGE"], "this flow is full");
    let Some(Message::Response(busy)) = bench.sent.clone() else { panic!("no response") };
    assert_eq!(busy.headers.text(&Name::RetryAfter).as_deref(), Some("5"));
    assert_eq!(bench.receive_on(OTHER, message(4)), ["request MESSAGE"], "another is not");
    assert_eq!(bench.receive_on(OTHER, message(5)), ["> 503 MESSAGE"], "now everything is full");
    bench.respond(Status::OK);
    assert_eq!(bench.receive_on(OTHER, message(6)), ["request MESSAGE"], "there is room again");
}
