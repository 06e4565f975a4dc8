//! The public state of a conference's group, for a participant that enters by external commit.
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use mls::wire::GROUP_STATE;

use super::Api;
use super::login::Person;
use super::problem::Problem;
use crate::desk::Refusal;

/// `GET /v1/conferences/{id}/group`: only for whom the roster names.
pub(super) async fn state(
    State(api): State<Api>,
    Person(person): Person,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let missing = |what: &'static str| {
        Problem::new(StatusCode::NOT_FOUND, what, "the path", "join the conference first")
    };
    let id = id.parse().map_err(|_| missing("there is no such conference"))?;
    let state = api.desks.group_state(&id, &person).await.map_err(|refusal| match refusal {
        Refusal::NoSuchConference => missing("there is no such conference"),
        Refusal::NotOnRoster(_) | Refusal::Barred => Problem::new(
            StatusCode::FORBIDDEN,
            "you are not on the roster",
            "the path",
            "join the conference first",
        ),
        Refusal::NoGroup => missing("an open conference has no group"),
        other => Problem::unavailable(other),
    })?;
    let state = state.ok_or_else(|| missing("the group has not begun"))?;
    Ok(([(header::CONTENT_TYPE, GROUP_STATE)], state))
}
