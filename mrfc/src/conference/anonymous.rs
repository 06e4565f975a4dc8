//! Who is known by a number in place of a name (RFC 3323; RFC 4575, 5.6), and whom somebody means who says either. What
//! a moderator learns by naming somebody is the same whether that person is here under a number or not at all.
//!
//! In an open conference the roster has their names, and the number beside. In a sealed one members see the certificate of
//! each leaf, so there the roster has a pseudonym of this conference alone, which the issuer certifies, and who is behind
//! it stands in [`super::masks`]: whatever is made from the roster names nobody.
use ids::Aor;

use super::command::Joining;
use super::decide::{Change, Decided};
use super::event::{Departed, What};
use super::nouns::{Participant, Shown, Why};
use super::refusal::Refusal;
use super::rules::Ruling;
use super::{About, Conference, Level, policy};

const USER: &str = "anonymous-";
const HOST: &str = "anonymous.invalid";

/// What others see in place of a name in an open conference.
pub fn anonymous(number: u32) -> String {
    format!("sip:{USER}{number}@{HOST}")
}

/// What others see of somebody on the roster.
pub fn known_as(aor: &Aor, hidden: Option<u32>) -> String {
    match hidden {
        Some(number) if !aor.is_pseudonym() => anonymous(number),
        _ => aor.to_string(),
    }
}

/// The number in such an address.
fn number(shown: &Aor) -> Option<u32> {
    let number = shown.user().strip_prefix(USER)?;
    if !shown.host().eq_ignore_ascii_case(HOST) { None } else { number.parse().ok() }
}

impl Conference {
    /// What others see in place of this person's name.
    pub fn shown_as(&self, who: &Aor) -> Option<String> {
        let who = self.roster.seen_as(who);
        self.roster.hidden(who).map(|number| known_as(who, Some(number)))
    }

    /// The number in the address of somebody who hides here.
    fn number(&self, shown: &Aor) -> Option<u32> {
        match self.level() {
            Some(Level::Sealed) => shown.number_in(self.id()),
            _ => number(shown),
        }
    }

    /// Whether whoever comes is to be hidden. Who hides in a sealed conference on one device hides on all.
    pub(super) fn hides(&self, joining: &Joining) -> bool {
        joining.shown == Shown::Hidden || self.roster.masks.of(&joining.who.aor).is_some()
    }

    /// What whoever comes will be known by, if they hide in a sealed conference.
    pub(super) fn mask(&self, joining: &Joining) -> Option<Participant> {
        if self.level() != Some(Level::Sealed) || !self.hides(joining) {
            return None;
        }
        let aor = self.roster.masks.of(&joining.who.aor).cloned();
        let aor = aor.unwrap_or_else(|| Aor::pseudonym(self.id(), self.roster.next_hidden()));
        Some(Participant { aor, device: joining.mask.clone()? })
    }

    /// The pseudonyms that a device had before this one, and has a place under still.
    pub fn former_masks(
        &self,
        who: &Participant,
        mask: Option<&ids::DeviceId>,
    ) -> Vec<Participant> {
        let masks = self.roster.masks.of_device(who);
        masks.filter(|known| Some(&known.device) != mask).cloned().collect()
    }

    /// What this device takes part as: itself, and under its pseudonyms.
    pub fn places_of(&self, who: &Participant) -> Vec<Participant> {
        let own = self.has(who).then(|| who.clone());
        own.into_iter().chain(self.former_masks(who, None)).collect()
    }

    /// Whether this is a pseudonym that a device of this person has here now.
    pub fn is_mask_of(&self, mask: &Participant, person: &Aor) -> bool {
        self.roster.masks.behind(mask).is_some_and(|behind| behind.aor == *person)
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
        let known = self.roster.devices_of(&who.aor).next().is_some();
        match known && self.roster.hidden(&who.aor).is_none() {
            true => Err(Refusal::KnownByName),
            false => Ok(()),
        }
    }

    /// Whom somebody means: a number stands for whom it hides, and the name of somebody who hides for nobody who is
    /// here, but for the operator and for that person.
    fn meant(&self, by: Option<&Aor>, named: &Aor) -> Option<Aor> {
        let seen = self.roster.seen_as(named);
        match self.number(named) {
            Some(number) => self.roster.behind(number).cloned(),
            None if by.is_none() || by == Some(named) => Some(seen.clone()),
            None => (seen == named && self.roster.hidden(named).is_none()).then(|| named.clone()),
        }
    }

    /// A moderator puts somebody out, or somebody goes.
    pub(super) fn kick(&self, about: &About, by: &Aor, named: &Aor) -> Decided {
        let who = self.meant(Some(by), named);
        let by = self.roster.seen_as(by);
        if who.as_ref() != Some(by) {
            policy::may_invite(&self.roster, by)?;
        }
        let who = who.ok_or_else(|| Refusal::NotOnRoster(named.clone()))?;
        let why = if *by == who { Why::Left } else { Why::Kicked };
        policy::may_remove(&self.roster, self.founder(about), by, &who).map_err(
            |why| match why {
                // In the asker's own words.
                Refusal::NotOnRoster(_) => Refusal::NotOnRoster(named.clone()),
                other => other,
            },
        )?;
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
        let seen = by.map(|by| self.roster.seen_as(by));
        if seen.is_some_and(|by| !self.roster.is_moderator(by)) {
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
                if let Some(by) = seen.filter(|by| **by != who) {
                    policy::may_remove(&self.roster, self.founder(about), by, &who)?;
                }
                self.depart(Departed::Person(who), Why::Kicked)
            }
            // Who is kept out as a number is so until the number is let in.
            Ruling::Unban(_)
                if by.is_some()
                    && self.number(named).is_none()
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
            Ruling::Ban(_) if self.number(named).is_none() => {
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
