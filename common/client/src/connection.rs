//! The MSRP connection of a seat: TLS to the relay that the SDP named, decoded on the way in. What the messages mean
//! is the session's business.
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use msrp::{Decoder, Item, Limits, Uri};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::event::Error;

/// Items that wait for the session; reading stops when it is behind by so many.
const ITEMS_MAX: usize = 256;
/// What a person is told when the relay hangs up.
const CLOSED: &str = "the relay closed the connection";
/// How much is read at a time.
const READ_OCTETS: usize = 64 * 1024;

/// Both directions of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// What the relay sends, decoded. It ends with the connection; the last item says why.
    pub(crate) items: mpsc::Receiver<Result<Item, String>>,
    /// Where frames are written.
    pub(crate) writer: WriteHalf<TlsStream<TcpStream>>,
}

/// Connects to the host of `uri`, whose certificate must prove that name (RFC 4975, 14.2).
pub(crate) async fn connect(
    uri: &Uri,
    tls: Arc<rustls::ClientConfig>,
) -> Result<Connection, Error> {
    let broken = |why: String| Error::Network { what: "connecting to the relay", why };
    let host = uri.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port().ok_or_else(|| broken("its path has no port".to_owned()))?;
    let name = ServerName::try_from(host.clone()).map_err(|error| broken(error.to_string()))?;
    let addresses =
        tokio::net::lookup_host((host, port)).await.map_err(|error| broken(error.to_string()))?;
    // RFC 4975, 6.2: the addresses are tried in their order.
    let mut last = String::from("its host has no address");
    for address in addresses {
        match dial(address, name.clone(), Arc::clone(&tls)).await {
            Ok(stream) => return Ok(split(stream)),
            Err(error) => last = error.to_string(),
        }
    }
    Err(broken(last))
}

async fn dial(
    address: SocketAddr,
    name: ServerName<'static>,
    tls: Arc<rustls::ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    TlsConnector::from(tls).connect(name, socket).await
}

fn split(stream: TlsStream<TcpStream>) -> Connection {
    let (reader, writer) = tokio::io::split(stream);
    let (to, items) = mpsc::channel(ITEMS_MAX);
    tokio::spawn(read(reader, to));
    Connection { items, writer }
}

/// Reads until the connection ends, makes no sense, or nobody listens any more.
async fn read(mut reader: ReadHalf<TlsStream<TcpStream>>, to: mpsc::Sender<Result<Item, String>>) {
    let mut decoder = Decoder::new(Limits::default());
    let mut input = BytesMut::with_capacity(READ_OCTETS);
    let end = loop {
        match decoder.next(&mut input) {
            Ok(Some(item)) => {
                if to.send(Ok(item)).await.is_err() {
                    return;
                }
            }
            Ok(None) => {
                input.reserve(READ_OCTETS);
                let read = tokio::select! {
                    read = reader.read_buf(&mut input) => read,
                    () = to.closed() => return,
                };
                match read {
                    Ok(0) => break CLOSED.to_owned(),
                    Ok(_octets) => {}
                    // Without a TLS goodbye: the relay is gone rather than done.
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                        break CLOSED.to_owned();
                    }
                    Err(error) => break error.to_string(),
                }
            }
            Err(fault) if fault.is_fatal() => break "the relay does not speak MSRP".to_owned(),
            // A request that makes no sense is skipped; the relay owes us better ones.
            Err(_fault) => {}
        }
    };
    // Nobody may be listening any more; then nobody needs the reason.
    drop(to.send(Err(end)).await);
}
