//! The verdict, the generator's look at itself, and the JSON against its schema.
use super::*;
use crate::book::Note;
use crate::scenario::tests::scenario;
use crate::scenario::{Place, Shot};
use serde_json::Value;

const LATE: Duration = Duration::from_millis(5);

/// What is planted in an otherwise good run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    Nothing,
    Loss,
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
            book.note(Note::Heard { receiver, from, content, at: shot.at + late });
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

fn observed() -> Observed {
    let used = |name, ms: u64| {
        let after = Usage {
            cpu: Duration::from_millis(ms + 100),
            rss_octets: 50 << 20,
            rss_octets_max: 60 << 20,
        };
        Used { name, before: Usage { cpu: Duration::from_millis(100), ..after }, after }
    };
    Observed {
        environment: Environment {
            version: "0.1.0",
            profile: "debug",
            cpus: 2,
            kernel: "6.1".into(),
        },
        generator: used("loadtest", 3100),
        servers: vec![used("mrfc", 10), used("mrfp", 240)],
        idle_percent: 40,
        measuring: Duration::from_secs(10),
        setup: Duration::from_millis(700),
        elapsed: Duration::from_secs(13),
    }
}

pub(crate) fn report(plant: Plant, thresholds: &str) -> Report {
    let thresholds =
        if thresholds.is_empty() { Thresholds::default() } else { thresholds.parse().unwrap() };
    Report::new(&scenario(), &book(plant), &observed(), &thresholds)
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
fn a_missed_threshold_ends_with_99_and_a_fault_weighs_more() {
    let missed = report(Plant::Nothing, "p99<20ms,p50<1ms");
    let failed = report(Plant::Loss, "p50<1ms");

    assert_eq!((missed.verdict, missed.verdict.exit_code()), (Verdict::Missed, 99));
    assert_eq!(missed.broken, ["p50<1ms is missed"]);
    assert_eq!(failed.verdict, Verdict::Failed);
}

#[test]
fn a_generator_that_was_late_makes_the_result_not_valid() {
    let near = report(Plant::Lag(Duration::from_micros(500)), "");
    let late = report(Plant::Lag(Duration::from_micros(510)), "p99<1h");

    assert!(near.generator.valid, "{:?}", near.generator);
    assert!(!late.generator.valid && late.generator.why.len() == 1, "{:?}", late.generator);
    assert_eq!(late.verdict, Verdict::Missed, "a latency that is not valid meets nothing");
}

#[test]
fn a_machine_without_a_free_cpu_makes_the_result_not_valid() {
    let valid = |idle_percent| {
        let observed = Observed { idle_percent, ..observed() };
        Report::new(&scenario(), &book(Plant::Nothing), &observed, &Thresholds::default())
            .generator
            .valid
    };

    assert_eq!((valid(10), valid(9)), (true, false));
}

#[test]
fn the_machine_is_not_more_idle_than_generator_and_servers_left_it() {
    let observed = Observed { idle_percent: 95, ..observed() };
    let report = Report::new(&scenario(), &book(Plant::Nothing), &observed, &Thresholds::default());

    // They used 3.35 s of the 20 s that two CPUs have in 10 s.
    assert_eq!(report.generator.idle_percent, 84);
}

#[test]
fn a_message_that_the_generator_dropped_makes_the_result_not_valid() {
    let report = report(Plant::Drop, "");

    assert!(!report.generator.valid, "{:?}", report.generator);
    assert_eq!((report.messages.dropped, report.verdict), (1, Verdict::Pass));
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
    assert_eq!((mrfp.name, mrfp.cpu_ms, mrfp.cpu_us_per_delivery), ("mrfp", 240, 120.0));
    assert_eq!(report.generator.cpu_percent, 31.0);
}

#[test]
fn the_json_follows_its_schema() {
    let schema: Value = serde_json::from_str(include_str!("../../schema/quick-1.json")).unwrap();
    for plant in [Plant::Nothing, Plant::Loss, Plant::Refusal, Plant::Drop, Plant::Unreadable] {
        let json = serde_json::to_value(report(plant, "p99<20ms,dup=0")).unwrap();

        assert_eq!(crate::schema::breaches(&schema, &json), Vec::<String>::new(), "{plant:?}");
    }
}

#[test]
fn the_schema_finds_a_field_that_is_missing_new_or_of_another_type() {
    let schema: Value = serde_json::from_str(include_str!("../../schema/quick-1.json")).unwrap();
    let good = serde_json::to_value(report(Plant::Nothing, "p99<20ms")).unwrap();
    let plants: [fn(&mut Value); 6] = [
        |json| drop(json.as_object_mut().unwrap().remove("verdict")),
        |json| json["deliveries"]["lost"] = "none".into(),
        |json| json["latency_us"]["p99"] = (-1).into(),
        |json| json["surprise"] = 1.into(),
        |json| json["version"] = 2.into(),
        |json| json["thresholds"][0]["met"] = Value::Null,
    ];
    for (number, plant) in plants.into_iter().enumerate() {
        let mut json = good.clone();
        plant(&mut json);

        assert_eq!(crate::schema::breaches(&schema, &json).len(), 1, "plant {number}");
    }
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
    let schema: Value = serde_json::from_str(include_str!("../../schema/quick-1.json")).unwrap();
    let mut found = Vec::new();
    undescribed("", &schema, &mut found);

    assert_eq!(found, Vec::<String>::new());
}
