//! Accepts connections. A handshake, of TLS and of WebSocket inside it, runs in its own task, so that a client that says nothing keeps nobody waiting.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::edge::{Listen, Place, Shared};
use crate::event::{EdgeEvent, OpenedBy, Peer, Refused, Security};
use crate::websocket::WebSocket;

/// Wait after `accept` failed: most often for want of file descriptors, which only time can mend.
const ACCEPT_RETRY: Duration = Duration::from_millis(50);

pub(crate) async fn run(shared: Arc<Shared>, listener: TcpListener, listen: Listen) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stopped() => return,
        };
        match accepted {
            Ok((stream, from)) => take(&shared, stream, from, listen.clone()),
            Err(error) => {
                tracing::warn!(%error, "cannot accept");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

fn take(shared: &Arc<Shared>, stream: TcpStream, from: SocketAddr, listen: Listen) {
    let Some(place) = shared.admit() else {
        tracing::debug!(%from, "refused: too many connections");
        // Without waiting for the owner: whoever comes next is not to wait because this one was one too many.
        let full = EdgeEvent::Refused { from, why: Refused::Full };
        drop(shared.events.try_send(full));
        return;
    };
    match listen {
        Listen::Protected => drop(tokio::spawn(protected(shared.clone(), place, stream))),
        Listen::Tls(config) => {
            let task = serve(shared.clone(), place, stream, from, async move |stream| {
                let stream = TlsAcceptor::from(config).accept(stream).await.ok()?;
                Some((Security::Tls { certificate: certificate(&stream) }, stream))
            });
            drop(tokio::spawn(task));
        }
        Listen::WebSocket { tls, origins } => {
            let limits = shared.limits.message_limits;
            let task = serve(shared.clone(), place, stream, from, async move |stream| {
                let stream = TlsAcceptor::from(tls).accept(stream).await.ok()?;
                let stream = WebSocket::accept(stream, &origins, limits).await.ok()?;
                Some((Security::WebSocket, stream))
            });
            drop(tokio::spawn(task));
        }
    }
}

async fn protected(shared: Arc<Shared>, place: Place, stream: TcpStream) {
    if let Ok(peer) = Peer::of(&stream, OpenedBy::Them) {
        shared.run(shared.next_id(), peer, place, stream).await;
    }
}

/// Makes the peers agree, in bounded time, and runs the flow.
async fn serve<S: AsyncRead + AsyncWrite>(
    shared: Arc<Shared>,
    place: Place,
    stream: TcpStream,
    from: SocketAddr,
    agree: impl AsyncFnOnce(TcpStream) -> Option<(Security, S)>,
) {
    let handshake = shared.handshake();
    let Ok(peer) = Peer::of(&stream, OpenedBy::Them) else { return };
    let agreed = tokio::select! {
        agreed = timeout(shared.limits.handshake, agree(stream)) => agreed.map_err(|_| Refused::Slow),
        () = handshake.evicted() => Err(Refused::Slow),
        () = shared.stopped() => return,
    };
    drop(handshake);
    match agreed.and_then(|agreed| agreed.ok_or(Refused::Handshake)) {
        Ok((security, stream)) => {
            shared.run(shared.next_id(), Peer { security, ..peer }, place, stream).await;
        }
        Err(why) => {
            tracing::debug!(%from, %why, "refused");
            drop(place);
            shared.tell(EdgeEvent::Refused { from, why }).await;
        }
    }
}

fn certificate(stream: &TlsStream<TcpStream>) -> Option<Bytes> {
    let (_, connection) = stream.get_ref();
    connection.peer_certificates()?.first().map(|it| Bytes::copy_from_slice(it))
}
