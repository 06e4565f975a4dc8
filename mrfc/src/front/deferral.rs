//! Deferred delivery: a MESSAGE that reaches nobody goes to the mailbox (202), and what waits there goes to each device
//! when it registers, one message at a time and in order; a large one by a call ([`super::late_calls`]). What is kept, and for how long, is for [`crate::mailbox`] to say.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use ids::Aor;
use service::clock;
use sip::endpoint::{FlowId, TransactionKey};
use sip::gruu::Gruu;
use sip::header::{Name, Warning};
use sip::{Headers, Method, Request, Response, SipUri, Status, Uri};
use store::Settled;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::answers::overloaded;
use super::dispatch::Reply;
use super::late_calls::{LateCalls, mailbox_next};
use super::message::{OURS, Way, with_protection};
use super::privacy::Privacy;
use super::protection::Protection;
use super::{Done, Front, WhatFor};
use crate::mailbox::letter::Letter;
use crate::mailbox::{Deposit, Mailbox, NotFound, NotStored, Ready, Stored, stamp};
use crate::people::shapes::MailboxUse;
use crate::registrar::Binding;

/// Says that a mailbox has, or had, a message: in the 202, and in what it delivers.
pub(crate) const HEADER: &str = "Conclave-Mailbox";
/// The URI parameter by which somebody's mailbox is meant, and not their devices.
const PARAM: &str = "mailbox";
/// A device that takes nothing now is asked again after this, and each time after four times as long.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// What means nothing any more when it comes late (RFC 3994).
const MOMENTARY: &str = "application/im-iscomposing+xml";

/// A device of a person: its name, or its Contact where it has none.
pub(super) type Slot = (Aor, String);

/// What goes to devices out of the mailbox.
#[derive(Debug, Default)]
pub(super) struct Deferral {
    rounds: HashMap<Slot, Round>,
    copies: HashMap<TransactionKey, (Slot, Arc<Ready>)>,
    pub(super) calls: LateCalls,
    is_sweeping: bool,
}

/// A device that is being given what waits for it.
#[derive(Debug)]
struct Round {
    /// It is asked again then; until that something is under way.
    rests_until: Option<Instant>,
    pause: Duration,
    /// Something may have come since the mailbox was last asked.
    again: bool,
}

/// What the mailbox has for a device.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) slot: Slot,
    pub(super) ready: Result<Option<Ready>, NotFound>,
    /// Who is told something about what was settled before.
    pub(super) told: Option<Aor>,
}

/// Whose message it is, and how much of that may show.
#[derive(Clone, Debug)]
pub(super) struct Sender<'a> {
    pub(super) author: &'a Aor,
    pub(super) privacy: Privacy,
}

impl Front {
    /// Whether a message that ended with this answer is to wait. Who declines, or takes no such content, has answered.
    pub(super) fn defers(&self, status: Status) -> bool {
        let Some(mailbox) = &self.mailbox else { return false };
        match status.code() {
            408 | 430 | 480 | 500 | 503 | 504 => true,
            486 | 600 => mailbox.takes_busy(),
            _ => false,
        }
    }

    /// Whether this message is for the mailbox, whoever is there: because its sender says so, or its recipient.
    pub(super) fn is_for_mailbox(&self, key: TransactionKey, recipient: &Aor) -> bool {
        // A number may have become its person since.
        let asked = self.request(key).is_some_and(|request| is_mailbox(&request.uri));
        self.mailbox.is_some() && asked || self.wants_mailbox(recipient)
    }

    /// Whether this person wants everything to wait.
    pub(super) fn wants_mailbox(&self, person: &Aor) -> bool {
        self.mailbox.is_some() && self.policies.of(person).mailbox() == MailboxUse::Always
    }

    /// Keeps a message; its answer follows when it is on disk. Without a mailbox its recipient is not there.
    pub(super) fn defer(
        &mut self,
        key: TransactionKey,
        request: &Request,
        sender: &Sender<'_>,
        recipient: &Aor,
    ) -> Reply {
        let Some((mailbox, deposit)) = self.deposit(request, sender, recipient) else {
            return Err(Response::to(request, Status::TEMPORARILY_UNAVAILABLE));
        };
        let work = async move {
            let stored = mailbox.post(deposit, clock::wall()).await;
            Done::Stored(key, Box::new(stored))
        };
        let begun = self.calls.begin(self.config.limits.call(), WhatFor::Request(key), work);
        begun.map(|()| None).map_err(|_| overloaded(request))
    }

    /// The same for one of many, whose sender is told nothing (RFC 5365, 7.1).
    pub(super) fn defer_quietly(&mut self, request: &Request, sender: &Sender<'_>, to: &Aor) {
        let Some((mailbox, deposit)) = self.deposit(request, sender, to) else { return };
        let work = async move {
            match mailbox.post(deposit, clock::wall()).await {
                Ok(stored) => Done::Told(stored.told.into_iter().collect()),
                Err(why) => {
                    tracing::debug!(%why, "a message of a list was not kept");
                    Done::Nothing
                }
            }
        };
        let begun = self.calls.begin(self.config.limits.call(), WhatFor::Nobody, work);
        if begun.is_err() {
            tracing::debug!("too much is in work to keep a message of a list");
        }
    }

    /// What is to be kept, if it can be and its recipient wants that.
    fn deposit(
        &self,
        request: &Request,
        sender: &Sender<'_>,
        owner: &Aor,
    ) -> Option<(Mailbox, Deposit)> {
        let mailbox = self.mailbox.clone()?;
        let media = request.headers.content_type().ok().flatten();
        let unwanted = self.policies.of(owner).mailbox() == MailboxUse::Never;
        let of_one_device = request.uri.sip().and_then(Gruu::of).is_some();
        if unwanted
            || of_one_device
            || !self.users.knows(owner)
            || media.is_some_and(|it| it.is(MOMENTARY))
        {
            return None;
        }
        let Sender { author, privacy } = sender;
        let mut headers = Headers::new();
        headers.push(Name::From, privacy.from(request.headers.from().ok()?).to_string());
        headers.push(Name::To, request.headers.text(&Name::To)?.into_owned());
        if let Some(wish) = privacy.onward(true) {
            headers.push(Name::Privacy, wish);
        }
        for header in request.headers.iter() {
            let own = is_ours(&header.name) || header.name == Name::ContentLength;
            if !OURS.contains(&header.name) && !own && privacy.passes(&header.name) {
                headers.push(header.name.clone(), Bytes::copy_from_slice(header.value()));
            }
        }
        let letter = Letter { author: (*author).clone(), headers, body: privacy.body(request) };
        let call_id = request.headers.call_id().ok()?;
        let call = format!("{call_id} {}", request.headers.cseq().ok()?.number);
        let is_sealed = Protection::of_request(request) == Protection::EndToEnd;
        Some((mailbox, Deposit { owner: owner.clone(), letter, call, is_sealed, large: None }))
    }

    /// A message is on disk, or not.
    pub(super) fn stored(&mut self, key: TransactionKey, stored: Result<Stored, NotStored>) {
        let told = stored.as_ref().ok().and_then(|stored| stored.told.clone());
        if let Some(request) = self.request(key) {
            let response = match stored {
                Ok(stored) => {
                    let until = format!("stored;until=\"{}\"", stamp(stored.until));
                    let accepted = Response::to(&request, Status::ACCEPTED).with(header(), until);
                    with_protection(accepted, &request)
                }
                Err(why) => self.not_stored(&request, &why),
            };
            self.metrics.message(response.status);
            self.respond(key, response);
        }
        self.tell(told);
    }

    fn not_stored(&self, request: &Request, why: &NotStored) -> Response {
        let status = match why {
            NotStored::TooLarge => Status::REQUEST_ENTITY_TOO_LARGE,
            NotStored::Full | NotStored::SenderFull | NotStored::Over => {
                Status::TEMPORARILY_UNAVAILABLE
            }
            NotStored::Stale => Status::BAD_REQUEST,
            NotStored::Disk => Status::SERVER_INTERNAL_ERROR,
        };
        let warning = Warning::new(399, &self.domain, &why.to_string());
        Response::to(request, status).with(Name::Warning, warning)
    }

    /// People for whom a notification lies in their mailbox: it need not wait for their next registration, unless they
    /// want everything to wait.
    pub(super) fn tell(&mut self, people: impl IntoIterator<Item = Aor>) {
        for person in people {
            if self.policies.of(&person).mailbox() != MailboxUse::Always {
                self.deliver(&person, None);
            }
        }
    }

    /// Begins to give a person's devices what waits: those on this connection, which have just registered, or all.
    pub(super) fn deliver(&mut self, person: &Aor, on: Option<FlowId>) {
        if !self.mailbox.as_ref().is_some_and(|mailbox| mailbox.has(person)) {
            return;
        }
        for binding in self.registrar.newest(person, clock::now()) {
            if on.is_some_and(|flow| binding.flow != flow) {
                continue;
            }
            let slot = (person.clone(), name_of(&binding));
            if let Some(round) = self.deferral.rounds.get_mut(&slot)
                && round.rests_until.is_none()
            {
                round.again = true;
                continue;
            }
            self.ask(slot, PAUSE);
        }
    }

    /// Asks the mailbox for a device's next message.
    fn ask(&mut self, slot: Slot, pause: Duration) {
        let Some(mailbox) = self.mailbox.clone() else { return };
        self.deferral.rounds.insert(slot.clone(), Round { rests_until: None, pause, again: false });
        let what_for = WhatFor::Mailbox(slot.clone());
        self.calls.must(self.config.limits.call(), what_for, async move {
            let ready = mailbox.next(&slot.0, &slot.1, clock::wall()).await;
            Done::Found(Box::new(Found { slot, ready, told: None }))
        });
    }

    /// The mailbox has looked.
    pub(super) fn found(&mut self, found: Found) {
        let Found { slot, ready, told } = found;
        self.tell(told);
        match ready {
            Ok(Some(ready)) => self.carry(slot, Arc::new(ready)),
            Ok(None) => {
                let ended = self.deferral.rounds.remove(&slot);
                if ended.is_some_and(|round| round.again) {
                    self.ask(slot, PAUSE);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a mailbox could not be read");
                self.rest(&slot);
            }
        }
    }

    /// Sends a device its message.
    fn carry(&mut self, slot: Slot, ready: Arc<Ready>) {
        if ready.large.is_some() {
            return self.call_late(slot, ready);
        }
        let copy = self.way_to(&slot).and_then(|way| {
            let what = (Method::Message, &ready.letter.body);
            let copy = self.late_copy(&slot.0, &ready, what, &way)?;
            Some((way.flow, copy))
        });
        // It comes back when the device does.
        let Some((flow, copy)) = copy else { return self.end_round(&slot) };
        let sent = self.endpoint.request(clock::now(), flow, copy);
        self.deferral.copies.insert(sent, (slot, ready));
    }

    /// The newest flow of a device.
    pub(super) fn way_to(&self, (person, name): &Slot) -> Option<Way> {
        let uri: Uri = SipUri::from(person).into();
        let ways = self.ways_to(&uri, person, clock::now());
        let mut newest = ways.into_iter().filter_map(|flows| flows.into_iter().next());
        let binding = newest.find(|binding| name_of(binding) == *name)?;
        let target = binding.uri.parse().ok()?;
        Some(Way { flow: binding.flow, target, path: binding.path, others: Vec::new() })
    }

    /// The device is not there.
    pub(super) fn end_round(&mut self, slot: &Slot) {
        self.deferral.rounds.remove(slot);
    }

    /// Whether a device was asked again and again, and will not be asked more often.
    pub(super) fn has_rested_long(&self, slot: &Slot) -> bool {
        self.deferral.rounds.get(slot).is_some_and(|round| round.pause >= PAUSE_MAX)
    }

    /// What goes to a device: the message as it was sent, or a call that brings it, with when that was and how long it is
    /// still good.
    pub(super) fn late_copy(
        &mut self,
        owner: &Aor,
        ready: &Ready,
        (method, body): (Method, &Bytes),
        way: &Way,
    ) -> Option<Request> {
        let uri: Uri = SipUri::from(owner).into();
        let mut kept = Request::new(method, uri);
        kept.headers = ready.letter.headers.clone();
        kept.body = body.clone();
        if kept.method == Method::Invite {
            kept.headers.set(Name::ContentType, "application/sdp");
            // There it is the time that a call may ring.
            kept.headers.remove(&Name::Expires);
        }
        if kept.headers.has(&Name::Expires) {
            let left = ready.expires.duration_since(clock::wall()).unwrap_or_default();
            kept.headers.set(Name::Expires, left.as_secs().max(1).to_string());
        }
        if !kept.headers.has(&Name::Date)
            && let Some(date) = sip_date(ready.accepted)
        {
            kept.headers.set(Name::Date, date);
        }
        let privacy = Privacy::of(&kept).unwrap_or(Privacy::whole());
        let copy = self.copy(&kept, &ready.letter.author, privacy, way)?;
        let skewed = if ready.skewed { ";skewed" } else { "" };
        let accepted = stamp(ready.accepted);
        Some(copy.with(header(), format!("deferred;accepted=\"{accepted}\"{skewed}")))
    }

    /// A device has answered a message out of the mailbox. Whether it was one.
    pub(super) fn letter_answered(&mut self, copy: TransactionKey, response: &Response) -> bool {
        if response.status.is_provisional() {
            return self.deferral.copies.contains_key(&copy);
        }
        let Some((slot, ready)) = self.deferral.copies.remove(&copy) else { return false };
        let settled = match response.status.code() {
            200..=299 => Settled::Taken,
            code if is_temporary(code) => {
                self.rest(&slot);
                return true;
            }
            _ => Settled::Refused,
        };
        let Some(mailbox) = self.mailbox.clone() else { return true };
        let what_for = WhatFor::Mailbox(slot.clone());
        self.calls.must(self.config.limits.call(), what_for, async move {
            mailbox_next(&mailbox, slot, &ready, settled).await
        });
        true
    }

    /// A device does not answer a message out of the mailbox. Whether it was one.
    pub(super) fn letter_lost(&mut self, copy: TransactionKey) -> bool {
        let Some((slot, _)) = self.deferral.copies.remove(&copy) else { return false };
        self.rest(&slot);
        true
    }

    /// Leaves a device alone for a while.
    pub(super) fn rest(&mut self, slot: &Slot) {
        let Some(round) = self.deferral.rounds.get_mut(slot) else { return };
        round.rests_until = Some(clock::now() + round.pause);
        round.pause = (round.pause * 4).min(PAUSE_MAX);
    }

    /// Goes back to devices that have rested, and ends what has waited too long.
    pub(super) fn deferred_due(&mut self, now: Instant) {
        let Some(mailbox) = self.mailbox.clone() else { return };
        self.late_calls_due(now);
        self.tell(mailbox.news());
        let rested = |round: &Round| round.rests_until.is_some_and(|until| now >= until);
        let due = self.deferral.rounds.iter().filter(|(_, round)| rested(round));
        let due: Vec<(Slot, Duration)> =
            due.map(|(slot, round)| (slot.clone(), round.pause)).collect();
        for (slot, pause) in due {
            match self.way_to(&slot) {
                Some(_) => self.ask(slot, pause),
                None => drop(self.deferral.rounds.remove(&slot)),
            }
        }
        if !std::mem::replace(&mut self.deferral.is_sweeping, true) {
            self.calls.must(self.config.limits.call(), WhatFor::Sweep, async move {
                match mailbox.sweep(clock::wall()).await {
                    Ok(told) => Done::Swept(told),
                    Err(error) => {
                        tracing::warn!(%error, "the mailbox could not be swept");
                        Done::Swept(Vec::new())
                    }
                }
            });
        }
    }

    /// A sweep is over.
    pub(super) fn swept(&mut self, told: Vec<Aor>) {
        self.deferral.is_sweeping = false;
        self.tell(told);
    }

    /// Whether this asks somebody's mailbox what it can do, and the answer: that it is a machine which takes messages
    /// (RFC 3840, 10).
    pub(super) fn mailbox_options(&self, request: &Request) -> Option<String> {
        let owner = request.uri.aor().filter(|owner| self.users.knows(owner))?;
        let is_asked = self.mailbox.is_some() && is_mailbox(&request.uri);
        is_asked.then(|| {
            let files = self.mailbox.as_ref().and_then(Mailbox::files);
            let methods =
                if files.is_some() { "MESSAGE,INVITE,OPTIONS" } else { "MESSAGE,OPTIONS" };
            format!("<{owner};{PARAM}>;automata;actor=\"msg-taker\";methods=\"{methods}\"")
        })
    }
}

/// The header field's name.
pub(super) fn header() -> Name {
    Name::parse(HEADER.as_bytes()).unwrap_or(Name::Warning)
}

/// Whether only we may say this.
pub(super) fn is_ours(name: &Name) -> bool {
    name.as_str().eq_ignore_ascii_case(HEADER)
        || name.as_str().eq_ignore_ascii_case(super::protection::HEADER)
}

fn is_mailbox(uri: &Uri) -> bool {
    uri.sip().is_some_and(|uri| uri.params().has(PARAM))
}

/// A device's name in the mailbox.
fn name_of(binding: &Binding) -> String {
    binding.device.as_ref().map_or_else(|| binding.uri.clone(), ToString::to_string)
}

/// Whether a device that answers so may answer differently another time.
pub(super) const fn is_temporary(code: u16) -> bool {
    matches!(
        code,
        300..=399
            | 401
            | 407
            | 408
            | 429
            | 430
            | 480
            | 481
            | 486
            | 491
            | 494
            | 500
            | 503
            | 504
            | 600
    )
}

/// A time as Date has it (RFC 3261, 20.17).
fn sip_date(time: SystemTime) -> Option<String> {
    let date = OffsetDateTime::from(time).format(&Rfc2822).ok()?;
    Some(date.replace("+0000", "GMT"))
}
