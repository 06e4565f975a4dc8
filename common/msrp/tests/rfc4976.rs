//! The rules of RFC 4976 (relays) that fall to the codec, by section.

mod wire;

use bytes::BytesMut;
use msrp::{
    AuthenticationInfo, BadCredentials, Challenge, Credentials, Decoder, DigestAlgorithm, Item,
    Path, Reply, Request, Status, TransactionId,
};
use wire::*;

#[test]
fn s5_1_auth_is_challenged_and_its_answer_gives_a_path() {
    let relay: Path = "msrps://alice@relay.example.net;tcp".parse().unwrap();
    let own: Path = "msrps://ua.example.net:9892/q7hs;tcp".parse().unwrap();
    let tid = TransactionId::parse(b"8ab1x9").unwrap();

    let wire = Request::auth(&relay, &own, 900).encode(tid).to_bytes();
    let head = request(&wire).head;
    assert_eq!(head.to_path().first().port(), None);
    assert_eq!(head.expires(), Some(900));

    let challenge =
        [("WWW-Authenticate", "Digest realm=\"relay.example.net\", qop=\"auth\", nonce=\"n1\"")];
    let reply = Reply::new(&head, Status::UNAUTHORIZED).unwrap().headers(&challenge).encode();
    assert_eq!(
        text(&reply.unwrap().to_bytes()),
        "MSRP 8ab1x9 401 Unauthorized\r\nTo-Path: msrps://ua.example.net:9892/q7hs;tcp\r\n\
         From-Path: msrps://alice@relay.example.net;tcp\r\n\
         WWW-Authenticate: Digest realm=\"relay.example.net\", qop=\"auth\", nonce=\"n1\"\r\n\
         -------8ab1x9$\r\n"
    );

    let paths = "msrps://relay.example.net:2855/x81jz90;tcp msrps://outer.example.net:2855/y;tcp";
    let granted = [("Use-Path", paths), ("Expires", "900")];
    let reply = Reply::new(&head, Status::OK).unwrap().headers(&granted).encode().unwrap();
    let mut input = BytesMut::from(&reply.to_bytes()[..]);
    let Some(Item::Response(head)) = Decoder::default().next(&mut input).unwrap() else {
        panic!("no response")
    };
    assert_eq!(head.use_path().unwrap().unwrap().to_wire(), paths);
    assert_eq!(head.expires(), Some(900));
}

#[test]
fn s5_1_the_own_path_is_the_use_path_backwards_and_then_the_own_uri() {
    let use_path: Path = "msrps://a:1/a;tcp msrps://b:2/b;tcp".parse().unwrap();
    let own: Path = "msrps://ua:3/u;tcp".parse().unwrap();
    let peer: Path = "msrps://c:4/c;tcp msrps://bob:5/p;tcp".parse().unwrap();

    let told = use_path.reversed().followed_by(&own).to_wire();
    let to_path = use_path.followed_by(&peer).to_wire();

    assert_eq!(told, "msrps://b:2/b;tcp msrps://a:1/a;tcp msrps://ua:3/u;tcp");
    assert_eq!(
        to_path,
        "msrps://a:1/a;tcp msrps://b:2/b;tcp msrps://c:4/c;tcp msrps://bob:5/p;tcp"
    );
}

/// The one challenge in `value`.
fn challenge(value: &str) -> Option<Challenge> {
    Challenge::parse(value.as_bytes())
}

#[test]
fn s7_the_challenge_of_the_rfc_is_read_and_written_again() {
    let text = "Digest realm=\"intra.example.com\", qop=\"auth\", \
                nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"";

    let read = challenge(text).unwrap();

    assert_eq!((read.algorithm, read.stale), (DigestAlgorithm::Md5, false));
    assert_eq!(read.to_wire(), text);
    let stronger = Challenge { algorithm: DigestAlgorithm::Sha256, stale: true, ..read };
    assert!(stronger.to_wire().ends_with("\", algorithm=SHA-256, stale=true"));
}

#[test]
fn s9_1_a_challenge_without_qop_auth_or_with_a_session_key_is_none() {
    for bad in [
        "Basic realm=\"r\"",
        "Digest realm=\"r\", nonce=\"n\"",
        "Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\"",
        "Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=MD5-sess",
    ] {
        assert_eq!(challenge(bad), None, "{bad}");
    }
    assert!(challenge("Digest realm=\"r\", nonce=\"n\", qop=\"auth-int,auth\"").is_some());
}

/// The Authorization of section 5.1, in one line.
const ALICE: &str = "Digest username=\"Alice\", realm=\"intra.example.com\", \
    nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", qop=auth, nc=00000001, cnonce=\"0a4f113b\", \
    response=\"6629fae49393a05397450978507c4ef1\"";

#[test]
fn s7_the_authorization_of_the_rfc_is_read_with_and_without_a_uri() {
    let read = Credentials::parse(ALICE.as_bytes()).unwrap();

    assert_eq!((read.username.as_str(), read.nc), ("Alice", 1));
    assert_eq!(read.algorithm, DigestAlgorithm::Md5);
    let with_uri = format!("{ALICE}, uri=\"msrps://intra.example.com;tcp\", opaque=\"x\"");
    assert_eq!(Credentials::parse(with_uri.as_bytes()), Ok(read));
}

#[test]
fn s9_1_qop_cnonce_and_nc_must_be_there() {
    for (part, name) in [
        ("qop=auth, ", "qop"),
        ("nc=00000001, ", "nc"),
        ("cnonce=\"0a4f113b\", ", "cnonce"),
        ("username=\"Alice\", ", "username"),
    ] {
        let without = ALICE.replace(part, "");
        let refused = Credentials::parse(without.as_bytes());
        assert_eq!(refused, Err(BadCredentials::Missing(name)));
    }
    for (from, to, why) in [
        ("qop=auth", "qop=auth-int", BadCredentials::Unsupported),
        ("qop=auth", "qop=auth, algorithm=MD5-sess", BadCredentials::Unsupported),
        ("nc=00000001", "nc=1", BadCredentials::Malformed),
        ("Digest ", "Basic ", BadCredentials::Scheme),
    ] {
        let changed = ALICE.replace(from, to);
        assert_eq!(Credentials::parse(changed.as_bytes()), Err(why), "{to}");
    }
}

#[test]
fn s9_1_authentication_info_has_its_parts_separated_by_commas() {
    let text = "nextnonce=\"40f2e879449675f288476d772627370a\",rspauth=\"7327570c586207eca2afae94fc20903d\", \
                cnonce=\"0a4f113b\", nc=00000001, qop=auth";

    let read = AuthenticationInfo::parse(text.as_bytes()).unwrap();

    assert_eq!(read.rspauth, "7327570c586207eca2afae94fc20903d");
    assert_eq!(read.to_wire(), text.replace("\",rsp", "\", rsp"));
    assert_eq!(
        AuthenticationInfo::parse(b"rspauth=\"ab\" cnonce=\"c\" nc=00000001 qop=auth"),
        None
    );
}

#[test]
fn s4_6_the_bounds_of_an_expiry_are_read_from_a_423() {
    let relay: Path = "msrps://relay.example.net;tcp".parse().unwrap();
    let own: Path = "msrps://ua.example.net:9892/q7hs;tcp".parse().unwrap();
    let tid = TransactionId::parse(b"8ab1x9").unwrap();
    let head = request(&Request::auth(&relay, &own, 1).encode(tid).to_bytes()).head;
    let bounds = [("Min-Expires", "60"), ("Max-Expires", "3600")];

    let reply = Reply::new(&head, Status::OUT_OF_BOUNDS).unwrap().headers(&bounds).encode();
    let mut input = BytesMut::from(&reply.unwrap().to_bytes()[..]);
    let Some(Item::Response(head)) = Decoder::default().next(&mut input).unwrap() else {
        panic!("no response")
    };

    assert_eq!((head.min_expires(), head.max_expires()), (Some(60), Some(3600)));
}
