//! Who comes to a mailbox: TLS, then the first request, which says which session the connection is for (RFC 4975, 5.4). It
//! is given to that session if the certificate is the one that signalling named (RFC 8122), and closed otherwise.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use msrp::{Decoder, Item, Limits, Reply, Status};
use rustls::pki_types::CertificateDer;
use service::clock;
use service::tls::{ClientAuth, Identity, Named, server_config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::NoFiles;
use crate::config;

/// Items that wait for a session; reading stops when it is behind by so many.
const ITEMS_MAX: usize = 16;
/// How much is read at a time.
const READ_OCTETS: usize = 64 << 10;
/// How long who was told where to connect may take.
const CONNECTING: Duration = Duration::from_secs(30);
/// How long somebody may take to say what they have come for.
const SHAKING: Duration = Duration::from_secs(10);

/// A connection that has found its session.
#[derive(Debug)]
pub(super) struct Connection {
    /// What the other side sends, decoded. The last item says why there are no more.
    pub(super) items: mpsc::Receiver<Result<Item, String>>,
    /// Where frames are written.
    pub(super) writer: WriteHalf<TlsStream<TcpStream>>,
}

impl Connection {
    /// The one that is expected, unless nobody comes in time or whoever called hangs up.
    pub(super) async fn expected(
        connected: oneshot::Receiver<Self>,
        hung_up: &mut oneshot::Receiver<()>,
    ) -> Option<Self> {
        tokio::select! {
            connected = tokio::time::timeout(CONNECTING, connected) => connected.ok()?.ok(),
            _ = hung_up => None,
        }
    }
}

/// The listener, and who is expected.
#[derive(Debug)]
pub(super) struct Arrivals {
    identity: Identity,
    advertised: (String, u16),
    expected: Expected,
    listening: JoinHandle<()>,
}

type Expected = Arc<Mutex<HashMap<String, (Named, oneshot::Sender<Connection>)>>>;

impl Drop for Arrivals {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

impl Arrivals {
    pub(super) async fn open(settings: &config::MailboxFiles) -> Result<Self, NoFiles> {
        let listener = TcpListener::bind(settings.listen).await.map_err(NoFiles::Listen)?;
        let address = listener.local_addr().map_err(NoFiles::Listen)?;
        // Nobody knows it but by what signalling says of it.
        let identity = Identity::self_signed(clock::wall())?;
        let tls = TlsAcceptor::from(server_config(&identity, ClientAuth::Any, &[])?);
        let host = settings.advertised_host.clone().unwrap_or_else(|| address.ip().to_string());
        let expected = Expected::default();
        let strangers = Arc::new(Semaphore::new(settings.sessions_max.max(1)));
        let listening = tokio::spawn(listen(listener, tls, Arc::clone(&expected), strangers));
        let advertised = (host, settings.advertised_port.unwrap_or_else(|| address.port()));
        Ok(Self { identity, advertised, expected, listening })
    }

    pub(super) fn advertised(&self) -> (&str, u16) {
        (&self.advertised.0, self.advertised.1)
    }

    pub(super) fn fingerprint(&self) -> String {
        self.identity.fingerprint().to_string()
    }

    /// The connection of whoever shows one of these certificates and asks for this session.
    pub(super) fn expect(
        &self,
        session: &str,
        certificates: &[String],
    ) -> Option<oneshot::Receiver<Connection>> {
        let known = Named::parse(certificates.iter().map(String::as_str)).ok()?;
        let (to, connected) = oneshot::channel();
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        expected.retain(|_, (_, to)| !to.is_closed());
        expected.insert(session.to_owned(), (known, to));
        Some(connected)
    }
}

async fn listen(
    listener: TcpListener,
    tls: TlsAcceptor,
    expected: Expected,
    strangers: Arc<Semaphore>,
) {
    loop {
        // So many may be here without having said for what.
        let Ok(permit) = Arc::clone(&strangers).acquire_owned().await else { return };
        let Ok((socket, from)) = listener.accept().await else {
            // The process has no more descriptors; some will be free again.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (tls, expected) = (tls.clone(), Arc::clone(&expected));
        tokio::spawn(async move {
            let greeted = tokio::time::timeout(SHAKING, greet(socket, &tls, &expected)).await;
            drop(permit);
            match greeted {
                Ok(Ok(reading)) => reading.run().await,
                Ok(Err(why)) => tracing::debug!(%from, %why, "a stranger came to the mailbox"),
                Err(_) => tracing::debug!(%from, "somebody came to the mailbox and said nothing"),
            }
        });
    }
}

/// What is still to be read of a connection.
struct Reading {
    reader: ReadHalf<TlsStream<TcpStream>>,
    decoder: Decoder,
    input: BytesMut,
    to: mpsc::Sender<Result<Item, String>>,
}

async fn greet(
    socket: TcpStream,
    tls: &TlsAcceptor,
    expected: &Expected,
) -> std::io::Result<Reading> {
    let stranger = std::io::Error::other;
    socket.set_nodelay(true)?;
    let stream = tls.accept(socket).await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let shown: CertificateDer<'static> =
        shown.cloned().ok_or_else(|| stranger("no certificate"))?;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (mut decoder, mut input) =
        (Decoder::new(Limits::default()), BytesMut::with_capacity(READ_OCTETS));
    let first = loop {
        match decoder.next(&mut input) {
            Ok(Some(Item::Request(chunk))) => break chunk,
            Ok(Some(Item::Response(_))) => {}
            Ok(None) if reader.read_buf(&mut input).await? > 0 => {}
            Ok(None) => return Err(stranger("it hung up")),
            Err(_) => return Err(stranger("it does not speak MSRP")),
        }
    };
    let session = first.head.to_path().last().session_id().map(|id| id.to_owned());
    let session = session.map(|id| String::from_utf8_lossy(id.as_ref()).into_owned());
    let found = session.and_then(|session| {
        let mut expected = expected.lock().unwrap_or_else(PoisonError::into_inner);
        let known = expected.get(&session).is_some_and(|(known, _)| known.has(&shown));
        if known { expected.remove(&session) } else { None }
    });
    let (to, items) = mpsc::channel(ITEMS_MAX);
    let Some((_, session)) = found else {
        let answer = Reply::new(&first.head, Status::NO_SUCH_SESSION);
        if let Some(frame) = answer.and_then(|answer| answer.encode()) {
            writer.write_all(&frame.to_bytes()).await?;
            writer.shutdown().await?;
        }
        return Err(stranger("no such session, or another one's"));
    };
    // There is room for the first one.
    drop(to.try_send(Ok(Item::Request(first))));
    let gone = |_| stranger("its session is over");
    session.send(Connection { items, writer }).map_err(gone)?;
    Ok(Reading { reader, decoder, input, to })
}

impl Reading {
    /// Reads until the connection ends, makes no sense, or nobody listens any more.
    async fn run(mut self) {
        let end = loop {
            match self.decoder.next(&mut self.input) {
                Ok(Some(item)) => {
                    if self.to.send(Ok(item)).await.is_err() {
                        return;
                    }
                }
                Ok(None) => {
                    self.input.reserve(READ_OCTETS);
                    let read = tokio::select! {
                        read = self.reader.read_buf(&mut self.input) => read,
                        () = self.to.closed() => return,
                    };
                    match read {
                        Ok(0) => break "the other side closed the connection".to_owned(),
                        Ok(_octets) => {}
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
        drop(self.to.send(Err(end)).await);
    }
}
