//! What a sender wants hidden (RFC 3323, RFC 3325), and what is left of a request for whoever must not see it. Pure. We
//! are a back-to-back agent: Via, Contact, Record-Route and Call-ID of a request never reach the other side at all.
use ids::Aor;
use sip::header::{Name, NameAddr};
use sip::{Request, Response, Status};

/// What the Privacy header asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Privacy {
    /// No asserted identity (RFC 3325, 7).
    id: bool,
    /// Nothing that names the person (RFC 3323, 5.3).
    user: bool,
}

/// What RFC 3323, 5.3 has removed at the user level, where it is not replaced.
const TELLING: [Name; 6] = [
    Name::Subject,
    Name::Organization,
    Name::UserAgent,
    Name::ReplyTo,
    Name::InReplyTo,
    Name::Server,
];

/// The URI of nobody in particular (RFC 3323, 4.1.1.3).
const ANONYMOUS: &str = "sip:anonymous@anonymous.invalid";

impl Privacy {
    /// What this request asks for. A level that we do not have is ignored, unless it is `critical`: then the request
    /// must fail (RFC 3323, 5).
    pub(super) fn of(request: &Request) -> Result<Self, Response> {
        let mut asked = Self::default();
        let (mut critical, mut unknown) = (false, false);
        for value in request.headers.raw(&Name::Privacy) {
            let text = String::from_utf8_lossy(value);
            for level in text.split(';').map(|level| level.trim().to_ascii_lowercase()) {
                match level.as_str() {
                    "none" => return Ok(Self::default()),
                    "id" => asked.id = true,
                    "user" => (asked.id, asked.user) = (true, true),
                    // Nothing of these is passed on anyway.
                    "header" | "" => {}
                    "critical" => critical = true,
                    _ => unknown = true,
                }
            }
        }
        if critical && unknown {
            let refused = Response::to(request, Status::SERVER_INTERNAL_ERROR);
            return Err(refused.with_reason("Privacy Level Not Supported"));
        }
        Ok(asked)
    }

    /// The From that others see.
    pub(super) fn from(self, own: NameAddr) -> NameAddr {
        if !self.user {
            return own;
        }
        match ANONYMOUS.parse::<sip::Uri>() {
            Ok(uri) => NameAddr { display: Some("Anonymous".into()), ..NameAddr::new(uri) },
            Err(_) => own,
        }
    }

    /// The identity that we assert to others.
    pub(super) fn asserted(self, author: &Aor) -> Option<&Aor> {
        (!self.id).then_some(author)
    }

    /// Whether a header field may be passed on.
    pub(super) fn passes(self, name: &Name) -> bool {
        !(self.user && TELLING.contains(name))
    }
}

/// Whether a From names nobody, so that somebody else must say who it is.
pub(super) fn is_anonymous(from: &NameAddr) -> bool {
    from.uri.sip().is_some_and(|uri| uri.host().eq_ignore_ascii_case("anonymous.invalid"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(privacy: &str) -> Result<Privacy, u16> {
        let uri: sip::Uri = "sip:bob@example.net".parse().unwrap();
        let request = Request::new(sip::Method::Message, uri).with(Name::Privacy, privacy);
        Privacy::of(&request).map_err(|response| response.status.code())
    }

    fn alice() -> NameAddr {
        NameAddr::new("sip:alice@example.net".parse::<sip::Uri>().unwrap())
    }

    #[test]
    fn priv_02_id_hides_what_we_assert_and_none_hides_nothing() {
        let aor: Aor = "sip:alice@example.net".parse().unwrap();

        assert_eq!(asked("none").unwrap().asserted(&aor), Some(&aor));
        assert_eq!(asked("id").unwrap().asserted(&aor), None);
        assert_eq!(asked("id").unwrap().from(alice()), alice());
    }

    #[test]
    fn priv_07_user_takes_the_name_out_of_every_header() {
        let user = asked("header;user").unwrap();

        assert!(is_anonymous(&user.from(alice())));
        assert!(!user.passes(&Name::Subject) && user.passes(&Name::ContentType));
        assert!(Privacy::default().passes(&Name::Subject));
    }

    #[test]
    fn priv_06_a_critical_level_that_nobody_has_is_500() {
        assert_eq!(asked("session; critical"), Err(500));
        assert_eq!(asked("session"), Ok(Privacy::default()));
        assert_eq!(asked("id; critical"), Ok(Privacy { id: true, user: false }));
    }
}
