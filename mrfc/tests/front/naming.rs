//! Whom an address reaches: numbers and GRUUs of REGISTER's 200, and what is sent to them.
use sip::header::{Contacts, Name, NameAddr};
use sip::{Request, Response, Status};

use crate::phone::Phone;
use crate::world::{DOMAIN, World, number};

/// A MESSAGE of this phone to this URI.
fn message(from: &mut Phone, uri: &str) -> Request {
    let mut request = from.request("MESSAGE", uri);
    request.headers.remove(&Name::Contact);
    request.with_body("text/plain", "hello")
}

/// Sends it from a task, because the answer waits for the recipient's.
fn send(phone: &Phone, request: Request) -> tokio::task::JoinHandle<Response> {
    let (sip, flow) = (phone.sip.clone(), phone.flow);
    tokio::spawn(async move { sip.request(flow, request).await.unwrap() })
}

/// A REGISTER of this phone that asks for GRUUs; the Contact of its own device.
async fn gruus(phone: &mut Phone) -> NameAddr {
    let mut request = phone.request("REGISTER", &format!("sip:{DOMAIN}"));
    request.headers.set(Name::To, format!("<{}>", phone.aor));
    let response = phone.ask(request.with(Name::Supported, "gruu")).await;
    let Contacts::Some(contacts) = response.headers.contacts().unwrap() else { panic!("no star") };
    let own = |contact: &NameAddr| contact.instance().as_ref() == Some(&phone.device);
    contacts.into_iter().find(own).unwrap()
}

#[tokio::test]
async fn s2_or8_a_registered_person_is_reached_by_the_number_that_the_200_tells() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::connect(&world, "bob", 1).await;
    let accepted = bob.register(3_600).await;
    let numbers = accepted.headers.text(&Name::PAssociatedUri).unwrap();
    assert_eq!(numbers, format!("<sip:bob@{DOMAIN}>, <tel:{}>", number("bob")));

    for uri in
        [format!("tel:{}", number("bob")), format!("sip:{}@{DOMAIN};user=phone", number("bob"))]
    {
        let request = message(&mut alice, &uri);
        let asked = send(&alice, request);
        let (key, copy) = bob.incoming().await;
        bob.answer(key, &copy, 200).await;
        assert_eq!(asked.await.unwrap().status, Status::OK, "{uri}");
    }
}

#[tokio::test]
async fn a_number_of_nobody_is_404_and_what_is_neither_number_nor_sip_416() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;

    for (uri, code) in [
        ("tel:+15559999999", 404),
        ("tel:7042;phone-context=example.net", 404),
        ("sip:+15559999999@example.net;user=phone", 404),
        ("mailto:bob@example.net", 416),
    ] {
        for method in ["MESSAGE", "INVITE"] {
            let request = alice.request(method, uri);
            let response = alice.ask(request).await;
            assert_eq!(response.status.code(), code, "{method} {uri}");
        }
    }
}

#[tokio::test]
async fn s2_or8_a_number_is_not_registered_by_itself() {
    let world = World::start().await;
    let mut alice = Phone::connect(&world, "alice", 1).await;
    for to in [format!("<tel:{}>", number("alice")), format!("<sip:+1555@{DOMAIN};user=phone>")] {
        let mut request = alice.request("REGISTER", &format!("sip:{DOMAIN}"));
        request.headers.set(Name::To, to.clone());

        let response = alice.ask(request).await;

        assert_eq!(response.status, Status::FORBIDDEN, "{to}");
        let tel = to.contains("tel:");
        assert!(!tel || response.reason.contains("Implicitly"), "{}", response.reason);
    }
    assert_eq!(world.metric("mrfc_registrations").await, 0);
}

#[tokio::test]
async fn ob_07_a_gruu_reaches_its_device_and_no_other() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut other = Phone::registered(&world, "bob", 1).await;
    let mut meant = Phone::connect(&world, "bob", 2).await;
    let contact = gruus(&mut meant).await;

    for name in ["pub-gruu", "temp-gruu"] {
        let uri = contact.params.text(name).unwrap().into_owned();
        let request = message(&mut alice, &uri);
        let asked = send(&alice, request);
        let (key, copy) = meant.incoming().await;
        meant.answer(key, &copy, 200).await;
        assert_eq!(asked.await.unwrap().status, Status::OK, "{name}");
    }

    // The next thing the other device hears is not one of these.
    let request = message(&mut alice, &format!("sip:bob@{DOMAIN}")).with(Name::Subject, "all");
    let asked = send(&alice, request);
    let (key, copy) = other.incoming().await;
    assert_eq!(copy.headers.text(&Name::Subject).unwrap(), "all");
    other.answer(key, &copy, 200).await;
    assert_eq!(asked.await.unwrap().status, Status::OK);
}

#[tokio::test]
async fn r5627_5_4_a_gruu_of_a_device_that_is_gone_is_480_and_an_invented_one_404() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::connect(&world, "bob", 2).await;
    let contact = gruus(&mut bob).await;
    let mut request = bob.request("REGISTER", &format!("sip:{DOMAIN}"));
    request.headers.set(Name::To, format!("<{}>", bob.aor));
    assert_eq!(bob.ask(request.with(Name::Expires, 0)).await.status, Status::OK);

    for (uri, code) in [
        (contact.params.text("pub-gruu").unwrap().into_owned(), 480),
        (contact.params.text("temp-gruu").unwrap().into_owned(), 480),
        (format!("sip:tgruu.00@{DOMAIN};gr"), 404),
    ] {
        let request = message(&mut alice, &uri);
        assert_eq!(alice.send(request).await.status.code(), code, "{uri}");
    }
}

#[tokio::test]
async fn ob_01_a_second_contact_beside_a_flow_is_400_and_nothing_is_registered() {
    let world = World::start().await;
    let mut alice = Phone::connect(&world, "alice", 1).await;
    let mut request = alice.request("REGISTER", &format!("sip:{DOMAIN}"));
    request.headers.set(Name::To, format!("<{}>", alice.aor));
    let two = format!("{};reg-id=1, <sip:alice@127.0.0.1:9>", alice.contact());
    request.headers.set(Name::Contact, two);

    let response = alice.ask(request.with(Name::Supported, "outbound")).await;

    assert_eq!(response.status, Status::BAD_REQUEST);
    assert_eq!(world.metric("mrfc_registrations").await, 0);
}

/// Registers this phone's connection as a flow of a device.
pub(crate) async fn register_flow(phone: &mut Phone, device: &str, reg_id: u8) {
    let mut request = phone.request("REGISTER", &format!("sip:{DOMAIN}"));
    request.headers.set(Name::To, format!("<{}>", phone.aor));
    let contact = format!(
        "<sip:bob@127.0.0.1:{reg_id};transport=tls>;+sip.instance=\"<{device}>\";reg-id={reg_id}"
    );
    request.headers.set(Name::Contact, contact);
    let response = phone.ask(request.with(Name::Supported, "outbound")).await;
    assert_eq!(response.status, Status::OK);
    assert!(response.headers.lists(&Name::Require, "outbound"));
    assert!(response.headers.has(&Name::FlowTimer));
}

#[tokio::test]
async fn ob_03_one_flow_of_a_device_is_tried_and_the_other_only_when_it_fails() {
    let world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut first = Phone::connect(&world, "bob", 1).await;
    let mut second = Phone::connect(&world, "bob", 2).await;
    let device = first.device.to_string();
    register_flow(&mut first, &device, 1).await;
    register_flow(&mut second, &device, 2).await;

    let request = message(&mut alice, &format!("sip:bob@{DOMAIN}")).with(Name::Subject, "one");
    let asked = send(&alice, request);
    let (key, copy) = second.incoming().await;
    second.answer(key, &copy, 430).await;
    let (key, copy) = first.incoming().await;
    assert_eq!(copy.headers.text(&Name::Subject).unwrap(), "one");
    first.answer(key, &copy, 200).await;
    assert_eq!(asked.await.unwrap().status, Status::OK);

    // A flow that ends in the middle is a flow that fails.
    let request = message(&mut alice, &format!("sip:bob@{DOMAIN}")).with(Name::Subject, "two");
    let asked = send(&alice, request);
    second.incoming().await;
    second.sip.close(second.flow);
    let (key, copy) = first.incoming().await;
    assert_eq!(copy.headers.text(&Name::Subject).unwrap(), "two");
    first.answer(key, &copy, 200).await;
    assert_eq!(asked.await.unwrap().status, Status::OK);

    // Any other answer is the device's, whatever flow it comes by.
    let request = message(&mut alice, &format!("sip:bob@{DOMAIN}"));
    let asked = send(&alice, request);
    let (key, copy) = first.incoming().await;
    first.answer(key, &copy, 486).await;
    assert_eq!(asked.await.unwrap().status, Status::BUSY_HERE);
}
