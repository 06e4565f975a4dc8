//! The mailbox as an end of MSRP sessions (RFC 4975), like a device: it takes files and messages that are sent to somebody
//! who is away, gives files to who asks for them (RFC 5547), and large messages to the devices of who they are for. It speaks
//! no SIP (`front/kept_calls.rs` and `front/late_calls.rs` do).
//!
//! A file's way: [`Files::open`] decides and describes our end · [`arrivals`] takes the connection and finds its session ·
//! [`session`] moves octets: in, to a file on this machine's disk ([`spool`]); whole and compared, from there into the blob
//! store ([`place`]) and the table, and only then the sender hears that it was kept · out, from the blob store in pieces.
//! Memory is a few MiB for each session, whatever the file.
//!
//! The messages of a session are taken by [`taking`] and posted like every other one; what is too large for a row has the
//! blob store as its body. [`delivering`] opens the session that a device gets it by.
//!
//! What no server can read lies there as it was sent; everything else is locked under the mailbox's key, piece by piece.
//! A file that somebody keeps in their own mailbox is for whoever names its SHA-256: that was told under a seal. Everything
//! else is for the owner of the mailbox alone.
mod arrivals;
mod delivering;
mod description;
mod place;
mod session;
mod spool;
mod sweep;
mod taking;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use blobs::Blobs;
use bytes::Bytes;
use endpoint::Setup;
use endpoint::ends::{self, Place};
use endpoint::transfer::{Hashes, Part};
use ids::Aor;
use rand::RngCore as _;
use service::clock;
use sip::sdp::{BadSdp, Direction, FileMedia, FileSelector, MsrpMedia, Offer, Origin};
use store::{FileBounds, KeptFile, Store};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::lock::Keys;
use crate::config;
use crate::metrics::Metrics;
use arrivals::{Arrivals, Connection};
pub(crate) use delivering::{Given, Offering};
use description::Described;
use session::{Session, Side, setup};
pub(crate) use taking::Deposits;

/// Octets around a file in its message: the wrapper.
const AROUND_OCTETS: u64 = 64 << 10;

/// The files of a mailbox. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Files(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: config::MailboxFiles,
    keep: Duration,
    delivered_keep: Duration,
    blobs: Blobs,
    store: Store,
    keys: Arc<Keys>,
    arrivals: Arrivals,
    sessions: Arc<Semaphore>,
    under_way: Mutex<HashMap<String, (Aor, u64)>>,
    metrics: Metrics,
}

/// Somebody calls a mailbox.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Who.
    pub(crate) caller: Aor,
    /// Whose mailbox.
    pub(crate) owner: Aor,
    /// What is offered or asked for.
    pub(crate) offer: Offer,
}

/// What a mailbox could do about an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Take a file, or give one.
    File,
    /// Take messages.
    Messages,
}

/// The mailbox takes the call.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Our end.
    pub(crate) answer: Bytes,
    /// Until when what comes is kept; `None` if something goes.
    pub(crate) until: Option<SystemTime>,
    /// Dropped, the session is over; it is closed when the session is.
    pub(crate) hangup: oneshot::Sender<()>,
}

/// Why it does not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotTaken {
    /// A mailbox has nothing to say: as if nobody were there.
    #[error("nobody is there")]
    Nobody,
    /// The description is no good.
    #[error("{0}")]
    Sdp(#[from] BadSdp),
    /// No file is that large.
    #[error("larger than is kept")]
    TooLarge,
    /// There is no room.
    #[error("the mailbox is full")]
    Full,
    /// As many files of this sender are there as may be.
    #[error("the mailbox holds as many of your files as it may")]
    SenderFull,
    /// It does not have these octets, or not what is before them.
    #[error("the file has no such octets here; begin at its beginning")]
    Range,
    /// There is no such file, or more than one.
    #[error("there is no such file, or more than one")]
    NoFile,
    /// It is kept, or on its way, already.
    #[error("this transfer was here before, or is under way")]
    Again,
    /// As many messages of this sender wait as may.
    #[error("the mailbox holds as many of your messages as it may")]
    SenderLettersFull,
    /// As many sessions as there may be.
    #[error("too many files come and go")]
    Busy,
    /// The disk or the database fails.
    #[error("not stored")]
    Disk,
}

/// A file that is under way, which no second session may bring.
#[derive(Debug)]
struct UnderWay(Arc<Inner>, String);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// What a session is to do.
struct Plan {
    side: Side,
    part: Part,
    file: FileMedia,
    under_way: Option<UnderWay>,
    until: Option<SystemTime>,
}

/// Our end of a session that we were called for.
struct Answered {
    setup: Setup,
    connected: oneshot::Receiver<Connection>,
    answer: Bytes,
}

impl Files {
    /// Opens the blob store and the listener.
    pub(crate) async fn open_with(
        config: &config::Config,
        settings: &config::MailboxFiles,
        (store, keys, metrics): (Store, Keys, Metrics),
    ) -> Result<Option<Self>, NoFiles> {
        let (Some(mailbox), Some(place)) = (&config.mailbox, &config.blobs) else {
            return Ok(None);
        };
        let blobs = place::open(place)?;
        blobs.check("check").await?;
        let arriving: &PathBuf = &settings.arriving;
        std::fs::create_dir_all(arriving).map_err(NoFiles::Arriving)?;
        let arrivals = Arrivals::open(settings).await?;
        let inner = Arc::new(Inner {
            keep: Duration::from_secs(mailbox.keep_secs),
            delivered_keep: Duration::from_secs(mailbox.delivered_keep_secs),
            sessions: Arc::new(Semaphore::new(settings.sessions_max)),
            settings: settings.clone(),
            blobs,
            store,
            keys: Arc::new(keys),
            arrivals,
            under_way: Mutex::default(),
            metrics,
        });
        sweep::begin(&inner);
        Ok(Some(Self(inner)))
    }

    /// What an offer wants of a mailbox, if that is anything it could do.
    pub(crate) fn wanted(offer: &Offer) -> Option<Wanted> {
        let media = offer.media();
        let file = media.file.as_deref().filter(|file| !file.is_capability());
        match (file, media.direction) {
            (Some(_), Direction::SendOnly | Direction::RecvOnly) => Some(Wanted::File),
            (None, Direction::SendOnly | Direction::SendRecv) => Some(Wanted::Messages),
            _ => None,
        }
    }

    /// Takes a call for a file, or says why not. What is offered has to come within half a minute.
    pub(crate) async fn open(&self, asked: Asked) -> Result<Taken, NotTaken> {
        let Asked { caller, owner, offer } = asked;
        let media = offer.media();
        let terms = ends::waiting(media)?;
        let permit = self.permit()?;
        let now = clock::wall();
        let plan = match (media.direction, media.file.as_deref()) {
            (Direction::SendOnly, Some(file)) => self.taking(&caller, &owner, file, now).await?,
            (Direction::RecvOnly, Some(file)) => self.giving(&caller, &owner, file, now).await?,
            _ => return Err(NotTaken::Nobody),
        };
        let octets_max = self.0.settings.file_octets_max.saturating_add(AROUND_OCTETS);
        let ours = (Some(plan.file), media.direction.reversed(), octets_max);
        let Answered { setup, connected, answer } =
            self.answer((&caller, &owner), &offer, &terms, ours)?;
        let (hangup, hung_up) = oneshot::channel();
        let session = Session {
            files: self.clone(),
            setup,
            side: plan.side,
            part: plan.part,
            _under_way: plan.under_way,
            _permit: permit,
        };
        tokio::spawn(session.run(connected, hung_up));
        Ok(Taken { answer, until: plan.until, hangup })
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit, NotTaken> {
        Arc::clone(&self.0.sessions).try_acquire_owned().map_err(|_| NotTaken::Busy)
    }

    /// Describes our end of a session that we are called for, and expects who called.
    fn answer(
        &self,
        (caller, owner): (&Aor, &Aor),
        offer: &Offer,
        terms: &sip::sdp::Terms,
        (file, direction, octets_max): (Option<FileMedia>, Direction, u64),
    ) -> Result<Answered, NotTaken> {
        let theirs = offer.media();
        let name = session_name();
        let ours = self.end(&name, (terms.setup, terms.cema), octets_max)?;
        let ours = MsrpMedia { file: file.map(Box::new), direction, ..ours };
        let known = theirs.identity()?.iter().map(ToString::to_string).collect::<Vec<_>>();
        let connected = self.0.arrivals.expect(&name, &known).ok_or(BadSdp::Fingerprint)?;
        let answer = offer.answer(&origin(&ours.address), &ours);
        let setup = setup((owner, caller), (ours, theirs.clone()), terms.anchored)?;
        Ok(Answered { setup, connected, answer })
    }

    fn end(
        &self,
        name: &str,
        (setup, cema): (sip::sdp::Setup, bool),
        message_octets_max: u64,
    ) -> Result<MsrpMedia, BadSdp> {
        let inner = &self.0;
        let (host, port) = inner.arrivals.advertised();
        let place = Place {
            address: host,
            port: Some(port),
            session: name,
            fingerprint: &inner.arrivals.fingerprint(),
            message_octets_max,
        };
        place.media(setup, cema)
    }

    /// A file that somebody sends.
    async fn taking(
        &self,
        caller: &Aor,
        owner: &Aor,
        file: &FileMedia,
        now: SystemTime,
    ) -> Result<Plan, NotTaken> {
        let inner = &self.0;
        let (selector, hashes) = (&file.selector, Hashes::of(&file.selector));
        // A person is told of a file by its key, which only a sealed one has.
        if selector.media_type.as_deref() != Some(mls::wire::SEALED_FILE) {
            return Err(NotTaken::Nobody);
        }
        let octets_max = inner.settings.file_octets_max;
        // What does not say its size could be any.
        let size = selector.size.unwrap_or(octets_max);
        if size > octets_max {
            return Err(NotTaken::TooLarge);
        }
        self.room(caller, owner, size, &file.transfer_id, now).await?;
        let of = match (hashes.sha256, hashes.sha1) {
            (Some(hash), _) => hex::encode(hash),
            (None, Some(hash)) => hex::encode(hash),
            (None, None) => file.transfer_id.clone(),
        };
        let under_way = self.under_way((caller, owner), &of, size)?;
        let range = file.range.map_or(Ok((0, size)), |range| range.of(size));
        let (start, octets) = range.map_err(|_| NotTaken::Range)?;
        // What is missing behind the part would never come.
        if start + octets != size || (start > 0 && hashes.is_empty()) {
            return Err(NotTaken::Range);
        }
        let spool = spool::Spool::open(&inner.settings.arriving, &under_way.1, start);
        let spool = spool.map_err(|why| match why {
            spool::NoSpool::Shorter => NotTaken::Range,
            spool::NoSpool::Disk(error) => failed(&error),
        })?;
        let until = now + inner.keep;
        let (owner, described) = (owner.clone(), Described::of(file, caller));
        let part = Part {
            media_type: selector.media_type.clone(),
            start,
            octets: selector.size.map(|_| octets),
            hashes,
            octets_max,
            ..Part::default()
        };
        let side = Side::Take { owner, described, spool, until };
        let file = file.mirrored();
        Ok(Plan { side, part, file, under_way: Some(under_way), until: Some(until) })
    }

    /// A file that somebody asks for.
    async fn giving(
        &self,
        caller: &Aor,
        owner: &Aor,
        file: &FileMedia,
        now: SystemTime,
    ) -> Result<Plan, NotTaken> {
        let inner = &self.0;
        let is_owner = caller == owner;
        let kept = inner.store.files_of(owner, now).await.map_err(|error| failed(&error))?;
        let asked = &file.selector;
        let named = asked.hash("sha-256").is_some();
        let fits = |kept: &KeptFile| {
            let described = self.described(kept)?;
            // Who knows the hash of what somebody keeps for others was told of it under a seal.
            let may = is_owner || (named && kept.row.sender == *owner);
            (may && described.selector(&kept.row).fits(asked)).then_some(described)
        };
        let mut found = kept.iter().filter_map(|kept| Some((kept, fits(kept)?)));
        let (Some((kept, described)), None) = (found.next(), found.next()) else {
            return Err(if is_owner { NotTaken::NoFile } else { NotTaken::Nobody });
        };
        let row = &kept.row;
        let range = file.range.map_or(Ok((0, row.octets)), |range| range.of(row.octets));
        let (start, octets) = range.map_err(|_| NotTaken::Range)?;
        let selector = described.selector(row);
        let part = Part {
            media_type: selector.media_type.clone(),
            start,
            octets: Some(octets),
            hashes: Hashes::of(&selector),
            octets_max: u64::MAX,
            disposition: Some(described.content_disposition(row.octets)),
            ..Part::default()
        };
        let ours = FileMedia { selector, ..file.mirrored() };
        let is_all = start + octets == row.octets;
        // What somebody keeps for others stays until its time is over.
        let settles = is_owner && is_all && row.sender != *owner;
        let side = Side::Give { kept: Box::new(kept.clone()), settles };
        Ok(Plan { side, part, file: ours, under_way: None, until: None })
    }

    /// Whether there may be room for so much.
    async fn room(
        &self,
        sender: &Aor,
        owner: &Aor,
        octets: u64,
        transfer: &str,
        now: SystemTime,
    ) -> Result<(), NotTaken> {
        let inner = &self.0;
        let kept = inner.store.files_of(owner, now).await.map_err(|error| failed(&error))?;
        let of_sender = || kept.iter().filter(|kept| kept.row.sender == *sender);
        if of_sender().any(|kept| kept.row.transfer_id == transfer) {
            return Err(NotTaken::Again);
        }
        let (under_way, coming) = self.coming_to(owner);
        let used: u64 = kept.iter().map(|kept| kept.row.octets).sum();
        let bounds = self.bounds();
        if kept.len() + under_way >= bounds.files_max as usize
            || used.saturating_add(coming).saturating_add(octets) > bounds.octets_max
        {
            return Err(NotTaken::Full);
        }
        if of_sender().count() >= bounds.sender_files_max as usize {
            return Err(NotTaken::SenderFull);
        }
        Ok(())
    }

    /// Files on their way to a person, and how many octets they may have.
    fn coming_to(&self, owner: &Aor) -> (usize, u64) {
        let under_way = self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        let to = under_way.values().filter(|(to, _)| to == owner);
        to.fold((0, 0), |(files, octets), (_, more)| (files + 1, octets + more))
    }

    fn under_way(
        &self,
        (sender, owner): (&Aor, &Aor),
        of: &str,
        octets: u64,
    ) -> Result<UnderWay, NotTaken> {
        use sha2::{Digest as _, Sha256};
        let name = hex::encode(Sha256::digest(format!("{owner}\n{sender}\n{of}")));
        let mut under_way = self.0.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.contains_key(&name) {
            return Err(NotTaken::Again);
        }
        under_way.insert(name.clone(), (owner.clone(), octets));
        Ok(UnderWay(Arc::clone(&self.0), name))
    }

    fn bounds(&self) -> FileBounds {
        let config::MailboxFiles { files_max, sender_files_max, octets_max, .. } = self.0.settings;
        FileBounds { files_max, sender_files_max, octets_max }
    }

    fn described(&self, kept: &KeptFile) -> Option<Described> {
        Described::open(&self.0.keys, &kept.row)
    }
}

/// Why no files are kept.
#[derive(Debug, thiserror::Error)]
pub enum NoFiles {
    /// The blob store does not work.
    #[error(transparent)]
    Blobs(#[from] blobs::Error),
    /// Nobody would know who asks.
    #[error("blobs.s3: {0}")]
    Credentials(String),
    /// There is nowhere for what is on its way.
    #[error("mailbox.files.arriving: {0}")]
    Arriving(std::io::Error),
    /// Nobody could come.
    #[error("mailbox.files.listen: {0}")]
    Listen(std::io::Error),
    /// No certificate can be made.
    #[error(transparent)]
    Tls(#[from] service::tls::TlsError),
}

/// A name that nobody guesses: in hexadecimal digits, for a session or a blob.
fn session_name() -> String {
    let mut random = [0; 16];
    rand::rng().fill_bytes(&mut random);
    hex::encode(random)
}

fn origin(address: &str) -> Origin {
    let since = clock::wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let username = String::from("-");
    Origin { username, session: since, version: since, address: address.to_owned() }
}

fn failed(error: &dyn std::error::Error) -> NotTaken {
    tracing::warn!(%error, "a file could not be kept");
    NotTaken::Disk
}

/// The selector of a file by all that is known of it.
fn selector(
    (name, media_type): (Option<String>, Option<String>),
    row: &store::FileRow,
) -> FileSelector {
    let hash = |algorithm, digits: &str| {
        let bytes = hex::decode(digits).unwrap_or_default();
        sip::sdp::FileHash::new(algorithm, &bytes)
    };
    let hashes = vec![hash("sha-1", &row.sha1), hash("sha-256", &row.sha256)];
    FileSelector { name, media_type, size: Some(row.octets), hashes }
}
