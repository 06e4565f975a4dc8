//! What makes two requests the same transaction, or the same request by two ways. Ids are digests, so a peer's text
//! takes 16 octets here however long it is, and nobody can make two of them equal.
use sha2::{Digest, Sha256};

use crate::endpoint::FlowId;
use crate::header::{BadHeader, Headers, MAGIC_COOKIE, Name, Via};
use crate::message::{Method, Request};

/// A digest of what identifies something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Id([u8; 16]);

fn id(parts: &[&[u8]]) -> Id {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let mut id = [0; 16];
    id.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    Id(id)
}

/// The server transaction a request belongs to (17.2.3). ACK and CANCEL have that of their INVITE. The flow is part of
/// it: over a reliable transport a transaction stays on its connection, so nobody else can cancel or acknowledge it.
pub(crate) fn server_id(flow: FlowId, request: &Request, via: &Via) -> Result<Id, BadHeader> {
    let flow = flow.0.to_be_bytes();
    let method = match &request.method {
        Method::Ack | Method::Cancel => Method::Invite.as_str(),
        other => other.as_str(),
    };
    if via.has_unique_branch() {
        let branch = via.branch().unwrap_or_default().to_ascii_lowercase();
        let sent_by = via.sent_by().to_ascii_lowercase();
        return Ok(id(&[&flow, branch.as_bytes(), sent_by.as_bytes(), method.as_bytes()]));
    }
    // A client of RFC 2543: Request-URI, From tag, Call-ID, CSeq number and topmost Via. The To tag is left out, since
    // an ACK has it and its INVITE has not.
    let headers = &request.headers;
    let (from, cseq) = (headers.from()?, headers.cseq()?.number.to_be_bytes());
    let (uri, via) = (request.uri.to_string(), via.to_string());
    Ok(id(&[
        b"2543",
        &flow,
        method.as_bytes(),
        uri.as_bytes(),
        from.tag().unwrap_or_default().as_bytes(),
        headers.call_id()?.as_bytes(),
        &cseq,
        via.as_bytes(),
    ]))
}

/// What a request keeps on every way it may take: From tag, Call-ID and CSeq (8.2.2.2). An ACK has that of its INVITE.
pub(crate) fn request_id(request: &Request) -> Result<Id, BadHeader> {
    let headers = &request.headers;
    let cseq = headers.cseq()?;
    let method = if request.method == Method::Ack { Method::Invite } else { cseq.method };
    Ok(id(&[
        headers.from()?.tag().unwrap_or_default().as_bytes(),
        headers.call_id()?.as_bytes(),
        &cseq.number.to_be_bytes(),
        method.as_str().as_bytes(),
    ]))
}

/// A branch of ours: 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Branch(u128);

impl Branch {
    pub(crate) fn random(rng: &mut impl rand::RngCore) -> Self {
        Self(u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64()))
    }

    pub(crate) fn text(self) -> String {
        format!("{MAGIC_COOKIE}{:032x}", self.0)
    }

    /// The branch of ours in this Via, if it can be one.
    pub(crate) fn of(via: &Via) -> Option<Self> {
        let hex = via.branch()?.strip_prefix(MAGIC_COOKIE)?;
        let digits = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits.then(|| u128::from_str_radix(hex, 16).ok()).flatten().map(Self)
    }
}

/// Whether the To of a request has a tag: it claims to be inside a dialog.
pub(crate) fn to_tag(request: &Request) -> Option<String> {
    request.headers.to().ok()?.tag().map(str::to_owned)
}

/// Whether the values of a response's Vias are those a request of ours went out with: one, since we are no proxy
/// (8.1.3.3).
pub(crate) fn only_via(headers: &Headers) -> Option<Via> {
    let vias = headers.vias().ok()?;
    let mut vias = vias.into_iter();
    let via = vias.next()?;
    (vias.next().is_none() && headers.has(&Name::CSeq)).then_some(via)
}
