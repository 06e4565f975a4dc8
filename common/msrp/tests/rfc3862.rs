//! The rules of RFC 3862 (CPIM), by section.

use bytes::Bytes;
use msrp::Body;
use msrp::cpim::{self, BadCpim, Builder, Envelope, Message};

const WHOLE: &str = "From: \"Alice\" <sip:alice@example.net>\r\n\
To: <sip:room7@conf.example.net>\r\n\
DateTime: 2026-11-20T12:00:00.123Z\r\n\
Subject:;lang=fr Bonjour\r\n\
NS: imdn <urn:ietf:params:imdn>\r\n\
imdn.Message-ID: 34jk324j\r\n\
imdn.Disposition-Notification: positive-delivery, display\r\n\
\r\n\
Content-Type: text/plain;charset=UTF-8\r\n\
\r\n\
Hello\r\n\r\nthere\n";

fn read(text: &str) -> Result<Option<Envelope>, BadCpim> {
    cpim::parse(&Bytes::copy_from_slice(text.as_bytes()))
}

#[test]
fn s2_a_message_is_headers_mime_headers_and_content() {
    let message = Message::read(&Bytes::from_static(WHOLE.as_bytes()).into()).unwrap();

    let envelope = &message.envelope;
    assert_eq!(envelope.from().unwrap().name.as_deref(), Some("Alice"));
    assert_eq!(envelope.date_time(), Some("2026-11-20T12:00:00.123Z"));
    assert_eq!(envelope.content_type(), Some(&b"text/plain;charset=UTF-8"[..]));
    assert!(envelope.is_type("TEXT/PLAIN"));
    assert_eq!(message.content.gather(), "Hello\r\n\r\nthere\n");
}

#[test]
fn s2_every_part_of_the_headers_asks_for_more() {
    let octets = read(WHOLE).unwrap().unwrap().octets();
    for cut in 0..octets {
        assert!(read(&WHOLE[..cut]).unwrap().is_none(), "{cut}");
    }
    assert!(read(&WHOLE[..octets]).unwrap().is_some());
    let cut = Bytes::from_static(&WHOLE.as_bytes()[..octets - 1]);
    assert_eq!(Message::read(&cut.into()).unwrap_err(), BadCpim::Unfinished);
}

#[test]
fn s3_1_a_lone_line_feed_is_no_line_end() {
    let lone = WHOLE.replacen("\r\nTo:", "\nTo:", 1);

    assert_eq!(read(&lone).unwrap_err(), BadCpim::Line);
}

#[test]
fn s3_2_names_are_case_sensitive_and_lines_are_not_folded() {
    let lower = read(&WHOLE.replacen("From:", "from:", 1)).unwrap().unwrap();
    assert_eq!(lower.from().unwrap_err(), BadCpim::Missing("From"));
    for bad in ["From <sip:a@b>\r\n", ": x\r\n", " folded\r\n", "Fr om: <sip:a@b>\r\n"] {
        assert_eq!(read(&format!("A: b\r\n{bad}\r\n\r\n")).unwrap_err(), BadCpim::Line, "{bad}");
    }
}

#[test]
fn s3_3_parameters_stand_before_the_value() {
    let envelope = read(WHOLE).unwrap().unwrap();

    assert_eq!(envelope.headers().get_exact("Subject"), Some(&b"Bonjour"[..]));
}

#[test]
fn s3_4_a_header_belongs_to_its_namespace_whatever_the_prefix() {
    let message_id = |headers: &str| {
        let envelope = read(&format!("{headers}\r\n\r\n")).unwrap().unwrap();
        envelope.imdn_message_id().map(str::to_owned)
    };
    let imdn = "<urn:ietf:params:imdn>\r\n";

    assert_eq!(read(WHOLE).unwrap().unwrap().imdn_message_id(), Some("34jk324j"));
    assert_eq!(message_id(&format!("NS: x {imdn}x.Message-ID: 1\r\n")).as_deref(), Some("1"));
    assert_eq!(message_id(&format!("NS: {imdn}Message-ID: 2\r\n")).as_deref(), Some("2"));
    assert_eq!(message_id(&format!("imdn.Message-ID: 3\r\nNS: imdn {imdn}")), None);
    assert_eq!(message_id("NS: imdn <urn:other>\r\nimdn.Message-ID: 4\r\n"), None);
    let again = format!("NS: x {imdn}NS: x <urn:other>\r\nx.Message-ID: 5\r\n");
    assert_eq!(message_id(&again), None);
    assert_eq!(message_id("Message-ID: 6\r\n"), None);
}

#[test]
fn s3_6_what_is_built_is_read_back_and_the_content_is_not_copied() {
    let content = Bytes::from(vec![0xff; 1000]);
    let whole = Builder::named((Some("Al\"ice"), "sip:alice@example.net"), "sip:room7@example.net")
        .date_time("2026-11-20T12:00:00Z")
        .imdn("Zx81kPq0", &["positive-delivery", "display"])
        .content("message/mls", content.clone());

    assert_eq!(whole.slices().last().unwrap().as_ptr(), content.as_ptr());
    let message = Message::read(&whole).unwrap();
    let from = message.envelope.from().unwrap();
    assert_eq!((from.name.as_deref(), from.uri), (Some("Al\"ice"), "sip:alice@example.net"));
    assert_eq!(message.envelope.imdn_message_id(), Some("Zx81kPq0"));
    let wanted = message.envelope.namespaced(cpim::IMDN, "Disposition-Notification");
    assert_eq!(wanted, Some(&b"positive-delivery, display"[..]));
    assert!(message.envelope.is_type("message/mls"));
    assert_eq!(message.content, Body::from(content));
}

#[test]
fn rfc5438_6_2_a_notification_is_asked_for_by_its_name_and_not_by_a_part_of_it() {
    let asked = |wanted: &[&str]| {
        let whole = Builder::new("sip:a@b", "sip:c@d").imdn("m1", wanted);
        Message::read(&whole.content("text/plain", Bytes::new())).unwrap().envelope
    };

    let envelope = asked(&["Positive-Delivery;x=1", "not-display"]);

    assert!(envelope.wants("positive-delivery"));
    assert!(!envelope.wants("display") && !envelope.wants("positive"));
    assert!(!asked(&[]).wants("display"));
}

#[test]
fn s3_6_nothing_put_into_a_header_can_add_another() {
    let whole = Builder::new("sip:a@b", "sip:c@d")
        .header("Subject", "x\r\nFrom: <sip:evil@example.net>")
        .content("text/plain\r\nX: y", Bytes::new());

    let message = Message::read(&whole).unwrap();
    assert_eq!(message.envelope.from().unwrap().uri, "sip:a@b");
    assert_eq!(message.envelope.mime().len(), 1);
}
