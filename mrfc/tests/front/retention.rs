//! How much of what was said a running focus keeps for who is away: by age, by octets and by number. What a message needs
//! of the group stays as long as it does.
use std::time::Duration;

use bytes::Bytes;
use control::{Deposit, Logged, Page, ReplayAsked, RoomNotice, RoomOrder};
use ids::{ConferenceId, DeviceId, Number, SeatId, Term};
use mrfc::config::Conferences;
use service::clock;
use tokio::time::timeout;

use crate::phone::{Phone, good_offer};
use crate::relay::Manner;
use crate::world::{DOMAIN, World};

/// These are commits, the others messages.
const COMMITS: [u64; 3] = [1, 4, 8];
const LAST: u64 = 9;
/// The messages come one after the other with so much time between them, the last one just so long ago.
const STEP: Duration = Duration::from_secs(1_000);
/// The longest anything may take before the test fails; the logs are looked after each minute.
const PATIENCE: Duration = Duration::from_secs(80);

fn place(n: u64) -> Number {
    Number { term: Term(1), n }
}

fn device(n: u8) -> DeviceId {
    format!("urn:uuid:00000000-0000-4000-8000-0000000000{n:02x}").parse().unwrap()
}

fn deposit(n: u64) -> RoomNotice {
    let ago = STEP * u32::try_from(LAST + 1 - n).unwrap();
    let since = clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap() - ago;
    RoomNotice::Deposit(Deposit {
        number: place(n),
        kind: if COMMITS.contains(&n) { Logged::Commit } else { Logged::Message(device(1)) },
        at_ms: u64::try_from(since.as_millis()).unwrap(),
        cpim: Bytes::from_static(b"ten octets"),
    })
}

/// What somebody who is away is given of a log of six messages and three commits, when the focus has looked after it.
async fn left(bounds: impl FnOnce(&mut Conferences), wanted: &[u64]) {
    let mut world = World::with(Manner::Prompt, |config| bounds(&mut config.conferences)).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let factory = format!("sip:conference-factory@{DOMAIN}");
    let made = alice.invite(&factory, &good_offer()).await.ok().unwrap();
    let uri = made.response.headers.contact().unwrap().uri.aor().unwrap();
    let room: ConferenceId = uri.user().parse().unwrap();
    let seat = world.relay.seat().await.seat;
    world.relay.tell(&room, RoomNotice::Reached(vec![(device(2), place(0))]));
    for n in 1..=LAST {
        world.relay.tell(&room, deposit(n));
    }
    let stored = |order: &RoomOrder| matches!(order, RoomOrder::Stored(upto) if upto.n == LAST);
    soon(world.relay.order(|order| stored(order).then_some(()))).await;

    // It looks after its logs when it starts, and each minute.
    world.restart().await;

    let until = clock::now() + PATIENCE;
    loop {
        let given = given(&mut world, &room, seat).await;
        assert!(wanted.iter().all(|n| given.contains(n)), "{given:?} of {wanted:?}");
        if given == wanted {
            return;
        }
        assert!(clock::now() < until, "{given:?} stay, and only {wanted:?} should");
    }
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it takes too long")
}

async fn given(world: &mut World, room: &ConferenceId, seat: SeatId) -> Vec<u64> {
    let asked = ReplayAsked { seat, device: device(2), after: place(0) };
    world.relay.tell(room, RoomNotice::ReplayAsked(asked));
    let page = |order: &RoomOrder| match order {
        RoomOrder::Page(Page { entries, .. }) => Some(entries.clone()),
        _ => None,
    };
    let entries = soon(world.relay.order(page)).await;
    entries.into_iter().map(|(number, _)| number.n).collect()
}

#[tokio::test]
async fn of_a_log_the_newest_messages_stay_and_every_commit_that_they_need() {
    left(|conferences| conferences.log_messages_max = 3, &[1, 4, 6, 7, 8, 9]).await;
}

#[tokio::test]
async fn of_a_log_so_many_octets_of_messages_stay_and_every_commit_that_they_need() {
    left(|conferences| conferences.log_bytes_max = 25, &[1, 4, 7, 8, 9]).await;
}

#[tokio::test]
async fn of_a_log_what_is_too_old_goes_and_no_commit_before_what_is_not() {
    left(|conferences| conferences.log_secs = 3_500, &[1, 4, 7, 8, 9]).await;
}

#[tokio::test]
async fn of_a_log_that_is_too_old_altogether_not_even_the_commits_stay() {
    left(|conferences| conferences.log_secs = 500, &[]).await;
}
