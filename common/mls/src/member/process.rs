//! What comes in, in the order of the stream.
use std::time::SystemTime;

use ids::Epoch;
use openmls::framing::errors::{MessageDecryptionError, SecretTreeError};
use openmls::prelude::tls_codec::Deserialize as _;
use openmls::prelude::{
    ContentType, MlsMessageIn, OpenMlsProvider as _, ProcessMessageError, ProcessedMessage,
    ProcessedMessageContent, Proposal, ProtocolMessage, QueuedProposal, Sender, StagedCommit,
    ValidationError,
};
use sha2::{Digest as _, Sha256};

use super::{AAD_VERSION, Committed, Member, MemberError, Opened, Processed};
use crate::change::{Change, Fault};
use crate::codec::Malformed;
use crate::group::{group_id, past_epochs};
use crate::identity::leaf_name;
use crate::roster::roster_after;

impl Member {
    /// Takes in one message of the group. `now` is when the log accepted it, or the present time.
    pub fn process(&mut self, bytes: &[u8], now: SystemTime) -> Result<Processed, MemberError> {
        if !self.group.is_active() {
            return Err(MemberError::Removed);
        }
        let message = MlsMessageIn::tls_deserialize_exact(bytes)
            .map_err(|_| Malformed("MLS message"))?
            .try_into_protocol_message()
            .map_err(|_| Malformed("MLS message"))?;
        if *message.group_id() != group_id(&self.conference, self.era) {
            return Err(MemberError::OtherGroup);
        }
        if let Some(early) = self.out_of_time(&message, bytes) {
            return Ok(early);
        }
        let epoch = Epoch(message.epoch().as_u64());
        let keyring = self.keyring.clone();
        let records = keyring.records();
        records.opening(self.group.group_id());
        let processed = self.group.process_message(self.keyring.provider(), message);
        records.done(self.group.group_id());
        let processed = processed.map_err(|error| unopened(&error, epoch))?;
        if let (ProcessedMessageContent::ApplicationMessage(_), Sender::Member(author)) =
            (processed.content(), processed.sender())
            && records.opened_of(self.group.group_id(), author.u32())
        {
            // If it cannot be written now, the next one is as good a time.
            let _settled = self.settle();
        }
        self.take(processed, now)
    }

    /// What needs no keys: messages of other epochs, and the fate of the own external commit.
    fn out_of_time(&mut self, message: &ProtocolMessage, bytes: &[u8]) -> Option<Processed> {
        let epoch = Epoch(message.epoch().as_u64());
        let content = message.content_type();
        if let Some(entering) = &self.entering
            && content == ContentType::Commit
            && epoch == entering.made_in
        {
            let own = entering.hash == <[u8; 32]>::from(Sha256::digest(bytes));
            return Some(if own { self.entered() } else { Processed::EntryLost });
        }
        // The epoch entered by the own external commit is still to come until the echo has come.
        if epoch > self.epoch() || (epoch == self.epoch() && self.entering.is_some()) {
            return Some(Processed::Future { epoch });
        }
        // What was said before we came is not for us, also where it is still relayed.
        if epoch < self.since {
            return Some(Processed::Stale { epoch });
        }
        let kept = match content {
            ContentType::Application => past_epochs(&self.conference) as u64,
            _ => 0,
        };
        let stale = self.epoch().0 - epoch.0 > kept;
        stale.then_some(Processed::Stale { epoch })
    }

    /// The own external commit came back: the focus has accepted it.
    fn entered(&mut self) -> Processed {
        let returning = self.entering.take().is_some_and(|entering| entering.returning);
        let removed = if returning { vec![self.me().clone()] } else { Vec::new() };
        self.keep();
        Processed::Commit(Committed {
            epoch: self.epoch(),
            by: self.me().clone(),
            added: vec![self.me().clone()],
            removed,
            own: true,
            removed_self: false,
            lost_own: false,
        })
    }

    fn take(
        &mut self,
        processed: ProcessedMessage,
        now: SystemTime,
    ) -> Result<Processed, MemberError> {
        let sender = processed.sender().clone();
        let epoch = Epoch(processed.epoch().as_u64());
        let aad = processed.aad().to_vec();
        let author = processed.credential().clone();
        match processed.into_content() {
            ProcessedMessageContent::ApplicationMessage(message) => {
                let from = leaf_name(&author).map_err(Fault::from)?;
                self.opened(from, epoch, &aad, message.into_bytes())
            }
            ProcessedMessageContent::StagedCommitMessage(staged) => {
                self.follow(*staged, &sender, now)
            }
            ProcessedMessageContent::OwnPendingCommit => self.own_commit(now),
            ProcessedMessageContent::OwnPrivateMessage => Ok(Processed::Own),
            ProcessedMessageContent::ProposalMessage(queued) => self.proposed(*queued),
            ProcessedMessageContent::ExternalJoinProposalMessage(_) => {
                Err(MemberError::ForbiddenProposal)
            }
        }
    }

    /// openmls opens messages of past epochs also when their author has been removed since; we do not.
    fn opened(
        &self,
        from: crate::wire::DeviceName,
        epoch: Epoch,
        aad: &[u8],
        plaintext: Vec<u8>,
    ) -> Result<Processed, MemberError> {
        if self.departed.get(&from).is_some_and(|gone| epoch < *gone) {
            return Err(MemberError::RemovedSender(from));
        }
        let Some((&AAD_VERSION, message_id)) = aad.split_first() else {
            return Err(Malformed("additional data").into());
        };
        let message_id =
            String::from_utf8(message_id.to_vec()).map_err(|_| Malformed("additional data"))?;
        Ok(Processed::Message(Opened { from, epoch, message_id, plaintext }))
    }

    /// Somebody else's commit.
    fn follow(
        &mut self,
        staged: StagedCommit,
        sender: &Sender,
        now: SystemTime,
    ) -> Result<Processed, MemberError> {
        let change = Change::of(&staged, sender, &self.roster, self.keyring.roots(), now)?;
        let removed_self = staged.self_removed();
        let lost_own = self.is_committing();
        self.group
            .merge_staged_commit(self.keyring.provider(), staged)
            .map_err(|_| MemberError::Failed("a new epoch"))?;
        self.moved(change, false, removed_self, lost_own)
    }

    /// The echo of the own commit.
    fn own_commit(&mut self, now: SystemTime) -> Result<Processed, MemberError> {
        let sender = Sender::Member(self.group.own_leaf_index());
        let staged = self.group.pending_commit().ok_or(MemberError::Unreadable)?;
        let change = Change::of(staged, &sender, &self.roster, self.keyring.roots(), now)?;
        self.group
            .merge_pending_commit(self.keyring.provider())
            .map_err(|_| MemberError::Failed("a new epoch"))?;
        self.moved(change, true, false, false)
    }

    /// Bookkeeping after a commit.
    fn moved(
        &mut self,
        change: Change,
        own: bool,
        removed_self: bool,
        lost_own: bool,
    ) -> Result<Processed, MemberError> {
        let removed = change.removed_names(&self.roster);
        let epoch = self.epoch();
        self.roster = roster_after(&self.roster, self.group.members())?;
        let past = past_epochs(&self.conference) as u64;
        self.departed.retain(|_, gone| gone.0 + past >= epoch.0);
        self.departed.extend(removed.iter().map(|name| (name.clone(), epoch)));
        if removed_self {
            self.unkeep();
        } else {
            self.keep();
        }
        Ok(Processed::Commit(Committed {
            epoch,
            by: change.by,
            added: change.added,
            removed,
            own,
            removed_self,
            lost_own,
        }))
    }

    /// Only the focus proposes, and only Removes.
    fn proposed(&mut self, queued: QueuedProposal) -> Result<Processed, MemberError> {
        let (Sender::External(_), Proposal::Remove(remove)) = (queued.sender(), queued.proposal())
        else {
            return Err(MemberError::ForbiddenProposal);
        };
        let index = remove.removed().u32();
        let name = self.roster.get(&index).ok_or(Fault::Invalid)?.name.clone();
        if self.pending_leaves().contains(&index) {
            return Ok(Processed::Remove(name));
        }
        self.group
            .store_pending_proposal(self.keyring.provider().storage(), queued)
            .map_err(|_| MemberError::Failed("a proposal"))?;
        Ok(Processed::Remove(name))
    }
}

/// Why a message was not opened, as far as it says something about keys. What is wrong with it otherwise says nothing.
fn unopened<E>(error: &ProcessMessageError<E>, epoch: Epoch) -> MemberError {
    let ProcessMessageError::ValidationError(ValidationError::UnableToDecrypt(
        MessageDecryptionError::SecretTreeError(error),
    )) = error
    else {
        return MemberError::Unreadable;
    };
    match error {
        SecretTreeError::SecretReuseError | SecretTreeError::TooDistantInThePast => {
            MemberError::Used { epoch }
        }
        SecretTreeError::TooDistantInTheFuture => MemberError::OutOfReach { epoch },
        _ => MemberError::Unreadable,
    }
}
