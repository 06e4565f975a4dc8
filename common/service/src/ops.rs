//! The operations port: `/metrics`, `/livez`, `/readyz` and `/drain` over plain HTTP. It is meant for the cluster's
//! own network and never for users; it shows no room, no user and no secret.
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::metrics::Metrics;
use crate::shutdown::Shutdown;

/// More at once wait in the listener's queue: a scraper, some probes and a person are far fewer.
const CONNECTIONS_MAX: usize = 32;

/// A connection that has not sent a whole request head by then is closed, also an idle one.
const HEAD_WAIT: Duration = Duration::from_secs(30);

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Not serving yet.
    Starting,
    /// Serving.
    Ready,
    /// Serving whom it has and taking nobody new.
    Draining,
}

/// The phase of a server, shared by the server and its operations port.
#[derive(Clone, Debug)]
pub struct Health {
    phase: Arc<watch::Sender<Phase>>,
}

impl Default for Health {
    fn default() -> Self {
        Self { phase: Arc::new(watch::Sender::new(Phase::Starting)) }
    }
}

impl Health {
    /// Starting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Serving from now on, unless it already drains.
    pub fn ready(&self) {
        self.phase.send_if_modified(|phase| {
            let starts = *phase == Phase::Starting;
            if starts {
                *phase = Phase::Ready;
            }
            starts
        });
    }

    /// Draining from now on: `/readyz` fails, so that no load balancer sends anybody new. It cannot be undone.
    pub fn drain(&self) {
        self.phase.send_replace(Phase::Draining);
    }

    /// Waits until somebody asks for the drain: `GET /drain`, or [`drain`](Self::drain).
    /// May be dropped and called again.
    pub async fn draining(&self) {
        let mut phase = self.phase.subscribe();
        // It fails only when the sender is gone, and `self` holds it.
        drop(phase.wait_for(|phase| *phase == Phase::Draining).await);
    }
}

#[derive(Clone, Debug)]
struct Ops {
    metrics: Metrics,
    health: Health,
}

/// Serves the operations port until `shutdown`. It goes on while the server drains: that is when it is read most.
pub fn serve(
    listener: TcpListener,
    metrics: Metrics,
    health: Health,
    shutdown: Shutdown,
) -> impl Future<Output = ()> + Send {
    let router = Router::new()
        .route("/metrics", get(show_metrics))
        .route("/livez", get(|| async { "live\n" }))
        .route("/readyz", get(readyz))
        .route("/drain", get(drain))
        .with_state(Ops { metrics, health });
    accept_loop(listener, router, shutdown)
}

async fn accept_loop(listener: TcpListener, router: Router, shutdown: Shutdown) {
    let seats = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let next = async {
            let seat = Arc::clone(&seats).acquire_owned().await;
            (seat, listener.accept().await)
        };
        let (seat, accepted) = tokio::select! {
            next = next => next,
            () = shutdown.triggered() => return,
        };
        match (seat, accepted) {
            (Ok(seat), Ok((stream, _))) => {
                tokio::spawn(answer(stream, router.clone(), shutdown.clone(), seat));
            }
            (_, Err(error)) => {
                // Out of file descriptors, most likely: others must finish first.
                tracing::warn!(%error, "operations port");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            (Err(_), _) => return,
        }
    }
}

async fn answer(
    stream: TcpStream,
    router: Router,
    shutdown: Shutdown,
    _seat: OwnedSemaphorePermit,
) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WAIT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::select! {
        done = connection => if let Err(error) = done {
            tracing::debug!(%error, "operations port");
        },
        () = shutdown.triggered() => {}
    }
}

async fn show_metrics(State(ops): State<Ops>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], ops.metrics.render())
}

async fn readyz(State(ops): State<Ops>) -> Result<(StatusCode, &'static str), Infallible> {
    Ok(match ops.health.phase() {
        Phase::Ready => (StatusCode::OK, "ready\n"),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
    })
}

async fn drain(State(ops): State<Ops>) -> &'static str {
    ops.health.drain();
    "draining\n"
}
