//! One run: people come and go as the seed says, things break, and then all is well again and everybody must be in one
//! group and hear each other.
use std::time::Duration;

use mrfc::conference::Command;
use rand::Rng as _;

use super::faults::Fault;
use super::person::{Dies, Stage};
use super::watch::Counts;
use super::world::World;

/// Who may be there: two people with two devices, two with one.
const PEOPLE: &[(&str, u8)] =
    &[("alice", 1), ("bob", 2), ("carol", 3), ("bob", 4), ("dave", 5), ("alice", 6)];
/// Things that are done in a run.
const ACTS: usize = 60;
/// How long all is well before everybody must have found each other.
const HEALING: Duration = Duration::from_secs(240);

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) violation: Option<String>,
    pub(crate) digest: u64,
    pub(crate) lines: u64,
    pub(crate) tail: String,
    pub(crate) counts: Counts,
}

/// Runs one seed.
pub(crate) fn run(seed: u64, fault: Fault) -> Report {
    let mut world = World::new(seed, PEOPLE, fault);
    trouble(&mut world);
    heal(&mut world);
    finish(&mut world);
    told(world)
}

/// The smallest run: two come, and talk.
pub(crate) fn smallest(seed: u64) -> Report {
    let mut world = World::new(seed, &[("alice", 1), ("bob", 2)], Fault::None);
    world.calm = true;
    heal(&mut world);
    finish(&mut world);
    told(world)
}

/// All is well, but that alice's device dies about a write, again and again: as she speaks, as somebody comes, as
/// somebody leaves. After each time everybody speaks.
pub(crate) fn dying(seed: u64, fault: Fault) -> Report {
    let mut world = World::new(seed, &[("alice", 1), ("bob", 2), ("carol", 3)], fault);
    world.calm = true;
    heal(&mut world);
    for _round in 0..3 {
        for dies in [Dies::Before, Dies::After] {
            dies_about_a_write(&mut world, 0, dies);
            talk(&mut world);
            world.people[2].wants = false;
            world.people[0].dies = Some(dies);
            world.leaves_seat(2, "left", true);
            talk(&mut world);
            world.people[0].dies = Some(dies);
            let carol = world.people[2].who.aor.clone();
            invite(&mut world, &carol);
            joins(&mut world, 2);
            world.pass(Duration::from_secs(20));
        }
    }
    finish(&mut world);
    told(world)
}

/// All is well, but that both devices die after a few words, again and again, and nothing changes their group: what a life
/// forgets of the keys adds up.
pub(crate) fn many_lives(seed: u64, lives: usize) -> Report {
    let mut world = World::new(seed, &[("alice", 1), ("bob", 2)], Fault::None);
    world.calm = true;
    heal(&mut world);
    for _life in 0..lives {
        // Who speaks first in a life, and who only listens, is for the seed.
        let first = world.rng.random_range(0..2);
        world.says(first);
        world.pass(Duration::from_secs(5));
        if world.rng.random_bool(0.7) {
            world.says(0);
            world.pass(Duration::from_secs(5));
        }
        (0..2).for_each(|index| world.person_dies(index));
        world.pass(Duration::from_secs(30));
    }
    finish(&mut world);
    told(world)
}

fn talk(world: &mut World) {
    for _time in 0..2 {
        world.pass(Duration::from_secs(20));
        (0..world.people.len()).for_each(|index| world.says(index));
    }
    world.pass(Duration::from_secs(20));
}

fn told(world: World) -> Report {
    let watch = world.watch;
    Report {
        violation: watch.violation,
        digest: watch.trace.digest(),
        lines: watch.trace.lines,
        tail: watch.trace.tail(),
        counts: watch.counts,
    }
}

fn trouble(world: &mut World) {
    let founders = world.rng.random_range(1..=2);
    for person in 0..=founders {
        joins(world, person);
    }
    for _act in 0..ACTS {
        if world.watch.violation.is_some() {
            return;
        }
        let pause = world.rng.random_range(0..1500);
        world.pass(Duration::from_millis(pause));
        act(world);
    }
}

fn joins(world: &mut World, index: usize) {
    if let Some(person) = world.people.get_mut(index) {
        person.wants = true;
    }
    world.calls(index);
}

fn act(world: &mut World) {
    let who = world.rng.random_range(0..world.people.len());
    match world.rng.random_range(0..100) {
        0..34 => {
            for _message in 0..world.rng.random_range(1..4) {
                world.says(who);
            }
        }
        34..52 => {
            // Whoever was kicked may not come back without being invited.
            let aor = world.people[who].who.aor.clone();
            invite(world, &aor);
            joins(world, who);
        }
        // The founder stays, or the conference would end.
        52..58 if who != 0 => {
            world.people[who].wants = false;
            world.leaves_seat(who, "left", true);
        }
        58..62 => {
            world.leaves_seat(who, "away", false);
            world.calls(who);
        }
        62..69 => kick(world, who),
        69..77 => world.line_breaks(who),
        77..79 => {
            world.people[who].wipe();
            world.person_dies(who);
        }
        79..80 => world.person_dies(who),
        80..81 => dies_about_a_write(world, who, Dies::Before),
        81..82 => dies_about_a_write(world, who, Dies::After),
        82..85 => world.focus_dies(),
        85..87 => {
            if let Some(focus) = world.focus.as_mut() {
                focus.dies_at_next = true;
            }
        }
        87..90 => world.relay_dies(),
        90..93 => world.link_breaks(),
        93..97 => {
            let person = &mut world.people[who];
            person.slow = !person.slow;
        }
        _ => replay(world),
    }
}

/// Who decides about others: the founder, or whoever does since the founder's devices have all left.
fn moderator(world: &World) -> ids::Aor {
    let may = |who: &&ids::Aor| {
        world.focus.as_ref().is_some_and(|focus| focus.conference.roster().is_moderator(who))
    };
    let mut all = world.people.iter().map(|person| &person.who.aor);
    all.clone().find(may).or_else(|| all.next()).unwrap().clone()
}

/// What it says next may be what it writes for.
fn dies_about_a_write(world: &mut World, who: usize, dies: Dies) {
    world.people[who].dies = Some(dies);
    world.says(who);
}

fn invite(world: &mut World, who: &ids::Aor) {
    let by = moderator(world);
    let invited = Command::Invite { by, who: who.clone() };
    world.with_focus(|focus, around| drop(focus.run(&invited, around)));
}

/// A moderator puts somebody out.
fn kick(world: &mut World, who: usize) {
    let (by, who) = (moderator(world), world.people[who].who.aor.clone());
    if by == who {
        return;
    }
    world.line(&format!("{who} is to go"));
    let kick = Command::Kick { by, who: who.clone() };
    if world.with_focus(|focus, around| focus.kick(&kick, around)) == Some(true) {
        let own = |person: &&mut super::person::Person| person.who.aor == who;
        world.people.iter_mut().filter(own).for_each(|person| person.wants = false);
    }
}

/// Whoever has the wire sends an old message once more, as it was or under another name.
fn replay(world: &mut World) {
    let passed = &world.watch.letters.passed;
    if passed.is_empty() {
        return;
    }
    let at = world.rng.random_range(0..passed.len());
    let letter = passed[at].letter.clone();
    let renamed = world.rng.random_bool(0.5);
    let letter = if renamed { renamed_letter(&letter) } else { letter };
    world.watch.counts.replayed += 1;
    world.line("an old message comes again");
    world.with_relay(|relay, around| {
        let seats = relay.seats();
        relay.send(&seats, &letter, around.rng);
    });
}

fn renamed_letter(letter: &msrp::Body) -> msrp::Body {
    let letter = msrp::cpim::Message::read(letter).unwrap();
    let from = letter.envelope.from().unwrap().uri.to_owned();
    let to = letter.envelope.only_to().unwrap().uri.to_owned();
    let builder = msrp::cpim::Builder::new(&from, &to).imdn("another-name", &[]);
    builder.content(mls::wire::MLS, letter.content.gather())
}

/// From here on nothing breaks any more.
fn heal(world: &mut World) {
    world.calm = true;
    world.watch.healing = true;
    if let Some(focus) = world.focus.as_mut() {
        focus.dies_at_next = false;
    }
    for person in &mut world.people {
        person.slow = false;
        person.dies = None;
    }
    // Until whoever is down is up again.
    world.pass(HEALING / 4);
    world.watch.healed = true;
    for index in 0..world.people.len() {
        let aor = world.people[index].who.aor.clone();
        invite(world, &aor);
        joins(world, index);
    }
    world.pass(HEALING);
}

/// Everybody is in one group, and everybody hears everybody.
fn finish(world: &mut World) {
    i22_nobody_is_stuck(world);
    (0..world.people.len()).for_each(|index| world.says(index));
    world.pass(Duration::from_secs(90));
    if world.watch.violation.is_none() {
        let open = world.watch.letters.unsettled();
        world.watch.check("i7", open == 0, || format!("{open} messages are not settled"));
        world.watch.i7_one_outcome_for_each_receiver();
    }
}

fn i22_nobody_is_stuck(world: &mut World) {
    let stuck = stuck(world);
    world.watch.check("i22", stuck.is_none(), || stuck.unwrap_or_default());
}

/// Who is not where everybody should be.
fn stuck(world: &World) -> Option<String> {
    let newest = world.watch.newest;
    world.people.iter().find_map(|person| {
        let Stage::In(seat) = &person.stage else {
            return Some(format!("{} has no seat: {:?}", person.who, Short(&person.stage)));
        };
        let standing = seat.session.standing();
        let there = (standing.era, standing.epoch);
        let is_in = seat.inside && there == newest;
        (!is_in).then(|| format!("{} is in {there:?} and not in {newest:?}", person.who))
    })
}

struct Short<'a>(&'a Stage);

impl std::fmt::Debug for Short<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Stage::Off => "off",
            Stage::Out => "out",
            Stage::Calling(_) => "calling",
            Stage::In(_) => "in",
        })
    }
}
