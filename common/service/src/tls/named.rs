//! The certificates that an SDP named by `a=fingerprint` (RFC 8122, 5). Of the hash functions it used, the strongest
//! that we have counts, and a certificate must be one of those named with it. SHA-1 and MD5 name nobody.
use std::fmt;

use rustls_pki_types::CertificateDer;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::Fingerprint;
use super::fingerprint::{BadFingerprint, octets};

/// Hash functions in the order of preference, the best last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn named(name: &str) -> Option<Self> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match () {
            () if is("sha-256") => Some(Self::Sha256),
            () if is("sha-384") => Some(Self::Sha384),
            () if is("sha-512") => Some(Self::Sha512),
            () => None,
        }
    }

    fn of(self, certificate: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(certificate).to_vec(),
            Self::Sha384 => Sha384::digest(certificate).to_vec(),
            Self::Sha512 => Sha512::digest(certificate).to_vec(),
        }
    }

    const fn octets(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

/// A set of certificates, by their hashes. Never empty but where it was made of nothing, and then nobody is in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Named {
    hash: Hash,
    digests: Vec<Vec<u8>>,
}

impl Named {
    /// From lines as in SDP, `SHA-256 AB:CD:…`. Lines with a hash function that we do not take are left out; if that
    /// leaves none, or a line is malformed, the whole is refused.
    pub fn parse<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self, BadFingerprint> {
        let mut found: Vec<(Hash, Vec<u8>)> = Vec::new();
        for line in lines {
            let (name, pairs) = line.trim().split_once(' ').ok_or(BadFingerprint::Form)?;
            let Some(hash) = Hash::named(name) else { continue };
            let digest = octets(pairs).ok_or(BadFingerprint::Form)?;
            if digest.len() != hash.octets() {
                return Err(BadFingerprint::Form);
            }
            found.push((hash, digest));
        }
        let hash = found.iter().map(|(hash, _)| *hash).max().ok_or(BadFingerprint::Hash)?;
        found.retain(|(its, _)| *its == hash);
        Ok(Self { hash, digests: found.into_iter().map(|(_, digest)| digest).collect() })
    }

    /// Whether this certificate is one of them.
    #[must_use]
    pub fn has(&self, certificate: &CertificateDer<'_>) -> bool {
        let own = self.hash.of(certificate);
        self.digests.contains(&own)
    }
}

impl From<Vec<Fingerprint>> for Named {
    fn from(known: Vec<Fingerprint>) -> Self {
        let digests = known.iter().map(|fingerprint| fingerprint.octets().to_vec()).collect();
        Self { hash: Hash::Sha256, digests }
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} certificates by {:?}", self.digests.len(), self.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::super::DevCa;
    use super::*;

    fn line(name: &str, digest: &[u8]) -> String {
        let pairs: Vec<String> = digest.iter().map(|octet| format!("{octet:02x}")).collect();
        format!("{name} {}", pairs.join(":"))
    }

    #[test]
    fn tlssdp_01_the_strongest_hash_counts_and_weak_ones_name_nobody() {
        let ca = DevCa::new("test", crate::clock::wall()).unwrap();
        let (one, two) = (ca.issue(&["one"]).unwrap(), ca.issue(&["two"]).unwrap());
        let sha256 = |of: &super::super::Identity| of.fingerprint().to_string();
        let sha512 = line("SHA-512", &Sha512::digest(one.certificate()));
        let sha384 = line("sha-384", &Sha384::digest(one.certificate()));
        let sha1 = line("sha-1", &[1; 20]);
        let named = |lines: &[&str]| Named::parse(lines.iter().copied()).unwrap();
        let both = |lines: &[&str]| {
            let named = named(lines);
            (named.has(one.certificate()), named.has(two.certificate()))
        };

        assert_eq!(both(&[&sha256(&one), &sha256(&two)]), (true, true));
        assert_eq!(both(&[&sha256(&two), &sha384]), (true, false));
        assert_eq!(both(&[&sha256(&two), &sha512, &sha1]), (true, false));
        assert_eq!(Named::parse([sha1.as_str()]), Err(BadFingerprint::Hash));
        assert_eq!(Named::parse(["md5 00:11", sha1.as_str()]), Err(BadFingerprint::Hash));
        assert_eq!(Named::parse(["SHA-512 00:11"]), Err(BadFingerprint::Form));
        assert_eq!(Named::parse([]), Err(BadFingerprint::Hash));
    }
}
