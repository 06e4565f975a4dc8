//! Who asks over HTTPS: digest (RFC 7616) against the same users as SIP. There is no other way in, and
//! from one address only so many guesses.
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use ids::Aor;
use service::clock;
use sip::digest::Credentials;

use super::problem::Problem;
use super::{Api, Peer};
use crate::front::Stranger;

/// The person who asks, proven. Taking it as an argument makes a handler ask for the proof, before it reads the body.
pub(super) struct Person(pub(super) Aor);

impl FromRequestParts<Api> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let (now, peer) = (clock::now(), parts.extensions.get::<Peer>().map(|peer| peer.address));
        let proves = parts.headers.contains_key(header::AUTHORIZATION);
        if proves && peer.is_some_and(|peer| api.guesses.is_spent(now, &peer)) {
            api.metrics.login("https", "limited");
            return Err(Problem::too_often("too many wrong passwords from your address"));
        }
        let found = author(parts, api);
        if let (Err(Stranger::Wrong), Some(peer)) = (&found, peer) {
            api.guesses.take(now, peer);
        }
        let result = found.as_ref().map_or_else(|stranger| stranger.label(), |_| "accepted");
        api.metrics.login("https", result);
        found.map(Self).map_err(|stranger| refusal(stranger, api))
    }
}

fn author(parts: &Parts, api: &Api) -> Result<Aor, Stranger> {
    let value = parts.headers.get(header::AUTHORIZATION).ok_or(Stranger::Asked)?;
    let text = value.to_str().map_err(|_| Stranger::Malformed)?;
    let credentials = Credentials::parse(text).map_err(|_| Stranger::Malformed)?;
    let credentials = credentials.ok_or(Stranger::Asked)?;
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let method = parts.method.as_str();
    api.gatekeeper().check(clock::now(), method, target, &credentials, &api.users)
}

fn refusal(stranger: Stranger, api: &Api) -> Problem {
    let (status, what, mend) = match stranger {
        Stranger::Asked => {
            (StatusCode::UNAUTHORIZED, "who are you?", "answer the digest challenge")
        }
        Stranger::Wrong => (
            StatusCode::UNAUTHORIZED,
            "wrong user name or password",
            "the user name is the part of the address before the @",
        ),
        Stranger::Stale => {
            (StatusCode::UNAUTHORIZED, "the nonce is used up", "answer the new challenge")
        }
        Stranger::Malformed => (
            StatusCode::BAD_REQUEST,
            "the credentials are malformed, or for another URI",
            "use Digest with qop=auth, and the request target as uri",
        ),
        Stranger::SomebodyElse => {
            (StatusCode::FORBIDDEN, "these credentials are somebody else's", "use your own")
        }
    };
    let mut problem = Problem::new(status, what, "Authorization", mend);
    if status == StatusCode::UNAUTHORIZED {
        for challenge in api.gatekeeper().challenges(clock::now(), stranger) {
            problem = problem.with(header::WWW_AUTHENTICATE, challenge);
        }
    }
    problem
}
