//! Who is known by a number in place of a name (RFC 3323; RFC 4575, 5.6), and whom somebody means who says either. What
//! a moderator learns by naming somebody is the same whether that person is here under a number or not at all.
use ids::Aor;

use super::decide::{Change, Decided};
use super::event::{Departed, What};
use super::nouns::{Participant, Shown, Why};
use super::refusal::Refusal;
use super::rules::Ruling;
use super::{About, Conference, Level, policy};

const USER: &str = "anonymous-";
const HOST: &str = "anonymous.invalid";

/// What others see in place of a name.
pub fn anonymous(number: u32) -> String {
    format!("sip:{USER}{number}@{HOST}")
}

/// The number in such an address.
fn number(shown: &Aor) -> Option<u32> {
    let number = shown.user().strip_prefix(USER)?;
    if !shown.host().eq_ignore_ascii_case(HOST) { None } else { number.parse().ok() }
}

impl Conference {
    /// What others see in place of this person's name.
    pub fn shown_as(&self, who: &Aor) -> Option<String> {
        self.roster.hidden(who).map(anonymous)
    }

    /// Whether a moderator (or the operator, who sees everybody) puts somebody out who is in, by keeping them out.
    pub fn puts_out(&self, by: Option<&Aor>, ruling: &Ruling) -> bool {
        let Ruling::Ban(who) = ruling else { return false };
        self.meant(by, who).is_some_and(|who| self.roster.has(&who))
    }

    /// Whether somebody may come in like this.
    pub(super) fn may_hide(&self, who: &Participant, shown: Shown) -> Result<(), Refusal> {
        if shown == Shown::Named {
            return Ok(());
        }
        if self.level() == Some(Level::Sealed) {
            return Err(Refusal::NotAnonymous);
        }
        let known = self.roster.devices_of(&who.aor).next().is_some();
        match known && self.roster.hidden(&who.aor).is_none() {
            true => Err(Refusal::KnownByName),
            false => Ok(()),
        }
    }

    /// Whom somebody means: a number stands for whom it hides, and the name of somebody who hides for nobody who is
    /// here, but for the operator and for that person.
    fn meant(&self, by: Option<&Aor>, named: &Aor) -> Option<Aor> {
        match number(named) {
            Some(number) => self.roster.behind(number).cloned(),
            None if by.is_none() || by == Some(named) => Some(named.clone()),
            None => self.roster.hidden(named).is_none().then(|| named.clone()),
        }
    }

    /// A moderator puts somebody out, or somebody goes.
    pub(super) fn kick(&self, about: &About, by: &Aor, named: &Aor) -> Decided {
        let who = self.meant(Some(by), named);
        if who.as_ref() != Some(by) {
            policy::may_invite(&self.roster, by)?;
        }
        let who = who.ok_or_else(|| Refusal::NotOnRoster(named.clone()))?;
        let why = if *by == who { Why::Left } else { Why::Kicked };
        policy::may_remove(&self.roster, &about.creator, by, &who).map_err(|why| match why {
            // In the asker's own words.
            Refusal::NotOnRoster(_) => Refusal::NotOnRoster(named.clone()),
            other => other,
        })?;
        self.depart(Departed::Person(who), why)
    }

    /// The operator puts somebody out.
    pub(super) fn expel(&self, named: &Aor) -> Decided {
        let who = self.meant(None, named).filter(|who| self.roster.has(who));
        let who = who.ok_or_else(|| Refusal::NotOnRoster(named.clone()))?;
        self.depart(Departed::Person(who), Why::Kicked)
    }

    /// Whether a ruling may be made, about whom it is meant for, and changes something.
    pub(super) fn settle(&self, about: &About, by: Option<&Aor>, ruling: &Ruling) -> Decided {
        if by.is_some_and(|by| !self.roster.is_moderator(by)) {
            return Err(Refusal::NotModerator);
        }
        let Some((named, make)) = ruling.person() else {
            return Ok((self.rule(about, by, ruling)?, Change::None));
        };
        let Some(who) = self.meant(by, named) else {
            return Ok((self.unseen(by, named, ruling)?, Change::None));
        };
        match ruling {
            // Somebody who is in is put out, and thereby kept out.
            Ruling::Ban(_) if self.roster.has(&who) => {
                if let Some(by) = by.filter(|by| **by != who) {
                    policy::may_remove(&self.roster, &about.creator, by, &who)?;
                }
                self.depart(Departed::Person(who), Why::Kicked)
            }
            // Who is kept out as a number is so until the number is let in.
            Ruling::Unban(_)
                if by.is_some()
                    && number(named).is_none()
                    && !self.roster.is_barred_by_name(&who) =>
            {
                Err(Refusal::NothingNew)
            }
            _ => Ok((self.rule(about, by, &make(who))?, Change::None)),
        }
    }

    /// A ruling about somebody who is not here as far as whoever makes it can see.
    fn unseen(&self, by: Option<&Aor>, named: &Aor, ruling: &Ruling) -> Result<What, Refusal> {
        match ruling {
            // They are kept out once they have gone: to end it now would say that they were here.
            Ruling::Ban(_) if number(named).is_none() => {
                if self.roster.is_barred_by_name(named) {
                    return Err(Refusal::NothingNew);
                }
                Ok(What::Ruled { by: by.cloned(), ruling: ruling.clone() })
            }
            Ruling::Unmute(_) => Err(Refusal::NothingNew),
            Ruling::Unban(_) if !self.roster.is_barred_by_name(named) => Err(Refusal::NothingNew),
            Ruling::Unban(_) => Ok(What::Ruled { by: by.cloned(), ruling: ruling.clone() }),
            _ => Err(Refusal::NotOnRoster(named.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_from_its_own_address_alone() {
        let of = |text: &str| number(&text.parse().unwrap());

        assert_eq!(of(&anonymous(7)), Some(7));
        assert_eq!(of("sip:anonymous-7@example.net"), None);
        assert_eq!(of("sip:anonymous@anonymous.invalid"), None);
        assert_eq!(of("sip:anonymous-x@anonymous.invalid"), None);
    }
}
