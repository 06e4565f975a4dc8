//! The rules of RFC 3862 (CPIM), by section.

use std::borrow::Cow;

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

fn envelope(text: &str) -> Envelope {
    read(text).expect("it follows the grammar").expect("it is complete")
}

#[test]
fn s2_a_message_is_headers_mime_headers_and_content() {
    let message = Message::read(&Bytes::from_static(WHOLE.as_bytes()).into()).unwrap();

    let envelope = &message.envelope;
    assert_eq!(envelope.from().unwrap().name.as_deref(), Some("Alice"));
    assert_eq!(envelope.date_time().as_deref(), Some("2026-11-20T12:00:00.123Z"));
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
        envelope.imdn_message_id().map(Cow::into_owned)
    };
    let imdn = "<urn:ietf:params:imdn>\r\n";

    assert_eq!(read(WHOLE).unwrap().unwrap().imdn_message_id().as_deref(), Some("34jk324j"));
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
    assert_eq!(message.envelope.imdn_message_id().as_deref(), Some("Zx81kPq0"));
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

const X: &str = "urn:x";

/// CPIM-03, reading: section 2.3.1.
#[test]
fn cpim_03_each_escape_stands_for_its_character_and_an_unknown_one_for_what_follows() {
    for (written, read) in [
        (r"a\\b", "a\\b"),
        (r#"\"\'"#, "\"'"),
        (r"\b\t\n\r", "\u{8}\t\n\r"),
        (r"\u0000\u007F\u00e9", "\0\u{7f}é"),
        (r"\ud83d\ude00!", "😀!"),
        (r"\ud83d-\ude00", "\u{fffd}-\u{fffd}"),
        (r"\ud83d\u0041", "\u{fffd}A"),
        (r"\x\7\é", "x7é"),
        (r"\u12 \u+123\u", "u12 u+123u"),
        (r"end\", "end"),
    ] {
        let text = format!("NS: x <{X}>\r\nx.H: {written}\r\n\r\n\r\n");
        let envelope = envelope(&text);
        assert_eq!(envelope.text(X, "H").as_deref(), Some(read), "{written}");
    }
    let date = r"DateTime: 2026\u002d11-20T12:00:00Z";
    let date = envelope(&format!("{date}\r\n\r\n\r\n"));
    assert_eq!(date.date_time().as_deref(), Some("2026-11-20T12:00:00Z"));
    let name = envelope("From: A\\u00e9 <sip:a@b>\r\n\r\n\r\n");
    assert_eq!(name.from().unwrap().name.as_deref(), Some("Aé"));
}

/// CPIM-03, writing: section 2.3.1.
#[test]
fn cpim_03_what_a_header_may_not_hold_is_written_as_an_escape_and_nothing_else_is() {
    for (value, written) in [
        ("a\\b\u{8}\t\n\r", r"a\\b\b\t\n\r"),
        ("\0\u{b}\u{7f}", r"\u0000\u000b\u007f"),
        ("\"'é😀\u{85}", "\"'é😀\u{85}"),
    ] {
        let built = Builder::new("sip:a@b", "sip:c@d").namespace("x", X).header("x.H", value);
        let message = Message::read(&built.content("text/plain", Bytes::new())).unwrap();
        assert_eq!(message.envelope.namespaced(X, "H"), Some(written.as_bytes()));
        assert_eq!(message.envelope.text(X, "H").as_deref(), Some(value));
    }
    let name = "\"q\" 'p' \\ \u{8}\u{85}";
    let built = Builder::named((Some(name), "sip:a@b"), "sip:c@d").content("a/b", Bytes::new());
    let built = Message::read(&built).unwrap();
    let from = built.envelope.headers().get_exact("From").unwrap();
    let written = "\"\\\"q\\\" 'p' \\\\ \\b\u{85}\" <sip:a@b>";
    assert_eq!(String::from_utf8_lossy(from), written);
    assert_eq!(built.envelope.from().unwrap().name.as_deref(), Some(name));
}

/// CPIM-03, IMDN-04: a Message-ID is a token, and what has a control character in it can be none, escaped or not.
#[test]
fn cpim_03_a_message_id_with_a_control_character_is_none() {
    for odd in ["a\\u0000b", "a\0b", "a\\n"] {
        let text = format!("NS: imdn <{}>\r\nimdn.Message-ID: {odd}\r\n\r\n\r\n", cpim::IMDN);
        assert_eq!(envelope(&text).imdn_message_id(), None, "{odd:?}");
    }
}

#[test]
fn cpim_06_a_header_that_is_required_and_not_known_is_named() {
    let known = [(X, "H"), (cpim::COMMON, "DateTime")];
    let unknown =
        |headers: &str| envelope(&format!("{headers}\r\n\r\n\r\n")).unknown_requirement(&known);
    let declared = format!("NS: my <{X}>\r\nNS: our <urn:our>");

    assert_eq!(unknown(&format!("{declared}\r\nRequire: my.H,DateTime , my.H")), None);
    assert_eq!(unknown("X: y"), None);
    for (require, first) in [
        ("Require: my.Other", "my.Other"),
        ("Require: my.H, our.H", "our.H"),
        ("Require: my.H\r\nRequire: Subject", "Subject"),
        ("Require: nobodys.H", "nobodys.H"),
        ("Require: H", "H"),
        ("Require:;x=1 my.Other", "my.Other"),
    ] {
        let found = unknown(&format!("{declared}\r\n{require}"));
        assert_eq!(found.as_deref(), Some(first), "{require}");
    }
    // A prefix is declared before it is used, and `Require` is the common namespace's.
    assert_eq!(unknown(&format!("Require: my.H\r\n{declared}")).as_deref(), Some("my.H"));
    assert_eq!(unknown(&format!("{declared}\r\nmy.Require: our.H\r\nrequire: our.H")), None);
    assert_eq!(unknown("NS: <urn:our>\r\nRequire: H"), None);
    let renamed = format!("NS: c <{}>\r\nNS: <urn:our>\r\nc.Require: H", cpim::COMMON);
    assert_eq!(unknown(&renamed).as_deref(), Some("H"));
}
