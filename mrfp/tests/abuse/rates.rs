//! Rates: who is over one is read later, or closed if all it sends is refused; who connects too often is turned away.
use std::sync::Arc;
use std::time::Duration;

use control::{Cause, Level};
use msrp::SendRequest;
use service::clock;
use tokio::io::AsyncReadExt;

use super::talk::{Talk, from_elsewhere};
use crate::common::person::trusting;
use crate::common::{Got, Person, ROOM, Stage, cpim, id, message, seat, soon, text};

#[tokio::test]
async fn who_is_over_its_rate_of_chunks_is_read_later_and_loses_nothing() {
    let mut stage = Stage::with(|config| {
        config.limits.chunks_per_seat_per_sec = 100;
        config.limits.read_octets = 4096;
    })
    .await;
    stage.open(Level::Open, None).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let mut hasty = stage.join(3).await;
    let before = clock::now();

    for n in 0..250 {
        hasty.send(&message(&format!("hasty{n}"), text(3, &n.to_string()))).await;
    }
    // While it rests others talk, and it hears them.
    alice.ask(&message("calm1", text(1, "calm"))).await;

    let (mut answers, mut heard) = (0, false);
    while answers < 250 {
        match hasty.next().await {
            Got::Response(_, 200, _) => answers += 1,
            Got::Chunk(_) => heard = answers < 250,
            other => panic!("{other:?}"),
        }
    }
    let took = clock::now() - before;
    assert!(heard, "it heard nothing while it rested");
    // A burst of 100 and 150 more, without the last batch, after which the rest begins.
    assert!(took > Duration::from_secs(1), "{took:?}");
    let (mut from_hasty, mut calm_after) = (0, 0);
    while from_hasty < 250 {
        let body = bob.message().await;
        if body == text(1, "calm") {
            calm_after = from_hasty;
        } else {
            assert_eq!(body, text(3, &from_hasty.to_string()));
            from_hasty += 1;
        }
    }
    assert!(calm_after < 250, "it came last");
    assert!(stage.metric("mrfp_rate_limited_total{bound=\"chunks\"}").await >= 1.0);
}

#[tokio::test]
async fn who_is_over_its_rate_of_octets_is_read_later_and_loses_nothing() {
    let mut stage = Stage::with(|config| {
        config.limits.octets_per_connection_per_sec = 256 * 1024;
    })
    .await;
    stage.open(Level::Open, None).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let body = cpim(1, ROOM, "application/octet-stream", vec![b'x'; 768 * 1024]);
    let before = clock::now();

    let sending = async { alice.ask(&message("much1", body.clone())).await.0 };
    let (status, got) = tokio::join!(sending, bob.message());

    assert_eq!((status, got), (200, body));
    let took = clock::now() - before;
    assert!(took > Duration::from_secs(1), "{took:?}");
    assert!(stage.metric("mrfp_rate_limited_total{bound=\"octets\"}").await >= 1.0);
}

#[tokio::test]
async fn a_rate_of_nought_lets_everything_pass() {
    let mut talk = Talk::with(|config| {
        config.limits.chunks_per_seat_per_sec = 0;
        config.limits.octets_per_connection_per_sec = 0;
        config.limits.refused_per_connection_per_sec = 0;
        config.limits.connects_per_address_per_sec = 0;
    })
    .await;

    for n in 0..300 {
        assert_eq!(talk.alice.ask(&astray(n)).await.0, 415);
    }

    talk.say().await;
    assert_eq!(talk.stage.metric("mrfp_rate_limited_total{bound=\"chunks\"}").await, 0.0);
}

/// Something that no room takes.
fn astray(n: u32) -> SendRequest {
    SendRequest::whole(id(&format!("bad{n}")), "text/plain", text(1, "no wrapper"))
}

#[tokio::test]
async fn a_seat_that_floods_with_bad_requests_is_closed_as_misbehaved() {
    let mut stage = Stage::with(|config| config.limits.refused_per_connection_per_sec = 10).await;
    stage.open(Level::Open, None).await;
    let mut mallory = stage.join(3).await;

    let mut refused = 0;
    // A burst of 200 is let pass.
    for n in 0..5000 {
        mallory.send(&astray(n)).await;
        match mallory.next().await {
            Got::Response(_, 415, _) => refused += 1,
            Got::End => break,
            other => panic!("{other:?}"),
        }
    }

    assert!((200..1000).contains(&refused), "{refused} were answered");
    assert_eq!(stage.lost(3).await, Cause::Misbehaved);
    assert_eq!(stage.metric("mrfp_rate_limited_total{bound=\"refused\"}").await, 1.0);
}

/// Peers that send nothing but bad requests, as fast as they are read, and come back when they are cut off.
fn floods(talk: &Talk, count: usize) -> Vec<tokio::task::JoinHandle<()>> {
    let (trust, relay) = (trusting(&talk.stage.ca), talk.stage.msrp);
    let flood = || {
        let trust = Arc::clone(&trust);
        tokio::spawn(async move {
            loop {
                let Ok(socket) = from_elsewhere(relay).await else { continue };
                let over = Person::over(socket, Arc::clone(&trust)).await;
                let Ok(mut mallory) = over else { continue };
                mallory.aim("msrps://127.0.0.1:1/nobody;tcp", &seat(9).peer_path.unwrap());
                let bad = astray(0).encode(&mut mallory.rng).to(mallory.address()).to_bytes();
                let flood = bad.repeat(512);
                while mallory.write(&flood).await.is_ok() {
                    // The relay's answers are thrown away as they come.
                    mallory.drain().await;
                }
            }
        })
    };
    (0..count).map(|_| flood()).collect()
}

async fn refused(talk: &Talk) -> f64 {
    talk.stage.metric("mrfp_refusals_total{reason=\"no_session\"}").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_bad_requests_do_not_disturb_a_room() {
    let mut talk = Talk::with(|_| {}).await;
    let quiet = talk.p99().await;
    let floods = floods(&talk, 4);

    let harmed = talk.p99().await;

    floods.iter().for_each(tokio::task::JoinHandle::abort);
    talk.is_unharmed("floods of bad requests", quiet, harmed).await;
    let refused = refused(&talk).await;
    println!("{refused} bad requests were refused meanwhile");
    assert!(refused > 1000.0, "{refused}");
    assert!(talk.stage.metric("mrfp_rate_limited_total{bound=\"refused\"}").await >= 1.0);
}

/// Bad requests that a message may have to wait for. It waits for turns: of the sender's shard and of the receivers', a
/// few times, and each is 32 requests of each flood on that shard; with turns of hundreds it would be 10 000 and more.
const WAITED_MAX: f64 = 6000.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_bad_requests_are_let_pass_a_message_waits_for_few_of_them() {
    let mut talk = Talk::with(|config| {
        config.limits.refused_per_connection_per_sec = 0;
        config.limits.chunks_per_seat_per_sec = 0;
        config.limits.connects_per_address_per_sec = 0;
    })
    .await;
    let quiet = talk.p99().await;
    let floods = floods(&talk, 8);

    let (mut harmed, mut waited) = (Duration::MAX, f64::MAX);
    // A machine may be busy with other things for one of them.
    for _ in 0..3 {
        let (before, began) = (refused(&talk).await, clock::now());
        let p99 = talk.p99().await;
        let rate = (refused(&talk).await - before) / (clock::now() - began).as_secs_f64();
        println!("p99 {p99:?} at {rate:.0} bad requests/s");
        waited = waited.min(p99.as_secs_f64() * rate);
        harmed = harmed.min(p99);
    }

    floods.iter().for_each(tokio::task::JoinHandle::abort);
    println!("the slowest messages wait for {waited:.0} bad requests");
    assert!(waited < WAITED_MAX, "{waited}");
    talk.is_unharmed("floods that no rate stops", quiet, harmed).await;
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_turned_away_and_another_is_not() {
    let mut stage = Stage::with(|config| config.limits.connects_per_address_per_sec = 1).await;
    stage.open(Level::Open, None).await;

    let mut sockets = Vec::new();
    // Sixteen seconds' worth may come at once.
    for _ in 0..60 {
        sockets.push(from_elsewhere(stage.msrp).await.unwrap());
    }
    let last = sockets.last_mut().unwrap();
    drop(soon("its end", last.read_to_end(&mut Vec::new())).await);

    let refused = stage.metric("mrfp_connections_refused_total{bound=\"address_rate\"}").await;
    assert!((1.0..=44.0).contains(&refused), "{refused}");
    let mut alice = stage.join(1).await;
    assert_eq!(alice.ask(&SendRequest::bodiless(id("alive"))).await.0, 200);
}
