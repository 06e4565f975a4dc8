//! What a desk's refusal is in SIP: one match, without a wildcard.
use sip::header::{Name, Warning};
use sip::{Request, Response, Status};

use crate::desk::Refusal;

/// The status a refusal is answered with.
pub(crate) fn status(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::NoSuchConference | Refusal::NotOnRoster(_) => Status::NOT_FOUND,
        Refusal::Over => Status::GONE,
        Refusal::NoSeat => Status::NO_SUCH_DIALOG,
        Refusal::NotModerator
        | Refusal::Barred
        | Refusal::Locked
        | Refusal::LastModerator
        | Refusal::NotWatcher
        | Refusal::Founder
        | Refusal::NoNicknames => Status::FORBIDDEN,
        // RFC 5079.
        Refusal::NotAnonymous | Refusal::KnownByName => Status::ANONYMITY_DISALLOWED,
        Refusal::Full | Refusal::TooManyOwn => Status::BUSY_HERE,
        Refusal::Exists
        | Refusal::NothingNew
        | Refusal::OtherPlace
        | Refusal::Unseatable
        | Refusal::Nickname(_)
        | Refusal::NicknameTaken
        | Refusal::NotYet
        | Refusal::NoGroup
        | Refusal::Repeated { .. }
        | Refusal::Distrusted
        | Refusal::EntersTooOften
        | Refusal::Group(_) => Status::NOT_ACCEPTABLE_HERE,
        Refusal::NoRelay | Refusal::StoreFailed | Refusal::NotOwner => Status::SERVICE_UNAVAILABLE,
        Refusal::RelaySilent | Refusal::Unconfirmed => Status::SERVER_TIMEOUT,
    }
}

/// The answer to a request that a desk refused. The words go along; they name nobody the asker did not name.
pub(super) fn response(request: &Request, refusal: &Refusal, agent: &str) -> Response {
    let status = status(refusal);
    let response = Response::to(request, status)
        .with(Name::Warning, Warning::new(399, agent, &refusal.to_string()));
    match status {
        Status::SERVICE_UNAVAILABLE => response.with(Name::RetryAfter, 5),
        _ => response,
    }
}
