//! A receiver that does not keep up pauses its sender, and nobody else; one that takes nothing at all is closed.
use bytes::Bytes;
use control::Cause;
use msrp::{Body, Flag, Item, SendRequest};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use crate::common::{Stage, id};
use crate::peer::{Peer, session, told};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn a_slow_receiver_pauses_its_sender_within_the_bound_and_loses_nothing() {
    let mut stage = Stage::with(|config| config.limits.pair_octets_max = MIB).await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    let mut octets = vec![0; 64 * MIB];
    StdRng::seed_from_u64(1).fill_bytes(&mut octets);
    let octets = Bytes::from(octets);
    let send = SendRequest::whole(id("file1"), "a/b", Body::from(octets.clone()));
    let frame = send.encode(&mut alice.says.rng).to(&alice.says.address).to_bytes();

    // Bob reads nothing.
    let sent = alice.says.as_far_as_it_goes(&frame).await;

    assert!(sent < 40 * MIB, "{sent} octets went, though nobody reads");
    let queued = stage.metric("mrfp_write_queue_bytes").await;
    assert!(queued < 2.0 * 1024.0 * 1024.0, "{queued} octets wait");
    assert_eq!(stage.metric("mrfp_slow_consumer_disconnects_total").await, 0.0);

    // Now he does.
    let (_, body) = tokio::join!(alice.says.raw(&frame[sent..]), async {
        let mut body = Body::new();
        loop {
            let chunk = bob.request().await;
            body.append(&chunk.body);
            if chunk.end == Some(Flag::End) {
                return body;
            }
        }
    });
    assert!(body == octets[..]);
}

#[tokio::test]
async fn a_paused_sender_still_hears_and_is_not_blamed_for_its_silence() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    let send = SendRequest::whole(id("file1"), "a/b", Body::from(Bytes::from(vec![7; 64 * MIB])));
    let frame = send.encode(&mut alice.says.rng).to(&alice.says.address).to_bytes();
    let sent = alice.says.as_far_as_it_goes(&frame).await;
    assert!(sent < frame.len());

    // The other direction is as free as before.
    let (_, answered) = (
        bob.send(&SendRequest::whole(id("message1"), "a/b", Bytes::from_static(b"hi").into()))
            .await,
        alice.request().await,
    );

    assert_eq!(answered.body, b"hi"[..]);
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_is_closed_and_its_sender_told() {
    let mut stage = Stage::with(|config| config.limits.blocked_secs = 1).await;
    let (mut alice, bob) = session(&mut stage, false).await;
    let whole = SendRequest::whole(id("file1"), "a/b", Body::from(Bytes::from(vec![7; 64 * MIB])));
    let frame = whole.encode(&mut alice.says.rng).to(&alice.says.address).to_bytes();

    let Peer { mut hears, mut says } = alice;
    // What left before nothing more did may have had its time for an answer meanwhile.
    let (_, statuses) = tokio::join!(says.as_far_as_it_goes(&frame), async {
        let mut statuses = Vec::new();
        while statuses.last() != Some(&481) {
            if let Some(Item::Request(chunk)) = hears.item().await {
                statuses.push(told(&chunk).1);
            }
        }
        statuses
    });

    assert!(statuses.iter().all(|status| [408, 481].contains(status)), "{statuses:?}");
    assert_eq!(stage.lost(2).await, Cause::Slow);
    drop(bob);
}
