//! Dials connections. The name in the peer's certificate must be the one we asked for (RFC 5922).
use std::sync::Arc;

use bytes::Bytes;
use sip::endpoint::FlowId;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::edge::{Dial, Shared, Target};
use crate::event::{Closed, EdgeEvent, OpenedBy, Peer, Security};

pub(crate) async fn run(shared: Arc<Shared>, flow: FlowId, target: Target) {
    let Some(place) = shared.admit() else {
        return shared.tell(EdgeEvent::Closed { flow, why: Closed::Full }).await;
    };
    let connected = tokio::select! {
        connected = timeout(shared.limits.handshake, connect(target)) => {
            connected.unwrap_or(Err(Closed::NotConnected))
        }
        () = shared.stopped() => Err(Closed::ByUs),
    };
    match connected {
        Ok((peer, Stream::Tls(stream))) => shared.run(flow, peer, place, stream).await,
        Ok((peer, Stream::Tcp(stream))) => shared.run(flow, peer, place, stream).await,
        Err(why) => {
            tracing::debug!(flow = flow.0, %why, "not dialled");
            drop(place);
            shared.tell(EdgeEvent::Closed { flow, why }).await;
        }
    }
}

enum Stream {
    Tls(Box<TlsStream<TcpStream>>),
    Tcp(TcpStream),
}

async fn connect(target: Target) -> Result<(Peer, Stream), Closed> {
    let dialled = TcpStream::connect(target.address).await;
    let stream = dialled.map_err(|_| Closed::NotConnected)?;
    let peer = Peer::of(&stream, OpenedBy::Us).map_err(|_| Closed::NotConnected)?;
    let Dial::Tls { config, server_name } = target.security else {
        return Ok((peer, Stream::Tcp(stream)));
    };
    let secured = TlsConnector::from(config).connect(server_name, stream).await;
    let stream = secured.map_err(|_| Closed::Handshake)?;
    let (_, connection) = stream.get_ref();
    let certificate = connection.peer_certificates().and_then(|chain| chain.first());
    let certificate = certificate.map(|it| Bytes::copy_from_slice(it));
    Ok((Peer { security: Security::Tls { certificate }, ..peer }, Stream::Tls(Box::new(stream))))
}
