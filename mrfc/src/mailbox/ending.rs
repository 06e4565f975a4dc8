//! What ends: messages and files whose time is over. Their senders are told by letters of the mailbox's own, kept in the
//! transaction that ends what they tell of; so is who is told that a message waits, or that a device does not take it.
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use ids::Aor;
use sha2::{Digest as _, Sha256};
use sip::header::{Name, NameAddr};
use sip::{Headers, SipUri};
use store::{KeptFile, NewLetter};

use super::imdn::{self, About, Fate};
use super::letter::Letter;
use super::row::Kept;
use super::{Mailbox, stamp};

/// Messages and files whose time is over that are ended at once.
pub(super) const ENDED_AT_ONCE_MAX: u32 = 100;
/// How many sweeps it takes until what is gone is forgotten: an hour's, where one is made each second.
const SWEEPS_TO_FORGET: u64 = 3_600;

impl Mailbox {
    /// Ends what has waited too long. Who is told of it.
    pub(crate) async fn sweep(&self, now: SystemTime) -> Result<Vec<Aor>, store::Error> {
        if self.0.sweeps.fetch_add(1, Ordering::Relaxed).is_multiple_of(SWEEPS_TO_FORGET) {
            self.0.store.forget_letters(now).await?;
        }
        let mut told = self.end_letters(now).await?;
        self.remove_blobs().await?;
        told.extend(self.end_files(now).await?);
        told.iter().for_each(|told| self.note_owner(told));
        Ok(told)
    }

    async fn end_letters(&self, now: SystemTime) -> Result<Vec<Aor>, store::Error> {
        let over = self.0.store.expired_letters(now, ENDED_AT_ONCE_MAX).await?;
        if over.is_empty() {
            return Ok(Vec::new());
        }
        let mut ended = Vec::with_capacity(over.len());
        for kept in over {
            let notice = if kept.delivered || kept.told {
                None
            } else {
                self.0.metrics.mailbox("expired");
                let (owner, id) = (&kept.letter.owner, &kept.letter.message_id);
                self.opened(&kept.letter).and_then(|letter| {
                    self.notice((owner, &letter, id), Fate::Expired, kept.letter.accepted, now)
                })
            };
            ended.push((kept.number, notice));
        }
        let told = ended.iter().filter_map(|(_, notice)| Some(notice.as_ref()?.owner.clone()));
        let told = told.collect();
        self.0.store.end_letters(ended).await?;
        Ok(told)
    }

    /// The octets go before the row: so after a crash the row still names what is to go.
    async fn end_files(&self, now: SystemTime) -> Result<Vec<Aor>, store::Error> {
        let Some(files) = &self.0.files else { return Ok(Vec::new()) };
        let mut told = Vec::new();
        for file in self.0.store.expired_files(now, ENDED_AT_ONCE_MAX).await? {
            if let Err(error) = files.remove(&file.row.blob).await {
                tracing::warn!(%error, "a file whose time is over stays in the blob store");
                continue;
            }
            let notice = self.unfetched(&file, now);
            told.extend(notice.as_ref().map(|notice| notice.owner.clone()));
            self.0.store.end_file(file.number, notice).await?;
            if !file.fetched {
                self.0.metrics.mailbox("file_expired");
            }
        }
        Ok(told)
    }

    /// What its sender is told of a file that was not fetched; nothing of one that was kept for whoever would ask.
    fn unfetched(&self, file: &KeptFile, now: SystemTime) -> Option<NewLetter> {
        let row = &file.row;
        if file.fetched || row.sender == row.owner || !self.0.users.knows(&row.sender) {
            return None;
        }
        let written = stamp(row.accepted);
        let about = About {
            id: &row.transfer_id,
            author: &row.sender,
            owner: &row.owner,
            meant: row.owner.as_str(),
            written: &written,
        };
        let own_id = own_id(Fate::Unfetched, (&row.owner, &row.sender), &row.transfer_id)?;
        let names = (self.0.own.as_str(), own_id.as_str());
        let body = imdn::notification(about, Fate::Unfetched, names, &stamp(now));
        self.letter_to(&row.sender, body, now)
    }

    /// What a sender is told of a message, as a letter to the sender, if that is wanted and somebody of ours.
    pub(super) fn notice(
        &self,
        (owner, letter, id): (&Aor, &Letter, &str),
        fate: Fate,
        accepted: SystemTime,
        now: SystemTime,
    ) -> Option<NewLetter> {
        let wants = letter.wants();
        let wanted = match fate {
            Fate::Stored => wants.processing,
            Fate::Refused | Fate::Expired | Fate::Unfetched => wants.negative,
        };
        if !wanted || !self.0.users.knows(&letter.author) {
            return None;
        }
        let own_id = own_id(fate, (owner, &letter.author), id)?;
        let names = (self.0.own.as_str(), own_id.as_str());
        let body = imdn::about(letter, fate, names, (owner, &stamp(accepted)), &stamp(now))?;
        self.letter_to(&letter.author, body, now)
    }

    /// A letter of the mailbox's own.
    fn letter_to(&self, person: &Aor, body: Bytes, now: SystemTime) -> Option<NewLetter> {
        let mut headers = Headers::new();
        let address = |aor: &Aor| NameAddr::new(SipUri::from(aor)).to_string();
        headers.push(Name::From, address(&self.0.own));
        headers.push(Name::To, address(person));
        headers.push(Name::ContentType, msrp::cpim::MEDIA_TYPE);
        let notice = Letter { author: self.0.own.clone(), headers, body };
        let until = now + Duration::from_secs(self.0.settings.keep_secs);
        let kept = Kept {
            owner: person.clone(),
            id: notice.id(""),
            until,
            forget: until + Duration::from_secs(self.0.settings.replay_secs),
            is_sealed: false,
            large: None,
        };
        self.locked(kept, &notice, now)
    }
}

/// One of each kind about a message, however often it would be said (RFC 5438, 8).
fn own_id(fate: Fate, (owner, author): (&Aor, &Aor), id: &str) -> Option<String> {
    let digest = Sha256::digest(format!("{} {owner} {author} {id}", fate.kind()));
    Some(hex::encode(digest).get(..32)?.to_owned())
}
