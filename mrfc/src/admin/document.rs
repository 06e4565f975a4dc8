//! The OpenAPI document of the operator's API, made from the handlers.
use utoipa::OpenApi;

use super::{conferences, devices, members, registrations, relays, rules, status};
pub(super) use crate::http::ProblemBody;
use crate::http::document;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Conclave, for operators",
        description = "What there is, who is in it, and the levers."
    ),
    paths(
        show,
        status::show,
        status::check_config,
        status::audit,
        status::attempts,
        conferences::list,
        conferences::create,
        conferences::show,
        conferences::close,
        conferences::purge,
        members::list,
        members::call,
        members::kick,
        members::ban,
        members::unban,
        members::mute,
        members::unmute,
        members::appoint,
        members::dismiss,
        rules::lock,
        rules::unlock,
        rules::private_messages,
        rules::no_private_messages,
        rules::nicknames,
        rules::no_nicknames,
        rules::subject,
        registrations::list,
        registrations::drop_all,
        registrations::drop_one,
        devices::list,
        devices::take_back,
        relays::list,
        relays::drain,
        relays::undrain
    ),
    components(schemas(ProblemBody))
)]
struct Document;

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", responses((status = 200, description = "OpenAPI 3.1")))]
pub(super) async fn show() -> impl axum::response::IntoResponse {
    document(&Document::openapi())
}
