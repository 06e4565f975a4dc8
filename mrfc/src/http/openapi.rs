//! The OpenAPI document of the resources of devices and their people, made from the handlers. What is not JSON there (certificates,
//! KeyPackages, group state) is described where it is made.
use utoipa::OpenApi;

use super::people::{contacts, personal, phonebook};
use super::{ProblemBody, document};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Conclave, for people and their devices",
        description = "What a person keeps here."
    ),
    paths(
        show,
        contacts::list,
        contacts::add,
        contacts::rename,
        contacts::remove,
        phonebook::list,
        phonebook::show,
        phonebook::look_up,
        phonebook::put,
        phonebook::remove,
        personal::profile,
        personal::put_profile,
        personal::privacy,
        personal::put_privacy
    ),
    components(schemas(ProblemBody))
)]
struct Document;

/// This document. It is public.
#[utoipa::path(get, path = "/v1/openapi.json", responses((status = 200, description = "OpenAPI 3.1")))]
pub(super) async fn show() -> impl axum::response::IntoResponse {
    document(&Document::openapi())
}
