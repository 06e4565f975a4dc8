//! What names a dialog (RFC 3261, 12), and the random words that make the name ours.
use rand::RngCore;

use crate::header::{BadHeader, Name};
use crate::message::Request;

/// Call-ID, our tag and the peer's tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DialogId {
    /// Call-ID, compared byte by byte.
    pub call_id: Box<str>,
    /// Our tag.
    pub local_tag: Box<str>,
    /// The peer's tag.
    pub remote_tag: Box<str>,
}

impl DialogId {
    /// The dialog a request from the peer claims to be in; `None` if its To has no tag: it is in none.
    pub fn of_request(request: &Request) -> Option<Self> {
        let headers = &request.headers;
        let (from, to) = (headers.from().ok()?, headers.to().ok()?);
        let call_id = headers.call_id().ok()?.into();
        let (local_tag, remote_tag) = (to.tag()?.into(), from.tag().unwrap_or_default().into());
        Some(Self { call_id, local_tag, remote_tag })
    }

    /// The dialog that a request outside of it names to show that its sender knows it (RFC 4538, 4). One that does not
    /// name both tags names none.
    pub fn of_target(request: &Request) -> Option<Self> {
        let value = request.headers.only(&Name::TargetDialog).ok()?;
        let mut parts = value.split(';').map(str::trim);
        let call_id = parts.next().filter(|call_id| !call_id.is_empty())?.into();
        let (mut local_tag, mut remote_tag) = (None, None);
        for part in parts {
            let (name, value) = part.split_once('=')?;
            match name.trim().to_ascii_lowercase().as_str() {
                "local-tag" => local_tag = Some(value.trim().into()),
                "remote-tag" => remote_tag = Some(value.trim().into()),
                _ => {}
            }
        }
        Some(Self { call_id, local_tag: local_tag?, remote_tag: remote_tag? })
    }
}

/// A tag of ours for From or To: 64 random bits (19.3).
pub fn random_tag(rng: &mut impl RngCore) -> String {
    format!("{:016x}", rng.next_u64())
}

/// A Call-ID of ours: 128 random bits (8.1.1.4).
pub fn random_call_id(rng: &mut impl RngCore) -> String {
    format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64())
}

/// Why a request and a response make no dialog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDialog {
    /// The response has no To tag, or it is a failure or 100.
    #[error("the response makes no dialog")]
    NoDialog,
    /// Something a dialog needs is missing or broken. A request with this fault deserves 400.
    #[error(transparent)]
    Header(#[from] BadHeader),
}

impl BadDialog {
    /// Which header field is at fault.
    pub fn header(&self) -> Option<&Name> {
        match self {
            Self::NoDialog => None,
            Self::Header(bad) => Some(&bad.name),
        }
    }
}
