//! Accepts connections. A handshake runs in its own task, so that a client that says nothing keeps nobody waiting.
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::edge::{Handshake, Listen, Place, Shared};
use crate::event::{EdgeEvent, OpenedBy, Peer, Refused, Security};

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
            let handshake = shared.handshake();
            let task = tls(shared.clone(), place, handshake, stream, from, config);
            drop(tokio::spawn(task));
        }
    }
}

async fn protected(shared: Arc<Shared>, place: Place, stream: TcpStream) {
    if let Ok(peer) = Peer::of(&stream, OpenedBy::Them) {
        shared.run(shared.next_id(), peer, place, stream).await;
    }
}

async fn tls(
    shared: Arc<Shared>,
    place: Place,
    handshake: Handshake,
    stream: TcpStream,
    from: SocketAddr,
    config: Arc<ServerConfig>,
) {
    let Ok(peer) = Peer::of(&stream, OpenedBy::Them) else { return };
    let accept = timeout(shared.limits.handshake, TlsAcceptor::from(config).accept(stream));
    let accepted = tokio::select! {
        accepted = accept => accepted.map_err(|_| Refused::Slow),
        () = handshake.evicted() => Err(Refused::Slow),
        () = shared.stopped() => return,
    };
    drop(handshake);
    match accepted.and_then(|accepted| accepted.map_err(|_| Refused::Handshake)) {
        Ok(stream) => {
            let security = Security::Tls { certificate: certificate(&stream) };
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
