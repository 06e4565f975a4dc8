//! Charges over restarts and crashes, with the real store: told at least once, and one record. What a session's charges
//! are is in `pairing`.
use std::path::Path;

use control::{Charge, Ending, RoomNotice, RoomOrder};
use ids::{ConferenceId, SeatId};
use serde_json::Value;
use service::clock;
use service::tls::{self, DevCa};

use crate::phone::{Phone, good_offer};
use crate::process::started;
use crate::relay::{Manner, Relay};
use crate::world::{DOMAIN, Files, World};

/// A message that has ended.
pub(crate) fn told(message_id: &str, seat: SeatId, kind: &str, ending: Ending) -> RoomNotice {
    RoomNotice::Charged(Charge {
        seat,
        receivers: 1,
        message_id: message_id.into(),
        octets: 12,
        content_type: kind.into(),
        wrapped_type: String::new(),
        ending,
        started_ms: 5,
        ended_ms: 9,
    })
}

/// The lines of the file, once there are so many.
pub(crate) async fn lines(file: &Path, count: usize) -> Vec<Value> {
    loop {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        // The last line may be half there.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines: Vec<Value> =
            whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.len() <= count, "{text}");
        if lines.len() == count {
            return lines;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn s3_35_a_message_in_a_charged_conference_is_one_record_with_its_receivers() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("charges.jsonl");
    let charge_file = Some(file.clone());
    let mut world = World::with(Manner::Prompt, |config| {
        config.conferences.charge = true;
        config.sessions.charge_file = charge_file;
    })
    .await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let factory = format!("sip:conference-factory@{DOMAIN}");
    let made = alice.invite(&factory, &good_offer()).await.ok().unwrap();
    let uri = made.response.headers.contact().unwrap().uri.aor().unwrap();
    let room: ConferenceId = uri.user().parse().unwrap();
    let charged = |order: &RoomOrder| match order {
        RoomOrder::Open(room) => Some(room.charge),
        _ => None,
    };
    assert!(world.relay.order(charged).await);
    let seat = world.relay.seat().await.seat;

    let RoomNotice::Charged(charge) = told("m1", seat, "message/mls", Ending::Complete) else {
        panic!("not a charge")
    };
    let to_seven = RoomNotice::Charged(Charge { receivers: 7, ..charge });
    world.relay.tell(&room, to_seven.clone());
    world.relay.tell(&room, to_seven);
    world.relay.tell(&room, told("m2", seat, "message/mls", Ending::Refused(413)));

    let lines = lines(&file, 2).await;
    let [first, second] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!(
        (&first["from"], &first["to"][0]),
        (&alice.aor.as_str().into(), &uri.as_str().into())
    );
    assert_eq!((&first["receivers"], &first["result"]), (&7.into(), &200.into()));
    assert_eq!(first["to"].as_array().unwrap().len(), 1);
    assert_eq!((&second["charged_octets"], &second["result"]), (&0.into(), &413.into()));
}

#[tokio::test]
async fn s3_35_a_charge_that_is_told_again_after_a_restart_still_has_its_people_and_is_no_second_one()
 {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("charges.jsonl");
    let charge_file = Some(file.clone());
    let mut world = World::with(Manner::Prompt, |config| {
        config.sessions.charge = true;
        config.sessions.charge_file = charge_file;
    })
    .await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    crate::pairing::session(&mut alice, &mut bob).await;
    let room = world.relay.last_pair();
    let first = || told("m1", SeatId(1), "text/plain", Ending::Complete);
    world.relay.tell(&room, first());
    lines(&file, 1).await;

    world.restart().await;
    world.relay.tell(&room, first());
    world.relay.tell(&room, told("m2", SeatId(2), "text/plain", Ending::Complete));

    let lines = lines(&file, 2).await;
    let who =
        |line: &Value| (line["message_id"].clone(), line["from"].clone(), line["to"][0].clone());
    let (alice, bob) = (alice.aor.as_str(), bob.aor.as_str());
    assert_eq!(who(&lines[0]), ("m1".into(), alice.into(), bob.into()));
    assert_eq!(who(&lines[1]), ("m2".into(), bob.into(), alice.into()));
    assert!(lines[0]["record"].as_i64() < lines[1]["record"].as_i64());
}

#[tokio::test]
async fn s3_35_an_mrfc_that_is_killed_between_notice_and_record_has_each_charge_once_in_the_end() {
    tls::install_provider();
    let ca = DevCa::new("control", clock::wall()).unwrap();
    let identity = ca.issue(&["mrfp"]).unwrap();
    let relay = Relay::start(&identity, ca.roots().unwrap(), Manner::Prompt);
    let files = Files::with(&ca, relay.address);
    let file = files.path("charges.jsonl");
    let config = std::fs::read_to_string(files.config()).unwrap();
    let charging = format!("[sessions]\ncharge = true\ncharge_file = {file:?}\n");
    // Tables before arrays of tables.
    std::fs::write(files.config(), config.replace("[[relays]]", &(charging + "[[relays]]")))
        .unwrap();
    let room: ConferenceId = "p1".parse().unwrap();
    let store = store::Store::open(&files.path("mrfc.sqlite")).await.unwrap();
    for (seat, who) in [(SeatId(1), "sip:alice@example.net"), (SeatId(2), "sip:bob@example.net")] {
        store.note_charged_seat(room.clone(), seat, who.parse().unwrap()).await.unwrap();
    }
    drop(store);

    let (mut killed, _sip) = started(&files);
    let said = 100;
    for n in 0..said {
        relay.tell(&room, told(&format!("m{n}"), SeatId(1), "text/plain", Ending::Complete));
    }
    // It has some of them, whichever.
    while std::fs::metadata(&file).map_or(0, |file| file.len()) == 0 {
        tokio::task::yield_now().await;
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    let (mut child, _sip) = started(&files);

    let mut records;
    loop {
        records = numbers(&file);
        let distinct: std::collections::BTreeSet<_> = records.iter().map(|(_, id)| id).collect();
        if distinct.len() == said {
            break;
        }
        tokio::task::yield_now().await;
    }
    // A line may be there twice, under one number; a message never has two.
    records.sort();
    records.dedup();
    assert_eq!(records.len(), said, "{records:?}");
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

/// Number and message of each whole line.
fn numbers(file: &Path) -> Vec<(i64, String)> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let read = |line: &str| -> Option<(i64, String)> {
        let line: Value = serde_json::from_str(line).ok()?;
        assert_eq!(line["from"], "sip:alice@example.net");
        Some((line["record"].as_i64()?, line["message_id"].as_str()?.to_owned()))
    };
    text.lines().filter_map(read).collect()
}
