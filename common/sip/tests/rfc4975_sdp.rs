//! RFC 4975, 8, with RFC 3264, 6135, 6714, 7701 and 8122: SDP for MSRP.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use sip::Status;
use sip::sdp::{
    BadSdp, Direction, Fingerprint, MsrpMedia, Offer, Origin, Proto, Setup, offer, parse_answer,
};

const OFFER: &str = "v=0\r\no=alice 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
m=message 9 TCP/TLS/MSRP *\r\na=path:msrps://192.0.2.10:9/ab12cd34ef56gh78;tcp\r\na=setup:active\r\n\
a=msrp-cema\r\na=accept-types:message/CPIM\r\n\
a=accept-wrapped-types:text/plain image/jpeg message/imdn+xml message/mls\r\n\
a=chatroom:nickname private-messages\r\na=max-size:10485760\r\na=connection:new\r\n\
a=fingerprint:SHA-256 12:34:Ab\r\na=sendrecv\r\n";

const SOUND: &str = "m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n";

fn origin() -> Origin {
    Origin { username: "focus".into(), session: 7, version: 7, address: "198.51.100.5".into() }
}

fn ours() -> MsrpMedia {
    let path = vec!["msrps://mrfp1.example.net:2855/Zk3;tcp".to_owned()];
    MsrpMedia {
        setup: Some(Setup::Passive),
        accept_types: vec!["message/cpim".into()],
        accept_wrapped_types: vec!["*".into()],
        chatroom: Some(vec!["nickname".into(), "private-messages".into()]),
        max_size: Some(10_485_760),
        fingerprints: vec![Fingerprint { hash: "sha-256".into(), bytes: vec![0xab, 0xcd] }],
        ..MsrpMedia::new("198.51.100.5", 2855, path)
    }
}

fn refused(sdp: &str) -> BadSdp {
    Offer::parse_conference(sdp.as_bytes()).unwrap_err()
}

#[test]
fn s8_an_offer_is_read_with_every_attribute() {
    let offer = Offer::parse_conference(OFFER.as_bytes()).unwrap();
    let expected = MsrpMedia {
        address: "192.0.2.10".into(),
        proto: Proto::TcpTlsMsrp,
        port: 9,
        path: vec!["msrps://192.0.2.10:9/ab12cd34ef56gh78;tcp".into()],
        setup: Some(Setup::Active),
        accept_types: vec!["message/CPIM".into()],
        accept_wrapped_types: ["text/plain", "image/jpeg", "message/imdn+xml", "message/mls"]
            .map(Into::into)
            .into(),
        chatroom: Some(vec!["nickname".into(), "private-messages".into()]),
        max_size: Some(10_485_760),
        fingerprints: vec![Fingerprint { hash: "sha-256".into(), bytes: vec![0x12, 0x34, 0xab] }],
        direction: Direction::SendRecv,
        cema: true,
        file: None,
    };
    assert_eq!(offer.media(), &expected);
    assert!(offer.media().accepts_wrapped("Message/MLS"));
    assert!(!offer.media().accepts_wrapped("text/html"));
    assert!(offer.media().chatroom_has("private-messages"));
}

#[test]
fn s8_the_answer_is_that_of_the_specification() {
    let offer = Offer::parse(OFFER.as_bytes()).unwrap();
    let expected = "v=0\r\no=focus 7 7 IN IP4 198.51.100.5\r\ns=-\r\nc=IN IP4 198.51.100.5\r\nt=0 0\r\n\
m=message 2855 TCP/TLS/MSRP *\r\nc=IN IP4 198.51.100.5\r\na=path:msrps://mrfp1.example.net:2855/Zk3;tcp\r\na=setup:passive\r\n\
a=accept-types:message/cpim\r\na=accept-wrapped-types:*\r\na=chatroom:nickname private-messages\r\n\
a=max-size:10485760\r\na=fingerprint:sha-256 AB:CD\r\na=sendrecv\r\n";
    assert_eq!(std::str::from_utf8(&offer.answer(&origin(), &ours())).unwrap(), expected);
}

#[test]
fn rfc3264_s6_the_answer_has_as_many_lines_and_refuses_the_others_with_port_zero() {
    let text = OFFER.replace("t=0 0\r\n", &format!("t=5 6\r\n{SOUND}")) + SOUND;
    let offer = Offer::parse(text.as_bytes()).unwrap();

    let answer = offer.answer(&origin(), &ours());

    let answer = sdp_types::Session::parse(&answer).unwrap();
    let lines: Vec<_> = answer
        .medias
        .iter()
        .map(|m| (m.media.as_str(), m.port, m.proto.as_str(), m.fmt.as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            ("audio", 0, "RTP/AVP", "0"),
            ("message", 2855, "TCP/TLS/MSRP", "*"),
            ("audio", 0, "RTP/AVP", "0")
        ]
    );
    assert_eq!(answer.times[0], sdp_types::Time::new(5, 6));
    let nothing = sdp_types::Session::parse(&offer.refuse(&origin())).unwrap();
    assert!(nothing.medias.iter().all(|media| media.port == 0));
}

#[test]
fn s8_an_offer_that_cannot_be_taken_says_why() {
    let cases = [
        ("not sdp".to_owned(), BadSdp::Malformed),
        (String::new(), BadSdp::Malformed),
        (OFFER.replace("c=IN IP4 192.0.2.10\r\n", ""), BadSdp::Malformed),
        (OFFER.split("m=").next().unwrap().to_owned(), BadSdp::NoMessage),
        (OFFER.split("m=").next().unwrap().to_owned() + SOUND, BadSdp::NoMessage),
        (OFFER.replace("TCP/TLS/MSRP", "UDP/TLS/MSRP"), BadSdp::Transport),
        (OFFER.replace("message 9", "message 0"), BadSdp::Refused),
        (OFFER.replace("a=path:", "a=puth:"), BadSdp::Path),
        (OFFER.replace(":9/", "/"), BadSdp::Path),
        (OFFER.replace("msrps://192", "http://192"), BadSdp::Path),
        (OFFER.replace("/ab12cd34ef56gh78", ""), BadSdp::Path),
        (OFFER.replace("msrps://", "msrp://"), BadSdp::Scheme),
        (OFFER.replace("TCP/TLS/MSRP", "TCP/MSRP"), BadSdp::Scheme),
        (OFFER.replace("message/CPIM", "text/plain"), BadSdp::NoCpim),
        (OFFER.replace("a=accept-types:message/CPIM\r\n", ""), BadSdp::NoCpim),
    ];
    for (sdp, bad) in cases {
        assert_eq!(refused(&sdp), bad, "{sdp}");
        let status = if bad == BadSdp::Malformed {
            Status::BAD_REQUEST
        } else {
            Status::NOT_ACCEPTABLE_HERE
        };
        assert_eq!(bad.status(), status);
        assert!((300..=399).contains(&bad.warning_code()));
    }
}

#[test]
fn rfc6714_s4_3_without_cema_the_port_must_be_that_of_the_path() {
    let moved = OFFER.replace("message 9", "message 4000");
    assert!(Offer::parse(moved.as_bytes()).is_ok());
    assert_eq!(refused(&moved.replace("a=msrp-cema\r\n", "")), BadSdp::Port);
}

#[test]
fn s8_2_a_path_through_relays_is_taken_whole() {
    let relays = "a=path:msrps://relay.example.net:9/r1;tcp msrps://192.0.2.10:7654/s1;tcp\r\n";
    let text = OFFER
        .replace("a=path:msrps://192.0.2.10:9/ab12cd34ef56gh78;tcp\r\n", relays)
        .replace("a=msrp-cema\r\n", "");
    let path = &Offer::parse(text.as_bytes()).unwrap().media().path.clone();
    assert_eq!(path.len(), 2);
    assert!(path[1].ends_with("/s1;tcp"));
}

#[test]
fn s8_1_plain_msrp_is_read_so_that_a_policy_can_refuse_it() {
    let text = OFFER.replace("TCP/TLS/MSRP", "TCP/MSRP").replace("msrps://", "msrp://");
    assert_eq!(Offer::parse(text.as_bytes()).unwrap().media().proto, Proto::TcpMsrp);
}

#[test]
fn the_first_good_message_line_is_taken() {
    let bad = "m=message 0 TCP/MSRP *\r\nm=message 9 UDP/MSRP *\r\n";
    let text = OFFER.replace("t=0 0\r\n", &format!("t=0 0\r\n{bad}"));
    let offer = Offer::parse(text.as_bytes()).unwrap();
    let answer = sdp_types::Session::parse(&offer.answer(&origin(), &ours())).unwrap();
    assert_eq!(answer.medias.iter().map(|m| m.port).collect::<Vec<_>>(), [0, 0, 2855]);
}

#[test]
fn rfc8866_s6_session_attributes_hold_for_lines_that_say_nothing() {
    let text = OFFER
        .replace("a=setup:active\r\n", "")
        .replace("a=sendrecv\r\n", "")
        .replace("a=fingerprint:SHA-256 12:34:Ab\r\n", "")
        .replace(
            "t=0 0\r\n",
            "t=0 0\r\na=setup:actpass\r\na=recvonly\r\na=fingerprint:sha-256 01\r\n",
        );
    let media = Offer::parse(text.as_bytes()).unwrap().media().clone();
    assert_eq!((media.setup, media.direction), (Some(Setup::ActPass), Direction::RecvOnly));
    assert_eq!(media.fingerprints[0].bytes, [1]);
    assert_eq!(media.direction.reversed(), Direction::SendOnly);
}

#[test]
fn rfc6135_s4_2_1_holdconn_is_ignored() {
    let text = OFFER.replace("setup:active", "setup:holdconn");
    assert_eq!(Offer::parse(text.as_bytes()).unwrap().media().setup, None);
}

#[test]
fn our_offer_reads_back_as_it_was_written_also_with_ipv6() {
    let path = vec!["msrps://[2001:db8::1]:2855/s1;tcp".to_owned()];
    let media = MsrpMedia {
        address: "2001:db8::1".into(),
        setup: Some(Setup::ActPass),
        direction: Direction::SendOnly,
        chatroom: Some(vec![]),
        cema: true,
        path,
        ..ours()
    };
    let sdp = offer(&origin(), &media);
    assert!(std::str::from_utf8(&sdp).unwrap().contains("c=IN IP6 2001:db8::1\r\n"));
    assert_eq!(parse_answer(&sdp), Ok(media));
}

#[test]
fn rfc3264_s6_an_answer_with_other_lines_or_a_refusal_is_told_apart() {
    let sdp = String::from_utf8(offer(&origin(), &ours()).to_vec()).unwrap();
    assert_eq!(parse_answer((sdp.clone() + SOUND).as_bytes()), Err(BadSdp::Lines));
    assert_eq!(
        parse_answer(sdp.replace("message 2855", "message 0").as_bytes()),
        Err(BadSdp::Refused)
    );
    assert_eq!(parse_answer(b"x"), Err(BadSdp::Malformed));
}

#[test]
fn rfc8122_s5_fingerprints_are_read_strictly_and_written_in_upper_case() {
    let print: Fingerprint = "SHA-256 0a:fF".parse().unwrap();
    assert_eq!(print.to_string(), "sha-256 0A:FF");
    for bad in
        ["", "sha-256", "sha-256 ", "sha-256 0", "sha-256 0a:", "sha-256 0a:+f", "sha-256 0g"]
    {
        assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
    }
    assert_eq!(Fingerprint::sha256([7; 32]).bytes, [7; 32]);
}

#[test]
fn media_types_match_in_any_case_and_by_wildcard() {
    let mut media = ours();
    for (types, good) in [
        ("*", true),
        ("text/*", true),
        ("TEXT/PLAIN", true),
        ("text/plain;charset=utf-8", true),
        ("text", false),
        ("message/cpim", false),
    ] {
        media.accept_types = vec![types.into()];
        assert_eq!(media.accepts("text/plain"), good, "{types}");
    }
}
