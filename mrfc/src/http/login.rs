//! Who asks over HTTPS: digest (RFC 7616) against the same users as SIP, the certificate that we issued to a device, or
//! the word of a proxy that has proven who it is. There is no other way in, and from one address only so many guesses.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use ids::Aor;
use service::clock;
use sip::digest::Credentials;

use super::problem::Problem;
use super::{Api, Peer};
use crate::front::Stranger;

/// Whom a trusted proxy says it has asked (TS 24.109). From anybody else it means nothing.
const ASSERTED_IDENTITY: &str = "x-3gpp-asserted-identity";

/// The person who asks, proven. Taking it as an argument makes a handler ask for the proof, before it reads the body.
pub(super) struct Person(pub(super) Aor);

/// The same, but not by the certificate of a device: a lost one would renew itself for ever.
pub(super) struct PersonHere(pub(super) Aor);

/// Set where a wrong password was counted, of which there are only so many in a minute.
#[derive(Clone, Debug, Default)]
pub(super) struct Guessed(Arc<AtomicBool>);

impl Guessed {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Which proofs count.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proofs {
    All,
    NoDevice,
}

impl FromRequestParts<Api> for Person {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        identified(parts, api, Proofs::All).map(Self)
    }
}

impl FromRequestParts<Api> for PersonHere {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        identified(parts, api, Proofs::NoDevice).map(Self)
    }
}

fn identified(parts: &Parts, api: &Api, proofs: Proofs) -> Result<Aor, Problem> {
    let (now, peer) = (clock::now(), parts.extensions.get::<Peer>().map(|peer| peer.address));
    let proves = parts.headers.contains_key(header::AUTHORIZATION);
    if proves && peer.is_some_and(|peer| api.guesses.is_spent(now, &peer)) {
        api.metrics.login("https", "limited");
        return Err(Problem::too_often("too many wrong passwords from your address"));
    }
    let found = author(parts, api, proofs);
    if let (Err(Stranger::Wrong), Some(peer)) = (&found, peer)
        && api.guesses.take(now, peer)
        && let Some(guessed) = parts.extensions.get::<Guessed>()
    {
        guessed.0.store(true, Ordering::Relaxed);
    }
    let result = found.as_ref().map_or_else(|stranger| stranger.label(), |_| "accepted");
    api.metrics.login("https", result);
    found.map_err(|stranger| refusal(stranger, api))
}

/// Who asks: by password; else by the certificate of a device; else by the word of the proxy in front.
fn author(parts: &Parts, api: &Api, proofs: Proofs) -> Result<Aor, Stranger> {
    let Some(value) = parts.headers.get(header::AUTHORIZATION) else {
        return proven(parts, api, proofs).ok_or(Stranger::Asked);
    };
    let text = value.to_str().map_err(|_| Stranger::Malformed)?;
    let credentials = Credentials::parse(text).map_err(|_| Stranger::Malformed)?;
    let credentials = credentials.ok_or(Stranger::Asked)?;
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let method = parts.method.as_str();
    api.gatekeeper().check(clock::now(), method, target, &credentials, &api.users)
}

/// Who the peer's certificate says it is, or whom a proxy of ours asserts. The handshake has checked the chain.
fn proven(parts: &Parts, api: &Api, proofs: Proofs) -> Option<Aor> {
    let certificate = parts.extensions.get::<Peer>()?.certificate.as_ref()?;
    let person = match api.issuer.roots().check(certificate, clock::wall()) {
        Ok(device) if api.users.is_revoked(&device.name.aor, &device.name.device) => return None,
        Ok(device) if proofs == Proofs::All => device.name.aor,
        Ok(_) => return None,
        Err(_) if api.proxies.are_proved_by(certificate) => asserted(parts)?,
        Err(_) => return None,
    };
    api.users.knows(&person).then_some(person)
}

/// TS 24.109, 5.3.1: identities in quotes, with commas between them. The one address of record is the person: two of them
/// are what a proxy sends on that adds its word to that of whoever asks.
fn asserted(parts: &Parts) -> Option<Aor> {
    let values = parts.headers.get_all(ASSERTED_IDENTITY).iter();
    let values = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let mut people = values.filter_map(|one| one.trim().trim_matches('"').parse::<Aor>().ok());
    let person = people.next()?;
    people.all(|other| other == person).then_some(person)
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

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn asserted_by(fields: &[&str]) -> Option<String> {
        let request = fields
            .iter()
            .fold(Request::builder(), |request, field| request.header(ASSERTED_IDENTITY, *field));
        let (parts, ()) = request.body(()).unwrap().into_parts();
        asserted(&parts).map(|aor| aor.to_string())
    }

    #[test]
    fn sec_3_a_proxy_that_adds_its_word_to_the_clients_is_not_believed() {
        let alice = "\"sip:alice@example.net\"";
        assert_eq!(asserted_by(&[alice]).unwrap(), "sip:alice@example.net");
        let both = "\"tel:+15551230001\", \"sip:alice@example.net\"";
        assert_eq!(asserted_by(&[both]).unwrap(), "sip:alice@example.net");

        assert_eq!(asserted_by(&["\"sip:bob@example.net\"", alice]), None);
        assert_eq!(asserted_by(&[&format!("\"sip:bob@example.net\", {alice}")]), None);
        assert_eq!(asserted_by(&[]), None);
    }
}
