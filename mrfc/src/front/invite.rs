//! INVITE: a conference is made or joined, or a session in it is changed. The answer waits for the seat, so that
//! nobody arrives before it.
use std::time::Instant;

use ids::{Aor, ConferenceId, DeviceId};
use service::clock;
use sip::dialog::{Dialog, DialogId, random_tag};
use sip::endpoint::{FlowId, TransactionKey};
use sip::header::{Name, NameAddr, ReasonValue};
use sip::{Method, Request, Response, SipUri, Status};

use super::answers::overloaded;
use super::dialogs::Call;
use super::dispatch::Reply;
use super::end::{House, Names};
use super::guests::{Guests, no_list_here, unpacked};
use super::hiding::{Comes, Wish, shown_as, shown_to_it, unmet};
use super::offer::{Offered, Place, offer_of, peer_path};
use super::recipients::FOR_INVITE;
use super::registering::taken_back;
use super::renew::acknowledged_by;
use super::screen::with_abilities;
use super::target::Target;
use super::{Done, Front, WhatFor, refusal};
use crate::config::Level;
use crate::desk::{Came, Gone, Joiner, NewConference, Refusal, SeatGiven, Shown};

/// An INVITE that waits for its seat.
#[derive(Debug)]
pub(super) struct Joining {
    flow: FlowId,
    person: Aor,
    pub(super) device: DeviceId,
    level: Level,
    pub(super) offer: Option<Offered>,
    /// The dialog it changes; `None` if it begins one.
    renews: Option<DialogId>,
    /// Who is called once it is answered.
    guests: Guests,
    /// How its person wants to be seen.
    wish: Wish,
    since: Instant,
}

/// What the desk said.
pub(super) type Joined = Result<(ConferenceId, SeatGiven), Refusal>;

/// Which conference an INVITE is for.
enum Wanted {
    /// One that is there.
    Known(ConferenceId),
    /// A new one, of this name or of one the desk chooses.
    New(Option<ConferenceId>),
}

impl Front {
    pub(super) fn invite(
        &mut self,
        key: TransactionKey,
        flow: FlowId,
        request: &Request,
        person: Aor,
    ) -> Reply {
        let in_dialog = request.headers.to().is_ok_and(|to| to.tag().is_some());
        let callee = if in_dialog { None } else { self.callee(request) };
        if let Some(callee) = callee {
            if request.headers.lists(&Name::Require, FOR_INVITE) {
                return Err(no_list_here(request));
            }
            return self.call(key, flow, request, person, callee);
        }
        let entries_max = self.config.conferences.list_recipients_max;
        let unpacked = unpacked(request, entries_max);
        let (request, entries) = unpacked.map_err(|why| why.response(request, &self.domain))?;
        let request = &*request;
        if in_dialog {
            return match entries.is_empty() {
                true => self.renew(key, flow, request, person),
                false => Err(no_list_here(request)),
            };
        }
        let wanted = self.wanted(request)?;
        // RFC 5366, 5.1: a list is for who makes a conference.
        if !entries.is_empty() && matches!(wanted, Wanted::Known(_)) {
            return Err(no_list_here(request));
        }
        let guests = self.guests(request, &person, &entries)?;
        let limits = &self.config.limits;
        if self.dialogs.len() + self.joining.len() >= limits.dialogs_max
            || self.dialogs.len_on(flow) >= limits.dialogs_per_connection_max
        {
            return Err(overloaded(request));
        }
        let level = match &wanted {
            Wanted::Known(conference) => self.desks.level(conference),
            Wanted::New(_) => None,
        };
        let level = level.unwrap_or(self.config.conferences.level);
        let comes = match &wanted {
            Wanted::Known(_) => Comes::ToOne,
            Wanted::New(_) => Comes::ToMakeOne,
        };
        let wish = self.wish(request, &person, comes)?;
        let (mut joining, mut joiner) = self.joiner(flow, request, person, level, None)?;
        (joining.wish, joiner.shown) = (wish, wish.shown);
        joining.guests = guests;
        let desks = self.desks.clone();
        self.join(key, request, joining, async move {
            let conference = match wanted {
                Wanted::Known(conference) => conference,
                Wanted::New(id) => {
                    let name = id.clone();
                    let new = {
                        let creator = joiner.aor.clone();
                        NewConference { id, creator, level, standing: None }
                    };
                    match (desks.create(new).await, name) {
                        // Somebody else was faster: then it is there to be joined.
                        (Err(Refusal::Exists), Some(name)) => name,
                        (created, _) => created?,
                    }
                }
            };
            let given = desks.join(&conference, joiner).await?;
            Ok((conference, given))
        })
    }

    fn wanted(&self, request: &Request) -> Result<Wanted, Response> {
        match self.target(request) {
            Target::Factory => Ok(Wanted::New(None)),
            Target::Conference(conference) if self.desks.exists(&conference) => {
                Ok(Wanted::Known(conference))
            }
            Target::Conference(conference) if self.config.conferences.named => {
                Ok(Wanted::New(Some(conference)))
            }
            Target::NotSip => Err(Response::to(request, Status::UNSUPPORTED_URI_SCHEME)),
            Target::Conference(conference) if self.desks.was_here(&conference) => {
                Err(Response::to(request, Status::GONE))
            }
            Target::Conference(_) | Target::Domain | Target::Nobody | Target::Elsewhere => {
                Err(Response::to(request, Status::NOT_FOUND))
            }
        }
    }

    /// What the desk must know of whoever wants a seat.
    pub(super) fn joiner(
        &mut self,
        flow: FlowId,
        request: &Request,
        person: Aor,
        level: Level,
        renews: Option<DialogId>,
    ) -> Result<(Joining, Joiner), Response> {
        // RFC 3261, 8.1.1.8: an INVITE has exactly one Contact.
        let bad = |_| Response::to(request, Status::BAD_REQUEST);
        let contact = request.headers.contact().map_err(bad)?;
        let unacceptable = |why: super::offer::Unacceptable| why.response(request, &self.domain);
        let house = House::of(&self.config);
        let offer = offer_of(request, level, &house).map_err(unacceptable)?;
        let device = contact.instance().or_else(|| self.registrar.device_on(flow, &person));
        if device.as_ref().is_some_and(|device| self.users.is_revoked(&person, device)) {
            return Err(taken_back(request));
        }
        // A client that names no device is a new one each time: it has nothing to come back to.
        let device = device.unwrap_or_else(|| DeviceId::random(&mut self.rng));
        let joiner = Joiner {
            aor: person.clone(),
            device: device.clone(),
            identities: vec![person.to_string()],
            peer_path: offer.as_ref().map(|offered| peer_path(offered.offer.media())),
            end: offer.as_ref().map(|offered| offered.end.clone()).unwrap_or_default(),
            came: Came::DialedIn,
            shown: Shown::Named,
            mask: DeviceId::random(&mut self.rng),
        };
        let since = clock::now();
        let (guests, wish) = (Guests::default(), Wish::default());
        let joining = Joining { flow, person, device, level, offer, renews, guests, wish, since };
        Ok((joining, joiner))
    }

    pub(super) fn join(
        &mut self,
        key: TransactionKey,
        request: &Request,
        joining: Joining,
        work: impl Future<Output = Joined> + Send + 'static,
    ) -> Reply {
        let names = joining.offer.as_ref().and_then(|offered| Names::of(offered.offer.media()));
        let work = async move {
            if let Some(names) = names
                && !names.agree().await
            {
                return Done::Joined(key, Err(Refusal::OtherPlace));
            }
            Done::Joined(key, work.await)
        };
        let wait = self.config.limits.call();
        if self.calls.begin(wait, WhatFor::Request(key), work).is_err() {
            return Err(overloaded(request));
        }
        self.joining.insert(key, joining);
        if request.method == Method::Invite {
            // At once, so that the client neither repeats nor gives up while the relay is asked. An UPDATE gets none
            // (RFC 3261, 8.2.6.1).
            self.respond(key, Response::to(request, Status::TRYING));
        }
        Ok(None)
    }

    /// The desk has answered.
    pub(super) fn joined(&mut self, key: TransactionKey, joined: Joined) {
        let Some(joining) = self.joining.remove(&key) else { return };
        let took = clock::now() - joining.since;
        let (conference, given) = match joined {
            Ok(given) => given,
            Err(refusal) => {
                self.metrics.join("refused", took);
                if let Some(request) = self.request(key) {
                    let refused = refusal::response(&request, &refusal, &self.domain);
                    self.respond(key, unmet(&request, refused, joining.wish));
                }
                return;
            }
        };
        let early = self.ended_early.remove(&(conference.clone(), given.seat));
        // An INVITE that was cancelled, or whose client is gone, is not open any more: the seat is given back.
        let request = self.request(key).filter(|_| !early);
        let Some(request) = request else {
            self.metrics.join("given_up", took);
            self.release(&conference, given.seat, Gone::Away);
            // Only after an early end there is still somebody to answer.
            self.answer(key, Status::TEMPORARILY_UNAVAILABLE);
            return;
        };
        self.metrics.join("seated", took);
        self.take_seat(key, &request, joining, conference, &given);
    }

    fn take_seat(
        &mut self,
        key: TransactionKey,
        request: &Request,
        joining: Joining,
        conference: ConferenceId,
        given: &SeatGiven,
    ) {
        let Joining { flow, person, device, level, offer, renews, guests, .. } = joining;
        let (room, by) = (conference.clone(), person.clone());
        let before = renews.as_ref().and_then(|id| self.dialogs.find(id)).map(|call| call.origin);
        // RFC 3264, 8: a changed description is the same session, one version on.
        let origin = before.map_or((given.seat.0, 1), |(session, version)| (session, version + 1));
        let place = Place::of(given, origin, level, House::of(&self.config));
        let description = offer.as_ref().map_or_else(|| Some(place.offer()), |o| place.answer(o));
        let Some(description) = description else {
            // RFC 3264, 6: the answer is of the transport that was offered, and no relay of ours has that.
            self.release(&conference, given.seat, Gone::Refused);
            return self.answer(key, Status::NOT_ACCEPTABLE_HERE);
        };
        let tag = random_tag(&mut self.rng);
        let mut response = self.ok(request, &conference).with_to_tag(&tag);
        response = response.with_body("application/sdp", description.clone());
        if let Some(shown) = &given.shown_as {
            response = response.with(shown_as(), shown_to_it(shown, given.mask.as_ref()));
            self.note_hidden(flow, &person, &conference, shown);
        }
        let path = offer.as_ref().map(|offered| peer_path(offered.offer.media()));
        let end = offer.map(|offered| offered.end).unwrap_or_default();
        let (seat, unacknowledged) = (given.seat, acknowledged_by(key, request));
        let response = match renews {
            Some(id) if self.dialogs.find(&id).is_some() => {
                self.dialogs.change(&id, |call| {
                    call.seat = seat;
                    call.peer_path = path;
                    call.end = end;
                    call.description = description;
                    call.origin = origin;
                    call.unacknowledged = unacknowledged;
                });
                self.timed(request, response, &id)
            }
            Some(_) => {
                self.release(&conference, seat, Gone::Away);
                return self.answer(key, Status::NO_SUCH_DIALOG);
            }
            None => match Dialog::uas(request, &response) {
                Ok(dialog) => {
                    let call = Call {
                        dialog,
                        conference,
                        level,
                        seat,
                        person,
                        device,
                        shown_as: given.shown_as.clone(),
                        mask: given.mask.clone(),
                        flow,
                        peer_path: path,
                        end,
                        description,
                        origin,
                        unacknowledged,
                    };
                    self.supersede(&call);
                    self.came_by_itself(&call);
                    let id = call.dialog.id().clone();
                    self.dialogs.insert(call);
                    self.timed(request, response, &id)
                }
                Err(error) => {
                    tracing::debug!(%error, "an INVITE that makes no dialog");
                    self.release(&conference, seat, Gone::Away);
                    return self.answer(key, Status::BAD_REQUEST);
                }
            },
        };
        self.respond(key, response);
        self.call_guests(&room, &by, guests);
    }

    /// A device that begins anew has lost its former dialog, whose seat the desk has ended already.
    pub(super) fn supersede(&mut self, call: &Call) {
        let former = self.dialogs.of(&call.conference, &call.person, &call.device);
        if let Some(former) = former.and_then(|id| self.forget_dialog(&id)) {
            self.send_bye(former, &ReasonValue::new("SIP", 200, "the device has begun anew"));
        }
    }

    /// A 200 to an INVITE or UPDATE: what we can do, and who we are (`isfocus`, RFC 4579, 4.1).
    pub(super) fn ok(&self, request: &Request, conference: &ConferenceId) -> Response {
        let secure = request.uri.sip().is_some_and(SipUri::is_secure);
        let response = Response::to(request, Status::OK);
        let response = match self.contact(conference, secure) {
            Some(contact) => response.with(Name::Contact, contact),
            None => response,
        };
        with_abilities(response)
    }

    /// Our Contact in a conference's dialogs. Its user and host are the conference's address.
    pub(super) fn contact(&self, conference: &ConferenceId, secure: bool) -> Option<NameAddr> {
        let uri = SipUri::new(Some(conference.as_str()), &self.domain).ok()?;
        let uri = uri.with_port(Some(self.port)).with_secure(secure);
        let uri = if secure { uri } else { uri.with_param("transport", Some("tls")) };
        Some(NameAddr::new(uri).with_param("isfocus", None))
    }

    /// Whether this device is about to join some conference.
    pub(super) fn joins(&self, who: &Aor, device: &DeviceId) -> bool {
        self.joining.values().any(|joining| joining.person == *who && joining.device == *device)
    }

    /// The INVITEs in work that would change this dialog.
    pub(super) fn renewing(&self, id: &DialogId) -> Vec<TransactionKey> {
        let renews = |joining: &Joining| joining.renews.as_ref() == Some(id);
        self.joining.iter().filter(|(_, j)| renews(j)).map(|(key, _)| *key).collect()
    }
}

impl<'a> Place<'a> {
    /// The place a desk has given.
    pub(super) fn of(given: &'a SeatGiven, origin: (u64, u64), level: Level, house: House) -> Self {
        Self { path: &given.path, fingerprint: &given.fingerprint, origin, level, house }
    }
}
