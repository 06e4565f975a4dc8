//! The operator's API: what there is, who is in it, and the levers. HTTPS on a port of its own, for whoever holds the
//! token or a certificate of the operators' CA. It decides nothing: desks, front and relays do, and everything that is
//! changed is in the audit.
//!
//! `guard` says who asks and notes what they do · `conferences`, `rules`, `members`, `registrations`,
//! `devices`, `relays` and `status` answer, each with `shapes` · `document` is the OpenAPI document of all of it.
mod conferences;
mod devices;
mod document;
mod guard;
mod members;
mod refusal;
mod registrations;
mod relays;
mod rules;
pub mod shapes;
mod status;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post, put};
use service::clock;
use service::secret::Secret;
use service::tls::{self, ClientAuth, Live};
use store::Store;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::mpsc;

use crate::config::{Admin as Settings, Config};
use crate::desk::Desks;
use crate::devices::Devices;
use crate::front::Question;
use crate::http::{Listening, Pace};
use crate::metrics::Metrics;
use crate::relays::Relays;
use crate::server::{StartError, listen};
use guard::Token;

/// Entries of a list when nobody says how many.
const LIST_DEFAULT: usize = 1_000;
/// The most entries of a list: some 3 MB.
const LIST_MAX: usize = 20_000;
/// Questions that may wait for the front.
pub(crate) const QUESTIONS_MAX: usize = 64;

/// What the handlers share.
#[derive(Clone)]
pub(crate) struct Admin(Arc<Inner>);

/// What the operator's API works on.
pub(crate) struct Parts {
    pub(crate) config: Arc<Config>,
    pub(crate) desks: Desks,
    pub(crate) relays: Relays,
    pub(crate) store: Store,
    pub(crate) metrics: Metrics,
    pub(crate) questions: mpsc::Sender<Question>,
    pub(crate) devices: Devices,
}

struct Inner {
    parts: Parts,
    token: Option<Token>,
    audit_max: u32,
    since: SystemTime,
    /// Wrong tokens by address.
    guesses: Pace<IpAddr>,
}

impl std::ops::Deref for Admin {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0.parts
    }
}

/// Opens the operator's listener.
///
/// # Errors
/// A file of it is no good, or the port is taken.
pub(crate) async fn open(
    settings: &Settings,
    identity: &Arc<Live>,
    parts: Parts,
) -> Result<(SocketAddr, Listening), StartError> {
    let clients = match &settings.client_ca_file {
        Some(file) => ClientAuth::Optional(tls::load_roots_for("admin.client_ca_file", file)?),
        None => ClientAuth::None,
    };
    let tls = tls::live_server_config(identity, clients, &[b"http/1.1"])?;
    let token = token(settings)?;
    let (listener, address) = listen("admin", settings.listen).await?;
    let limits = &parts.config.limits;
    let (connections_max, request) = (limits.http_connections_max, limits.http_request());
    let (metrics, guesses) =
        (parts.metrics.clone(), Pace::new(limits.http_failures_per_minute_max));
    let (audit_max, since) = (settings.audit_max, clock::wall());
    let admin = Admin(Arc::new(Inner { parts, token, audit_max, since, guesses }));
    let router = router(admin);
    Ok((address, Listening { listener, tls, router, connections_max, request, metrics }))
}

/// Whether what the settings name is good.
///
/// # Errors
/// A file of it is no good.
pub(crate) fn check(settings: &Settings) -> Result<(), StartError> {
    if let Some(file) = &settings.client_ca_file {
        tls::load_roots_for("admin.client_ca_file", file)?;
    }
    token(settings).map(drop)
}

fn token(settings: &Settings) -> Result<Option<Token>, StartError> {
    let Some(file) = &settings.token_file else { return Ok(None) };
    let secret = Secret::read(file)?;
    Token::new(&secret).map(Some).ok_or_else(|| StartError::ShortToken { path: file.clone() })
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/v1/openapi.json", get(document::show))
        .route("/v1/status", get(status::show))
        .route("/v1/config/check", post(status::check_config))
        .route("/v1/audit", get(status::audit))
        .route("/v1/audit/registrations", get(status::attempts))
        .route("/v1/conferences", get(conferences::list).post(conferences::create))
        .route("/v1/conferences/{name}", get(conferences::show).delete(conferences::close))
        .route("/v1/conferences/{name}/log", delete(conferences::purge))
        .route("/v1/conferences/{name}/members", get(members::list))
        .route("/v1/conferences/{name}/members/{person}", put(members::call).delete(members::kick))
        .route("/v1/conferences/{name}/banned/{person}", put(members::ban).delete(members::unban))
        .route("/v1/conferences/{name}/muted/{person}", put(members::mute).delete(members::unmute))
        .route(
            "/v1/conferences/{name}/moderators/{person}",
            put(members::appoint).delete(members::dismiss),
        )
        .route("/v1/conferences/{name}/lock", put(rules::lock).delete(rules::unlock))
        .route(
            "/v1/conferences/{name}/private-messages",
            put(rules::private_messages).delete(rules::no_private_messages),
        )
        .route(
            "/v1/conferences/{name}/nicknames",
            put(rules::nicknames).delete(rules::no_nicknames),
        )
        .route("/v1/conferences/{name}/subject", put(rules::subject))
        .route("/v1/registrations", get(registrations::list))
        .route("/v1/registrations/{person}", delete(registrations::drop_all))
        .route("/v1/registrations/{person}/{device}", delete(registrations::drop_one))
        .route("/v1/people/{person}/devices", get(devices::list))
        .route("/v1/people/{person}/devices/{device}", delete(devices::take_back))
        .route("/v1/relays", get(relays::list))
        .route("/v1/relays/{name}/drain", put(relays::drain).delete(relays::undrain))
        .layer(from_fn_with_state(admin.clone(), guard::guarded))
        .with_state(admin)
}

/// A time as RFC 3339 has it.
fn rfc3339(time: SystemTime) -> String {
    OffsetDateTime::from(time).format(&Rfc3339).unwrap_or_default()
}

/// How much of a list is wanted.
#[derive(Clone, Copy, Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Page {
    /// At most so many entries; 1000 unless said, 20000 at most.
    limit: Option<usize>,
}

impl Page {
    fn limit(self) -> usize {
        self.limit.unwrap_or(LIST_DEFAULT).min(LIST_MAX)
    }
}
