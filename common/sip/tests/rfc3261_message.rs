//! RFC 3261, 7, 8.2.6, 18.3 and 20, as far as one message goes: what decodes, what is refused and how, what is written.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use bytes::BytesMut;
use sip::header::{Contacts, MediaType, ReasonValue, SubscriptionState, Warning};
use sip::{
    Decoder, Item, Limits, Malformed, Message, Method, Name, NameAddr, Request, Response, Side,
    SipUri, Status, Then, Via,
};

/// A legal request with these lines in place of nothing, and this body.
fn invite(lines: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "INVITE sip:room7@conf.example.net SIP/2.0\r\n\
         Via: SIP/2.0/TLS ua.example.net;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: \"Alice\" <sip:alice@example.net>;tag=a1\r\nTo: <sip:room7@conf.example.net>\r\n\
         Call-ID: c1\r\nCSeq: 1 INVITE\r\n{lines}Content-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn decode_with(limits: Limits, bytes: &[u8]) -> Vec<Item> {
    let mut buffer = BytesMut::from(bytes);
    let mut decoder = Decoder::new(Side::Accepted, limits);
    std::iter::from_fn(|| decoder.decode(&mut buffer)).collect()
}

fn decode(bytes: &[u8]) -> Vec<Item> {
    decode_with(Limits::default(), bytes)
}

fn request(bytes: &[u8]) -> Request {
    match decode(bytes).pop().unwrap() {
        Item::Message(Message::Request(request)) => request,
        other => panic!("not a request: {other:?}"),
    }
}

fn malformed(bytes: &[u8]) -> Malformed {
    match decode(bytes).remove(0) {
        Item::Malformed(malformed) => malformed,
        other => panic!("not malformed: {other:?}"),
    }
}

#[test]
fn s7_1_a_method_nobody_knows_decodes_like_any_other() {
    let text = String::from_utf8(invite("", b"")).unwrap().replace("INVITE", "FROB!");

    let request = request(text.as_bytes());

    assert_eq!(request.method, Method::Other("FROB!".parse().unwrap()));
}

#[test]
fn s7_1_another_version_is_answered_505_and_the_flow_goes_on() {
    let text =
        String::from_utf8(invite("", b"body")).unwrap().replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia");
    let mut bytes = text.into_bytes();
    bytes.extend(invite("", b""));

    let items = decode(&bytes);

    let Some(Item::Malformed(bad)) = items.first() else { panic!("{items:?}") };
    assert_eq!((bad.status, bad.then), (Status::VERSION_NOT_SUPPORTED, Then::Continue));
    assert!(bad.answer.is_some());
    assert!(matches!(items.last(), Some(Item::Message(_))));
}

#[test]
fn s7_3_1_folded_lines_compact_names_and_any_case_are_understood() {
    let bytes = invite("s: one\r\n  two\r\n\tthree\r\nK: timer,\r\n gruu\r\nx-MiNe: 1\r\n", b"");

    let headers = request(&bytes).headers;

    assert_eq!(headers.text(&Name::Subject).unwrap(), "one two three");
    assert!(headers.lists(&Name::Supported, "GRUU"));
    assert_eq!(headers.text(&Name::parse(b"X-Mine").unwrap()).unwrap(), "1");
}

#[test]
fn s7_3_1_a_header_line_that_is_not_utf8_hides_no_header_after_it() {
    let mut bytes = invite("Subject: caf?\r\nExpires: 60\r\n", b"the body");
    let at = bytes.iter().position(|&byte| byte == b'?').unwrap();
    bytes[at] = 0xe9;

    let request = request(&bytes);

    assert_eq!(request.headers.expires().unwrap(), Some(60));
    assert_eq!(request.headers.raw(&Name::Subject).next().unwrap().as_ref(), b"caf\xe9");
    assert_eq!(request.body.as_ref(), b"the body");
}

#[test]
fn s7_3_1_one_list_over_several_lines_is_one_list() {
    let bytes = invite("Route: <sip:a;lr>, <sip:b;lr>\r\nRoute: <sip:c;lr>\r\n", b"");

    let routes = request(&bytes).headers.routes().unwrap();

    let hosts: Vec<_> =
        routes.iter().map(|route| route.uri.sip().unwrap().host().to_owned()).collect();
    assert_eq!(hosts, ["a", "b", "c"]);
}

#[test]
fn s7_3_1_a_lone_line_feed_in_a_header_is_refused() {
    let bad = malformed(&invite("Subject: a\nRoute: <sip:evil>\r\n", b""));
    assert_eq!((bad.status, bad.then), (Status::BAD_REQUEST, Then::Continue));
}

#[test]
fn s7_5_line_breaks_in_front_of_a_message_are_ignored() {
    let mut bytes = b"\r\n".to_vec();
    bytes.extend(invite("", b""));
    assert!(matches!(decode(&bytes).as_slice(), [Item::Message(_)]));
}

#[test]
fn s8_1_1_a_request_without_a_needed_header_is_answered_400() {
    for line in ["From", "To", "Call-ID"] {
        let text = String::from_utf8(invite("", b"")).unwrap();
        let without: String =
            text.split_inclusive("\r\n").filter(|l| !l.starts_with(&format!("{line}:"))).collect();

        let bad = malformed(without.as_bytes());

        assert_eq!((bad.status, bad.then), (Status::BAD_REQUEST, Then::Continue), "{line}");
        assert!(bad.answer.is_some(), "{line}");
    }
    for line in ["Via", "CSeq"] {
        let text = String::from_utf8(invite("", b"")).unwrap();
        let without: String =
            text.split_inclusive("\r\n").filter(|l| !l.starts_with(&format!("{line}:"))).collect();
        // Nobody could tell what such an answer belongs to.
        assert_eq!(malformed(without.as_bytes()).answer, None, "{line}");
    }
}

#[test]
fn s8_1_1_5_the_cseq_names_the_method_and_stays_below_2_to_the_31() {
    for cseq in
        ["1 OPTIONS", "2147483648 INVITE", "99999999999 INVITE", "-1 INVITE", "INVITE", "1INVITE"]
    {
        let text = String::from_utf8(invite("", b"")).unwrap().replace("1 INVITE", cseq);
        assert_eq!(malformed(text.as_bytes()).status, Status::BAD_REQUEST, "{cseq}");
    }
}

#[test]
fn s8_2_6_2_a_response_copies_what_identifies_its_request() {
    let request =
        request(&invite("Via: SIP/2.0/TCP b;branch=z9hG4bK2\r\nRecord-Route: <sip:p;lr>\r\n", b""));

    let response = Response::to(&request, Status::OK).with_to_tag("f1");

    assert_eq!(response.headers.vias().unwrap(), request.headers.vias().unwrap());
    assert_eq!(response.headers.from(), request.headers.from());
    assert_eq!(response.headers.call_id(), request.headers.call_id());
    assert_eq!(response.headers.cseq(), request.headers.cseq());
    assert_eq!(response.headers.to().unwrap().tag(), Some("f1"));
    assert_eq!(response.headers.record_routes().unwrap().len(), 1);
    assert_eq!(response.clone().with_to_tag("f2"), response, "a tag stays");
    let trying = Response::to(&request, Status::TRYING).with_to_tag("f1");
    assert_eq!(trying.headers.to().unwrap().tag(), None, "a 100 has no tag of ours");
}

#[test]
fn s8_2_6_2_a_tag_goes_behind_the_to_as_it_came() {
    for to in
        ["\"R, 7\" <sip:room7@conf.example.net;x=y> ; p", "sip:room7@conf.example.net;p=\">\""]
    {
        let text = String::from_utf8(invite("", b"")).unwrap();
        let request = request(
            text.replace("To: <sip:room7@conf.example.net>", &format!("To: {to}")).as_bytes(),
        );

        let response = Response::to(&request, Status::OK).with_to_tag("f1");

        assert_eq!(response.headers.text(&Name::To).unwrap(), format!("{to};tag=f1"));
        assert_eq!(response.headers.to().unwrap().tag(), Some("f1"));
    }
}

#[test]
fn s8_2_7_the_same_malformed_request_gets_the_same_tag() {
    let text = String::from_utf8(invite("", b"")).unwrap().replace("70", "many");
    let tag = |text: &str| malformed(text.as_bytes()).answer.unwrap().headers.to().unwrap();
    assert_eq!(tag(&text), tag(&text));
    assert!(tag(&text).tag().is_some());
    assert_ne!(tag(&text), tag(&text.replace("Call-ID: c1", "Call-ID: c2")));
}

#[test]
fn s17_1_1_3_a_malformed_ack_and_a_malformed_response_are_never_answered() {
    let ack =
        String::from_utf8(invite("", b"")).unwrap().replace("INVITE", "ACK").replace("70", "many");
    assert_eq!(malformed(ack.as_bytes()).answer, None);
    let response =
        b"SIP/2.0 999 What\r\nVia: SIP/2.0/TLS a\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(malformed(response).answer, None);
}

#[test]
fn s18_3_a_missing_or_bad_content_length_is_answered_400_and_ends_the_flow() {
    let text = String::from_utf8(invite("", b"")).unwrap();
    let line = "Content-Length: 0\r\n";
    for bad in [
        "",
        "Content-Length: -1\r\n",
        "Content-Length: x\r\n",
        "Content-Length: \r\n",
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Content-Length: 0,0\r\n",
        "Content-Length: 99999999999999999999999\r\n",
    ] {
        let mut bytes = text.replace(line, bad).into_bytes();
        bytes.extend(invite("", b""));

        let items = decode(&bytes);

        let [Item::Malformed(malformed)] = items.as_slice() else { panic!("{bad:?}: {items:?}") };
        assert_eq!(
            (malformed.status, malformed.then),
            (Status::BAD_REQUEST, Then::Close),
            "{bad:?}"
        );
        assert!(malformed.answer.is_some(), "{bad:?}");
    }
}

#[test]
fn s18_3_equal_content_lengths_count_as_one() {
    let bytes = invite("l: 4\r\n", b"body");
    assert_eq!(request(&bytes).body.as_ref(), b"body");
}

#[test]
fn s19_1_1_a_request_uri_has_no_brackets_no_spaces_and_no_header_fields() {
    for uri in
        ["<sip:a@b>", "sip:a@b; lr", "sip:a@b?Route=%3Csip:c%3E", "sip:a b@c", "nothing", "sip:"]
    {
        let text = String::from_utf8(invite("", b"")).unwrap();
        let text = text.replace("sip:room7@conf.example.net SIP", &format!("{uri} SIP"));
        let bad = malformed(text.as_bytes());
        assert_eq!((bad.status, bad.then), (Status::BAD_REQUEST, Then::Continue), "{uri}");
    }
}

#[test]
fn s20_10_contact_is_a_star_alone_or_a_list() {
    let contacts = |lines: &str| request(&invite(lines, b"")).headers.contacts();
    assert_eq!(contacts("Contact: *\r\n").unwrap(), Contacts::All);
    assert!(contacts("Contact: *\r\nContact: <sip:a@b>\r\n").is_err());
    assert_eq!(contacts("").unwrap(), Contacts::Some(vec![]));
    let Contacts::Some(list) = contacts(
        "m: \"A, B\" <sip:a@b;p=1>;q=0.5;expires=60, sip:c@d;expires=x\r\nContact: <sip:e@f>;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\"\r\n",
    )
    .unwrap() else {
        panic!("a list was expected")
    };
    assert_eq!(list[0].display.as_deref(), Some("A, B"));
    assert_eq!((list[0].preference(), list[0].expires()), (500, Some(60)));
    assert_eq!((list[1].preference(), list[1].expires()), (1000, Some(3600)));
    assert_eq!(
        list[2].instance().unwrap().as_str(),
        "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
    );
    assert_eq!(list[2].expires(), None);
}

#[test]
fn s20_10_white_space_around_semicolons_and_equal_signs_is_legal() {
    let text = "Contact:  \"Alice\"   <sip:alice@example.net>  ;  expires = 60 ; tag\t=\ta1\r\n";
    let contact = request(&invite(text, b"")).headers.contact().unwrap();
    assert_eq!((contact.expires(), contact.tag()), (Some(60), Some("a1")));
}

#[test]
fn s20_20_and_20_43_typed_headers_come_back_as_they_were_written() {
    let lines = "Content-Type: Multipart/Mixed ; boundary=\"b 1\"\r\nReason: SIP ;cause=200 ;text=\"a \\\"b\\\"\"\r\n\
        Event: refer;id=93\r\nSubscription-State: terminated;reason=noresource\r\n\
        Warning: 305 mrfc.example.net \"no message/cpim\", 399 a:5061 \"x, y\"\r\n\
        Refer-To: <sip:dave@example.net;method=BYE>\r\nExpires: 4294967296\r\n";
    let headers = request(&invite(lines, b"")).headers;

    let content_type = headers.content_type().unwrap().unwrap();
    assert!(content_type.is("multipart/mixed"));
    assert_eq!(content_type.params.text("boundary").unwrap(), "b 1");
    assert_eq!(headers.reasons().unwrap()[0].cause(), Some(200));
    assert_eq!(headers.reasons().unwrap()[0].params.text("text").unwrap(), "a \"b\"");
    assert_eq!(headers.event().unwrap().id(), Some("93"));
    assert_eq!(headers.subscription_state().unwrap(), SubscriptionState::terminated("noresource"));
    let warnings = headers.warnings().unwrap();
    assert_eq!(warnings[0], Warning::new(305, "mrfc.example.net", "no message/cpim"));
    assert_eq!(warnings[1].text, "x, y");
    assert_eq!(headers.refer_to().unwrap().uri.sip().unwrap().param("method").unwrap(), "BYE");
    assert_eq!(headers.expires().unwrap(), Some(u32::MAX));
    assert_eq!(
        ReasonValue::new("conclave", 1, "leave").to_string(),
        "conclave;cause=1;text=\"leave\""
    );
    assert_eq!(MediaType::new("Message/CPIM").to_string(), "message/cpim");
}

#[test]
fn s20_42_via_is_read_with_white_space_everywhere_it_may_be() {
    let via: Via =
        "SIP  / 2.0  / TCP     192.0.2.2  :  5070 ; branch = z9hG4bKa ;received=2001:db8::1"
            .parse()
            .unwrap();
    assert_eq!((via.transport.as_str(), via.sent_by().as_str()), ("TCP", "192.0.2.2:5070"));
    assert!(via.has_unique_branch());
    assert_eq!(via.params.value("received"), Some("2001:db8::1"));
    let via: Via = "SIP/2.0/TLS [2001:db8::9:1]:5061;rport;branch=z9hG4bK".parse().unwrap();
    assert_eq!((via.host.as_str(), via.port), ("[2001:db8::9:1]", Some(5061)));
    assert!(!via.has_unique_branch(), "nothing behind the cookie");
    assert!("SIP/2.0/UDP".parse::<Via>().is_err());
    assert!("SIP/2.0/UDP a;;".parse::<Via>().is_err());
}

#[test]
fn a_body_of_one_mebibyte_is_taken_whole() {
    let body = vec![b'x'; 1 << 20];
    assert_eq!(request(&invite("", &body)).body, body);
}

#[test]
fn a_body_over_the_limit_is_answered_413_and_skipped() {
    let limits = Limits { body_bytes_max: 10, ..Limits::default() };
    let mut bytes = invite("", &[b'x'; 11]);
    bytes.extend(invite("", b"good"));

    let items = decode_with(limits, &bytes);

    let [Item::Malformed(bad), Item::Message(_)] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!((bad.status, bad.then), (Status::REQUEST_ENTITY_TOO_LARGE, Then::Continue));
    assert!(bad.answer.is_some());
    let tight = Limits { skipped_bytes_max: 10, ..limits };
    let items = decode_with(tight, &bytes);
    let [Item::Malformed(bad)] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!((bad.status, bad.then), (Status::REQUEST_ENTITY_TOO_LARGE, Then::Close));
}

#[test]
fn a_head_over_the_limit_is_answered_513_before_it_is_whole() {
    let bytes = invite(&format!("Subject: {}", "x".repeat(1 << 20)), b"");
    let items = decode(&bytes[..70 << 10]);
    let [Item::Malformed(bad)] = items.as_slice() else { panic!("{items:?}") };
    assert_eq!((bad.status, bad.then), (Status::MESSAGE_TOO_LARGE, Then::Close));
    assert!(bad.answer.is_some());
}

#[test]
fn too_many_header_fields_are_answered_400() {
    let bad = malformed(&invite(&"X: 1\r\n".repeat(300), b""));
    assert_eq!((bad.status, bad.then), (Status::BAD_REQUEST, Then::Close));
    assert!(bad.answer.is_some());
}

#[test]
fn a_first_byte_that_is_not_sip_ends_the_flow_at_once() {
    for garbage in [&b"\x16\x03\x01"[..], b"\0", b" ", b"\xff", b"\rX", b"\n"] {
        let items = decode(garbage);
        let [Item::Malformed(bad)] = items.as_slice() else { panic!("{garbage:?}: {items:?}") };
        assert_eq!((bad.then, &bad.answer), (Then::Close, &None), "{garbage:?}");
    }
    let bad = malformed(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!((bad.then, bad.answer), (Then::Close, None));
}

#[test]
fn rfc5626_s4_4_1_two_line_breaks_are_a_ping_and_one_is_a_pong() {
    let mut ping = b"\r\n\r\n".to_vec();
    ping.extend(invite("", b""));
    ping.extend(b"\r\n\r\n\r\n\r\n");
    assert!(matches!(
        decode(&ping).as_slice(),
        [Item::Ping, Item::Message(_), Item::Ping, Item::Ping]
    ));

    let mut buffer = BytesMut::from(&b"\r\n\r\n"[..]);
    let mut dialled = Decoder::new(Side::Dialled, Limits::default());
    assert_eq!(dialled.decode(&mut buffer), Some(Item::Pong));
    assert_eq!(dialled.decode(&mut buffer), Some(Item::Pong));
    assert_eq!(dialled.decode(&mut buffer), None);
}

#[test]
fn a_header_value_can_never_become_two_lines() {
    let request = Request::new(Method::Message, SipUri::new(Some("bob"), "b.example").unwrap())
        .with(Name::Subject, "a\r\nRoute: <sip:evil.example>\r\n\r\n")
        .with(
            Name::From,
            NameAddr {
                display: Some("x\r\ny\"\\".into()),
                ..NameAddr::new(SipUri::new(None, "a.example").unwrap())
            },
        );
    let bytes = request.to_bytes();
    let lines: Vec<_> = bytes.split(|&byte| byte == b'\n').collect();
    assert_eq!(lines.len(), 6, "{bytes:?}");
    assert_eq!(request.headers.from().unwrap().display.as_deref(), Some("x  y\"\\"));
}

#[test]
fn secrets_and_bodies_never_show_in_debug() {
    let request = request(&invite("Authorization: Digest response=\"s3cret\"\r\n", b"s3cret"));
    let shown = format!("{request:?} {:?}", Item::Message(request.clone().into()));
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[test]
fn headers_set_keeps_the_place_and_drops_the_others() {
    let mut headers = request(&invite("X: 1\r\nX: 2\r\n", b"")).headers;
    let before = headers.len();
    headers.set(Name::Via, "SIP/2.0/TCP c");
    headers.set(Name::parse(b"x").unwrap(), "3");
    headers.push_front(Name::Via, "SIP/2.0/TCP d");
    assert_eq!(headers.len(), before);
    assert_eq!(headers.iter().next().unwrap().value(), b"SIP/2.0/TCP d");
    assert_eq!(headers.vias().unwrap().len(), 2);
    assert_eq!(headers.raw(&Name::parse(b"X").unwrap()).count(), 1);
}
