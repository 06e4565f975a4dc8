//! The people of a conference: who they are, and what an operator settles about one of them.
use axum::extract::{Path, State};
use axum::http::StatusCode;
use ids::Aor;

use super::Admin;
use super::refusal::problem;
use super::shapes::{Device, Member, MemberList, Presence};
use crate::conference;
use crate::desk::Ruling;
use crate::http::{Problem, named};

/// Who is in a conference, on which devices.
#[utoipa::path(get, path = "/v1/conferences/{name}/members", params(("name" = String, Path)),
    responses((status = 200, body = MemberList), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn list(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<axum::Json<MemberList>, Problem> {
    let overview = admin.desks.overview(&named(&name)?).await;
    let overview = overview.map_err(|refusal| problem(&refusal))?;
    let members = overview.people.into_iter().map(member).collect();
    Ok(axum::Json(MemberList { members }))
}

/// Has the conference call somebody, on every registered device (TS 24.147, 5.3.2.5). Who comes is seen in the list.
#[utoipa::path(put, path = "/v1/conferences/{name}/members/{person}",
    params(("name" = String, Path), ("person" = String, Path, description = "sip:user@domain")),
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn call(
    State(admin): State<Admin>,
    Path((name, person)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let called = admin.desks.call(&named(&name)?, named(&person)?).await;
    called.map(|()| StatusCode::NO_CONTENT).map_err(|refusal| problem(&refusal))
}

/// Puts somebody out with all devices, and keeps them out until invited again. Answered when the relay has carried it
/// out.
#[utoipa::path(delete, path = "/v1/conferences/{name}/members/{person}",
    params(("name" = String, Path), ("person" = String, Path, description = "sip:user@domain")),
    responses((status = 204), (status = 404, body = super::document::ProblemBody),
        (status = 504, body = super::document::ProblemBody)))]
pub(super) async fn kick(
    State(admin): State<Admin>,
    Path((name, person)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let gone = admin.desks.expel(&named(&name)?, named(&person)?).await;
    gone.map(|()| StatusCode::NO_CONTENT).map_err(|refusal| problem(&refusal))
}

/// Keeps somebody out, who is put out with all devices if they are in. Only the operator, a moderator who lifts it or
/// an invitation lets them in again.
#[utoipa::path(put, path = "/v1/conferences/{name}/banned/{person}",
    params(("name" = String, Path), ("person" = String, Path, description = "sip:user@domain")),
    responses((status = 204), (status = 404, body = super::document::ProblemBody),
        (status = 504, body = super::document::ProblemBody)))]
pub(super) async fn ban(State(admin): State<Admin>, Path(whom): Path<Whom>) -> Settled {
    settle(&admin, whom, Ruling::Ban).await
}

/// Lets somebody come again.
#[utoipa::path(delete, path = "/v1/conferences/{name}/banned/{person}",
    params(("name" = String, Path), ("person" = String, Path, description = "sip:user@domain")),
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn unban(State(admin): State<Admin>, Path(whom): Path<Whom>) -> Settled {
    settle(&admin, whom, Ruling::Unban).await
}

/// Keeps somebody who is in from talking: the relay takes no message from their seats.
#[utoipa::path(put, path = "/v1/conferences/{name}/muted/{person}",
    params(("name" = String, Path), ("person" = String, Path, description = "sip:user@domain")),
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn mute(State(admin): State<Admin>, Path(whom): Path<Whom>) -> Settled {
    settle(&admin, whom, Ruling::Mute).await
}

/// Lets somebody talk again.
#[utoipa::path(delete, path = "/v1/conferences/{name}/muted/{person}",
    params(("name" = String, Path), ("person" = String, Path, description = "sip:user@domain")),
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn unmute(State(admin): State<Admin>, Path(whom): Path<Whom>) -> Settled {
    settle(&admin, whom, Ruling::Unmute).await
}

/// Makes somebody who is in a moderator.
#[utoipa::path(put, path = "/v1/conferences/{name}/moderators/{person}",
    params(("name" = String, Path), ("person" = String, Path, description = "sip:user@domain")),
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn appoint(State(admin): State<Admin>, Path(whom): Path<Whom>) -> Settled {
    settle(&admin, whom, Ruling::Appoint).await
}

/// Takes the role from a moderator; the last one keeps it.
#[utoipa::path(delete, path = "/v1/conferences/{name}/moderators/{person}",
    params(("name" = String, Path), ("person" = String, Path, description = "sip:user@domain")),
    responses((status = 204), (status = 404, body = super::document::ProblemBody),
        (status = 409, body = super::document::ProblemBody)))]
pub(super) async fn dismiss(State(admin): State<Admin>, Path(whom): Path<Whom>) -> Settled {
    settle(&admin, whom, Ruling::Dismiss).await
}

/// A conference, and somebody in it or kept out of it.
type Whom = (String, String);

type Settled = Result<StatusCode, Problem>;

async fn settle(admin: &Admin, (name, person): Whom, ruling: fn(Aor) -> Ruling) -> Settled {
    let settled = admin.desks.rule(&named(&name)?, None, ruling(named(&person)?)).await;
    settled.map(|()| StatusCode::NO_CONTENT).map_err(|refusal| problem(&refusal))
}

fn member(person: conference::Person) -> Member {
    let device = |device: conference::Device| Device {
        device: device.id.to_string(),
        presence: match device.presence {
            conference::Presence::Away => Presence::Away,
            conference::Presence::Seated => Presence::Seated,
            conference::Presence::Connected => Presence::Connected,
        },
        holds_key: device.member,
        nickname: device.nickname,
    };
    Member {
        person: person.aor.to_string(),
        moderator: person.moderator,
        muted: person.muted,
        shown_as: person.shown_as,
        devices: person.devices.into_iter().map(device).collect(),
    }
}
