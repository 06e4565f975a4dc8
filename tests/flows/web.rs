//! Seats behind a WebSocket, for whom only the web is let pass: what they hear and say is what everybody hears and says.
use bytes::Bytes;
use client::{Device, Profile, Transport};

use crate::{Guest, House, soon};

/// Seats that the relay has on a WebSocket.
const ON_WEBSOCKET: &str = "mrfp_sessions{transport=\"ws\"}";

async fn browsing(house: &House, user: &str) -> Guest {
    let profile = house.directions.profile(user).unwrap();
    let profile = Profile { transport: Transport::WebSocket, ..profile };
    let aor = profile.aor.clone();
    let (device, invitations) = soon(Device::start(profile.clone())).await.unwrap();
    Guest { aor, profile, device, invitations }
}

/// Longer than a chunk is, and than a read and a write of either end take at once.
fn long() -> Bytes {
    b"the quick brown fox ".repeat(3_000).into()
}

/// RFC 7977, 5.1.
#[tokio::test]
async fn f2_members_behind_a_websocket_and_members_behind_tls_share_a_group_key_and_hear_each_other()
 {
    let house = House::open();
    let (alice, bob) = (house.guest("alice").await, browsing(&house, "bob").await);
    let carol = browsing(&house, "carol").await;
    let mut chair = alice.create().await;
    chair.entered().await;
    let mut second = bob.join(&chair.conference).await;
    chair.are(2).await;
    let mut third = carol.join(&chair.conference).await;
    chair.are(3).await;
    second.are(3).await;
    assert_eq!(house.relayed(ON_WEBSOCKET).await, 2.0);

    chair.say("over TLS").await;
    second.hears(&alice.aor, "over TLS").await;
    third.hears(&alice.aor, "over TLS").await;
    soon(second.conference.send("text/plain", long())).await.unwrap();
    let long = String::from_utf8(long().to_vec()).unwrap();
    chair.hears(&bob.aor, &long).await;
    third.hears(&bob.aor, &long).await;
    for n in 0..100 {
        let text = format!("one of many: {n}");
        soon(third.conference.send("text/plain", Bytes::from(text))).await.unwrap();
    }
    for n in 0..100 {
        let text = format!("one of many: {n}");
        second.hears(&carol.aor, &text).await;
        chair.hears(&carol.aor, &text).await;
    }
    soon(chair.conference.kick(&carol.aor)).await.unwrap();
    third.ended().await;
    second.removed(&carol.aor).await;
    second.say("goodbye").await;
    chair.hears(&bob.aor, "goodbye").await;
}
