//! The HTTPS API: certificates, KeyPackages, group state, what people keep here, and what moderators settle. HTTP/1.1 over
//! TLS, digest login, every size and wait bounded, errors as `application/problem+json`.
//!
//! [`listener`] accepts · [`login`] says who asks, [`pace`] how often · [`identity`], [`devices`], [`admission`], [`pseudonym`], [`group`], [`circles`],
//! [`govern`] and [`people`] answer, the last with versions ([`etag`]) and described by [`openapi`] · [`problem`] says what went
//! wrong. The operator's API ([`crate::admin`]) uses the same listener code on a port of its own.
mod admission;
mod circles;
mod devices;
mod etag;
mod govern;
mod group;
mod identity;
mod json;
mod listener;
mod login;
mod openapi;
mod pace;
mod people;
mod problem;
mod pseudonym;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post, put};
use ids::Aor;
use mls::identity::Issuer;
use service::tls::Names;
use store::Store;

use crate::config::{Conferences, Limits, NewDevices};
use crate::desk::Desks;
use crate::devices::Devices;
use crate::front::Gatekeeper;
use crate::metrics::Metrics;
use crate::numbers::Numbers;
use crate::people::Policies;
use crate::users::Users;
pub(crate) use admission::Admission;
pub(crate) use devices::{shown as shown_devices, unknown as unknown_device};
pub(crate) use json::{Json, Query, document, named};
pub(crate) use listener::{Listening, Peer};
pub(crate) use pace::Pace;
pub(crate) use problem::{Body as ProblemBody, Problem};

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Api(Arc<Inner>);

/// The parts of an [`Api`].
pub(crate) struct Inner {
    pub(crate) gatekeeper: Mutex<Gatekeeper>,
    pub(crate) users: Arc<Users>,
    pub(crate) issuer: Issuer,
    pub(crate) certificate_days: u32,
    /// What a new device needs.
    pub(crate) new_devices: NewDevices,
    /// Which devices wait for the word of another one.
    pub(crate) admission: Admission,
    pub(crate) store: Store,
    pub(crate) desks: Desks,
    pub(crate) devices: Devices,
    pub(crate) metrics: Metrics,
    pub(crate) limits: Limits,
    /// How long the mailbox keeps what waits, if there is one.
    pub(crate) waits_secs: Option<u64>,
    /// Wrong passwords by address.
    pub(crate) guesses: Pace<IpAddr>,
    /// Claims by who claims and whose KeyPackages.
    pub(crate) claims: Pace<(Aor, Aor)>,
    /// Look-ups of numbers by who asks.
    pub(crate) lookups: Pace<Aor>,
    pub(crate) domain: String,
    pub(crate) numbers: Numbers,
    pub(crate) policies: Policies,
    /// Held while somebody's list or privacy changes, so that [`Policies`] follows in order.
    pub(crate) changing: tokio::sync::Mutex<()>,
    pub(crate) contacts_max: usize,
    /// Who may make which conferences.
    pub(crate) conferences: Conferences,
    /// Lines of the audit, where an operator has said how many.
    pub(crate) audit_max: Option<u32>,
    /// Whose word counts about who asks.
    pub(crate) proxies: Names,
}

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

/// The resources of devices and their people.
pub(crate) fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/certificates", post(identity::issue))
        .route("/v1/ca", get(identity::authority))
        .route("/v1/key-packages", put(identity::upload))
        .route("/v1/key-packages/{aor}", get(identity::claim))
        .route("/v1/devices", get(devices::list))
        .route("/v1/devices/{device}", delete(devices::take_back))
        .route("/v1/devices/waiting", get(admission::waiting))
        .route("/v1/devices/{device}/voucher", put(admission::vouch))
        .route("/v1/circles", get(circles::list).post(circles::found))
        .route("/v1/circles/{id}/log", get(circles::log))
        .route("/v1/circles/{id}/group", get(circles::group))
        .route("/v1/circles/{id}/commits", post(circles::commit))
        .route("/v1/conferences/{id}/group", get(group::state))
        .route("/v1/conferences/{id}/certificates", post(pseudonym::issue))
        .route("/v1/conferences/{id}/key-packages", put(pseudonym::upload))
        .route("/v1/openapi.json", get(openapi::show))
        .merge(people::router(&api))
        .route(
            "/v1/conferences/{id}",
            get(govern::show).put(govern::make).patch(govern::change).delete(govern::delete),
        )
        .route("/v1/conferences/{id}/{list}/{person}", put(govern::put).delete(govern::take))
        .layer(DefaultBodyLimit::max(api.limits.http_body_bytes_max))
        .with_state(api)
}
