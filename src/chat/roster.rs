//! Who is there, in lines for a person. Pure.
use client::{Person, Roster, Whereabouts};

use crate::terminal::plain;

/// Everybody, each on a line.
pub(super) fn shown(roster: &Roster) -> String {
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
pub(super) fn changes(before: &Roster, after: &Roster) -> Vec<String> {
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
        let name = plain(&person.address);
        let was_moderator = was.is_some_and(|was| was.moderator);
        match (was_moderator, person.moderator) {
            (false, true) if was.is_some() => told.push(format!("* {name} moderates")),
            (true, false) => told.push(format!("* {name} does not moderate any more")),
            _ => {}
        }
        let muted = |person: &Person| person.whereabouts == Whereabouts::Muted;
        match (was.is_some_and(muted), muted(person)) {
            (false, true) => told.push(format!("* {name} may not talk")),
            (true, false) => told.push(format!("* {name} may talk")),
            _ => {}
        }
    }
    told
}

fn line(person: &Person) -> String {
    let role = if person.moderator { ", moderator" } else { "" };
    let place = match person.whereabouts {
        Whereabouts::Here => "here",
        Whereabouts::Muted => "here, muted",
        Whereabouts::OnHold => "on hold",
        Whereabouts::Coming => "coming",
        Whereabouts::Called => "being called",
        Whereabouts::Away => "away",
    };
    let nickname =
        person.nickname.as_ref().map(|name| format!(" ({})", plain(name))).unwrap_or_default();
    format!("  {}{nickname}: {place}{role}", plain(&person.address))
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

        assert_eq!(
            changes(&before, &after),
            ["* the conference is locked", "* sip:bob@example.net may not talk"]
        );
        assert!(changes(&after, &after).is_empty());
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
