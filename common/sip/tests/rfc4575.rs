//! RFC 4575: the conference document, as written and as read.
use sip::conference_info::{
    BadInfo, ConferenceInfo, Disconnection, Endpoint, Joining, Media, State, Status, User,
};

fn alice() -> User {
    let phone = Endpoint {
        entity: "sip:alice@example.net;gr=1".into(),
        status: Some(Status::Connected),
        joining: Some(Joining::DialedIn),
        joined: Some("2026-11-20T12:00:00Z".into()),
        media: Some(Media::SendRecv),
        ..Endpoint::default()
    };
    let tablet = Endpoint {
        entity: "sip:alice@example.net;gr=2".into(),
        status: Some(Status::Disconnected),
        disconnection: Some(Disconnection::Failed),
        disconnected: Some("2026-11-20T12:01:00Z".into()),
        ..Endpoint::default()
    };
    User {
        nickname: Some("Blue <Jay> & \"Co\"".into()),
        roles: vec!["moderator".into()],
        endpoints: vec![phone, tablet],
        ..User::new("sip:alice@example.net")
    }
}

fn room() -> ConferenceInfo {
    ConferenceInfo {
        version: 7,
        subject: Some("Tea & cake".into()),
        maximum_user_count: Some(50),
        user_count: Some(1),
        active: Some(true),
        locked: Some(false),
        users: vec![alice()],
        ..ConferenceInfo::new("sip:room7@conf.example.net")
    }
}

#[test]
fn s5_a_document_is_read_as_it_was_written() {
    assert_eq!(ConferenceInfo::from_xml(room().to_xml().as_bytes()), Ok(room()));

    let partial = ConferenceInfo {
        version: 8,
        state: State::Partial,
        users: vec![User::deleted("sip:bob@example.net")],
        ..ConferenceInfo::new("sip:room7@conf.example.net")
    };
    assert_eq!(ConferenceInfo::from_xml(partial.to_xml().as_bytes()), Ok(partial));
}

#[test]
fn s5_elements_come_in_the_order_of_the_schema() {
    let xml = room().to_xml();
    let mut last = 0;
    for name in [
        "<conference-description>",
        "<subject>",
        "<maximum-user-count>",
        "<conference-state>",
        "<user-count>",
        "<active>",
        "<locked>",
        "<users ",
        "<user ",
        "<roles>",
        "<endpoint ",
        "<status>",
        "<joining-method>",
        "<joining-info>",
        "<media ",
        "<disconnection-method>",
        "<disconnection-info>",
    ] {
        let at = xml.find(name).unwrap_or_else(|| panic!("{name} is not there"));
        assert!(at > last, "{name} comes too early");
        last = at;
    }
}

#[test]
fn s4_4_what_is_deleted_has_no_children() {
    let xml = ConferenceInfo::deleted("sip:room7@conf.example.net", 3).to_xml();

    assert!(xml.contains("state=\"deleted\""));
    assert!(!xml.contains("<users"));
}

#[test]
fn s7_1_of_rfc_7701_a_nickname_is_an_attribute_of_the_xcon_namespace() {
    let xml = room().to_xml();

    assert!(xml.contains("xmlns:xcon=\"urn:ietf:params:xml:ns:xcon-conference-info\""));
    assert!(xml.contains("xcon:nickname=\"Blue &lt;Jay&gt; &amp; "));
}

#[test]
fn cevt_05_a_control_character_cannot_break_the_document() {
    let mut info = room();
    info.subject = Some("bell\u{7}".into());

    let read = ConferenceInfo::from_xml(info.to_xml().as_bytes()).unwrap();

    assert_eq!(read.subject.as_deref(), Some("bell\u{fffd}"));
}

#[test]
fn another_prefix_and_unknown_elements_are_no_obstacle() {
    let xml = "<?xml version='1.0'?><c:conference-info xmlns:c='urn:ietf:params:xml:ns:conference-info' \
        xmlns:x='urn:x' entity='sip:r@x' version='2' state='full'><x:y><c:users/></x:y><c:users>\
        <c:user entity='sip:a@x'><c:endpoint entity='e'><c:status>levitating</c:status></c:endpoint>\
        <x:user entity='no'/></c:user></c:users></c:conference-info>";

    let info = ConferenceInfo::from_xml(xml.as_bytes()).unwrap();

    assert_eq!((info.version, info.users.len()), (2, 1));
    let endpoint = info.user("sip:a@x").unwrap().endpoints.first().unwrap();
    assert_eq!(endpoint.status, None);
}

#[test]
fn bombs_and_nonsense_are_refused_at_once() {
    let bad = |xml: &str| ConferenceInfo::from_xml(xml.as_bytes()).unwrap_err();
    let bomb = "<!DOCTYPE l [<!ENTITY a 'ha'><!ENTITY b '&a;&a;'>]>\
        <conference-info xmlns='urn:ietf:params:xml:ns:conference-info' entity='&b;'/>";
    let deep = format!("{}{}", "<a>".repeat(100), "</a>".repeat(100));
    let open = "<conference-info xmlns='urn:ietf:params:xml:ns:conference-info' entity='sip:x'>";

    assert_eq!(bad(bomb), BadInfo::Dtd);
    assert_eq!(bad(&format!("{open}<subject>&b;</subject></conference-info>")), BadInfo::Dtd);
    assert_eq!(bad(&deep), BadInfo::TooLarge);
    assert_eq!(bad(&" ".repeat(9 << 20)), BadInfo::TooLarge);
    for broken in [open, "", "plain", "<x/>", "<conference-info entity='sip:x'/>"] {
        assert_eq!(bad(broken), BadInfo::Malformed, "{broken}");
    }
}
