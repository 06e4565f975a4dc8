//! REGISTER in words of the binding table, and the table in words of a 200 (RFC 3261, 10.3; RFC 5626, 6; RFC 5627, 5;
//! RFC 5630, 5.2). Pure.
use std::time::Instant;

use ids::Aor;
use sip::endpoint::FlowId;
use sip::gruu::Gruu;
use sip::header::{Contacts, Name, NameAddr};
use sip::tel::{E164, Numbered};
use sip::{BadHeader, Request, Response, Status, Uri};

use crate::registrar::{Asked, Binding, Change, Origin, Refusal};

/// Octets of a Contact's other parameters that are kept. 512: a dozen feature tags.
const PARAMS_BYTES_MAX: usize = 512;

/// Why a REGISTER cannot be put in words of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A header field that says nothing: 400.
    Header(BadHeader),
    /// RFC 5626, 6: a flow is registered with one Contact alone: 400.
    ManyFlows,
    /// RFC 5630, 5.2: a `sips:` Contact beside URIs that are not: 400.
    NotAllSips,
    /// A Contact that no request of ours could go to: 400.
    NotSip,
    /// A telephone number is registered with the person whose it is, never by itself: 403.
    Number,
    /// RFC 5626, 6: the first proxy on the way keeps no flows: 439.
    FirstHopLacksOutbound,
}

impl From<BadHeader> for Unreadable {
    fn from(bad: BadHeader) -> Self {
        Self::Header(bad)
    }
}

impl Unreadable {
    /// The answer.
    pub(crate) fn response(&self, request: &Request) -> Response {
        let (status, reason) = match self {
            Self::Header(_) => return Response::to(request, Status::BAD_REQUEST),
            Self::FirstHopLacksOutbound => {
                return Response::to(request, Status::FIRST_HOP_LACKS_OUTBOUND);
            }
            Self::ManyFlows => (Status::BAD_REQUEST, "More Than One Contact With reg-id"),
            Self::NotAllSips => (Status::BAD_REQUEST, "SIPS Contact Needs SIPS URIs"),
            Self::NotSip => (Status::BAD_REQUEST, "Contact Is Not A SIP URI"),
            Self::Number => (Status::FORBIDDEN, "Numbers Are Registered Implicitly"),
        };
        Response::to(request, status).with_reason(reason)
    }
}

/// Where a REGISTER came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whence {
    pub(crate) flow: FlowId,
    pub(crate) via_core: bool,
}

/// What a REGISTER asks for.
pub(crate) fn read(from: Whence, request: &Request) -> Result<(Origin, Change), Unreadable> {
    let headers = &request.headers;
    if Numbered::of(&headers.to()?.uri).is_some() {
        return Err(Unreadable::Number);
    }
    let path = headers.addresses(Name::Path)?;
    let expires = headers.expires()?;
    let origin = Origin {
        flow: from.flow,
        via_core: from.via_core,
        path: path.iter().map(ToString::to_string).collect(),
        call_id: headers.call_id()?.into_owned(),
        cseq: headers.cseq()?.number,
    };
    let change = match headers.contacts()? {
        // RFC 3261, 10.3 step 6: the star only ever removes.
        Contacts::All if expires == Some(0) => Change::RemoveAll,
        Contacts::All => return Err(malformed().into()),
        Contacts::Some(contacts) if contacts.is_empty() => Change::Fetch,
        Contacts::Some(contacts) => {
            contacts.iter().try_for_each(|contact| reachable(request, contact, &path))?;
            let mut asked: Vec<Asked> =
                contacts.iter().map(|contact| asked(contact, expires)).collect();
            flows(request, &path, &mut asked)?;
            Change::Contacts(asked)
        }
    };
    Ok((origin, change))
}

fn malformed() -> BadHeader {
    BadHeader { name: Name::Contact, fault: sip::header::HeaderFault::Malformed }
}

/// Whether requests can go to this Contact, by the scheme it has.
fn reachable(request: &Request, contact: &NameAddr, path: &[NameAddr]) -> Result<(), Unreadable> {
    if Numbered::of(&contact.uri).is_some_and(|_| contact.uri.sip().is_none()) {
        return Err(Unreadable::Number);
    }
    let is_sips = |uri: &Uri| uri.sip().is_some_and(sip::SipUri::is_secure);
    match contact.uri.sip() {
        None => Err(Unreadable::NotSip),
        Some(uri) if !uri.is_secure() => Ok(()),
        Some(_) => {
            let all = is_sips(&request.uri) && path.iter().all(|hop| is_sips(&hop.uri));
            if all { Ok(()) } else { Err(Unreadable::NotAllSips) }
        }
    }
}

/// RFC 5626, 6: whether flows are registered at all. Where the first hop is a proxy it must keep them.
fn flows(request: &Request, path: &[NameAddr], asked: &mut [Asked]) -> Result<(), Unreadable> {
    let lasting = asked.iter().filter(|asked| asked.secs != Some(0)).count();
    let on_flow = |asked: &Asked| asked.reg_id.is_some() && asked.secs != Some(0);
    if lasting > 1 && asked.iter().any(on_flow) {
        return Err(Unreadable::ManyFlows);
    }
    let direct = request.headers.vias()?.len() == 1;
    // Each proxy puts its Path in front, so the first one's is the last.
    let first_hop = path.last().and_then(|hop| hop.uri.sip());
    if direct || first_hop.is_some_and(|uri| uri.params().has("ob")) {
        return Ok(());
    }
    if asked.iter().any(|asked| asked.reg_id.is_some()) && supports(request, "outbound") {
        return Err(Unreadable::FirstHopLacksOutbound);
    }
    asked.iter_mut().for_each(|asked| asked.reg_id = None);
    Ok(())
}

fn supports(request: &Request, tag: &str) -> bool {
    request.headers.lists(&Name::Supported, tag)
}

fn asked(contact: &NameAddr, expires: Option<u32>) -> Asked {
    let device = contact.instance();
    let reg_id = contact.params.value("reg-id").and_then(|id| id.parse().ok());
    let mut params = contact.params.clone();
    for ours in ["+sip.instance", "reg-id", "expires", "pub-gruu", "temp-gruu"] {
        params.remove(ours);
    }
    let params = Some(params.to_string()).filter(|params| params.len() <= PARAMS_BYTES_MAX);
    Asked {
        uri: contact.uri.to_string(),
        // RFC 5626, 6: without an instance the reg-id means nothing.
        reg_id: reg_id.filter(|_| device.is_some()),
        device,
        params: params.unwrap_or_default(),
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

/// Whom a REGISTER was for, and where the person's requests enter the system.
pub(crate) struct Accepted<'a> {
    pub(crate) aor: &'a Aor,
    /// The numbers that are registered with the person.
    pub(crate) numbers: &'a [E164],
    pub(crate) service_route: &'a str,
}

/// The 200: every binding of the person with its time left, and who the person is now (RFC 3261, 10.3 step 8; RFC
/// 3608; RFC 7315, 4.1). `temporary` makes a temporary GRUU for a number.
pub(crate) fn accepted(
    request: &Request,
    whose: &Accepted<'_>,
    bindings: &[Binding],
    now: Instant,
    mut temporary: impl FnMut(u64) -> String,
) -> Response {
    let mut response = Response::to(request, Status::OK);
    let gruu = supports(request, "gruu");
    for binding in bindings {
        let mut text = contact(binding, now);
        if let Some(device) = binding.device.as_ref().filter(|_| gruu) {
            // RFC 5630, 5.2.1: the scheme is that of the Contact.
            let public = Gruu::public(whose.aor, device).with_secure(binding.is_secure());
            let (scheme, host) = (public.scheme(), whose.aor.host());
            let user = temporary(binding.number);
            text.push_str(&format!(
                ";pub-gruu=\"{public}\";temp-gruu=\"{scheme}:{user}@{host};gr\""
            ));
        }
        response = response.with(Name::Contact, text);
    }
    if supports(request, "outbound") && registers_a_flow(request, bindings) {
        response = response.with(Name::Require, "outbound").with(Name::FlowTimer, FLOW_TIMER_SECS);
    }
    if supports(request, "path") {
        response.headers.copy(&Name::Path, &request.headers);
    }
    let own = format!("<{}>", whose.aor);
    let numbers = whose.numbers.iter().map(|number| format!("<tel:{number}>"));
    let all: Vec<String> = [own].into_iter().chain(numbers).collect();
    response
        .with(Name::PAssociatedUri, all.join(", "))
        .with(Name::ServiceRoute, format!("<{}>", whose.service_route))
}

/// RFC 5626, 6: whether this REGISTER has made a flow one of its person's.
fn registers_a_flow(request: &Request, bindings: &[Binding]) -> bool {
    let Ok(Contacts::Some(contacts)) = request.headers.contacts() else { return false };
    let is = |binding: &Binding, contact: &NameAddr| {
        binding.reg_id.is_some() && binding.device == contact.instance()
    };
    contacts.iter().any(|contact| {
        contact.params.has("reg-id") && bindings.iter().any(|binding| is(binding, contact))
    })
}

fn contact(binding: &Binding, now: Instant) -> String {
    let mut text = format!("<{}>{}", binding.uri, binding.params);
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

    const DIRECT: Whence = Whence { flow: FlowId(1), via_core: false };

    fn whose(aor: &Aor) -> Accepted<'_> {
        Accepted { aor, numbers: &[], service_route: "sip:example.net:5061;lr" }
    }

    fn register(contact: &str) -> Request {
        let uri: Uri = "sip:example.net".parse().unwrap();
        let mut request = Request::new(sip::Method::Register, uri)
            .with(Name::Via, "SIP/2.0/TLS ua.example.net;branch=z9hG4bK1")
            .with(Name::To, "<sip:alice@example.net>")
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

        let (_, change) = read(DIRECT, &request).unwrap();

        let Change::Contacts(asked) = change else { panic!("{change:?}") };
        assert_eq!((asked[0].reg_id, asked[0].secs), (Some(1), Some(600)));
        assert!(asked[0].device.is_some());
    }

    #[test]
    fn the_star_needs_expires_0() {
        let star = register("*");

        assert!(read(DIRECT, &star).is_err());
        let (_, change) = read(DIRECT, &star.with(Name::Expires, 0)).unwrap();
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
        let (origin, change) = read(DIRECT, &request).unwrap();
        let bindings = registrar.register(now, &aor, &origin, &change).unwrap();

        let response = accepted(&request, &whose(&aor), &bindings, now, |_| String::new());

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

    const DEVICE: &str = "+sip.instance=\"<urn:uuid:00000000-0000-4000-8000-000000000001>\"";

    fn refusal(request: &Request) -> u16 {
        let unreadable = read(DIRECT, request).unwrap_err();
        unreadable.response(request).status.code()
    }

    #[test]
    fn reg_3_a_number_is_never_registered_by_itself() {
        let mut to_number = register("<sip:alice@192.0.2.1>");
        for to in ["<tel:+15551230001>", "<sip:+15551230001@example.net;user=phone>", "<tel:7042>"]
        {
            to_number.headers.set(Name::To, to.to_owned());
            assert_eq!(refusal(&to_number), 403, "{to}");
        }
        assert_eq!(refusal(&register("<tel:+15551230001>")), 403);
        assert_eq!(refusal(&register("<mailto:alice@example.net>")), 400);
    }

    #[test]
    fn ob_01_two_contacts_with_a_flow_are_400_and_one_that_goes_may_be_there() {
        let two = format!("<sip:a@192.0.2.1>;reg-id=1;{DEVICE}, <sip:a@192.0.2.2>");
        let one_goes = format!("<sip:a@192.0.2.1>;reg-id=1;{DEVICE}, <sip:a@192.0.2.2>;expires=0");

        assert_eq!(refusal(&register(&two)), 400);
        assert!(read(DIRECT, &register(&one_goes)).is_ok());
    }

    #[test]
    fn ob_01_a_first_hop_without_outbound_is_439_for_who_wants_it_and_otherwise_ignored() {
        let contact = format!("<sip:a@192.0.2.1>;reg-id=1;{DEVICE}");
        let through = |path: &str| {
            let proxy = "SIP/2.0/TLS proxy.example.net;branch=z9hG4bK2";
            register(&contact).with(Name::Via, proxy).with(Name::Path, path)
        };

        assert_eq!(refusal(&through("<sip:proxy.example.net;lr>")), 439);
        assert!(read(DIRECT, &through("<sip:x@proxy.example.net;lr;ob>")).is_ok());
        let mut not_wanted = through("<sip:proxy.example.net;lr>");
        not_wanted.headers.set(Name::Supported, "path");
        let (_, Change::Contacts(asked)) = read(DIRECT, &not_wanted).unwrap() else {
            panic!("contacts were asked for");
        };
        assert_eq!(asked[0].reg_id, None);
    }

    #[test]
    fn sips_03_a_sips_contact_needs_sips_all_the_way() {
        let mut request = register("<sips:alice@192.0.2.1>");
        assert_eq!(refusal(&request), 400);
        request.uri = "sips:example.net".parse().unwrap();
        assert!(read(DIRECT, &request).is_ok());
        let path = request.with(Name::Path, "<sip:proxy.example.net;lr;ob>");
        assert_eq!(refusal(&path), 400);
    }

    #[test]
    fn reg_3_and_ob_07_the_200_tells_the_numbers_and_the_gruus() {
        let now = clock::now();
        let bounds = Bounds { per_person_max: 4, total_max: 4, secs: (60, 3_600, 7_200) };
        let mut registrar = Registrar::new(bounds);
        let aor: Aor = "sip:alice@example.net".parse().unwrap();
        let mut request = register(&format!("<sip:a@192.0.2.1>;{DEVICE};+g.oma.sip-im;q=0.5"));
        let (origin, change) = read(DIRECT, &request).unwrap();
        let bindings = registrar.register(now, &aor, &origin, &change).unwrap();
        let numbers = ["+15551230001".parse().unwrap()];
        let whose = Accepted { numbers: &numbers, ..whose(&aor) };
        let answer = |request: &Request| {
            accepted(request, &whose, &bindings, now, |number| format!("tgruu.{number}"))
        };

        let plain = answer(&request);
        request.headers.set(Name::Supported, "path, gruu");
        let asked = answer(&request);

        let associated = plain.headers.text(&Name::PAssociatedUri).unwrap();
        assert_eq!(associated, "<sip:alice@example.net>, <tel:+15551230001>");
        // No flow was registered, so none is spoken of.
        assert!(!plain.headers.has(&Name::Require));
        let contact = plain.headers.contact().unwrap();
        assert!(contact.params.has("+g.oma.sip-im") && contact.preference() == 500);
        assert!(!contact.params.has("pub-gruu"));
        let contact = asked.headers.contact().unwrap();
        let public = "sip:alice@example.net;gr=urn:uuid:00000000-0000-4000-8000-000000000001";
        assert_eq!(contact.params.text("pub-gruu").unwrap(), public);
        let temporary = format!("sip:tgruu.{}@example.net;gr", bindings[0].number);
        assert_eq!(contact.params.text("temp-gruu").unwrap(), temporary);
    }
}
