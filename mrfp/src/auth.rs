//! Who may use the relay for a session of two (RFC 4976, 5.1, 6.3 and 9.1). Pure: an AUTH goes in, and an answer or a
//! question to the focus comes out. It knows no secret and hands out no URI; `transit` does that when this says so.
//!
//! ```text
//!            no proof
//! AUTH ──────────────────────────────► 401 with a challenge
//!   │ a proof                              ▲            ▲
//!   ▼                     wrong            │            │ right, but the nonce is used up (stale)
//! Question ─► focus ───────────────────────┘            │
//!                │ right                                │
//!                └──► nonce and count ──────────────────┘
//!                       │ fresh
//!                       ▼
//!                     Expires ── out of bounds ──► 423
//!                       │
//!                       ▼
//!                    Granted
//! ```
mod nonce;

use std::time::{Duration, Instant};

use control::{AuthAnswer, AuthAsked};
use msrp::{
    AuthenticationInfo, Challenge, Credentials, DigestAlgorithm, Frame, Head, Path, Reply, Status,
};
use rand::RngCore;

pub use nonce::NonceLimits;
use nonce::Nonces;

/// What a relay asks for and grants.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whose passwords are asked for.
    pub realm: String,
    /// The challenges, the preferred one first.
    pub offered: Vec<DigestAlgorithm>,
    /// How long a URI may live.
    pub expires: Expires,
    /// How long a nonce is good.
    pub nonces: NonceLimits,
}

/// How long a URI may live, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expires {
    /// Who asks for less gets 423.
    pub min: u64,
    /// For who does not ask.
    pub default: u64,
    /// Who asks for more gets 423.
    pub max: u64,
}

/// Asks for passwords and judges what the focus says about the answers.
pub struct Auth {
    policy: Policy,
    nonces: Nonces,
}

/// What follows from an AUTH.
#[derive(Debug)]
pub enum Received {
    /// It is answered now.
    Answer(Answer),
    /// The focus has to say whether the proof is right.
    Ask(Box<Question>),
}

/// An AUTH whose proof the focus is asked about.
#[derive(Clone, Debug)]
pub struct Question {
    /// For the focus.
    pub asked: AuthAsked,
    /// How long the client wants its URI.
    expires: Option<u64>,
}

/// What a judged AUTH comes to.
#[derive(Debug)]
pub enum Judged {
    /// It is turned down.
    Refused(Answer),
    /// The client gets a URI.
    Granted(Granted),
}

/// The right to a URI.
#[derive(Debug)]
pub struct Granted {
    /// For how long.
    pub lifetime: Duration,
    info: AuthenticationInfo,
}

/// A response to an AUTH.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its code.
    pub status: Status,
    headers: Vec<(&'static str, String)>,
    /// Whether somebody tried and failed: several of these end a client's connection (6.3).
    pub failed: bool,
}

impl Auth {
    /// One that has asked nobody yet.
    pub fn new(policy: Policy, now: Instant, rng: &mut impl RngCore) -> Self {
        let nonces = Nonces::new(policy.nonces, now, rng);
        Self { policy, nonces }
    }

    /// Takes an AUTH for this relay, the last of its To-Path.
    pub fn receive(&self, head: &Head, now: Instant, rng: &mut impl RngCore) -> Received {
        let wanted = head.headers().get("Expires").is_some();
        let expires = head.expires();
        if wanted && expires.is_none() {
            return Received::Answer(Answer::plain(Status::BAD_REQUEST));
        }
        match head.credentials() {
            None => Received::Answer(self.challenge(Proven::No, now, rng)),
            // RFC 4976, 10.3: a proof that is none is answered as a wrong one.
            Some(Err(_)) => Received::Answer(self.challenge(Proven::Wrong, now, rng)),
            Some(Ok(credentials)) if credentials.realm != self.policy.realm => {
                Received::Answer(self.challenge(Proven::Wrong, now, rng))
            }
            Some(Ok(credentials)) => {
                let asked = question(credentials, head.to_path(), rng);
                Received::Ask(Box::new(Question { asked, expires }))
            }
        }
    }

    /// The focus has answered.
    pub fn judge(
        &mut self,
        question: &Question,
        answer: &AuthAnswer,
        now: Instant,
        rng: &mut impl RngCore,
    ) -> Judged {
        let AuthAsked { nonce, nc, cnonce, .. } = &question.asked;
        match answer.status {
            200 => {}
            401 => return Judged::Refused(self.challenge(Proven::Wrong, now, rng)),
            _ => return Judged::Refused(Answer::failed(Status::FORBIDDEN)),
        }
        if !self.nonces.spend(now, nonce, *nc) {
            return Judged::Refused(self.challenge(Proven::Stale, now, rng));
        }
        let Expires { min, default, max } = self.policy.expires;
        let secs = question.expires.unwrap_or(default);
        if secs < min {
            return Judged::Refused(Answer::out_of_bounds("Min-Expires", min));
        }
        if secs > max {
            return Judged::Refused(Answer::out_of_bounds("Max-Expires", max));
        }
        let info = AuthenticationInfo {
            rspauth: answer.rspauth.clone(),
            cnonce: cnonce.clone(),
            nc: *nc,
            nextnonce: Some(self.nonces.make(now, rng)),
        };
        Judged::Granted(Granted { lifetime: Duration::from_secs(secs), info })
    }

    /// RFC 4976, 5.1 and 9.1: a challenge for each algorithm, always with `qop="auth"` and never with `domain`.
    fn challenge(&self, proven: Proven, now: Instant, rng: &mut impl RngCore) -> Answer {
        let header = |algorithm: &DigestAlgorithm| {
            let challenge = Challenge {
                realm: self.policy.realm.clone(),
                nonce: self.nonces.make(now, rng),
                algorithm: *algorithm,
                stale: proven == Proven::Stale,
            };
            ("WWW-Authenticate", challenge.to_wire())
        };
        let headers = self.policy.offered.iter().map(header).collect();
        Answer { status: Status::UNAUTHORIZED, headers, failed: proven == Proven::Wrong }
    }
}

/// What a proof was worth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Proven {
    /// There was none.
    No,
    Wrong,
    /// It was right, and its nonce no good any more.
    Stale,
}

fn question(credentials: Credentials, to_path: &Path, rng: &mut impl RngCore) -> AuthAsked {
    let Credentials { username, realm, nonce, algorithm, cnonce, nc, response } = credentials;
    AuthAsked {
        request: rng.next_u64(),
        username,
        realm,
        algorithm: algorithm.as_str().to_owned(),
        nonce,
        nc,
        cnonce,
        // RFC 4976, 9.1: whatever a `uri` says, what counts is the rightmost URI of To-Path.
        uri: to_path.last().as_str().to_owned(),
        method: "AUTH".to_owned(),
        response,
    }
}

impl Granted {
    /// The 200 (RFC 4976, 6.3 and 9.1).
    pub fn answer(&self, use_path: &Path) -> Answer {
        let headers = vec![
            ("Use-Path", use_path.to_wire()),
            ("Authentication-Info", self.info.to_wire()),
            ("Expires", self.lifetime.as_secs().to_string()),
        ];
        Answer { status: Status::OK, headers, failed: false }
    }
}

impl Answer {
    /// A status without headers that is no fault of a password.
    pub fn plain(status: Status) -> Self {
        Self { status, headers: Vec::new(), failed: false }
    }

    fn failed(status: Status) -> Self {
        Self { failed: true, ..Self::plain(status) }
    }

    fn out_of_bounds(name: &'static str, secs: u64) -> Self {
        let headers = vec![(name, secs.to_string())];
        Self { headers, ..Self::plain(Status::OUT_OF_BOUNDS) }
    }

    /// The response to `head`, on its way back over all of From-Path.
    pub fn encode(&self, head: &Head) -> Option<Frame> {
        let headers: Vec<(&str, &str)> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Reply::new(head, self.status)?.headers(&headers).encode()
    }
}

/// The Use-Path of a client that came over these relays (RFC 4976, 4.2 and 5.1): its From-Path backwards without the
/// client itself, and then our URI.
pub fn use_path(from_path: &Path, own: msrp::Uri) -> Path {
    let before: Vec<msrp::Uri> = from_path.iter().rev().skip(1).cloned().collect();
    match before.split_first() {
        Some((first, rest)) => {
            Path::new(first.clone(), rest.iter().cloned().chain(Some(own)).collect())
        }
        None => Path::from(own),
    }
}

/// Nothing that could be used to log in shows.
impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Auth({:?}, {:?})", self.policy.realm, self.policy.offered)
    }
}

#[cfg(test)]
mod tests;
