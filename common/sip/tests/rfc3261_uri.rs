//! RFC 3261, 19.1: SIP URIs, their parts and their comparison.

use sip::{NameAddr, SipUri, Uri};

fn uri(text: &str) -> SipUri {
    text.parse().unwrap_or_else(|bad| panic!("{text}: {bad}"))
}

#[test]
fn s19_1_1_a_uri_is_taken_apart_and_written_back() {
    let all = "sips:alice:pw;x=y@[2001:db8::1]:5061;transport=tcp;lr?subject=a%20b&priority=urgent";
    let uri = uri(all);
    assert!(uri.is_secure());
    assert_eq!(uri.user().unwrap(), "alice");
    assert_eq!((uri.host(), uri.port()), ("[2001:db8::1]", Some(5061)));
    assert_eq!(uri.param("transport").unwrap(), "tcp");
    assert_eq!(uri.param("lr").unwrap(), "");
    assert_eq!(uri.headers().collect::<Vec<_>>(), [("subject", "a%20b"), ("priority", "urgent")]);
    assert_eq!(uri.to_string(), all);
    assert_eq!(uri.bare().to_string(), "sips:alice:pw;x=y@[2001:db8::1]:5061");
}

#[test]
fn s19_1_1_what_is_no_sip_uri_is_refused() {
    for bad in [
        "sip:",
        "sip:@a",
        "sip:a@",
        "sip:a@b@c",
        "sip:a:b:c",
        "sip:a b@c",
        "sip:a@b:port",
        "sip:a@b:70000",
        "sip:a@[::1",
        "sip:a@[1.2.3.4]",
        "sip:a@b;",
        "sip:a@b;;c",
        "sip:a@b;=c",
        "sip:a@b?",
        "sip:a@b?c",
        "sip:a%4@b",
        "sip:a%zz@b",
        "sip:ä@b",
        "sip:a@b\r\nc",
        "1ip:a@b",
        "a@b",
    ] {
        assert!(
            bad.parse::<Uri>().and_then(|uri| uri.to_string().parse::<SipUri>()).is_err(),
            "{bad:?}"
        );
    }
}

#[test]
fn s19_1_2_what_a_user_part_cannot_carry_is_escaped() {
    let uri = SipUri::new(Some("a b@c:%ü"), "example.net").unwrap().with_param("m", Some("a;b"));
    assert_eq!(uri.to_string(), "sip:a%20b%40c%3A%25%C3%BC@example.net;m=a%3Bb");
    assert_eq!(uri.to_string().parse::<SipUri>().unwrap().user().unwrap(), "a b@c:%ü");
    assert_eq!(uri.param("m").unwrap(), "a;b");
}

#[test]
fn s19_1_4_the_equivalent_pairs_of_the_rfc_are_equivalent() {
    for (a, b) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("sip:a@[2001:db8::1]", "sip:a@[2001:0db8:0:0::1]"),
    ] {
        assert!(uri(a).is_equivalent(&uri(b)), "{a} {b}");
        assert!(uri(b).is_equivalent(&uri(a)), "{b} {a}");
    }
}

#[test]
fn s19_1_4_the_different_pairs_of_the_rfc_are_different() {
    for (a, b) in [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=off", "sip:carol@chicago.com;security=on"),
        ("sip:a@b", "sips:a@b"),
        ("sip:a@b", "sip:b"),
        ("sip:a;b@c", "sip:a%3bb@c"),
        ("sip:a@b?x=1&x=1", "sip:a@b?x=1&x=2"),
    ] {
        assert!(!uri(a).is_equivalent(&uri(b)), "{a} {b}");
        assert!(!uri(b).is_equivalent(&uri(a)), "{b} {a}");
    }
}

#[test]
fn s19_1_4_an_escape_is_the_same_in_both_cases() {
    assert!(uri("sip:a%3bb@c").is_equivalent(&uri("sip:a%3Bb@c")));
}

#[test]
fn an_aor_is_one_spelling_of_user_and_host() {
    let aor = uri("sips:%61lice@Example.NET:5061;transport=tls").aor().unwrap();
    assert_eq!(aor.as_str(), "sip:alice@example.net");
    assert_eq!(SipUri::from(&aor).to_string(), "sip:alice@example.net");
    assert!(uri("sip:example.net").aor().is_err());
}

#[test]
fn other_schemes_are_kept_as_they_came() {
    for text in [
        "tel:+15551230000",
        "soap.beep://192.0.2.103:3002",
        "urn:service:sos",
        "nobodyKnowsThisScheme:totally",
    ] {
        let uri: Uri = text.parse().unwrap();
        assert!(uri.sip().is_none());
        assert_eq!(uri.to_string(), text);
        assert_eq!(uri.scheme(), text.split(':').next().unwrap());
    }
}

#[test]
fn s20_34_a_name_address_is_written_with_brackets_and_quotes() {
    let address = NameAddr::new(uri("sip:room7@conf.example.net;lr"))
        .with_param("isfocus", None)
        .with_tag("t1");
    assert_eq!(address.to_string(), "<sip:room7@conf.example.net;lr>;isfocus;tag=t1");
}
