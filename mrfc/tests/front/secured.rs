//! What protects a request on its way: only TLS by default, an agreement where somebody asks, and `sips:` kept.
use sip::header::Name;
use sip::{Request, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::phone::Phone;
use crate::relay::Manner;
use crate::world::{DOMAIN, World};

#[tokio::test]
async fn s2_nr1_a_cleartext_register_gets_no_sip_answer() {
    let world = World::start().await;
    assert_eq!(world.addresses.sip_protected, None, "no plain listener unless it is named");
    let mut stream = TcpStream::connect(world.addresses.sip).await.unwrap();
    let request = format!(
        "REGISTER sip:{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/TCP ua.example.net;branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\nFrom: <sip:alice@{DOMAIN}>;tag=a\r\nTo: <sip:alice@{DOMAIN}>\r\n\
         Call-ID: c1\r\nCSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();

    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();

    assert!(!answer.windows(3).any(|octets| octets == b"SIP"));
}

#[tokio::test]
async fn s1_09_only_weaker_mechanisms_are_494_and_ours_are_told() {
    let world = World::start().await;
    let mut alice = Phone::connect(&world, "alice", 1).await;
    for method in ["REGISTER", "MESSAGE", "INVITE", "OPTIONS"] {
        let weak = alice
            .request(method, &format!("sip:{DOMAIN}"))
            .with(Name::Require, "sec-agree")
            .with(Name::ProxyRequire, "sec-agree")
            .with(Name::SecurityClient, "digest, ipsec-man");

        let response = alice.send(weak).await;

        assert_eq!(response.status, Status::SECURITY_AGREEMENT_REQUIRED, "{method}");
        let ours = response.headers.text(&Name::SecurityServer).unwrap().into_owned();
        assert!(ours.starts_with("tls;"), "{ours}");
        // S1-08: who mirrors our list goes on, and is asked for its password as everybody is.
        let verified = alice
            .request(method, &format!("sip:{DOMAIN}"))
            .with(Name::Require, "sec-agree")
            .with(Name::SecurityVerify, ours.clone());
        let response = alice.send(verified).await;
        assert_eq!(response.status, Status::UNAUTHORIZED, "{method}");
        assert_eq!(response.headers.text(&Name::SecurityServer).unwrap(), ours);
    }
}

#[tokio::test]
async fn s1_09_where_the_agreement_is_required_who_does_not_know_it_is_421() {
    let world = World::with(Manner::Prompt, |config| {
        config.registration.security_agreement = true;
    })
    .await;
    let mut alice = Phone::connect(&world, "alice", 1).await;

    let response = alice.register(3_600).await;

    assert_eq!(response.status, Status::EXTENSION_REQUIRED);
    assert!(response.headers.lists(&Name::Require, "sec-agree"));
}

fn message(from: &mut Phone, uri: &str) -> Request {
    let mut request = from.request("MESSAGE", uri);
    request.headers.remove(&Name::Contact);
    request.with_body("text/plain", "hello")
}

/// Registers with this Contact URI.
async fn register_as(phone: &mut Phone, contact: &str) {
    let mut request = phone.request("REGISTER", &format!("sips:{DOMAIN}"));
    request.headers.set(Name::To, format!("<{}>", phone.aor));
    request.headers.set(Name::Contact, format!("<{contact}>"));
    assert_eq!(phone.ask(request).await.status, Status::OK);
}

#[tokio::test]
async fn s1_11_sips_to_who_registered_with_sip_is_480_with_warning_380_and_nothing_is_sent() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;

    let request = message(&mut alice, &format!("sips:bob@{DOMAIN}"));
    let response = alice.send(request).await;

    assert_eq!(response.status, Status::TEMPORARILY_UNAVAILABLE);
    let warnings = response.headers.warnings().unwrap();
    assert_eq!(warnings[0].code, 380);
    let marked = message(&mut alice, &format!("sip:bob@{DOMAIN}")).with(Name::Subject, "sip");
    alice.sip.begin(alice.flow, marked).await.unwrap();
    let (_, first) = bob.incoming().await;
    assert_eq!(first.headers.text(&Name::Subject).unwrap(), "sip", "the first he hears of is this");
}

#[tokio::test]
async fn sips_04_a_sips_contact_gets_both_each_in_its_own_scheme() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::connect(&world, "bob", 1).await;
    register_as(&mut bob, "sips:bob@127.0.0.1:5061").await;

    for scheme in ["sips", "sip"] {
        let request = message(&mut alice, &format!("{scheme}:bob@{DOMAIN}"));
        let (sip, flow) = (alice.sip.clone(), alice.flow);
        let asked = tokio::spawn(async move { sip.request(flow, request).await.unwrap() });
        let (key, copy) = bob.incoming().await;
        bob.answer(key, &copy, 200).await;

        assert_eq!(copy.uri.scheme(), scheme);
        assert_eq!(asked.await.unwrap().status, Status::OK);
    }
}

#[tokio::test]
async fn s1_11_sips_never_leaves_over_a_plain_connection() {
    let world = World::with(Manner::Prompt, |config| {
        config.sip.protected_listen = Some(([127, 0, 0, 1], 0).into());
    })
    .await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut plain = Phone::connect_plain(&world, "bob").await;
    register_as(&mut plain, "sips:bob@127.0.0.1:5061").await;

    for (scheme, code) in [("sips", 380), ("sip", 381)] {
        let request = message(&mut alice, &format!("{scheme}:bob@{DOMAIN}"));
        let response = alice.send(request).await;

        assert_eq!(response.status, Status::TEMPORARILY_UNAVAILABLE);
        assert_eq!(response.headers.warnings().unwrap()[0].code, code);
    }
}
