//! The server's side: asks for a password, and checks the answer. It looks nobody up; the caller does.
use std::fmt;
use std::time::Instant;

use rand::RngCore;

use super::fields::{Challenge, Credentials};
use super::hash::{Algorithm, Asked, Ha1, same_secret};
pub use super::nonce::NonceLimits;
use super::nonce::Nonces;
use crate::uri::Uri;

/// Whether a challenge follows a right answer to an old nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Nothing right was sent yet.
    First,
    /// The answer was right, the nonce too old: the client may answer again without asking its user.
    Stale,
}

/// Why credentials do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody by this name has this password in this realm.
    #[error("wrong user name or password")]
    Wrong,
    /// Right, but the nonce is not ours, too old, or was used with this count before: challenge with
    /// [`Freshness::Stale`].
    #[error("stale nonce")]
    Stale,
    /// Made for another request: it deserves a 400 (RFC 7616, 3.4.6; RFC 8760, 2.6).
    #[error("credentials for another URI")]
    OtherUri,
}

/// Asks for passwords of one realm, and checks the answers.
pub struct Challenger {
    realm: String,
    offered: Vec<Algorithm>,
    nonces: Nonces,
}

impl Challenger {
    /// A challenger of SHA-256 alone, as RFC 8760 wants it.
    pub fn new(realm: &str, limits: NonceLimits, now: Instant, rng: &mut impl RngCore) -> Self {
        let nonces = Nonces::new(limits, now, rng);
        Self { realm: realm.to_owned(), offered: vec![Algorithm::Sha256], nonces }
    }

    /// The same, with MD5 as second challenge, for clients that know nothing better.
    pub fn with_md5(mut self) -> Self {
        self.offered = vec![Algorithm::Sha256, Algorithm::Md5];
        self
    }

    /// The realm it asks for.
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// The challenges of a 401, each for a WWW-Authenticate line of its own, the preferred one first (RFC 8760, 2.3).
    pub fn challenges(
        &self,
        freshness: Freshness,
        now: Instant,
        rng: &mut impl RngCore,
    ) -> Vec<Challenge> {
        let mut challenge = |algorithm| Challenge {
            realm: self.realm.clone(),
            nonce: self.nonces.make(now, rng),
            algorithm,
            opaque: None,
            stale: freshness == Freshness::Stale,
        };
        self.offered.iter().map(|algorithm| challenge(*algorithm)).collect()
    }

    /// Checks credentials that came with `method` and `target` (the Request-URI, or the target of an HTTP request)
    /// against the HA1 of their user name and algorithm. Give `None` for a user who is not known: it takes as long, and
    /// is denied.
    pub fn check(
        &mut self,
        now: Instant,
        method: &str,
        target: &str,
        credentials: &Credentials,
        ha1: Option<&Ha1>,
    ) -> Result<(), Denied> {
        let Credentials { uri, nonce, cnonce, nc, algorithm, .. } = credentials;
        let nobody = Ha1::new(*algorithm, "", "", "");
        let known = ha1.is_some_and(|ha1| ha1.algorithm() == *algorithm);
        let ha1 = ha1.unwrap_or(&nobody);
        let asked = Asked { method, uri, nonce, cnonce, nc: *nc };
        let expected = ha1.response(&asked);
        let given = credentials.response.to_ascii_lowercase();
        let right = same_secret(expected.as_bytes(), given.as_bytes());
        let offered = self.offered.contains(algorithm) && credentials.realm == self.realm;
        if !right || !known || !offered {
            return Err(Denied::Wrong);
        }
        if !same_target(uri, target) {
            return Err(Denied::OtherUri);
        }
        if self.nonces.spend(now, nonce, *nc) { Ok(()) } else { Err(Denied::Stale) }
    }
}

fn same_target(uri: &str, target: &str) -> bool {
    let parse = |text: &str| text.parse::<Uri>().ok();
    uri == target
        || matches!((parse(uri), parse(target)), (Some(a), Some(b)) if a.is_equivalent(&b))
}

impl fmt::Debug for Challenger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenger({:?}, {:?})", self.realm, self.offered)
    }
}
