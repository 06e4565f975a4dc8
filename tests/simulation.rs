//! The pure cores of the whole system in virtual time: devices, relay, focus and journal, without sockets, tasks or
//! files. Each seed is another story of people who come and go while things break; after each step the invariants of
//! `simulation/watch.rs` must hold. `SEED=n cargo nextest run --test simulation one_seed` repeats one.
//!
//! Sockets and the store's files are not here: the tests that kill processes have those. Nor has the relay here a log of
//! what it passed, so that who was away missed it: `mrfp/src/room/log/tests.rs` and the flows of being away and of dying have
//! that.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "what cannot happen here is a failure of the test"
)]
mod simulation {
    pub(crate) mod clock;
    pub(crate) mod disk;
    pub(crate) mod faults;
    pub(crate) mod focus;
    pub(crate) mod letters;
    pub(crate) mod person;
    pub(crate) mod plan;
    pub(crate) mod relay;
    pub(crate) mod trace;
    pub(crate) mod watch;
    pub(crate) mod world;
}

use simulation::faults::{FOUND_BY, Fault, OF_DISKS};
use simulation::plan::{self, Report};
use simulation::watch::Counts;

fn holds(seed: u64, report: &Report) {
    let Report { violation, tail, .. } = report;
    let why = violation.as_deref().unwrap_or_default();
    assert!(violation.is_none(), "SEED={seed}\n{tail}\n{why}\nSEED={seed}");
}

/// The seeds that `FROM` and `SEEDS` ask for, or else these many from there.
fn range(from: u64, seeds: u64) -> (u64, u64) {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let from = number("FROM").unwrap_or(from);
    (from, from + number("SEEDS").unwrap_or(seeds))
}

/// Copies that nobody asks for, as their receiver had lost its connection or its keys: the fewer, the more the others say.
fn few_are_excused(stories: &[Counts]) {
    let owed: usize = stories.iter().map(|counts| counts.owed).sum();
    let excused: usize = stories.iter().map(|counts| counts.excused).sum();
    assert!(excused * 5 < owed, "{excused} of {owed} are excused");
}

fn seeds(seeds: std::ops::Range<u64>) {
    let story = |seed| {
        let report = plan::run(seed, Fault::None);
        holds(seed, &report);
        report.counts
    };
    few_are_excused(&seeds.map(story).collect::<Vec<_>>());
}

#[test]
fn two_devices_make_a_group_and_hear_each_other() {
    let report = plan::smallest(1);

    holds(1, &report);
    assert_eq!(report.counts.shown, 2);
}

#[test]
fn the_same_seed_is_the_same_story() {
    let (first, second) = (plan::run(7, Fault::None), plan::run(7, Fault::None));

    assert_eq!((first.lines, first.digest), (second.lines, second.digest));
}

#[test]
fn each_check_finds_the_fault_that_is_planted_for_it() {
    for (fault, check) in FOUND_BY {
        let found = |seed: &u64| {
            let violation = plan::run(*seed, *fault).violation;
            violation.is_some_and(|why| why.starts_with(check))
        };
        let seed = (0..25).find(found);
        println!("{fault:?} is found by {check} in seed {seed:?}");
        assert!(seed.is_some(), "{check} does not find {fault:?}");
    }
}

#[test]
fn the_stories_have_in_them_what_they_are_told_for() {
    type Of = fn(&Counts) -> usize;
    let all = (0..8).map(|seed| plan::run(seed, Fault::None).counts).collect::<Vec<_>>();
    let sum = |of: Of| all.iter().map(of).sum::<usize>();

    let wanted: [(&str, Of); 13] = [
        ("entries", |counts| counts.entries),
        ("lost races", |counts| counts.lost_races),
        ("refused for the epoch", |counts| counts.stale),
        ("kicks", |counts| counts.kicks),
        ("last resorts", |counts| counts.last_resorts),
        ("deaths of the focus", |counts| counts.focus_deaths),
        ("deaths of the relay", |counts| counts.relay_deaths),
        ("deaths of devices", |counts| counts.device_deaths),
        ("messages that failed", |counts| counts.failed),
        ("held up to old keys", |counts| counts.held_up),
        ("replayed", |counts| counts.replayed),
        ("leaves replaced", |counts| counts.refreshes),
        ("seats of slow devices closed", |counts| counts.outboxes_full),
    ];
    for (what, of) in wanted {
        assert!(sum(of) > 0, "no story has {what}");
    }
}

/// A device that came back heard of the pending Removes in a letter of its own, which it took for a private message.
#[test]
fn i22_a_remove_told_to_one_device_alone_is_covered() {
    for seed in [26, 69, 105, 152, 195] {
        holds(seed, &plan::run(seed, Fault::None));
    }
}

/// The focus has no keys and takes them; members cannot follow, say so, and begin anew without who made them.
#[test]
fn i22_an_insider_whose_commits_nobody_can_follow_stops_nothing() {
    let (from, until) = range(0, 12);
    let (mut given_up, mut most) = (0, 0);
    for seed in from..until {
        let report = plan::run(seed, Fault::SpoiledCommits);
        holds(seed, &report);
        given_up += report.counts.given_up;
        most = most.max(report.counts.given_up_healed);
        println!(
            "{seed}: {} given up, {} of them at the end",
            report.counts.given_up, report.counts.given_up_healed
        );
    }

    assert!(given_up > 0, "no group was given up");
    assert!(most <= 1, "the insider stops the conference {most} times");
}

#[test]
fn i19_a_device_that_dies_about_a_write_uses_no_key_again_and_what_it_kept_is_whole() {
    for seed in 0..5 {
        let report = plan::dying(seed, Fault::None);
        holds(seed, &report);
        let deaths = report.counts.device_deaths;
        assert!(deaths >= 12, "{deaths} deaths");
    }

    for (fault, check) in OF_DISKS {
        let found = (0..5).map(|seed| plan::dying(seed, *fault).violation);
        let found: Vec<String> = found.flatten().collect();
        println!("{fault:?}: {found:?}");
        assert!(found.iter().any(|why| why.starts_with(check)), "{fault:?}: {found:?}");
    }
}

#[test]
fn i19_devices_that_die_after_a_few_words_eighty_times_still_read_each_other() {
    for seed in 0..3 {
        let report = plan::many_lives(seed, 80);
        holds(seed, &report);
        let Counts { device_deaths, shown, .. } = report.counts;
        assert!(device_deaths >= 160 && shown >= 80, "{device_deaths} deaths, {shown} shown");
        few_are_excused(&[report.counts]);
    }
}

/// So that nightly runs see stories that nobody has seen yet, or those from `FROM` on.
#[test]
#[ignore = "runs as many seeds as SEEDS says"]
fn many_seeds() {
    let seconds = service::clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (from, until) = range(seconds * 1000, 1000);
    let failed: Vec<u64> =
        (from..until).filter(|seed| plan::run(*seed, Fault::None).violation.is_some()).collect();
    assert!(failed.is_empty(), "repeat with SEED: {failed:?}");
}

#[test]
fn one_seed() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let report = plan::run(seed, Fault::None);

    println!("{:?}", report.counts);
    holds(seed, &report);
}

#[test]
fn seeds_000_to_024() {
    seeds(0..25);
}

#[test]
fn seeds_025_to_049() {
    seeds(25..50);
}

#[test]
fn seeds_050_to_074() {
    seeds(50..75);
}

#[test]
fn seeds_075_to_099() {
    seeds(75..100);
}

#[test]
fn seeds_100_to_124() {
    seeds(100..125);
}

#[test]
fn seeds_125_to_149() {
    seeds(125..150);
}

#[test]
fn seeds_150_to_174() {
    seeds(150..175);
}

#[test]
fn seeds_175_to_199() {
    seeds(175..200);
}
