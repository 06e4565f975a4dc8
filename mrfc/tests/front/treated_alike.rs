//! No method has a way round (S0-05, S0-06): the same question to strangers, the same belief in the core's word, the same
//! deafness to anybody else's.
use sip::Status;
use sip::header::Name;

use crate::phone::Phone;
use crate::world::{DOMAIN, World};

/// Every method that may come outside of a dialog, served here or not.
const METHODS: [&str; 13] = [
    "MESSAGE",
    "SUBSCRIBE",
    "INVITE",
    "REFER",
    "OPTIONS",
    "PUBLISH",
    "REGISTER",
    "INFO",
    "UPDATE",
    "PRACK",
    "NOTIFY",
    "BYE",
    "FROBNICATE",
];

#[tokio::test]
async fn s0_06_every_method_of_a_stranger_gets_the_same_challenge() {
    let world = World::start().await;
    let mut nobody = Phone::connect(&world, "alice", 1).await;
    for method in METHODS {
        let request = nobody.request(method, &format!("sip:bob@{DOMAIN}"));

        let response = nobody.send(request).await;

        assert_eq!(response.status, Status::UNAUTHORIZED, "{method}");
        let challenges: Vec<_> = response.headers.raw(&Name::WwwAuthenticate).collect();
        assert_eq!(challenges.len(), 1, "{method}");
        let challenge = String::from_utf8_lossy(challenges[0]).into_owned();
        for part in ["Digest ", "realm=\"example.net\"", "algorithm=SHA-256", "qop=\"auth\""] {
            assert!(challenge.contains(part), "{method}: {challenge}");
        }
    }
}

#[tokio::test]
async fn priv_01_a_forged_identity_helps_no_method() {
    let world = World::start().await;
    let mut mallory = Phone::registered(&world, "mallory", 1).await;
    for method in METHODS {
        let mut request = mallory.request(method, &format!("sip:bob@{DOMAIN}"));
        request.headers.set(Name::From, format!("<sip:alice@{DOMAIN}>;tag=x"));
        let forged = request
            .with(Name::PAssertedIdentity, format!("<sip:alice@{DOMAIN}>"))
            .with(Name::PPreferredIdentity, format!("<sip:alice@{DOMAIN}>"));

        assert_eq!(mallory.send(forged).await.status, Status::UNAUTHORIZED, "{method}");
    }
}

#[tokio::test]
async fn s2_05_the_cores_word_is_believed_for_every_method_and_nobody_is_challenged() {
    let world = World::with_core("core.example.net").await;
    let core = world.ca.issue(&["core.example.net"]).unwrap();
    let mut through = Phone::connect_as(&world, &core, "alice").await;
    for method in METHODS {
        let uri =
            if method == "REGISTER" { format!("sip:{DOMAIN}") } else { format!("sip:x@{DOMAIN}") };
        let mut request = through.request(method, &uri);
        if method == "REGISTER" {
            request.headers.set(Name::To, format!("<{}>", through.aor));
        }
        let asserted = request.with(Name::PAssertedIdentity, format!("<{}>", through.aor));
        // Somebody has to be called for these; that they were let in is enough.
        let mut exchange = through.sip.begin(through.flow, asserted).await.unwrap();
        if method == "MESSAGE" {
            drop(exchange);
            continue;
        }
        let response = exchange.last().await.unwrap();

        let code = response.status.code();
        assert!(code != 401 && code != 407 && code != 403, "{method}: {code}");
    }
}

#[tokio::test]
async fn s1_04_the_preferred_identity_of_a_sender_is_not_passed_on_and_the_proven_one_is() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let request = alice
        .request("MESSAGE", &format!("sip:bob@{DOMAIN}"))
        .with(Name::PAssertedIdentity, format!("<sip:carol@{DOMAIN}>"))
        .with(Name::PPreferredIdentity, format!("<sip:carol@{DOMAIN}>"))
        .with_body("text/plain", "hello");

    alice.sip.begin(alice.flow, request).await.unwrap();
    let (_, copy) = bob.incoming().await;

    let text = String::from_utf8(copy.to_bytes().to_vec()).unwrap();
    assert!(!text.contains("carol"), "{text}");
    let asserted = copy.headers.text(&Name::PAssertedIdentity).unwrap();
    assert_eq!(asserted, format!("<sip:alice@{DOMAIN}>"));
}

#[tokio::test]
async fn s1_05_who_hides_is_nowhere_in_what_the_receiver_gets() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    // What the receiver may still see for each value: the name in From, the asserted identity, telling headers.
    let cases = [
        ("none", true, true, true),
        ("id", true, false, true),
        ("header", true, true, true),
        ("user", false, false, false),
        ("id;user;header", false, false, false),
        ("user;critical", false, false, false),
    ];
    for (privacy, from, asserted, telling) in cases {
        let request = alice
            .request("MESSAGE", &format!("sip:bob@{DOMAIN}"))
            .with(Name::Privacy, privacy)
            .with(Name::Subject, "from alice@home")
            .with(Name::UserAgent, "alice's phone")
            .with_body("text/plain", "hello");
        let call_id = request.headers.call_id().unwrap().into_owned();

        alice.sip.begin(alice.flow, request).await.unwrap();
        let (key, copy) = bob.incoming().await;
        bob.answer(key, &copy, 200).await;

        let text = String::from_utf8(copy.to_bytes().to_vec()).unwrap();
        assert_eq!(
            copy.headers.from().unwrap().uri.to_string().contains("alice"),
            from,
            "{privacy}"
        );
        assert_eq!(copy.headers.has(&Name::PAssertedIdentity), asserted, "{privacy}");
        assert_eq!(copy.headers.has(&Name::Subject), telling, "{privacy}");
        assert_eq!(text.contains("alice"), from || asserted || telling, "{privacy}: {text}");
        // Of these nothing is ever passed on: they are ours on this leg.
        assert!(!text.contains(&call_id) && !copy.headers.has(&Name::Contact), "{privacy}");
        let via = copy.headers.via().unwrap();
        assert_eq!((via.host.as_str(), copy.headers.vias().unwrap().len()), (DOMAIN, 1));
    }
}

#[tokio::test]
async fn priv_06_a_critical_wish_that_cannot_be_granted_is_500_with_its_reason() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    Phone::registered(&world, "bob", 1).await;
    let request = alice
        .request("MESSAGE", &format!("sip:bob@{DOMAIN}"))
        .with(Name::Privacy, "session;critical");

    let response = alice.send(request).await;

    assert_eq!(response.status, Status::SERVER_INTERNAL_ERROR);
    assert!(response.reason.contains("Privacy"), "{}", response.reason);
}
