//! Who may use a relay for a session of two (RFC 4976, 6.3): the relay asks, the MRFC answers. The relay knows no
//! secret and the MRFC no nonce. Nothing is hashed here.
use std::fmt;

use crate::bad::BadFrame;
use crate::order::status;
use crate::proto;

/// Somebody has answered a relay's challenge.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthAsked {
    /// To be repeated in the answer; random, so that another run of the relay does not take it for its own.
    pub request: u64,
    /// Who it says it is.
    pub username: String,
    /// Whose passwords were asked for.
    pub realm: String,
    /// `MD5` or `SHA-256`.
    pub algorithm: String,
    /// The nonce of the challenge.
    pub nonce: String,
    /// How often the nonce was used.
    pub nc: u32,
    /// What the client added.
    pub cnonce: String,
    /// What was hashed: the rightmost URI of To-Path.
    pub uri: String,
    /// The method that was hashed.
    pub method: String,
    /// The proof, in hex.
    pub response: String,
}

/// What became of an [`AuthAsked`].
#[derive(Clone, PartialEq, Eq)]
pub struct AuthAnswer {
    /// Of the question.
    pub request: u64,
    /// 200: the proof is right. 401: it is not. 403: not here.
    pub status: u16,
    /// With 200, the MRFC's own proof.
    pub rspauth: String,
}

impl AuthAsked {
    /// What it costs to keep.
    pub(crate) fn octets(&self) -> usize {
        let Self { username, realm, algorithm, nonce, cnonce, uri, method, response, .. } = self;
        let texts = [username, realm, algorithm, nonce, cnonce, uri, method, response];
        texts.iter().map(|text| text.len()).sum()
    }
}

impl fmt::Debug for AuthAsked {
    /// Leaves out everything that came from the client.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthAsked({}, {})", self.request, self.algorithm)
    }
}

impl fmt::Debug for AuthAnswer {
    /// Leaves out the proof.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthAnswer({}, {})", self.request, self.status)
    }
}

impl From<AuthAsked> for proto::AuthAsked {
    fn from(asked: AuthAsked) -> Self {
        let AuthAsked { request, username, realm, algorithm, nonce, nc, .. } = asked;
        let AuthAsked { cnonce, uri, method, response, .. } = asked;
        Self { request, username, realm, algorithm, nonce, nc, cnonce, uri, method, response }
    }
}

impl From<proto::AuthAsked> for AuthAsked {
    fn from(asked: proto::AuthAsked) -> Self {
        let proto::AuthAsked { request, username, realm, algorithm, nonce, nc, .. } = asked;
        let proto::AuthAsked { cnonce, uri, method, response, .. } = asked;
        Self { request, username, realm, algorithm, nonce, nc, cnonce, uri, method, response }
    }
}

impl From<AuthAnswer> for proto::AuthAnswer {
    fn from(answer: AuthAnswer) -> Self {
        let AuthAnswer { request, status, rspauth } = answer;
        Self { request, status: u32::from(status), rspauth }
    }
}

impl TryFrom<proto::AuthAnswer> for AuthAnswer {
    type Error = BadFrame;

    fn try_from(answer: proto::AuthAnswer) -> Result<Self, BadFrame> {
        let proto::AuthAnswer { request, status: code, rspauth } = answer;
        Ok(Self { request, status: status("auth_answer.status", code)?, rspauth })
    }
}
