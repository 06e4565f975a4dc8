//! F9: sessions between two people, from device to device and through the relay that charges for each message.
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use client::{Arrival, Error, Inbox, Leg, LegEvent, LegEvents, Limits, Ring};
use ids::Aor;
use serde_json::Value;

use crate::{Guest, House, soon};

/// One side of a session, with what is told there.
struct Side {
    leg: Leg,
    events: LegEvents,
}

impl Side {
    fn of((leg, events): (Leg, LegEvents)) -> Self {
        Self { leg, events }
    }

    async fn next(&mut self) -> LegEvent {
        soon(self.events.next()).await.expect("the session goes on")
    }

    async fn say(&self, content_type: &str, body: impl Into<Bytes>) -> String {
        soon(self.leg.send(content_type, body.into())).await.unwrap()
    }

    /// Waits for a message; what has become of our own is passed over.
    async fn hears(&mut self) -> client::Received {
        loop {
            match self.next().await {
                LegEvent::Message(message) => return message,
                LegEvent::Delivered { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn delivered(&mut self, id: &str) {
        loop {
            match self.next().await {
                LegEvent::Delivered { id: arrived } if arrived == id => return,
                LegEvent::Delivered { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn ended(&mut self) -> String {
        loop {
            if let LegEvent::Ended { reason } = self.next().await {
                return reason;
            }
        }
    }
}

async fn ring(inbox: &mut Inbox) -> Ring {
    match soon(inbox.next()).await.unwrap() {
        Arrival::Call(ring) => ring,
        other => panic!("no call: {other:?}"),
    }
}

/// A session of two people.
async fn session(caller: &Guest, callee: &Guest) -> (Side, Side) {
    let mut inbox = callee.device.inbox();
    let accepting = async {
        let ring = ring(&mut inbox).await;
        assert_eq!(*ring.from(), caller.aor);
        soon(ring.accept()).await.unwrap()
    };
    let (called, accepted) =
        soon(async { tokio::join!(caller.device.call(&callee.aor), accepting) }).await;
    (Side::of(called.unwrap()), Side::of(accepted))
}

fn status(outcome: Result<(Leg, LegEvents), Error>) -> u16 {
    match outcome {
        Err(Error::Refused { status, .. }) => status,
        Err(other) => panic!("{other}"),
        Ok((leg, _)) => panic!("a session with {}", leg.peer()),
    }
}

#[tokio::test]
async fn f9_s3_10_s3_34_two_people_talk_from_device_to_device_and_no_server_is_on_the_way() {
    let house = House::open();
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);

    let (mut caller, mut callee) = session(&alice, &bob).await;

    assert_eq!((caller.leg.peer(), callee.leg.peer()), (&bob.aor, &alice.aor));
    let id = caller.say("text/plain;charset=utf-8", "hello").await;
    let message = callee.hears().await;
    assert_eq!((&message.id, &message.content_type[..]), (&id, "text/plain;charset=utf-8"));
    assert_eq!(&message.body[..], b"hello");
    caller.delivered(&id).await;
    let picture: Bytes = (0..300_000_u32).flat_map(u32::to_be_bytes).collect();
    let id = callee.say("image/png", picture.clone()).await;
    assert!(caller.hears().await.body == picture, "the picture arrived changed");
    callee.delivered(&id).await;
    assert_eq!(house.relayed("mrfp_sessions_opened_total").await, 0.0);
    assert_eq!(house.relayed("mrfp_connections").await, 0.0);

    caller.leg.hang_up().await;
    callee.ended().await;
    let late = soon(callee.leg.send("text/plain", Bytes::from_static(b"?"))).await;
    assert!(matches!(late, Err(Error::Ended(_))), "{late:?}");
}

#[tokio::test]
async fn f9_a_person_has_several_sessions_at_once_and_each_keeps_to_itself() {
    let house = House::open();
    let (alice, bob, carol) =
        (house.guest("alice").await, house.guest("bob").await, house.guest("carol").await);
    let (one, mut with_alice) = session(&alice, &bob).await;
    let (mut back, other) = session(&bob, &alice).await;
    let (third, mut with_carol) = session(&carol, &bob).await;

    one.say("text/plain", "one").await;
    other.say("text/plain", "other").await;
    third.say("text/plain", "third").await;

    for (side, said) in [(&mut with_alice, "one"), (&mut back, "other"), (&mut with_carol, "third")]
    {
        assert_eq!(side.hears().await.body, said);
    }
    one.leg.hang_up().await;
    with_alice.ended().await;
    other.say("text/plain", "still here").await;
    assert_eq!(back.hears().await.body, "still here");
}

#[tokio::test]
async fn f9_who_is_not_there_does_not_want_to_or_is_nobody_is_told_as_it_is() {
    let house =
        House::with(&[("MRFC_CONFERENCES__NAMED", "false"), ("MRFC_MAILBOX__ON_BUSY", "false")]);
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let nobody: Aor = "sip:nobody@localhost".parse().unwrap();
    let carol: Aor = "sip:carol@localhost".parse().unwrap();

    assert_eq!(status(soon(alice.device.call(&nobody)).await), 404);
    let (mailbox, _events) = soon(alice.device.call(&carol)).await.unwrap();
    assert!(mailbox.with_mailbox());
    // Bob's program takes no calls.
    assert_eq!(status(soon(alice.device.call(&bob.aor)).await), 488);
    let mut inbox = bob.device.inbox();
    let declining = async { ring(&mut inbox).await.decline().await };
    let (declined, ()) = soon(async { tokio::join!(alice.device.call(&bob.aor), declining) }).await;
    assert_eq!(status(declined), 603);
    let busy = async { drop(ring(&mut inbox).await) };
    let (refused, ()) = soon(async { tokio::join!(alice.device.call(&bob.aor), busy) }).await;
    assert_eq!(status(refused), 486);

    let mut rang = tokio::select! {
        _ = alice.device.call(&bob.aor) => panic!("nobody has answered"),
        rang = ring(&mut inbox) => rang,
    };
    soon(rang.given_up()).await;
    let late = soon(rang.accept()).await;
    assert!(matches!(late, Err(Error::Ended(_))), "{late:?}");
    // And nothing of all that is in the way of a session.
    let (caller, _callee) = session(&alice, &bob).await;
    assert!(!caller.leg.with_mailbox());
}

#[tokio::test]
async fn f9_a_conference_that_answers_is_no_person_and_is_left() {
    let house = House::open();
    let alice = house.guest("alice").await;

    // On a system made by `dev` a name makes a conference.
    let outcome = soon(alice.device.call(&"sip:lobby@localhost".parse().unwrap())).await;

    assert!(matches!(outcome, Err(Error::Answer { .. })), "it was taken for a person");
}

#[tokio::test]
async fn f9_every_device_rings_and_a_lost_device_ends_the_session() {
    let house = House::open();
    let (alice, bob, tablet) =
        (house.guest("alice").await, house.guest("bob").await, house.guest("bob").await);
    let mut other = tablet.device.inbox();
    let (mut caller, callee) = session(&alice, &bob).await;

    let mut rang = ring(&mut other).await;
    soon(rang.given_up()).await;

    drop(callee);
    caller.ended().await;
    let (mut caller, _callee) = session(&alice, &bob).await;
    bob.device.vanish().await;
    caller.ended().await;
}

/// The lines of the file of charges, once there are so many.
async fn charges(file: &Path, count: usize) -> Vec<Value> {
    soon(async {
        loop {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let lines: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert!(lines.len() <= count, "{text}");
            if lines.len() == count {
                return lines;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

/// S3-38: the flow of 3GPP TS 24.247, A.4.3.
#[tokio::test]
async fn f9_s3_35_s3_36_through_the_relay_each_whole_message_is_charged_once_and_one_given_up_is_not()
 {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("charges.jsonl");
    let settings =
        [("MRFC_SESSIONS__CHARGE", "true"), ("MRFC_SESSIONS__CHARGE_FILE", file.to_str().unwrap())];
    let house = House::with(&settings);
    // Large enough that it cannot be in the buffers of all who pass it on.
    let limits = Limits { message_octets_max: 256 << 20, ..Limits::default() };
    let (alice, bob) =
        (house.guest_with("alice", limits).await, house.guest_with("bob", limits).await);

    let (mut caller, mut callee) = session(&alice, &bob).await;
    assert_eq!(house.relayed("mrfp_sessions_opened_total").await, 2.0);
    let long: Bytes = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
    let mut said = Vec::new();
    for (kind, body) in [("text/plain", Bytes::from_static(b"hello")), ("image/png", long)] {
        let id = caller.say(kind, body.clone()).await;
        assert!(callee.hears().await.body == body, "{kind} arrived changed");
        caller.delivered(&id).await;
        said.push((id, alice.aor.to_string(), body.len()));
    }
    let id = callee.say("text/plain", "hi").await;
    assert_eq!(caller.hears().await.body, "hi");
    said.push((id, bob.aor.to_string(), 2));
    // While a huge message is under way a small one overtakes it; then the huge one is given up.
    let huge = caller.leg.send("application/octet-stream", Bytes::from(vec![b'x'; 200 << 20]));
    let small = async {
        let id = caller.leg.send("text/plain", Bytes::from_static(b"never mind")).await.unwrap();
        assert_eq!(callee.hears().await.body, "never mind");
        id
    };
    let id = soon(async {
        tokio::select! {
            huge = huge => panic!("it passed: {huge:?}"),
            id = small => id,
        }
    })
    .await;
    said.push((id, alice.aor.to_string(), 10));

    let lines = charges(&file, said.len() + 1).await;
    let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    let number = |line: &Value, key: &str| line[key].as_u64().unwrap();
    for (id, from, octets) in &said {
        let of: Vec<&Value> = lines.iter().filter(|line| text(line, "message_id") == *id).collect();
        let [line] = of[..] else { panic!("{id} has {} records", of.len()) };
        assert_eq!(text(line, "from"), *from);
        assert_eq!((number(line, "result"), number(line, "receivers")), (200, 1));
        assert_eq!(number(line, "charged_octets"), *octets as u64);
    }
    let broken: Vec<&Value> = lines.iter().filter(|line| number(line, "result") != 200).collect();
    let [broken] = broken[..] else { panic!("{broken:?}") };
    assert_eq!((number(broken, "result"), number(broken, "charged_octets")), (0, 0));
    assert!(number(broken, "octets") > 0);
    // The session goes on, and ends as any other does.
    caller.say("text/plain", "good night").await;
    assert_eq!(callee.hears().await.body, "good night");
    callee.leg.hang_up().await;
    caller.ended().await;
}

#[tokio::test]
async fn f6_s3_35_a_message_in_a_charged_conference_is_charged_once_for_all_who_were_sent_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("charges.jsonl");
    let settings = [
        ("MRFC_CONFERENCES__CHARGE", "true"),
        ("MRFC_SESSIONS__CHARGE_FILE", file.to_str().unwrap()),
    ];
    let house = House::with(&settings);
    let (alice, mut chair, _bob, mut seat) = crate::two(&house).await;
    let carol = house.guest("carol").await;
    let mut third = carol.join(&chair.conference).await;
    chair.added(&carol.aor).await;

    chair.say("to both of you").await;
    seat.hears(&alice.aor, "to both of you").await;
    third.hears(&alice.aor, "to both of you").await;
    third.say("to you two").await;
    chair.hears(&carol.aor, "to you two").await;

    // What the devices say to the focus about the group's key costs nothing.
    let lines = charges(&file, 2).await;
    for (line, from) in lines.iter().zip([&alice.aor, &carol.aor]) {
        assert_eq!((&line["from"], &line["receivers"]), (&from.as_str().into(), &2.into()));
        assert_eq!((&line["media_type"], &line["result"]), (&"message/mls".into(), &200.into()));
        let room = format!("sip:{}@localhost", chair.conference.id());
        assert_eq!(line["to"], serde_json::json!([room]));
    }
}
