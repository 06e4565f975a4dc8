//! Remove proposals of the focus (RFC 9420, 12.1.8: external senders): one for each leaf that has to go.
use std::sync::Arc;

use bytes::Bytes;
use ids::Aor;
use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::{
    ExternalProposal, LeafNodeIndex, MlsMessageIn, ProcessedMessageContent, SenderExtensionIndex,
};
use openmls_rust_crypto::{OpenMlsRustCrypto, RustCrypto};

use super::state::{Pending, State};
use super::{Fixed, Ledger, Refusal, snapshot};
use crate::identity::FocusKey;
use crate::roster::Leaf;
use crate::wire::DeviceName;

/// Who has to go.
#[derive(Clone, Copy, Debug)]
pub enum Whom<'a> {
    /// A person, with all devices.
    Person(&'a Aor),
    /// One device: it was lost, or its certificate has ended.
    Device(&'a DeviceName),
}

/// Removes that may be made pending. Only the ledger makes one.
pub struct CheckedRemoval {
    pub(super) fixed: Arc<Fixed>,
    pub(super) base: u64,
    pub(super) next: State,
}

impl std::fmt::Debug for CheckedRemoval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CheckedRemoval").field(&self.devices().collect::<Vec<_>>()).finish()
    }
}

impl CheckedRemoval {
    /// All devices with a pending Remove once this is applied.
    pub fn devices(&self) -> impl Iterator<Item = &DeviceName> {
        self.next.pending.iter().map(|p| &p.name)
    }

    /// The ledger as it will be, for the journal.
    pub fn snapshot(&self) -> Bytes {
        snapshot::write(&self.fixed, &self.next)
    }
}

impl Whom<'_> {
    fn names(self, name: &DeviceName) -> bool {
        match self {
            Self::Person(aor) => name.aor == *aor,
            Self::Device(device) => name == device,
        }
    }
}

pub(super) fn check(ledger: &Ledger, whom: Whom<'_>) -> Result<CheckedRemoval, Refusal> {
    let leaves: Vec<(u32, Leaf)> = ledger
        .state
        .leaves
        .iter()
        .filter(|(_, leaf)| whom.names(&leaf.name))
        .map(|(index, leaf)| (*index, leaf.clone()))
        .collect();
    if leaves.is_empty() {
        return Err(Refusal::NotAMember);
    }
    let mut next = ledger.state.copy()?;
    for (index, leaf) in leaves {
        propose(&mut next, &ledger.fixed.focus, index, leaf)?;
    }
    Ok(CheckedRemoval { fixed: Arc::clone(&ledger.fixed), base: ledger.state.revision, next })
}

/// Makes one Remove pending, unless it is already.
pub(super) fn propose(
    state: &mut State,
    focus: &FocusKey,
    index: u32,
    leaf: Leaf,
) -> Result<(), Refusal> {
    if state.pending.iter().any(|p| p.leaf == index) {
        return Ok(());
    }
    let invalid = |_| Refusal::Invalid;
    let proposal = ExternalProposal::new_remove::<OpenMlsRustCrypto>(
        LeafNodeIndex::new(index),
        state.group.group_id().clone(),
        state.group.group_context().epoch(),
        focus,
        SenderExtensionIndex::new(0),
    )
    .map_err(|_| Refusal::Invalid)?;
    let proposal: Bytes = proposal.to_bytes().map_err(|_| Refusal::Invalid)?.into();
    let message = MlsMessageIn::tls_deserialize_exact(&proposal).map_err(invalid)?;
    let message = message.try_into_protocol_message().map_err(|_| Refusal::Invalid)?;
    let processed = state
        .group
        .process_message(&RustCrypto::default(), message)
        .map_err(|_| Refusal::Invalid)?;
    let ProcessedMessageContent::ProposalMessage(queued) = processed.into_content() else {
        return Err(Refusal::Invalid);
    };
    state.group.add_proposal(&state.storage, *queued).map_err(|_| Refusal::Invalid)?;
    state.pending.push(Pending { leaf: index, key: leaf.key, name: leaf.name, proposal });
    Ok(())
}
