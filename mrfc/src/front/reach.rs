//! Whom a Request-URI reaches: a number stands for its person (RFC 3966), a GRUU for one device (RFC 5627, 6), and a
//! `sips:` URI only for devices that registered as such (RFC 5630, 5.3). What nobody here has is 404.
use std::sync::Arc;
use std::time::Instant;

use ids::{Aor, DeviceId};
use service::clock;
use sip::gruu::Gruu;
use sip::header::{Name, Warning};
use sip::tel::Numbered;
use sip::{Method, Request, Response, SipUri, Status, Uri};

use super::Front;
use crate::registrar::Binding;

impl Front {
    /// The request for the person, or the device, that its URI means: in place of a number the person's address, in
    /// place of a temporary GRUU the public one. Any other request is as it came.
    pub(super) fn for_person(&self, request: &Arc<Request>) -> Result<Arc<Request>, Response> {
        let meant = self.meant(&request.uri);
        let meant = meant.map_err(|status| Response::to(request, status))?;
        let request = match meant {
            None => Arc::clone(request),
            Some(uri) => {
                let mut changed = Request::clone(request);
                changed.uri = uri.into();
                Arc::new(changed)
            }
        };
        if matches!(request.method, Method::Message | Method::Invite) {
            self.reachable_as_asked(&request)?;
        }
        Ok(request)
    }

    /// What a URI of ours stands for, if it is not what it says.
    pub(super) fn meant(&self, uri: &Uri) -> Result<Option<SipUri>, Status> {
        let of_ours = uri.sip().is_none_or(|uri| uri.host().eq_ignore_ascii_case(&self.domain));
        if !of_ours {
            return Ok(None);
        }
        let secure = uri.sip().is_some_and(SipUri::is_secure);
        if let Some(Gruu::Temporary(user)) = uri.sip().and_then(Gruu::of) {
            let number = self.temporary.number(&user).ok_or(Status::NOT_FOUND)?;
            // RFC 5627, 5.4: nobody is there any more.
            let whose = self.registrar.numbered(number).ok_or(Status::TEMPORARILY_UNAVAILABLE)?;
            return Ok(Some(Gruu::public(&whose.0, &whose.1).with_secure(secure)));
        }
        // A person may be called `+1555…` by name.
        if uri.aor().is_some_and(|aor| self.users.knows(&aor)) {
            return Ok(None);
        }
        let person = match Numbered::of(uri) {
            None => return Ok(None),
            Some(Numbered::Global(number)) => self.users.with_number(&number),
            Some(Numbered::Local) => None,
        };
        let person = person.ok_or(Status::NOT_FOUND)?;
        Ok(Some(SipUri::from(person).with_secure(secure)))
    }

    /// RFC 5630, 5.3: who can be reached, and not in the way that is asked for, is not reached in another.
    fn reachable_as_asked(&self, request: &Request) -> Result<(), Response> {
        let Some(aor) = request.uri.aor().filter(|aor| self.users.knows(aor)) else {
            return Ok(());
        };
        let now = clock::now();
        let there = !self.registrar.ways(&aor, device_of(&request.uri).as_ref(), now).is_empty();
        if !there || !self.ways_to(&request.uri, &aor, now).is_empty() {
            return Ok(());
        }
        let secure = request.uri.sip().is_some_and(SipUri::is_secure);
        let (code, text) = if secure { (380, "SIPS Not Allowed") } else { (381, "SIPS Required") };
        let refused = Response::to(request, Status::TEMPORARILY_UNAVAILABLE);
        Err(refused.with(Name::Warning, Warning::new(code, &self.domain, text)))
    }

    /// The flows of each device that `uri` means and that may be reached as it asks, the newest first. A `sips:` URI goes
    /// to `sips:` Contacts only; a `sip:` URI stays one; and both go to a `sips:` Contact by TLS.
    pub(super) fn ways_to(&self, uri: &Uri, aor: &Aor, now: Instant) -> Vec<Vec<Binding>> {
        let needs_sips = uri.sip().is_some_and(SipUri::is_secure);
        let passes = |binding: &Binding| {
            let tls = self.flows.get(&binding.flow).is_some_and(|flow| !flow.plain);
            match (needs_sips, binding.is_secure()) {
                (true, secure) => tls && secure,
                (false, true) => tls,
                (false, false) => true,
            }
        };
        let ways = self.registrar.ways(aor, device_of(uri).as_ref(), now);
        let left = |way: Vec<Binding>| way.into_iter().filter(passes).collect::<Vec<_>>();
        let mut ways: Vec<_> = ways.into_iter().map(left).filter(|way| !way.is_empty()).collect();
        if !needs_sips {
            ways.iter_mut().flatten().for_each(as_sip);
        }
        ways
    }
}

/// The device that a public GRUU names.
fn device_of(uri: &Uri) -> Option<DeviceId> {
    match Gruu::of(uri.sip()?)? {
        Gruu::Public(_, device) => Some(device),
        Gruu::Temporary(_) => None,
    }
}

/// RFC 5630, 5.3: a `sip:` request stays one on its last hop.
fn as_sip(binding: &mut Binding) {
    if binding.is_secure()
        && let Ok(uri) = binding.uri.parse::<SipUri>()
    {
        binding.uri = uri.with_secure(false).to_string();
    }
}
