//! What arrives for a circle: opened once, checked against what is written on it, told, and acknowledged under the same
//! seal if its author wants to know.
use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ids::{Aor, ConferenceId};
use mls::circle::{CircleMember, group_of};
use mls::files::FileDescription;
use mls::member::{MemberError, Opened, Processed};
use mls::wire;
use sha2::{Digest as _, Sha256};
use sip::multipart::Part;
use tokio::sync::mpsc;

use super::Coming;
use super::circle::{Command, TRIES, Task, fresh_id};
use super::keys::Until;
use crate::conference::Telling;
use crate::event::{Announced, Error, Event};
use crate::phone::{Arrived, Late};
use crate::session::kept::Kept;
use crate::session::parcel::{Inside, Letter, Marks, Parcel, Place, Receipt, Wording};
use crate::session::untold::Untold;
use crate::session::{Pair, Whisper};

/// Sealed messages remembered as opened.
const OPENED_MAX: usize = 4096;
/// After this time without anything out of the mailbox it is empty.
const QUIET: Duration = Duration::from_secs(2);
/// How often something is tried that cannot be opened for now: for some minutes, and then at the next start.
const FOR_NOW_TRIES: u32 = 9;
/// Before it is tried again, and twice as long each time.
const FOR_NOW_PAUSE: Duration = Duration::from_secs(1);
/// What receipts are remembered as, by what they are about. No message has such a name.
const RECEIPT_OF: &str = "receipt of ";

/// Why something sealed is not read.
pub(super) struct Closed {
    /// For a person.
    why: String,
    how: How,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// It cannot be opened, now or ever.
    ForGood,
    /// Its key was used: it was opened before.
    Before,
    /// Something else was not there that is needed for it.
    ForNow,
}

impl From<Cow<'static, str>> for Closed {
    fn from(why: Cow<'static, str>) -> Self {
        Self::from(&*why)
    }
}

impl From<&str> for Closed {
    fn from(why: &str) -> Self {
        Self { why: why.to_owned(), how: How::ForGood }
    }
}

/// What was in a parcel.
enum Found {
    /// Words, kept until they are told; and whether their author wants to know that they arrived.
    Letter(Letter, Kept, bool),
    Receipt(Receipt),
    /// What was here before.
    Again,
}

/// What came of trying to open something.
enum Step<T> {
    Done(Result<Option<T>, Closed>),
    /// Its epoch has not come here.
    Behind,
}

impl Task {
    pub(super) async fn arrived(&mut self, from: Aor, parcel: Parcel, mut coming: Coming) {
        if self.opened.has(&parcel.sealed) {
            return coming.done();
        }
        let late = coming.late.take();
        self.late_at = late.map(|_| service::clock::now()).or(self.late_at);
        let found = self.open_parcel(&from, &parcel, late).await;
        // What was opened and how far the keys are is one transaction, and on the disk before what came is forgotten.
        if !self.keep().await {
            return;
        }
        self.tell_split().await;
        match found {
            Ok(Some(Found::Letter(letter, kept, receipt))) => {
                coming.done();
                self.show(letter, kept, receipt).await;
            }
            Ok(Some(Found::Receipt(receipt))) => {
                self.tools.tell(Arrived::Receipt(receipt)).await;
                coming.done();
            }
            // What this device has sealed itself, before it was started anew.
            Ok(Some(Found::Again) | None) => coming.done(),
            // It was read before this device was started anew, and comes once more: it opens once only.
            Err(_closed) if self.is_known(&from, &parcel) => coming.done(),
            Err(closed) if closed.how == How::Before && coming.again => coming.done(),
            Err(closed) if closed.how == How::ForNow && coming.tries < FOR_NOW_TRIES => {
                coming.late = late;
                self.arrived_later(from, parcel, coming);
            }
            Err(closed) => {
                if closed.how != How::ForNow {
                    coming.done();
                }
                self.tools.tell(Arrived::Unreadable { from, why: closed.why }).await;
            }
        }
    }

    /// The server that has the log is away, or comes back more slowly than what it has kept for this device: this is tried
    /// again, for what waits until the next start may be too late by then.
    fn arrived_later(&self, from: Aor, parcel: Parcel, mut coming: Coming) {
        let (own, parcel) = (self.own.clone(), Box::new(parcel));
        let pause = FOR_NOW_PAUSE * (1 << coming.tries);
        coming.tries += 1;
        tokio::spawn(async move {
            tokio::time::sleep(pause).await;
            ask(&own, Command::Arrived { from, parcel, coming }).await;
        });
    }

    fn is_known(&self, from: &Aor, parcel: &Parcel) -> bool {
        parcel.outer.imdn_message_id().is_some_and(|id| self.seen.has(from, &id))
    }

    async fn open_parcel(
        &mut self,
        from: &Aor,
        parcel: &Parcel,
        late: Option<Late>,
    ) -> Result<Option<Found>, Closed> {
        if self.member.is_none()
            && let Some(founding) = &parcel.founding
        {
            // A founding that comes once more takes nothing from who has kept its keys.
            self.circle = Some(founding.people.clone());
            self.resume();
        }
        let passing = |error: Error| Closed { why: error.to_string(), how: How::ForNow };
        self.order_founding().await.map_err(passing)?;
        if self.member.is_none()
            && let Some(founding) = &parcel.founding
            && let Some(welcome) = founding.welcome_for(self.tools.keyring.device())
        {
            let now = service::clock::wall();
            match CircleMember::join(&self.tools.keyring, &founding.people, &welcome, now) {
                Ok(member) => {
                    (self.member, self.circle) = (Some(member), Some(founding.people.clone()));
                }
                Err(error) => tracing::debug!(%error, "a founding does not open"),
            }
        }
        let found = |task: &mut Self, opened: Opened| {
            if opened.from.aor != *from {
                return Err("it was sealed by somebody else than who sent it".into());
            }
            let circle = task.circle.as_ref().ok_or("it is not known whose circle it is")?;
            let place = Place { circle, room: None };
            let (inside, split) = place.check(&parcel.outer, opened, &mut task.witness)?;
            task.split = split.map(|epoch| (from.clone(), epoch));
            Ok(task.note(inside, late))
        };
        self.open(&parcel.sealed, found).await
    }

    /// Notes what was inside, together with how far the keys are.
    fn note(&mut self, inside: Inside, late: Option<Late>) -> Found {
        match inside {
            Inside::Letter(letter, receipt) => {
                if !self.seen.note(&letter.message.from, &letter.message.id) {
                    return Found::Again;
                }
                let kept = self.untold.keep(&letter.message);
                Found::Letter(Letter { late, ..letter }, kept, receipt)
            }
            // Told once for each person, whichever of their devices says it first.
            Inside::Receipt(receipt) => {
                let name = format!("{RECEIPT_OF}{}", receipt.of);
                let new = receipt.by != *self.tools.me() && self.seen.note(&receipt.by, &name);
                if new { Found::Receipt(receipt) } else { Found::Again }
            }
        }
    }

    /// Opens a sealed message, after following the circle to its epoch if that is ahead. None if it is our own.
    async fn open<T>(
        &mut self,
        sealed: &Bytes,
        found: impl Fn(&mut Self, Opened) -> Result<T, Closed>,
    ) -> Result<Option<T>, Closed> {
        let (_, era, epoch) = group_of(sealed).ok_or("it is no sealed message")?;
        // What waits is read in its order, each in its own epoch: an epoch that is long over nobody goes back to.
        let until = Until::Epoch(era, epoch);
        if let Step::Done(opened) = self.open_now(sealed, &found) {
            return opened;
        }
        let begun = self.catch_up(until).await;
        let passing = |error: Error| Closed { why: error.to_string(), how: How::ForNow };
        if !begun.map_err(passing)? {
            return Err("there is no such circle".into());
        }
        match self.open_now(sealed, &found) {
            Step::Done(opened) => opened,
            Step::Behind => Err("it was sealed before this device held the key".into()),
        }
    }

    /// One transaction, whoever else writes meanwhile.
    fn open_now<T>(
        &mut self,
        sealed: &Bytes,
        found: &impl Fn(&mut Self, Opened) -> Result<T, Closed>,
    ) -> Step<T> {
        let tools = Arc::clone(&self.tools);
        let _unit = tools.keyring.records().unit();
        let now = service::clock::wall();
        Step::Done(match self.member.as_mut().map(|member| member.process(sealed, now)) {
            Some(Ok(Processed::Message(opened))) => {
                self.opened.note(sealed);
                self.witness();
                found(self, opened).map(Some)
            }
            Some(Ok(Processed::Own)) => Ok(None),
            None | Some(Ok(Processed::Future { .. })) => return Step::Behind,
            Some(Err(error)) => {
                if let MemberError::OutOfReach { epoch } = error {
                    self.freshness.out_of_reach(epoch);
                }
                let before = matches!(error, MemberError::Used { .. });
                let how = if before { How::Before } else { How::ForGood };
                Err(Closed { why: error.to_string(), how })
            }
            Some(Ok(_)) => Err("it was sealed before this device held the key".into()),
        })
    }

    /// Tells what was opened, behind what was opened before. What nobody listens to waits.
    async fn show(&mut self, letter: Letter, kept: Kept, receipt: bool) {
        let (author, id) = (letter.message.from.clone(), letter.message.id.clone());
        let (message, is_late) = (letter.message.clone(), letter.late.is_some());
        self.tell_untold().await;
        if let Some(Arrived::Letter(_, kept) | Arrived::Announced(_, kept)) =
            self.tools.tell(told(letter, kept)).await
        {
            return self.waiting.push_back((message, kept));
        }
        // A person's own other device wrote it: they know that it has arrived.
        if receipt && author != *self.tools.me() {
            match is_late {
                true => self.acknowledge_later(author, id, 1),
                false => self.acknowledge(author, id, 0).await,
            }
        }
    }

    /// Whether the mailbox may have more. What it has is read in its order, each under the key of its epoch, and who goes to
    /// the present one before that has some of those keys no more.
    pub(super) fn is_reading(&self) -> bool {
        let now = service::clock::now();
        self.late_at.is_some_and(|at| now.saturating_duration_since(at) < QUIET)
    }

    /// Tells the author when what has waited is read.
    fn acknowledge_later(&self, author: Aor, of: String, tries: usize) {
        let own = self.own.clone();
        tokio::spawn(async move {
            tokio::time::sleep(QUIET).await;
            ask(&own, Command::Acknowledge { author, of, tries }).await;
        });
    }

    async fn keep(&self) -> bool {
        let kept = self.tools.keep().await;
        if let Err(error) = &kept {
            tracing::warn!(%error, "what was read is not kept");
        }
        kept.is_ok()
    }

    /// Tells what was opened before and never told: the device was stopped in between, or nobody listened.
    pub(super) async fn tell_untold(&mut self) {
        let Some(circle) = self.circle.clone() else { return };
        while let Some((message, kept)) = self.waiting.pop_front() {
            let people = circle.people().cloned().collect();
            let letter = Letter { message: message.clone(), people, late: None };
            if let Some(Arrived::Letter(_, kept) | Arrived::Announced(_, kept)) =
                self.tools.tell(told(letter, kept)).await
            {
                return self.waiting.push_front((message, kept));
            }
        }
    }

    /// Tells the author that it has arrived, sealed, without waiting for them: they may be away.
    pub(super) async fn acknowledge(&mut self, author: Aor, of: String, tries: usize) {
        let Some(circle) = self.circle.clone().filter(|_| tries < TRIES) else { return };
        if tries > 0 && self.is_reading() {
            return self.acknowledge_later(author, of, tries);
        }
        if tries > 0
            && let Err(error) = self.catch_up(Until::Now).await
        {
            tracing::debug!(%error, "a receipt was not sent");
            return;
        }
        let (id, me) = (fresh_id(), self.tools.me().clone());
        let date_time = crate::date_time(service::clock::wall());
        let place = Place { circle: &circle, room: None };
        let seen = self.witness.told();
        let marks = Marks { id: &id, date_time: &date_time, seen: &seen };
        let words = place.receipt(&me, marks, &of);
        let sealed = match self.seal(&words).await {
            Ok(Some(sealed)) => sealed,
            // The circle had to change first.
            Ok(None) => return self.again(Command::Acknowledge { author, of, tries: tries + 1 }),
            Err(_) => return,
        };
        let to = [author];
        let parts = words.parts((&me, &to), None, sealed);
        let [author] = to.clone();
        self.post((to, parts), Command::Acknowledge { author, of, tries: tries + 1 });
    }

    /// Lets the own other devices read what was written, sealed once more where the circle has changed meanwhile. Nobody
    /// waits for it: they may be away.
    pub(super) async fn copy(&mut self, words: Wording, tries: usize) {
        if tries > 0
            && let Err(error) = self.catch_up(Until::Now).await
        {
            tracing::debug!(%error, "the own devices have no copy");
            return;
        }
        let (Some(circle), true) = (&self.circle, tries < TRIES && self.is_on_other_devices())
        else {
            return;
        };
        let (me, to) = (self.tools.me().clone(), circle.others(self.tools.me()));
        let sealed = match self.seal(&words).await {
            Ok(Some(sealed)) => sealed,
            Ok(None) => return self.again(Command::Copy { words, tries: tries + 1 }),
            Err(_) => return,
        };
        let parts = words.parts((&me, &to), None, sealed);
        self.post(([me], parts), Command::Copy { words, tries: tries + 1 });
    }

    /// Sends to one person what nobody waits for; `again` where the circle has changed meanwhile.
    fn post(&self, (to, parts): ([Aor; 1], Vec<Part>), again: Command) {
        let (tools, own) = (Arc::clone(&self.tools), self.own.clone());
        tokio::spawn(async move {
            match tools.phone.parcel(&to, parts, &tools.departures).await {
                Err(Error::Refused { status: 412, .. }) => ask(&own, again).await,
                Err(error) => tracing::debug!(%error, "a receipt or a copy was not sent"),
                Ok(_taken) => {}
            }
        });
    }

    /// Does this behind what waits already.
    fn again(&self, command: Command) {
        let own = self.own.clone();
        tokio::spawn(async move { ask(&own, command).await });
    }

    fn is_on_other_devices(&self) -> bool {
        let me = self.tools.keyring.device();
        self.member.as_ref().is_some_and(|member| {
            let mut devices = member.group().roster();
            devices.any(|device| device.aor == me.aor && device.device != me.device)
        })
    }

    /// The number to compare with somebody in this circle.
    pub(super) async fn number(&mut self, with: &Aor) -> Result<Pair, Error> {
        self.resume();
        let begun = self.catch_up(Until::Now).await? || self.member.is_some();
        let member = self.member.as_ref().filter(|_| begun);
        let member = member.ok_or_else(|| Error::NoKeys(with.clone()))?.group();
        let number = member.pair_number(with).ok_or_else(|| Error::NoKeys(with.clone()))?;
        let devices = member.roster().filter(|device| device.aor == *with).count();
        Ok(Pair { number, devices, verified: self.tools.pins.is_verified(with) })
    }

    /// Something that was said in private in a room, as an event there. Nothing if it was said before.
    pub(super) async fn said(&mut self, room: &ConferenceId, whisper: Whisper) -> Option<Telling> {
        let Whisper { outer, sealed, kept: came } = whisper;
        if self.opened.has(&sealed) {
            came.done();
            return None;
        }
        let found = |task: &mut Self, opened: Opened| {
            let circle = task.circle.as_ref().ok_or("it is not known whose circle it is")?;
            let (author, place) = (opened.from.aor.clone(), Place { circle, room: Some(room) });
            let (inside, split) = place.check(&outer, opened, &mut task.witness)?;
            task.split = split.map(|epoch| (author, epoch));
            let Inside::Letter(letter, _receipt) = inside else { return Ok(None) };
            let message = letter.message;
            let new = task.seen.note(&message.from, &message.id);
            let records = task.tools.keyring.records();
            let kept = new.then(|| Untold::whispers(records, room).0.keep(&message));
            Ok(kept.map(|kept| (Event::Message(message), Some(kept))))
        };
        let found = self.open(&sealed, found).await;
        if !self.keep().await {
            return None;
        }
        self.tell_split().await;
        match found {
            Ok(telling) => {
                came.done();
                telling.flatten()
            }
            // It was opened before this device was started anew.
            Err(Closed { how: How::Before, .. }) => {
                came.done();
                None
            }
            Err(Closed { why, how }) => {
                if how == How::ForGood {
                    came.done();
                }
                Some((Event::Unreadable { why }, None))
            }
        }
    }
}

/// Has a circle's task do this, unless it has ended.
async fn ask(task: &mpsc::WeakSender<Command>, command: Command) {
    if let Some(task) = task.upgrade() {
        let _asked = task.send(command).await;
    }
}

/// What a letter is to a person: a file that is theirs to fetch, or words.
fn told(letter: Letter, kept: Kept) -> Arrived {
    let message = &letter.message;
    let described = message.content_type == wire::FILE_DESCRIPTION;
    let described = described.then(|| FileDescription::from_bytes(&message.body).ok()).flatten();
    match described {
        Some(description) => {
            Arrived::Announced(Announced::new(message.from.clone(), description), kept)
        }
        None => Arrived::Letter(letter, kept),
    }
}

/// Sealed messages that were opened: what comes again is passed over. The oldest are forgotten first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    known: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Recent {
    fn has(&self, sealed: &[u8]) -> bool {
        self.known.contains(&<[u8; 32]>::from(Sha256::digest(sealed)))
    }

    pub(super) fn note(&mut self, sealed: &[u8]) {
        let hash = Sha256::digest(sealed).into();
        if self.known.insert(hash) {
            self.order.push_back(hash);
        }
        if self.order.len() > OPENED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}
