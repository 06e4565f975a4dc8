//! Conferences: which there are, one of them, a new one, and the end of one.
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use control::RoomOrder;
use ids::{Aor, ConferenceId};

use super::refusal::problem;
use super::shapes::{Conference, ConferenceLine, ConferenceList, Group, Level, NewConference};
use super::{Admin, Page, rfc3339};
use crate::conference::{self, Overview, Rules};
use crate::desk;
use crate::http::{Json, Problem, Query, named};

/// Which conferences there are, by name.
#[utoipa::path(get, path = "/v1/conferences", params(Page), responses((status = 200, body = ConferenceList)))]
pub(super) async fn list(
    State(admin): State<Admin>,
    Query(page): Query<Page>,
) -> axum::Json<ConferenceList> {
    let all = admin.desks.list();
    let total = all.len();
    let line = |one: desk::Listed| ConferenceLine {
        name: one.id.to_string(),
        creator: one.creator.to_string(),
        level: one.level.into(),
        participants: one.participants,
        members: one.members,
    };
    let conferences = all.into_iter().take(page.limit()).map(line).collect();
    axum::Json(ConferenceList { conferences, total })
}

/// One conference.
#[utoipa::path(get, path = "/v1/conferences/{name}", params(("name" = String, Path)),
    responses((status = 200, body = Conference), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn show(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<axum::Json<Conference>, Problem> {
    let id: ConferenceId = named(&name)?;
    let overview = admin.desks.overview(&id).await.map_err(|refusal| problem(&refusal))?;
    Ok(axum::Json(conference(&id, overview)))
}

/// Makes a conference. Nobody is in it yet: its creator is the first moderator, and it ends soon if nobody comes, unless it is to stay.
#[utoipa::path(post, path = "/v1/conferences", request_body = NewConference,
    responses((status = 201, body = Conference), (status = 409, body = super::document::ProblemBody)))]
pub(super) async fn create(
    State(admin): State<Admin>,
    Json(new): Json<NewConference>,
) -> Result<impl IntoResponse, Problem> {
    let bad = |what: ids::BadId, r#where| {
        let mend = "write it as the message says";
        Problem::new(StatusCode::BAD_REQUEST, what, r#where, mend)
    };
    let creator: Aor = new.creator.parse().map_err(|why| bad(why, "creator"))?;
    let name = new.name.as_deref().map(str::parse::<ConferenceId>).transpose();
    let name = name.map_err(|why| bad(why, "name"))?;
    if name.as_ref().is_some_and(|name| name.as_str() == admin.config.conferences.factory) {
        let what = "this name is the factory's (conferences.factory)";
        return Err(Problem::new(StatusCode::CONFLICT, what, "name", "choose another name"));
    }
    let level = new.level.map_or(admin.config.conferences.level, Into::into);
    let new = {
        let standing = new.standing.then(desk::Standing::default);
        desk::NewConference { id: name, creator, level, standing }
    };
    let made = admin.desks.create(new).await.map_err(|refusal| problem(&refusal))?;
    let overview = admin.desks.overview(&made).await.map_err(|refusal| problem(&refusal))?;
    let location = [(header::LOCATION, format!("/v1/conferences/{made}"))];
    Ok((StatusCode::CREATED, location, axum::Json(conference(&made, overview))))
}

/// Ends a conference for everybody in it.
#[utoipa::path(delete, path = "/v1/conferences/{name}", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn close(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let closed = admin.desks.close(&named(&name)?).await;
    closed.map(|()| StatusCode::NO_CONTENT).map_err(|refusal| problem(&refusal))
}

/// Deletes what is kept of a conference for members that are away. They hear that they missed something.
#[utoipa::path(delete, path = "/v1/conferences/{name}/log", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn purge(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    let id: ConferenceId = named(&name)?;
    let overview = admin.desks.overview(&id).await.map_err(|refusal| problem(&refusal))?;
    admin.store.purge_log(&id).await.map_err(|error| {
        tracing::warn!(conference = %id, %error, "a log could not be purged");
        problem(&desk::Refusal::StoreFailed)
    })?;
    // The relay has the end of it. Where there is none, the room rests and nothing is in memory.
    if admin.relays.order(&overview.relay, &id, RoomOrder::Purge).await.is_ok()
        && let Ok(receipt) = admin.relays.receipt(&overview.relay, &id).await
    {
        receipt.await.ok();
    }
    Ok(StatusCode::NO_CONTENT)
}

fn conference(id: &ConferenceId, overview: Overview) -> Conference {
    let Overview { uri, creator, level, relay, created, rules, group, people, barred, standing } =
        overview;
    let Rules { locked, private_messages, nicknames, subject } = rules;
    Conference {
        name: id.to_string(),
        uri,
        creator: creator.to_string(),
        level: level.into(),
        created: rfc3339(created),
        relay,
        standing,
        locked,
        private_messages,
        nicknames,
        subject,
        group: group.map(|(era, epoch)| Group { era: era.0, epoch: epoch.0 }),
        people: people.len(),
        participants: people.iter().map(|person| person.devices.len()).sum(),
        barred: barred.iter().map(ToString::to_string).collect(),
    }
}

impl From<conference::Level> for Level {
    fn from(level: conference::Level) -> Self {
        match level {
            conference::Level::Sealed => Self::Sealed,
            conference::Level::Open => Self::Open,
        }
    }
}

impl From<Level> for crate::config::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Sealed => Self::Sealed,
            Level::Open => Self::Open,
        }
    }
}
