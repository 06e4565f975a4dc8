//! What one connection keeps for what passes through it (RFC 4976): what is coming in and where it goes, what waits for
//! the focus, and what is owed by its peer. It decides nothing.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use msrp::{Address, Frame, Head, MessageId, Path, TransactionId, Uri};

use super::proof::Proof;
use crate::auth::Question;
use crate::brake::Brake;
use crate::forward::{self, Ledger, Passed, Source};
use crate::transit::Flight;
use crate::transit::grants::{Hop, Next, Owner};

/// What a connection keeps for what passes through it.
#[derive(Default)]
pub(super) struct Through {
    /// The request whose end has not come yet; none to go: it was turned down.
    pub(super) arriving: Option<(TransactionId, Option<Arc<Course>>)>,
    /// Messages that have begun here and not ended, and where the rest of each begins.
    pub(super) open: VecDeque<(MessageId, Arc<Course>, u64)>,
    /// AUTH requests that the focus has not answered.
    pub(super) waiting: VecDeque<Waiting>,
    /// Somebody needs this connection to pass something through.
    pub(super) in_use: bool,
    /// Whom we dialled, if we opened this connection, and when it was last of use.
    pub(super) dialled: Option<(String, Instant)>,
    /// Wrong passwords so far.
    pub(super) failures: u32,
    /// What the peer's certificate has proved.
    pub(super) proof: Proof,
    /// What was passed on over this connection and has no answer.
    pub(super) ledger: Option<Ledger<Origin>>,
}

/// An AUTH without an answer yet.
pub(super) struct Waiting {
    pub(super) question: Box<Question>,
    pub(super) head: Arc<Head>,
    pub(super) owner: Owner,
    pub(super) until: Instant,
}

/// AUTH requests of one connection that wait; they are not pipelined (RFC 4976, 9.1).
pub(super) const WAITING_MAX: usize = 4;

/// Messages of one connection that have begun and not ended, of which the far side is told when the connection ends.
pub(super) const OPEN_MAX: usize = 64;

/// Where the pieces of one request go.
#[derive(Debug)]
pub(crate) struct Course {
    pub(super) next: Next,
    pub(super) address: Address,
    /// The first URI of From-Path behind us: to whom the next hop answers.
    pub(super) via: Uri,
    pub(super) source: Arc<Source<Origin>>,
}

impl Course {
    /// Who sends it.
    pub(super) fn sender(&self) -> &Path {
        &self.source.origin.sender
    }
}

/// Where a request came from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(super) hop: Hop,
    /// Its From-Path: many senders come over one connection of a relay.
    pub(super) sender: Arc<Path>,
    /// Its paths behind us.
    pub(super) address: Address,
    /// It is a relay that has proved its name.
    pub(super) relay: bool,
    /// A request that is answered by its far end: an AUTH, or one that nobody here knows.
    pub(super) head: Option<Arc<Head>>,
    /// Held as long as something is owed for the request.
    #[expect(dead_code, reason = "held, and counted by whoever has the others")]
    pub(super) flight: Flight,
}

impl forward::Origin for Origin {
    type Name = (Hop, Arc<Path>);

    fn name(&self) -> Self::Name {
        (self.hop, Arc::clone(&self.sender))
    }
}

/// A request, or piece of one, on its way to another connection.
#[derive(Debug)]
pub(crate) struct Passing {
    pub(super) frame: Frame,
    /// What is owed for it; nothing for a REPORT.
    pub(super) passed: Option<Passed<Origin>>,
    /// What waits for its receiver, if that is known.
    pub(super) brake: Option<Arc<Brake>>,
}

impl Passing {
    /// What it costs to keep.
    pub(crate) fn octets(&self) -> usize {
        self.frame.len()
    }

    /// It waits for this receiver from now on, and for no other. Where it waited before has so much less.
    pub(crate) fn wait_for(&mut self, brake: Option<Arc<Brake>>) {
        self.arrive();
        if let Some(brake) = &brake {
            brake.add(self.frame.len());
        }
        self.brake = brake;
    }

    /// It has come to its receiver, or is dropped.
    pub(crate) fn arrive(&mut self) {
        if let Some(brake) = self.brake.take() {
            brake.arrived(self.frame.len());
        }
    }
}

/// What comes back to the connection of a request.
#[derive(Debug)]
pub(crate) struct Returning {
    pub(super) frame: Frame,
    /// It says that a password was wrong.
    pub(super) failed: bool,
}
