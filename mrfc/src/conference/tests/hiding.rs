//! Those who are known by a number: what a moderator may do to them, and what naming them tells nobody.
use std::sync::Arc;

use super::world::{World, aor, device};
use crate::conference::*;
use ids::{Aor, SeatId};

/// An open room of alice, who moderates, and bob; carol is anonymous-1.
fn masked() -> World {
    let mut world = World::new(Level::Open);
    world.arrive("alice", 1);
    world.arrive("bob", 1);
    come(&mut world, "carol", Shown::Hidden).unwrap();
    world
}

/// A device that nobody has seen before.
fn mask(world: &World) -> ids::DeviceId {
    let number = world.journal.len();
    format!("urn:uuid:00000000-0000-4000-8000-aaaa{number:08x}").parse().unwrap()
}

fn come(world: &mut World, person: &str, shown: Shown) -> Result<(), Refusal> {
    let who = world.own(person, 1);
    let seat = SeatId(70 + u64::try_from(world.journal.len()).unwrap());
    world.run(&Command::Join(Joining {
        who,
        seat,
        identities: vec![format!("sip:{person}@example.net")],
        peer_path: None,
        end: End::default(),
        came: Came::DialedIn,
        shown,
        mask: Some(mask(world)),
    }))
}

fn handle(number: u32) -> Aor {
    anonymous(number).parse().unwrap()
}

fn rule(world: &mut World, by: &str, ruling: Ruling) -> Result<(), Refusal> {
    world.run(&Command::Rule { by: Some(aor(by)), ruling })
}

fn kick(world: &mut World, by: &str, who: Aor) -> Result<(), Refusal> {
    world.run(&Command::Kick { by: aor(by), who })
}

fn has(world: &World, person: &str) -> bool {
    world.conference.roster().has(&aor(person))
}

#[test]
fn m7701_03_the_relay_is_never_told_the_name_of_somebody_who_hides() {
    let mut world = masked();
    rule(&mut world, "alice", Ruling::Mute(handle(1))).unwrap();

    let told: Vec<_> = world.conference.roster().seats().collect();
    let seats: Vec<control::Seat> =
        told.into_iter().filter_map(|seat| world.conference.seat(seat)).collect();

    assert!(!format!("{seats:?}").contains("carol"), "{seats:?}");
    let hers = seats.iter().find(|seat| seat.aor == handle(1)).unwrap();
    assert!(hers.muted);
    assert_eq!(hers.identities, [anonymous(1)]);
    assert_ne!(hers.device, world.own("carol", 1).device);
}

#[test]
fn somebody_who_hides_is_put_out_by_number_and_comes_back_by_no_name() {
    let mut world = masked();

    assert_eq!(kick(&mut world, "bob", handle(1)), Err(Refusal::NotModerator));
    kick(&mut world, "alice", handle(1)).unwrap();

    assert!(!has(&world, "carol"));
    assert_eq!(come(&mut world, "carol", Shown::Named), Err(Refusal::Barred));
    assert_eq!(come(&mut world, "carol", Shown::Hidden), Err(Refusal::Barred));
    let scene = world.conference.scene().unwrap();
    assert_eq!(scene.barred, [(aor("carol"), Some(1))]);
    rule(&mut world, "alice", Ruling::Unban(handle(1))).unwrap();
    come(&mut world, "carol", Shown::Hidden).unwrap();
    // Nobody can tell that it is the same person again.
    assert_eq!(world.conference.shown_as(&aor("carol")), Some(anonymous(2)));
}

#[test]
fn naming_somebody_gives_the_same_answer_whether_they_hide_here_or_are_not_here() {
    type Say = fn(Aor) -> Ruling;
    let cases: [(&str, Say); 6] = [
        ("mute", Ruling::Mute),
        ("unmute", Ruling::Unmute),
        ("ban", Ruling::Ban),
        ("unban", Ruling::Unban),
        ("appoint", Ruling::Appoint),
        ("dismiss", Ruling::Dismiss),
    ];
    for by in ["alice", "bob"] {
        for (word, say) in cases {
            let (mut here, mut elsewhere) = (masked(), masked());
            kick(&mut elsewhere, "alice", handle(1)).unwrap();
            rule(&mut elsewhere, "alice", Ruling::Unban(handle(1))).unwrap();

            let said = rule(&mut here, by, say(aor("carol")));

            assert_eq!(said, rule(&mut elsewhere, by, say(aor("carol"))), "{word} by {by}");
            assert!(has(&here, "carol"), "{word} by {by}");
        }
        let (mut here, mut elsewhere) = (masked(), masked());
        kick(&mut elsewhere, "alice", handle(1)).unwrap();
        let said = kick(&mut here, by, aor("carol"));
        assert_eq!(said, kick(&mut elsewhere, by, aor("carol")), "kick by {by}");
        assert!(has(&here, "carol"));
    }
}

#[test]
fn a_name_that_is_banned_while_it_hides_is_kept_out_once_it_has_gone() {
    let mut world = masked();

    rule(&mut world, "alice", Ruling::Ban(aor("carol"))).unwrap();
    assert_eq!(rule(&mut world, "alice", Ruling::Ban(aor("carol"))), Err(Refusal::NothingNew));
    world.run(&Command::Kick { by: aor("carol"), who: aor("carol") }).unwrap();

    assert_eq!(come(&mut world, "carol", Shown::Hidden), Err(Refusal::Barred));
    let scene = world.conference.scene().unwrap();
    assert_eq!(scene.barred, [(aor("carol"), None)]);
}

#[test]
fn the_operator_names_whoever_it_is() {
    let mut world = masked();
    let overview = world.conference.overview().unwrap();
    let carol = overview.people.iter().find(|person| person.aor == aor("carol")).unwrap();
    assert_eq!(carol.shown_as, Some(anonymous(1)));

    world.run(&Command::Rule { by: None, ruling: Ruling::Mute(aor("carol")) }).unwrap();
    assert!(world.conference.roster().is_muted(&aor("carol")));
    world.run(&Command::Expel(handle(1))).unwrap();
    assert!(!has(&world, "carol"));
    let nobody = world.run(&Command::Expel(handle(9)));
    assert_eq!(nobody, Err(Refusal::NotOnRoster(handle(9))));
}

#[test]
fn who_is_here_by_name_cannot_hide_before_having_left() {
    let mut world = masked();

    assert_eq!(come(&mut world, "bob", Shown::Hidden), Err(Refusal::KnownByName));
    world.run(&Command::Kick { by: aor("bob"), who: aor("bob") }).unwrap();
    come(&mut world, "bob", Shown::Hidden).unwrap();

    assert_eq!(world.conference.shown_as(&aor("bob")), Some(anonymous(2)));
    // Those who saw bob leave see nobody of that name come back.
    let scene = world.conference.scene().unwrap();
    assert!(scene.people.iter().all(|seen| seen.aor != aor("bob") || seen.hidden == Some(2)));
}

#[test]
fn s5_6_somebody_who_hides_asks_for_calls_as_the_number() {
    let mut world = masked();
    rule(&mut world, "alice", Ruling::Appoint(handle(1))).unwrap();

    world.run(&Command::Invite { by: aor("carol"), who: aor("dave") }).unwrap();

    let by_shown_as = Some(anonymous(1));
    let call = Effect::DialOut { who: aor("dave"), by: aor("carol"), by_shown_as };
    assert_eq!(world.seen.last(), Some(&call));
}

#[test]
fn who_hides_stays_the_same_number_over_a_restart() {
    let mut world = masked();
    kick(&mut world, "alice", handle(1)).unwrap();
    come(&mut world, "dave", Shown::Hidden).unwrap();

    let terms = Arc::clone(&world.terms);
    let recovered = Conference::recover(terms, &world.journal, None).unwrap().conference;

    assert_eq!(recovered.scene(), world.conference.scene());
    assert_eq!(recovered.shown_as(&aor("dave")), Some(anonymous(2)));
}

#[test]
fn m7701_19_the_name_of_somebody_else_who_is_here_is_reserved_for_them_but_of_who_hides() {
    let mut world = masked();
    let mut ask = |person: &str, wish: &str| {
        let seat = world.seat(&device(person, 1));
        world.run(&Command::Rename { seat, nickname: wish.to_owned() })
    };

    assert_eq!(ask("bob", "ALICE"), Err(Refusal::NicknameTaken));
    assert_eq!(ask("alice", "Alice"), Ok(()));
    assert_eq!(ask("bob", "Carol"), Ok(()), "it would tell that she is here");
    assert_eq!(ask("bob", "Dave"), Ok(()));
}
