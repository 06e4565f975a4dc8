//! An HTTPS listener: it accepts, bounds connections and requests in number and time, counts them, and says who the
//! peer is. What is answered, the router says.
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use service::clock;
use service::shutdown::Shutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::problem::Problem;
use crate::metrics::Metrics;

/// Requests one connection may take, in request times: a client that never reads is gone after this.
const CONNECTION_REQUESTS: u32 = 40;

/// A listener and what it answers.
pub(crate) struct Listening {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Arc<ServerConfig>,
    pub(crate) router: Router,
    /// Connections at once.
    pub(crate) connections_max: usize,
    /// How long a request may take.
    pub(crate) request: Duration,
    pub(crate) metrics: Metrics,
}

/// Where a request comes from.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: IpAddr,
    /// What it proved in the handshake, DER: valid under the roots of this listener.
    pub(crate) certificate: Option<Arc<[u8]>>,
}

#[derive(Clone)]
struct Bounds {
    request: Duration,
    metrics: Metrics,
}

impl Listening {
    /// Serves until the shutdown.
    pub(crate) async fn serve(self, shutdown: Shutdown) {
        let Self { listener, tls, router, connections_max, request, metrics } = self;
        let seats = Arc::new(Semaphore::new(connections_max));
        let acceptor = TlsAcceptor::from(tls);
        let bounds = Bounds { request, metrics: metrics.clone() };
        let router = router
            .fallback(nowhere)
            .method_not_allowed_fallback(not_so)
            .layer(from_fn_with_state(bounds, bounded));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.triggered() => return,
            };
            let (stream, address) = match accepted {
                Ok((stream, peer)) => (stream, peer.ip()),
                Err(error) => {
                    // Out of file descriptors, most likely: others must finish first.
                    tracing::warn!(%error, "HTTPS port");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            // At the bound a newcomer is closed at once, so that it does not wait for nothing.
            let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
                metrics.refused_connection("https full");
                continue;
            };
            let connection = answer(stream, address, acceptor.clone(), router.clone(), request);
            let (metrics, shutdown) = (metrics.clone(), shutdown.clone());
            tokio::spawn(async move {
                metrics.http.connections.inc();
                tokio::select! {
                    _ = tokio::time::timeout(request * CONNECTION_REQUESTS, connection) => {}
                    () = shutdown.triggered() => {}
                }
                metrics.http.connections.dec();
                drop(seat);
            });
        }
    }
}

async fn answer(
    stream: TcpStream,
    address: IpAddr,
    acceptor: TlsAcceptor,
    router: Router,
    wait: Duration,
) {
    let stream = match tokio::time::timeout(wait, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "HTTPS handshake"),
        Err(_) => return tracing::debug!("HTTPS handshake took too long"),
    };
    let leaf = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let peer = Peer { address, certificate: leaf.map(|leaf| leaf.as_ref().into()) };
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(wait)
        .serve_connection(
            TokioIo::new(stream),
            TowerToHyperService::new(router.layer(Extension(peer))),
        );
    if let Err(error) = connection.await {
        tracing::debug!(%error, "HTTPS connection");
    }
}

/// Bounds a request's time, and counts it under its route: never under what is in the path.
async fn bounded(State(bounds): State<Bounds>, request: Request, next: Next) -> Response {
    let began = clock::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = match request.method().as_str() {
        known @ ("GET" | "PUT" | "POST" | "DELETE" | "HEAD") => known.to_owned(),
        _ => String::from("other"),
    };
    let answered = tokio::time::timeout(bounds.request, next.run(request)).await;
    let response = answered.unwrap_or_else(|_| {
        let what = "the request took too long";
        Problem::new(StatusCode::REQUEST_TIMEOUT, what, "the request", "try again").into_response()
    });
    let route = route.as_ref().map_or("other", MatchedPath::as_str);
    let (status, took) = (response.status().as_u16(), clock::now() - began);
    bounds.metrics.http.answered(route, &method, status, took);
    response
}

async fn nowhere() -> Problem {
    let mend = "GET /v1/openapi.json lists the resources there are";
    Problem::new(StatusCode::NOT_FOUND, "there is nothing here", "the path", mend)
}

async fn not_so() -> Problem {
    let mend = "the Allow header names the methods that are";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not this method", "the method", mend)
}
