//! The two header fields of digest authentication: what is asked (WWW-Authenticate) and what is answered (Authorization).
use std::collections::HashMap;
use std::fmt;

use super::hash::Algorithm;
use crate::header::scan::{Broken, Scan, in_quotes, unquote};
use crate::header::{Headers, Name};

/// One challenge: `Digest realm="..", nonce="..", ..`.
#[derive(Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Whose passwords are asked for.
    pub realm: String,
    /// What makes the answer usable for a while only.
    pub nonce: String,
    /// How to hash.
    pub algorithm: Algorithm,
    /// What the server wants back unchanged.
    pub opaque: Option<String>,
    /// The password was right, only the nonce was too old.
    pub stale: bool,
}

/// The answer to a challenge: `Digest username="..", response="..", ..`.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Who logs in.
    pub username: String,
    /// The realm of the challenge.
    pub realm: String,
    /// The nonce of the challenge.
    pub nonce: String,
    /// What the request is sent to.
    pub uri: String,
    /// The algorithm of the challenge.
    pub algorithm: Algorithm,
    /// The `opaque` of the challenge.
    pub opaque: Option<String>,
    pub(super) cnonce: String,
    pub(super) nc: u32,
    pub(super) response: String,
}

/// An Authorization field that cannot be checked at all; it deserves a 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCredentials {
    /// It does not follow its grammar, or says something twice.
    #[error("malformed Authorization (RFC 7616, 3.4)")]
    Malformed,
    /// A part that must be there is not.
    #[error("Authorization without {0} (RFC 7616, 3.4)")]
    Missing(&'static str),
    /// An algorithm or qop that was not offered.
    #[error("Authorization with an algorithm or qop that was not offered")]
    Unsupported,
}

impl Challenge {
    /// The digest challenges in one header field value that this crate can answer, in order. Other schemes and unknown
    /// algorithms are passed over (RFC 8760, 2.4).
    pub fn parse_all(value: &str) -> Vec<Self> {
        let schemes = parse_schemes(value).unwrap_or_default();
        schemes.into_iter().filter_map(|(scheme, fields)| Self::read(scheme, fields)).collect()
    }

    fn read(scheme: &str, mut fields: Fields) -> Option<Self> {
        let algorithm = match fields.remove("algorithm") {
            Some(name) => Algorithm::parse(&name)?,
            None => Algorithm::Md5,
        };
        let offers_auth = fields.remove("qop")?.split(',').any(|qop| qop.trim() == "auth");
        if !scheme.eq_ignore_ascii_case("Digest") || !offers_auth {
            return None;
        }
        Some(Self {
            realm: fields.remove("realm")?,
            nonce: fields.remove("nonce")?,
            algorithm,
            opaque: fields.remove("opaque"),
            stale: fields.remove("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }
}

impl Credentials {
    /// The digest credentials for `realm` in the Authorization fields of a SIP request, if there are some.
    pub fn find(headers: &Headers, realm: &str) -> Result<Option<Self>, BadCredentials> {
        for value in headers.raw(&Name::Authorization) {
            let text = String::from_utf8_lossy(value);
            match Self::parse(&text)? {
                Some(credentials) if credentials.realm == realm => return Ok(Some(credentials)),
                _ => {}
            }
        }
        Ok(None)
    }

    /// The credentials in one Authorization value; `None` for another scheme than Digest.
    pub fn parse(value: &str) -> Result<Option<Self>, BadCredentials> {
        let schemes = parse_schemes(value).map_err(|Broken| BadCredentials::Malformed)?;
        let Some((scheme, mut fields)) = schemes.into_iter().next() else {
            return Err(BadCredentials::Malformed);
        };
        if !scheme.eq_ignore_ascii_case("Digest") {
            return Ok(None);
        }
        let algorithm = fields.remove("algorithm").unwrap_or_else(|| "MD5".to_owned());
        let algorithm = Algorithm::parse(&algorithm).ok_or(BadCredentials::Unsupported)?;
        let opaque = fields.remove("opaque");
        let mut take = |name| fields.remove(name).ok_or(BadCredentials::Missing(name));
        if take("qop")? != "auth" {
            return Err(BadCredentials::Unsupported);
        }
        let nc = take("nc")?;
        let hex = nc.len() == 8 && nc.bytes().all(|byte| byte.is_ascii_hexdigit());
        let nc = u32::from_str_radix(&nc, 16).ok().filter(|_| hex);
        Ok(Some(Self {
            username: take("username")?,
            realm: take("realm")?,
            nonce: take("nonce")?,
            uri: take("uri")?,
            algorithm,
            opaque,
            cnonce: take("cnonce")?,
            nc: nc.ok_or(BadCredentials::Malformed)?,
            response: take("response")?,
        }))
    }
}

type Fields = HashMap<String, String>;

/// `scheme name=value, name=value, scheme ..`: names in lower case, values without their quotes, nothing twice.
fn parse_schemes(value: &str) -> Result<Vec<(&str, Fields)>, Broken> {
    let mut scan = Scan::new(value);
    let mut schemes: Vec<(&str, Fields)> = vec![(scan.space().token()?, Fields::new())];
    loop {
        while scan.eat(',') {}
        if scan.space().rest().is_empty() {
            return Ok(schemes);
        }
        let name = scan.token()?;
        if !scan.eat('=') {
            schemes.push((name, Fields::new()));
            continue;
        }
        let value = match scan.quoted()? {
            Some(quoted) => unquote(quoted).into_owned(),
            None => {
                scan.run(|byte| byte.is_ascii_graphic() && !matches!(byte, b',' | b'"')).to_owned()
            }
        };
        let (_, fields) = schemes.last_mut().ok_or(Broken)?;
        if fields.insert(name.to_ascii_lowercase(), value).is_some() {
            return Err(Broken);
        }
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (realm, nonce) = (in_quotes(&self.realm), in_quotes(&self.nonce));
        write!(
            f,
            "Digest realm={realm}, nonce={nonce}, algorithm={}, qop=\"auth\"",
            self.algorithm
        )?;
        if let Some(opaque) = &self.opaque {
            write!(f, ", opaque={}", in_quotes(opaque))?;
        }
        if self.stale { f.write_str(", stale=true") } else { Ok(()) }
    }
}

impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { algorithm, nc, response, .. } = self;
        write!(f, "Digest username={}, ", in_quotes(&self.username))?;
        write!(f, "realm={}, nonce={}, ", in_quotes(&self.realm), in_quotes(&self.nonce))?;
        write!(
            f,
            "uri={}, response=\"{response}\", algorithm={algorithm}, ",
            in_quotes(&self.uri)
        )?;
        write!(f, "cnonce={}, qop=auth, nc={nc:08x}", in_quotes(&self.cnonce))?;
        match &self.opaque {
            Some(opaque) => write!(f, ", opaque={}", in_quotes(opaque)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge({:?}, {}, stale: {}, ..)", self.realm, self.algorithm, self.stale)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({:?} at {:?}, {}, ..)", self.username, self.realm, self.algorithm)
    }
}
