//! How the MRFC is, whether its configuration file is still good, and what operators have done.
use axum::extract::State;
use axum::http::StatusCode;

use super::shapes::{AttemptLine, AttemptList, AuditLine, AuditList, Commits, ConfigCheck, Status};
use super::{Admin, LIST_MAX, rfc3339};
use crate::http::{Problem, Query};

/// Lines of the audit when nobody says how many.
const AUDIT_DEFAULT: usize = 100;

/// How the MRFC is.
#[utoipa::path(get, path = "/v1/status", responses((status = 200, body = Status)))]
pub(super) async fn show(State(admin): State<Admin>) -> axum::Json<Status> {
    let figures = admin.desks.figures();
    let (relays, relays_reached) = admin.relays.reached();
    let registrations = usize::try_from(admin.metrics.registrations.get()).unwrap_or(0);
    axum::Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        domain: admin.config.domain.clone(),
        since: rfc3339(admin.0.since),
        conferences: admin.desks.len(),
        participants: figures.participants,
        members: figures.members,
        registrations,
        relays,
        relays_reached,
        commits: Commits {
            accepted: figures.commits_accepted,
            conflicting: figures.commits_conflicting,
            refused: figures.commits_refused + figures.entries_limited,
        },
    })
}

/// Reads the configuration file again, and everything it names, and says whether the MRFC would start with it. Nothing
/// is changed by it.
#[utoipa::path(post, path = "/v1/config/check",
    responses((status = 200, body = ConfigCheck), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn check_config(
    State(admin): State<Admin>,
) -> Result<axum::Json<ConfigCheck>, Problem> {
    let Some(file) = admin.config.file.clone() else {
        let what = "this MRFC was not started from a file";
        let mend = "check the file with conclave mrfc check-config";
        return Err(Problem::new(StatusCode::NOT_FOUND, what, "the server", mend));
    };
    let path = file.clone();
    let checked = tokio::task::spawn_blocking(move || crate::check_config(&path));
    let checked = checked.await.map_err(|_| Problem::unavailable("the check failed"))?;
    let wrong = checked.err().map(|error| error.to_string());
    let file = file.display().to_string();
    Ok(axum::Json(ConfigCheck { file, good: wrong.is_none(), wrong }))
}

/// Which part of the audit is wanted.
#[derive(Clone, Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// What this one did: a person's address, `token`, or `certificate` and its hash.
    actor: Option<String>,
    /// At most so many lines; 100 unless said, 20000 at most.
    limit: Option<usize>,
}

/// Who has changed what, and who asked for what is personal; newest first.
#[utoipa::path(get, path = "/v1/audit", params(Wanted), responses((status = 200, body = AuditList)))]
pub(super) async fn audit(
    State(admin): State<Admin>,
    Query(wanted): Query<Wanted>,
) -> Result<axum::Json<AuditList>, Problem> {
    let count = wanted.limit.unwrap_or(AUDIT_DEFAULT).min(LIST_MAX);
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let deeds = admin.store.deeds(wanted.actor.as_deref(), count).await;
    let deeds = deeds.map_err(Problem::unavailable)?;
    let line = |deed: store::Deed| {
        let store::Deed { at, actor, action, subject, source, result } = deed;
        AuditLine { at: rfc3339(at), actor, action, subject, source, result }
    };
    Ok(axum::Json(AuditList { audit: deeds.into_iter().map(line).collect() }))
}

/// Which attempts are wanted.
#[derive(Clone, Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct WantedAttempts {
    /// In the name of this person only, `sip:user@domain`.
    person: Option<String>,
    /// At most so many lines; 100 unless said, 20000 at most.
    limit: Option<usize>,
}

/// Who has registered or tried to, newest first; nothing where the configuration says that it is not noted.
#[utoipa::path(get, path = "/v1/audit/registrations", params(WantedAttempts),
    responses((status = 200, body = AttemptList)))]
pub(super) async fn attempts(
    State(admin): State<Admin>,
    Query(wanted): Query<WantedAttempts>,
) -> Result<axum::Json<AttemptList>, Problem> {
    let count = wanted.limit.unwrap_or(AUDIT_DEFAULT).min(LIST_MAX);
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let attempts = admin.store.attempts(wanted.person.as_deref(), count).await;
    let attempts = attempts.map_err(Problem::unavailable)?;
    let line = |attempt: store::Attempt| {
        let store::Attempt { at, aor, device, source, access, status, result } = attempt;
        AttemptLine { at: rfc3339(at), person: aor, device, source, access, status, result }
    };
    Ok(axum::Json(AttemptList { attempts: attempts.into_iter().map(line).collect() }))
}
