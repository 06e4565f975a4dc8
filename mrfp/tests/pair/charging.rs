//! One notice for each message, at least once.
use bytes::Bytes;
use control::{Charge, Ending, Level, Notice, Room, RoomNotice, RoomOrder};
use ids::{SeatId, Term};
use msrp::cpim::Builder;
use msrp::{Body, FailureReport, Flag, SendRequest, Status, TransactionId};

use crate::common::{Got, Person, Stage, aor, id};
use crate::peer::session;

fn message(name: &str, octets: usize) -> SendRequest {
    let body = Body::from(Bytes::from(vec![7; octets]));
    SendRequest::whole(id(name), "Text/Plain; charset=UTF-8", body)
}

async fn charge(stage: &mut Stage) -> Charge {
    let charged = |notice: &RoomNotice| matches!(notice, RoomNotice::Charged(_));
    match stage.notice(charged).await {
        RoomNotice::Charged(charge) => charge,
        other => panic!("{other:?}"),
    }
}

fn no_charge_is_left(stage: &Stage) -> bool {
    let charged =
        |notice: &&Notice| matches!(notice, Notice::Room { notice: RoomNotice::Charged(_), .. });
    stage.focus.left().find(charged).is_none()
}

#[tokio::test]
async fn c24_247_a_complete_message_is_charged_once_however_many_chunks_it_had() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, true).await;
    let whole = message("message1", 9000);
    let mut next = Some(0);
    while let Some(start) = next {
        let (chunk, following) = whole.chunk(start, 2500);
        alice.send(&chunk).await;
        next = following;
    }
    bob.message().await;

    let charge = charge(&mut stage).await;

    assert!(charge.started_ms > 0 && charge.ended_ms >= charge.started_ms);
    assert_eq!(
        charge,
        Charge {
            seat: SeatId(1),
            receivers: 1,
            message_id: "message1".into(),
            octets: 9000,
            content_type: "text/plain".into(),
            wrapped_type: String::new(),
            ending: Ending::Complete,
            started_ms: charge.started_ms,
            ended_ms: charge.ended_ms,
        }
    );
    // Neither what keeps the session alive nor what comes twice is charged.
    alice.ask(&SendRequest::bodiless(id("alive"))).await;
    assert_eq!(alice.ask(&whole).await, 200);
    bob.send(&message("message2", 1)).await;
    alice.message().await;
    let next = self::charge(&mut stage).await;
    assert_eq!((next.seat, next.message_id.as_str()), (SeatId(2), "message2"));
    assert!(no_charge_is_left(&stage));
}

#[tokio::test]
async fn m4975_42_a_message_whose_end_comes_before_its_middle_is_charged_when_the_middle_has_come()
{
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, true).await;
    let whole = message("message1", 9000);
    let (first, middle) = whole.chunk(0, 3000);
    let (middle, end) = whole.chunk(middle.unwrap(), 3000);
    let (end, _) = whole.chunk(end.unwrap(), 3000);

    for (chunk, flag) in [(&first, Flag::More), (&end, Flag::End)] {
        assert_eq!(alice.ask(chunk).await, 200);
        let passed = bob.request().await;
        assert_eq!(passed.end, Some(flag));
        bob.answer(&passed.head, Status::OK).await;
    }
    bob.rest().await;
    // What was told before this is known by now.
    stage.seat(crate::common::seat(1)).await;
    assert!(no_charge_is_left(&stage), "it is not complete");
    assert_eq!(alice.ask(&middle).await, 200);
    let passed = bob.request().await;
    assert_eq!((passed.range.start, passed.body.octets()), (3001, 3000), "it is not lost");
    bob.answer(&passed.head, Status::OK).await;

    let charge = charge(&mut stage).await;
    assert_eq!((charge.octets, charge.ending), (9000, Ending::Complete));
    assert_eq!(alice.ask(&whole).await, 200);
    assert!(bob.rest().await.is_empty(), "M4975-13: now it has been passed on");
    assert!(no_charge_is_left(&stage));
}

#[tokio::test]
async fn c24_247_what_a_message_wraps_is_told_too() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, true).await;
    let typing = Builder::new(&aor(1), &aor(2))
        .content("application/im-iscomposing+xml", Bytes::from_static(b"<isComposing/>"));

    alice.send(&SendRequest::whole(id("message1"), "message/cpim", typing)).await;
    bob.message().await;

    let charge = charge(&mut stage).await;
    assert_eq!(charge.content_type, "message/cpim");
    assert_eq!(charge.wrapped_type, "application/im-iscomposing+xml");
}

#[tokio::test]
async fn c24_247_how_a_message_ended_is_told_for_each_way_it_may_end() {
    let mut stage = Stage::with(|config| config.limits.answer_secs = 1).await;
    let (mut alice, mut bob) = session(&mut stage, true).await;
    let mut endings = Vec::new();

    let whole = message("aborted1", 9000);
    alice.send(&whole.chunk(0, 4096).0).await;
    let rest = SendRequest { flag: Flag::Abort, ..whole.chunk(4096, 100).0 };
    alice.send(&rest).await;
    let charged = charge(&mut stage).await;
    endings.push((charged.message_id, charged.octets, charged.ending));

    alice.send(&message("refused1", 5)).await;
    let chunk = loop {
        let chunk = bob.request().await;
        if chunk.head.message_id() == Some(id("refused1")) {
            break chunk;
        }
    };
    bob.answer(&chunk.head, Status::UNSUPPORTED_TYPE).await;
    let charged = charge(&mut stage).await;
    endings.push((charged.message_id, charged.octets, charged.ending));

    for (name, failure_report) in [
        ("silent1", FailureReport::Yes),
        ("partial1", FailureReport::Partial),
        ("careless1", FailureReport::No),
    ] {
        alice.send(&SendRequest { failure_report, ..message(name, 5) }).await;
        bob.request().await;
        let charged = charge(&mut stage).await;
        endings.push((charged.message_id, charged.octets, charged.ending));
    }

    assert_eq!(
        endings,
        [
            ("aborted1".into(), 4196, Ending::Aborted),
            ("refused1".into(), 5, Ending::Refused(415)),
            ("silent1".into(), 5, Ending::Refused(408)),
            ("partial1".into(), 5, Ending::Complete),
            ("careless1".into(), 5, Ending::Complete),
        ]
    );
}

#[tokio::test]
async fn c24_247_a_charge_outlives_a_break_of_the_link_and_comes_again_under_its_number() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, true).await;

    stage.focus.break_link();
    alice.send(&message("message1", 5)).await;
    bob.message().await;
    bob.rest().await;
    stage.focus.acknowledges = false;
    stage.focus.connect().await;
    assert_eq!(charge(&mut stage).await.message_id, "message1");

    // It is not safe yet, so it is told again, under the number that the books of the focus know.
    stage.focus.break_link();
    stage.focus.acknowledges = true;
    stage.focus.connect().await;
    alice.send(&message("message2", 5)).await;
    bob.message().await;
    let next = charge(&mut stage).await;
    assert_eq!(next.message_id, "message2");
    assert!(no_charge_is_left(&stage));
}

#[tokio::test]
async fn c24_247_with_no_place_for_a_charge_a_message_gets_413_and_passes_once_the_focus_has_the_others()
 {
    let mut stage = Stage::with(|config| config.limits.notices_waiting_max = 8).await;
    let (mut alice, mut bob) = session(&mut stage, true).await;
    stage.focus.break_link();

    let mut passed = Vec::new();
    let refused = loop {
        let name = format!("message{}", passed.len());
        assert!(passed.len() < 9, "a message passed that nobody can be charged for");
        if alice.ask(&message(&name, 5)).await == 413 {
            break name;
        }
        bob.message().await;
        passed.push(name);
    };
    assert!(!passed.is_empty() && bob.rest().await.is_empty());
    // What is not charged passes all the same.
    assert_eq!(alice.ask(&SendRequest::bodiless(id("alive"))).await, 200);

    stage.focus.connect().await;
    for name in &passed {
        assert_eq!(charge(&mut stage).await.message_id, *name);
    }
    stage.until("mrfp_control_notices", |waiting| waiting == 0.0).await;
    assert_eq!(alice.ask(&message(&refused, 5)).await, 200);
    bob.message().await;
    assert_eq!(charge(&mut stage).await.message_id, refused);
}

#[tokio::test]
async fn c24_247_a_charged_room_tells_each_message_once_with_its_receivers() {
    let mut stage = Stage::new().await;
    stage.order(room(Level::Open)).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let _carol = stage.join(3).await;
    let whole = crate::common::message("message1", crate::common::text(1, "hello, all of you"));
    let (first, next) = whole.chunk(0, 60);
    let (second, _) = whole.chunk(next.unwrap(), usize::MAX);

    alice.send(&first).await;
    alice.send(&second).await;
    bob.message().await;

    let charged = charge(&mut stage).await;
    let octets = crate::common::text(1, "hello, all of you").octets();
    assert_eq!(
        (charged.message_id.as_str(), charged.receivers, charged.octets),
        ("message1", 2, octets)
    );
    assert_eq!((charged.wrapped_type.as_str(), charged.ending), ("text/plain", Ending::Complete));
    // Refused before it began, it costs nothing; broken off, it is told so.
    let foreign = crate::common::message("foreign1", crate::common::text(2, "not mine"));
    assert_eq!(alice.ask(&foreign).await.0, 403);
    let long = crate::common::message("message2", crate::common::text(1, &"x".repeat(5000)));
    let (first, next) = long.chunk(0, 3000);
    alice.send(&first).await;
    let rest = long.chunk(next.unwrap(), 10).0;
    alice.send(&SendRequest { flag: Flag::Abort, ..rest }).await;
    let charged = charge(&mut stage).await;
    assert_eq!((charged.message_id.as_str(), charged.ending), ("message2", Ending::Aborted));
    assert!(no_charge_is_left(&stage));
}

#[tokio::test]
async fn c24_247_a_charged_sealed_room_tells_what_it_passed_and_not_what_it_refused() {
    let mut stage = Stage::new().await;
    stage.order(room(Level::Sealed)).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);

    let stale = crate::common::message("stale1", crate::common::sealed(1, 0, "old"));
    assert_eq!(alice.ask(&stale).await.0, 413);
    let good = crate::common::message("message1", crate::common::sealed(1, 1, "new"));
    let sent = alice.send(&good).await;
    bob.message().await;

    let charged = charge(&mut stage).await;
    assert_eq!((charged.message_id.as_str(), charged.receivers), ("message1", 1));
    answered_when_charged(&mut stage, &mut alice, sent).await;
    assert_eq!(charged.wrapped_type, "message/mls");
    assert!(no_charge_is_left(&stage));
}

/// What says that its charge is kept is on its way to the relay; what is carried out behind it comes back later.
async fn answered_when_charged(stage: &mut Stage, person: &mut Person, sent: TransactionId) {
    stage.seat(crate::common::seat(1)).await;
    assert_eq!(person.answer(sent).await.0, 200);
}

#[tokio::test]
async fn c24_247_in_a_charged_room_the_200_waits_until_the_focus_has_the_charge_also_of_a_stream() {
    let mut stage = Stage::new().await;
    stage.order(room(Level::Open)).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let text = crate::common::text(1, &"x".repeat(5000));
    let whole = crate::common::message("message1", text);
    let (first, next) = whole.chunk(0, 3000);
    let (second, _) = whole.chunk(next.unwrap(), usize::MAX);
    stage.focus.acknowledges = false;

    assert_eq!(alice.ask(&first).await.0, 200, "only the last one waits");
    let last = alice.send(&second).await;
    bob.message().await;
    assert_eq!(charge(&mut stage).await.ending, Ending::Complete);
    let alive = alice.send(&SendRequest::bodiless(id("alive"))).await;
    match alice.next().await {
        Got::Response(of, 200, _) => assert!(of == alive, "nobody can say yet that it is charged"),
        _ => panic!("not an answer"),
    }

    stage.focus.acknowledges = true;
    answered_when_charged(&mut stage, &mut alice, last).await;
}

fn room(level: Level) -> RoomOrder {
    RoomOrder::Open(Room {
        uri: crate::common::ROOM.into(),
        term: Term(1),
        level,
        gate: Some(crate::common::gate(1)),
        message_octets_max: 1_000_000,
        charge: true,
        stored: None,
    })
}
