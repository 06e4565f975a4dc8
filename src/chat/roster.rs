//! Who is there, in lines for a person. Pure.
use client::{Person, Roster, Whereabouts};
use ids::Aor;

use super::YOU_ARE_MUTED;
use super::nick::LETTERS_MAX;
use crate::terminal::{named, plain};

/// Everybody, each on a line.
pub(super) fn shown(roster: &Roster) -> String {
    let line = |person: &Person| line(person, &roster.people);
    let mut lines: Vec<String> = roster.people.iter().map(line).collect();
    if let Some(subject) = &roster.subject {
        lines.insert(0, format!("  about {}", plain(subject)));
    }
    if roster.locked {
        lines.push(String::from("  locked"));
    }
    lines.join("\n")
}

/// What is different now and no other line tells of.
pub(super) fn changes(
    before: &Roster,
    after: &Roster,
    (me, domain): (&Aor, &str),
    members: &[Aor],
) -> Vec<String> {
    let mut told = Vec::new();
    match (before.locked, after.locked) {
        (false, true) => told.push(String::from("* the conference is locked")),
        (true, false) => told.push(String::from("* the conference is not locked any more")),
        _ => {}
    }
    if before.subject != after.subject {
        let subject = after.subject.as_deref().unwrap_or("nothing in particular");
        told.push(format!("* the conference is about {}", plain(subject)));
    }
    for person in &after.people {
        let was = before.people.iter().find(|was| was.address == person.address);
        let name = name(person, domain);
        let is_me = person.address == me.as_str();
        let is_member = members.iter().any(|who| who.as_str() == person.address);
        // Whoever has left is told of as such, and not of what they were.
        if !is_me && !is_member && person.whereabouts == Whereabouts::Away {
            continue;
        }
        let was_moderator = was.is_some_and(|was| was.moderator);
        match (was_moderator, person.moderator) {
            (false, true) if was.is_some() => told.push(format!("* {name} moderates")),
            (true, false) => told.push(format!("* {name} does not moderate any more")),
            _ => {}
        }
        if let Some(was) = was.filter(|was| !is_me && was.nickname != person.nickname) {
            told.push(called(&name, was, person, &after.people));
        }
        let now = person.whereabouts;
        match (was.map(|was| was.whereabouts), now) {
            (Some(Whereabouts::Muted), Whereabouts::Muted) => {}
            (_, Whereabouts::Muted) if is_me => told.push(format!("! {YOU_ARE_MUTED}")),
            (_, Whereabouts::Muted) => told.push(format!("* {name} may not talk")),
            (Some(Whereabouts::Muted), Whereabouts::Here) if is_me => {
                told.push(String::from("* you may talk again"));
            }
            (Some(Whereabouts::Muted), Whereabouts::Here) => {
                told.push(format!("* {name} may talk"));
            }
            (Some(Whereabouts::Away), now) if !is_me && is_there(now) => {
                told.push(format!("* {name} is back"));
            }
            (Some(was), Whereabouts::Away) if is_there(was) && is_member => {
                told.push(format!("* {name} is away"));
            }
            _ => {}
        }
    }
    told
}

/// Whether this person may not talk.
pub(super) fn is_muted(roster: &Roster, who: &Aor) -> bool {
    let mut own = roster.people.iter().filter(|person| person.address == who.as_str());
    own.any(|person| person.whereabouts == Whereabouts::Muted)
}

/// Whether what comes by itself comes to this person, on one of their devices at least.
pub(super) fn hears(roster: &Roster, who: &Aor) -> bool {
    let mut theirs = roster.people.iter().filter(|person| person.address == who.as_str());
    theirs.any(|person| matches!(person.whereabouts, Whereabouts::Here | Whereabouts::Muted))
}

/// On the way, too: whoever was away is seen there first.
const fn is_there(whereabouts: Whereabouts) -> bool {
    !matches!(whereabouts, Whereabouts::Away | Whereabouts::Called)
}

/// What somebody is called now, behind the name that they keep.
fn called(who: &str, was: &Person, now: &Person, people: &[Person]) -> String {
    match (&now.nickname, &was.nickname) {
        (Some(name), _) if is_somebody_elses(name, now, people) => {
            format!("* {who} says {}, and is not", short(name))
        }
        (Some(name), _) => format!("* {who} is now called {}", short(name)),
        (None, Some(name)) => format!("* {who} is not called {} any more", short(name)),
        (None, None) => String::new(),
    }
}

fn name(person: &Person, domain: &str) -> String {
    match person.address.parse() {
        Ok(who) => named(&who, domain),
        Err(_) => plain(&person.address),
    }
}

fn line(person: &Person, people: &[Person]) -> String {
    let role = if person.moderator { ", moderator" } else { "" };
    let place = match person.whereabouts {
        Whereabouts::Here => "here",
        Whereabouts::Muted => "here, muted",
        Whereabouts::OnHold => "on hold",
        Whereabouts::Coming => "coming",
        Whereabouts::Called => "being called",
        Whereabouts::Away => "away",
    };
    let nickname = person.nickname.as_ref().map(|name| nickname(name, person, people));
    let nickname = nickname.unwrap_or_default();
    format!("  {}{nickname}: {place}{role}", plain(&person.address))
}

/// What somebody wants to be called.
fn nickname(name: &str, person: &Person, people: &[Person]) -> String {
    let shown = short(name);
    match is_somebody_elses(name, person, people) {
        true => format!(" (says {shown}, and is not)"),
        false => format!(" ({shown})"),
    }
}

/// Whether it is the name of another one who is here.
fn is_somebody_elses(name: &str, person: &Person, people: &[Person]) -> bool {
    let user =
        |person: &Person| person.address.parse().ok().map(|who: Aor| who.user().to_lowercase());
    let mut others = people.iter().filter(|other| other.address != person.address);
    others.any(|other| user(other).is_some_and(|user| user == name.to_lowercase()))
}

/// A nickname as far as it is shown.
fn short(name: &str) -> String {
    let mut shown: String = plain(name).chars().take(LETTERS_MAX).collect();
    if plain(name).chars().nth(LETTERS_MAX).is_some() {
        shown.push('\u{2026}');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str) -> Person {
        Person {
            address: format!("sip:{name}@example.net"),
            nickname: None,
            moderator: false,
            whereabouts: Whereabouts::Here,
            devices: 1,
        }
    }

    #[test]
    fn only_what_is_different_is_told() {
        let before = Roster { people: vec![person("bob")], ..Roster::default() };
        let muted = Person { whereabouts: Whereabouts::Muted, ..person("bob") };
        let after = Roster { locked: true, people: vec![muted], ..Roster::default() };

        let me = address_of("alice");
        assert_eq!(
            changes(&before, &after, (&me, "example.net"), &[]),
            ["* the conference is locked", "* bob may not talk"]
        );
        assert!(changes(&after, &after, (&me, "example.net"), &[]).is_empty());
    }

    fn address_of(user: &str) -> Aor {
        format!("sip:{user}@example.net").parse().unwrap()
    }

    #[test]
    fn who_has_left_is_not_told_of_as_what_they_were() {
        let (mut was, mut gone) = (person("bob"), person("bob"));
        (was.moderator, was.nickname) = (true, Some("Jay".to_owned()));
        gone.whereabouts = Whereabouts::Away;
        let roster = |person: Person| Roster { people: vec![person], ..Roster::default() };
        let (before, after) = (roster(was), roster(gone));
        let me = address_of("alice");
        let told = |members: &[Aor]| changes(&before, &after, (&me, "example.net"), members);

        assert!(told(&[]).is_empty(), "{:?}", told(&[]));
        assert_eq!(told(&[address_of("bob")]).len(), 3);
    }

    /// What is told when somebody is here and there, one after the other.
    fn told(places: &[Whereabouts], me: &Aor) -> Vec<String> {
        let at = |whereabouts: &Whereabouts| {
            let people = vec![Person { whereabouts: *whereabouts, ..person("bob") }];
            Roster { people, ..Roster::default() }
        };
        let rosters: Vec<Roster> = places.iter().map(at).collect();
        let members = [address_of("bob")].into_iter().filter(|who| who != me).collect::<Vec<_>>();
        let told = |pair: &[Roster]| changes(&pair[0], &pair[1], (me, "example.net"), &members);
        rosters.windows(2).flat_map(told).collect()
    }

    #[test]
    fn who_goes_away_and_comes_back_is_told_of_once_each() {
        use Whereabouts::{Away, Called, Coming, Here, Muted};

        assert_eq!(
            told(&[Here, Away, Coming, Here, Away, Called, Away], &address_of("alice")),
            ["* bob is away", "* bob is back", "* bob is away",]
        );
        assert!(told(&[Here, Away, Coming, Here], &address_of("bob")).is_empty(), "that is me");
        assert_eq!(
            told(&[Here, Muted, Away, Muted, Here], &address_of("alice")),
            ["* bob may not talk", "* bob is away", "* bob may not talk", "* bob may talk",]
        );
    }

    #[test]
    fn who_is_muted_hears_it_as_what_it_is() {
        use Whereabouts::{Here, Muted};

        let lines = told(&[Here, Muted, Here], &address_of("bob"));

        assert!(lines[0].starts_with("! a moderator has muted you"), "{lines:?}");
        assert_eq!(lines[1..], ["* you may talk again"]);
    }

    #[test]
    fn a_nickname_that_is_the_name_of_somebody_else_fools_nobody_and_a_long_one_is_cut() {
        let named =
            |user: &str, nickname: String| Person { nickname: Some(nickname), ..person(user) };
        let people = vec![
            person("alice"),
            named("mallory", "Alice".to_owned()),
            named("trudy", "x".repeat(300)),
        ];

        let lines = shown(&Roster { people, ..Roster::default() });

        assert!(
            lines.contains("sip:mallory@example.net (says Alice, and is not): here"),
            "{lines}"
        );
        let cut = format!("sip:trudy@example.net ({}\u{2026}): here", "x".repeat(64));
        assert!(lines.contains(&cut), "{lines}");
    }

    #[test]
    fn what_somebody_is_called_is_told_when_it_changes() {
        let named = |nickname: Option<&str>| {
            let nickname = nickname.map(str::to_owned);
            let people = vec![person("alice"), Person { nickname, ..person("bob") }];
            Roster { people, ..Roster::default() }
        };
        let told = |before: Option<&str>, after: Option<&str>, me: &str| {
            changes(&named(before), &named(after), (&address_of(me), "example.net"), &[])
        };

        let bob = "* bob";
        assert_eq!(told(None, Some("Jay"), "alice"), [format!("{bob} is now called Jay")]);
        let false_name = told(Some("Jay"), Some("Alice"), "alice");
        assert_eq!(false_name, [format!("{bob} says Alice, and is not")]);
        assert_eq!(told(Some("Jay"), None, "alice"), [format!("{bob} is not called Jay any more")]);
        assert!(told(None, Some("Jay"), "bob").is_empty(), "that is me");
        assert!(told(Some("Jay"), Some("Jay"), "alice").is_empty());
    }

    #[test]
    fn a_nickname_does_not_drive_the_terminal() {
        let nickname = Some(String::from("Jay\u{1b}[2J"));
        let roster = Roster {
            people: vec![Person { nickname, moderator: true, ..person("bob") }],
            ..Roster::default()
        };

        assert_eq!(shown(&roster), "  sip:bob@example.net (Jay [2J): here, moderator");
    }
}
