//! The MSRP connection of a seat or of a one-to-one session: TLS, or for a seat WebSocket over TLS, to where the SDP named,
//! or TLS from who was told where we listen; decoded on the way in. What the messages mean is the session's business.
mod wire;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use msrp::{Decoder, Item, Limits, Uri};
use rustls::pki_types::ServerName;
use service::tls::Named;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::event::Error;
pub(crate) use wire::Writer;
use wire::{Reader, Stream};

/// Items that wait for the session; reading stops when it is behind by so many.
const ITEMS_MAX: usize = 256;
/// What a person is told when the other side hangs up.
const CLOSED: &str = "the other side closed the connection";
/// Handshakes at the same time, of all who come to one session.
const SHAKING_MAX: usize = 8;
/// The longest one may take.
const SHAKING: Duration = Duration::from_secs(10);
/// How much is read at a time.
const READ_OCTETS: usize = 64 * 1024;

/// Both directions of a connection.
#[derive(Debug)]
pub(crate) struct Connection {
    /// What the other side sends, decoded. It ends with the connection; the last item says why.
    pub(crate) items: mpsc::Receiver<Result<Item, String>>,
    /// Where frames are written.
    pub(crate) writer: Writer,
}

/// Connects to the host of `uri`, over what `uri` names. Whom `tls` believes decides who may be there: the holder of a certificate for that name
/// (RFC 4975, 14.2), or of one that signalling named (RFC 8122).
pub(crate) async fn connect(
    uri: &Uri,
    tls: Arc<rustls::ClientConfig>,
) -> Result<Connection, Error> {
    let host = uri.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = uri.port().ok_or_else(|| broken("its path has no port".to_owned()))?;
    let stream = reach(host, port, tls).await?;
    if !uri.transport().eq_ignore_ascii_case("ws") {
        return Ok(split(stream));
    }
    let (reader, writer) =
        Box::pin(wire::upgrade(uri, stream)).await.map_err(|error| broken(error.to_string()))?;
    Ok(start(reader, writer))
}

/// Connects to a host over TLS.
pub(crate) async fn connect_to(
    host: String,
    port: u16,
    tls: Arc<rustls::ClientConfig>,
) -> Result<Connection, Error> {
    Ok(split(reach(host, port, tls).await?))
}

async fn reach(host: String, port: u16, tls: Arc<rustls::ClientConfig>) -> Result<Stream, Error> {
    let name = ServerName::try_from(host.clone()).map_err(|error| broken(error.to_string()))?;
    let addresses =
        tokio::net::lookup_host((host, port)).await.map_err(|error| broken(error.to_string()))?;
    // RFC 4975, 6.2: the addresses are tried in their order.
    let mut last = String::from("its host has no address");
    for address in addresses {
        match dial(address, name.clone(), Arc::clone(&tls)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error.to_string(),
        }
    }
    Err(broken(last))
}

fn broken(why: String) -> Error {
    Error::Network { what: "connecting for MSRP", why }
}

async fn dial(
    address: SocketAddr,
    name: ServerName<'static>,
    tls: Arc<rustls::ClientConfig>,
) -> std::io::Result<Stream> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    Ok(TlsConnector::from(tls).connect(name, socket).await?.into())
}

/// Waits for whoever shows one of these certificates; everybody else who comes is turned away.
pub(crate) async fn expect(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    known: Named,
) -> Result<Connection, Error> {
    let broken = |error: std::io::Error| Error::Network {
        what: "waiting for the other side",
        why: error.to_string(),
    };
    let mut shaking = JoinSet::new();
    loop {
        tokio::select! {
            socket = listener.accept(), if shaking.len() < SHAKING_MAX => {
                let (socket, _address) = socket.map_err(broken)?;
                let greet = greet(socket, Arc::clone(&tls), known.clone());
                shaking.spawn(tokio::time::timeout(SHAKING, greet));
            }
            Some(shaken) = shaking.join_next(), if !shaking.is_empty() => {
                match shaken {
                    Ok(Ok(Ok(stream))) => return Ok(split(stream)),
                    Ok(Ok(Err(error))) => tracing::debug!(%error, "a stranger has come"),
                    Ok(Err(_)) | Err(_) => tracing::debug!("somebody has come and said nothing"),
                }
            }
        }
    }
}

async fn greet(
    socket: TcpStream,
    tls: Arc<rustls::ServerConfig>,
    known: Named,
) -> std::io::Result<Stream> {
    socket.set_nodelay(true)?;
    let stream = TlsAcceptor::from(tls).accept(socket).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    // RFC 8122, 6.2: whoever does not prove to be the one that signalling named is nobody.
    if shown.is_some_and(|certificate| known.has(certificate)) {
        return Ok(stream.into());
    }
    Err(std::io::Error::other("its certificate is not the one that signalling named"))
}

fn split(stream: Stream) -> Connection {
    let (reader, writer) = tokio::io::split(stream);
    start(Reader::Tls(reader), Writer::Tls(writer))
}

fn start(reader: Reader, writer: Writer) -> Connection {
    let (to, items) = mpsc::channel(ITEMS_MAX);
    tokio::spawn(read(reader, to));
    Connection { items, writer }
}

/// Reads until the connection ends, makes no sense, or nobody listens any more.
async fn read(mut reader: Reader, to: mpsc::Sender<Result<Item, String>>) {
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
                    read = reader.read(&mut input) => read,
                    () = to.closed() => return,
                };
                match read {
                    Ok(0) => break CLOSED.to_owned(),
                    Ok(_octets) => {}
                    // Without a TLS goodbye: the other side is gone rather than done.
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                        break CLOSED.to_owned();
                    }
                    Err(error) => break error.to_string(),
                }
            }
            Err(fault) if fault.is_fatal() => {
                break "the other side does not speak MSRP".to_owned();
            }
            // A request that makes no sense is skipped; the other side owes us better ones.
            Err(_fault) => {}
        }
    };
    // Nobody may be listening any more; then nobody needs the reason.
    drop(to.send(Err(end)).await);
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::tls::{self, ClientAuth, Identity, Trust};

    fn known(identity: &Identity) -> Named {
        Named::from(vec![identity.fingerprint()])
    }

    fn dialer(trust: &Identity, own: Option<&Identity>) -> Arc<rustls::ClientConfig> {
        tls::client_config(Trust::Named(known(trust)), own, &[]).unwrap()
    }

    #[tokio::test]
    async fn s6_2_rfc8122_each_side_takes_only_the_certificate_that_the_other_has_named() {
        tls::install_provider();
        let own = |_| Identity::self_signed(service::clock::wall()).unwrap();
        let [caller, callee, stranger] = [0, 1, 2].map(own);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tls::server_config(&caller, ClientAuth::Any, &[]).unwrap();
        let mut expected = tokio::spawn(expect(listener, server, known(&callee)));
        let host = || String::from("127.0.0.1");
        let silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();

        // The wrong server, a client without a certificate, and one with another one.
        let wrong = connect_to(host(), port, dialer(&stranger, Some(&callee))).await;
        assert!(matches!(wrong, Err(Error::Network { .. })), "{wrong:?}");
        for shown in [None, Some(&stranger)] {
            // In TLS 1.3 a client learns of it only when it reads.
            if let Ok(mut turned_away) = connect_to(host(), port, dialer(&caller, shown)).await {
                let told = tokio::time::timeout(SHAKING, turned_away.items.recv()).await;
                assert!(matches!(told, Ok(Some(Err(_)))), "it was taken");
            }
        }
        assert!(!expected.is_finished());
        let callee = connect_to(host(), port, dialer(&caller, Some(&callee))).await;

        callee.unwrap();
        (&mut expected).await.unwrap().unwrap();
        drop(silent);
    }
}
