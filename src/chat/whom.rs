//! Whom somebody means by a name on a line. Pure.
//!
//! A user of this domain, or an address, as everywhere; and who is here under a pseudonym, by what comes before its `@`. A
//! nickname is only good for saying something: who may be anybody today is not removed or trusted by it.
use client::{Roster, Whereabouts};
use ids::Aor;

use crate::terminal::address;

/// Those who are here.
#[derive(Debug)]
pub(super) struct Whom<'a> {
    domain: &'a str,
    here: Vec<Aor>,
    nicknames: Vec<(String, Aor)>,
}

impl<'a> Whom<'a> {
    /// The members of the group, and those whom the focus tells of.
    pub(super) fn new(
        domain: &'a str,
        members: impl Iterator<Item = Aor>,
        roster: &Roster,
    ) -> Self {
        let address = |person: &client::Person| person.address.parse::<Aor>().ok();
        // Who is being called may never come.
        let there = roster.people.iter().filter(|it| it.whereabouts != Whereabouts::Called);
        let told = there.filter_map(address);
        let mut here: Vec<Aor> = members.chain(told).collect();
        here.sort_unstable();
        here.dedup();
        let named = roster
            .people
            .iter()
            .filter_map(|person| Some((person.nickname.clone()?, address(person)?)));
        Self { domain, here, nicknames: named.collect() }
    }

    /// Somebody, here or not.
    pub(super) fn somebody(&self, name: &str) -> Result<Aor, String> {
        let who = address(name, self.domain).map_err(|error| error.to_string())?;
        if self.here.contains(&who) {
            return Ok(who);
        }
        let hidden = self.here.iter().find(|here| here.is_pseudonym() && here.user() == name);
        Ok(hidden.cloned().unwrap_or(who))
    }

    /// Whether this person is here.
    pub(super) fn has(&self, who: &Aor) -> bool {
        self.here.contains(who)
    }

    /// Whether somebody else who is here has this name.
    pub(super) fn others_named(&self, name: &str, me: &Aor) -> bool {
        let name = name.to_lowercase();
        self.here.iter().any(|who| who != me && who.user().to_lowercase() == name)
    }

    /// Somebody who is here, by their nickname too. None: nobody here is called so.
    pub(super) fn here(&self, name: &str) -> Option<Aor> {
        let who = self.somebody(name).ok().filter(|who| self.here.contains(who));
        who.or_else(|| {
            let named = self.nicknames.iter().find(|(nickname, _)| nickname == name);
            named.map(|(_, who)| who.clone())
        })
    }

    /// What is said of a name that is nobody's here and what somebody is called: whom to name.
    pub(super) fn called(&self, nickname: &str) -> Option<String> {
        let is_user = self.somebody(nickname).is_ok_and(|who| self.has(&who));
        let who = self.here(nickname).filter(|_| !is_user)?;
        Some(format!("name {}, who is called so here", who.user()))
    }

    /// What is said of who is not here.
    pub(super) fn absent(&self, me: &Aor) -> String {
        format!("they are not here; {}", self.others(me))
    }

    /// Somebody who can be written to outside of the room, and is not oneself.
    pub(super) fn elsewhere(&self, name: &str, me: &Aor) -> Result<Aor, String> {
        let who = self.somebody(name)?;
        if who.is_pseudonym() {
            return Err(format!("{} is here under a pseudonym, and nobody elsewhere", who.user()));
        }
        if who == *me {
            return Err(THAT_IS_YOU.to_owned());
        }
        Ok(who)
    }

    /// Those who are here, but for oneself, in words.
    pub(super) fn others(&self, me: &Aor) -> String {
        let others: Vec<&str> =
            self.here.iter().filter(|who| *who != me).map(|who| who.user()).collect();
        match others.is_empty() {
            true => "nobody else is here".to_owned(),
            false => format!("here are {}", others.join(", ")),
        }
    }
}

/// What is said of oneself where somebody else is meant.
pub(super) const THAT_IS_YOU: &str = "that is you";

#[cfg(test)]
mod tests {
    use super::*;
    use client::Person;

    fn aor(text: &str) -> Aor {
        text.parse().unwrap()
    }

    fn person(address: &Aor, nickname: &str) -> Person {
        Person {
            address: address.to_string(),
            nickname: Some(nickname.to_owned()),
            moderator: false,
            whereabouts: Whereabouts::Here,
            devices: 1,
        }
    }

    #[test]
    fn a_name_is_a_user_then_who_hides_under_it_and_a_nickname_only_where_it_does_no_harm() {
        let hidden = Aor::pseudonym(&"lobby".parse().unwrap(), 1);
        let (alice, mallory) = (aor("sip:alice@x"), aor("sip:mallory@x"));
        let people = vec![person(&mallory, "bob"), person(&alice, "Jay")];
        let roster = Roster { people, ..Roster::default() };
        let whom = Whom::new("x", [alice.clone(), hidden.clone()].into_iter(), &roster);

        assert_eq!(whom.somebody("alice"), Ok(alice.clone()));
        assert_eq!(whom.somebody("anonymous-1"), Ok(hidden.clone()));
        assert_eq!(whom.somebody("anonymous-2"), Ok(aor("sip:anonymous-2@x")));
        assert_eq!(whom.somebody("bob"), Ok(aor("sip:bob@x")));
        assert_eq!(whom.here("Jay"), Some(alice.clone()));
        assert_eq!(whom.here("bob"), Some(mallory));
        assert_eq!(whom.here("carol"), None);
        assert!(whom.elsewhere("anonymous-1", &alice).is_err());
        assert_eq!(whom.elsewhere("alice", &alice), Err(THAT_IS_YOU.to_owned()));
        assert_eq!(whom.others(&alice), "here are anonymous-1, mallory");
    }

    #[test]
    fn nobody_takes_the_place_of_who_is_here_by_a_nickname() {
        let (bob, mallory) = (aor("sip:bob@x"), aor("sip:mallory@x"));
        let carol = aor("sip:carol@x");
        let called = Person { whereabouts: Whereabouts::Called, ..person(&carol, "Cee") };
        let people = vec![person(&mallory, "bob"), called];
        let roster = Roster { people, ..Roster::default() };
        let whom = Whom::new("x", [bob.clone()].into_iter(), &roster);

        assert_eq!(whom.here("bob"), Some(bob));
        assert!(!whom.has(&carol), "she is being called, and may never come");
    }
}
