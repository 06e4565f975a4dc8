//! What a desk's refusal is over HTTP. Which kind it is says the same table as for SIP.
use axum::http::StatusCode;

use crate::desk::Refusal;
use crate::front::refused_with;
use crate::http::Problem;

/// The answer to an operator whom a desk refused.
pub(super) fn problem(refusal: &Refusal) -> Problem {
    let (status, r#where, mend) = match refused_with(refusal).code() {
        404 | 481 => {
            (StatusCode::NOT_FOUND, "the path", "look at what there is: GET /v1/conferences")
        }
        _ if *refusal == Refusal::LastModerator => (
            StatusCode::CONFLICT,
            "the conference",
            "appoint somebody else first: PUT …/moderators/{person}",
        ),
        410 => (StatusCode::GONE, "the path", "look at what there is: GET /v1/conferences"),
        503 => return Problem::unavailable(refusal),
        504 => (
            StatusCode::GATEWAY_TIMEOUT,
            "the relay",
            "look at GET /v1/relays; what was changed stands, and the relay learns it when it is reached",
        ),
        _ => (
            StatusCode::CONFLICT,
            "the conference",
            "look at how the conference is now, and ask for what it allows",
        ),
    };
    Problem::new(status, refusal, r#where, mend)
}
