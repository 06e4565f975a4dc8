//! What went wrong, for people and programs: `{"what": …, "where": …, "mend": …}`.
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An answer that is not what was asked for.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    status: StatusCode,
    body: Body,
    headers: Vec<(HeaderName, String)>,
}

#[derive(Clone, Debug, Serialize)]
struct Body {
    what: String,
    r#where: &'static str,
    mend: &'static str,
}

impl Problem {
    /// What is wrong, in which part of the request, and how to mend it.
    pub(super) fn new(
        status: StatusCode,
        what: impl ToString,
        r#where: &'static str,
        mend: &'static str,
    ) -> Self {
        let body = Body { what: what.to_string(), r#where, mend };
        Self { status, body, headers: Vec::new() }
    }

    /// The same with this header field added.
    pub(super) fn with(mut self, name: HeaderName, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    /// It was asked too often in this minute.
    pub(super) fn too_often(what: impl ToString) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, what, "the pace", "try again in a minute")
            .with(header::RETRY_AFTER, 60)
    }

    /// The store or a relay failed; the caller did nothing wrong.
    pub(super) fn unavailable(what: impl ToString) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, what, "the server", "try again in some seconds")
            .with(header::RETRY_AFTER, 5)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body)).into_response();
        for (name, value) in self.headers {
            // What no header can carry is left out; none of ours is like that.
            if let Ok(value) = HeaderValue::from_str(&value) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}
