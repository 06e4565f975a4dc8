//! Faults planted in a run, each found under its own name and under no other.
use super::*;
use crate::scenario::tests::scenario;

fn book() -> Book {
    Book::new(scenario(), scenario().schedule().unwrap())
}

fn others(shot: &Shot) -> impl Iterator<Item = Place> + use<> {
    let sender = shot.sender;
    scenario().places().filter(move |place| place.room == sender.room && *place != sender)
}

fn heard(shot: &Shot, receiver: Place, late: Duration) -> Note {
    Note::Heard {
        receiver,
        from: Some(shot.sender),
        content: Some(shot.number),
        at: shot.at + late,
    }
}

/// A run in which everything went well, changed by `plant`, which may drop, add or alter notes.
fn run(mut plant: impl FnMut(Note, &mut Vec<Note>)) -> Book {
    let mut book = book();
    let late = Duration::from_millis(2);
    let mut notes = Vec::new();
    for shot in scenario().schedule().unwrap() {
        plant(Note::Handed { number: shot.number, at: shot.at }, &mut notes);
        plant(Note::Accepted { number: shot.number, at: shot.at + late }, &mut notes);
        others(&shot).for_each(|receiver| plant(heard(&shot, receiver, late), &mut notes));
    }
    notes.into_iter().for_each(|note| book.note(note));
    book
}

fn is_heard(note: &Note, number: u64) -> bool {
    matches!(note, Note::Heard { content: Some(heard), .. } if *heard == number)
}

/// What a run without a fault counts.
const CLEAN: Deliveries = Deliveries {
    expected: 2200,
    delivered: 2200,
    lost: 0,
    duplicated: 0,
    corrupt: 0,
    misdelivered: 0,
    reordered: 0,
    undecryptable: 0,
    leaked: 0,
};

#[test]
fn a_run_without_a_fault_is_complete() {
    let book = run(|note, notes| notes.push(note));

    assert!(book.complete());
    assert_eq!(book.deliveries(), CLEAN);
    let sent = Sent { scheduled: 1100, sent: 1100, accepted: 1100, ..Sent::default() };
    assert_eq!((book.sent(), book.errors()), (sent, Vec::new()));
}

#[test]
fn only_measured_messages_are_measured() {
    let book = run(|note, notes| notes.push(note));

    assert_eq!((book.latency().count, book.lag().count), (2000, 1000));
    assert_eq!((book.latency().p50, book.latency().max), (2000, 2000));
    let last = Duration::from_millis(10_990 + 2);
    let measured =
        Measured { scheduled: 1000, accepted: 1000, accepted_last: last, delivered: 2000 };
    assert_eq!(book.steps()[0].counts, measured);
}

#[test]
fn an_arrival_that_never_came_is_lost() {
    let mut dropped = false;
    let book = run(|note, notes| {
        if is_heard(&note, 500) && !dropped {
            dropped = true;
        } else {
            notes.push(note);
        }
    });

    assert!(!book.complete());
    assert_eq!(book.deliveries(), Deliveries { delivered: 2199, lost: 1, ..CLEAN });
}

#[test]
fn a_message_shown_twice_is_a_duplicate_and_hides_no_loss() {
    let mut first = None;
    let book = run(|note, notes| {
        // The second receiver's arrival is replaced by another one at the first.
        match (&first, is_heard(&note, 500)) {
            (None, true) => {
                first = Some(note.clone());
                notes.push(note);
            }
            (Some(first), true) => notes.push(first.clone()),
            _ => notes.push(note),
        }
    });

    assert_eq!(book.deliveries(), Deliveries { delivered: 2199, lost: 1, duplicated: 1, ..CLEAN });
}

#[test]
fn changed_content_is_corrupt_and_the_message_lost() {
    let book = run(|note, notes| match note {
        Note::Heard { receiver, from, content: Some(500), at } => {
            notes.push(Note::Heard { receiver, from, content: None, at });
        }
        note => notes.push(note),
    });

    assert_eq!(book.deliveries(), Deliveries { delivered: 2198, lost: 2, corrupt: 2, ..CLEAN });
}

#[test]
fn content_of_another_run_is_corrupt() {
    let book = run(|note, notes| match note {
        Note::Heard { receiver, from, content: Some(500), at } => {
            notes.push(Note::Heard { receiver, from, content: Some(1100), at });
        }
        note => notes.push(note),
    });

    assert_eq!(book.deliveries(), Deliveries { delivered: 2198, lost: 2, corrupt: 2, ..CLEAN });
}

#[test]
fn a_message_in_the_wrong_room_or_name_or_at_its_author_is_misdelivered() {
    let sender = scenario().schedule().unwrap()[500].sender;
    let mut plants = [Place { room: 1 - sender.room, member: sender.member }, sender].into_iter();
    let book = run(|note, notes| match note {
        Note::Heard { from, content: Some(500), at, .. } => {
            let receiver = plants.next().unwrap();
            notes.push(Note::Heard { receiver, from, content: Some(500), at });
        }
        Note::Heard { receiver, content: Some(501), at, .. } => {
            notes.push(Note::Heard { receiver, from: None, content: Some(501), at });
        }
        note => notes.push(note),
    });

    assert_eq!(
        book.deliveries(),
        Deliveries { delivered: 2196, lost: 4, misdelivered: 4, ..CLEAN }
    );
}

#[test]
fn two_messages_of_one_sender_in_the_wrong_order_at_one_receiver_are_found() {
    let shots = scenario().schedule().unwrap();
    let first = shots[500];
    let next = shots[501..].iter().find(|shot| shot.sender == first.sender).unwrap().number;
    let mut held = Vec::new();
    let book = run(|note, notes| {
        if is_heard(&note, 500) {
            held.push(note);
        } else {
            let release = is_heard(&note, next);
            notes.push(note);
            if release {
                notes.append(&mut held);
            }
        }
    });

    assert_eq!(book.deliveries(), Deliveries { reordered: 1, ..CLEAN });
}

#[test]
fn what_cannot_be_decrypted_is_counted_with_its_first_reason() {
    let receiver = Place { room: 0, member: 1 };
    let mut book = run(|note, notes| notes.push(note));
    book.note(Note::Unreadable { receiver, why: "first".into() });
    book.note(Note::Unreadable { receiver, why: "second".into() });

    assert_eq!(book.deliveries(), Deliveries { undecryptable: 2, ..CLEAN });
    let error = ErrorCount { what: "decrypting".into(), count: 2, first: "load-0-1: first".into() };
    assert_eq!(book.errors(), vec![error]);
}

#[test]
fn what_was_refused_or_dropped_is_owed_to_nobody() {
    let book = run(|note, notes| match note {
        Note::Handed { number: 501, .. } => notes.push(Note::Dropped { number: 501 }),
        Note::Accepted { number: 500, .. } => {
            notes.push(Note::Failed { number: 500, why: "481".into() });
        }
        Note::Accepted { number: 501 | 502, .. } | Note::Heard { content: Some(500..=502), .. } => {
        }
        note => notes.push(note),
    });

    let sent = book.sent();
    assert_eq!((sent.accepted, sent.failed, sent.dropped, sent.unanswered), (1097, 1, 1, 1));
    assert_eq!(book.deliveries(), Deliveries { expected: 2194, delivered: 2194, ..CLEAN });
    assert!(!book.complete(), "one message is not answered");
}

#[test]
fn an_arrival_may_come_before_its_sender_is_answered() {
    let mut book = book();
    let shot = scenario().schedule().unwrap()[0];
    for receiver in others(&shot) {
        book.note(heard(&shot, receiver, Duration::ZERO));
    }
    book.note(Note::Accepted { number: 0, at: Duration::ZERO });
    book.note(Note::Accepted { number: 0, at: Duration::ZERO });

    let deliveries = book.deliveries();
    assert_eq!((deliveries.expected, deliveries.delivered, deliveries.lost), (2, 2, 0));
}

#[test]
fn an_interval_tells_what_is_new_only() {
    let mut book = run(|note, notes| notes.push(note));

    let first = book.interval();
    assert_eq!(
        (first.sent, first.accepted, first.heard, first.latency.count()),
        (1100, 1100, 2200, 2000)
    );
    assert_eq!(book.interval(), Interval::default());
}
