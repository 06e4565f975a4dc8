//! Who may log in: addresses of record and the digest HA1 of each, from the users file. SIP and HTTPS ask the same
//! table. It keeps secrets, so nothing here is ever printed but addresses.
//!
//! ```toml
//! [[user]]
//! aor = "sip:alice@example.net"
//! ha1_sha256 = "…64 hex digits: SHA-256 of alice:example.net:PASSWORD…"
//! # ha1_md5 = "…32 hex digits, only for clients that know no SHA-256…"
//! # numbers = ["+15551230001"]    # E.164 numbers that are this person too
//! ```
//!
//! The user name of the digest is the user part of the address, the realm is the domain.
mod revoked;

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use ids::{Aor, DeviceId};
use serde::Deserialize;
use sip::digest::{Algorithm, Ha1};
use sip::tel::E164;

use revoked::Revoked;

/// Everybody who may log in.
pub struct Users {
    by_name: HashMap<Box<str>, User>,
    by_number: HashMap<E164, Aor>,
    revoked: Revoked,
}

struct User {
    aor: Aor,
    sha256: Ha1,
    md5: Option<Ha1>,
    numbers: Vec<E164>,
}

/// What is wrong with a users file.
#[derive(Debug, thiserror::Error)]
pub enum BadUsers {
    /// It cannot be read.
    #[error("users file {path}: {error}")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is not the TOML it should be. The text around the fault is not shown: it holds secrets.
    #[error("users file, line {line}: {what}")]
    Malformed {
        /// Where.
        line: usize,
        /// What, without the text itself.
        what: String,
    },
    /// Somebody of another domain.
    #[error("users file: {0} is not of the domain {1}")]
    Foreign(Aor, String),
    /// The same person again.
    #[error("users file: {0} is there twice")]
    Twice(Aor),
    /// Not a number that the whole world can call.
    #[error("users file: a number of {0} is not E.164; write + and up to 15 digits")]
    NotE164(Aor),
    /// One number of two people.
    #[error("users file: {0} has a number that somebody has already")]
    NumberTwice(Aor),
    /// Not an HA1.
    #[error("users file: {key} of {aor} is not the hex of a digest HA1")]
    NotHa1 {
        /// Whose.
        aor: Aor,
        /// Which of the two.
        key: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    user: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    aor: Aor,
    ha1_sha256: String,
    #[serde(default)]
    ha1_md5: Option<String>,
    #[serde(default)]
    numbers: Vec<String>,
}

impl Users {
    /// Reads the users file.
    ///
    /// # Errors
    /// It cannot be read, or says something that cannot be right.
    pub fn read(path: &Path, domain: &str) -> Result<Self, BadUsers> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| BadUsers::Unreadable { path: path.to_owned(), error })?;
        Self::parse(&text, domain)
    }

    /// Reads the text of a users file.
    ///
    /// # Errors
    /// It says something that cannot be right.
    pub fn parse(text: &str, domain: &str) -> Result<Self, BadUsers> {
        let file: File = toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let before = text.get(..at).unwrap_or_default();
            BadUsers::Malformed {
                line: before.matches('\n').count() + 1,
                what: error.message().to_owned(),
            }
        })?;
        let (mut by_name, mut by_number) = (HashMap::new(), HashMap::new());
        for Entry { aor, ha1_sha256, ha1_md5, numbers } in file.user {
            if !aor.host().eq_ignore_ascii_case(domain) {
                return Err(BadUsers::Foreign(aor, domain.to_owned()));
            }
            let ha1 = |algorithm, key, text: &str| {
                let not = |_| BadUsers::NotHa1 { aor: aor.clone(), key };
                Ha1::from_hex(algorithm, text).map_err(not)
            };
            let sha256 = ha1(Algorithm::Sha256, "ha1_sha256", &ha1_sha256)?;
            let md5 = ha1_md5.map(|text| ha1(Algorithm::Md5, "ha1_md5", &text)).transpose()?;
            let numbers = numbers.iter().map(|number| number.parse());
            let numbers: Result<Vec<E164>, _> = numbers.collect();
            let numbers = numbers.map_err(|_| BadUsers::NotE164(aor.clone()))?;
            for number in &numbers {
                if by_number.insert(number.clone(), aor.clone()).is_some() {
                    return Err(BadUsers::NumberTwice(aor));
                }
            }
            let name = aor.user().into();
            let user = User { aor, sha256, md5, numbers };
            if let Some(old) = by_name.insert(name, user) {
                return Err(BadUsers::Twice(old.aor));
            }
        }
        Ok(Self { by_name, by_number, revoked: Revoked::default() })
    }

    /// The person with this digest user name, and their secret for this algorithm. Whether the caller *is* that
    /// person is for `sip::digest::Challenger::check` to say, which takes as long for nobody.
    pub fn secret(&self, username: &str, algorithm: Algorithm) -> Option<(&Aor, &Ha1)> {
        let user = self.by_name.get(username)?;
        let ha1 = match algorithm {
            Algorithm::Sha256 => Some(&user.sha256),
            Algorithm::Md5 => user.md5.as_ref(),
        };
        Some((&user.aor, ha1?))
    }

    /// These devices were taken back.
    pub fn revoke(&self, devices: impl IntoIterator<Item = (Aor, DeviceId)>) {
        self.revoked.add(devices);
    }

    /// Whether this device was taken back: nothing it proves counts any more.
    pub fn is_revoked(&self, aor: &Aor, device: &DeviceId) -> bool {
        self.revoked.has(aor, device)
    }

    /// Whether there is such a person.
    pub fn knows(&self, aor: &Aor) -> bool {
        self.by_name.get(aor.user()).is_some_and(|user| user.aor == *aor)
    }

    /// Whose number this is.
    pub fn with_number(&self, number: &E164) -> Option<&Aor> {
        self.by_number.get(number)
    }

    /// The numbers of a person, which are registered whenever the person is.
    pub fn numbers(&self, aor: &Aor) -> &[E164] {
        let user = self.by_name.get(aor.user()).filter(|user| user.aor == *aor);
        user.map_or(&[], |user| &user.numbers)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Users({})", self.by_name.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(aor: &str, ha1: &str) -> String {
        format!("[[user]]\naor = \"{aor}\"\nha1_sha256 = \"{ha1}\"\n")
    }

    fn ha1() -> String {
        Ha1::new(Algorithm::Sha256, "alice", "example.net", "secret").to_hex().to_owned()
    }

    #[test]
    fn a_user_is_found_by_the_user_part_and_only_for_a_kept_algorithm() {
        let users = Users::parse(&entry("sip:alice@example.net", &ha1()), "example.net").unwrap();

        let (aor, _) = users.secret("alice", Algorithm::Sha256).unwrap();

        assert_eq!(aor.as_str(), "sip:alice@example.net");
        assert!(users.secret("alice", Algorithm::Md5).is_none());
        assert!(users.secret("bob", Algorithm::Sha256).is_none());
        assert!(users.knows(&"sip:alice@example.net".parse().unwrap()));
    }

    #[test]
    fn s2_or8_a_number_finds_its_one_person() {
        let alice = entry("sip:alice@example.net", &ha1());
        let text = format!("{alice}numbers = [\"+15551230001\"]\n");

        let users = Users::parse(&text, "example.net").unwrap();

        let number: E164 = "+15551230001".parse().unwrap();
        let aor = users.with_number(&number).unwrap();
        assert_eq!(aor.as_str(), "sip:alice@example.net");
        assert_eq!(users.numbers(aor), [number]);
        let bob = text.replace("alice", "bob");
        let twice = Users::parse(&format!("{text}{bob}"), "example.net");
        assert!(matches!(twice, Err(BadUsers::NumberTwice(_))));
        let short = Users::parse(&text.replace("+1555", "555"), "example.net");
        assert!(matches!(short, Err(BadUsers::NotE164(_))));
    }

    #[test]
    fn what_cannot_be_right_is_refused_without_showing_a_secret() {
        let alice = entry("sip:alice@example.net", &ha1());
        let texts = [
            entry("sip:alice@example.org", &ha1()),
            format!("{alice}{alice}"),
            entry("sip:alice@example.net", "c0ffee"),
            format!("{alice}password = \"hunter2\"\n"),
            alice.replace("\"\n", "\n"),
            alice.replace(&ha1(), "hunter2"),
        ];
        for text in texts {
            let error = Users::parse(&text, "example.net").unwrap_err();

            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(&ha1()) && !shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn debug_shows_how_many_and_nothing_else() {
        let users = Users::parse(&entry("sip:alice@example.net", &ha1()), "example.net").unwrap();

        assert_eq!(format!("{users:?}"), "Users(1)");
    }
}
