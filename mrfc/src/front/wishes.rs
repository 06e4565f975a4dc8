//! What people want of others ([`crate::people`]), where something of others arrives: whose messages get through, whose
//! invitations, and who is not shown. Whoever is turned away learns that and not why.
use ids::Aor;
use sip::header::Name;
use sip::{Request, Response, Status};

use super::Front;
use super::privacy::Privacy;

impl Front {
    /// Whether the recipient takes messages of this person.
    pub(super) fn welcome(
        &self,
        request: &Request,
        author: &Aor,
        to: &Aor,
    ) -> Result<(), Response> {
        match author == to || self.policies.of(to).takes_message(author) {
            true => Ok(()),
            false => Err(Response::to(request, Status::FORBIDDEN)),
        }
    }

    /// Those who take messages of this person. What became of a message for many nobody is told (RFC 5365, 7.1).
    pub(super) fn takers(&self, people: Vec<Aor>, author: &Aor) -> Vec<Aor> {
        let takes = |to: &Aor| author == to || self.policies.of(to).takes_message(author);
        people.into_iter().filter(takes).collect()
    }

    /// Whether somebody may be called into a conference by this person.
    pub(super) fn may_be_called(&self, who: &Aor, by: &Aor) -> bool {
        who == by || self.policies.of(who).takes_invitation(by)
    }

    /// What the sender wants hidden: as the request says, or as the person wants it where that says nothing.
    pub(super) fn privacy_of(&self, request: &Request, author: &Aor) -> Result<Privacy, Response> {
        let said = request.headers.raw(&Name::Privacy).next().is_some();
        match !said && self.policies.of(author).hides() {
            true => Ok(Privacy::whole()),
            false => Privacy::of(request),
        }
    }
}
