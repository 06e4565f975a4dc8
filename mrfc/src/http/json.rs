//! JSON in requests, with our own words where it is none.
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// A body that is JSON of this shape.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let taken = axum::Json::<T>::from_request(request, state).await;
        taken.map(|axum::Json(value)| Self(value)).map_err(|rejection: JsonRejection| {
            let mend = "send JSON as /v1/openapi.json describes it, with its Content-Type";
            Problem::new(rejection.status(), rejection.body_text(), "the body", mend)
        })
    }
}

/// What stands behind the question mark of a URL.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let taken = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        taken.map(|axum::extract::Query(value)| Self(value)).map_err(|rejection: QueryRejection| {
            let mend = "see /v1/openapi.json for the parameters there are";
            Problem::new(rejection.status(), rejection.body_text(), "the query", mend)
        })
    }
}

/// A name in a path, checked.
pub(crate) fn named<T: std::str::FromStr<Err = ids::BadId>>(text: &str) -> Result<T, Problem> {
    text.parse().map_err(|bad: ids::BadId| {
        Problem::new(StatusCode::BAD_REQUEST, bad, "the path", "write the name as it is listed")
    })
}

/// The OpenAPI document as an answer.
pub(crate) fn document(of: &utoipa::openapi::OpenApi) -> impl axum::response::IntoResponse + use<> {
    let text = of.to_json().unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], text)
}
