//! A room that keeps a log: its focus stores what is deposited, and gives it back to who was away or too slow.
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use control::{
    Charge, Deposit, Ending, Level, Logged, Notice, Order, Page, ReplayAsked, Room, RoomNotice,
    RoomOrder, Seat,
};
use ids::{DeviceId, Key, Number, SeatId, Term};
use msrp::{Body, SendRequest};
use tokio::sync::mpsc;

use crate::common::{Got, Person, ROOM, Stage, conference, gate, id, message, sealed, seat, soon};

/// What the focus keeps.
#[derive(Default)]
struct Shelf {
    entries: BTreeMap<Number, (Logged, Bytes)>,
    cursors: BTreeMap<DeviceId, Number>,
    /// Deposits that wait to be stored, while nothing is.
    waiting: Vec<Deposit>,
    stores: bool,
    /// Pages that are lost on their way.
    lost: usize,
    asked: usize,
    page_max: usize,
}

impl Shelf {
    fn new() -> Self {
        Self { stores: true, page_max: 5, ..Self::default() }
    }

    /// Waits for something that is for the log, and does it.
    async fn step(&mut self, stage: &mut Stage) {
        let wanted = |notice: &Notice| match notice {
            Notice::Room { notice, .. } => match notice {
                RoomNotice::Deposit(_) | RoomNotice::Reached(_) | RoomNotice::ReplayAsked(_) => {
                    Some(notice.clone())
                }
                _ => None,
            },
            _ => None,
        };
        match stage.focus.notice(wanted).await {
            RoomNotice::Deposit(deposit) => {
                self.waiting.push(deposit);
                if self.stores {
                    self.store(stage).await;
                }
            }
            RoomNotice::Reached(places) => self.cursors.extend(places),
            RoomNotice::ReplayAsked(asked) => self.give(stage, asked).await,
            other => panic!("{other:?}"),
        }
    }

    async fn store(&mut self, stage: &mut Stage) {
        for Deposit { number, kind, cpim, .. } in self.waiting.drain(..) {
            assert_eq!(self.entries.insert(number, (kind, cpim)), None, "{number} is used twice");
            stage.order(RoomOrder::Stored(number)).await;
        }
    }

    async fn give(&mut self, stage: &mut Stage, asked: ReplayAsked) {
        self.asked += 1;
        if self.lost > 0 {
            self.lost -= 1;
            return;
        }
        let ReplayAsked { seat, device, after } = asked;
        let behind = self
            .entries
            .iter()
            .filter(|(number, (kind, _))| **number > after && kind.author() != Some(&device));
        let all: Vec<_> = behind.map(|(number, (_, cpim))| (*number, cpim.clone())).collect();
        let complete = all.len() <= self.page_max;
        let entries = all.into_iter().take(self.page_max).collect();
        stage.order(RoomOrder::Page(Page { seat, after, entries, complete })).await;
    }

    /// A seat for a device that was here before.
    fn seat_again(&self, n: u64, device: u64) -> Seat {
        let known = seat(device);
        Seat { seat: SeatId(n), after: self.cursors.get(&known.device).copied(), ..known }
    }
}

/// The same, each message of which is charged.
async fn charged_room() -> (Stage, Shelf) {
    let mut stage = Stage::new().await;
    let charged = Room { charge: true, ..kept(1) };
    stage.focus.tell(Order::room(conference(), RoomOrder::Open(charged))).await;
    (stage, Shelf::new())
}

async fn charge(stage: &mut Stage) -> Charge {
    let charged = |notice: &Notice| match notice {
        Notice::Room { notice: RoomNotice::Charged(charge), .. } => Some(charge.clone()),
        _ => None,
    };
    stage.focus.notice(charged).await
}

async fn room() -> (Stage, Shelf) {
    let limits = |config: &mut mrfp::Config| {
        config.limits.outbox_octets_max = 256 * 1024;
        (config.limits.answer_secs, config.limits.blocked_secs) = (600, 0);
    };
    let mut stage = Stage::with(limits).await;
    open(&mut stage, 1).await;
    (stage, Shelf::new())
}

async fn open(stage: &mut Stage, term: u32) {
    stage.focus.tell(Order::room(conference(), RoomOrder::Open(kept(term)))).await;
}

/// A sealed room that keeps a log.
fn kept(term: u32) -> Room {
    Room {
        uri: ROOM.into(),
        term: Term(term),
        level: Level::Sealed,
        gate: Some(gate(4)),
        message_octets_max: 1 << 20,
        charge: false,
        stored: Some(Number { term: Term(term), n: 0 }),
    }
}

/// Reads what a participant is sent, in a task of its own.
fn listening(mut person: Person) -> mpsc::UnboundedReceiver<Body> {
    let (tell, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            match person.next().await {
                Got::Chunk(chunk) => {
                    if let Some(body) = person.gather(&chunk)
                        && tell.send(body).is_err()
                    {
                        return;
                    }
                }
                Got::End => return,
                Got::Response(..) | Got::Report(..) => {}
            }
        }
    });
    heard
}

async fn hear(
    heard: &mut mpsc::UnboundedReceiver<Body>,
    (stage, shelf): (&mut Stage, &mut Shelf),
) -> Body {
    let hearing = async {
        loop {
            tokio::select! {
                body = heard.recv() => return body.expect("the connection ended"),
                () = shelf.step(stage) => {}
            }
        }
    };
    soon("a message", hearing).await
}

/// Says something and waits until it counts.
async fn say(person: &mut Person, (stage, shelf): (&mut Stage, &mut Shelf), what: &SendRequest) {
    let transaction = person.send(what).await;
    let answered = async {
        loop {
            tokio::select! {
                answer = person.answer(transaction) => return answer,
                () = shelf.step(stage) => {}
            }
        }
    };
    assert_eq!(soon("an answer", answered).await, (200, "OK".to_owned()));
}

/// Some 40 KiB, so that a few of them are more than the ring has room for.
fn large(n: usize) -> Body {
    sealed(1, 4, &format!("{n:>40960}"))
}

#[tokio::test]
async fn a_message_is_passed_on_at_once_and_acknowledged_when_it_is_stored() {
    let (mut stage, mut shelf) = room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    shelf.stores = false;

    let transaction = alice.send(&message("hello1", sealed(1, 4, "hello"))).await;
    assert_eq!(bob.message().await, sealed(1, 4, "hello"));
    while shelf.waiting.is_empty() {
        shelf.step(&mut stage).await;
    }
    // Its repetition waits as well, and goes to nobody.
    let again = alice.send(&message("hello1", sealed(1, 4, "hello"))).await;
    // Whatever had been answered would have been answered before this.
    assert_eq!(alice.ask(&SendRequest::bodiless(id("alive1"))).await.0, 200);

    shelf.store(&mut stage).await;

    assert_eq!(alice.answer(transaction).await.0, 200);
    assert_eq!(alice.answer(again).await.0, 200);
    assert_eq!(shelf.entries.len(), 1);
}

#[tokio::test]
async fn a_message_that_could_not_be_stored_fails_and_may_be_said_again() {
    let (mut stage, mut shelf) = room().await;
    let (mut alice, bob) = (stage.join(1).await, stage.join(2).await);
    let mut bob = listening(bob);
    shelf.stores = false;

    let transaction = alice.send(&message("hello1", sealed(1, 4, "hello"))).await;
    while shelf.waiting.is_empty() {
        shelf.step(&mut stage).await;
    }
    let Deposit { number, .. } = shelf.waiting.remove(0);
    stage.order(RoomOrder::Unstored(number)).await;
    stage.order(RoomOrder::Stored(number)).await;

    assert_eq!(alice.answer(transaction).await, (413, "The message could not be stored".into()));
    shelf.stores = true;
    let again = message("hello1", sealed(1, 4, "hello"));
    say(&mut alice, (&mut stage, &mut shelf), &again).await;
    assert_eq!(hear(&mut bob, (&mut stage, &mut shelf)).await, sealed(1, 4, "hello"));
    assert_eq!(hear(&mut bob, (&mut stage, &mut shelf)).await, sealed(1, 4, "hello"));
}

#[tokio::test]
async fn a_charged_message_is_charged_when_it_is_stored_and_one_that_could_not_be_is_told_as_refused()
 {
    let (mut stage, mut shelf) = charged_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    shelf.stores = false;
    let mut sent = Vec::new();
    for name in ["first1", "second1"] {
        sent.push(alice.send(&message(name, sealed(1, 4, name))).await);
        bob.message().await;
    }
    while shelf.waiting.len() < 2 {
        shelf.step(&mut stage).await;
    }
    let charged =
        |notice: &&Notice| matches!(notice, Notice::Room { notice: RoomNotice::Charged(_), .. });
    assert!(stage.focus.left().find(charged).is_none(), "nothing is stored yet");

    let first = shelf.waiting.remove(0).number;
    stage.order(RoomOrder::Unstored(first)).await;
    shelf.store(&mut stage).await;

    let (refused, complete) = (charge(&mut stage).await, charge(&mut stage).await);
    assert_eq!((refused.message_id.as_str(), refused.ending), ("first1", Ending::Refused(413)));
    assert_eq!((complete.message_id.as_str(), complete.ending), ("second1", Ending::Complete));
    assert!(refused.octets > 0 && complete.octets > 0);
    // What says that its charge is kept is on its way to the relay.
    stage.seat(seat(1)).await;
    assert_eq!(alice.answer(sent[0]).await.0, 413);
    assert_eq!(alice.answer(sent[1]).await.0, 200);
}

#[tokio::test]
async fn a_stored_message_is_answered_when_its_charge_is_kept_too_and_again_if_it_comes_again() {
    let (mut stage, mut shelf) = charged_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    stage.focus.acknowledges = false;
    let said = message("said1", sealed(1, 4, "said"));
    let first = alice.send(&said).await;
    bob.message().await;
    while shelf.entries.is_empty() {
        shelf.step(&mut stage).await;
    }
    assert_eq!(charge(&mut stage).await.message_id, "said1");

    // It is stored by now: what says so was carried out before what comes behind it.
    stage.seat(seat(1)).await;
    let again = alice.send(&said).await;
    let alive = alice.send(&SendRequest::bodiless(id("alive"))).await;
    match alice.next().await {
        Got::Response(of, 200, _) => assert!(of == alive, "nobody can say yet that it is charged"),
        _ => panic!("not an answer"),
    }

    stage.focus.acknowledges = true;
    stage.seat(seat(1)).await;
    assert_eq!(alice.answer(first).await.0, 200);
    assert_eq!(alice.answer(again).await.0, 200);
}

#[tokio::test]
async fn a_message_that_begins_while_too_many_are_unanswered_gets_413_and_goes_when_they_are() {
    let mut stage = Stage::with(|config| config.limits.messages_unanswered_max = 3).await;
    open(&mut stage, 1).await;
    let mut shelf = Shelf { stores: false, ..Shelf::new() };
    let (mut alice, _bob) = (stage.join(1).await, stage.join(2).await);
    let mut sent = Vec::new();
    for n in 0..3 {
        let what = message(&format!("said{n}"), sealed(1, 4, "said"));
        sent.push(alice.send(&what).await);
    }

    let (fourth, twice) =
        (message("said3", sealed(1, 4, "more")), message("said0", sealed(1, 4, "said")));
    let refused = (413, "Wait for the answers to your last messages".to_owned());
    assert_eq!(alice.ask(&fourth).await, refused);
    assert_eq!(alice.ask(&twice).await, refused);
    assert_eq!(alice.ask(&SendRequest::bodiless(id("alive"))).await.0, 200);

    while shelf.waiting.len() < 3 {
        shelf.step(&mut stage).await;
    }
    shelf.store(&mut stage).await;
    stage.seat(seat(1)).await;
    for transaction in sent {
        assert_eq!(alice.answer(transaction).await, (200, "OK".to_owned()));
    }
    shelf.stores = true;
    say(&mut alice, (&mut stage, &mut shelf), &fourth).await;
}

#[tokio::test]
async fn who_was_away_gets_messages_and_commits_in_one_order_while_others_go_on_talking() {
    let (mut stage, mut shelf) = room().await;
    let (mut alice, bob) = (stage.join(1).await, stage.join(2).await);
    let mut first = listening(bob);
    let all = 90;
    for n in 0..10 {
        let what = message(&format!("said{n}"), large(n));
        say(&mut alice, (&mut stage, &mut shelf), &what).await;
        assert_eq!(hear(&mut first, (&mut stage, &mut shelf)).await, large(n));
    }
    let bob = seat(2).device;
    let reached = |shelf: &Shelf| shelf.cursors.get(&bob).map(|place| place.n) == Some(10);
    while !reached(&shelf) {
        soon("the cursor", shelf.step(&mut stage)).await;
    }
    drop(first);
    stage.order(RoomOrder::Unseat { seat: SeatId(2), reason: "away".into() }).await;
    stage.focus.settled().await;

    for n in 10..60 {
        let what = message(&format!("said{n}"), large(n));
        say(&mut alice, (&mut stage, &mut shelf), &what).await;
    }
    let commit = crate::from_focus("commit");
    stage.order(RoomOrder::Broadcast { key: Key(1), cpim: commit.clone(), gate: None }).await;
    shelf.lost = 1;
    let again = stage.join_as(shelf.seat_again(3, 2)).await;
    let welcome = crate::from_focus("for bob alone, behind the commit");
    let deliver = RoomOrder::Deliver { key: Key(2), seat: SeatId(3), cpim: welcome.clone() };
    stage.order(deliver).await;
    stage.focus.settled().await;
    let mut again = listening(again);
    for n in 60..all {
        let what = message(&format!("said{n}"), large(n));
        say(&mut alice, (&mut stage, &mut shelf), &what).await;
    }

    let mut expected: VecDeque<Body> = (10..60).map(large).collect();
    expected.extend([Body::from(commit), Body::from(welcome)]);
    expected.extend((60..all).map(large));
    for (at, body) in expected.into_iter().enumerate() {
        assert_eq!(hear(&mut again, (&mut stage, &mut shelf)).await, body, "{at}");
    }
    assert!(shelf.asked > 5, "{} pages", shelf.asked);
}

#[tokio::test]
async fn who_reads_too_slowly_falls_behind_and_gets_everything_once() {
    let (mut stage, mut shelf) = room().await;
    let (mut alice, bob) = (stage.join(1).await, stage.join(2).await);
    // More than the sockets between them take.
    let all = 400;

    for n in 0..all {
        let what = message(&format!("said{n}"), large(n));
        say(&mut alice, (&mut stage, &mut shelf), &what).await;
    }
    assert!(stage.metric("mrfp_fallen_behind_total").await > 0.0);
    let mut bob = listening(bob);

    for n in 0..all {
        assert_eq!(hear(&mut bob, (&mut stage, &mut shelf)).await, large(n));
    }
    assert!(stage.metric("mrfp_slow_consumer_disconnects_total").await < 1.0);
    // It is live again.
    say(&mut alice, (&mut stage, &mut shelf), &message("live", large(all))).await;
    assert_eq!(hear(&mut bob, (&mut stage, &mut shelf)).await, large(all));
}

#[tokio::test]
async fn r3264_8_4_who_was_on_hold_gets_what_was_said_meanwhile() {
    let (mut stage, mut shelf) = room().await;
    let (mut alice, bob) = (stage.join(1).await, stage.join(2).await);
    let mut bob = listening(bob);

    stage.seat(Seat { held: true, ..seat(2) }).await;
    for n in 0..3 {
        let what = message(&format!("said{n}"), large(n));
        say(&mut alice, (&mut stage, &mut shelf), &what).await;
    }
    let commit = crate::from_focus("commit");
    stage.order(RoomOrder::Broadcast { key: Key(1), cpim: commit.clone(), gate: None }).await;
    stage.seat(seat(2)).await;

    for n in 0..3 {
        assert_eq!(hear(&mut bob, (&mut stage, &mut shelf)).await, large(n));
    }
    assert_eq!(hear(&mut bob, (&mut stage, &mut shelf)).await.gather(), commit);
}
