//! What arrives for a circle: opened once, checked against what is written on it, told, and acknowledged under the same
//! seal if its author wants to know.
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ids::{Aor, ConferenceId};
use mls::circle::{CircleMember, group_of};
use mls::files::FileDescription;
use mls::member::{Opened, Processed};
use mls::wire;
use msrp::cpim::Envelope;
use sha2::{Digest as _, Sha256};
use sip::multipart::Part;
use tokio::sync::mpsc;

use super::circle::{Command, TRIES, Task, fresh_id};
use super::keys::Until;
use crate::event::{Announced, Error, Event};
use crate::phone::{Arrived, Late};
use crate::session::Pair;
use crate::session::parcel::{Inside, Letter, Parcel, Place, Receipt, Wording};
use crate::session::untold::Untold;

/// Sealed messages remembered as opened.
const OPENED_MAX: usize = 4096;
/// After this time without anything out of the mailbox it is empty.
const QUIET: Duration = Duration::from_secs(2);
/// What receipts are remembered as, by what they are about. No message has such a name.
const RECEIPT_OF: &str = "receipt of ";

impl Task {
    pub(super) async fn arrived(&mut self, from: Aor, parcel: Parcel, late: Option<Late>) {
        if self.opened.has(&parcel.sealed) {
            return;
        }
        self.late_at = late.map(|_| service::clock::now()).or(self.late_at);
        let inside = self.open_parcel(&from, &parcel).await;
        match inside {
            Ok(Some(Inside::Letter(letter, receipt))) => {
                self.show(Letter { late, ..letter }, receipt).await;
            }
            Ok(Some(Inside::Receipt(receipt))) => self.acknowledged(receipt).await,
            // What this device has sealed itself, before it was started anew.
            Ok(None) => {}
            // It was read before this device was started anew, and comes once more: it opens once only.
            Err(_why) if self.is_known(&from, &parcel) => {}
            Err(why) => {
                self.tools.tell(Arrived::Unreadable { from, why }).await;
            }
        }
    }

    fn is_known(&self, from: &Aor, parcel: &Parcel) -> bool {
        parcel.outer.imdn_message_id().is_some_and(|id| self.seen.has(from, id))
    }

    async fn open_parcel(&mut self, from: &Aor, parcel: &Parcel) -> Result<Option<Inside>, String> {
        if self.member.is_none()
            && let Some(founding) = &parcel.founding
        {
            // A founding that comes once more takes nothing from who has kept its keys.
            self.circle = Some(founding.people.clone());
            self.resume();
        }
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
        let Some(opened) = self.open(&parcel.sealed).await? else { return Ok(None) };
        if opened.from.aor != *from {
            return Err("it was sealed by somebody else than who sent it".to_owned());
        }
        let circle = self.circle.as_ref().ok_or("it is not known whose circle it is")?;
        let checked = Place { circle, room: None }.check(&parcel.outer, opened);
        checked.map(Some).map_err(str::to_owned)
    }

    /// Opens a sealed message, after following the circle to its epoch if that is ahead. None if it is our own.
    async fn open(&mut self, sealed: &Bytes) -> Result<Option<Opened>, String> {
        let (_, era, epoch) = group_of(sealed).ok_or("it is no sealed message")?;
        // What waits is read in its order, each in its own epoch: an epoch that is long over nobody goes back to.
        let until = Until::Epoch(era, epoch);
        for behind in [true, false] {
            let now = service::clock::wall();
            match self.member.as_mut().map(|member| member.process(sealed, now)) {
                // Whoever asked keeps it together with what was inside.
                Some(Ok(Processed::Message(opened))) => {
                    self.opened.note(sealed);
                    return Ok(Some(opened));
                }
                Some(Ok(Processed::Own)) => return Ok(None),
                None | Some(Ok(Processed::Future { .. })) if behind => {
                    let caught_up = self.catch_up(until).await;
                    let caught_up = caught_up.map_err(|error| error.to_string())?;
                    if !caught_up {
                        return Err("there is no such circle".to_owned());
                    }
                }
                Some(Err(error)) => return Err(error.to_string()),
                _ => return Err("it was sealed before this device held the key".to_owned()),
            }
        }
        Err("its epoch has not come".to_owned())
    }

    async fn show(&mut self, letter: Letter, receipt: bool) {
        let (author, id) = (letter.message.from.clone(), letter.message.id.clone());
        let is_late = letter.late.is_some();
        if !self.seen.note(&author, &id) {
            return self.keep().await;
        }
        // What was opened and how far the keys are is one transaction: the octets open once only.
        self.untold.keep(&letter.message);
        self.keep().await;
        if self.tools.tell(told(letter)).await {
            self.untold.told();
            // A person's own other device wrote it: they know that it has arrived.
            if receipt && author != *self.tools.me() {
                match is_late {
                    true => self.acknowledge_later(author, id, 1),
                    false => self.acknowledge(author, id, 0).await,
                }
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

    async fn keep(&self) {
        if let Err(error) = self.tools.keep().await {
            tracing::warn!(%error, "what was read is not kept");
        }
    }

    /// Tells what was opened before and never told: the device was stopped in between, or nobody listened.
    pub(super) async fn tell_untold(&mut self) {
        let Some(circle) = self.circle.clone() else { return };
        let (untold, messages) = Untold::kept(self.tools.keyring.records(), &self.id);
        self.untold = untold;
        for message in messages {
            let people = circle.people().cloned().collect();
            if !self.tools.tell(told(Letter { message, people, late: None })).await {
                return;
            }
            self.untold.told();
        }
    }

    /// Told once for each person, whichever of their devices says it first.
    async fn acknowledged(&mut self, receipt: Receipt) {
        let name = format!("{RECEIPT_OF}{}", receipt.of);
        let new = receipt.by != *self.tools.me() && self.seen.note(&receipt.by, &name);
        self.keep().await;
        if new {
            self.tools.tell(Arrived::Receipt(receipt)).await;
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
        let words = place.receipt(&me, (&id, &date_time), &of);
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
    pub(super) async fn said(
        &mut self,
        room: &ConferenceId,
        outer: &Envelope,
        sealed: &Bytes,
    ) -> Option<Event> {
        if self.opened.has(sealed) {
            return None;
        }
        let opened = match self.open(sealed).await {
            Ok(opened) => opened?,
            Err(why) => return Some(Event::Unreadable { why }),
        };
        let circle = self.circle.as_ref()?;
        match (Place { circle, room: Some(room) }).check(outer, opened) {
            Ok(Inside::Letter(letter, _receipt)) => {
                let message = letter.message;
                let new = self.seen.note(&message.from, &message.id);
                self.keep().await;
                new.then_some(Event::Message(message))
            }
            Ok(Inside::Receipt(_)) => None,
            Err(why) => Some(Event::Unreadable { why: why.to_owned() }),
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
fn told(letter: Letter) -> Arrived {
    let message = &letter.message;
    let described = message.content_type == wire::FILE_DESCRIPTION;
    let described = described.then(|| FileDescription::from_bytes(&message.body).ok()).flatten();
    match described {
        Some(description) => Arrived::Announced(Announced::new(message.from.clone(), description)),
        None => Arrived::Letter(letter),
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
