//! SIP over WebSocket over TLS (RFC 7118), for browsers: the upgrade, and then a stream on which each message that comes
//! is one SIP message, and each write leaves as one. Framing is tungstenite's, over memory.
//!
//! Behind this a flow reads a stream like any other: a message without Content-Length, which is optional here (RFC 7118,
//! 5), is given one, and one whose length is not its own ends the connection.
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use service::websocket::{BadUpgrade, Pipe};
use sip::Limits;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

/// RFC 7118, 4.1.
const SUBPROTOCOL: &str = "sip";

/// Read at once.
const READ_BYTES: usize = 4 << 10;

/// Pongs that may wait for a peer that does not read, besides one message.
const PONG_BYTES_MAX: usize = 64 << 10;

const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// A WebSocket connection, our end of it.
#[derive(Debug)]
pub(crate) struct WebSocket<S> {
    stream: S,
    context: Box<WebSocketContext>,
    pipe: Pipe,
    /// Messages that nobody has read.
    messages: BytesMut,
    stage: Stage,
    /// Octets that may wait for the peer.
    waiting_bytes_max: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The peer said something that it may not, and our reader is to hear of it.
    Refused,
    /// Whatever still comes is thrown away.
    Deaf,
    /// The peer says no more.
    Ended,
}

/// Why a connection becomes no flow.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoWebSocket {
    #[error(transparent)]
    Upgrade(#[from] BadUpgrade),
    #[error(transparent)]
    Lost(#[from] io::Error),
}

impl<S: AsyncRead + AsyncWrite + Unpin> WebSocket<S> {
    /// Answers the upgrade request. A page may connect if its origin is among `origins`; without any, every page may.
    pub(crate) async fn accept(
        mut stream: S,
        origins: &[String],
        limits: Limits,
    ) -> Result<Self, NoWebSocket> {
        let mut pipe = Pipe::default();
        let answered = loop {
            if stream.read_buf(&mut pipe.input).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            match pipe.upgrade(SUBPROTOCOL, origins) {
                Ok(false) => {}
                answered => break answered,
            }
        };
        stream.write_all(&std::mem::take(&mut pipe.output)).await?;
        stream.flush().await?;
        answered?;
        let octets_max = limits.head_bytes_max + limits.body_bytes_max;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .max_message_size(Some(octets_max))
            .max_frame_size(Some(octets_max));
        let context = Box::new(WebSocketContext::new(Role::Server, Some(config)));
        let (messages, stage) = (BytesMut::new(), Stage::Open);
        let waiting_bytes_max = octets_max + PONG_BYTES_MAX;
        Ok(Self { stream, context, pipe, messages, stage, waiting_bytes_max })
    }

    /// Takes frames out of what came, until it is used up or a message is there.
    fn unframe(&mut self) {
        while self.stage == Stage::Open && self.messages.is_empty() {
            let octets = match self.context.read(&mut self.pipe) {
                Ok(Message::Binary(octets)) => octets,
                // RFC 7118, 5: either kind of frame.
                Ok(Message::Text(text)) => text.into(),
                // Pongs are queued by the framing itself.
                Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => continue,
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return,
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    self.stage = Stage::Ended;
                    return;
                }
                Err(Error::Capacity(_)) => return self.refuse(CloseCode::Size),
                Err(_) => return self.refuse(CloseCode::Protocol),
            };
            match one_message(octets) {
                Some(message) => self.messages.extend_from_slice(&message),
                None => return self.refuse(CloseCode::Protocol),
            }
        }
    }

    fn refuse(&mut self, code: CloseCode) {
        tracing::debug!(%code, "a WebSocket message that is not one SIP message");
        let frame = CloseFrame { code, reason: "one SIP message a message".into() };
        // Writing to memory cannot fail; if the peer has closed already, there is nothing to say.
        drop(self.context.close(&mut self.pipe, Some(frame)));
        self.stage = Stage::Refused;
    }

    /// Hands what is framed to the stream.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.pipe.output.is_empty() {
            let written =
                ready!(Pin::new(&mut self.stream).poll_write(context, &self.pipe.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            drop(self.pipe.output.drain(..written));
        }
        if self.pipe.output.capacity() > READ_BYTES {
            self.pipe.output = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

/// The message, with a Content-Length that is true; nothing of a keep-alive that is not to be answered. `None`: it is
/// less than one message, or more.
fn one_message(octets: Bytes) -> Option<Bytes> {
    if octets.iter().all(|octet| matches!(octet, b'\r' | b'\n')) {
        let is_ping = octets.starts_with(END_OF_HEAD);
        return Some(if is_ping { Bytes::from_static(END_OF_HEAD) } else { Bytes::new() });
    }
    let head = memmem::find(&octets, END_OF_HEAD)? + END_OF_HEAD.len();
    let (lines, body) = octets.split_at_checked(head)?;
    let Some(length) = content_length(lines) else {
        let mut message = BytesMut::with_capacity(octets.len() + 32);
        message.extend_from_slice(lines.strip_suffix(b"\r\n")?);
        message.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        message.extend_from_slice(body);
        return Some(message.freeze());
    };
    (length == body.len()).then_some(octets)
}

/// What a head says of the length of its body; a length that cannot be, if it is not to be read.
fn content_length(lines: &[u8]) -> Option<usize> {
    let value = lines.split(|octet| *octet == b'\n').find_map(|line| {
        let colon = line.iter().position(|octet| *octet == b':')?;
        let (name, value) = line.split_at_checked(colon)?;
        let name = name.trim_ascii();
        let is_it = name.eq_ignore_ascii_case(b"Content-Length") || name.eq_ignore_ascii_case(b"l");
        is_it.then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })?;
    let value = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
    Some(value.unwrap_or(usize::MAX))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for WebSocket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            this.unframe();
            // What waits because the peer does not read leaves with what is written next.
            drop(this.context.flush(&mut this.pipe));
            if let Poll::Ready(Err(lost)) = this.poll_drain(context) {
                return Poll::Ready(Err(lost));
            }
            // It pings and does not read.
            if this.pipe.output.len() > this.waiting_bytes_max {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            if !this.messages.is_empty() {
                let octets = buffer.remaining().min(this.messages.len());
                buffer.put_slice(&this.messages.split_to(octets));
                if this.messages.is_empty() {
                    this.messages = BytesMut::new();
                }
                return Poll::Ready(Ok(()));
            }
            match this.stage {
                Stage::Ended => return Poll::Ready(Ok(())),
                Stage::Refused => {
                    this.stage = Stage::Deaf;
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                Stage::Open | Stage::Deaf => {}
            }
            let mut room = [0; READ_BYTES];
            let mut room = ReadBuf::new(&mut room);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut room))?;
            if room.filled().is_empty() {
                this.stage = Stage::Ended;
            } else if this.stage == Stage::Open {
                this.pipe.input.extend_from_slice(room.filled());
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for WebSocket<S> {
    /// Takes all of a message at once, as soon as the one before has left.
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        message: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_drain(context))?;
        // A library that knows only text frames understands us as long as we say nothing but text.
        let framed = match std::str::from_utf8(message) {
            Ok(text) => Message::text(text),
            Err(_) => Message::binary(Bytes::copy_from_slice(message)),
        };
        this.context.write(&mut this.pipe, framed).map_err(io::Error::other)?;
        this.context.flush(&mut this.pipe).map_err(io::Error::other)?;
        match this.poll_drain(context) {
            Poll::Ready(Err(lost)) => Poll::Ready(Err(lost)),
            _ => Poll::Ready(Ok(message.len())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // Said once; the framing remembers that it was.
        drop(this.context.close(&mut this.pipe, None));
        drop(this.context.flush(&mut this.pipe));
        ready!(this.poll_drain(context))?;
        Pin::new(&mut this.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "OPTIONS sip:example.net SIP/2.0\r\nVia: SIP/2.0/WSS d.invalid;branch=z9hG4bK1\r\n";

    fn one(more: &str) -> Option<Bytes> {
        one_message(Bytes::from(format!("{HEAD}{more}")))
    }

    #[test]
    fn rfc7118_s5_a_message_needs_no_content_length_and_is_given_one() {
        assert_eq!(one("\r\nhi").unwrap(), format!("{HEAD}Content-Length: 2\r\n\r\nhi"));
        assert_eq!(one("\r\n").unwrap(), format!("{HEAD}Content-Length: 0\r\n\r\n"));
    }

    #[test]
    fn rfc7118_s5_a_message_is_one_sip_message_and_never_two_nor_a_half() {
        for whole in ["Content-Length: 2\r\n\r\nhi", "l : 2\r\n\r\nhi", "CONTENT-LENGTH:0\r\n\r\n"]
        {
            assert_eq!(one(whole).unwrap(), format!("{HEAD}{whole}"));
        }
        for wrong in ["", "Content-Length: 3\r\n\r\nhi", "l:0\r\n\r\nOPTIONS", "l:two\r\n\r\nhi"] {
            assert_eq!(one(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn rfc7118_s6_line_breaks_are_a_keep_alive_and_nothing_else() {
        let of = |octets: &'static str| one_message(Bytes::from_static(octets.as_bytes()));

        assert_eq!(of("\r\n\r\n").unwrap(), "\r\n\r\n");
        assert_eq!(of("\r\n").unwrap(), "");
        assert_eq!(of("").unwrap(), "");
    }

    #[tokio::test]
    async fn a_page_that_pings_and_does_not_read_is_ended_before_pongs_fill_memory() {
        let (mut page, ours) = tokio::io::duplex(READ_BYTES);
        let upgrade = "GET / HTTP/1.1\r\nHost: s.example\r\nConnection: Upgrade\r\n\
            Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: sip\r\n\r\n";
        // Masked with zeros, as a client must.
        let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0][..], &[7; 125]].concat();
        let pings = async {
            page.write_all(upgrade.as_bytes()).await.unwrap();
            for _ in 0..10_000 {
                if page.write_all(&ping).await.is_err() {
                    return false;
                }
            }
            true
        };
        let limits = Limits { head_bytes_max: 1000, body_bytes_max: 1000, ..Limits::default() };
        let serve = async {
            let mut socket = WebSocket::accept(ours, &[], limits).await.unwrap();
            let read = socket.read(&mut [0; 100]).await;
            (read.unwrap_err().kind(), socket.pipe.output.len())
        };

        let (all_went, (ended, waits)) = tokio::join!(pings, serve);

        assert!(!all_went);
        assert_eq!(ended, io::ErrorKind::TimedOut);
        assert!(waits < 2000 + PONG_BYTES_MAX + 2 * READ_BYTES, "{waits}");
    }
}
