//! I23: both implementations stay together under any order of changes.
use mls::wire::DeviceName;
use mls_rs::client_builder::MlsConfig;
use rand::Rng as _;
use rand::seq::IndexedRandom as _;

use super::guest::guest;
use super::room::{Room, name};

const STEPS: usize = 20;
const MEMBERS_MAX: usize = 12;

/// Who makes the next change.
enum By {
    Ours(usize),
    Theirs(usize),
}

#[test]
fn i23_both_implementations_agree_under_any_order_of_changes() {
    for seed in 1..=8 {
        let mut room = Room::new(seed, guest);
        for step in 0..STEPS {
            change(&mut room, step);
            if step % 5 == 0 {
                room.talk();
            }
        }
        assert!(room.ledger.epoch().0 >= STEPS as u64, "seed {seed}");
    }
}

fn change<C: MlsConfig>(room: &mut Room<C>, step: usize) {
    let by = committer(room);
    let author = match by {
        By::Ours(at) => room.members[at].me().clone(),
        By::Theirs(at) => room.guests[at].name.clone(),
    };
    let crowded = room.ledger.members().count() >= MEMBERS_MAX;
    let (claims, kicked) = match room.realm.rng.random_range(0..6) {
        0..=2 if !crowded => {
            let theirs = room.claim_of_a_guest(&format!("guest{step}"));
            (vec![room.claim_of_ours(&format!("p{step}")), theirs], None)
        }
        3 if !crowded => {
            let mut other = room.guest(&format!("entrant{step}"));
            let bundle = other.enter(&room.ledger.group_state()).unwrap();
            let entrant = other.name.clone();
            room.guests.push(other);
            room.submit(&entrant, &bundle);
            return;
        }
        4 => (Vec::new(), victim(room, &author)),
        _ => (Vec::new(), None),
    };
    if let Some(victim) = kicked {
        let person = victim.aor.user().to_owned();
        room.kick(&person);
    }
    let bundle = match by {
        By::Theirs(at) => room.guests[at].commit(&claims, &[]).unwrap(),
        By::Ours(at) if claims.is_empty() && !room.members[at].is_paused() => {
            room.members[at].refresh().unwrap()
        }
        By::Ours(at) => room.members[at].add(&claims, room.realm.now).unwrap(),
    };
    room.submit(&author, &bundle);
}

fn committer<C: MlsConfig>(room: &mut Room<C>) -> By {
    let ours = (0..room.members.len()).map(By::Ours);
    let present = room.guests.iter().enumerate().filter(|(_, guest)| guest.group.is_some());
    let mut all: Vec<By> = ours.chain(present.map(|(at, _)| By::Theirs(at))).collect();
    let at = room.realm.rng.random_range(0..all.len());
    all.swap_remove(at)
}

/// Anybody but the committer and alice, who is always there to compare with.
fn victim<C: MlsConfig>(room: &mut Room<C>, author: &DeviceName) -> Option<DeviceName> {
    let alice = name("alice");
    let others: Vec<DeviceName> =
        room.ledger.members().filter(|who| *who != author && **who != alice).cloned().collect();
    others.choose(&mut room.realm.rng).cloned()
}
