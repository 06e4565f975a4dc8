//! Two endpoints talk to each other: whole calls, as the focus and a device will have them.
use std::time::Instant;

use bytes::BytesMut;
use sip::dialog::Dialog;
use sip::endpoint::{Endpoint, EndpointLimits, Event, Output, TransactionKey};
use sip::{Decoder, Item, Limits, Method, Name, Request, Response, Side, Status};

use crate::bench::{FLOW, addresses, outgoing, start};

/// One end of a flow: an endpoint, the decoder of what comes to it, and what it told.
struct End {
    endpoint: Endpoint,
    decoder: Decoder,
    buffer: BytesMut,
    events: Vec<Event>,
}

impl End {
    fn new(seed: u8) -> Self {
        let mut endpoint = Endpoint::new(EndpointLimits::default(), [seed; 32]);
        endpoint.opened(FLOW, addresses());
        let decoder = Decoder::new(Side::Accepted, Limits::default());
        Self { endpoint, decoder, buffer: BytesMut::new(), events: Vec::new() }
    }

    /// Gives what it wants sent to `other`.
    fn speak(&mut self, now: Instant, other: &mut Self) -> bool {
        let mut spoke = false;
        while let Some(output) = self.endpoint.poll() {
            match output {
                Output::Send { bytes, .. } => other.hear(now, &bytes),
                Output::Event(event) => self.events.push(event),
            }
            spoke = true;
        }
        spoke
    }

    fn hear(&mut self, now: Instant, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        while let Some(item) = self.decoder.decode(&mut self.buffer) {
            let Item::Message(message) = item else { panic!("{item:?}") };
            self.endpoint.receive(now, FLOW, message);
        }
    }

    fn request(&mut self) -> (TransactionKey, Request) {
        match self.events.remove(0) {
            Event::Request { key, request, .. } => (key, request),
            other => panic!("no request: {other:?}"),
        }
    }

    fn response(&mut self) -> Response {
        match self.events.remove(0) {
            Event::Response { response, .. } => response,
            other => panic!("no response: {other:?}"),
        }
    }
}

fn talk(now: Instant, a: &mut End, b: &mut End) {
    while a.speak(now, b) | b.speak(now, a) {}
}

fn answer(now: Instant, end: &mut End, dialog: &mut Dialog, status: Status) -> Request {
    let (key, request) = end.request();
    let response = match dialog.receive(&request) {
        Ok(()) => Response::to(&request, status).with(Name::Contact, "<sip:room7@focus>;isfocus"),
        Err(refusal) => Response::to(&request, refusal.status()),
    };
    dialog.responded(&request, &response);
    end.endpoint.respond(now, key, response);
    request
}

/// A call between two ends, established.
fn call(now: Instant) -> (End, End, Dialog, Dialog) {
    let (mut ue, mut focus) = (End::new(1), End::new(2));
    let invite = outgoing(&Method::Invite);
    ue.endpoint.request(now, FLOW, invite.clone());
    talk(now, &mut ue, &mut focus);
    let (key, request) = focus.request();
    let ok = Response::to(&request, Status::OK)
        .with_to_tag("f9")
        .with(Name::Contact, "<sip:room7@focus>;isfocus");
    let at_focus = Dialog::uas(&request, &ok).unwrap();
    focus.endpoint.respond(now, key, ok);
    talk(now, &mut ue, &mut focus);
    let at_ue = Dialog::uac(&invite, &ue.response()).unwrap();
    ue.endpoint.acknowledge(FLOW, at_ue.acknowledgement(1));
    talk(now, &mut ue, &mut focus);
    assert!(matches!(focus.events.remove(0), Event::Ack { .. }));
    (ue, focus, at_ue, at_focus)
}

#[test]
fn a_call_leaves_nothing_behind() {
    let now = start();
    let (mut ue, mut focus, mut at_ue, mut at_focus) = call(now);
    assert_eq!(focus.endpoint.transactions(), 0);

    ue.endpoint.request(now, FLOW, at_ue.request(Method::Bye).unwrap());
    talk(now, &mut ue, &mut focus);
    answer(now, &mut focus, &mut at_focus, Status::OK);
    talk(now, &mut ue, &mut focus);

    assert_eq!(ue.response().status, Status::OK);
    assert!(at_ue.is_over() && at_focus.is_over());
    assert_eq!(focus.endpoint.transactions(), 0);
    assert_eq!(ue.endpoint.transactions(), 1, "the INVITE waits for other branches (timer M)");
    ue.endpoint.timeout(now + std::time::Duration::from_secs(32));
    assert_eq!(ue.endpoint.transactions(), 0);
}

#[test]
fn crossing_reinvites_are_both_answered_491() {
    let now = start();
    let (mut ue, mut focus, mut at_ue, mut at_focus) = call(now);

    ue.endpoint.request(now, FLOW, at_ue.request(Method::Invite).unwrap());
    focus.endpoint.request(now, FLOW, at_focus.request(Method::Invite).unwrap());
    talk(now, &mut ue, &mut focus);
    answer(now, &mut ue, &mut at_ue, Status::OK);
    answer(now, &mut focus, &mut at_focus, Status::OK);
    talk(now, &mut ue, &mut focus);

    let (to_ue, to_focus) = (ue.response(), focus.response());
    assert_eq!((to_ue.status, to_focus.status), (Status::REQUEST_PENDING, Status::REQUEST_PENDING));
    at_ue.answered(&to_ue);
    at_focus.answered(&to_focus);
    assert!(at_ue.request(Method::Invite).is_ok(), "the session stays, and one may try again");
}

#[test]
fn a_request_in_one_dialog_is_not_in_another() {
    let now = start();
    let (mut ue, mut focus, mut at_ue, _) = call(now);
    let (_, _, _, mut elsewhere) = call(now);
    let bye = at_ue.request(Method::Bye).unwrap();
    let mut stray = bye.clone();
    stray.headers.set(Name::CallId, "other-call");

    ue.endpoint.request(now, FLOW, stray);
    talk(now, &mut ue, &mut focus);
    answer(now, &mut focus, &mut elsewhere, Status::OK);
    talk(now, &mut ue, &mut focus);

    assert_eq!(ue.response().status, Status::NO_SUCH_DIALOG);
}
