//! What messages cost, on both databases: each charge once, with its people, until its line is written.
#![allow(clippy::indexing_slicing, reason = "a missing element should fail its test")]
#![expect(clippy::unwrap_used, reason = "a store that does not answer should fail its test")]
mod engines;

use engines::Database;
use ids::{Aor, ConferenceId, SeatId};
use store::{NewCharge, Store};

fn room(name: &str) -> ConferenceId {
    name.parse().unwrap()
}

fn aor(user: &str) -> Aor {
    format!("sip:{user}@example.net").parse().unwrap()
}

fn charge(session: &str, seat: u64, message_id: &str) -> NewCharge {
    NewCharge {
        conference: room(session),
        seat: SeatId(seat),
        message_id: message_id.to_owned(),
        receivers: 7,
        octets: 1 << 40,
        charged: u64::from(u32::MAX) + 1,
        media_type: "text/plain".to_owned(),
        status: 200,
        started_ms: 1_800_000_000_001,
        ended_ms: 1_800_000_000_999,
    }
}

async fn seated(store: &Store, session: &str, seats: &[(u64, &str)]) {
    for (seat, user) in seats {
        let noted = store.note_charged_seat(room(session), SeatId(*seat), aor(user)).await;
        noted.unwrap();
    }
}

async fn s3_35_a_charge_is_written_once_and_handed_out_with_its_people_until_it_has_a_line(
    database: Database,
) {
    let store = database.open().await;
    seated(&store, "p1", &[(1, "alice"), (2, "bob"), (2, "eve")]).await;
    // Of a conference everybody is one.
    seated(&store, "room", &[(0, "conference"), (5, "carol"), (6, "dave")]).await;

    let first = vec![charge("p1", 1, "m1"), charge("room", 5, "m1"), charge("p1", 1, "m1")];
    assert_eq!(store.charge(first).await.unwrap(), 2);
    let store = database.reopen(store).await;
    let again = vec![charge("p1", 1, "m1"), charge("p1", 2, "m2"), charge("gone", 9, "m3")];
    assert_eq!(store.charge(again).await.unwrap(), 2);

    let all = store.charges_without_line(10).await.unwrap();
    let who = |at: usize| (all[at].from.as_deref(), all[at].to.clone());
    assert_eq!(all.len(), 4);
    assert_eq!(all[0].charge, charge("p1", 1, "m1"), "every number as it was");
    assert_eq!(who(0), (Some("sip:alice@example.net"), vec!["sip:bob@example.net".to_owned()]));
    assert_eq!(who(1).1, ["sip:conference@example.net"]);
    assert_eq!(who(2).0, Some("sip:bob@example.net"), "a seat has one person");
    assert_eq!(who(3), (None, vec![]));
    assert!(all.is_sorted_by(|one, other| one.record < other.record));
    assert_eq!(store.charges_without_line(2).await.unwrap(), all[..2]);

    store.note_charge_lines(all[1].record).await.unwrap();
    assert_eq!(store.charges_without_line(10).await.unwrap(), all[2..]);
    store.note_charge_lines(all[3].record).await.unwrap();
    assert!(store.charges_without_line(10).await.unwrap().is_empty());
    // What has its line is no news if it is told again.
    assert_eq!(store.charge(vec![charge("p1", 1, "m1")]).await.unwrap(), 0);
}

on_both![s3_35_a_charge_is_written_once_and_handed_out_with_its_people_until_it_has_a_line];
