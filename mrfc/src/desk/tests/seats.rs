//! Making, joining and losing seats.
use std::time::Duration;

use control::{Cause, RoomNotice, RoomOrder};

use super::relay::{Habits, path};
use super::rig::{Rig, aor, room7};
use crate::config::Level;
use crate::desk::{DeskLimits, End, Gone, NewConference, Refusal, SipEffect};

fn unseat(order: &RoomOrder) -> Option<ids::SeatId> {
    match order {
        RoomOrder::Unseat { seat, .. } => Some(*seat),
        _ => None,
    }
}

#[tokio::test]
async fn a_joiner_is_answered_when_the_relay_has_the_seat() {
    let mut rig = Rig::new().await;
    assert!(!rig.desks.exists(&room7()));
    rig.make(Level::Sealed).await.unwrap();
    assert_eq!(rig.desks.level(&room7()), Some(Level::Sealed));

    let given = rig.join("alice").await.unwrap();

    assert_eq!(given.path, path(given.seat, "first"));
    assert_eq!(given.fingerprint, "SHA-256 AB:CD");
    let room = rig.relay.order(|order| match order {
        RoomOrder::Open(room) => Some(room.clone()),
        _ => None,
    });
    let room = room.await;
    assert_eq!((room.uri.as_str(), room.gate), ("sip:room7@example.net", None));
    let seat = rig.relay.order(|order| match order {
        RoomOrder::Seat(seat) => Some(seat.clone()),
        _ => None,
    });
    let seat = seat.await;
    assert_eq!((seat.seat, seat.aor), (given.seat, aor("alice")));
    assert_eq!(seat.peer_path.as_deref(), Some("msrps://ue.test:9/s;tcp"));
    assert!(!format!("{given:?}").contains("msrps"));
}

#[tokio::test]
async fn a_silent_relay_fails_the_join_and_the_seat_is_taken_back() {
    let limits = DeskLimits { seated: Duration::from_millis(100), ..DeskLimits::default() };
    let mut rig = Rig::with(limits, Habits { seats: false, ..Habits::default() }).await;
    rig.make(Level::Open).await.unwrap();

    let joiner = rig.joiner("alice");
    let refused = rig.desks.join(&room7(), joiner).await;

    assert_eq!(refused, Err(Refusal::RelaySilent));
    rig.relay.order(unseat).await;
}

#[tokio::test]
async fn a_seat_that_the_relay_will_not_have_fails_the_join_at_once_and_says_why() {
    for (cause, why) in
        [(Cause::Misbehaved, Refusal::Unseatable), (Cause::Disconnected, Refusal::NoRelay)]
    {
        let mut rig =
            Rig::with(DeskLimits::default(), Habits { seats: false, ..Habits::default() }).await;
        rig.make(Level::Open).await.unwrap();
        let joiner = rig.joiner("alice");
        let desks = rig.desks.clone();
        let joined = tokio::spawn(async move { desks.join(&room7(), joiner).await });
        let seat = rig.relay.order(|order| match order {
            RoomOrder::Seat(seat) => Some(seat.seat),
            _ => None,
        });
        let seat = seat.await;

        rig.relay.notice(&room7(), RoomNotice::Lost { seat, cause });

        assert_eq!(joined.await.unwrap(), Err(why));
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_there() {
    let mut rig = Rig::new().await;
    let joiner = rig.joiner("alice");

    assert_eq!(rig.desks.join(&room7(), joiner).await, Err(Refusal::NoSuchConference));
    let kicked = rig.desks.kick(&room7(), &aor("alice"), aor("bob")).await;
    assert_eq!(kicked, Err(Refusal::NoSuchConference));
    let state = rig.desks.group_state(&room7(), &aor("alice")).await;
    assert_eq!(state, Err(Refusal::NoSuchConference));
}

#[tokio::test]
async fn of_two_that_make_one_name_at_once_one_is_told_that_it_exists() {
    let rig = Rig::new().await;

    let (one, other) = tokio::join!(rig.make(Level::Open), rig.make(Level::Open));

    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert_eq!(one.or(other), Ok(room7()));
    assert_eq!(rig.make(Level::Open).await, Err(Refusal::Exists));
}

#[tokio::test]
async fn a_conference_without_a_name_gets_one_that_nobody_guesses() {
    let rig = Rig::new().await;
    let make = async || {
        let new =
            NewConference { id: None, creator: aor("alice"), level: Level::Open, standing: None };
        rig.desks.create(new).await.unwrap()
    };

    let (one, other) = (make().await, make().await);

    assert_ne!(one, other);
    assert_eq!(one.as_str().len(), 33);
    assert_eq!(rig.desks.len(), 2);
}

#[tokio::test]
async fn more_conferences_than_allowed_are_refused() {
    let limits = DeskLimits { conferences_max: 1, ..DeskLimits::default() };
    let rig = Rig::with(limits, Habits::default()).await;
    rig.make(Level::Open).await.unwrap();

    let new = NewConference { id: None, creator: aor("alice"), level: Level::Open, standing: None };

    assert_eq!(rig.desks.create(new).await, Err(Refusal::Full));
}

#[tokio::test]
async fn one_person_makes_only_so_many_conferences_also_after_a_start() {
    let limits = DeskLimits { conferences_per_person_max: 2, ..DeskLimits::default() };
    let mut rig = Rig::with(limits, Habits::default()).await;
    let make = async |rig: &Rig, person: &str| {
        let new =
            NewConference { id: None, creator: aor(person), level: Level::Open, standing: None };
        rig.desks.create(new).await
    };
    make(&rig, "alice").await.unwrap();
    make(&rig, "alice").await.unwrap();

    assert_eq!(make(&rig, "alice").await, Err(Refusal::TooManyOwn));
    make(&rig, "bob").await.unwrap();

    rig.restart().await;
    assert_eq!(make(&rig, "alice").await, Err(Refusal::TooManyOwn));
    make(&rig, "bob").await.unwrap();
}

#[tokio::test]
async fn the_last_bye_in_an_open_room_closes_it_and_frees_the_name() {
    let mut rig = Rig::new().await;
    rig.make(Level::Open).await.unwrap();
    rig.arrive("alice").await;

    rig.desks.gone(&room7(), rig.seat("alice"), Gone::Away).await;
    let closed = rig.relay.order(|order| matches!(order, RoomOrder::Close { .. }).then_some(()));
    closed.await;
    while rig.desks.exists(&room7()) {
        tokio::task::yield_now().await;
    }

    rig.make(Level::Sealed).await.unwrap();
    let room = rig.relay.order(|order| match order {
        RoomOrder::Open(room) => Some(room.clone()),
        _ => None,
    });
    assert_eq!(room.await.term.0, 2);
}

#[tokio::test]
async fn an_invitation_calls_and_a_lost_connection_hangs_up() {
    let mut rig = Rig::new().await;
    rig.make(Level::Open).await.unwrap();
    rig.arrive("alice").await;

    let refused = rig.desks.invite(&room7(), &aor("bob"), aor("carol")).await;
    assert_eq!(refused, Err(Refusal::NotModerator));
    rig.desks.invite(&room7(), &aor("alice"), aor("bob")).await.unwrap();
    let (conference, who, by) = (room7(), aor("bob"), aor("alice"));
    assert_eq!(rig.effect().await, SipEffect::DialOut { conference, who, by, by_shown_as: None });

    rig.arrive("bob").await;
    let seat = rig.seat("bob");
    let lost = RoomNotice::Lost { seat, cause: Cause::Slow };
    rig.relay.notice(&room7(), lost);
    let (conference, reason) = (room7(), String::from("too slow"));
    assert_eq!(rig.effect().await, SipEffect::Bye { conference, seat, reason });
    assert_eq!(rig.relay.order(unseat).await, seat);
}

#[tokio::test]
async fn the_path_of_a_called_device_follows_its_answer() {
    let mut rig = Rig::new().await;
    rig.make(Level::Open).await.unwrap();
    let mut joiner = rig.joiner("alice");
    joiner.peer_path = None;
    let given = rig.desks.join(&room7(), joiner).await.unwrap();

    rig.desks
        .answered(&room7(), given.seat, String::from("msrps://a:1/x;tcp"), End::default())
        .await;

    let seat = rig.relay.order(|order| match order {
        RoomOrder::Seat(seat) => seat.peer_path.clone(),
        _ => None,
    });
    assert_eq!(seat.await, "msrps://a:1/x;tcp");
}

#[tokio::test]
async fn what_is_ordered_while_the_link_is_down_is_there_when_it_is_up_again() {
    let mut rig = Rig::new().await;
    rig.make(Level::Open).await.unwrap();
    rig.arrive("alice").await;

    rig.relay.cut().await;
    let given = rig.join("bob").await.unwrap();

    assert_eq!(given.path, path(given.seat, "first"));
    rig.all_safe().await;
}

#[tokio::test]
async fn a_relay_that_started_anew_has_lost_every_seat() {
    let mut rig = Rig::new().await;
    rig.make(Level::Open).await.unwrap();
    rig.arrive("alice").await;
    rig.arrive("bob").await;
    let seats = [rig.seat("alice"), rig.seat("bob")];

    rig.all_safe().await;
    rig.relay.restart("second").await;

    let mut gone = Vec::new();
    for _ in seats {
        let SipEffect::Bye { seat, reason, .. } = rig.effect().await else { panic!("no BYE") };
        assert_eq!(reason, "relay lost");
        gone.push(seat);
    }
    assert_eq!(gone, seats);
}

#[tokio::test]
async fn a_relay_of_another_name_is_not_used() {
    let limits = DeskLimits { seated: Duration::from_millis(200), ..DeskLimits::default() };
    let mut rig = Rig::with(limits, Habits { name: "impostor", ..Habits::default() }).await;
    rig.make(Level::Open).await.unwrap();

    let joiner = rig.joiner("alice");

    assert_eq!(rig.desks.join(&room7(), joiner).await, Err(Refusal::RelaySilent));
}

#[tokio::test]
async fn every_notice_is_safe_in_the_end() {
    let mut rig = Rig::new().await;
    rig.make(Level::Open).await.unwrap();
    rig.arrive("alice").await;
    rig.relay.notice(&"elsewhere".parse().unwrap(), RoomNotice::Bound { seat: ids::SeatId(1) });
    rig.arrive("bob").await;

    rig.all_safe().await;
}

#[tokio::test]
async fn m7701_19_a_nickname_is_answered_and_outlives_a_restart_of_the_focus() {
    let mut rig = Rig::new().await;
    rig.make(Level::Open).await.unwrap();
    rig.arrive("alice").await;
    rig.arrive("bob").await;
    let (alice, bob) = (rig.seat("alice"), rig.seat("bob"));

    assert_eq!(ask(&mut rig, alice, "Blue Jay").await, 200);
    assert_eq!(ask(&mut rig, alice, "Blue Jay").await, 200, "asked once more");
    rig.restart().await;

    assert_eq!(ask(&mut rig, bob, " BLUE  JAY ").await, 425);
    assert_eq!(ask(&mut rig, bob, "Admin").await, 425);
    assert_eq!(ask(&mut rig, bob, "a\u{200b}").await, 424);
    assert_eq!(ask(&mut rig, alice, "").await, 200);
    assert_eq!(ask(&mut rig, bob, "blue jay").await, 200);
    assert_eq!(ask(&mut rig, ids::SeatId(99), "nobody").await, 481);
}

async fn ask(rig: &mut Rig, seat: ids::SeatId, nickname: &str) -> u16 {
    static LAST: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let request = LAST.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let asked = RoomNotice::NicknameAsked { seat, request, nickname: nickname.to_owned() };
    rig.relay.notice(&room7(), asked);
    let answer = rig.relay.order(move |order| match order {
        RoomOrder::NicknameAnswer { request: of, status, .. } if *of == request => Some(*status),
        _ => None,
    });
    answer.await
}
