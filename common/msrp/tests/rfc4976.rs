//! The rules of RFC 4976 (relays) that fall to the codec, by section.

mod wire;

use bytes::BytesMut;
use msrp::{Decoder, Item, Path, Reply, Request, Status, TransactionId};
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
