//! The task of a session for one file, or for a message that is delivered: it reads, writes, times out, and puts what has
//! come into the blob store before its sender hears that it was kept. It has a thread of its own, since it reads and writes
//! a disk.
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::{Buf as _, Bytes, BytesMut};
use endpoint::transfer::{Broken, Finished, Hashes, Output, Part, Transfer};
use endpoint::{First, Now, Setup, ends};
use ids::Aor;
use msrp::Item;
use service::clock;
use service::waiting::{sleep_until, write};
use sip::sdp::{BadSdp, MsrpMedia};
use store::{FileRow, Filed, KeptFile};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::arrivals::Connection;
use super::description::Described;
use super::place::{self, Kept};
use super::spool::Spool;
use super::{Files, UnderWay, session_name};
use crate::mailbox::Large;

/// Octets encoded ahead of the socket.
pub(super) const WRITE_OCTETS: usize = 256 << 10;
/// How long the other side may take to hang up once everything is said.
const FAREWELL: Duration = Duration::from_secs(5);
/// What no server can read is kept as it was sent.
pub(super) const SEALED: [&str; 2] = [mls::wire::SEALED_FILE, mls::wire::MLS];

/// What becomes of the octets.
pub(super) enum Side {
    /// They come, for somebody.
    Take { owner: Aor, described: Described, spool: Spool, until: SystemTime },
    /// They go, to who asks for them.
    Give { kept: Box<KeptFile>, settles: bool },
    /// They are a message, and go to a device of who it is for. What becomes of it is told.
    Deliver { large: Large, told: oneshot::Sender<Result<Finished, Broken>> },
}

/// A session that is described and has no connection.
pub(super) struct Session {
    pub(super) files: Files,
    pub(super) setup: Setup,
    pub(super) side: Side,
    pub(super) part: Part,
    pub(super) _under_way: Option<UnderWay>,
    pub(super) _permit: OwnedSemaphorePermit,
}

/// What the task was waiting for and has come.
enum Happened {
    HungUp,
    Written(io::Result<()>),
    Item(Option<Result<Item, String>>),
    TimedOut,
    WaitedLongEnough,
}

/// A session of the mailbox as `me` with a peer who comes to it.
pub(super) fn setup(
    (me, peer): (&Aor, &Aor),
    (ours, theirs): (MsrpMedia, MsrpMedia),
    by_session_id: bool,
) -> Result<Setup, BadSdp> {
    Ok(Setup {
        me: me.clone(),
        peer: peer.clone(),
        own: ends::path(&ours).map_err(|_| BadSdp::Path)?,
        to: ends::path(&theirs).map_err(|_| BadSdp::Path)?,
        ours,
        theirs,
        first: First::Peer,
        by_session_id,
        limits: endpoint::Limits::default(),
    })
}

/// Runs a session on a thread of its own, since it reads and writes a disk.
pub(super) async fn on_a_thread<F>(session: impl FnOnce() -> F + Send + 'static)
where
    F: Future<Output = ()>,
{
    let runtime = Handle::current();
    let over = tokio::task::spawn_blocking(move || runtime.block_on(session()));
    if let Err(error) = over.await {
        tracing::warn!(%error, "a session of the mailbox ended badly");
    }
}

impl Session {
    /// Runs until everything is said, or nobody comes.
    pub(super) async fn run(
        self,
        connected: oneshot::Receiver<Connection>,
        mut hung_up: oneshot::Receiver<()>,
    ) {
        let Some(connection) = Connection::expected(connected, &mut hung_up).await else {
            if let Side::Take { spool, .. } = &self.side {
                spool.leave(self.part.start, &self.part.hashes);
            }
            return;
        };
        on_a_thread(move || self.converse(connection, hung_up)).await;
    }

    async fn converse(self, connection: Connection, mut hung_up: oneshot::Receiver<()>) {
        let mut transfer = self.transfer(Handle::current());
        let over = self.exchange(&mut transfer, connection, &mut hung_up).await;
        self.settle(over, &transfer).await;
    }

    fn transfer(&self, runtime: Handle) -> Transfer {
        let (setup, part) = (self.setup.clone(), self.part.clone());
        let (blob, octets, locked) = match &self.side {
            Side::Take { spool, .. } => {
                let disk = Box::new(spool.disk());
                let mut transfer =
                    Transfer::receive_into(now(), setup, part, disk, &mut rand::rng());
                transfer.hold();
                return transfer;
            }
            Side::Give { kept, .. } => (&kept.row.blob, kept.row.octets, kept.row.locked),
            Side::Deliver { large, .. } => (&large.blob, large.octets, large.locked),
        };
        let inner = &self.files.0;
        let source = Kept {
            blobs: inner.blobs.clone(),
            name: blob.clone(),
            octets,
            keys: locked.then(|| Arc::clone(&inner.keys)),
            runtime,
            piece: (0, Bytes::new()),
        };
        Transfer::send(setup, part, Box::new(source), &mut rand::rng())
    }

    /// Moves octets until it is over; with what.
    async fn exchange(
        &self,
        transfer: &mut Transfer,
        mut connection: Connection,
        hung_up: &mut oneshot::Receiver<()>,
    ) -> Result<Finished, Broken> {
        let (mut unwritten, mut unflushed) = (BytesMut::new(), false);
        let mut over: Option<(Result<Finished, Broken>, Instant)> = None;
        loop {
            if transfer.held().is_some() {
                let kept = self.keep(transfer.media_type().map(str::to_owned)).await;
                transfer.kept(&mut rand::rng(), kept);
            }
            while unwritten.len() < WRITE_OCTETS {
                let Some(frame) = transfer.poll_frame(now(), &mut rand::rng()) else { break };
                frame.slices().for_each(|slice| unwritten.extend_from_slice(slice));
            }
            while let Some(output) = transfer.poll_output() {
                if let Output::Over(outcome) = output {
                    over = Some((outcome, clock::now() + FAREWELL));
                }
            }
            let said = unwritten.is_empty() && !unflushed;
            // RFC 5547, 8.7: who sent the file hangs up.
            if let Some((outcome, _)) = over.as_ref().filter(|_| said && !transfer.receives()) {
                return outcome.clone();
            }
            let until = over.as_ref().map(|(_, until)| *until);
            let due = transfer.next_timeout();
            let Connection { items, writer } = &mut connection;
            let happened = tokio::select! {
                biased;
                _ = &mut *hung_up => Happened::HungUp,
                written = write(writer, &mut unwritten, &mut unflushed), if unflushed || unwritten.has_remaining() => {
                    Happened::Written(written)
                }
                item = items.recv() => Happened::Item(item),
                () = sleep_until(until), if until.is_some() => Happened::WaitedLongEnough,
                () = sleep_until(due), if until.is_none() => Happened::TimedOut,
            };
            let why = match happened {
                Happened::Item(Some(Ok(item))) => {
                    transfer.receive(now(), &mut rand::rng(), &item);
                    continue;
                }
                Happened::TimedOut => {
                    transfer.timeout(now(), &mut rand::rng());
                    continue;
                }
                Happened::Written(Ok(())) => continue,
                Happened::WaitedLongEnough => String::from("it is over"),
                Happened::HungUp => String::from("the other side hung up"),
                Happened::Item(Some(Err(why))) => why,
                Happened::Item(None) => String::from("the connection ended"),
                Happened::Written(Err(error)) => error.to_string(),
            };
            return self.ended(transfer, over, &why);
        }
    }

    fn ended(
        &self,
        transfer: &mut Transfer,
        over: Option<(Result<Finished, Broken>, Instant)>,
        why: &str,
    ) -> Result<Finished, Broken> {
        if let Some((outcome, _)) = over {
            return outcome;
        }
        transfer.end(why);
        while let Some(output) = transfer.poll_output() {
            if let Output::Over(outcome) = output {
                return outcome;
            }
        }
        Err(Broken::Ended(why.to_owned()))
    }

    /// What has come goes into the blob store, and then into the table: from then on it is kept.
    async fn keep(&self, media_type: Option<String>) -> Result<(), String> {
        let Side::Take { owner, described, spool, until } = &self.side else {
            return Err("nothing comes here".to_owned());
        };
        let inner = &self.files.0;
        let mut described = described.clone();
        described.media_type = described.media_type.or(media_type);
        let essence = described.media_type.as_deref().unwrap_or_default();
        let essence = essence.split(';').next().unwrap_or_default().trim();
        let locked = !SEALED.contains(&essence);
        let blob = session_name();
        let mut disk = spool.disk();
        let keys = locked.then_some(&*inner.keys);
        let put = place::put(&inner.blobs, (&blob, keys), &mut disk).await;
        let filed = match put {
            Ok((found, octets)) if agrees(&self.part.hashes, &found) => {
                let digits = |hash: Option<&[u8]>| hex::encode(hash.unwrap_or_default());
                let head = described.lock(&inner.keys, &blob).map_err(|why| why.to_string())?;
                let row = FileRow {
                    owner: owner.clone(),
                    sender: self.setup.peer.clone(),
                    transfer_id: described.transfer_id.clone(),
                    blob: blob.clone(),
                    octets,
                    sha256: digits(found.sha256.as_ref().map(|hash| &hash[..])),
                    sha1: digits(found.sha1.as_ref().map(|hash| &hash[..])),
                    locked,
                    head,
                    accepted: clock::wall(),
                    expires: *until,
                };
                let kept = inner.store.keep_file(row, self.files.bounds()).await;
                kept.map_err(|error| error.to_string())
            }
            Ok(_) => Err("the disk gives back other octets".to_owned()),
            Err(why) => Err(why),
        };
        if !matches!(filed, Ok(Filed::Kept))
            && let Err(error) = inner.blobs.remove(&blob).await
        {
            tracing::debug!(%error, "a blob that is not needed stays for a day");
        }
        match filed {
            Ok(Filed::Kept) => {
                inner.metrics.mailbox("file_stored");
                Ok(())
            }
            Ok(Filed::Known) => Ok(()),
            Ok(Filed::Full | Filed::SenderFull) => Err("the mailbox is full".to_owned()),
            Err(why) => {
                tracing::warn!(%why, "a file could not be kept");
                Err("not stored".to_owned())
            }
        }
    }

    async fn settle(self, over: Result<Finished, Broken>, transfer: &Transfer) {
        let inner = &self.files.0;
        match (self.side, over) {
            (Side::Take { spool, .. }, Ok(_)) => spool.remove(),
            (Side::Take { spool, .. }, Err(why)) => {
                tracing::debug!(%why, "a file was not taken");
                inner.metrics.mailbox("file_broken");
                let here = match why {
                    Broken::Other(_) | Broken::Long | Broken::Short | Broken::Malformed(_) => 0,
                    _ => self.part.start + transfer.progress().octets,
                };
                spool.leave(here, &self.part.hashes);
            }
            (Side::Give { kept, settles }, Ok(_)) => {
                inner.metrics.mailbox("file_fetched");
                let now = clock::wall();
                let until = now + inner.delivered_keep;
                if settles
                    && let Err(error) = inner.store.file_fetched(kept.number, now, until).await
                {
                    tracing::warn!(%error, "a file that was fetched stays for its whole time");
                }
            }
            (Side::Give { .. }, Err(why)) => tracing::debug!(%why, "a file was not given"),
            // Whoever waited for it may have stopped.
            (Side::Deliver { told, .. }, over) => drop(told.send(over)),
        }
    }
}

/// Whether what was read again is what was said.
fn agrees(said: &Hashes, found: &Hashes) -> bool {
    (said.sha1.is_none() || said.sha1 == found.sha1)
        && (said.sha256.is_none() || said.sha256 == found.sha256)
}

pub(super) fn now() -> Now {
    Now { instant: clock::now(), wall: clock::wall() }
}
