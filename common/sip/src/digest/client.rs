//! The client's side: answers challenges with a user name and a password.
use std::fmt;

use rand::RngCore;

use super::fields::{Challenge, Credentials};
use super::hash::{Asked, Ha1};

/// One user's login in one realm, as long as its nonce is good.
pub struct Login {
    username: String,
    password: String,
    answering: Option<Answering>,
}

struct Answering {
    challenge: Challenge,
    ha1: Ha1,
    nc: u32,
}

/// Why a challenge cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// No challenge with an algorithm we know and `qop=auth`.
    #[error("the server offers no digest with SHA-256 or MD5 and qop=auth")]
    NothingKnown,
    /// The server refused our answer, and not because its nonce was too old.
    #[error("wrong user name or password")]
    Password,
}

impl Login {
    /// A login that was not asked for yet.
    pub fn new(username: &str, password: &str) -> Self {
        Self { username: username.to_owned(), password: password.to_owned(), answering: None }
    }

    /// Takes up the challenges of a 401: the values of its WWW-Authenticate fields, and the Authorization that the
    /// refused request had. The strongest algorithm wins, then the first.
    pub fn challenged<'a>(
        &mut self,
        values: impl IntoIterator<Item = &'a str>,
        refused: Option<&str>,
    ) -> Result<(), Rejected> {
        let known = values.into_iter().flat_map(Challenge::parse_all);
        let best =
            known.reduce(|best, next| if next.algorithm > best.algorithm { next } else { best });
        let challenge = best.ok_or(Rejected::NothingKnown)?;
        let refused = refused.and_then(|value| Credentials::parse(value).ok().flatten());
        if refused.is_some_and(|refused| refused.realm == challenge.realm) && !challenge.stale {
            return Err(Rejected::Password);
        }
        let Challenge { algorithm, ref realm, .. } = challenge;
        let ha1 = Ha1::new(algorithm, &self.username, realm, &self.password);
        self.answering = Some(Answering { challenge, ha1, nc: 0 });
        Ok(())
    }

    /// The Authorization for the next request, if a challenge was taken up; each one is good for one request.
    pub fn authorize(&mut self, method: &str, uri: &str, rng: &mut impl RngCore) -> Option<String> {
        let Answering { challenge, ha1, nc } = self.answering.as_mut()?;
        *nc = nc.checked_add(1)?;
        let mut cnonce = [0; 16];
        rng.fill_bytes(&mut cnonce);
        let cnonce = hex::encode(cnonce);
        let asked = Asked { method, uri, nonce: &challenge.nonce, cnonce: &cnonce, nc: *nc };
        let response = ha1.response(&asked);
        let credentials = Credentials {
            username: self.username.clone(),
            realm: challenge.realm.clone(),
            nonce: challenge.nonce.clone(),
            uri: uri.to_owned(),
            algorithm: challenge.algorithm,
            opaque: challenge.opaque.clone(),
            cnonce,
            nc: *nc,
            response,
        };
        Some(credentials.to_string())
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({:?}, ..)", self.username)
    }
}
