//! Several relays in a path: A – R1 – R2 – B, each relay with a focus of its own.
use msrp::{Item, MessageId, Path, Status};

use crate::client::{Client, prove, text};
use crate::common::dns::{Dns, Record};
use crate::world::{RELAY, World};

/// Two relays that may dial each other.
async fn two() -> (World, World) {
    let first = World::linked(None).await;
    let second = World::linked(Some(&first)).await;
    (first, second)
}

#[tokio::test]
async fn m4976_19_a_message_passes_two_relays_and_its_report_comes_back() {
    let (mut r1, mut r2) = two().await;
    let (mut alice, at_1) = r1.member("alice").await;
    let (mut bob, at_2) = r2.member("bob").await;
    // RFC 4976, 5.1: bob's path is his Use-Path backwards and then himself; alice's To-Path is hers and then his.
    let to_bob = format!("{at_1} {at_2} {}", bob.own);

    let wants =
        msrp::SendRequest { success_report: msrp::SuccessReport::Yes, ..text("msg1", "Hi") };
    alice.send(&to_bob, &wants).await;
    let (head, body) = bob.message().await;

    assert_eq!(body, "Hi");
    assert_eq!(head.from_path().to_wire(), format!("{at_2} {at_1} {}", alice.own));
    assert_eq!(alice.response().await.status(), Some(Status::OK));
    let report = format!(
        "MSRP repo1 REPORT\r\nTo-Path: {at_2} {at_1} {}\r\nFrom-Path: {}\r\nMessage-ID: msg1\r\n\
         Byte-Range: 1-2/2\r\nStatus: 000 200 OK\r\n-------repo1$\r\n",
        alice.own, bob.own
    );
    bob.raw(report.as_bytes()).await;
    let got = alice.request().await.head;
    assert_eq!(got.message_id(), MessageId::parse(b"msg1"));
    assert_eq!(got.from_path().to_wire(), format!("{at_1} {at_2} {}", bob.own));
    // And the other way round, over the connection that stands.
    bob.send(&format!("{at_2} {at_1} {}", alice.own), &text("msg2", "Hello")).await;
    assert_eq!(alice.message().await.1, "Hello");
}

#[tokio::test]
async fn m4976_11_a_refusal_behind_two_relays_is_reported_once() {
    let (mut r1, mut r2) = two().await;
    let (mut alice, at_1) = r1.member("alice").await;
    let (mut bob, at_2) = r2.member("bob").await;

    alice.send(&format!("{at_1} {at_2} {}", bob.own), &text("msg1", "Hi")).await;
    let head = bob.request().await.head;
    bob.reply(&head, Status::STOP_SENDING).await;

    assert_eq!(alice.response().await.status(), Some(Status::OK));
    let report = alice.request().await.head;
    assert_eq!(report.report_status().unwrap().status, Status::STOP_SENDING);
    assert_eq!(report.from_path().to_wire(), format!("{at_1} {at_2}"));
    // Nothing else comes.
    alice.send(&format!("{at_1} {at_2} {}", bob.own), &text("msg2", "Hi")).await;
    assert!(matches!(alice.next().await, Some(Item::Response(_))));
}

#[tokio::test]
async fn m4976_11_a_relay_further_on_that_does_not_know_the_uri_is_reported() {
    let (mut r1, r2) = two().await;
    let (mut alice, at_1) = r1.member("alice").await;
    let nobody = format!("msrps://localhost:{}/nobody;tcp", r2.stage.msrp.port());

    alice.send(&format!("{at_1} {nobody} msrps://b.example:9/b;tcp"), &text("msg1", "Hi")).await;

    assert_eq!(alice.response().await.status(), Some(Status::OK));
    let report = alice.request().await.head;
    assert_eq!(report.report_status().unwrap().status, Status::NO_SUCH_SESSION);
}

/// Logs in at a relay behind another one.
async fn log_in_behind(r2: &mut World, client: &mut Client, at_1: &str) -> Path {
    let extra = format!("msrps://localhost:{};tcp", r2.stage.msrp.port());
    log_in_at(&extra, r2, client, at_1).await
}

/// The same at a relay that this URI leads to.
async fn log_in_at(extra: &str, r2: &mut World, client: &mut Client, at_1: &str) -> Path {
    let to = format!("{at_1} {extra}");
    client.ask(&to, &[]).await;
    let head = client.response().await;
    assert_eq!(head.status().unwrap().code(), 401);
    assert_eq!(head.from_path().to_wire(), to, "the whole way back");
    let proof = prove(&head.challenges().remove(0), extra, "secret", 1).to_wire();
    client.ask(&to, &[("Authorization", proof)]).await;
    r2.judge().await;
    let head = client.response().await;
    assert_eq!(head.status().unwrap().code(), 200);
    head.use_path().unwrap().unwrap()
}

#[tokio::test]
async fn m4976_15_an_auth_passes_a_relay_and_its_answers_come_back_over_all_uris() {
    let (mut r1, mut r2) = two().await;
    let (mut alice, at_1) = r1.member("alice").await;

    let use_path = log_in_behind(&mut r2, &mut alice, &at_1).await;

    assert_eq!((use_path.len(), use_path.first().as_str()), (2, at_1.as_str()));
    // Whoever knows both reaches alice over both, and she reaches them.
    let mut bob = r2.client("bob").await;
    let to_alice = format!("{} {}", use_path.reversed().to_wire(), alice.own);
    bob.send(&to_alice, &text("msg1", "Hi")).await;
    let (head, body) = alice.message().await;
    assert_eq!(body, "Hi");
    assert_eq!(head.from_path().to_wire(), format!("{} {}", use_path.to_wire(), bob.own));
    alice.send(&format!("{} {}", use_path.to_wire(), bob.own), &text("msg2", "Hello")).await;
    loop {
        if let Some(Item::Request(chunk)) = bob.next().await {
            assert_eq!(chunk.body.gather(), "Hello");
            break;
        }
    }
}

#[tokio::test]
async fn m4976_16_a_relay_is_found_by_the_service_record_of_its_domain() {
    let mut r2 = World::linked(None).await;
    let dns = Dns::new(vec![
        ("_msrps._tcp.example.net", Record::Srv(0, r2.stage.msrp.port(), "r2.test")),
        ("r2.test", Record::Address("127.0.0.1".parse().unwrap())),
    ]);
    let nameserver = dns.await.address;
    let mut r1 = World::linked_with(Some(&r2), |config| {
        config.msrp.nameserver = Some(nameserver);
        config.relay.next_hops = vec!["example.net".into()];
    })
    .await;
    let (mut alice, at_1) = r1.member("alice").await;

    // The certificate is for the domain, whatever the record says.
    let use_path = log_in_at("msrps://example.net;tcp", &mut r2, &mut alice, &at_1).await;

    assert_eq!(use_path.len(), 2);
}

#[tokio::test]
async fn m4976_07_who_guesses_at_another_relay_is_cut_off_by_its_own() {
    let (mut r1, mut r2) = two().await;
    let (mut mallory, at_1) = r1.member("alice").await;
    let extra = format!("msrps://localhost:{};tcp", r2.stage.msrp.port());
    let to = format!("{at_1} {extra}");
    mallory.ask(&to, &[]).await;
    let challenge = mallory.response().await.challenges().remove(0);

    for nc in 1..=5 {
        let proof = prove(&challenge, &extra, "guess", nc).to_wire();
        mallory.ask(&to, &[("Authorization", proof)]).await;
        r2.judge().await;
        assert_eq!(mallory.response().await.status().unwrap().code(), 401);
    }

    assert!(mallory.next().await.is_none());
    // The other relay has no quarrel with this one.
    let (mut alice, at_1) = r1.member("alice").await;
    log_in_behind(&mut r2, &mut alice, &at_1).await;
}

#[tokio::test]
async fn m4976_17_a_relay_whose_certificate_is_of_another_name_gets_no_uri() {
    let (_, mut r2) = two().await;
    let names = [("elsewhere.example", 403), ("r9.example", 200)];
    for (name, status) in names {
        let identity = r2.stage.ca.issue(&[name]).unwrap();
        let mut relay =
            Client::connect_as(&r2.stage.ca, r2.stage.msrp, "r9", Some(&identity)).await;
        relay.own = "msrps://r9.example:2855/x;tcp msrps://alice.example:9/a;tcp".into();

        relay.ask(RELAY, &[]).await;
        let mut head = relay.response().await;
        if head.status().unwrap().code() == 401 {
            let proof = prove(&head.challenges().remove(0), RELAY, "secret", 1).to_wire();
            relay.ask(RELAY, &[("Authorization", proof)]).await;
            r2.judge().await;
            head = relay.response().await;
        }

        assert_eq!(head.status().unwrap().code(), status, "{name}");
    }
}

#[tokio::test]
async fn m4976_17_a_relay_that_does_not_prove_its_name_is_not_sent_to() {
    let (mut r1, _) = two().await;
    let (mut alice, at_1) = r1.member("alice").await;
    // It has a certificate of somebody else's authority.
    let other = World::new().await;
    let there = format!("msrps://localhost:{}/x;tcp", other.stage.msrp.port());

    alice.send(&format!("{at_1} {there} msrps://b.example:9/b;tcp"), &text("msg1", "Hi")).await;

    assert_eq!(alice.response().await.status(), Some(Status::OK));
    let report = alice.request().await.head;
    assert_eq!(report.report_status().unwrap().status, Status::TIMEOUT);
}

#[tokio::test]
async fn m4976_18_a_clients_certificate_is_ignored() {
    let (_, mut r2) = two().await;
    // Of its own making, and of nobody's authority.
    let other = World::new().await;
    let identity = other.stage.ca.issue(&["alice.example"]).unwrap();
    let mut alice = Client::connect_as(&r2.stage.ca, r2.stage.msrp, "alice", Some(&identity)).await;

    let head = r2.log_in(&mut alice, "secret", &[]).await;

    assert_eq!(head.status().unwrap().code(), 200);
}
