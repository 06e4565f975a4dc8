//! One endpoint under test: it is fed text and says in words what it did.
use std::time::{Duration, Instant};

use bytes::BytesMut;
use sip::endpoint::{
    Endpoint, EndpointLimits, Event, FlowAddresses, FlowId, Output, TransactionKey,
};
use sip::{Decoder, Item, Limits, Message, Method, Name, Request, Response, Side, Status, Uri};

pub(crate) const FLOW: FlowId = FlowId(1);
pub(crate) const OTHER: FlowId = FlowId(2);

pub(crate) struct Bench {
    pub(crate) endpoint: Endpoint,
    pub(crate) now: Instant,
    /// The transaction of the last request, of either side.
    pub(crate) key: Option<TransactionKey>,
    /// The last request to or from the endpoint.
    pub(crate) request: Option<Request>,
    /// The last message the endpoint sent.
    pub(crate) sent: Option<Message>,
    /// The last response the user was given.
    pub(crate) response: Option<Response>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_limits(EndpointLimits::default())
    }

    pub(crate) fn with_limits(limits: EndpointLimits) -> Self {
        let mut endpoint = Endpoint::new(limits, [7; 32]);
        endpoint.opened(FLOW, addresses());
        endpoint.opened(OTHER, addresses());
        let (key, request, sent, response) = (None, None, None, None);
        Self { endpoint, now: start(), key, request, sent, response }
    }

    pub(crate) fn receive(&mut self, message: impl Into<Message>) -> Vec<String> {
        self.receive_on(FLOW, message)
    }

    pub(crate) fn receive_on(&mut self, flow: FlowId, message: impl Into<Message>) -> Vec<String> {
        self.endpoint.receive(self.now, flow, message.into());
        self.said()
    }

    pub(crate) fn send(&mut self, request: Request) -> Vec<String> {
        self.key = Some(self.endpoint.request(self.now, FLOW, request));
        let said = self.said();
        if let Some(Message::Request(request)) = &self.sent {
            self.request = Some(request.clone());
        }
        said
    }

    /// The user answers the last request.
    pub(crate) fn respond(&mut self, status: Status) -> Vec<String> {
        let response = Response::to(self.request.as_ref().unwrap(), status);
        self.endpoint.respond(self.now, self.key.unwrap(), response);
        self.said()
    }

    /// The peer answers the last request.
    pub(crate) fn answered(&mut self, status: Status) -> Vec<String> {
        let response = Response::to(self.request.as_ref().unwrap(), status).with_to_tag("peer");
        self.receive(response)
    }

    pub(crate) fn cancel(&mut self) -> Vec<String> {
        self.endpoint.cancel(self.now, self.key.unwrap());
        self.said()
    }

    pub(crate) fn close(&mut self) -> Vec<String> {
        self.endpoint.closed(self.now, FLOW);
        self.said()
    }

    /// Goes to the next timer and lets it fire.
    pub(crate) fn fire(&mut self) -> Vec<String> {
        if let Some(at) = self.endpoint.next_timeout() {
            self.now = at;
        }
        self.endpoint.timeout(self.now);
        self.said()
    }

    pub(crate) fn pass(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.endpoint.timeout(self.now);
        self.said()
    }

    /// How long until the next timer fires.
    pub(crate) fn due(&self) -> Option<Duration> {
        self.endpoint.next_timeout().map(|at| at - self.now)
    }

    pub(crate) fn said(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(output) = self.endpoint.poll() {
            said.push(match output {
                Output::Send { bytes, .. } => self.note_sent(&bytes),
                Output::Event(event) => self.note(event),
            });
        }
        said
    }

    fn note_sent(&mut self, bytes: &[u8]) -> String {
        let message = parse(bytes);
        let words = match &message {
            Message::Request(request) => format!("> {}", request.method),
            Message::Response(response) => {
                format!("> {} {}", response.status, response.headers.cseq().unwrap().method)
            }
        };
        self.sent = Some(message);
        words
    }

    fn note(&mut self, event: Event) -> String {
        match event {
            Event::Request { key, request, .. } => {
                let words = format!("request {}", request.method);
                (self.key, self.request) = (Some(key), Some(request));
                words
            }
            Event::Ack { .. } => "ack".to_owned(),
            Event::Cancelled { .. } => "cancelled".to_owned(),
            Event::Abandoned { why, .. } => format!("abandoned: {why}"),
            Event::Response { response, .. } => {
                let words = format!("response {}", response.status);
                self.response = Some(response);
                words
            }
            Event::Failed { why, .. } => format!("failed: {why}"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do to begin with")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

pub(crate) fn addresses() -> FlowAddresses {
    FlowAddresses {
        transport: "TLS".to_owned(),
        sent_by_host: "focus.example.net".to_owned(),
        sent_by_port: Some(5061),
        peer_host: "192.0.2.7".to_owned(),
        peer_port: 40_001,
    }
}

pub(crate) fn parse(bytes: &[u8]) -> Message {
    let mut decoder = Decoder::new(Side::Accepted, Limits::default());
    match decoder.decode(&mut BytesMut::from(bytes)) {
        Some(Item::Message(message)) => message,
        other => panic!("not a message: {other:?}"),
    }
}

/// A request of alice's, as it comes from the wire.
pub(crate) fn incoming(method: &Method, number: u32, branch: &str) -> Request {
    Request::new(method.clone(), uri("sip:room7@focus.example.net"))
        .with(Name::Via, format!("SIP/2.0/TLS ua.example.net;branch=z9hG4bK{branch}"))
        .with(Name::MaxForwards, 70)
        .with(Name::From, "<sip:alice@example.net>;tag=a1")
        .with(Name::To, "<sip:room7@focus.example.net>")
        .with(Name::CallId, "call-1")
        .with(Name::CSeq, format!("{number} {method}"))
        .with(Name::Contact, "<sip:alice@192.0.2.7;transport=tcp>")
}

/// A request of ours, without Via.
pub(crate) fn outgoing(method: &Method) -> Request {
    Request::new(method.clone(), uri("sip:bob@192.0.2.8"))
        .with(Name::From, "<sip:room7@focus.example.net>;tag=f1")
        .with(Name::To, "<sip:bob@example.net>")
        .with(Name::CallId, "call-2")
        .with(Name::CSeq, format!("1 {method}"))
        .with(Name::Contact, "<sip:room7@focus.example.net:5061>;isfocus")
}

pub(crate) fn uri(text: &str) -> Uri {
    text.parse().unwrap()
}

/// The same request with another value of one header field.
pub(crate) fn with(mut request: Request, name: Name, value: &str) -> Request {
    request.headers.set(name, value.to_owned());
    request
}

/// What somebody sends who answers `response` to `request` with an ACK: with the same branch after a failure.
pub(crate) fn ack(request: &Request, response: &Message, branch: &str) -> Request {
    let mut ack = with(
        request.clone(),
        Name::Via,
        &format!("SIP/2.0/TLS ua.example.net;branch=z9hG4bK{branch}"),
    );
    ack.method = Method::Ack;
    let number = request.headers.cseq().unwrap().number;
    ack.headers.set(Name::CSeq, format!("{number} ACK"));
    ack.headers.remove(&Name::To);
    ack.headers.copy(&Name::To, response.headers());
    ack
}
