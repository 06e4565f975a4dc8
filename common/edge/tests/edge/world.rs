//! What the tests stand on: an edge that listens, and raw clients that may do as they like.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use edge::{Closed, Dial, Edge, EdgeEvent, EdgeLimits, Listen, Refused, Target};
use rustls::pki_types::ServerName;
use service::tls::{ClientAuth, DevCa, Trust, client_config, server_config};
use sip::endpoint::FlowId;
use sip::{Message, Request, Response, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Nothing in these tests takes so long unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it should have happened by now")
}

pub(crate) struct World {
    pub(crate) ca: DevCa,
    pub(crate) edge: Edge,
    pub(crate) events: mpsc::Receiver<EdgeEvent>,
    pub(crate) address: SocketAddr,
}

impl World {
    /// An edge that listens for TLS as `sip.example.net`.
    pub(crate) async fn tls(limits: EdgeLimits) -> Self {
        let ca = DevCa::new("test", service::clock::wall()).unwrap();
        let roots = ca.roots().unwrap();
        let identity = ca.issue(&["sip.example.net"]).unwrap();
        let config = server_config(&identity, ClientAuth::Optional(roots), &[]).unwrap();
        let (edge, events) = Edge::new(limits);
        let address = edge.listen(any(), Listen::Tls(config)).await.unwrap();
        Self { ca, edge, events, address }
    }

    /// An edge that listens for plain TCP.
    pub(crate) async fn protected(limits: EdgeLimits) -> Self {
        let ca = DevCa::new("test", service::clock::wall()).unwrap();
        let (edge, events) = Edge::new(limits);
        let address = edge.listen(any(), Listen::Protected).await.unwrap();
        Self { ca, edge, events, address }
    }

    pub(crate) fn client_tls(&self) -> Arc<rustls::ClientConfig> {
        client_config(Trust::Roots(self.ca.roots().unwrap()), None, &[]).unwrap()
    }

    pub(crate) fn target(&self) -> Target {
        let server_name = ServerName::try_from("sip.example.net").unwrap();
        let security = Dial::Tls { config: self.client_tls(), server_name };
        Target { address: self.address, security }
    }

    /// A TLS client in the hands of the test.
    pub(crate) async fn dial(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("sip.example.net").unwrap();
        soon(TlsConnector::from(self.client_tls()).connect(name, stream)).await.unwrap()
    }

    pub(crate) async fn event(&mut self) -> EdgeEvent {
        soon(self.events.recv()).await.unwrap()
    }

    pub(crate) async fn opened(&mut self) -> FlowId {
        match self.event().await {
            EdgeEvent::Opened { flow, .. } => flow,
            other => panic!("not opened: {other:?}"),
        }
    }

    pub(crate) async fn message(&mut self) -> (FlowId, Message) {
        match self.event().await {
            EdgeEvent::Message { flow, message } => (flow, message),
            other => panic!("no message: {other:?}"),
        }
    }

    pub(crate) async fn malformed(&mut self) -> Status {
        match self.event().await {
            EdgeEvent::Malformed { status, .. } => status,
            other => panic!("not malformed: {other:?}"),
        }
    }

    pub(crate) async fn closed(&mut self) -> (FlowId, Closed) {
        match self.event().await {
            EdgeEvent::Closed { flow, why } => (flow, why),
            other => panic!("not closed: {other:?}"),
        }
    }

    pub(crate) async fn refused(&mut self) -> Refused {
        match self.event().await {
            EdgeEvent::Refused { why, .. } => why,
            other => panic!("not refused: {other:?}"),
        }
    }

    /// Somebody innocent comes, asks and is answered.
    pub(crate) async fn assert_serves(&mut self) {
        let mut client = self.dial().await;
        let flow = self.opened().await;
        client.write_all(&options(1).to_bytes()).await.unwrap();
        let (from, message) = self.message().await;
        assert_eq!(from, flow);
        let Message::Request(request) = message else { panic!("no request") };
        self.edge.send(flow, Response::to(&request, Status::OK).to_bytes());
        assert!(read_some(&mut client).await.starts_with("SIP/2.0 200 OK\r\n"));
        client.shutdown().await.unwrap();
        assert_eq!(self.closed().await, (flow, Closed::ByPeer));
    }
}

pub(crate) fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

pub(crate) fn options(number: u32) -> Request {
    request("OPTIONS", number)
}

pub(crate) fn request(method: &str, number: u32) -> Request {
    let uri: sip::Uri = "sip:room7@example.net".parse().unwrap();
    Request::new(method.parse().unwrap(), uri)
        .with(sip::Name::Via, format!("SIP/2.0/TLS ua.example.net;branch=z9hG4bK{method}{number}"))
        .with(sip::Name::MaxForwards, 70)
        .with(sip::Name::From, "<sip:alice@example.net>;tag=a1")
        .with(sip::Name::To, "<sip:room7@example.net>")
        .with(sip::Name::CallId, "call-1")
        .with(sip::Name::CSeq, format!("{number} {method}"))
}

/// A request for an endpoint, which puts its own Via on it.
pub(crate) fn bare(method: &str) -> Request {
    bare_number(method, 1)
}

pub(crate) fn bare_number(method: &str, number: u32) -> Request {
    let mut bare = request(method, number);
    bare.headers.remove(&sip::Name::Via);
    bare
}

pub(crate) async fn read_some(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = vec![0; 64 << 10];
    let read = soon(stream.read(&mut bytes)).await.unwrap();
    bytes.truncate(read);
    String::from_utf8(bytes).unwrap()
}

/// Everything until the other side closes.
pub(crate) async fn read_all(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    soon(stream.read_to_end(&mut bytes)).await.unwrap();
    String::from_utf8(bytes).unwrap()
}
