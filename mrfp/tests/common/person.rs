//! A participant: MSRP over TLS, by hand.
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use msrp::{
    Address, Body, Chunk, Decoder, Flag, Frame, Item, MessageId, Path, Reply, SendRequest, Status,
    TransactionId,
};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use service::tls::{DevCa, Trust, client_config};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{id, soon};

/// Whatever carries MSRP.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

pub struct Person {
    stream: Box<dyn Stream>,
    decoder: Decoder,
    input: BytesMut,
    pub rng: StdRng,
    address: Address,
    paths: Option<(Path, Path)>,
    open: HashMap<MessageId, Body>,
    /// The status it answers chunks with.
    pub answers: u16,
    /// The last REPORT, as it came.
    pub report: Option<Chunk>,
}

/// A TLS client that trusts this CA.
pub fn trusting(ca: &DevCa) -> Arc<ClientConfig> {
    client_config(Trust::Roots(ca.roots().unwrap()), None, &[]).unwrap()
}

/// What a participant saw.
#[derive(Debug)]
pub enum Got {
    /// A response: transaction, status, comment.
    Response(TransactionId, u16, String),
    /// A REPORT of ours, with its range.
    Report(MessageId, u16, String),
    /// A chunk of somebody.
    Chunk(Chunk),
    /// The relay closed the connection.
    End,
}

impl Person {
    pub async fn connect(ca: &DevCa, relay: SocketAddr) -> Self {
        Self::over(TcpStream::connect(relay).await.unwrap(), trusting(ca)).await.unwrap()
    }

    /// The same over a socket that is connected already, which the relay may close at any time.
    pub async fn over(socket: TcpStream, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        let name = ServerName::try_from("localhost").unwrap();
        Ok(Self::on(TlsConnector::from(config).connect(name, socket).await?))
    }

    /// A participant on a connection that is there already.
    pub fn on(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            decoder: Decoder::default(),
            input: BytesMut::new(),
            rng: StdRng::seed_from_u64(7),
            address: Address::default(),
            paths: None,
            open: HashMap::new(),
            answers: 200,
            report: None,
        }
    }

    /// From now on requests go to this seat.
    pub fn aim(&mut self, to: &str, from: &str) {
        let (to, from): (Path, Path) = (to.parse().unwrap(), from.parse().unwrap());
        self.address = Address::new(&to, &from);
        self.paths = Some((to, from));
    }

    /// To-Path and From-Path of what this participant sends.
    pub fn paths(&self) -> &(Path, Path) {
        self.paths.as_ref().unwrap()
    }

    /// The paths of what this participant sends, on the wire.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Sends octets, or says that the relay has closed.
    pub async fn write(&mut self, octets: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(octets).await?;
        self.stream.flush().await
    }

    /// Throws away what has come in, without waiting for more.
    pub async fn drain(&mut self) {
        let mut scratch = [0; 4096];
        let read = self.stream.read(&mut scratch);
        // A look, and no more: what is not here yet is thrown away the next time.
        drop(tokio::time::timeout(std::time::Duration::ZERO, read).await);
    }

    /// Takes the seat with a bodiless SEND.
    pub async fn bind(&mut self) {
        let (status, _) = self.ask(&SendRequest::bodiless(id("bind1"))).await;
        assert_eq!(status, 200);
    }

    /// Sends a request; its transaction.
    pub async fn send(&mut self, send: &SendRequest) -> TransactionId {
        let frame = send.encode(&mut self.rng).to(&self.address);
        self.frame(&frame).await;
        frame.payload.transaction()
    }

    pub async fn frame(&mut self, frame: &Frame) {
        self.raw(&frame.to_bytes()).await;
    }

    pub async fn raw(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The same, where the relay may close before all of it is written.
    pub async fn raw_as_far_as_it_goes(&mut self, octets: &[u8]) {
        if self.stream.write_all(octets).await.is_ok() {
            drop(self.stream.flush().await);
        }
    }

    /// Sends a request and waits for its response. Chunks that come before it are lost.
    pub async fn ask(&mut self, send: &SendRequest) -> (u16, String) {
        let transaction = self.send(send).await;
        self.answer(transaction).await
    }

    /// The response to a transaction.
    pub async fn answer(&mut self, wanted: TransactionId) -> (u16, String) {
        loop {
            match self.next().await {
                Got::Response(transaction, status, comment) if transaction == wanted => {
                    return (status, comment);
                }
                Got::End => panic!("the connection ended before the response"),
                _ => {}
            }
        }
    }

    /// Whatever comes next. Chunks are answered with 200.
    pub async fn next(&mut self) -> Got {
        soon("the next message", self.read()).await
    }

    async fn read(&mut self) -> Got {
        loop {
            match self.decoder.next(&mut self.input).unwrap() {
                Some(Item::Response(head)) => {
                    let comment = head.comment().unwrap_or_default().to_owned();
                    return Got::Response(
                        head.transaction(),
                        head.status().unwrap().code(),
                        comment,
                    );
                }
                Some(Item::Request(chunk))
                    if chunk.head.method() == Some(&msrp::Method::Report) =>
                {
                    let status = chunk.head.report_status().unwrap().status.code();
                    let range = chunk.head.byte_range().to_string();
                    let of = chunk.head.message_id().unwrap();
                    self.report = Some(chunk);
                    return Got::Report(of, status, range);
                }
                Some(Item::Request(chunk)) => {
                    if chunk.end.is_some() {
                        let status = Status::new(self.answers).unwrap();
                        let reply = Reply::new(&chunk.head, status).unwrap().encode().unwrap();
                        // The relay may have closed meanwhile.
                        drop(self.stream.write_all(&reply.to_bytes()).await);
                    }
                    return Got::Chunk(chunk);
                }
                None => {
                    self.input.reserve(64 * 1024);
                    match self.stream.read_buf(&mut self.input).await {
                        Ok(0) | Err(_) => return Got::End,
                        Ok(_) => {}
                    }
                }
            }
        }
    }

    /// The next complete message of somebody; responses and reports in between are lost.
    pub async fn message(&mut self) -> Body {
        loop {
            match self.next().await {
                Got::Chunk(chunk) => {
                    if let Some(body) = self.gather(&chunk) {
                        return body;
                    }
                }
                Got::End => panic!("the connection ended before the message"),
                Got::Response(..) | Got::Report(..) => {}
            }
        }
    }

    /// Puts a chunk to its message; the message, if that was the last of it.
    pub fn gather(&mut self, chunk: &Chunk) -> Option<Body> {
        let id = chunk.head.message_id().unwrap();
        let body = self.open.entry(id).or_default();
        body.append(&chunk.body);
        match chunk.end {
            Some(Flag::End) => self.open.remove(&id),
            Some(Flag::Abort) => {
                self.open.remove(&id);
                None
            }
            _ => None,
        }
    }

    /// What carries it.
    pub fn stream(&mut self) -> &mut dyn Stream {
        &mut *self.stream
    }

    /// The connection ends without a goodbye.
    pub fn hang_up(self) {
        drop(self);
    }
}
