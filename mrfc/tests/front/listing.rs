//! Flow F13: one MESSAGE with a list of people becomes one for each of them (RFC 5365, RFC 5364, RFC 5360).
use serde_json::json;
use sip::header::Name;
use sip::multipart::{self, Part};
use sip::resource_lists::{self, Bounds, CopyControl};
use sip::{Request, Status};

use crate::messaging::{message, send};
use crate::people::{at, call};
use crate::phone::Phone;
use crate::relay::Manner;
use crate::world::{DOMAIN, World};

pub(crate) fn list(entries: &str) -> Part {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<resource-lists \
         xmlns=\"urn:ietf:params:xml:ns:resource-lists\" \
         xmlns:cp=\"urn:ietf:params:xml:ns:copycontrol\"><list>{entries}</list></resource-lists>"
    );
    Part::new(resource_lists::MEDIA_TYPE, xml).with(Name::ContentDisposition, "recipient-list")
}

pub(crate) fn entry(user: &str, control: &str) -> String {
    format!("<entry uri=\"sip:{user}@{DOMAIN}\" {control}/>")
}

/// A message for many of this phone, not sent yet.
fn letter(from: &mut Phone, parts: &[Part]) -> Request {
    let (content_type, body) = multipart::write(parts, 9);
    message(from, "list", &content_type, &body).with(Name::Require, "recipient-list-message")
}

/// What one phone is sent; it answers with this.
async fn got(phone: &mut Phone, status: u16) -> Request {
    let (key, copy) = phone.incoming().await;
    phone.answer(key, &copy, status).await;
    copy
}

/// S1-14, S3-06, S3-26, S3-27.
#[tokio::test]
async fn f13_each_recipient_gets_the_payload_once_and_alone_and_the_sender_202() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut carol = Phone::registered(&world, "carol", 1).await;
    let octets: Vec<u8> = (0..=255).collect();
    let payload =
        Part::new("application/x-any;v=1", octets.clone()).with(Name::ContentLanguage, "en");
    let twice = [entry("bob", ""), entry("carol", ""), entry("bob", "")].concat();
    let bob_over_tls = format!("<entry uri=\"sip:bob@{DOMAIN};transport=tls;method=INVITE\"/>");
    // Mallory is not registered; a list says nothing of that.
    let entries = [twice, bob_over_tls, entry("mallory", "")].concat();
    let request = letter(&mut alice, &[payload, list(&entries)]);
    let call_id = request.headers.call_id().unwrap().into_owned();

    let answer = alice.send(request).await;

    assert_eq!(answer.status, Status::ACCEPTED);
    assert!(answer.body.is_empty() && !answer.headers.has(&Name::Contact));
    let (to_bob, to_carol) = (got(&mut bob, 200).await, got(&mut carol, 486).await);
    for (copy, who) in [(&to_bob, "bob"), (&to_carol, "carol")] {
        assert_eq!(copy.method, sip::Method::Message);
        assert_eq!(copy.body, octets);
        assert_eq!(copy.headers.text(&Name::ContentType).unwrap(), "application/x-any;v=1");
        assert_eq!(copy.headers.text(&Name::ContentLanguage).unwrap(), "en");
        assert_eq!(copy.headers.to().unwrap().uri.to_string(), format!("sip:{who}@{DOMAIN}"));
        assert_eq!(copy.headers.from().unwrap().uri.aor().unwrap(), alice.aor);
        assert!(!copy.headers.has(&Name::Require) && !copy.headers.has(&Name::Authorization));
        assert_eq!(copy.headers.max_forwards().unwrap(), Some(69));
    }
    let ids = [
        call_id.as_str(),
        &to_bob.headers.call_id().unwrap(),
        &to_carol.headers.call_id().unwrap(),
    ];
    assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2], "{ids:?}");
    // Bob was named three times. What comes next is the next message.
    let next = message(&mut alice, "bob", "text/plain", b"next");
    let next = send(&alice, next);
    assert_eq!(got(&mut bob, 200).await.body, "next");
    next.await.unwrap();
}

#[tokio::test]
async fn f13_list_08_recipients_see_whom_they_may_see() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let entries = [
        entry("bob", "cp:copyControl=\"to\""),
        entry("carol", "cp:copyControl=\"cc\" cp:anonymize=\"true\""),
        entry("mallory", "cp:copyControl=\"bcc\""),
    ];
    let parts = [Part::new("text/plain", "hello"), list(&entries.concat())];
    let request = letter(&mut alice, &parts).with(Name::Privacy, "none");

    assert_eq!(alice.send(request).await.status, Status::ACCEPTED);

    let copy = got(&mut bob, 200).await;
    let kind = copy.headers.content_type().unwrap().unwrap();
    let parts = multipart::read(&kind, &copy.body).unwrap();
    assert_eq!(&parts[0].body[..], b"hello");
    let history = parts[1].headers.text(&Name::ContentDisposition).unwrap();
    assert_eq!(history, "recipient-list-history; handling=optional");
    let shown = resource_lists::read(&parts[1].body, Bounds::default()).unwrap();
    let shown: Vec<_> = shown.iter().map(|entry| (entry.uri.to_string(), entry.copy)).collect();
    assert_eq!(
        shown,
        [
            (format!("sip:bob@{DOMAIN}"), CopyControl::To),
            (String::from("sip:anonymous@anonymous.invalid"), CopyControl::Cc),
        ]
    );
}

#[tokio::test]
async fn f13_list_03_who_has_not_agreed_is_sent_nothing_and_nobody_else_either() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let strangers = "<entry uri=\"sip:eve@example.org\"/><entry uri=\"tel:+15551230000\"/>";
    let parts = [Part::new("text/plain", "buy"), list(&(entry("bob", "") + strangers))];
    let request = letter(&mut alice, &parts);

    let answer = alice.send(request).await;

    assert_eq!(answer.status, Status::CONSENT_NEEDED);
    assert_eq!(
        answer.headers.text(&"Permission-Missing".parse().unwrap()).unwrap(),
        "<sip:eve@example.org>, <tel:+15551230000>"
    );
    let next = message(&mut alice, "bob", "text/plain", b"next");
    let next = send(&alice, next);
    assert_eq!(got(&mut bob, 200).await.body, "next");
    next.await.unwrap();
    // A stranger is asked who they are before anything else.
    let mut nobody = Phone::connect(&world, "alice", 2).await;
    let request = letter(&mut nobody, &parts);
    assert_eq!(nobody.send(request).await.status, Status::UNAUTHORIZED);
}

#[tokio::test]
async fn f13_list_09_what_is_too_much_or_no_list_is_said() {
    let world = World::with(Manner::Prompt, |config| config.messages.list_recipients_max = 2).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let text = || Part::new("text/plain", "x");
    let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaa\">]><r>&a;</r>";
    let bomb = Part::new(resource_lists::MEDIA_TYPE, bomb)
        .with(Name::ContentDisposition, "recipient-list");
    let nested = Part::new("multipart/mixed;boundary=c", "--c\r\n\r\nx\r\n--c--");
    let plain = Part::new("text/plain", "bob").with(Name::ContentDisposition, "recipient-list");
    let three = list(&[entry("bob", ""), entry("carol", ""), entry("mallory", "")].concat());
    let two_and_one = vec![text(), list(&entry("bob", "").repeat(2)), list(&entry("carol", ""))];
    let cases = [
        (vec![text(), three], 413),
        (two_and_one, 413),
        (vec![text()], 400),
        (vec![text(), bomb], 400),
        (vec![text(), nested], 415),
        (vec![text(), plain], 415),
        (vec![text(), list("<entry uri=\"bob\"/>")], 400),
    ];
    for (parts, code) in cases {
        let request = letter(&mut alice, &parts);
        assert_eq!(alice.send(request).await.status.code(), code, "{parts:?}");
    }
    let alone = message(&mut alice, "list", "text/plain", b"x");
    assert_eq!(alice.send(alone).await.status, Status::UNSUPPORTED_MEDIA_TYPE);
    // LIST-02: nobody but the service does what the extension asks for.
    let to_bob = message(&mut alice, "bob", "text/plain", b"x")
        .with(Name::Require, "recipient-list-message");
    let answer = alice.send(to_bob).await;
    assert_eq!(answer.status, Status::BAD_EXTENSION);
    assert_eq!(answer.headers.text(&Name::Unsupported).unwrap(), "recipient-list-message");
    let options = alice.request("OPTIONS", &format!("sip:list@{DOMAIN}"));
    let answer = alice.send(options).await;
    assert_eq!(answer.status, Status::OK);
    assert!(answer.headers.lists(&Name::Supported, "recipient-list-message"));
}

/// Somebody takes messages and invitations of their contacts only, who are these.
pub(crate) async fn takes_contacts_only(world: &World, user: &str, contacts: &[&str]) {
    let wishes = json!({ "messages_from": "contacts", "invitations_from": "contacts" });
    let wished = call(world, user, ("PUT", &at(user, "privacy")), Some(0), &wishes).await;
    assert_eq!(wished.status, 204);
    for (version, contact) in (0..).zip(contacts) {
        let added = json!({ "contact": format!("sip:{contact}@{DOMAIN}") });
        let path = at(user, "contacts");
        let answer = call(world, user, ("POST", &path), Some(version), &added).await;
        assert_eq!(answer.status, 201);
    }
}

#[tokio::test]
async fn f13_list_03_a_list_reaches_only_those_who_take_messages_of_its_sender() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut carol = Phone::registered(&world, "carol", 1).await;
    let mut mallory = Phone::registered(&world, "mallory", 1).await;
    takes_contacts_only(&world, "bob", &["carol"]).await;
    takes_contacts_only(&world, "carol", &["alice"]).await;
    let entries = [entry("bob", ""), entry("carol", ""), entry("mallory", "")].concat();
    let request = letter(&mut alice, &[Part::new("text/plain", "hello"), list(&entries)]);

    // Who has not agreed is nobody's business: the answer is the same.
    assert_eq!(alice.send(request).await.status, Status::ACCEPTED);

    assert_eq!(got(&mut carol, 200).await.body, "hello");
    assert_eq!(got(&mut mallory, 200).await.body, "hello");
    let next = message(&mut carol, "bob", "text/plain", b"next");
    let next = send(&carol, next);
    assert_eq!(got(&mut bob, 200).await.body, "next");
    next.await.unwrap();
}
