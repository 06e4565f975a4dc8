//! Who asks: whoever sends the token, or has shown a certificate of the operators' CA in the handshake. Whatever an
//! operator changes is noted with what became of it, and so is a wrong token.
use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use service::clock;
use service::secret::Secret;
use sha2::{Digest, Sha256};
use store::Deed;
use subtle::ConstantTimeEq as _;

use super::Admin;
use crate::http::{Peer, Problem};

/// The fewest characters of a token: nobody guesses 16 in any time.
const TOKEN_CHARS_MIN: usize = 16;

/// The token, as its digest, so that two of any lengths compare in the same time.
pub(super) struct Token([u8; 32]);

impl Token {
    /// None if it is too short to be a secret.
    pub(super) fn new(secret: &Secret) -> Option<Self> {
        let text = secret.expose();
        (text.chars().count() >= TOKEN_CHARS_MIN).then(|| Self(Sha256::digest(text).into()))
    }

    fn is(&self, given: &str) -> bool {
        let given: [u8; 32] = Sha256::digest(given).into();
        self.0.ct_eq(&given).into()
    }
}

/// Lets operators through, and notes what they change.
pub(super) async fn guarded(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let peer = request.extensions().get::<Peer>().cloned();
    let who = operator(&admin, &request, peer.as_ref());
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let action = format!("{} {route}", request.method());
    let subject = request.uri().path().to_owned();
    let (actor, noted, response) = match who {
        Ok(operator) => (operator, changes, next.run(request).await),
        Err(stranger) => {
            let guessed = stranger.guessed;
            (String::from("stranger"), guessed, stranger.problem.into_response())
        }
    };
    if noted {
        let source = peer.map(|peer| peer.address.to_string()).unwrap_or_default();
        // What was made has its name in the answer only.
        let made = response.headers().get(header::LOCATION).and_then(|made| made.to_str().ok());
        let subject = made.map_or(subject, str::to_owned);
        let result = response.status().as_u16().to_string();
        tracing::info!(%actor, action, subject, source, result, "operator");
        let deed = Deed { at: clock::wall(), actor, action, subject, source, result };
        if let Err(error) = admin.store.note_deed(deed, admin.0.audit_max).await {
            tracing::warn!(%error, "the audit could not be kept");
        }
    }
    response
}

struct Stranger {
    problem: Problem,
    /// With a token that is not ours.
    guessed: bool,
}

/// Who the operator is, as far as the proof tells.
fn operator(admin: &Admin, request: &Request, peer: Option<&Peer>) -> Result<String, Stranger> {
    if let Some(certificate) = peer.and_then(|peer| peer.certificate.as_ref()) {
        let hash = hex::encode(Sha256::digest(certificate));
        let short = hash.get(..16).unwrap_or_default();
        admin.metrics.login("admin", "certificate");
        return Ok(format!("certificate {short}"));
    }
    let (now, address) = (clock::now(), peer.map(|peer| peer.address));
    let given = request.headers().get(header::AUTHORIZATION);
    let given = given.and_then(|value| value.to_str().ok()).and_then(bearer);
    let Some(given) = given else {
        admin.metrics.login("admin", "challenged");
        let what = "who are you?";
        return Err(Stranger { problem: unauthorized(admin, what), guessed: false });
    };
    if address.is_some_and(|address| admin.0.guesses.is_spent(now, &address)) {
        admin.metrics.login("admin", "limited");
        let problem = Problem::too_often("too many wrong tokens from your address");
        return Err(Stranger { problem, guessed: false });
    }
    if admin.0.token.as_ref().is_some_and(|token| token.is(given)) {
        admin.metrics.login("admin", "accepted");
        return Ok(String::from("token"));
    }
    if let Some(address) = address {
        admin.0.guesses.take(now, address);
    }
    admin.metrics.login("admin", "wrong");
    Err(Stranger { problem: unauthorized(admin, "wrong token"), guessed: true })
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn unauthorized(admin: &Admin, what: &str) -> Problem {
    let mend = match (&admin.0.token, admin.config.admin.as_ref()) {
        (Some(_), _) => "send Authorization: Bearer with the token of admin.token_file",
        (None, _) => "show a client certificate under admin.client_ca_file",
    };
    let challenge = format!("Bearer realm=\"{}\"", admin.config.domain);
    Problem::new(StatusCode::UNAUTHORIZED, what, "Authorization", mend)
        .with(header::WWW_AUTHENTICATE, challenge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_and_nothing_near_it() {
        let secret = Secret::new(String::from("0123456789abcdef"));
        let token = Token::new(&secret).unwrap();

        assert!(token.is("0123456789abcdef"));
        for wrong in ["", "0123456789abcde", "0123456789abcdeF", "0123456789abcdef0"] {
            assert!(!token.is(wrong), "{wrong}");
        }
        assert!(Token::new(&Secret::new(String::from("0123456789abcde"))).is_none());
    }

    #[test]
    fn only_the_bearer_scheme_carries_a_token() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(bearer("abc"), None);
    }
}
