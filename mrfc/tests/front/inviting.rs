//! Flow F3: an INVITE to the factory with a list of people makes a conference and has it call them (RFC 5366, RFC 5364,
//! RFC 5360).
use sip::conference_info::Status as Where;
use sip::dialog::Dialog;
use sip::header::{CSeq, Name};
use sip::multipart::{self, Part};
use sip::resource_lists::{self, Bounds, CopyControl};
use sip::sdp::Offer;
use sip::{Method, Request, Response, Status};

use crate::listing::{entry, list, takes_contacts_only};
use crate::messaging::{message, send};
use crate::phone::{Phone, Talk, conference, good_offer};
use crate::relay::Manner;
use crate::watching::watch;
use crate::world::{DOMAIN, World, number};

const SDP: &str = "application/sdp";

fn factory() -> String {
    format!("sip:conference-factory@{DOMAIN}")
}

fn sdp() -> Part {
    Part::new(SDP, good_offer())
}

/// An INVITE with these parts, not sent yet.
fn invitation(from: &mut Phone, uri: &str, parts: &[Part]) -> Request {
    let (content_type, body) = multipart::write(parts, 9);
    let request = from.request("INVITE", uri).with(Name::Require, "recipient-list-invite");
    request.with_body(&content_type, body)
}

/// A conference made with this list, acknowledged.
async fn made_with(alice: &mut Phone, entries: &str) -> Talk {
    let request = invitation(alice, &factory(), &[sdp(), list(entries)]);
    let response = alice.send(request.clone()).await;
    assert_eq!(response.status, Status::OK);
    let dialog = Dialog::uac(&request, &response).unwrap();
    let CSeq { number, .. } = request.headers.cseq().unwrap();
    alice.sip.acknowledge(alice.flow, dialog.acknowledgement(number)).await;
    Talk { dialog, response }
}

/// The INVITE that comes in; it is answered with this.
async fn called(phone: &mut Phone, status: u16) -> Request {
    let (key, invite) = phone.incoming().await;
    assert_eq!(invite.method, Method::Invite);
    phone.answer(key, &invite, status).await;
    invite
}

/// S3-44.
#[tokio::test]
async fn f3_curi_02_the_creator_is_answered_and_everybody_on_the_list_is_called_once() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut carol = Phone::registered(&world, "carol", 1).await;
    // Bob three times, Carol by her number, and the one who asks.
    let twice = [entry("bob", ""), entry("bob", ""), entry("alice", "")].concat();
    let again = format!("<entry uri=\"sip:bob@{DOMAIN};transport=tls;method=MESSAGE\"/>");
    let by_number = format!("<entry uri=\"tel:{}\"/>", number("carol"));

    let talk = made_with(&mut alice, &(twice + &again + &by_number)).await;

    let uri = format!("sip:{}@{DOMAIN}", conference(&talk.response));
    assert!(talk.response.headers.content_type().unwrap().unwrap().is(SDP));
    for (phone, status) in [(&mut bob, 486), (&mut carol, 603)] {
        let invite = called(phone, status).await;
        assert_eq!(invite.headers.from().unwrap().uri.aor().unwrap().as_str(), uri);
        assert!(invite.headers.contact().unwrap().params.has("isfocus"));
        // Nobody was named `to` or `cc`, so nobody is told of the others.
        assert!(invite.headers.content_type().unwrap().unwrap().is(SDP));
        assert!(!invite.headers.has(&Name::Require));
    }
    // Had bob been called twice, that would have come before this.
    let next = alice.request("REFER", &uri).with(Name::ReferSub, "false");
    let next = next.with(Name::ReferTo, format!("<sip:bob@{DOMAIN}>"));
    assert_eq!(alice.send(next).await.status, Status::OK);
    called(&mut bob, 486).await;
}

#[tokio::test]
async fn curi_02_what_becomes_of_the_calls_only_watchers_see() {
    let quick = |config: &mut mrfc::Config| config.conferences.notify_secs = 0;
    let world = World::with(Manner::Prompt, quick).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let talk = made_with(&mut alice, &entry("bob", "")).await;
    let uri = format!("sip:{}@{DOMAIN}", conference(&talk.response));
    let mut seen = watch(&mut alice, &uri).await;

    let (key, invite) = bob.incoming().await;
    let response = Response::to(&invite, Status::OK)
        .with(Name::Contact, bob.contact())
        .with_body(SDP, good_offer());
    bob.sip.respond(key, response).await;

    let there = |info: &sip::conference_info::ConferenceInfo| {
        let user = info.user(&format!("sip:bob@{DOMAIN}"));
        user.is_some_and(|user| user.endpoints[0].status == Some(Where::Connected))
    };
    seen.until(&mut alice, there).await;
}

#[tokio::test]
async fn curi_03_each_is_shown_whom_they_may_see_and_nobody_the_blind_copies() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut phones = [
        Phone::registered(&world, "bob", 1).await,
        Phone::registered(&world, "carol", 1).await,
        Phone::registered(&world, "mallory", 1).await,
    ];
    let entries = [
        entry("bob", "cp:copyControl=\"to\""),
        entry("carol", "cp:copyControl=\"cc\" cp:anonymize=\"true\""),
        entry("mallory", "cp:copyControl=\"bcc\""),
    ];

    made_with(&mut alice, &entries.concat()).await;

    for phone in &mut phones {
        let invite = called(phone, 486).await;
        let kind = invite.headers.content_type().unwrap().unwrap();
        let parts = multipart::read(&kind, &invite.body).unwrap();
        assert_eq!(parts.len(), 2);
        assert!(parts[0].content_type().unwrap().is(SDP));
        assert!(Offer::parse_conference(&parts[0].body).is_ok());
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
}

#[tokio::test]
async fn curi_04_only_who_makes_a_conference_has_a_list() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut talk = alice.invite(&factory(), &good_offer()).await.ok().unwrap();
    let uri = format!("sip:{}@{DOMAIN}", conference(&talk.response));
    let parts = [sdp(), list(&entry("bob", ""))];
    let (content_type, body) = multipart::write(&parts, 9);

    let again = talk.dialog.request(Method::Invite).unwrap();
    let again = again.with_body(&content_type, body);
    let join = invitation(&mut bob, &uri, &parts);
    let to_person = invitation(&mut alice, &format!("sip:bob@{DOMAIN}"), &parts);
    for (phone, request) in [(&alice, again), (&bob, join), (&alice, to_person)] {
        let answer = phone.send(request).await;
        assert_eq!(answer.status, Status::BAD_EXTENSION);
        assert_eq!(answer.headers.text(&Name::Unsupported).unwrap(), "recipient-list-invite");
    }

    assert_eq!(world.metric("mrfc_dialogs").await, 1);
}

#[tokio::test]
async fn curi_05_who_has_not_agreed_is_not_called_and_there_is_no_conference() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let strangers = "<entry uri=\"sip:eve@example.org\"/>";
    let parts = [sdp(), list(&(entry("bob", "") + strangers))];

    let request = invitation(&mut alice, &factory(), &parts);
    let answer = alice.send(request).await;

    assert_eq!(answer.status, Status::CONSENT_NEEDED);
    assert_eq!(
        answer.headers.text(&"Permission-Missing".parse().unwrap()).unwrap(),
        "<sip:eve@example.org>"
    );
    // A stranger is asked who they are before anything else.
    let mut nobody = Phone::connect(&world, "alice", 2).await;
    let request = invitation(&mut nobody, &factory(), &parts);
    assert_eq!(nobody.send(request).await.status, Status::UNAUTHORIZED);
    assert_eq!(world.conferences().await, []);
}

#[tokio::test]
async fn curi_06_the_factory_says_that_it_takes_lists_and_a_conference_does_not() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let talk = alice.invite(&factory(), &good_offer()).await.ok().unwrap();
    let uri = format!("sip:{}@{DOMAIN}", conference(&talk.response));

    for (uri, takes) in [(factory(), true), (uri, false)] {
        let options = alice.request("OPTIONS", &uri);
        let answer = alice.send(options).await;
        assert_eq!(answer.status, Status::OK);
        let lists = answer.headers.lists(&Name::Supported, "recipient-list-invite");
        assert_eq!(lists, takes, "{uri}");
    }
}

#[tokio::test]
async fn f3_what_is_too_much_or_not_understood_is_said_and_makes_no_conference() {
    let world =
        World::with(Manner::Prompt, |config| config.conferences.list_recipients_max = 2).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let photo = || Part::new("image/png", "x");
    let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaa\">]><r>&a;</r>";
    let bomb = Part::new(resource_lists::MEDIA_TYPE, bomb)
        .with(Name::ContentDisposition, "recipient-list");
    let three = list(&[entry("bob", ""), entry("carol", ""), entry("mallory", "")].concat());
    let plain = Part::new("text/plain", "bob").with(Name::ContentDisposition, "recipient-list");
    let nested = Part::new("multipart/mixed;boundary=c", "--c\r\n\r\nx\r\n--c--");
    let bob = || list(&entry("bob", ""));
    let cases = [
        (vec![sdp(), three], 413),
        (vec![sdp()], 400),
        (vec![sdp(), bomb], 400),
        (vec![sdp(), nested], 415),
        (vec![sdp(), plain], 415),
        (vec![sdp(), bob(), photo()], 415),
        (vec![Part::new(SDP, "v=0\r\n"), bob()], 488),
    ];
    for (parts, code) in cases {
        let request = invitation(&mut alice, &factory(), &parts);
        let answer = alice.send(request).await;
        assert_eq!(answer.status.code(), code, "{parts:?}");
    }
    let other = invitation(&mut alice, &factory(), &[sdp(), bob()])
        .with(Name::Require, "recipient-list-message");
    let answer = alice.send(other).await;
    assert_eq!(answer.status, Status::BAD_EXTENSION);
    assert_eq!(answer.headers.text(&Name::Unsupported).unwrap(), "recipient-list-message");
    assert_eq!(world.conferences().await, []);
}

#[tokio::test]
async fn s13_3_1_a_description_among_optional_parts_is_read_without_any_list() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let photo =
        Part::new("image/png", "x").with(Name::ContentDisposition, "icon; handling=optional");
    let (content_type, body) = multipart::write(&[photo, sdp()], 9);

    let request = alice.request("INVITE", &factory()).with_body(&content_type, body);

    assert_eq!(alice.send(request).await.status, Status::OK);
    drop(world);
}

#[tokio::test]
async fn f3_curi_05_only_those_are_called_who_take_invitations_of_their_caller() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let mut carol = Phone::registered(&world, "carol", 1).await;
    takes_contacts_only(&world, "bob", &["carol"]).await;
    takes_contacts_only(&world, "carol", &["alice"]).await;

    made_with(&mut alice, &[entry("bob", ""), entry("carol", "")].concat()).await;

    called(&mut carol, 486).await;
    // Had bob been called, that would have come before this.
    let next = message(&mut carol, "bob", "text/plain", b"next");
    let next = send(&carol, next);
    let (key, copy) = bob.incoming().await;
    assert_eq!(copy.method, Method::Message);
    bob.answer(key, &copy, 200).await;
    next.await.unwrap();
}
