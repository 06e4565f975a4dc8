//! The three headers with which a relay and its client log in (RFC 4976, sections 7 and 9.1): what is asked
//! (`WWW-Authenticate`), what is answered (`Authorization`), and what proves that the relay knew the password too
//! (`Authentication-Info`). Nothing is hashed here, and nothing that could be used to log in ever shows in `Debug`.
mod fields;

use std::fmt;

use fields::{Fields, quote};

/// A hash of digest authentication; the order is from weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DigestAlgorithm {
    /// What RFC 4976 names, and what is meant where nothing is named.
    Md5,
    /// What RFC 7616 adds.
    Sha256,
}

impl DigestAlgorithm {
    /// The name in a header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// The algorithm of this name, in any case. The `-sess` variants are not known on purpose (section 9.1).
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256].into_iter().find(|a| a.as_str().eq_ignore_ascii_case(name))
    }
}

/// One challenge of a 401.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Whose passwords are asked for.
    pub realm: String,
    /// What makes the answer usable for a while only.
    pub nonce: String,
    /// How to hash.
    pub algorithm: DigestAlgorithm,
    /// The answer was right, only its nonce was no good any more.
    pub stale: bool,
}

impl Challenge {
    /// Reads a `WWW-Authenticate`; `None` where it is none that can be answered with `qop=auth`.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut fields = Fields::parse(value).ok()?;
        let offers_auth = fields.take("qop")?.split(',').any(|qop| qop.trim() == "auth");
        let algorithm = match fields.take("algorithm") {
            Some(name) => DigestAlgorithm::parse(&name)?,
            None => DigestAlgorithm::Md5,
        };
        let stale = fields.take("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
        let (realm, nonce) = (fields.take("realm")?, fields.take("nonce")?);
        offers_auth.then_some(Self { realm, nonce, algorithm, stale })
    }

    /// The header value. MD5 is not named: it is what everybody takes an unnamed algorithm for.
    pub fn to_wire(&self) -> String {
        let (realm, nonce) = (quote(&self.realm), quote(&self.nonce));
        let mut text = format!("Digest realm={realm}, qop=\"auth\", nonce={nonce}");
        if self.algorithm != DigestAlgorithm::Md5 {
            text.push_str(", algorithm=");
            text.push_str(self.algorithm.as_str());
        }
        if self.stale {
            text.push_str(", stale=true");
        }
        text
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { realm, algorithm, stale, .. } = self;
        write!(f, "Challenge({realm:?}, {algorithm:?}, stale: {stale}, ..)")
    }
}

/// The answer to a challenge.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who logs in.
    pub username: String,
    /// The realm of the challenge.
    pub realm: String,
    /// The nonce of the challenge.
    pub nonce: String,
    /// The algorithm of the challenge.
    pub algorithm: DigestAlgorithm,
    /// What the client added, so that nobody can choose all that is hashed.
    pub cnonce: String,
    /// How often the client has used the nonce.
    pub nc: u32,
    /// The proof, in hex.
    pub response: String,
}

/// Why credentials cannot be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCredentials {
    /// Another scheme than Digest; Basic is never accepted (section 9.1).
    #[error("Authorization of another scheme than Digest")]
    Scheme,
    /// It does not follow its grammar, or says something twice.
    #[error("malformed Authorization")]
    Malformed,
    /// A part that must be there is not; section 9.1 wants `qop`, `cnonce` and `nc` always.
    #[error("Authorization without {0}")]
    Missing(&'static str),
    /// An algorithm or a qop that is never offered.
    #[error("Authorization with an algorithm or qop that was not offered")]
    Unsupported,
}

impl Credentials {
    /// Reads an `Authorization`. A `uri` is tolerated and not looked at: the grammar of section 7 has none, and what
    /// was hashed must be the rightmost URI of To-Path (section 9.1).
    pub fn parse(value: &[u8]) -> Result<Self, BadCredentials> {
        let mut fields = Fields::parse(value)?;
        let algorithm = match fields.take("algorithm") {
            Some(name) => DigestAlgorithm::parse(&name).ok_or(BadCredentials::Unsupported)?,
            None => DigestAlgorithm::Md5,
        };
        let mut take = |name| fields.take(name).ok_or(BadCredentials::Missing(name));
        if take("qop")? != "auth" {
            return Err(BadCredentials::Unsupported);
        }
        Ok(Self {
            username: take("username")?,
            realm: take("realm")?,
            nonce: take("nonce")?,
            algorithm,
            cnonce: take("cnonce")?,
            nc: count(&take("nc")?).ok_or(BadCredentials::Malformed)?,
            response: take("response")?,
        })
    }

    /// The header value.
    pub fn to_wire(&self) -> String {
        let Self { username, realm, nonce, algorithm, cnonce, nc, response } = self;
        let algorithm = match algorithm {
            DigestAlgorithm::Md5 => "",
            DigestAlgorithm::Sha256 => ", algorithm=SHA-256",
        };
        format!(
            "Digest username={}, realm={}, nonce={}{algorithm}, qop=auth, nc={nc:08x}, cnonce={}, \
             response=\"{response}\"",
            quote(username),
            quote(realm),
            quote(nonce),
            quote(cnonce),
        )
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials(at {:?}, {:?}, ..)", self.realm, self.algorithm)
    }
}

/// What goes with the 200 to an AUTH.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthenticationInfo {
    /// The relay's own proof, in hex.
    pub rspauth: String,
    /// Of the request.
    pub cnonce: String,
    /// Of the request.
    pub nc: u32,
    /// A nonce for the next AUTH, which so needs no challenge.
    pub nextnonce: Option<String>,
}

impl AuthenticationInfo {
    /// Reads an `Authentication-Info`; `None` where a part that section 9.1 wants is not there.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut fields = Fields::parse_bare(value).ok()?;
        if fields.take("qop")? != "auth" {
            return None;
        }
        Some(Self {
            rspauth: fields.take("rspauth")?,
            cnonce: fields.take("cnonce")?,
            nc: count(&fields.take("nc")?)?,
            nextnonce: fields.take("nextnonce"),
        })
    }

    /// The header value, its parts separated by commas (section 9.1, on the errors of RFC 2617).
    pub fn to_wire(&self) -> String {
        let Self { rspauth, cnonce, nc, nextnonce } = self;
        let next = nextnonce.as_ref().map(|n| format!("nextnonce={}, ", quote(n)));
        let (next, cnonce) = (next.unwrap_or_default(), quote(cnonce));
        format!("{next}rspauth=\"{rspauth}\", cnonce={cnonce}, nc={nc:08x}, qop=auth")
    }
}

impl fmt::Debug for AuthenticationInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthenticationInfo(nc {}, ..)", self.nc)
    }
}

/// `nc-value`: eight hex digits.
fn count(text: &str) -> Option<u32> {
    let hex = text.len() == 8 && text.bytes().all(|c| c.is_ascii_hexdigit());
    u32::from_str_radix(text, 16).ok().filter(|_| hex)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> Credentials {
        Credentials {
            username: "a\"lice".into(),
            realm: "example.net".into(),
            nonce: "n1".into(),
            algorithm: DigestAlgorithm::Sha256,
            cnonce: "0a4f113b".into(),
            nc: 27,
            response: "6629fae49393a05397450978507c4ef1".into(),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for algorithm in [DigestAlgorithm::Md5, DigestAlgorithm::Sha256] {
            let written = Credentials { algorithm, ..credentials() };
            assert_eq!(Credentials::parse(written.to_wire().as_bytes()), Ok(written));
            for stale in [false, true] {
                let (realm, nonce) = ("r\\x".into(), "n".into());
                let written = Challenge { realm, nonce, algorithm, stale };
                assert_eq!(Challenge::parse(written.to_wire().as_bytes()), Some(written));
            }
        }
        for nextnonce in [None, Some("n2".to_owned())] {
            let (rspauth, cnonce) = ("ab".into(), "c,1".into());
            let written = AuthenticationInfo { rspauth, cnonce, nc: 1, nextnonce };
            assert_eq!(AuthenticationInfo::parse(written.to_wire().as_bytes()), Some(written));
        }
    }

    #[test]
    fn nothing_secret_shows_in_debug_output() {
        let shown = format!("{:?}", credentials());

        for secret in ["lice", "n1", "0a4f113b", "6629"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
