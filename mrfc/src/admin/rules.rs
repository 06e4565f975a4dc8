//! What an operator settles about a conference as a whole. Each lever is a resource of its own, so that the audit says
//! which one was pulled; asked for what is so already, it says yes.
use axum::extract::{Path, State};
use axum::http::StatusCode;

use super::Admin;
use super::refusal::problem;
use super::shapes::Subject;
use crate::desk::Ruling;
use crate::http::{Json, Problem, named};

/// Lets nobody new in, unless called.
#[utoipa::path(put, path = "/v1/conferences/{name}/lock", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn lock(State(admin): State<Admin>, Path(name): Path<String>) -> Settled {
    settle(&admin, &name, Ruling::Lock(true)).await
}

/// Lets anybody in again who is not kept out.
#[utoipa::path(delete, path = "/v1/conferences/{name}/lock", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn unlock(State(admin): State<Admin>, Path(name): Path<String>) -> Settled {
    settle(&admin, &name, Ruling::Lock(false)).await
}

/// Lets messages to one participant alone pass, where the configuration has them.
#[utoipa::path(put, path = "/v1/conferences/{name}/private-messages", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn private_messages(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Settled {
    settle(&admin, &name, Ruling::PrivateMessages(true)).await
}

/// Lets no message to one participant alone pass.
#[utoipa::path(delete, path = "/v1/conferences/{name}/private-messages", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn no_private_messages(
    State(admin): State<Admin>,
    Path(name): Path<String>,
) -> Settled {
    settle(&admin, &name, Ruling::PrivateMessages(false)).await
}

/// Allows nicknames, where the configuration has them.
#[utoipa::path(put, path = "/v1/conferences/{name}/nicknames", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn nicknames(State(admin): State<Admin>, Path(name): Path<String>) -> Settled {
    settle(&admin, &name, Ruling::Nicknames(true)).await
}

/// Takes all nicknames and allows none.
#[utoipa::path(delete, path = "/v1/conferences/{name}/nicknames", params(("name" = String, Path)),
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn no_nicknames(State(admin): State<Admin>, Path(name): Path<String>) -> Settled {
    settle(&admin, &name, Ruling::Nicknames(false)).await
}

/// Says what it is about.
#[utoipa::path(put, path = "/v1/conferences/{name}/subject", params(("name" = String, Path)),
    request_body = Subject,
    responses((status = 204), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn subject(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    Json(Subject { subject }): Json<Subject>,
) -> Settled {
    settle(&admin, &name, Ruling::Subject(subject)).await
}

type Settled = Result<StatusCode, Problem>;

async fn settle(admin: &Admin, name: &str, ruling: Ruling) -> Settled {
    let settled = admin.desks.rule(&named(name)?, None, ruling).await;
    settled.map(|()| StatusCode::NO_CONTENT).map_err(|refusal| problem(&refusal))
}
