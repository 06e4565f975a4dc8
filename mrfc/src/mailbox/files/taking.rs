//! The messages of a session for somebody who is away. Each goes to a file without a name as it comes; whole, it is posted
//! like every message, a large one with its octets in the blob store; and only then its sender's last chunk is answered.
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use endpoint::Setup;
use endpoint::ends;
use endpoint::transfer::{Came, Messages, Sink, Sinks, Source as _};
use ids::Aor;
use msrp::{Item, MessageId, Status, cpim};
use service::clock;
use service::waiting::{sleep_until, write};
use sip::Headers;
use sip::header::Name;
use sip::sdp::Direction;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::arrivals::Connection;
use super::session::{SEALED, WRITE_OCTETS, now, on_a_thread};
use super::spool::Disk;
use super::{Answered, Asked, Files, NotTaken, Taken, place, session_name};
use crate::mailbox::letter::Letter;
use crate::mailbox::{Deposit, Large, Mailbox, NotStored, Waits};

/// A larger message is one that no SIP request should carry (RFC 3428, 8).
const SMALL_OCTETS: u64 = 1_300;
/// Nobody keeps a session with a mailbox for longer without saying anything.
const IDLE: Duration = Duration::from_secs(120);
/// What means nothing any more when it comes late (RFC 3994).
const MOMENTARY: &str = "application/im-iscomposing+xml";

/// Where the messages of a session go, and what goes along with each.
#[derive(Clone, Debug)]
pub(crate) struct Deposits {
    pub(crate) mailbox: Mailbox,
    /// Of the request that the session began with.
    pub(crate) headers: Headers,
    /// When their owner is given them.
    pub(crate) waits: Waits,
}

/// A session whose messages are kept.
struct Taking {
    files: Files,
    deposits: Deposits,
    setup: Setup,
    arriving: Arriving,
    _permit: OwnedSemaphorePermit,
}

/// Messages that are on their way, each for as long as its session has it.
#[derive(Clone, Default)]
struct Arriving(Arc<Mutex<HashMap<MessageId, Weak<File>>>>);

impl Arriving {
    fn sinks(&self, folder: PathBuf) -> Sinks {
        let files = Arc::clone(&self.0);
        Box::new(move |id| {
            let disk = Disk::unnamed(&folder, &session_name()).map_err(|error| {
                tracing::warn!(%error, "mailbox.files.arriving takes nothing");
                error.to_string()
            })?;
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            files.retain(|_, file| file.strong_count() > 0);
            files.insert(id, disk.watched());
            Ok(Box::new(disk) as Box<dyn Sink>)
        })
    }

    fn of(&self, id: MessageId) -> Option<Disk> {
        Disk::of(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&id)?)
    }
}

impl Files {
    /// Takes a call for messages, or says why not.
    pub(crate) async fn take_messages(
        &self,
        asked: Asked,
        deposits: Deposits,
    ) -> Result<Taken, NotTaken> {
        let Asked { caller, owner, offer } = asked;
        let terms = ends::waiting(offer.media())?;
        let permit = self.permit()?;
        deposits.mailbox.has_room((&caller, &owner)).await.map_err(|why| match why {
            NotStored::SenderFull => NotTaken::SenderLettersFull,
            NotStored::Disk => NotTaken::Disk,
            _ => NotTaken::Full,
        })?;
        let octets_max = self.0.settings.message_octets_max;
        let ours = (None, Direction::RecvOnly, octets_max);
        let Answered { setup, connected, answer } =
            self.answer((&caller, &owner), &offer, &terms, ours)?;
        let until = Some(clock::wall() + self.0.keep);
        let (hangup, hung_up) = oneshot::channel();
        let arriving = Arriving::default();
        let taking = Taking { files: self.clone(), deposits, setup, arriving, _permit: permit };
        tokio::spawn(taking.run(connected, hung_up));
        Ok(Taken { answer, until, hangup })
    }
}

/// What the task was waiting for and has come.
enum Happened {
    Over,
    Written(io::Result<()>),
    Item(Option<Result<Item, String>>),
    TimedOut,
}

impl Taking {
    async fn run(
        self,
        connected: oneshot::Receiver<Connection>,
        mut hung_up: oneshot::Receiver<()>,
    ) {
        if let Some(connection) = Connection::expected(connected, &mut hung_up).await {
            on_a_thread(move || self.converse(connection, hung_up)).await;
        }
    }

    async fn converse(self, mut connection: Connection, mut hung_up: oneshot::Receiver<()>) {
        let settings = &self.files.0.settings;
        let sinks = self.arriving.sinks(settings.arriving.clone());
        let (setup, max) = (self.setup.clone(), settings.message_octets_max);
        let mut messages = Messages::new(setup, max, sinks, &mut rand::rng());
        let (mut unwritten, mut unflushed) = (BytesMut::new(), false);
        let mut idle_until = clock::now() + IDLE;
        while !messages.is_over() {
            while let Some(came) = messages.whole() {
                let kept = self.keep(&came).await;
                messages.kept(&mut rand::rng(), came.id, kept);
                idle_until = clock::now() + IDLE;
            }
            while unwritten.len() < WRITE_OCTETS {
                let Some(frame) = messages.poll_frame() else { break };
                frame.slices().for_each(|slice| unwritten.extend_from_slice(slice));
            }
            let idle = messages.is_idle().then_some(idle_until);
            let due = idle.into_iter().chain(messages.next_timeout()).min();
            let Connection { items, writer } = &mut connection;
            let happened = tokio::select! {
                biased;
                _ = &mut hung_up => Happened::Over,
                written = write(writer, &mut unwritten, &mut unflushed), if unflushed || unwritten.has_remaining() => {
                    Happened::Written(written)
                }
                item = items.recv() => Happened::Item(item),
                () = sleep_until(due) => Happened::TimedOut,
            };
            match happened {
                Happened::Item(Some(Ok(item))) => {
                    messages.receive(now(), &mut rand::rng(), &item);
                }
                Happened::TimedOut if is_past(idle) => return,
                Happened::TimedOut => messages.timeout(now(), &mut rand::rng()),
                Happened::Written(Ok(())) => {}
                Happened::Over | Happened::Item(_) | Happened::Written(Err(_)) => return,
            }
        }
    }

    /// Answers when it is on disk.
    async fn keep(&self, came: &Came) -> Result<(), Status> {
        let disk = self.arriving.of(came.id).ok_or(Status::STOP_SENDING)?;
        let lost = |why: String| {
            tracing::warn!(%why, "a message could not be kept");
            Status::STOP_SENDING
        };
        let beginning = beginning(&disk, came).map_err(lost)?;
        let inside = kind_inside(came, &beginning);
        if inside.as_deref() == Some(MOMENTARY) {
            return Ok(());
        }
        let is_sealed = inside.is_some_and(|kind| SEALED.contains(&kind.as_str()));
        let blobs = &self.files.0.blobs;
        let large = match came.octets > SMALL_OCTETS {
            false => None,
            true => {
                let blob = session_name();
                let keys = (!is_sealed).then_some(&*self.files.0.keys);
                let (_hashes, octets) =
                    place::put(blobs, (&blob, keys), &mut disk.clone()).await.map_err(lost)?;
                if octets != came.octets {
                    return Err(lost("the disk gives back other octets".to_owned()));
                }
                Some(Large { blob, octets, locked: !is_sealed })
            }
        };
        let mut headers = self.deposits.headers.clone();
        headers.set(Name::ContentType, came.content_type.clone());
        let (author, owner): (Aor, Aor) = (self.setup.peer.clone(), self.setup.me.clone());
        let deposit = Deposit {
            owner: owner.clone(),
            letter: Letter { author, headers, body: beginning },
            // RFC 4975, 5.4: who sends it again, in another session, says so by the same name.
            call: format!("msrp {}", came.id),
            is_sealed,
            large: large.clone(),
        };
        let stored = self.deposits.mailbox.post(deposit, clock::wall()).await;
        if let Some(Large { blob, .. }) = large
            && !stored.as_ref().is_ok_and(|stored| stored.is_new)
            && let Err(error) = blobs.remove(&blob).await
        {
            tracing::debug!(%error, "a blob that is not needed stays for a day");
        }
        let stored = stored.map_err(|why| match why {
            NotStored::Stale | NotStored::Over => Status::BAD_REQUEST,
            NotStored::TooLarge | NotStored::Full | NotStored::SenderFull | NotStored::Disk => {
                Status::STOP_SENDING
            }
        })?;
        let here = (self.deposits.waits == Waits::ForComing).then_some(owner);
        self.deposits.mailbox.note_news(stored.told.into_iter().chain(here));
        Ok(())
    }
}

/// All of a small message; of a large one its headers (RFC 3862), if it has some.
fn beginning(disk: &Disk, came: &Came) -> Result<Bytes, String> {
    let octets = usize::try_from(came.octets).unwrap_or(usize::MAX);
    let read = disk.clone().read(0, octets.min(cpim::HEAD_OCTETS_MAX))?;
    if came.octets <= SMALL_OCTETS {
        return Ok(read);
    }
    let envelope = is_cpim(&came.content_type).then(|| cpim::parse(&read).ok().flatten()).flatten();
    Ok(envelope.map_or_else(Bytes::new, |envelope| read.slice(..envelope.octets().min(read.len()))))
}

/// The type of what is said, without its wrapper.
fn kind_inside(came: &Came, beginning: &Bytes) -> Option<String> {
    let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_lowercase();
    if !is_cpim(&came.content_type) {
        return Some(essence(&came.content_type));
    }
    let envelope = cpim::parse(beginning).ok().flatten()?;
    Some(essence(&String::from_utf8_lossy(envelope.content_type()?)))
}

fn is_cpim(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(cpim::MEDIA_TYPE)
}

fn is_past(due: Option<Instant>) -> bool {
    due.is_some_and(|due| due <= clock::now())
}
