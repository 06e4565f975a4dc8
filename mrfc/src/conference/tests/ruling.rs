//! What moderators settle, who is one, and what others see of somebody who hides.
use super::world::{World, aor, device};
use crate::conference::*;

fn rule(world: &mut World, by: &str, ruling: Ruling) -> Result<(), Refusal> {
    world.run(&Command::Rule { by: Some(aor(by)), ruling })
}

fn open() -> World {
    let mut world = World::new(Level::Open);
    world.arrive("alice", 1);
    world.arrive("bob", 1);
    world
}

#[test]
fn only_a_moderator_or_the_operator_settles_anything() {
    let mut world = open();

    assert_eq!(rule(&mut world, "bob", Ruling::Lock(true)), Err(Refusal::NotModerator));
    assert_eq!(world.run(&Command::Rule { by: None, ruling: Ruling::Lock(true) }), Ok(()));
    assert_eq!(rule(&mut world, "alice", Ruling::Lock(true)), Err(Refusal::NothingNew));
}

#[test]
fn a_locked_conference_takes_nobody_new_but_who_is_called_or_comes_back() {
    let mut world = open();
    rule(&mut world, "alice", Ruling::Lock(true)).unwrap();

    assert_eq!(world.sit("carol", 1), Err(Refusal::Locked));
    assert!(world.sit("bob", 2).is_ok());
    world.run(&Command::Invite { by: aor("alice"), who: aor("carol") }).unwrap();
    assert!(world.sit("carol", 1).is_ok());
}

#[test]
fn who_is_muted_has_muted_seats_also_after_coming_back() {
    let mut world = open();
    let seat = world.seat(&device("bob", 1));
    assert!(!world.conference.seat(seat).unwrap().muted);

    rule(&mut world, "alice", Ruling::Mute(aor("bob"))).unwrap();

    assert_eq!(world.seen.last(), Some(&Effect::Seat(seat)));
    assert!(world.conference.seat(seat).unwrap().muted);
    let again = world.arrive("bob", 1);
    assert!(world.conference.seat(again).unwrap().muted);
    rule(&mut world, "alice", Ruling::Unmute(aor("bob"))).unwrap();
    assert!(!world.conference.seat(again).unwrap().muted);
}

#[test]
fn private_messages_and_nicknames_end_for_everybody_at_once() {
    let mut world = open();
    let seat = world.seat(&device("bob", 1));
    world.run(&Command::Rename { seat, nickname: "Jay".into() }).unwrap();
    assert!(world.conference.seat(seat).unwrap().private_messages);

    rule(&mut world, "alice", Ruling::PrivateMessages(false)).unwrap();
    rule(&mut world, "alice", Ruling::Nicknames(false)).unwrap();

    assert!(!world.conference.seat(seat).unwrap().private_messages);
    assert_eq!(world.conference.nickname(seat), None);
    let wish = Command::Rename { seat, nickname: "Jay".into() };
    assert_eq!(world.run(&wish), Err(Refusal::NoNicknames));
}

#[test]
fn who_is_banned_is_put_out_if_there_and_kept_out_until_unbanned() {
    let mut world = open();
    for who in ["bob", "carol"] {
        rule(&mut world, "alice", Ruling::Ban(aor(who))).unwrap();
        assert_eq!(world.sit(who, 1), Err(Refusal::Barred), "{who}");
        rule(&mut world, "alice", Ruling::Unban(aor(who))).unwrap();
        assert!(world.sit(who, 1).is_ok(), "{who}");
    }
}

#[test]
fn the_role_is_handed_on_and_the_last_moderator_keeps_it() {
    let mut world = open();
    let dismiss = |who| Ruling::Dismiss(aor(who));
    assert_eq!(rule(&mut world, "alice", dismiss("alice")), Err(Refusal::LastModerator));

    rule(&mut world, "alice", Ruling::Appoint(aor("bob"))).unwrap();
    assert_eq!(rule(&mut world, "bob", dismiss("alice")), Err(Refusal::Founder));
    rule(&mut world, "alice", dismiss("alice")).unwrap();

    assert_eq!(rule(&mut world, "alice", Ruling::Lock(true)), Err(Refusal::NotModerator));
    rule(&mut world, "bob", Ruling::Lock(true)).unwrap();
}

#[test]
fn when_the_last_moderator_has_left_whoever_is_seated_longest_follows() {
    let mut world = open();
    world.arrive("carol", 1);

    let seat = world.seat(&device("alice", 1));
    world.run(&Command::Leave(seat)).unwrap();

    assert!(!world.conference.roster().has(&aor("alice")));
    assert!(world.conference.roster().is_moderator(&aor("bob")));
    assert!(!world.conference.roster().is_moderator(&aor("carol")));
}

#[test]
fn a_moderator_who_is_only_away_stays_the_only_one() {
    let mut world = World::room(&[("bob", 1)]);

    let seat = world.seat(&device("alice", 1));
    world.run(&Command::Gone { seat, why: Why::Away }).unwrap();

    assert!(world.conference.roster().is_moderator(&aor("alice")));
    assert!(!world.conference.roster().is_moderator(&aor("bob")));
}

fn hidden(world: &mut World, person: &str) -> Result<(), Refusal> {
    let who = world.own(person, 1);
    world.run(&Command::Join(Joining {
        who,
        seat: SeatId(77),
        identities: vec![format!("sip:{person}@example.net")],
        peer_path: None,
        end: End::default(),
        came: Came::DialedIn,
        shown: Shown::Hidden,
        mask: Some("urn:uuid:00000000-0000-4000-8000-00000000aaaa".parse().unwrap()),
    }))
}

#[test]
fn who_hides_writes_and_is_seen_as_a_number() {
    let mut world = open();

    hidden(&mut world, "carol").unwrap();

    let seat = world.conference.seat(SeatId(77)).unwrap();
    assert_eq!(seat.identities, ["sip:anonymous-1@anonymous.invalid"]);
    let scene = world.conference.scene().unwrap();
    let carol = scene.people.iter().find(|seen| seen.aor == aor("carol")).unwrap();
    assert_eq!(carol.hidden, Some(1));
}

#[test]
fn what_was_settled_is_settled_after_a_restart() {
    let mut world = open();
    rule(&mut world, "alice", Ruling::Lock(true)).unwrap();
    rule(&mut world, "alice", Ruling::Subject("Tea\nand cake".into())).unwrap();
    rule(&mut world, "alice", Ruling::Mute(aor("bob"))).unwrap();

    let terms = Arc::clone(&world.terms);
    let recovered = Conference::recover(terms, &world.journal, None).unwrap().conference;

    assert_eq!(recovered.rules().subject.as_deref(), Some("Tea and cake"));
    assert_eq!(recovered.scene(), world.conference.scene());
    assert!(recovered.roster().is_muted(&aor("bob")));
}
