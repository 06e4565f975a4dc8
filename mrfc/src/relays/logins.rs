//! Whose proof a relay was given (RFC 4976, 9.1). The relay challenges and keeps the nonces; who has which password is
//! known here only, and never leaves. It asks no desk: a relay's users are the domain's users.
use std::fmt;
use std::sync::Arc;

use control::{AuthAnswer, AuthAsked};
use sip::digest::{Algorithm, Proof};
use tracing::{debug, warn};

use crate::metrics::Metrics;
use crate::users::Users;

/// Answers the relays' questions about logins.
#[derive(Clone)]
pub struct Logins {
    users: Arc<Users>,
    /// What every HA1 of the users file was made with.
    realm: String,
    metrics: Metrics,
}

/// MSRP statuses of the answer.
const RIGHT: u16 = 200;
const WRONG: u16 = 401;
const NOT_HERE: u16 = 403;

impl Logins {
    pub(crate) fn new(users: Arc<Users>, realm: &str, metrics: Metrics) -> Self {
        Self { users, realm: realm.to_owned(), metrics }
    }

    pub(super) fn answer(&self, relay: &str, asked: &AuthAsked) -> AuthAnswer {
        let (status, rspauth) = self.check(relay, asked);
        let result = match status {
            RIGHT => "accepted",
            WRONG => "wrong",
            _ => "refused",
        };
        self.metrics.login("msrp", result);
        debug!(relay, result, "a login at a relay");
        AuthAnswer { request: asked.request, status, rspauth }
    }

    fn check(&self, relay: &str, asked: &AuthAsked) -> (u16, String) {
        if asked.realm != self.realm {
            // Nobody can prove anything there, however often they try.
            warn!(
                relay,
                "it asks for passwords of another realm: its relay.realm must be our domain"
            );
            return (NOT_HERE, String::new());
        }
        let Some(algorithm) = Algorithm::parse(&asked.algorithm) else {
            return (NOT_HERE, String::new());
        };
        let proof = Proof {
            algorithm,
            method: &asked.method,
            uri: &asked.uri,
            nonce: &asked.nonce,
            cnonce: &asked.cnonce,
            nc: asked.nc,
            response: &asked.response,
        };
        let secret = self.users.secret(&asked.username, algorithm).map(|(_, ha1)| ha1);
        proof.check(secret).map_or((WRONG, String::new()), |rspauth| (RIGHT, rspauth))
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Logins({:?}, {:?})", self.realm, self.users)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::digest::Ha1;

    fn logins() -> Logins {
        let ha1 = |algorithm| Ha1::new(algorithm, "alice", "example.net", "secret");
        let users = format!(
            "[[user]]\naor = \"sip:alice@example.net\"\nha1_sha256 = \"{}\"\nha1_md5 = \"{}\"\n\
             [[user]]\naor = \"sip:bob@example.net\"\nha1_sha256 = \"{}\"\n",
            ha1(Algorithm::Sha256).to_hex(),
            ha1(Algorithm::Md5).to_hex(),
            Ha1::new(Algorithm::Sha256, "bob", "example.net", "secret").to_hex(),
        );
        let users = Arc::new(Users::parse(&users, "example.net").unwrap());
        Logins::new(users, "example.net", Metrics::new(&service::metrics::Metrics::new()))
    }

    /// Responses and rspauths by `openssl dgst`, for the password `secret`.
    const MD5: (&str, &str) =
        ("ab3de8acfaf019070049501f92fa3a55", "e87a3ca17d274ed401408cd59ab6f648");
    const SHA256: (&str, &str) = (
        "411544c14b31ef3be98f7e5e9799c8612758dbacb3e710308d1a620c43103744",
        "f938c8ee32a5d3e29db33fd8baf12e60bb795657f234388c7dd60e0588f1c571",
    );

    fn asked(algorithm: &str, response: &str) -> AuthAsked {
        AuthAsked {
            request: 7,
            username: "alice".into(),
            realm: "example.net".into(),
            algorithm: algorithm.into(),
            nonce: "n1".into(),
            nc: 1,
            cnonce: "c1".into(),
            uri: "msrps://relay.example.net;tcp".into(),
            method: "AUTH".into(),
            response: response.into(),
        }
    }

    #[test]
    fn m4976_03_a_right_response_is_answered_with_our_own_proof() {
        for (algorithm, (response, rspauth)) in [("MD5", MD5), ("SHA-256", SHA256)] {
            let answer = logins().answer("relay-0", &asked(algorithm, response));

            assert_eq!((answer.request, answer.status), (7, 200), "{algorithm}");
            assert_eq!(answer.rspauth, rspauth);
        }
    }

    #[test]
    fn m4976_04_a_wrong_response_and_an_unknown_user_are_the_same_to_whoever_asks() {
        let right = asked("SHA-256", SHA256.0);
        let questions = [
            AuthAsked { uri: "msrps://other.example.net;tcp".into(), ..right.clone() },
            AuthAsked { nonce: "n2".into(), ..right.clone() },
            AuthAsked { nc: 2, ..right.clone() },
            AuthAsked { method: "SEND".into(), ..right.clone() },
            AuthAsked { username: "mallory".into(), ..right.clone() },
            // Bob keeps no MD5.
            AuthAsked { username: "bob".into(), ..asked("MD5", MD5.0) },
        ];
        for question in questions {
            let answer = logins().answer("relay-0", &question);
            assert_eq!((answer.status, answer.rspauth.as_str()), (401, ""));
        }
    }

    #[test]
    fn m4976_04_another_realm_or_algorithm_is_not_here() {
        let realm = AuthAsked { realm: "example.org".into(), ..asked("MD5", MD5.0) };

        assert_eq!(logins().answer("relay-0", &realm).status, 403);
        assert_eq!(logins().answer("relay-0", &asked("MD5-sess", MD5.0)).status, 403);
    }
}
