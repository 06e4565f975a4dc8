//! What went wrong, for people and programs (RFC 9457): `what` it is, `where` it is and how to `mend` it stand beside the
//! members that every problem has.
use std::borrow::Cow;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// An answer that is not what was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    body: Box<Body>,
    headers: Vec<(HeaderName, String)>,
}

/// What a problem looks like: `application/problem+json` (RFC 9457). Its type is `about:blank`: the status says it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Body {
    /// The name of the status.
    title: &'static str,
    /// The status.
    status: u16,
    /// What is wrong.
    what: String,
    /// In which part of the request, or of the server.
    r#where: Cow<'static, str>,
    /// What to do about it.
    mend: Cow<'static, str>,
}

impl Problem {
    /// What is wrong, in which part of the request, and how to mend it.
    pub(crate) fn new(
        status: StatusCode,
        what: impl ToString,
        r#where: impl Into<Cow<'static, str>>,
        mend: impl Into<Cow<'static, str>>,
    ) -> Self {
        let body = Body {
            title: status.canonical_reason().unwrap_or("error"),
            status: status.as_u16(),
            what: what.to_string(),
            r#where: r#where.into(),
            mend: mend.into(),
        };
        Self { status, body: Box::new(body), headers: Vec::new() }
    }

    /// The same with this header field added.
    pub(crate) fn with(mut self, name: HeaderName, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// It was asked too often in this minute.
    pub(crate) fn too_often(what: impl ToString) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, what, "the pace", "try again in a minute")
            .with(header::RETRY_AFTER, 60)
    }

    /// The store or a relay failed; the caller did nothing wrong.
    pub(crate) fn unavailable(what: impl ToString) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, what, "the server", "try again in some seconds")
            .with(header::RETRY_AFTER, 5)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        for (name, value) in self.headers {
            // What no header can carry is left out; none of ours is like that.
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.append(name, value);
            }
        }
        response
    }
}
