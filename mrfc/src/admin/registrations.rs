//! Who is registered, over what; and the end of a registration. The front keeps the table, and is asked.
use axum::extract::{Path, State};
use axum::http::StatusCode;
use ids::{Aor, DeviceId};
use tokio::sync::oneshot;

use super::shapes::{Access, Dropped, Registration, RegistrationList};
use super::{Admin, LIST_DEFAULT, LIST_MAX};
use crate::front::{self, Question, Registered};
use crate::http::{Problem, Query, named};

/// Which registrations are wanted.
#[derive(Clone, Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Of this person only, `sip:user@domain`.
    person: Option<String>,
    /// At most so many entries; 1000 unless said, 20000 at most.
    limit: Option<usize>,
}

/// Who is registered, by person.
#[utoipa::path(get, path = "/v1/registrations", params(Wanted), responses((status = 200, body = RegistrationList)))]
pub(super) async fn list(
    State(admin): State<Admin>,
    Query(wanted): Query<Wanted>,
) -> Result<axum::Json<RegistrationList>, Problem> {
    let of = wanted.person.as_deref().map(named).transpose()?;
    let all = ask(&admin, |answer| Question::Registrations { of, answer }).await?;
    let (total, limit) = (all.len(), wanted.limit.unwrap_or(LIST_DEFAULT).min(LIST_MAX));
    let registrations = all.into_iter().take(limit).map(registration).collect();
    Ok(axum::Json(RegistrationList { registrations, total }))
}

/// Ends every registration of a person, and the connections they were on.
#[utoipa::path(delete, path = "/v1/registrations/{person}", params(("person" = String, Path)),
    responses((status = 200, body = Dropped), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn drop_all(
    State(admin): State<Admin>,
    Path(person): Path<String>,
) -> Result<axum::Json<Dropped>, Problem> {
    dropped(&admin, named(&person)?, None).await
}

/// Ends the registration of one device, and its connection.
#[utoipa::path(delete, path = "/v1/registrations/{person}/{device}",
    params(("person" = String, Path), ("device" = String, Path, description = "urn:uuid:…")),
    responses((status = 200, body = Dropped), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn drop_one(
    State(admin): State<Admin>,
    Path((person, device)): Path<(String, String)>,
) -> Result<axum::Json<Dropped>, Problem> {
    dropped(&admin, named(&person)?, Some(named(&device)?)).await
}

async fn dropped(
    admin: &Admin,
    of: Aor,
    device: Option<DeviceId>,
) -> Result<axum::Json<Dropped>, Problem> {
    let registrations = ask(admin, |answer| Question::Drop { of, device, answer }).await?;
    if registrations == 0 {
        let what = "nobody of this name is registered, or not on this device";
        let mend = "look at who is: GET /v1/registrations";
        return Err(Problem::new(StatusCode::NOT_FOUND, what, "the path", mend));
    }
    Ok(axum::Json(Dropped { registrations }))
}

async fn ask<T>(
    admin: &Admin,
    question: impl FnOnce(oneshot::Sender<T>) -> Question,
) -> Result<T, Problem> {
    let (answer, answered) = oneshot::channel();
    let stopping = || Problem::unavailable("the SIP server is stopping");
    admin.questions.send(question(answer)).await.map_err(|_| stopping())?;
    answered.await.map_err(|_| stopping())
}

fn registration(one: Registered) -> Registration {
    Registration {
        person: one.person.to_string(),
        device: one.device.map(|device| device.to_string()),
        contact: one.contact,
        access: match one.access {
            front::Access::Tls => Access::Tls,
            front::Access::Network => Access::Network,
            front::Access::Core => Access::Core,
        },
        address: one.address.map(|address| address.to_string()),
        secs_left: one.secs_left,
    }
}
