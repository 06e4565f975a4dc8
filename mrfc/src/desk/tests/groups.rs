//! The group's changes as the relay sees them.
use bytes::Bytes;
use control::{RoomNotice, RoomOrder};
use mls::wire::{self, Bundle, ClaimedKeyPackage, CommitResult, Reason};

use super::rig::{Delivered, Rig, aor, room7};
use crate::config::Level;
use crate::desk::{Gone, Refusal};

#[tokio::test]
async fn a_group_grows_and_every_member_is_in_the_same_epoch() {
    let mut rig = Rig::new().await;
    rig.found().await;

    // `add` sees the Welcome before the commit, because it takes the orders as they come.
    rig.add("bob").await;

    assert_eq!(rig.member("alice").authenticator(), rig.member("bob").authenticator());
    let state = rig.desks.group_state(&room7(), &aor("bob")).await.unwrap().unwrap();
    let state = wire::GroupState::from_bytes(&state).unwrap();
    assert_eq!(state.epoch, rig.member("bob").epoch());
    let refused = rig.desks.group_state(&room7(), &aor("eve")).await;
    assert_eq!(refused, Err(Refusal::NotOnRoster(aor("eve"))));
}

#[tokio::test]
async fn a_joiner_without_a_package_enters_by_external_commit() {
    let mut rig = Rig::new().await;
    rig.found().await;
    rig.arrive("bob").await;

    let Delivered::Request(asked) = rig.told("bob").await else { panic!("no request") };
    assert_eq!(asked.reason, Reason::Enter);
    let bundle = rig.answer("bob", &asked).await;
    let (commit, gate) = rig.broadcast().await;

    assert_eq!(commit, bundle.commit);
    // alice could follow it or not: until she has said so, the gate stays where it is.
    assert_eq!(gate.map(|gate| (gate.epoch.0, gate.shut)), Some((0, false)));
    rig.hear("alice", &commit);
    rig.hear("bob", &commit);
    rig.report("alice");
    assert_eq!(
        rig.gate().await,
        control::Gate { epoch: ids::Epoch(1), grace: true, ..gate.unwrap() }
    );
    assert_eq!(rig.member("alice").authenticator(), rig.member("bob").authenticator());
}

#[tokio::test]
async fn a_kick_shuts_unseats_proposes_and_opens_only_with_the_covering_commit() {
    let mut rig = Rig::new().await;
    rig.found().await;
    rig.add("bob").await;
    let dave = rig.seat("bob");

    rig.desks.kick(&room7(), &aor("alice"), aor("bob")).await.unwrap();

    let mut steps = Vec::new();
    for _ in 0..4 {
        steps.push(rig.relay.order(|order| Some(order.clone())).await);
    }
    let [
        RoomOrder::Gate(shut),
        RoomOrder::Unseat { seat, .. },
        RoomOrder::Broadcast { gate: None, .. },
        RoomOrder::Deliver { cpim, .. },
    ] = steps.as_slice()
    else {
        panic!("{steps:?}");
    };
    assert_eq!(*seat, dave);
    assert!(shut.shut && shut.epoch.0 == 1, "{shut:?}");
    let text = String::from_utf8_lossy(cpim);
    assert!(text.contains(wire::COMMIT_REQUEST) && text.contains("<sip:alice@example.net>"));

    // alice has to know the proposal before she can cover it.
    let RoomOrder::Broadcast { cpim, .. } = &steps[2] else { panic!("no proposal") };
    let at = msrp::cpim::parse(cpim).unwrap().unwrap().octets();
    let proposal = cpim.slice(at..);
    rig.hear("alice", &proposal);
    let bundle = rig.member("alice").commit_pending(service::clock::wall()).unwrap();
    rig.send("alice", &bundle);
    let (commit, gate) = rig.broadcast().await;
    assert_eq!(commit, bundle.commit);
    let gate = gate.unwrap();
    assert!(!gate.shut && !gate.grace && gate.epoch.0 == 2, "{gate:?}");
    let joiner = rig.joiner("bob");
    assert_eq!(rig.desks.join(&room7(), joiner).await, Err(Refusal::Barred));
}

#[tokio::test]
async fn the_loser_of_a_race_is_told_who_won() {
    let mut rig = Rig::new().await;
    rig.found().await;
    rig.add("bob").await;
    for person in ["carol", "dave"] {
        rig.desks.invite(&room7(), &aor("alice"), aor(person)).await.unwrap();
    }
    let of_alice = added_by(&mut rig, "alice", "carol").await;
    let of_bob = added_by(&mut rig, "bob", "dave").await;

    rig.send("bob", &of_bob);
    rig.send("alice", &of_alice);

    let (commit, _) = rig.broadcast().await;
    assert_eq!(commit, of_bob.commit);
    let Delivered::Result(CommitResult::Lost { epoch, winner, .. }) = rig.told("alice").await
    else {
        panic!("not told");
    };
    assert_eq!(epoch.0, 2);
    assert_ne!(winner, [0; 32]);
}

#[tokio::test]
async fn a_bundle_sent_again_is_accepted_again_and_nonsense_is_refused() {
    let mut rig = Rig::new().await;
    rig.found().await;
    rig.desks.invite(&room7(), &aor("alice"), aor("carol")).await.unwrap();
    let bundle = added_by(&mut rig, "alice", "carol").await;
    rig.send("alice", &bundle);
    rig.broadcast().await;

    rig.send("alice", &bundle);
    let again = rig.told("alice").await;
    assert!(matches!(again, Delivered::Result(CommitResult::Accepted { .. })), "{again:?}");

    let seat = rig.seat("alice");
    let content_type = String::from(wire::BUNDLE);
    let body = Bytes::from_static(b"nonsense");
    let message_id = String::from("m");
    let nonsense = RoomNotice::Handshake { seat, message_id, content_type, body };
    rig.relay.notice(&room7(), nonsense);
    let refused = rig.told("alice").await;
    assert!(matches!(refused, Delivered::Result(CommitResult::Refused { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_bundle_from_a_seat_that_is_over_changes_nothing() {
    let mut rig = Rig::new().await;
    rig.found().await;
    rig.add("bob").await;
    rig.desks.invite(&room7(), &aor("alice"), aor("carol")).await.unwrap();
    let bundle = added_by(&mut rig, "bob", "carol").await;
    rig.desks.gone(&room7(), rig.seat("bob"), Gone::Away).await;

    rig.send("bob", &bundle);
    let of_alice = added_by(&mut rig, "alice", "carol").await;
    rig.send("alice", &of_alice);

    assert_eq!(rig.broadcast().await.0, of_alice.commit);
}

#[tokio::test]
async fn a_committer_is_answered_also_when_its_change_could_not_be_kept() {
    let mut rig = Rig::new().await;
    rig.found().await;
    rig.desks.invite(&room7(), &aor("alice"), aor("carol")).await.unwrap();
    let bundle = added_by(&mut rig, "alice", "carol").await;

    rig.store.close().await;
    rig.send("alice", &bundle);

    // Otherwise it would hold on to its commit for ever, and could not answer the next request.
    let told = rig.told("alice").await;
    assert!(matches!(told, Delivered::Result(CommitResult::Refused { .. })), "{told:?}");
}

#[tokio::test]
async fn answers_outside_the_journal_have_growing_keys_too() {
    let mut rig = Rig::new().await;
    rig.make(Level::Sealed).await.unwrap();
    rig.arrive("alice").await;
    let Delivered::Request(_) = rig.told("alice").await else { panic!("no request") };
    let seat = rig.seat("alice");
    let mut keys = Vec::new();
    for _ in 0..3 {
        let nonsense = RoomNotice::Handshake {
            seat,
            message_id: String::from("m"),
            content_type: String::from(wire::BUNDLE),
            body: Bytes::from_static(b"x"),
        };
        rig.relay.notice(&room7(), nonsense);
        let key = rig.relay.order(|order| match order {
            RoomOrder::Deliver { key, .. } => Some(*key),
            _ => None,
        });
        keys.push(key.await);
    }

    assert!(keys.is_sorted() && keys[0] != keys[2], "{keys:?}");
}

/// A commit by which one member adds a device of somebody else.
async fn added_by(rig: &mut Rig, by: &str, who: &str) -> Bundle {
    rig.leave_package(who).await;
    let joiner = rig.joiner(who);
    let now = service::clock::wall();
    let claimed = rig.store.claim_key_package(&joiner.aor, &joiner.device, now).await;
    let key_package = claimed.unwrap().unwrap().package;
    let claim = ClaimedKeyPackage { aor: joiner.aor, device: joiner.device, key_package };
    rig.member(by).add(&[claim], now).unwrap()
}
