//! The HTTPS API: certificates, KeyPackages, group state. HTTP/1.1 over TLS, digest login, every size and wait bounded,
//! errors as `{"what", "where", "mend"}`.
//!
//! [`serve`] accepts · [`login`] says who asks, [`pace`] how often · [`identity`] and [`group`] answer · [`problem`]
//! says what went wrong.
mod group;
mod identity;
mod login;
mod pace;
mod problem;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use ids::Aor;
use mls::identity::Issuer;
use rustls::ServerConfig;
use service::clock;
use service::shutdown::Shutdown;
use store::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::config::Limits;
use crate::desk::Desks;
use crate::front::Gatekeeper;
use crate::metrics::Metrics;
use crate::users::Users;
pub(crate) use pace::Pace;
use problem::Problem;

/// Requests one connection may take, in request times: a client that never reads is gone after this.
const CONNECTION_REQUESTS: u32 = 40;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Api(Arc<Inner>);

/// The parts of an [`Api`].
pub(crate) struct Inner {
    pub(crate) gatekeeper: Mutex<Gatekeeper>,
    pub(crate) users: Arc<Users>,
    pub(crate) issuer: Issuer,
    pub(crate) certificate_days: u32,
    pub(crate) store: Store,
    pub(crate) desks: Desks,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    /// Wrong passwords by address.
    pub(crate) guesses: Pace<IpAddr>,
    /// Claims by who claims and whose KeyPackages.
    pub(crate) claims: Pace<(Aor, Aor)>,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
struct Peer(IpAddr);

impl From<Inner> for Api {
    fn from(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }
}

impl std::ops::Deref for Api {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Api {
    fn gatekeeper(&self) -> MutexGuard<'_, Gatekeeper> {
        self.gatekeeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until the shutdown.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    api: Api,
    shutdown: Shutdown,
) {
    let seats = Arc::new(Semaphore::new(api.limits.http_connections_max));
    let acceptor = TlsAcceptor::from(tls);
    let router = router(api.clone());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.triggered() => return,
        };
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => (stream, Peer(peer.ip())),
            Err(error) => {
                // Out of file descriptors, most likely: others must finish first.
                tracing::warn!(%error, "HTTPS port");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // At the bound a newcomer is closed at once, so that it does not wait for nothing.
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            api.metrics.refused_connection("https full");
            continue;
        };
        let (acceptor, api) = (acceptor.clone(), api.clone());
        let router = router.clone().layer(Extension(peer));
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            api.metrics.http.connections.inc();
            let request = api.limits.http_request();
            let connection = answer(stream, acceptor, router, request);
            tokio::select! {
                _ = tokio::time::timeout(request * CONNECTION_REQUESTS, connection) => {}
                () = shutdown.triggered() => {}
            }
            api.metrics.http.connections.dec();
            drop(seat);
        });
    }
}

async fn answer(stream: TcpStream, acceptor: TlsAcceptor, router: Router, wait: Duration) {
    let stream = match tokio::time::timeout(wait, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%error, "HTTPS handshake"),
        Err(_) => return tracing::debug!("HTTPS handshake took too long"),
    };
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(wait)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    if let Err(error) = connection.await {
        tracing::debug!(%error, "HTTPS connection");
    }
}

fn router(api: Api) -> Router {
    let body_bytes_max = api.limits.http_body_bytes_max;
    Router::new()
        .route("/v1/certificates", post(identity::issue))
        .route("/v1/ca", get(identity::authority))
        .route("/v1/key-packages", put(identity::upload))
        .route("/v1/key-packages/{aor}", get(identity::claim))
        .route("/v1/conferences/{id}/group", get(group::state))
        .fallback(nowhere)
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(body_bytes_max))
        .layer(from_fn_with_state(api.clone(), bounded))
        .with_state(api)
}

/// Bounds a request's time, and counts it.
async fn bounded(State(api): State<Api>, request: Request, next: Next) -> Response {
    let (began, route) = (clock::now(), route(request.uri().path()));
    let method = match request.method().as_str() {
        known @ ("GET" | "PUT" | "POST" | "DELETE" | "HEAD") => known.to_owned(),
        _ => String::from("other"),
    };
    let answered = tokio::time::timeout(api.limits.http_request(), next.run(request)).await;
    let response = answered.unwrap_or_else(|_| {
        let what = "the request took too long";
        Problem::new(StatusCode::REQUEST_TIMEOUT, what, "the request", "try again").into_response()
    });
    api.metrics.http.answered(route, &method, response.status().as_u16(), clock::now() - began);
    response
}

/// The route of a path, as a label: never what is in the path.
fn route(path: &str) -> &'static str {
    match path {
        "/v1/certificates" => "/v1/certificates",
        "/v1/ca" => "/v1/ca",
        "/v1/key-packages" => "/v1/key-packages",
        _ if path.starts_with("/v1/key-packages/") => "/v1/key-packages/{aor}",
        _ if path.starts_with("/v1/conferences/") => "/v1/conferences/{id}/group",
        _ => "other",
    }
}

async fn nowhere() -> Problem {
    let mend = "see the list of resources in the manual";
    Problem::new(StatusCode::NOT_FOUND, "there is nothing here", "the path", mend)
}

async fn not_so() -> Problem {
    let mend = "the Allow header names the methods that are";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "not this method", "the method", mend)
}
