//! The verdict, the generator's look at itself, and the JSON against its schema.
use std::time::Duration;

use super::*;
use crate::book::{Book, Note};
use crate::scenario::tests::scenario;
use crate::scenario::{Level, Place, Scenario, Shot};
use crate::threshold::Thresholds;
use crate::usage::Usage;
use crate::watch::Delays;
use serde_json::Value;

const LATE: Duration = Duration::from_millis(5);

/// What is planted in an otherwise good run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    Nothing,
    Loss,
    Order,
    Refusal,
    Drop,
    Unreadable,
    Lag(Duration),
    Slow(Duration),
}

/// A run as it could have been.
pub(crate) fn book(plant: Plant) -> Book {
    let shots = scenario().schedule().unwrap();
    let mut book = Book::new(scenario(), shots.clone());
    let (sender, mut held) = (shots[500].sender, Vec::new());
    let lag = if let Plant::Lag(lag) = plant { lag } else { Duration::from_micros(80) };
    for shot in shots {
        let chosen = shot.number == 500;
        if chosen && plant == Plant::Drop {
            book.note(Note::Dropped { number: shot.number });
            continue;
        }
        book.note(Note::Handed { number: shot.number, at: shot.at + lag });
        if chosen && plant == Plant::Refusal {
            book.note(Note::Failed {
                number: shot.number,
                why: "a message was refused: 403".into(),
            });
            continue;
        }
        let late = if let Plant::Slow(late) = plant { late } else { LATE };
        book.note(Note::Accepted { number: shot.number, at: shot.at + late });
        for receiver in others(&shot).skip(usize::from(chosen && plant == Plant::Loss)) {
            let (from, content) = (Some(shot.sender), Some(shot.number));
            let heard = Note::Heard { receiver, from, content, at: shot.at + late };
            if chosen && plant == Plant::Order {
                held.push(heard);
            } else {
                book.note(heard);
            }
        }
        if shot.number > 500 && shot.sender == sender {
            held.drain(..).for_each(|note| book.note(note));
        }
    }
    if plant == Plant::Unreadable {
        book.note(Note::Unreadable {
            receiver: Place { room: 0, member: 0 },
            why: "no key".into(),
        });
    }
    book
}

fn others(shot: &Shot) -> impl Iterator<Item = Place> + use<> {
    let sender = shot.sender;
    scenario().places().filter(move |place| place.room == sender.room && *place != sender)
}

pub(crate) fn observed() -> Observed {
    let usage = |ms: u64| Usage {
        cpu: Duration::from_millis(ms),
        rss_octets: 50 << 20,
        rss_octets_max: 60 << 20,
    };
    let used = |name: &str, ms: u64| Used {
        name: name.into(),
        before: usage(100),
        after: usage(ms + 100),
        relayed: Delays::default(),
    };
    let sample = |secs: u64| Sample {
        at: Duration::from_secs(secs),
        processes: [("loadtest", 300), ("mrfc", 1), ("mrfp", 24)]
            .map(|(name, ms)| (name.to_owned(), usage(ms * secs)))
            .to_vec(),
    };
    Observed {
        environment: Environment {
            version: "0.1.0".into(),
            profile: "debug".into(),
            cpus: 2,
            cpu_model: "Fast".into(),
            kernel: "6.1".into(),
            began: "2026-11-21T09:00:00Z".into(),
            command: "loadtest quick".into(),
        },
        generators: vec![Generation {
            cpu: Duration::from_millis(3100),
            time: Duration::from_secs(10),
            idle_percent: 40,
            cpus: 2,
        }],
        servers: vec![used("mrfc", 10), used("mrfp", 240)],
        unanswered: 0,
        samples: (0..12).map(sample).collect(),
        setup: Duration::from_millis(700),
        elapsed: Duration::from_secs(13),
        interrupted: false,
        own_system: false,
    }
}

pub(crate) fn report(plant: Plant, thresholds: &str) -> Report {
    judged(plant, thresholds, &observed())
}

fn judged(plant: Plant, thresholds: &str, observed: &Observed) -> Report {
    let thresholds =
        if thresholds.is_empty() { Thresholds::default() } else { thresholds.parse().unwrap() };
    Report::new(&scenario(), book(plant).part(), observed, &thresholds, Limit::First)
}

fn with_idle(idle_percent: u64) -> Observed {
    let mut observed = observed();
    observed.generators[0].idle_percent = idle_percent;
    observed
}

#[test]
fn a_good_run_passes_with_exit_code_0() {
    let report = report(Plant::Nothing, "p99<20ms,loss=0");

    assert_eq!((report.verdict, report.verdict.exit_code()), (Verdict::Pass, 0));
    assert_eq!((report.broken.len(), report.generator.valid), (0, true), "{report:?}");
}

#[test]
fn each_fault_fails_the_run_with_exit_code_1() {
    for plant in [Plant::Loss, Plant::Refusal, Plant::Unreadable] {
        let report = report(plant, "");

        assert_eq!((report.verdict, report.verdict.exit_code()), (Verdict::Failed, 1), "{plant:?}");
        assert!(!report.broken.is_empty(), "{plant:?}");
    }
}

#[test]
fn another_order_fails_a_run_only_where_nothing_is_sealed() {
    let of = |level| {
        let scenario = Scenario { level, ..scenario() };
        let (part, thresholds) = (book(Plant::Order).part(), Thresholds::default());
        Report::new(&scenario, part, &observed(), &thresholds, Limit::First)
    };
    let (sealed, open) = (of(Level::Sealed), of(Level::Open));

    assert_eq!((sealed.verdict, sealed.deliveries.reordered), (Verdict::Pass, 2));
    assert_eq!((open.verdict, open.rooms.clean), (Verdict::Failed, 1), "{:?}", open.broken);
    let faulty = open.rooms.faulty[0];
    assert_eq!((faulty.room, faulty.reordered), (sender_room(), 2));
}

fn sender_room() -> usize {
    scenario().schedule().unwrap()[500].sender.room
}

#[test]
fn a_missed_threshold_ends_with_99_and_a_fault_weighs_more() {
    let missed = report(Plant::Nothing, "p99<20ms,p50<1ms");
    let failed = report(Plant::Loss, "p50<1ms");

    assert_eq!((missed.verdict, missed.verdict.exit_code()), (Verdict::Missed, 99));
    assert_eq!(missed.broken, ["p50<1ms is missed (5.003 ms)"]);
    assert_eq!(failed.verdict, Verdict::Failed);
}

#[test]
fn a_generator_that_was_late_makes_the_result_not_valid() {
    let near = report(Plant::Lag(Duration::from_micros(500)), "");
    let late = report(Plant::Lag(Duration::from_micros(510)), "p99<1h");

    assert!(near.generator.valid, "{:?}", near.generator);
    assert!(!late.generator.valid && late.generator.why.len() == 1, "{:?}", late.generator);
    assert!(!late.thresholds[0].met, "a latency that is not valid meets nothing");
    assert_eq!((late.verdict, late.verdict.exit_code()), (Verdict::NotValid, 3));
    assert!(late.broken[0].contains("the generator was late"), "{:?}", late.broken);
}

#[test]
fn a_machine_without_a_free_cpu_makes_the_result_not_valid() {
    let valid = |idle_percent| judged(Plant::Nothing, "", &with_idle(idle_percent)).generator.valid;

    assert_eq!((valid(10), valid(9)), (true, false));
}

#[test]
fn the_machine_is_not_more_idle_than_generator_and_servers_left_it() {
    let idle = |own_system| {
        let observed = Observed { own_system, ..with_idle(95) };
        judged(Plant::Nothing, "", &observed).generator.idle_percent
    };

    // They used 3.35 s of the 20 s that two CPUs have in 10 s. Another's servers are elsewhere.
    assert_eq!((idle(true), idle(false)), (84, 85));
}

#[test]
fn a_message_that_the_generator_dropped_makes_the_result_not_valid() {
    let report = report(Plant::Drop, "");

    assert!(!report.generator.valid, "{:?}", report.generator);
    assert_eq!((report.messages.dropped, report.verdict), (1, Verdict::NotValid));
}

#[test]
fn the_achieved_rate_falls_behind_when_the_system_does() {
    let good = report(Plant::Nothing, "").rate;
    let slow = report(Plant::Slow(Duration::from_secs(10)), "").rate;

    assert_eq!((good.offered, good.achieved), (100.0, 100.0));
    assert_eq!((slow.offered, slow.achieved), (100.0, 50.0));
}

#[test]
fn servers_cost_what_they_used_while_measuring() {
    let report = report(Plant::Nothing, "");

    let mrfp = &report.servers[1];
    assert_eq!((mrfp.name.as_str(), mrfp.cpu_ms, mrfp.cpu_us_per_delivery), ("mrfp", 240, 120.0));
    assert_eq!(report.generator.cpu_percent, 31.0);
}

#[test]
fn the_json_follows_its_schema() {
    let schema: Value = serde_json::from_str(include_str!("../../schema/report-2.json")).unwrap();
    for plant in [Plant::Nothing, Plant::Loss, Plant::Refusal, Plant::Drop, Plant::Unreadable] {
        let json = serde_json::to_value(report(plant, "p99<20ms,dup=0,p50<1ms")).unwrap();

        assert_eq!(crate::schema::breaches(&schema, &json), Vec::<String>::new(), "{plant:?}");
    }
}

#[test]
fn the_schema_finds_a_field_that_is_missing_new_or_of_another_type() {
    let schema: Value = serde_json::from_str(include_str!("../../schema/report-2.json")).unwrap();
    let good = serde_json::to_value(report(Plant::Nothing, "p99<20ms")).unwrap();
    let plants: [fn(&mut Value); 7] = [
        |json| drop(json.as_object_mut().unwrap().remove("verdict")),
        |json| json["deliveries"]["lost"] = "none".into(),
        |json| json["latency_us"]["p99"] = (-1).into(),
        |json| json["surprise"] = 1.into(),
        |json| json["version"] = 1.into(),
        |json| json["thresholds"][0]["met"] = Value::Null,
        |json| json["thresholds"][0]["why"] = 1.into(),
    ];
    for (number, plant) in plants.into_iter().enumerate() {
        let mut json = good.clone();
        plant(&mut json);

        assert_eq!(crate::schema::breaches(&schema, &json).len(), 1, "plant {number}");
    }
}

#[test]
fn a_result_that_was_written_down_is_read_back_whole() {
    let report = report(Plant::Loss, "p99<20ms");

    let read: Report = serde_json::from_str(&serde_json::to_string(&report).unwrap()).unwrap();

    assert_eq!(read, report);
}

#[test]
fn a_result_that_does_not_say_why_a_demand_was_missed_is_read_too() {
    let mut json = serde_json::to_value(report(Plant::Nothing, "p50<1ms")).unwrap();
    json["thresholds"][0].as_object_mut().unwrap().remove("why").unwrap();

    let read: Report = serde_json::from_value(json).unwrap();

    assert!(crate::summary::result(&read).ends_with("MISS p50<1ms"), "{:?}", read.thresholds);
}

#[test]
fn only_rooms_with_a_fault_are_told_of_one_by_one() {
    let rooms = report(Plant::Loss, "").rooms;

    assert_eq!((rooms.count, rooms.clean, rooms.faulty.len()), (2, 1, 1));
    assert_eq!((rooms.faulty[0].room, rooms.faulty[0].lost), (0, 1));
}

#[test]
fn the_books_of_two_generators_add_up_to_those_of_one() {
    let whole = book(Plant::Loss).part();
    let half = |index| {
        let mut shots = scenario().schedule().unwrap();
        shots.retain(|shot| shot.sender.room == index);
        let mut part = Book::new(scenario(), shots.clone());
        for shot in shots {
            part.note(Note::Handed {
                number: shot.number,
                at: shot.at + Duration::from_micros(80),
            });
            part.note(Note::Accepted { number: shot.number, at: shot.at + LATE });
            for receiver in others(&shot).skip(usize::from(shot.number == 500)) {
                let (from, content) = (Some(shot.sender), Some(shot.number));
                part.note(Note::Heard { receiver, from, content, at: shot.at + LATE });
            }
        }
        part.part()
    };
    let mut both = half(0);
    both.add(half(1));

    assert_eq!(both, whole);
}

#[test]
fn every_field_of_the_schema_says_what_it_means() {
    fn undescribed(path: &str, schema: &Value, found: &mut Vec<String>) {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}/{name}");
            if field["description"].as_str().is_none_or(str::is_empty) {
                found.push(path.clone());
            }
            undescribed(&path, field, found);
            undescribed(&path, &field["items"], found);
        }
    }
    let schema: Value = serde_json::from_str(include_str!("../../schema/report-2.json")).unwrap();
    let mut found = Vec::new();
    undescribed("", &schema, &mut found);

    assert_eq!(found, Vec::<String>::new());
}
