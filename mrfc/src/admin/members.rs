//! The people of a conference, and the way out for one of them.
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::Admin;
use super::refusal::problem;
use super::shapes::{Device, Member, MemberList, Presence};
use crate::conference;
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
        devices: person.devices.into_iter().map(device).collect(),
    }
}
