//! Circles over HTTPS: which there are, what has happened in one, and changes of one. Whoever asks is one of its people;
//! of anybody else's nobody learns whether there is one.
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use ids::{ConferenceId, DeviceId};
use mls::wire::{
    Bundle, CIRCLE_LOG, CIRCLES, COMMIT_RESULT, CommitResult, DeviceName, Founding, GROUP_STATE,
    circles_to_bytes,
};
use serde::Deserialize;

use super::login::Person;
use super::problem::Problem;
use super::{Api, Query, identity};
use crate::circles::Refusal;

/// Which device asks. That it is this one shows in what it brings: its leaf signs it.
#[derive(Debug, Deserialize)]
pub(super) struct By {
    device: DeviceId,
    /// The place in the log behind which it wants to know.
    #[serde(default)]
    after: u64,
}

/// `GET /v1/circles`: the circles of the person.
pub(super) async fn list(
    State(api): State<Api>,
    Person(person): Person,
) -> Result<impl IntoResponse, Problem> {
    let circles = api.desks.circles().of(&person).await.map_err(problem)?;
    Ok(([(header::CONTENT_TYPE, CIRCLES)], circles_to_bytes(&circles)))
}

/// `POST /v1/circles`: a founding that does not fit beside a first message, or comes before one in a room.
pub(super) async fn found(
    State(api): State<Api>,
    Person(person): Person,
    body: identity::Body,
) -> Result<impl IntoResponse, Problem> {
    let founding = Founding::from_bytes(&identity::whole(body)?).map_err(malformed)?;
    let result = api.desks.circles().found(&person, founding).await;
    told(result)
}

/// `GET /v1/circles/{id}/log?device=&after=`: what has changed, for one device.
pub(super) async fn log(
    State(api): State<Api>,
    Person(person): Person,
    Path(id): Path<String>,
    Query(by): Query<By>,
) -> Result<impl IntoResponse, Problem> {
    let device = DeviceName { aor: person, device: by.device };
    let log = api.desks.circles().log(&device, &name(&id)?, by.after).await.map_err(problem)?;
    Ok(([(header::CONTENT_TYPE, CIRCLE_LOG)], log.to_bytes()))
}

/// `GET /v1/circles/{id}/group`: the public state of its group, for a device that enters by external commit.
pub(super) async fn group(
    State(api): State<Api>,
    Person(person): Person,
    Path(id): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let state = api.desks.circles().group_state(&person, &name(&id)?).await.map_err(problem)?;
    Ok(([(header::CONTENT_TYPE, GROUP_STATE)], state.to_bytes()))
}

/// `POST /v1/circles/{id}/commits?device=`: a change of its group.
pub(super) async fn commit(
    State(api): State<Api>,
    Person(person): Person,
    Path(id): Path<String>,
    Query(by): Query<By>,
    body: identity::Body,
) -> Result<impl IntoResponse, Problem> {
    let bundle = Bundle::from_bytes(&identity::whole(body)?).map_err(malformed)?;
    let device = DeviceName { aor: person, device: by.device };
    let result = api.desks.circles().commit(&device, &name(&id)?, bundle).await;
    told(result)
}

/// What breaks a rule is an answer like that of a focus, not a fault of HTTP.
fn told(result: Result<CommitResult, Refusal>) -> Result<impl IntoResponse, Problem> {
    let result = match result {
        Err(Refusal::Broken(why)) => why.to_result(),
        result => result.map_err(problem)?,
    };
    Ok(([(header::CONTENT_TYPE, COMMIT_RESULT)], result.to_bytes()))
}

fn name(id: &str) -> Result<ConferenceId, Problem> {
    id.parse().map_err(|_| problem(Refusal::NoSuchCircle))
}

fn malformed(error: mls::wire::Malformed) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, error, "the body", "send what a client of ours sends")
}

fn problem(refusal: Refusal) -> Problem {
    let (status, mend) = match &refusal {
        Refusal::NoSuchCircle => (StatusCode::NOT_FOUND, "ask for a circle of your own"),
        Refusal::OtherEpoch => (StatusCode::CONFLICT, "read its log first"),
        Refusal::TooMany => (StatusCode::FORBIDDEN, "write to people you have written to before"),
        Refusal::Broken(_) => (StatusCode::BAD_REQUEST, "send what a client of ours sends"),
        Refusal::Unavailable => return Problem::unavailable(refusal),
    };
    Problem::new(status, refusal, "the circle", mend)
}
