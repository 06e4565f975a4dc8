//! REGISTER in words of the binding table, and the table in words of a 200 (RFC 3261, 10.3; RFC 5626, 6). Pure.
use std::time::Instant;

use ids::Aor;
use sip::endpoint::FlowId;
use sip::header::{Contacts, Name, NameAddr};
use sip::{BadHeader, Request, Response, Status};

use crate::registrar::{Asked, Binding, Change, Origin, Refusal};

/// What a REGISTER asks for.
pub(crate) fn read(flow: FlowId, request: &Request) -> Result<(Origin, Change), BadHeader> {
    let headers = &request.headers;
    let origin = Origin {
        flow,
        path: headers.addresses(Name::Path)?.iter().map(ToString::to_string).collect(),
        call_id: headers.call_id()?.into_owned(),
        cseq: headers.cseq()?.number,
    };
    let expires = headers.expires()?;
    let change = match headers.contacts()? {
        // RFC 3261, 10.3 step 6: the star only ever removes.
        Contacts::All if expires == Some(0) => Change::RemoveAll,
        Contacts::All => return Err(malformed()),
        Contacts::Some(contacts) if contacts.is_empty() => Change::Fetch,
        Contacts::Some(contacts) => {
            Change::Contacts(contacts.iter().map(|contact| asked(contact, expires)).collect())
        }
    };
    Ok((origin, change))
}

fn malformed() -> BadHeader {
    BadHeader { name: Name::Contact, fault: sip::header::HeaderFault::Malformed }
}

fn asked(contact: &NameAddr, expires: Option<u32>) -> Asked {
    let device = contact.instance();
    let reg_id = contact.params.value("reg-id").and_then(|id| id.parse().ok());
    Asked {
        uri: contact.uri.to_string(),
        // RFC 5626, 6: without an instance the reg-id means nothing.
        reg_id: reg_id.filter(|_| device.is_some()),
        device,
        secs: contact.expires().or(expires),
    }
}

/// The answer to a REGISTER that changed nothing.
pub(crate) fn refused(request: &Request, refusal: Refusal) -> Response {
    match refusal {
        Refusal::TooBrief(secs) => {
            Response::to(request, Status::INTERVAL_TOO_BRIEF).with(Name::MinExpires, secs)
        }
        Refusal::OutOfOrder => {
            Response::to(request, Status::SERVER_INTERNAL_ERROR).with_reason("CSeq Out Of Order")
        }
        Refusal::PersonFull => {
            Response::to(request, Status::FORBIDDEN).with_reason("Too Many Devices")
        }
        Refusal::Full => {
            Response::to(request, Status::SERVICE_UNAVAILABLE).with(Name::RetryAfter, 60)
        }
    }
}

/// Seconds between a client's keep-alives (RFC 5626, 4.4.1); well below the idle limit of a connection.
const FLOW_TIMER_SECS: u32 = 120;

/// The 200: every binding of the person with its time left, and where the person's requests enter the system.
pub(crate) fn accepted(
    request: &Request,
    aor: &Aor,
    bindings: &[Binding],
    now: Instant,
    service_route: &str,
) -> Response {
    let mut response = Response::to(request, Status::OK);
    for binding in bindings {
        response = response.with(Name::Contact, contact(binding, now));
    }
    let supports = |tag| request.headers.lists(&Name::Supported, tag);
    if bindings.iter().any(|binding| binding.reg_id.is_some()) && supports("outbound") {
        response = response.with(Name::Require, "outbound").with(Name::FlowTimer, FLOW_TIMER_SECS);
    }
    if supports("path") {
        response.headers.copy(&Name::Path, &request.headers);
    }
    response
        .with(Name::PAssociatedUri, format!("<{aor}>"))
        .with(Name::ServiceRoute, format!("<{service_route}>"))
}

fn contact(binding: &Binding, now: Instant) -> String {
    let mut text = format!("<{}>", binding.uri);
    if let Some(device) = &binding.device {
        text.push_str(&format!(";+sip.instance=\"<{device}>\""));
    }
    if let Some(reg_id) = binding.reg_id {
        text.push_str(&format!(";reg-id={reg_id}"));
    }
    text.push_str(&format!(";expires={}", binding.secs_left(now)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registrar::{Bounds, Registrar};
    use service::clock;

    fn register(contact: &str) -> Request {
        let uri: sip::Uri = "sip:example.net".parse().unwrap();
        let mut request = Request::new(sip::Method::Register, uri)
            .with(Name::CallId, "c1")
            .with(Name::CSeq, "1 REGISTER")
            .with(Name::Supported, "path, outbound");
        if !contact.is_empty() {
            request = request.with(Name::Contact, contact);
        }
        request
    }

    #[test]
    fn a_contact_says_its_device_its_flow_and_its_time() {
        let request = register(
            "<sip:alice@192.0.2.1;transport=tls>;reg-id=1;expires=600;\
             +sip.instance=\"<urn:uuid:00000000-0000-4000-8000-000000000001>\"",
        );

        let (_, change) = read(FlowId(1), &request).unwrap();

        let Change::Contacts(asked) = change else { panic!("{change:?}") };
        assert_eq!((asked[0].reg_id, asked[0].secs), (Some(1), Some(600)));
        assert!(asked[0].device.is_some());
    }

    #[test]
    fn the_star_needs_expires_0() {
        let star = register("*");

        assert!(read(FlowId(1), &star).is_err());
        let (_, change) = read(FlowId(1), &star.with(Name::Expires, 0)).unwrap();
        assert!(matches!(change, Change::RemoveAll));
    }

    #[test]
    fn the_200_gives_each_contact_back_with_its_time() {
        let now = clock::now();
        let mut registrar =
            Registrar::new(Bounds { per_person_max: 4, total_max: 4, secs: (60, 3_600, 7_200) });
        let aor: Aor = "sip:alice@example.net".parse().unwrap();
        let request = register(
            "<sip:alice@192.0.2.1>;reg-id=1;\
             +sip.instance=\"<urn:uuid:00000000-0000-4000-8000-000000000001>\"",
        );
        let (origin, change) = read(FlowId(1), &request).unwrap();
        let bindings = registrar.register(now, &aor, &origin, &change).unwrap();

        let response = accepted(&request, &aor, &bindings, now, "sip:example.net:5061;lr");

        let contact = response.headers.contact().unwrap();
        assert_eq!(contact.expires(), Some(3_600));
        assert!(contact.instance().is_some() && contact.params.has("reg-id"));
        assert!(response.headers.lists(&Name::Require, "outbound"));
        assert_eq!(response.headers.text(&Name::PAssociatedUri).unwrap(), format!("<{aor}>"));
    }

    #[test]
    fn each_refusal_has_its_status() {
        let request = register("<sip:alice@192.0.2.1>");
        let codes = [
            (Refusal::TooBrief(60), 423),
            (Refusal::OutOfOrder, 500),
            (Refusal::PersonFull, 403),
            (Refusal::Full, 503),
        ];
        for (refusal, code) in codes {
            assert_eq!(refused(&request, refusal).status.code(), code);
        }
        let brief = refused(&request, Refusal::TooBrief(60));
        assert_eq!(brief.headers.min_expires(), Ok(Some(60)));
    }
}
