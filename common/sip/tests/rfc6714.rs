//! RFC 6714 (CEMA): when the address of the media line counts, and when it is that of `a=path`.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use sip::Status;
use sip::sdp::{
    Agreement, BadSdp, MsrpMedia, Offer, Setup, Target, Terms, answer_terms, offer_terms,
};

const RELAY: &str = "msrps://relay.example.net:2855/r1;tcp";

/// A description with this `c=` and `m=` port, this path, and these attributes.
fn media(line: (&str, u16), path: &str, setup: Option<Setup>, cema: bool) -> MsrpMedia {
    let path = path.split(' ').map(str::to_owned).collect();
    MsrpMedia { setup, cema, ..MsrpMedia::new(line.0, line.1, path) }
}

fn refused(sdp: &str) -> BadSdp {
    Offer::parse(sdp.as_bytes()).unwrap_err()
}

fn sdp(line: (&str, u16), path: &str, more: &str) -> String {
    let (address, port) = line;
    let kind = if address.contains(':') { "IP6" } else { "IP4" };
    format!(
        "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN {kind} {address}\r\nt=0 0\r\n\
         m=message {port} TCP/TLS/MSRP *\r\na=path:{path}\r\na=accept-types:message/cpim\r\n{more}"
    )
}

#[test]
fn m6714_04_an_offer_that_somebody_has_changed_is_refused_unless_it_uses_cema() {
    let own = "msrps://192.0.2.10:7000/s1;tcp";
    let cases = [
        (("192.0.2.10", 7000), None),
        (("198.51.100.1", 7000), Some(BadSdp::Address)),
        (("192.0.2.10", 4000), Some(BadSdp::Port)),
        (("198.51.100.1", 4000), Some(BadSdp::Port)),
    ];
    for (line, bad) in cases {
        let text = sdp(line, own, "");
        match bad {
            None => assert!(Offer::parse(text.as_bytes()).is_ok()),
            Some(bad) => {
                assert_eq!(refused(&text), bad, "{line:?}");
                assert_eq!(bad.status(), Status::NOT_ACCEPTABLE_HERE);
            }
        }
        let with = sdp(line, own, "a=msrp-cema\r\n");
        assert!(Offer::parse(with.as_bytes()).is_ok(), "{line:?} with CEMA");
    }
}

#[test]
fn m6714_06_addresses_are_compared_as_addresses_and_names_are_left_to_whoever_resolves() {
    let agreement = |line, path| media(line, path, None, false).agreement();
    let same = Agreement::Same;

    assert_eq!(agreement(("192.0.2.1", 9), "msrps://192.0.2.1:9/s;tcp"), same);
    assert_eq!(agreement(("2001:DB8::1", 9), "msrps://[2001:db8:0::1]:9/s;tcp"), same);
    assert_eq!(agreement(("UE.example", 9), "msrps://ue.example:9/s;ws"), same);
    assert_eq!(agreement(("192.0.2.1", 9), "msrps://192.0.2.1:8/s;tcp"), Agreement::Different);
    let through = format!("{RELAY} msrps://192.0.2.1:9/s;tcp");
    assert_eq!(agreement(("192.0.2.1", 9), &through), same, "any URI of the path will do");
    let names = agreement(("192.0.2.1", 2855), &through);
    let (address, hosts) = ("192.0.2.1".to_owned(), vec!["relay.example.net".to_owned()]);
    assert_eq!(names, Agreement::Names { address, hosts, port: 2855 });
}

#[test]
fn m6714_05_the_answer_uses_cema_if_the_offer_did_and_no_relay_of_the_offerer_connects() {
    let own = "msrps://192.0.2.10:7000/s1;tcp";
    let through = format!("{RELAY} {own}");
    let (here, there) = (("192.0.2.10", 7000), ("198.51.100.1", 4000));
    let table = [
        (here, own, Some(Setup::Active), true, (Setup::Passive, true, None)),
        (there, own, Some(Setup::Active), true, (Setup::Passive, true, None)),
        (there, own, None, true, (Setup::Passive, true, None)),
        (here, own, Some(Setup::ActPass), false, (Setup::Passive, false, None)),
        // An offerer behind a relay becomes active.
        (there, &through, Some(Setup::Active), true, (Setup::Passive, false, None)),
        (here, &through, Some(Setup::ActPass), true, (Setup::Passive, false, None)),
        // Unless we may: then we go by the line, past nobody.
        (
            there,
            &through,
            Some(Setup::ActPass),
            true,
            (Setup::Active, true, Some("198.51.100.1:4000")),
        ),
    ];
    for (line, path, setup, cema, (ours, used, dial)) in table {
        let terms = answer_terms(&media(line, path, setup, cema)).unwrap();

        assert_eq!((terms.setup, terms.cema), (ours, used), "{line:?} {path} {setup:?} {cema}");
        assert_eq!(terms.dial, dial.map(|to| Target::Line(to.to_owned())), "{line:?} {path}");
    }
}

#[test]
fn m6714_03_the_active_side_connects_to_the_line_and_not_to_the_path() {
    let unresolvable = "msrps://a1b2.invalid:4000/s1;tcp";
    let answer = media(("2001:db8::7", 4000), unresolvable, Some(Setup::Passive), true);

    let terms = offer_terms(&answer).unwrap();

    let dial = Some(Target::Line("[2001:db8::7]:4000".to_owned()));
    assert_eq!(terms, Terms { setup: Setup::Active, cema: true, anchored: true, dial });
    let without = MsrpMedia { cema: false, ..answer };
    assert_eq!(offer_terms(&without).unwrap().dial, Some(Target::Path));
}

#[test]
fn m6714_02_an_answer_that_somebody_has_changed_is_not_used_without_cema() {
    let own = "msrps://192.0.2.10:7000/s1;tcp";
    for setup in [Some(Setup::Active), Some(Setup::Passive), None] {
        let moved = media(("198.51.100.1", 7000), own, setup, false);
        assert_eq!(offer_terms(&moved), Err(BadSdp::Address), "{setup:?}");
        let kept = media(("192.0.2.10", 7000), own, setup, false);
        assert!(offer_terms(&kept).is_ok(), "{setup:?}");
    }
    // The answerer's relay is in the line too: nobody stands between us, and the path is used.
    let through = format!("msrps://192.0.2.9:2855/r1;tcp {own}");
    let relayed = media(("192.0.2.9", 2855), &through, Some(Setup::Passive), false);
    assert_eq!(offer_terms(&relayed).unwrap().dial, Some(Target::Path));
}

#[test]
fn t24247_10_a_path_whose_host_is_found_nowhere_is_taken_with_cema() {
    let text = sdp(
        ("198.51.100.1", 4000),
        "msrps://c7f.ims.invalid:4000/s1;tcp",
        "a=msrp-cema\r\na=setup:actpass\r\n",
    );
    let offer = Offer::parse(text.as_bytes()).unwrap();

    let terms = answer_terms(offer.media()).unwrap();

    assert_eq!((terms.setup, terms.cema, terms.anchored), (Setup::Passive, true, true));
}
