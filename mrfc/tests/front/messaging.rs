//! Immediate messages (RFC 3428) between devices: to whom they go, what arrives, and what the sender is told.
use sip::header::Name;
use sip::{Method, Request, Response, Status};

use crate::phone::{Phone, good_offer};
use crate::relay::Manner;
use crate::world::{DOMAIN, World};

/// A MESSAGE of this phone to a user, not sent yet.
pub(crate) fn message(from: &mut Phone, to: &str, media: &str, body: &[u8]) -> Request {
    let mut request = from.request("MESSAGE", &format!("sip:{to}@{DOMAIN}"));
    // RFC 3428, 4: no Contact.
    request.headers.remove(&Name::Contact);
    request.with_body(media, body.to_vec())
}

/// Sends it from a task, because the answer waits for the recipient's.
pub(crate) fn send(phone: &Phone, request: Request) -> tokio::task::JoinHandle<Response> {
    let (sip, flow) = (phone.sip.clone(), phone.flow);
    tokio::spawn(async move { sip.request(flow, request).await.unwrap() })
}

/// S3-03, S3-19, S3-20, S3-21, S3-23.
#[tokio::test]
async fn msg_01_any_bytes_of_any_type_arrive_unchanged_and_no_dialog_is_made() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let body: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let request = message(&mut alice, "bob", "application/x-any;v=1", &body)
        .with(Name::Subject, "hello")
        .with(Name::ContentEncoding, "x-ours")
        .with("X-Unheard-Of".parse().unwrap(), "kept");
    let call_id = request.headers.call_id().unwrap().into_owned();

    let asked = send(&alice, request);
    let (key, copy) = bob.incoming().await;
    bob.answer(key, &copy, 200).await;
    let answer = asked.await.unwrap();

    assert_eq!(copy.body, body);
    assert_eq!(copy.headers.text(&Name::ContentType).unwrap(), "application/x-any;v=1");
    assert_eq!(copy.headers.text(&Name::ContentEncoding).unwrap(), "x-ours");
    assert_eq!(copy.headers.text(&"X-Unheard-Of".parse().unwrap()).unwrap(), "kept");
    assert_eq!(copy.headers.from().unwrap().uri.aor().unwrap(), alice.aor);
    assert_eq!(
        copy.headers.text(&Name::PAssertedIdentity).unwrap(),
        format!("<sip:alice@{DOMAIN}>")
    );
    assert!(!copy.headers.has(&Name::Contact) && !copy.headers.has(&Name::Authorization));
    assert_ne!(copy.headers.call_id().unwrap(), call_id, "our leg has its own");
    assert_eq!(answer.status, Status::OK);
    // MSG-02: neither body nor Contact in the answer.
    assert!(answer.body.is_empty() && !answer.headers.has(&Name::Contact));
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
    assert_eq!(world.metric("mrfc_messages_total{code=\"200\"}").await, 1);
}

/// S3-22, S3-24.
#[tokio::test]
async fn every_device_gets_it_and_the_first_that_takes_it_is_the_answer() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut phone = Phone::registered(&world, "bob", 1).await;
    let mut tablet = Phone::registered(&world, "bob", 2).await;
    let request = message(&mut alice, "bob", "text/plain", b"both");

    let asked = send(&alice, request);
    let (key, copy) = phone.incoming().await;
    phone.answer(key, &copy, 486).await;
    let (late_key, late) = tablet.incoming().await;
    assert_eq!(late.body, copy.body);
    tablet.answer(late_key, &late, 200).await;

    assert_eq!(asked.await.unwrap().status, Status::OK);
}

#[tokio::test]
async fn when_no_device_takes_it_the_sender_hears_the_best_refusal_with_what_it_takes() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let request = message(&mut alice, "bob", "text/html", b"<b>");

    let asked = send(&alice, request);
    let (key, copy) = bob.incoming().await;
    let refused = Response::to(&copy, Status::UNSUPPORTED_MEDIA_TYPE);
    bob.sip.respond(key, refused.with(Name::Accept, "text/plain")).await;
    let answer = asked.await.unwrap();

    assert_eq!(answer.status, Status::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(answer.headers.text(&Name::Accept).unwrap(), "text/plain");
}

#[tokio::test]
async fn nobody_there_is_480_nobody_known_404_and_what_policy_forbids_is_said() {
    let world = World::with(Manner::Prompt, |config| {
        config.messages.octets_max = 10;
        config.messages.types = vec!["text/*".into()];
    })
    .await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let cases: [(&str, &str, &[u8], u16); 5] = [
        ("bob", "text/plain", b"hi", 480),
        ("nobody", "text/plain", b"hi", 404),
        ("room7", "text/plain", b"hi", 404),
        ("bob", "text/plain", b"eleven octs", 413),
        ("bob", "image/jpeg", b"hi", 415),
    ];
    for (to, media, body, code) in cases {
        let request = message(&mut alice, to, media, body);

        assert_eq!(alice.send(request).await.status.code(), code, "{to} {media}");
    }
    let elsewhere = alice.request("MESSAGE", "sip:bob@example.org");
    assert_eq!(alice.send(elsewhere).await.status, Status::NOT_FOUND);
}

#[tokio::test]
async fn a_device_that_never_answers_is_given_up_before_the_sender_gives_up() {
    let world = World::with(Manner::Prompt, |config| config.messages.answer_secs = 1).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let request = message(&mut alice, "bob", "text/plain", b"?");

    let began = service::clock::now();
    let asked = send(&alice, request);
    let (key, copy) = bob.incoming().await;

    assert_eq!(asked.await.unwrap().status, Status::TEMPORARILY_UNAVAILABLE);
    // Far below the 32 s of Timer F, when the transactions themselves would give up.
    assert!(service::clock::now() - began < std::time::Duration::from_secs(20));
    // Its answer comes too late, and harms nobody.
    bob.answer(key, &copy, 200).await;
    assert_eq!(alice.register(3_600).await.status, Status::OK);
}

#[tokio::test]
async fn s0_10_who_asks_for_privacy_is_not_named_to_the_recipient() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let request = message(&mut alice, "bob", "text/plain", b"guess who")
        .with(Name::Privacy, "user;id;critical")
        .with(Name::PPreferredIdentity, format!("<sip:alice@{DOMAIN}>"))
        .with(Name::Subject, "from alice");

    let asked = send(&alice, request);
    let (key, copy) = bob.incoming().await;
    bob.answer(key, &copy, 200).await;

    assert_eq!(asked.await.unwrap().status, Status::OK);
    let wire = String::from_utf8(copy.to_bytes().to_vec()).unwrap();
    assert!(!wire.contains("alice"), "{wire}");
    assert!(wire.contains("anonymous@anonymous.invalid"), "{wire}");
    let unknown =
        message(&mut alice, "bob", "text/plain", b"x").with(Name::Privacy, "session;critical");
    assert_eq!(alice.send(unknown).await.status, Status::SERVER_INTERNAL_ERROR);
}

/// S2-OS10, S2-06.
#[tokio::test]
async fn s2_ns3_nobody_writes_in_anothers_name() {
    let world = World::start().await;
    let mut mallory = Phone::registered(&world, "mallory", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut forged = message(&mut mallory, "bob", "text/plain", b"give me money");
    forged.headers.set(Name::From, format!("<sip:alice@{DOMAIN}>;tag=f"));
    let asserted = message(&mut mallory, "bob", "text/plain", b"mine")
        .with(Name::PAssertedIdentity, format!("<sip:alice@{DOMAIN}>"));

    assert_eq!(mallory.ask(forged).await.status, Status::FORBIDDEN);
    let asked = send(&mallory, asserted);
    let (key, copy) = bob.incoming().await;
    bob.answer(key, &copy, 200).await;

    assert_eq!(asked.await.unwrap().status, Status::OK);
    let identities: Vec<_> = copy.headers.raw(&Name::PAssertedIdentity).collect();
    assert_eq!(identities, [format!("<sip:mallory@{DOMAIN}>").as_bytes()]);
}

#[tokio::test]
async fn f11_s1_10_the_sender_and_the_recipient_hear_how_far_the_protection_reaches() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let header: Name = "Conclave-Protection".parse().unwrap();
    for (media, protection) in [("text/plain", "first-hop"), ("message/mls", "end-to-end")] {
        // What the sender says of it does not count.
        let request = message(&mut alice, "bob", media, b"hi").with(header.clone(), "end-to-end");

        let asked = send(&alice, request);
        let (key, copy) = bob.incoming().await;
        bob.answer(key, &copy, 200).await;
        let answer = asked.await.unwrap();

        assert_eq!(answer.headers.text(&header).unwrap(), protection);
        assert_eq!(copy.headers.only(&header).unwrap(), protection);
    }
    let refused = message(&mut alice, "nobody", "text/plain", b"hi");
    assert!(!alice.send(refused).await.headers.has(&header));
}

#[tokio::test]
async fn f11_s3_25_what_people_here_are_sent_has_rules_of_its_own_and_what_is_clear_is_filtered() {
    let world = World::with(Manner::Prompt, |config| {
        config.messages.terminating_octets_max = 20;
        config.messages.terminating_types = vec!["text/*".into(), "message/mls".into()];
        config.filters = vec![toml::from_str("words = [\"lottery\"]").unwrap()];
    })
    .await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let refused: [(&str, &[u8], u16); 3] = [
        ("text/plain", b"the LOTTERY is yours", 403),
        ("text/plain", b"one octet more than 20", 413),
        ("image/png", b"x", 415),
    ];
    for (media, body, code) in refused {
        let request = message(&mut alice, "bob", media, body);
        assert_eq!(alice.send(request).await.status.code(), code, "{media}");
    }
    // Nobody reads what is sealed, not even to judge it.
    let sealed = message(&mut alice, "bob", "message/mls", b"lottery");
    let asked = send(&alice, sealed);
    let (key, copy) = bob.incoming().await;
    bob.answer(key, &copy, 200).await;
    assert_eq!(asked.await.unwrap().status, Status::OK);
}

#[tokio::test]
async fn f11_a_message_in_a_dialog_goes_to_the_others_in_theirs_and_never_in_the_clear_to_a_sealed_room()
 {
    let world = World::with(Manner::Prompt, |config| {
        config.conferences.level = mrfc::config::Level::Open;
        config.conferences.named = true;
    })
    .await;
    let uri = format!("sip:room7@{DOMAIN}");
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut talk = alice.invite(&uri, &good_offer()).await.ok().unwrap();
    bob.invite(&uri, &good_offer()).await.ok().unwrap();

    let request = talk.dialog.request(Method::Message).unwrap();
    let answer = alice.send(request.with_body("text/plain", "psst")).await;

    assert_eq!(answer.status, Status::ACCEPTED);
    let (key, copy) = bob.incoming().await;
    bob.answer(key, &copy, 200).await;
    assert_eq!((copy.method.clone(), &copy.body[..]), (Method::Message, &b"psst"[..]));
    assert_eq!(copy.headers.from().unwrap().uri.aor().unwrap().as_str(), uri);
    assert!(copy.headers.text(&Name::PAssertedIdentity).unwrap().contains("alice"));
    // In a dialog of somebody else there is nothing to say.
    let mallory = Phone::registered(&world, "mallory", 1).await;
    let mut forged = talk.dialog.request(Method::Message).unwrap().with_body("text/plain", "x");
    let from = forged.headers.from().unwrap();
    forged.headers.set(Name::From, format!("<sip:mallory@{DOMAIN}>;tag={}", from.tag().unwrap()));
    assert_eq!(mallory.send(forged).await.status, Status::NO_SUCH_DIALOG);

    let sealed = World::start().await;
    let mut alice = Phone::registered(&sealed, "alice", 1).await;
    let mut talk = alice
        .invite(&format!("sip:conference-factory@{DOMAIN}"), &good_offer())
        .await
        .ok()
        .unwrap();
    let clear = talk.dialog.request(Method::Message).unwrap().with_body("text/plain", "x");
    let answer = alice.send(clear).await;
    assert_eq!(answer.status, Status::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(answer.headers.text(&Name::Accept).unwrap(), "message/mls");
}
