//! Which session a connection is for: the first request says so, ours or the peer's (RFC 4975, 5.4). And that a request of the
//! peer's is answered once, however many pieces it comes in. What the requests say is looked at elsewhere.
use msrp::{Address, Chunk, Frame, Head, MessageId, Reply, SendRequest, Status, TransactionId};
use rand::CryptoRng;

use super::{First, NotBound, Setup};

/// A session's hold on its connection.
#[derive(Debug)]
pub struct Binding {
    first: First,
    /// The transaction of our first request, until it is answered.
    asked: Option<TransactionId>,
    bound: bool,
    /// The request of which we take no more.
    refused: Option<TransactionId>,
}

impl Binding {
    /// A session on its connection; and if we speak first, the frame that binds it.
    pub fn new(
        setup: &Setup,
        address: &Address,
        rng: &mut impl CryptoRng,
    ) -> (Self, Option<Frame>) {
        let bind = (setup.first == First::Us)
            .then(|| SendRequest::bodiless(MessageId::random(rng)).encode(rng));
        let asked = bind.as_ref().map(|bind| bind.transaction());
        let binding = Self { first: setup.first, asked, bound: false, refused: None };
        (binding, bind.map(|bind| bind.to(address)))
    }

    /// Nothing is sent before: the peer would not know what it is for.
    pub fn is_bound(&self) -> bool {
        self.bound
    }

    /// Whether this answers our first request.
    pub fn awaits(&self, response: &Head) -> bool {
        self.asked == Some(response.transaction())
    }

    /// Our first request was answered: what is to be told of it.
    pub fn answered(&mut self, response: &Head) -> Option<Result<(), NotBound>> {
        self.asked = None;
        let refused = response.status().filter(|status| !status.is_success());
        if std::mem::replace(&mut self.bound, refused.is_none()) {
            return None;
        }
        let refused = refused.map(|status| NotBound::Refused {
            status: status.code(),
            reason: response.comment().unwrap_or_default().to_owned(),
        });
        Some(refused.map_or(Ok(()), Err))
    }

    /// The peer asks for something: what is to be told if that binds the session.
    pub fn requested(&mut self) -> Option<Result<(), NotBound>> {
        let binds = !self.bound && self.first == First::Peer;
        self.bound |= binds;
        binds.then_some(Ok(()))
    }

    /// Whether this is more of a request that was refused.
    pub fn has_refused(&self, chunk: &Chunk) -> bool {
        self.refused == Some(chunk.head.transaction())
    }

    /// The answer to a request. A long chunk comes in pieces and is answered once: at its end, or where it is refused.
    pub fn reply(&mut self, chunk: &Chunk, status: Status) -> Option<Frame> {
        let (refused, ended) = (!status.is_success(), chunk.end.is_some());
        self.refused = (refused && !ended).then(|| chunk.head.transaction());
        let reply = Reply::new(&chunk.head, status).filter(|_| ended || refused);
        reply.and_then(|reply| reply.encode())
    }

    /// The session is over: what is to be told if it was never bound.
    pub fn end(&mut self, reason: &str) -> Option<Result<(), NotBound>> {
        let over = || Err(NotBound::Ended(reason.to_owned()));
        (!std::mem::replace(&mut self.bound, true)).then(over)
    }
}
