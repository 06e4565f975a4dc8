//! Anonymous participants (RFC 3323, RFC 7701, 5.2): who wants to be one, where nobody may, and what is said of it. In a
//! conference they are a number ([`crate::conference::anonymous`]); who it is stands in the operator's audit alone.
use ids::{Aor, ConferenceId, DeviceId};
use service::clock;
use sip::endpoint::FlowId;
use sip::header::{Name, Warning};
use sip::{Request, Response, Status};
use store::Deed;

use super::Front;
use super::privacy::{self, is_anonymous};
use crate::config::Anonymous;
use crate::desk::Shown;

/// How somebody wants to come into a conference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) shown: Shown,
    /// The request must fail as RFC 3323, 5 has it where it cannot be so.
    pub(super) critical: bool,
}

/// Whether somebody joins a conference or makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comes {
    ToOne,
    ToMakeOne,
}

impl Front {
    /// How whoever sends this INVITE wants to be seen, if that can be. A From that names nobody says it too.
    pub(super) fn wish(
        &self,
        request: &Request,
        person: &Aor,
        comes: Comes,
    ) -> Result<Wish, Response> {
        let privacy = self.privacy_of(request, person)?;
        let hides = privacy.hides() || request.headers.from().is_ok_and(|it| is_anonymous(&it));
        if !hides || privacy.is_none() {
            return Ok(Wish::default());
        }
        let wish = Wish { shown: Shown::Hidden, critical: privacy.is_critical() };
        let refused = |words: &str| {
            let warning = Warning::new(399, &self.domain, words);
            Response::to(request, Status::ANONYMITY_DISALLOWED).with(Name::Warning, warning)
        };
        let refused = match (self.config.conferences.anonymous, comes) {
            (Anonymous::Nobody, _) => refused("nobody is anonymous here"),
            (Anonymous::Participants, Comes::ToMakeOne) => {
                refused("whoever makes a conference is known by name")
            }
            _ => return Ok(wish),
        };
        Err(unmet(request, refused, wish))
    }

    /// How somebody who is called is seen: a device cannot ask for it before it answers, its person can
    /// ([`crate::people`]).
    pub(super) fn shown_when_called(&self, who: &Aor) -> Shown {
        let allowed = self.config.conferences.anonymous != Anonymous::Nobody;
        match allowed && self.policies.of(who).hides() {
            true => Shown::Hidden,
            false => Shown::Named,
        }
    }

    /// Notes who a number stands for.
    pub(super) fn note_hidden(
        &self,
        flow: FlowId,
        person: &Aor,
        conference: &ConferenceId,
        shown_as: &str,
    ) {
        let source = self.flows.get(&flow).and_then(|flow| flow.address);
        let deed = Deed {
            at: clock::wall(),
            actor: person.to_string(),
            action: String::from("INVITE anonymously"),
            subject: format!("/v1/conferences/{conference} {shown_as}"),
            source: source.map(|address| address.ip().to_string()).unwrap_or_default(),
            result: Status::OK.code().to_string(),
        };
        if !self.keeper.deed(deed) {
            tracing::warn!(%conference, shown_as, "too much waits for the audit: who this is was not noted");
        }
    }
}

/// The header of a 2xx that tells who hides what to write as (RFC 7701, 6.1 leaves open how it is learnt).
pub(super) fn shown_as() -> Name {
    Name::parse(b"Conclave-Shown-As").unwrap_or(Name::Warning)
}

/// What it says: the address, and in a sealed conference also the device that the pseudonym's certificate is to name.
pub(super) fn shown_to_it(shown: &str, mask: Option<&DeviceId>) -> String {
    let mask = mask.map(|mask| format!(";+sip.instance=\"<{mask}>\""));
    format!("<{shown}>{}", mask.unwrap_or_default())
}

/// The refusal of somebody who wanted to hide.
pub(super) fn unmet(request: &Request, refused: Response, wish: Wish) -> Response {
    match wish.critical && refused.status == Status::ANONYMITY_DISALLOWED {
        true => {
            let failed = privacy::failed(request, "id");
            refused.headers.raw(&Name::Warning).fold(failed, |failed, warning| {
                failed.with(Name::Warning, String::from_utf8_lossy(warning))
            })
        }
        false => refused,
    }
}
