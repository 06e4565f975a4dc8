//! A device whose KeyPackages are nearly used up is told so, by a MESSAGE of the domain's own. Nobody waits for the answer:
//! a device that does not hear of it looks by itself now and then.
use ids::{Aor, DeviceId};
use service::clock;
use sip::dialog::{random_call_id, random_tag};
use sip::header::{CSeq, Name, NameAddr};
use sip::{Method, Request, SipUri, Uri};

use super::Front;

/// What the MESSAGE carries: JSON, `{"left": 7}`.
const LOW: &str = "application/vnd.conclave.key-packages+json";

impl Front {
    /// Tells a device that it has so many left, where it is registered.
    pub(super) fn low(&mut self, of: &Aor, device: &DeviceId, left: usize) {
        let now = clock::now();
        let mut bindings = self.registrar.bindings(of, now).into_iter();
        let Some(binding) = bindings.find(|it| it.device.as_ref() == Some(device)) else { return };
        let (Ok(target), Ok(us)) = (binding.uri.parse::<Uri>(), SipUri::new(None, &self.domain))
        else {
            return;
        };
        let told = Request::new(Method::Message, target)
            .with(Name::MaxForwards, 70)
            .with(Name::From, NameAddr::new(us).with_tag(&random_tag(&mut self.rng)))
            .with(Name::To, NameAddr::new(SipUri::from(of)))
            .with(Name::CallId, random_call_id(&mut self.rng))
            .with(Name::CSeq, CSeq { number: 1, method: Method::Message });
        let told = binding.path.iter().fold(told, |told, hop| told.with(Name::Route, hop));
        let told = told.with_body(LOW, format!("{{\"left\":{left}}}"));
        self.endpoint.request(now, binding.flow, told);
    }
}
