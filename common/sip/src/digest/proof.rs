//! Credentials that another server was given, and that it cannot check itself, because it knows no secret: an MSRP
//! relay asks the focus (RFC 4976, 9.1). Nonces and their counts stay with the server that made them.
use std::fmt;

use super::hash::{Algorithm, Asked, Ha1, same_secret};

/// What was answered to somebody else's challenge.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    /// How it was hashed.
    pub algorithm: Algorithm,
    /// The method of the request.
    pub method: &'a str,
    /// The URI that was hashed.
    pub uri: &'a str,
    /// The nonce of the challenge.
    pub nonce: &'a str,
    /// What the client added.
    pub cnonce: &'a str,
    /// How often the client has used the nonce.
    pub nc: u32,
    /// The response, in hex.
    pub response: &'a str,
}

impl Proof<'_> {
    /// If this is the response of whoever has this secret: the server's own proof, `rspauth` (RFC 7616, 3.5). Give
    /// `None` for a user who is not known: it takes as long.
    pub fn check(&self, ha1: Option<&Ha1>) -> Option<String> {
        let &Proof { algorithm, method, uri, nonce, cnonce, nc, response } = self;
        let nobody = Ha1::new(algorithm, "", "", "");
        let known = ha1.is_some_and(|ha1| ha1.algorithm() == algorithm);
        let ha1 = ha1.unwrap_or(&nobody);
        let expected = ha1.response(&Asked { method, uri, nonce, cnonce, nc });
        let given = response.to_ascii_lowercase();
        let right = same_secret(expected.as_bytes(), given.as_bytes()) && known;
        // RFC 7616, 3.5: as the response, but for the method, which is left out.
        let rspauth = ha1.response(&Asked { method: "", uri, nonce, cnonce, nc });
        right.then_some(rspauth)
    }
}

impl fmt::Debug for Proof<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proof({}, {}, ..)", self.algorithm, self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Response and rspauth, made with `openssl dgst` and with Python's hashlib.
    const MD5: (&str, &str) =
        ("497e9a70943a536c0db85c28c6eb0386", "cf984c976fc2017343345e742c1a3e99");
    const SHA256: (&str, &str) = (
        "0cc8b12e592b9fb7da218541c2df915b433e61bfd32d0f729cb54415c25bbcf2",
        "8ea0af47997efe6c328448983b5baf8e4479e05d86100e90283855ec0d86bf95",
    );

    fn proof(algorithm: Algorithm, response: &str) -> Proof<'_> {
        Proof {
            algorithm,
            method: "AUTH",
            uri: "msrps://alice@intra.example.com;tcp",
            nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093",
            cnonce: "0a4f113b",
            nc: 1,
            response,
        }
    }

    fn ha1(algorithm: Algorithm, password: &str) -> Ha1 {
        Ha1::new(algorithm, "Alice", "intra.example.com", password)
    }

    #[test]
    fn s9_1_of_rfc_4976_hashes_auth_and_the_rightmost_uri() {
        for (algorithm, (response, rspauth)) in [(Algorithm::Md5, MD5), (Algorithm::Sha256, SHA256)]
        {
            let ha1 = ha1(algorithm, "Circle of Life");

            let upper = response.to_uppercase();
            assert_eq!(proof(algorithm, response).check(Some(&ha1)).as_deref(), Some(rspauth));
            assert_eq!(proof(algorithm, &upper).check(Some(&ha1)).as_deref(), Some(rspauth));
        }
    }

    #[test]
    fn whatever_else_was_hashed_or_answered_is_no_proof() {
        let right = proof(Algorithm::Md5, MD5.0);
        let known = ha1(Algorithm::Md5, "Circle of Life");
        let tampered = [
            Proof { method: "SEND", ..right },
            Proof { uri: "msrps://extra.example.com;tcp", ..right },
            Proof { nonce: "x", ..right },
            Proof { cnonce: "x", ..right },
            Proof { nc: 2, ..right },
            Proof { response: SHA256.0, ..right },
            Proof { response: "", ..right },
        ];

        for tampered in tampered {
            assert_eq!(tampered.check(Some(&known)), None, "{tampered:?}");
        }
        assert_eq!(right.check(Some(&ha1(Algorithm::Md5, "guess"))), None);
        assert_eq!(right.check(None), None);
        // The hash of an empty user name and password is nobody's.
        let nobody = Ha1::new(Algorithm::Md5, "", "", "");
        let asked = Asked { method: "AUTH", uri: "u", nonce: "n", cnonce: "c", nc: 1 };
        let response = nobody.response(&asked);
        let forged = Proof { uri: "u", nonce: "n", cnonce: "c", response: &response, ..right };
        assert_eq!(forged.check(None), None);
    }
}
