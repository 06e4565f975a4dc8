//! RFC 6135 (comedia for MSRP) with RFC 4145, and the fingerprints of RFC 8122.

use sip::sdp::{
    BadSdp, Fingerprint, MsrpMedia, Offer, Origin, Setup, Target, answer_terms, offer_terms,
};

fn media(setup: Option<Setup>, port: u16) -> MsrpMedia {
    let path = vec![format!("msrps://192.0.2.10:{port}/s1;tcp")];
    MsrpMedia { setup, ..MsrpMedia::new("192.0.2.10", port, path) }
}

#[test]
fn acm_02_an_answer_is_active_or_passive_and_never_what_the_offer_left_open() {
    let path = Some(Target::Path);
    let table = [
        (Some(Setup::Active), 9, Ok((Setup::Passive, None))),
        (Some(Setup::Active), 7000, Ok((Setup::Passive, None))),
        (Some(Setup::ActPass), 7000, Ok((Setup::Passive, None))),
        (Some(Setup::ActPass), 9, Ok((Setup::Passive, None))),
        // RFC 4975, 5.4: without the attribute the offerer connects.
        (None, 7000, Ok((Setup::Passive, None))),
        (Some(Setup::Passive), 7000, Ok((Setup::Active, path))),
        (Some(Setup::Passive), 9, Err(BadSdp::Setup)),
    ];
    for (theirs, port, ours) in table {
        let terms = answer_terms(&media(theirs, port)).map(|terms| (terms.setup, terms.dial));
        assert_eq!(terms, ours, "{theirs:?} {port}");
    }
}

#[test]
fn acm_02_after_an_answer_the_active_side_connects_and_nobody_connects_to_port_9() {
    let path = Some(Target::Path);
    let table = [
        (Some(Setup::Active), 9, Ok((Setup::Passive, None))),
        (Some(Setup::Passive), 7000, Ok((Setup::Active, path.clone()))),
        (Some(Setup::Passive), 9, Err(BadSdp::Setup)),
        (Some(Setup::ActPass), 7000, Err(BadSdp::Setup)),
        (None, 7000, Ok((Setup::Active, path))),
        (None, 9, Ok((Setup::Passive, None))),
    ];
    for (theirs, port, ours) in table {
        let terms = offer_terms(&media(theirs, port)).map(|terms| (terms.setup, terms.dial));
        assert_eq!(terms, ours, "{theirs:?} {port}");
    }
}

#[test]
fn acm_03_connection_is_ignored_and_never_sent() {
    let text = "v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
        m=message 7000 TCP/TLS/MSRP *\r\na=path:msrps://192.0.2.10:7000/s1;tcp\r\n\
        a=setup:actpass\r\na=connection:new\r\na=connection:new\r\na=accept-types:*\r\n";
    let offer = Offer::parse(text.as_bytes()).unwrap();
    let origin =
        Origin { username: "-".into(), session: 1, version: 1, address: "192.0.2.1".into() };

    let answer = offer.answer(&origin, &media(Some(Setup::Passive), 2855));

    let answer = std::str::from_utf8(&answer).unwrap();
    assert!(!answer.contains("a=connection") && answer.contains("a=setup:passive\r\n"), "{answer}");
}

#[test]
fn tlssdp_01_the_certificate_is_compared_by_sha256_or_better_and_never_by_less() {
    let print = |hash: &str, octets| Fingerprint { hash: hash.into(), bytes: vec![7; octets] };
    let with = |fingerprints| MsrpMedia { fingerprints, ..media(None, 7000) };
    let hashes = |fingerprints: Vec<Fingerprint>| {
        let media = with(fingerprints);
        media.identity().map(|found| found.iter().map(|one| one.hash.clone()).collect::<Vec<_>>())
    };

    assert_eq!(hashes(vec![]), Ok(vec![]));
    let several =
        vec![print("sha-1", 20), print("sha-256", 32), print("sha-512", 64), print("sha-256", 32)];
    assert_eq!(hashes(several), Ok(vec!["sha-256".into(), "sha-256".into()]));
    assert_eq!(hashes(vec![print("md5", 16), print("sha-384", 48)]), Ok(vec!["sha-384".into()]));
    for weak in [print("md5", 16), print("md2", 16), print("sha-1", 20), print("sha-256", 31)] {
        assert_eq!(hashes(vec![weak]), Err(BadSdp::Fingerprint));
    }
}

#[test]
fn m4975_50_what_may_be_wrapped_is_one_list() {
    let list = |types: &[&str], wrapped: &[&str]| {
        let own = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        let (accept_types, accept_wrapped_types) = (own(types), own(wrapped));
        MsrpMedia { accept_types, accept_wrapped_types, ..media(None, 7000) }.wrapped_types()
    };

    assert_eq!(list(&["message/CPIM"], &["text/plain", "image/*"]), ["text/plain", "image/*"]);
    assert_eq!(list(&["message/cpim", "text/html"], &["text/plain"]), ["text/plain", "text/html"]);
    assert!(list(&["message/cpim"], &["text/plain", "*"]).is_empty());
    assert!(list(&["*"], &["text/plain"]).is_empty());
    assert!(list(&["message/cpim"], &[]).is_empty(), "nothing said is nothing refused");
}
