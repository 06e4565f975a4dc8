//! What the octets of an MSRP connection run over: TLS, or WebSocket over TLS (RFC 7977), where each frame that leaves is a
//! message of its own. Whom to connect to, and what came, is the business of whoever has the connection.
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{Sink as _, StreamExt as _};
use msrp::{Frame, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWrite, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;
use tokio_tungstenite::tungstenite::client::ClientRequestBuilder;
use tokio_tungstenite::tungstenite::http::Uri as Url;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// RFC 7977, 4.1.
const SUBPROTOCOL: &str = "msrp";
/// Octets of the length before a frame that is to be a message.
const LENGTH_OCTETS: usize = size_of::<u32>();

pub(super) type Stream = TlsStream<TcpStream>;
type WebSocket = WebSocketStream<Stream>;

/// What comes.
#[derive(Debug)]
pub(super) enum Reader {
    /// A stream of octets.
    Tls(ReadHalf<Stream>),
    /// Messages.
    WebSocket(SplitStream<WebSocket>),
}

impl Reader {
    /// Adds what comes next to `input`; how many octets, zero at the end. Dropped halfway, it has lost nothing.
    pub(super) async fn read(&mut self, input: &mut BytesMut) -> io::Result<usize> {
        let messages = match self {
            Self::Tls(stream) => return stream.read_buf(input).await,
            Self::WebSocket(messages) => messages,
        };
        loop {
            let octets = match messages.next().await {
                Some(Ok(Message::Binary(octets))) => octets,
                // RFC 7977, 4.2: either kind of frame.
                Some(Ok(Message::Text(text))) => text.into(),
                // A Ping is answered by the framing itself.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_))) | None => return Ok(0),
                Some(Err(error)) => return Err(failed(error)),
            };
            if !octets.is_empty() {
                input.extend_from_slice(&octets);
                return Ok(octets.len());
            }
        }
    }
}

/// Where frames are written. What is written to it has to come from [`put`](Self::put), which marks where a frame ends if
/// that matters.
#[derive(Debug)]
pub(crate) enum Writer {
    /// A stream of octets.
    Tls(WriteHalf<Stream>),
    /// Messages.
    WebSocket(SplitSink<WebSocket, Message>),
}

impl Writer {
    /// Adds a frame to what is to be written here.
    pub(crate) fn put(&self, frame: &Frame, unwritten: &mut BytesMut) {
        if let Self::WebSocket(_) = self {
            let octets = u32::try_from(frame.len()).expect("a frame is a chunk of ours, and small");
            unwritten.put_u32(octets);
        }
        frame.slices().for_each(|slice| unwritten.extend_from_slice(slice));
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let messages = match self.get_mut() {
            Self::Tls(stream) => return Pin::new(stream).poll_write(context, octets),
            Self::WebSocket(messages) => messages,
        };
        ready!(Pin::new(&mut *messages).poll_ready(context)).map_err(failed)?;
        let frame = first(octets).ok_or(io::ErrorKind::InvalidInput)?;
        let message = Message::Binary(Bytes::copy_from_slice(frame));
        Pin::new(messages).start_send(message).map_err(failed)?;
        Poll::Ready(Ok(LENGTH_OCTETS + frame.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::WebSocket(messages) => Pin::new(messages).poll_flush(context).map_err(failed),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::WebSocket(messages) => Pin::new(messages).poll_close(context).map_err(failed),
        }
    }
}

/// The first frame of what was put.
fn first(octets: &[u8]) -> Option<&[u8]> {
    let (length, frames) = octets.split_first_chunk::<LENGTH_OCTETS>()?;
    frames.get(..usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Makes a WebSocket of a connection (RFC 7977, 4.1).
pub(super) async fn upgrade(uri: &Uri, stream: Stream) -> io::Result<(Reader, Writer)> {
    let authority = uri.port().map(|port| format!("{}:{port}", uri.host()));
    let url = Url::builder().scheme("wss").authority(authority.unwrap_or_default());
    let url = url.path_and_query("/").build().map_err(io::Error::other)?;
    let request = ClientRequestBuilder::new(url).with_sub_protocol(SUBPROTOCOL);
    let (socket, _response) = client_async(request, stream).await.map_err(failed)?;
    let (writer, reader) = socket.split();
    Ok((Reader::WebSocket(reader), Writer::WebSocket(writer)))
}

fn failed(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::UnexpectedEof.into(),
        error => io::Error::other(error),
    }
}
