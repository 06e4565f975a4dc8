//! MSRP over WebSocket over TLS (RFC 7977), for browsers: the upgrade, and then one chunk in each message, both ways.
//! Framing is tungstenite's; it runs over memory here, between TLS and us. A chunk that goes out is written behind its
//! frame header as it is, without a copy of its own.
use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use msrp::{Decoder, Frame, Item};
use rustls::ServerConfig;
use service::websocket::{BadUpgrade, Pipe};
use tokio::net::tcp::OwnedWriteHalf;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, FrameHeader};
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

use super::tls::Tls;
use super::{Incoming, WireError, Written};

/// RFC 7977, 4.1.
const SUBPROTOCOL: &str = "msrp";

/// Octets of one message, so of one chunk. What a browser sends at once is far below; 1009 ends a longer one.
const MESSAGE_OCTETS_MAX: usize = 1024 * 1024;

/// Sealed octets that may wait for a peer that goes on asking: a flush of frames is at most half of it.
const WAITING_OCTETS_MAX: usize = 256 * 1024;

/// Octets that the framing reads at once; more only costs memory where nobody speaks.
const READ_OCTETS: usize = 4 * 1024;

/// Our end of a WebSocket connection.
#[derive(Debug)]
pub(crate) struct WebSocket {
    tls: Tls,
    stage: Stage,
    /// Out of TLS, and not framed yet.
    pipe: Pipe,
}

#[derive(Debug)]
enum Stage {
    /// The request is not complete.
    Upgrading {
        origins: Arc<[String]>,
    },
    Open(Box<WebSocketContext>),
    Closed,
}

impl WebSocket {
    /// The server's end. A page may connect if its origin is among `origins`; without any, every page may.
    pub(crate) fn server(
        tls: Arc<ServerConfig>,
        origins: Arc<[String]>,
    ) -> Result<Self, rustls::Error> {
        let (tls, stage) = (Tls::server(tls)?, Stage::Upgrading { origins });
        Ok(Self { tls, stage, pipe: Pipe::default() })
    }

    pub(crate) fn tls(&self) -> &Tls {
        &self.tls
    }

    pub(super) fn tls_mut(&mut self) -> &mut Tls {
        &mut self.tls
    }

    /// Whether frames must still wait.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking() || matches!(self.stage, Stage::Upgrading { .. })
    }

    pub(crate) fn open(
        &mut self,
        sealed: &[u8],
        opened: &mut BytesMut,
    ) -> Result<Incoming, WireError> {
        let incoming = self.tls.open(sealed, &mut self.pipe.input)?;
        if let Stage::Upgrading { origins } = &self.stage {
            let origins = Arc::clone(origins);
            self.upgrade(&origins)?;
        }
        let closed = self.unframe(opened);
        self.send();
        if self.tls.waiting() > WAITING_OCTETS_MAX {
            return Err(BadWebSocket::Unread.into());
        }
        Ok(if closed? { Incoming::Closed } else { incoming })
    }

    /// Answers the upgrade request, once it is complete.
    fn upgrade(&mut self, origins: &[String]) -> Result<(), WireError> {
        let answered = self.pipe.upgrade(SUBPROTOCOL, origins);
        if answered == Ok(false) {
            return Ok(());
        }
        self.send();
        match answered {
            Ok(_) => {
                let config = WebSocketConfig::default()
                    .read_buffer_size(READ_OCTETS)
                    .max_message_size(Some(MESSAGE_OCTETS_MAX))
                    .max_frame_size(Some(MESSAGE_OCTETS_MAX));
                let context = WebSocketContext::new(Role::Server, Some(config));
                self.stage = Stage::Open(Box::new(context));
                Ok(())
            }
            Err(bad) => {
                self.stage = Stage::Closed;
                Err(BadWebSocket::from(bad).into())
            }
        }
    }

    /// Adds the chunks that came to `opened`. True: the peer closes.
    fn unframe(&mut self, opened: &mut BytesMut) -> Result<bool, WireError> {
        let Stage::Open(context) = &mut self.stage else { return Ok(false) };
        loop {
            let octets = match context.read(&mut self.pipe) {
                Ok(Message::Binary(octets)) => octets,
                // RFC 7977, 4.2: either kind of frame.
                Ok(Message::Text(text)) => text.into(),
                Ok(Message::Close(_)) => return Ok(true),
                // Pongs are queued by the framing itself.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(false);
                }
                Err(Error::ConnectionClosed | Error::AlreadyClosed) => return Ok(true),
                Err(_) => return Err(self.refuse(CloseCode::Protocol)),
            };
            if !is_one_chunk(&octets) {
                return Err(self.refuse(CloseCode::Protocol));
            }
            opened.extend_from_slice(&octets);
        }
    }

    fn refuse(&mut self, code: CloseCode) -> WireError {
        self.say_close(Some(CloseFrame { code, reason: "one MSRP chunk a message".into() }));
        BadWebSocket::Chunk.into()
    }

    /// Frames that go out: each is one message.
    pub(crate) fn seal(&mut self, frames: &[Frame]) {
        let mut headers = Vec::with_capacity(frames.len() * 10);
        let mut ends = Vec::with_capacity(frames.len());
        for frame in frames {
            let header =
                FrameHeader { opcode: OpCode::Data(Data::Binary), ..FrameHeader::default() };
            // Writing to memory cannot fail.
            drop(header.format(u64::try_from(frame.len()).unwrap_or(u64::MAX), &mut headers));
            ends.push(headers.len());
        }
        let mut slices = Vec::new();
        let mut start = 0;
        for (frame, end) in frames.iter().zip(ends) {
            slices.push(headers.get(start..end).unwrap_or_default());
            slices.extend(frame.slices().map(|slice| &**slice));
            start = end;
        }
        self.tls.seal_slices(slices.into_iter());
    }

    /// What the framing wants to say goes into TLS.
    fn send(&mut self) {
        if let Stage::Open(context) = &mut self.stage {
            // What is wrong with the connection was said when it was read.
            drop(context.flush(&mut self.pipe));
        }
        if !self.pipe.output.is_empty() {
            self.tls.seal_slices(std::iter::once(&*self.pipe.output));
            self.pipe.output = Vec::new();
        }
    }

    fn say_close(&mut self, frame: Option<CloseFrame>) {
        if let Stage::Open(context) = &mut self.stage {
            drop(context.close(&mut self.pipe, frame));
            self.send();
        }
    }

    /// Tells the peer that nothing follows.
    pub(crate) fn close(&mut self) {
        self.say_close(None);
        self.tls.close();
    }

    pub(crate) fn wants_write(&self) -> bool {
        self.tls.wants_write()
    }

    pub(crate) fn write(&mut self, to: &OwnedWriteHalf, writes: &mut u64) -> io::Result<Written> {
        self.tls.write(to, writes)
    }
}

/// Why a WebSocket connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadWebSocket {
    /// It was never one.
    #[error(transparent)]
    Upgrade(#[from] BadUpgrade),
    /// A message that is not one chunk (RFC 7977, 5.1).
    #[error("a message that is not one chunk")]
    Chunk,
    /// It asks, and does not read the answers.
    #[error("too many answers wait for it")]
    Unread,
}

/// Whether a message is one request or response, whole, and nothing more.
fn is_one_chunk(octets: &[u8]) -> bool {
    let limits = msrp::Limits { piece_octets_max: usize::MAX, ..msrp::Limits::default() };
    let (mut decoder, mut input) = (Decoder::new(limits), BytesMut::from(octets));
    loop {
        match decoder.next(&mut input) {
            // A long body may come in pieces.
            Ok(Some(Item::Request(chunk))) if chunk.end.is_none() => {}
            Ok(Some(_)) => return decoder.is_idle(&input),
            // What is wrong with it is for the connection to answer.
            Err(_) => return true,
            Ok(None) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use rustls::ClientConnection;
    use rustls::pki_types::ServerName;
    use service::tls::{self, ClientAuth, DevCa, Trust};

    use super::*;

    const CHUNK: &str = "MSRP a1b2c3d4 SEND\r\nTo-Path: msrps://r.example:2855/s1;ws\r\n\
        From-Path: msrps://ua.example:9/u1;ws\r\nMessage-ID: mmmm1\r\nByte-Range: 1-2/2\r\n\
        Content-Type: text/plain\r\n\r\nhi\r\n-------a1b2c3d4$\r\n";

    #[test]
    fn a_page_that_pings_and_does_not_read_is_ended_before_pongs_fill_memory() {
        let ca = DevCa::new("test", service::clock::wall()).unwrap();
        let identity = ca.issue(&["localhost"]).unwrap();
        let server = tls::server_config(&identity, ClientAuth::None, &[]).unwrap();
        let client = tls::client_config(Trust::Roots(ca.roots().unwrap()), None, &[]).unwrap();
        let mut ours = WebSocket::server(server, Arc::default()).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut theirs = ClientConnection::new(client, name).unwrap();
        let mut exchange = |text: &[u8], reads: bool| {
            theirs.writer().write_all(text).unwrap();
            let mut wire = Vec::new();
            while theirs.wants_write() {
                theirs.write_tls(&mut wire).unwrap();
            }
            let opened = ours.open(&wire, &mut BytesMut::new());
            let out = if reads { ours.tls.take_out() } else { Vec::new() };
            let mut rest = &*out;
            while !rest.is_empty() {
                theirs.read_tls(&mut rest).unwrap();
                theirs.process_new_packets().unwrap();
            }
            opened.map(|_| ours.tls.waiting())
        };
        for _ in 0..3 {
            exchange(b"", true).unwrap();
        }
        let upgrade = "GET / HTTP/1.1\r\nHost: r.example\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: msrp\r\n\r\n";
        exchange(upgrade.as_bytes(), true).unwrap();
        // Masked with zeros, as a client must.
        let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[7; 125]].concat();

        let mut waiting = 0;
        let ended = (0..10_000).find_map(|_| match exchange(&ping, false) {
            Ok(octets) => {
                waiting = octets;
                None
            }
            Err(error) => Some(error),
        });

        assert!(matches!(ended, Some(WireError::WebSocket(BadWebSocket::Unread))), "{ended:?}");
        assert!((1..=WAITING_OCTETS_MAX).contains(&waiting), "{waiting}");
    }

    #[test]
    fn m7977_03_a_message_is_one_chunk_and_never_two_nor_a_half() {
        assert!(is_one_chunk(CHUNK.as_bytes()));
        assert!(!is_one_chunk([CHUNK, CHUNK].concat().as_bytes()));
        assert!(!is_one_chunk(CHUNK.get(..CHUNK.len() - 3).unwrap().as_bytes()));
        assert!(!is_one_chunk(format!("{CHUNK}M").as_bytes()));
        assert!(!is_one_chunk(b""));
    }
}
