//! Two drivers talk: requests and responses as servers and clients will use them.
use edge::driver::{DriverSettings, Sip, SipEvent, spawn};
use edge::{Closed, Edge, EdgeLimits};
use sip::endpoint::{Abandoned, Failure, FlowId, TransactionKey};
use sip::{Method, Name, Request, Response, Status};
use tokio::sync::mpsc;

use crate::world::{World, any, bare, bare_number, soon};

struct Pair {
    ue: Sip,
    flow: FlowId,
    focus: Sip,
    events: mpsc::Receiver<SipEvent>,
    at_ue: mpsc::Receiver<SipEvent>,
}

async fn pair() -> Pair {
    let World { ca, edge, events, address } = World::tls(EdgeLimits::default()).await;
    let (focus, mut events) = spawn(edge, events, DriverSettings::default()).unwrap();
    let (edge, ue_events) = Edge::new(EdgeLimits::default());
    let (unused_edge, unused) = Edge::new(EdgeLimits::default());
    let target = World { ca, edge: unused_edge, events: unused, address }.target();
    let (ue, mut at_ue) = spawn(edge, ue_events, DriverSettings::default()).unwrap();
    let (flow, _) = soon(ue.connect(target)).await.unwrap();
    assert!(matches!(soon(at_ue.recv()).await, Some(SipEvent::Opened { .. })));
    assert!(matches!(soon(events.recv()).await, Some(SipEvent::Opened { .. })));
    Pair { ue, flow, focus, events, at_ue }
}

async fn asked(events: &mut mpsc::Receiver<SipEvent>) -> (TransactionKey, FlowId, Request) {
    match soon(events.recv()).await.unwrap() {
        SipEvent::Request { key, flow, request } => (key, flow, request),
        other => panic!("no request: {other:?}"),
    }
}

#[tokio::test]
async fn a_request_gets_its_response_both_ways_over_one_flow() {
    let Pair { ue, flow, focus, mut events, mut at_ue } = pair().await;

    let asking = tokio::spawn({
        let ue = ue.clone();
        async move { ue.request(flow, bare("MESSAGE")).await }
    });
    let (key, back, request) = asked(&mut events).await;
    focus.respond(key, Response::to(&request, Status::ACCEPTED)).await;
    assert_eq!(soon(asking).await.unwrap().unwrap().status, Status::ACCEPTED);

    let asking = tokio::spawn(async move { focus.request(back, bare("NOTIFY")).await });
    let (key, _, request) = asked(&mut at_ue).await;
    assert_eq!(request.method, Method::Notify);
    ue.respond(key, Response::to(&request, Status::OK)).await;
    assert_eq!(soon(asking).await.unwrap().unwrap().status, Status::OK);
}

#[tokio::test]
async fn a_method_nobody_knows_is_answered_405_and_the_flow_stays() {
    let Pair { ue, flow, focus, mut events, .. } = pair().await;
    for method in ["BOGUS", "OPTIONS"] {
        let exchange = soon(ue.begin(flow, bare(method))).await.unwrap();
        let (key, _, request) = asked(&mut events).await;
        let refusal = Response::to(&request, Status::METHOD_NOT_ALLOWED);
        focus.respond(key, refusal.with(Name::Allow, "INVITE, ACK, BYE")).await;

        let mut exchange = exchange;
        assert_eq!(soon(exchange.last()).await.unwrap().status, Status::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn a_request_on_a_closed_flow_fails_at_once() {
    let Pair { ue, flow, mut at_ue, .. } = pair().await;
    ue.close(flow);
    loop {
        if let SipEvent::Closed { why, .. } = soon(at_ue.recv()).await.unwrap() {
            assert_eq!(why, Closed::ByUs);
            break;
        }
    }

    assert_eq!(soon(ue.request(flow, bare("OPTIONS"))).await, Err(Failure::FlowClosed));
}

#[tokio::test]
async fn a_flow_that_closes_during_an_invite_ends_it_on_both_sides_at_once() {
    let Pair { ue, flow, focus, mut events, .. } = pair().await;
    let mut exchange = soon(ue.begin(flow, bare("INVITE"))).await.unwrap();
    let (invite, back, request) = asked(&mut events).await;
    focus.respond(invite, Response::to(&request, Status::RINGING)).await;
    assert_eq!(soon(exchange.next()).await.unwrap().status, Status::RINGING);

    focus.close(back);

    assert_eq!(soon(exchange.next()).await, Err(Failure::FlowClosed));
    match soon(events.recv()).await.unwrap() {
        SipEvent::Abandoned { key, why } => {
            assert_eq!((key, why), (invite, Abandoned::FlowClosed));
        }
        other => panic!("not abandoned: {other:?}"),
    }
    let next = soon(events.recv()).await;
    assert!(matches!(next, Some(SipEvent::Closed { flow, .. }) if flow == back));
}

#[tokio::test]
async fn an_invite_rings_and_is_cancelled() {
    let Pair { ue, flow, focus, mut events, .. } = pair().await;
    let mut exchange = soon(ue.begin(flow, bare("INVITE"))).await.unwrap();
    let (invite, _, request) = asked(&mut events).await;
    focus.respond(invite, Response::to(&request, Status::RINGING)).await;
    assert_eq!(soon(exchange.next()).await.unwrap().status, Status::RINGING);

    ue.cancel(exchange.key).await;
    let told = soon(events.recv()).await;
    assert!(matches!(told, Some(SipEvent::Cancelled { key }) if key == invite));
    focus.respond(invite, Response::to(&request, Status::REQUEST_TERMINATED)).await;

    assert_eq!(soon(exchange.last()).await.unwrap().status, Status::REQUEST_TERMINATED);
}

#[tokio::test]
async fn an_invite_is_accepted_and_acknowledged() {
    let Pair { ue, flow, focus, mut events, .. } = pair().await;
    let mut exchange = soon(ue.begin(flow, bare("INVITE"))).await.unwrap();
    let (invite, _, request) = asked(&mut events).await;
    focus.respond(invite, Response::to(&request, Status::OK)).await;
    let ok = soon(exchange.last()).await.unwrap();

    let mut ack = bare("ACK");
    ack.headers.remove(&Name::To);
    ack.headers.copy(&Name::To, &ok.headers);
    ue.acknowledge(flow, ack).await;

    let told = soon(events.recv()).await;
    assert!(matches!(told, Some(SipEvent::Ack { key, .. }) if key == invite));
}

#[tokio::test]
async fn a_2xx_nobody_waits_for_any_more_is_told() {
    let Pair { ue, flow, focus, mut events, mut at_ue } = pair().await;
    let exchange = soon(ue.begin(flow, bare("INVITE"))).await.unwrap();
    let (invite, _, request) = asked(&mut events).await;
    let key = exchange.key;
    drop(exchange);

    focus.respond(invite, Response::to(&request, Status::OK)).await;

    let told = soon(at_ue.recv()).await;
    assert!(matches!(told, Some(SipEvent::Stray { key: stray, .. }) if stray == key));
}

#[tokio::test]
async fn a_user_who_takes_no_events_can_still_command() {
    let Pair { ue, flow, focus, mut events, .. } = pair().await;
    let mut exchanges = Vec::new();
    // More than the driver keeps for its user, who looks only when all are sent.
    for number in 1..=1_000 {
        exchanges.push(soon(ue.begin(flow, bare_number("OPTIONS", number))).await.unwrap());
        // Each command is obeyed although nothing is taken.
        soon(focus.cancel(exchanges[0].key)).await;
    }

    for _ in 0..1_000 {
        let (key, _, request) = asked(&mut events).await;
        focus.respond(key, Response::to(&request, Status::OK)).await;
    }
    for mut exchange in exchanges {
        assert_eq!(soon(exchange.last()).await.unwrap().status, Status::OK);
    }
}

#[tokio::test]
async fn a_driver_nobody_holds_closes_its_flows() {
    let Pair { ue, mut at_ue, focus, mut events, .. } = pair().await;

    drop(ue);

    let ended = soon(events.recv()).await;
    assert!(matches!(ended, Some(SipEvent::Closed { .. })), "{ended:?}");
    while soon(at_ue.recv()).await.is_some() {}
    drop(focus);
}

#[tokio::test]
async fn a_dial_that_fails_says_why() {
    let Pair { ue, focus: _focus, events: _events, at_ue: _at_ue, .. } = pair().await;
    let nobody = tokio::net::TcpListener::bind(any()).await.unwrap().local_addr().unwrap();
    let target = edge::Target { address: nobody, security: edge::Dial::Protected };

    assert_eq!(soon(ue.connect(target)).await.err(), Some(Closed::NotConnected));
}
