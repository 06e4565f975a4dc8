//! What the sender hears of a message that did not arrive.
use msrp::{FailureReport, Item, MessageId, SendRequest, Status};

use crate::client::{Client, text};
use crate::world::World;

fn wanting(failure_report: FailureReport, id: &str) -> SendRequest {
    SendRequest { failure_report, ..text(id, "Hello") }
}

/// The next REPORT, which is about this message.
async fn report(client: &mut Client, id: &str) -> (u16, String, String) {
    loop {
        if let Some(Item::Request(chunk)) = client.next().await {
            let head = chunk.head;
            assert_eq!(head.message_id(), MessageId::parse(id.as_bytes()));
            let status = head.report_status().unwrap().status.code();
            return (status, head.byte_range().to_string(), head.from_path().to_wire());
        }
    }
}

#[tokio::test]
async fn m4976_10_a_next_hop_that_stays_silent_is_reported_with_408_to_who_wants_all_failures() {
    let mut world = World::with(|config| config.relay.answer_secs = 1).await;
    let (mut alice, _bob, paths) = world.pair().await;

    for (wants, id) in [
        (FailureReport::No, "no01"),
        (FailureReport::Partial, "partial1"),
        (FailureReport::Yes, "yes1"),
    ] {
        alice.send(&paths.to_bob, &wanting(wants, id)).await;
    }

    // It is the first and only one: the other two were sent before it.
    let expected = (408, "1-5/5".into(), paths.relay.clone());
    assert_eq!(report(&mut alice, "yes1").await, expected);
}

#[tokio::test]
async fn m4976_11_a_refusal_of_the_next_hop_is_reported_with_its_code_unless_nobody_wants_to_know()
{
    let mut world = World::new().await;
    let (mut alice, mut bob, paths) = world.pair().await;

    for (wants, id) in [
        (FailureReport::No, "no01"),
        (FailureReport::Partial, "partial1"),
        (FailureReport::Yes, "yes1"),
    ] {
        alice.send(&paths.to_bob, &wanting(wants, id)).await;
        let head = bob.request().await.head;
        assert_eq!(head.failure_report(), wants);
        // Also where no answer is wanted.
        let refused = format!(
            "MSRP {} 413\r\nTo-Path: {}\r\nFrom-Path: {}\r\n-------{0}$\r\n",
            head.transaction(),
            head.from_path().first().as_str(),
            bob.own
        );
        bob.raw(refused.as_bytes()).await;
    }

    for id in ["partial1", "yes1"] {
        let expected = (413, "1-5/5".into(), paths.relay.clone());
        assert_eq!(report(&mut alice, id).await, expected);
    }
}

#[tokio::test]
async fn m4976_11_no_more_of_a_refused_message_is_passed_on() {
    let mut world = World::new().await;
    let (mut alice, mut bob, paths) = world.pair().await;
    let whole = text("msg1", "Hello, world");

    alice.send(&paths.to_bob, &whole.chunk(0, 5).0).await;
    let head = bob.request().await.head;
    bob.reply(&head, Status::STOP_SENDING).await;
    assert_eq!(report(&mut alice, "msg1").await.0, 413);
    // The receiver waits for nothing more of it.
    assert_eq!(bob.request().await.end, Some(msrp::Flag::Abort));
    alice.send(&paths.to_bob, &whole.chunk(5, 100).0).await;
    alice.send(&paths.to_bob, &text("msg2", "Hi")).await;

    assert_eq!(bob.message().await.1, "Hi");
}

#[tokio::test]
async fn m4976_15_an_answer_that_is_not_addressed_to_us_counts_as_none() {
    let mut world = World::with(|config| config.relay.answer_secs = 1).await;
    let (mut alice, mut bob, paths) = world.pair().await;

    alice.send(&paths.to_bob, &text("msg1", "Hello")).await;
    let head = bob.request().await.head;
    for (id, to) in
        [(head.transaction().as_str(), "msrps://x.example:1/x;tcp"), ("other1", &paths.relay)]
    {
        let answer = format!(
            "MSRP {id} 413 no\r\nTo-Path: {to}\r\nFrom-Path: {}\r\n-------{id}$\r\n",
            bob.own
        );
        bob.raw(answer.as_bytes()).await;
    }

    assert_eq!(report(&mut alice, "msg1").await.0, 408);
}

#[tokio::test]
async fn m4976_11_a_next_hop_that_goes_away_without_an_answer_is_reported() {
    let mut world = World::new().await;
    let (mut alice, mut bob, paths) = world.pair().await;
    alice.send(&paths.to_bob, &text("msg1", "Hello")).await;
    bob.request().await;

    drop(bob);

    assert_eq!(report(&mut alice, "msg1").await.0, 408);
}

#[tokio::test]
async fn m4976_15_an_answer_for_a_connection_that_is_gone_is_dropped() {
    let mut world = World::new().await;
    let (mut alice, mut bob, paths) = world.pair().await;
    bob.send(&paths.to_alice, &text("msg1", "Hello")).await;
    let head = alice.request().await.head;

    drop(bob);
    alice.reply(&head, Status::STOP_SENDING).await;

    // The relay and alice go on.
    let mut carol = world.client("carol").await;
    carol.send(&paths.to_alice, &text("msg2", "Hi")).await;
    assert_eq!(alice.message().await.1, "Hi");
}
