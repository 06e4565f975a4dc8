//! REGISTER: who may register what, what is kept of it, and what is noted for the operator. The table itself is
//! [`crate::registrar`]; the words of a request and its answer are in [`super::register`].
use std::time::{Instant, SystemTime};

use ids::Aor;
use mls::wire::DeviceName;
use service::clock;
use sip::endpoint::FlowId;
use sip::header::{Contacts, Name};
use sip::{Method, Request, Response, Status};
use store::{Attempt, Registration};

use super::dispatch::date;
use super::register::{Accepted, Whence, accepted, read, refused};
use super::target::Target;
use super::{Access, Front};
use crate::registrar::{Binding, Change};

impl Front {
    pub(super) fn register(
        &mut self,
        flow: FlowId,
        request: &Request,
        author: &Aor,
    ) -> Result<Response, Response> {
        if self.target(request) != Target::Domain {
            return Err(Response::to(request, Status::NOT_FOUND));
        }
        let whence = Whence { flow, via_core: self.is_core(flow) };
        let read = read(whence, request).map_err(|unreadable| unreadable.response(request));
        // RFC 3261, 10.3 step 3: only one's own bindings.
        let whose = request.headers.to().ok().and_then(|to| to.uri.aor());
        let (origin, change) = match read {
            Err(response) if whose.as_ref() == Some(author) || whose.is_none() => {
                return Err(response);
            }
            Ok(read) if whose.as_ref() == Some(author) => read,
            Ok(_) | Err(_) => return Err(Response::to(request, Status::FORBIDDEN)),
        };
        self.own_device(flow, request, &change)?;
        self.no_revoked_device(request, author, &change)?;
        let now = clock::now();
        let bindings = self
            .registrar
            .register(now, author, &origin, &change)
            .map_err(|refusal| refused(request, refusal))?;
        if !matches!(change, Change::Fetch) {
            self.keep(author);
        }
        if matches!(change, Change::Contacts(_)) {
            // Behind the answer: the mailbox is asked by a task.
            self.deliver(author, Some(flow));
        }
        self.gauges();
        // RFC 5630, 5.2: both schemes may be used, so this is not `sips:`.
        let route = format!("sip:{}:{};transport=tls;lr", self.domain, self.port);
        let whose =
            Accepted { aor: author, numbers: self.users.numbers(author), service_route: &route };
        let (temporary, rng) = (&self.temporary, &mut self.rng);
        let response =
            accepted(request, &whose, &bindings, now, |number| temporary.user(number, rng));
        Ok(match date() {
            Some(date) => response.with(Name::Date, date),
            None => response,
        })
    }

    /// A device that proved itself by its certificate registers itself, and no other.
    fn own_device(&self, flow: FlowId, request: &Request, change: &Change) -> Result<(), Response> {
        let Some(name) = self.certified(flow) else { return Ok(()) };
        let Change::Contacts(asked) = change else { return Ok(()) };
        let other = |device: &ids::DeviceId| *device != name.device;
        if asked.iter().filter_map(|asked| asked.device.as_ref()).any(other) {
            let refused = Response::to(request, Status::FORBIDDEN);
            return Err(refused.with_reason("The Certificate Names Another Device"));
        }
        Ok(())
    }

    /// A device that was taken back has nowhere to be reached.
    fn no_revoked_device(
        &self,
        request: &Request,
        author: &Aor,
        change: &Change,
    ) -> Result<(), Response> {
        let Change::Contacts(asked) = change else { return Ok(()) };
        let mut comes = asked.iter().filter(|asked| asked.secs != Some(0));
        let revoked = |device: &ids::DeviceId| self.users.is_revoked(author, device);
        match comes.any(|asked| asked.device.as_ref().is_some_and(revoked)) {
            true => Err(taken_back(request)),
            false => Ok(()),
        }
    }

    /// Whose certificate the device at the other end of this connection has shown.
    pub(super) fn certified(&self, flow: FlowId) -> Option<&DeviceName> {
        let identity = self.flows.get(&flow)?.certified.as_ref()?;
        let name = &identity.name;
        let revoked = self.users.is_revoked(&name.aor, &name.device);
        (clock::wall() < identity.not_after && !revoked).then_some(name)
    }

    /// Who sent this request, if a device certificate says so: over the device's own connection, about its own person.
    pub(super) fn vouched_by_certificate(&self, flow: FlowId, request: &Request) -> Option<Aor> {
        let name = self.certified(flow)?;
        let from = request.headers.from().ok()?;
        let direct = request.headers.vias().is_ok_and(|vias| vias.len() == 1);
        let own = super::privacy::is_anonymous(&from) || from.uri.aor().as_ref() == Some(&name.aor);
        (direct && own && self.users.knows(&name.aor)).then(|| name.aor.clone())
    }

    /// Writes down what a person's registrations are now.
    pub(super) fn keep(&mut self, aor: &Aor) {
        let (now, wall) = (clock::now(), clock::wall());
        let lasting = self.registrar.lasting(aor, now);
        let kept = lasting.iter().map(|binding| kept(binding, now, wall)).collect();
        self.keeper.person(aor.clone(), kept);
    }

    /// Offers again what found no place before.
    pub(super) fn keep_missed(&mut self) {
        for aor in self.keeper.missed() {
            self.keep(&aor);
        }
    }

    /// Notes a REGISTER and its answer, unless it only asked for a challenge, which says nothing of anybody.
    pub(super) fn note_attempt(&self, flow: FlowId, request: &Request, response: &Response) {
        if request.method != Method::Register || !self.config.registration.audit {
            return;
        }
        let Some(result) = result(request, response) else { return };
        let known = self.flows.get(&flow);
        let access = match known.map(|flow| flow.access()).unwrap_or_default() {
            Access::Tls => "tls",
            Access::Network => "network",
            Access::Core => "core",
        };
        let address = known.and_then(|flow| flow.address);
        let noted = self.keeper.attempt(Attempt {
            at: clock::wall(),
            aor: request.headers.to().map(|to| shortened(&to.uri.to_string())).unwrap_or_default(),
            device: device(request),
            source: address.map(|address| address.to_string()).unwrap_or_default(),
            access: access.to_owned(),
            status: response.status.code(),
            result: result.to_owned(),
        });
        if !noted {
            self.metrics.attempts_lost.inc();
        }
    }
}

/// The answer to a device that was taken back.
pub(super) fn taken_back(request: &Request) -> Response {
    Response::to(request, Status::FORBIDDEN).with_reason("This Device Was Taken Back")
}

/// Octets of a name that goes into the audit.
const NAME_BYTES_MAX: usize = 256;

fn shortened(text: &str) -> String {
    text.chars().take(NAME_BYTES_MAX).collect()
}

fn device(request: &Request) -> Option<String> {
    let Ok(Contacts::Some(contacts)) = request.headers.contacts() else { return None };
    let device = contacts.iter().find_map(sip::NameAddr::instance)?;
    Some(shortened(device.as_str()))
}

/// What became of a REGISTER, in a word; nothing of one that asked for a challenge.
fn result(request: &Request, response: &Response) -> Option<&'static str> {
    let proof = request.headers.has(&Name::Authorization);
    let stale = || {
        let challenge = response.headers.text(&Name::WwwAuthenticate);
        challenge.is_some_and(|challenge| challenge.contains("stale=true"))
    };
    let removes = || {
        let contacts = request.headers.contacts();
        let expires = request.headers.expires().ok().flatten();
        contacts.is_ok_and(|contacts| match contacts {
            Contacts::All => true,
            Contacts::Some(all) => {
                let secs = |contact: &sip::NameAddr| contact.expires().or(expires);
                !all.is_empty() && all.iter().all(|contact| secs(contact) == Some(0))
            }
        })
    };
    match response.status.code() {
        200 if removes() => Some("removed"),
        200 if !request.headers.has(&Name::Contact) => Some("asked"),
        200 => Some("registered"),
        401 if !proof || stale() => None,
        401 => Some("wrong"),
        403 => Some("forbidden"),
        _ => Some("refused"),
    }
}

/// A binding as it is kept on disk.
fn kept(binding: &Binding, now: Instant, wall: SystemTime) -> Registration {
    Registration {
        slot: binding.slot(),
        contact: binding.uri.clone(),
        device: binding.device.clone(),
        reg_id: binding.reg_id,
        path: serde_json::to_string(&binding.path).unwrap_or_default(),
        via_core: binding.via_core,
        call_id: binding.call_id.clone(),
        cseq: binding.cseq,
        expires: wall + binding.expires_at.saturating_duration_since(now),
    }
}
