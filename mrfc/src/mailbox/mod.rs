//! The mailbox for immediate messages: it keeps what could not be delivered, gives it to each device of its owner once,
//! and tells senders what became of it. It speaks no SIP (`front/deferral.rs` does) and decides for nobody whether a
//! message is to wait.
//!
//! A message comes by a SIP MESSAGE, or in a session ([`files`]). Its way: [`letter`] is the message and what it says of
//! itself · [`lock`] puts it under the mailbox's key, unless no server can read it anyway; of one that is large the octets
//! are in the blob store by then, and what is said of it here is its headers · the store keeps it, and answers when it is on disk · [`imdn`] is what its sender is told,
//! which is a letter in the sender's own mailbox, kept in the same transaction: so nothing that is owed is lost in a crash.
mod ending;
pub(crate) mod files;
pub(crate) mod imdn;
pub(crate) mod inspect;
mod large;
pub(crate) mod letter;
pub(crate) mod lock;
mod row;

use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use ids::Aor;
use store::{MailboxBounds, NewLetter, Posted, Settled, Store};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config;
use crate::metrics::Metrics;
use crate::users::Users;
use files::Files;
pub use files::NoFiles;
use imdn::Fate;
pub(crate) use large::{Large, Waits};
use letter::Letter;
pub use lock::BadKeys;
use lock::Keys;
use row::Kept;

/// The user part of who tells senders what became of their messages.
const NAME: &str = "mailbox";
/// Names that are known for each message that may wait.
const KNOWN_FACTOR: u32 = 10;

/// The mailbox. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Mailbox(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: config::Mailbox,
    own: Aor,
    store: Store,
    keys: Keys,
    users: Arc<Users>,
    metrics: Metrics,
    /// For whom there is anything. It only grows: it is as large as the users file at most.
    owners: RwLock<HashSet<Aor>>,
    sweeps: AtomicU64,
    files: Option<Files>,
    /// For whom a session has left something since the front last asked.
    news: Mutex<HashSet<Aor>>,
}

/// A message to be kept.
#[derive(Clone, Debug)]
pub(crate) struct Deposit {
    /// For whom.
    pub(crate) owner: Aor,
    /// What.
    pub(crate) letter: Letter,
    /// What the request is known by, where the message has no name.
    pub(crate) call: String,
    /// No server can read its body, so it is kept as it is.
    pub(crate) is_sealed: bool,
    /// Where its octets are, if they are too many for a row: then the body is its headers alone.
    pub(crate) large: Option<Large>,
}

/// It is on disk.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// Until when it waits.
    pub(crate) until: SystemTime,
    /// Who is told of it.
    pub(crate) told: Option<Aor>,
    /// It was not here before.
    pub(crate) is_new: bool,
}

/// Why a message is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotStored {
    /// It alone is larger than a mailbox.
    #[error("larger than a mailbox")]
    TooLarge,
    /// The mailbox is full.
    #[error("the mailbox is full")]
    Full,
    /// As many messages of this sender wait as may.
    #[error("the mailbox holds as many of your messages as it may")]
    SenderFull,
    /// It is older than anything that is still known: it may have been here before.
    #[error("too old to tell from a repetition")]
    Stale,
    /// Its time was over when it came.
    #[error("its time is over")]
    Over,
    /// The disk does not take it.
    #[error("not stored")]
    Disk,
}

/// A message for a device.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    /// Its number.
    pub(crate) number: i64,
    /// What to deliver.
    pub(crate) letter: Letter,
    /// When it came.
    pub(crate) accepted: SystemTime,
    /// Until when it would have waited.
    pub(crate) expires: SystemTime,
    /// Its sender's clock was wrong.
    pub(crate) skewed: bool,
    /// Where its octets are, if they are many: then it goes by a session.
    pub(crate) large: Option<Large>,
}

impl Mailbox {
    /// The mailbox of a configuration, if it has one.
    pub(crate) async fn of(
        config: &config::Config,
        (store, users, metrics): (&Store, &Arc<Users>, &Metrics),
    ) -> Result<Option<Self>, NoMailbox> {
        let Some(settings) = &config.mailbox else { return Ok(None) };
        let own = format!("sip:{NAME}@{}", config.domain).parse();
        let own: Aor = own.map_err(|_| NoMailbox::Domain)?;
        let files = match &settings.files {
            Some(files) => {
                let keys = Keys::read(&settings.key_file)?;
                Files::open_with(config, files, (store.clone(), keys, metrics.clone())).await?
            }
            None => None,
        };
        let works = (store.clone(), Arc::clone(users), metrics.clone());
        Self::open(settings, own, works, files).await.map(Some)
    }

    /// Where files are kept, if they are.
    pub(crate) fn files(&self) -> Option<&Files> {
        self.0.files.as_ref()
    }

    /// Opens it with what is in the store.
    async fn open(
        settings: &config::Mailbox,
        own: Aor,
        (store, users, metrics): (Store, Arc<Users>, Metrics),
        files: Option<Files>,
    ) -> Result<Self, NoMailbox> {
        let owners: HashSet<Aor> = store.mailbox_owners().await?.into_iter().collect();
        metrics.mailboxes.set(i64::try_from(owners.len()).unwrap_or(i64::MAX));
        Ok(Self(Arc::new(Inner {
            keys: Keys::read(&settings.key_file)?,
            settings: settings.clone(),
            own,
            store,
            users,
            metrics,
            owners: RwLock::new(owners),
            sweeps: AtomicU64::new(0),
            files,
            news: Mutex::default(),
        })))
    }

    /// Whether a message that all devices are too busy for is kept.
    pub(crate) fn takes_busy(&self) -> bool {
        self.0.settings.on_busy
    }

    /// Whether anything may wait for this person.
    pub(crate) fn has(&self, owner: &Aor) -> bool {
        self.0.owners.read().unwrap_or_else(PoisonError::into_inner).contains(owner)
    }

    /// Keeps a message. Answers when it is on disk, once or again.
    pub(crate) async fn post(
        &self,
        deposit: Deposit,
        now: SystemTime,
    ) -> Result<Stored, NotStored> {
        let posted = self.posted(deposit, now).await;
        let result = match &posted {
            Ok(Stored { is_new: true, .. }) => "stored",
            Ok(Stored { is_new: false, .. }) => "replayed",
            Err(NotStored::TooLarge) => "too_large",
            Err(NotStored::Full | NotStored::SenderFull) => "full",
            Err(NotStored::Stale) => "stale",
            Err(NotStored::Over) => "over",
            Err(NotStored::Disk) => "failed",
        };
        self.0.metrics.mailbox(result);
        posted
    }

    async fn posted(&self, deposit: Deposit, now: SystemTime) -> Result<Stored, NotStored> {
        let (settings, secs) = (&self.0.settings, Duration::from_secs);
        let Deposit { owner, letter, call, is_sealed, large } = deposit;
        let octets = u64::try_from(letter.body.len()).unwrap_or(u64::MAX);
        if octets > settings.octets_max {
            return Err(NotStored::TooLarge);
        }
        let written = letter.written();
        let window = secs(settings.replay_secs);
        if written.is_some_and(|written| apart(written, now) > window) {
            return Err(NotStored::Stale);
        }
        if self.is_skewed(written, now) {
            self.0.metrics.mailbox_skewed.inc();
        }
        let kept = now + secs(settings.keep_secs);
        let until = letter.wanted_until(now).map_or(kept, |wanted| wanted.min(kept));
        if until <= now {
            return Err(NotStored::Over);
        }
        let id = letter.id(&call);
        let notice = self.notice((&owner, &letter, &id), Fate::Stored, now, now);
        let told = notice.as_ref().map(|notice| notice.owner.clone());
        let new = Kept {
            owner: owner.clone(),
            id,
            until,
            // What claims to be of tomorrow could come again the day after.
            forget: written.unwrap_or(now).max(now).max(until) + window,
            is_sealed,
            large,
        };
        let new = self.locked(new, &letter, now).ok_or(NotStored::Disk)?;
        // Somebody who registers right now is to find it.
        self.note_owner(&owner);
        let posted = self.0.store.post(new, notice, self.bounds()).await;
        match posted.map_err(|error| failed(&error))? {
            Posted::Kept => {
                told.iter().for_each(|told| self.note_owner(told));
                Ok(Stored { until, told, is_new: true })
            }
            Posted::Known => Ok(Stored { until, told: None, is_new: false }),
            Posted::Full => Err(NotStored::Full),
            Posted::SenderFull => Err(NotStored::SenderFull),
        }
    }

    /// The oldest message that a device has not been given. What cannot be opened is passed over, and stays.
    pub(crate) async fn next(
        &self,
        owner: &Aor,
        device: &str,
        now: SystemTime,
    ) -> Result<Option<Ready>, NotFound> {
        let mut behind = 0;
        while let Some(kept) = self.0.store.next_letter(owner, device, behind, now).await? {
            behind = kept.number;
            let (accepted, expires) = (kept.letter.accepted, kept.letter.expires);
            let large = Large::of(&kept.letter);
            let letter = match self.is_there(large.as_ref()).await? {
                true => self.opened(&kept.letter),
                false => None,
            };
            let Some(letter) = letter else {
                self.0.metrics.mailbox("unreadable");
                tracing::warn!(
                    number = kept.number,
                    "a message in a mailbox does not open: is its key in mailbox.key_file, and what is large in [blobs]?"
                );
                continue;
            };
            let skewed = self.is_skewed(letter.written(), accepted);
            let number = kept.number;
            return Ok(Some(Ready { number, letter, accepted, expires, skewed, large }));
        }
        Ok(None)
    }

    /// A device has answered a message. Who is told of it, if anybody.
    pub(crate) async fn settle(
        &self,
        (owner, device): (&Aor, &str),
        ready: &Ready,
        settled: Settled,
        now: SystemTime,
    ) -> Result<Option<Aor>, store::Error> {
        let until = now + Duration::from_secs(self.0.settings.delivered_keep_secs);
        let notice = match settled {
            Settled::Taken => None,
            Settled::Refused => {
                let id = ready.letter.id("");
                self.notice((owner, &ready.letter, &id), Fate::Refused, ready.accepted, now)
            }
        };
        let told = notice.as_ref().map(|notice| notice.owner.clone());
        let which = (owner, device, ready.number);
        self.0.store.settle_letter(which, settled, (now, until), notice).await?;
        self.0.metrics.mailbox(match settled {
            Settled::Taken => "delivered",
            Settled::Refused => "refused",
        });
        told.iter().for_each(|told| self.note_owner(told));
        Ok(told)
    }

    fn note_owner(&self, owner: &Aor) {
        let mut owners = self.0.owners.write().unwrap_or_else(PoisonError::into_inner);
        owners.insert(owner.clone());
        self.0.metrics.mailboxes.set(i64::try_from(owners.len()).unwrap_or(i64::MAX));
    }

    fn is_skewed(&self, written: Option<SystemTime>, accepted: SystemTime) -> bool {
        let most = Duration::from_secs(self.0.settings.skew_secs);
        written.is_some_and(|written| apart(written, accepted) > most)
    }

    fn bounds(&self) -> MailboxBounds {
        let settings = &self.0.settings;
        MailboxBounds {
            letters_max: settings.letters_max,
            sender_letters_max: settings.sender_letters_max,
            octets_max: settings.octets_max,
            blob_octets_max: settings.files.as_ref().map_or(0, |files| files.octets_max),
            known_max: settings.letters_max.saturating_mul(KNOWN_FACTOR),
        }
    }

    fn locked(&self, kept: Kept, letter: &Letter, now: SystemTime) -> Option<NewLetter> {
        row::locked(&self.0.keys, kept, letter, now)
    }

    fn opened(&self, kept: &NewLetter) -> Option<Letter> {
        row::opened(&self.0.keys, kept)
    }
}

/// Why it is not known what waits.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotFound {
    /// The database does not tell.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The blob store does not.
    #[error(transparent)]
    Blobs(#[from] blobs::Error),
}

/// Why there is no mailbox.
#[derive(Debug, thiserror::Error)]
pub enum NoMailbox {
    /// Its keys are no good.
    #[error(transparent)]
    Keys(#[from] BadKeys),
    /// The store failed.
    #[error("the mailbox: {0}")]
    Store(#[from] store::Error),
    /// No files can be kept.
    #[error(transparent)]
    Files(#[from] NoFiles),
    /// It can have no address.
    #[error("the mailbox: the domain is no host name")]
    Domain,
}

/// Reads what its settings name, and opens nothing.
pub(crate) fn check(settings: &config::Mailbox) -> Result<(), NoMailbox> {
    Keys::read(&settings.key_file)?;
    Ok(())
}

fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|error| error.duration())
}

/// A time as RFC 3339 has it, in whole seconds.
pub(crate) fn stamp(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}

fn failed(error: &store::Error) -> NotStored {
    tracing::warn!(%error, "a message could not be kept");
    NotStored::Disk
}
