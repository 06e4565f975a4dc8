//! The client side: what leaves, and which responses count.
use std::time::Duration;

use sip::endpoint::EndpointLimits;
use sip::{Message, Method, Name, Response, Status};

use crate::bench::{Bench, FLOW, OTHER, outgoing, with};

const NOTHING: [&str; 0] = [];

#[test]
fn s8_1_1_7_each_request_has_a_branch_of_its_own_and_our_sent_by() {
    let mut bench = Bench::new();

    bench.send(outgoing(&Method::Message));
    let first = bench.request.clone().unwrap().headers.via().unwrap();
    bench.send(outgoing(&Method::Message));
    let second = bench.request.clone().unwrap().headers.via().unwrap();

    assert!(first.has_unique_branch());
    assert_ne!(first.branch(), second.branch());
    assert_eq!((&*first.transport, &*first.sent_by()), ("TLS", "focus.example.net:5061"));
    assert_eq!(bench.request.unwrap().headers.max_forwards(), Ok(Some(70)));
}

#[test]
fn a_request_on_a_closed_flow_fails_at_once() {
    let mut bench = Bench::new();
    bench.close();

    assert_eq!(bench.send(outgoing(&Method::Message)), ["failed: the flow is closed"]);
    assert_eq!(bench.send(outgoing(&Method::Invite)), ["failed: the flow is closed"]);
    assert_eq!(bench.endpoint.transactions(), 0);
}

#[test]
fn a_closing_flow_fails_its_requests_at_once_and_frees_them() {
    let mut bench = Bench::new();
    bench.send(outgoing(&Method::Invite));
    bench.send(outgoing(&Method::Message));

    assert_eq!(bench.close(), ["failed: the flow is closed"; 2]);
    assert_eq!(bench.endpoint.transactions(), 0);
    assert_eq!(bench.endpoint.next_timeout(), None);
}

#[test]
fn s17_1_2_2_timer_f_fires_after_32_seconds_and_not_before() {
    let mut bench = Bench::new();
    bench.send(outgoing(&Method::Message));

    assert_eq!(bench.pass(Duration::from_millis(31_999)), NOTHING);
    assert_eq!(bench.pass(Duration::from_millis(1)), ["failed: no answer in time"]);
}

#[test]
fn s17_1_1_3_the_ack_to_a_failure_takes_the_way_of_its_invite() {
    let mut bench = Bench::new();
    let invite = outgoing(&Method::Invite).with(Name::Route, "<sip:core.example.net;lr>");
    bench.send(invite.with_body("application/sdp", "v=0\r\n"));
    let invite = bench.request.clone().unwrap();

    assert_eq!(bench.answered(Status::BUSY_HERE), ["> ACK", "response 486"]);

    let Some(Message::Request(ack)) = bench.sent else { panic!("no ACK") };
    for name in [Name::Via, Name::From, Name::CallId, Name::Route] {
        assert_eq!(ack.headers.text(&name), invite.headers.text(&name), "{name}");
    }
    assert_eq!(ack.uri, invite.uri);
    assert_eq!(ack.headers.to().unwrap().tag(), Some("peer"));
    assert_eq!(ack.headers.cseq().unwrap().to_string(), "1 ACK");
    assert!(ack.body.is_empty());
}

#[test]
fn s18_1_2_a_response_that_is_not_ours_is_dropped() {
    let mut bench = Bench::new();
    bench.send(outgoing(&Method::Message));
    let request = bench.request.clone().unwrap();
    let ok = || Response::to(&request, Status::OK);
    let via = request.headers.via().unwrap().to_string();
    let variant = |name: Name, value: &str| {
        let mut response = ok();
        response.headers.set(name, value.to_owned());
        response
    };

    assert_eq!(bench.receive_on(OTHER, ok()), NOTHING);
    assert_eq!(bench.receive(variant(Name::CSeq, "1 INVITE")), NOTHING);
    assert_eq!(bench.receive(variant(Name::Via, &via.replace("focus", "hocus"))), NOTHING);
    assert_eq!(bench.receive(variant(Name::Via, &via.replace("5061", "5062"))), NOTHING);
    assert_eq!(bench.receive(variant(Name::Via, &format!("{via}0"))), NOTHING);
    assert_eq!(bench.receive(variant(Name::Via, &format!("{via}, {via}"))), NOTHING);
    assert_eq!(bench.receive(variant(Name::Via, "junk")), NOTHING);
    assert_eq!(bench.receive(ok()), ["response 200"]);
    assert_eq!(bench.receive(ok()), NOTHING);
}

#[test]
fn rfc6026_s7_2_every_branch_of_a_fork_gets_through_until_timer_m() {
    let mut bench = Bench::new();
    bench.send(outgoing(&Method::Invite));
    let invite = bench.request.clone().unwrap();
    let ok = |tag: &str| Response::to(&invite, Status::OK).with_to_tag(tag);

    assert_eq!(bench.receive(ok("desk")), ["response 200"]);
    assert_eq!(bench.receive(ok("phone")), ["response 200"]);
    assert_eq!(bench.pass(Duration::from_secs(32)), NOTHING);
    assert_eq!(bench.receive(ok("fax")), NOTHING);
    assert_eq!(bench.endpoint.transactions(), 0);
}

#[test]
fn more_requests_than_there_may_be_fail_and_are_not_sent() {
    let limits = EndpointLimits { flow_transactions_max: 2, ..EndpointLimits::default() };
    let mut bench = Bench::with_limits(limits);

    assert_eq!(bench.send(outgoing(&Method::Message)), ["> MESSAGE"]);
    assert_eq!(bench.send(outgoing(&Method::Message)), ["> MESSAGE"]);
    assert_eq!(bench.send(outgoing(&Method::Message)), ["failed: too many transactions"]);
}

#[test]
fn s13_2_2_4_an_ack_is_no_transaction_and_has_a_branch_of_its_own() {
    let mut bench = Bench::new();
    bench.send(outgoing(&Method::Invite));
    bench.answered(Status::OK);
    let invite = bench.request.clone().unwrap();

    let ack = with(outgoing(&Method::Ack), Name::CSeq, "1 ACK");
    bench.endpoint.acknowledge(FLOW, ack);

    assert_eq!(bench.said(), ["> ACK"]);
    let sent = bench.sent.unwrap();
    assert_ne!(sent.headers().via().unwrap().branch(), invite.headers.via().unwrap().branch());
}
