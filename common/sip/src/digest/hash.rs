//! The hashes of digest authentication. What they are of, and no header field.
use std::fmt;

use md5::Md5;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A hash algorithm; the order is from weak to strong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// For old clients, and only as second challenge (RFC 8760, 3).
    Md5,
    /// What everybody should use.
    Sha256,
}

impl Algorithm {
    /// The name in a header field.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// The algorithm of this name, in any case. The `-sess` variants are not known on purpose.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Md5, Self::Sha256]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(name))
    }

    /// The hash of the parts with a colon between them, in lower-case hex.
    fn hex(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Self::Md5 => hex::encode(Md5::digest(text)),
            Self::Sha256 => hex::encode(Sha256::digest(text)),
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 => 64,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// `H(username:realm:password)`: as good as the password within its realm, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1 {
    algorithm: Algorithm,
    hex: Box<str>,
}

/// The text is not the hex of a hash of this algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an HA1 is 64 hex digits for SHA-256 and 32 for MD5")]
pub struct NotHa1;

impl Ha1 {
    /// The HA1 of a user.
    pub fn new(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> Self {
        Self { algorithm, hex: algorithm.hex(&[username, realm, password]).into() }
    }

    /// An HA1 from where it is kept.
    pub fn from_hex(algorithm: Algorithm, text: &str) -> Result<Self, NotHa1> {
        let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !digits || text.len() != algorithm.hex_len() {
            return Err(NotHa1);
        }
        Ok(Self { algorithm, hex: text.to_ascii_lowercase().into() })
    }

    /// The HA1 as lower-case hex, to be kept; it is a secret.
    pub fn to_hex(&self) -> &str {
        &self.hex
    }

    /// The algorithm it was made with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The response to a challenge (RFC 7616, 3.4.1, with `qop=auth`).
    pub(super) fn response(&self, asked: &Asked<'_>) -> String {
        let &Asked { method, uri, nonce, cnonce, nc } = asked;
        let ha2 = self.algorithm.hex(&[method, uri]);
        let nc = format!("{nc:08x}");
        self.algorithm.hex(&[&self.hex, nonce, &nc, cnonce, "auth", &ha2])
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ha1({}, ..)", self.algorithm)
    }
}

/// What a response is computed over, beside the HA1.
pub(super) struct Asked<'a> {
    pub(super) method: &'a str,
    pub(super) uri: &'a str,
    pub(super) nonce: &'a str,
    pub(super) cnonce: &'a str,
    pub(super) nc: u32,
}

/// Compares in a time that depends on the lengths only.
pub(crate) fn same_secret(a: &[u8], b: &[u8]) -> bool {
    bool::from(a.ct_eq(b))
}

/// HMAC-SHA256 (RFC 2104), which makes a nonce ours.
pub(crate) fn hmac_sha256(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    let (mut inner, mut outer) = ([0x36_u8; 64], [0x5c_u8; 64]);
    for (at, byte) in key.iter().enumerate() {
        for pad in [&mut inner, &mut outer] {
            if let Some(pad) = pad.get_mut(at) {
                *pad ^= byte;
            }
        }
    }
    let inner = Sha256::new().chain_update(inner).chain_update(text).finalize();
    Sha256::new().chain_update(outer).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rfc7616(algorithm: Algorithm) -> String {
        let asked = Asked {
            method: "GET",
            uri: "/dir/index.html",
            nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            cnonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
            nc: 1,
        };
        Ha1::new(algorithm, "Mufasa", "http-auth@example.org", "Circle of Life").response(&asked)
    }

    #[test]
    fn s3_9_1_of_rfc_7616_gives_the_md5_response() {
        assert_eq!(rfc7616(Algorithm::Md5), "8ca523f5e9506fed4657c9700eebdbec");
    }

    #[test]
    fn s3_9_1_of_rfc_7616_gives_the_sha_256_response() {
        let expected = "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1";
        assert_eq!(rfc7616(Algorithm::Sha256), expected);
    }

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        // Case 3 of RFC 4231, 4.4, has a key of 20 bytes; zeros behind it do not change an HMAC.
        let mut key = [0; 32];
        key[..20].fill(0xaa);
        let expected = "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe";
        assert_eq!(hex::encode(hmac_sha256(&key, &[0xdd; 50])), expected);
    }

    #[test]
    fn an_ha1_never_shows_itself() {
        let ha1 = Ha1::new(Algorithm::Sha256, "alice", "example.net", "secret");
        assert_eq!(format!("{ha1:?}"), "Ha1(SHA-256, ..)");
        assert_eq!(Ha1::from_hex(Algorithm::Sha256, ha1.to_hex()).as_ref(), Ok(&ha1));
        assert_eq!(Ha1::from_hex(Algorithm::Md5, ha1.to_hex()), Err(NotHa1));
    }
}
