//! Why a device refuses: its sender or caller reads it, in the words of the device.
use sip::header::Name;
use sip::{Response, Status};

use crate::messaging::{message, send};
use crate::pairing::{call, end};
use crate::phone::Phone;
use crate::world::{DOMAIN, World};

const USED: &str = "399 bobs.example \"this file-transfer-id was used before\"";

fn warning(response: &Response) -> Option<String> {
    response.headers.text(&Name::Warning).map(std::borrow::Cow::into_owned)
}

#[tokio::test]
async fn s20_43_why_a_device_refuses_a_message_is_told_to_its_sender() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;

    for (why, told) in [(USED.to_owned(), true), (format!("399 b \"{}\"", "x".repeat(600)), false)]
    {
        let hello = message(&mut alice, "bob", "text/plain", b"hello");
        let asked = send(&alice, hello);
        let (key, copy) = bob.incoming().await;
        let refused = Response::to(&copy, Status::NOT_ACCEPTABLE_HERE).with_to_tag("b");
        bob.sip.respond(key, refused.with(Name::Warning, why.clone())).await;

        let answer = asked.await.unwrap();
        assert_eq!(answer.status, Status::NOT_ACCEPTABLE_HERE);
        assert_eq!(warning(&answer), told.then_some(why));
    }
}

/// RFC 5547, 8.1: who used a file-transfer-id twice has to know that this is why.
#[tokio::test]
async fn f9_why_the_device_refuses_that_decides_is_told_to_the_caller() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut phone = Phone::registered(&world, "bob", 1).await;
    let mut tablet = Phone::registered(&world, "bob", 2).await;

    let calling = call(&mut alice, "bob", &end("alice", "actpass"));
    let (on_phone, invite) = phone.incoming().await;
    let (on_tablet, copy) = tablet.incoming().await;
    let broken = Response::to(&copy, Status::SERVER_INTERNAL_ERROR).with_to_tag("t");
    tablet.sip.respond(on_tablet, broken.with(Name::Warning, "399 t \"broken\"")).await;
    let refused = Response::to(&invite, Status::NOT_ACCEPTABLE_HERE).with_to_tag("p");
    phone.sip.respond(on_phone, refused.with(Name::Warning, USED)).await;

    let answer = calling.answer.await.unwrap();
    assert_eq!(answer.status, Status::NOT_ACCEPTABLE_HERE);
    assert_eq!(warning(&answer).as_deref(), Some(USED));
    let uri = answer.headers.to().unwrap().uri.aor().unwrap();
    assert_eq!(uri.as_str(), format!("sip:bob@{DOMAIN}"));
}
