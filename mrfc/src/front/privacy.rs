//! What a sender wants hidden (RFC 3323, RFC 3325), and what is left of a request for whoever must not see it. Pure. We
//! are a back-to-back agent: Via, Contact, Record-Route and Call-ID of a request never reach the other side at all.
use bytes::Bytes;
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

/// The same in an envelope.
const ANONYMOUS_CPIM: &[u8] = b"From: Anonymous <sip:anonymous@anonymous.invalid>";

impl Privacy {
    /// Nothing names the person.
    pub(super) const fn whole() -> Self {
        Self { id: true, user: true }
    }

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
        let telling = TELLING.contains(name) || name.as_str().eq_ignore_ascii_case("Call-Info");
        !(self.user && telling)
    }

    /// The body that others get: a CPIM envelope names its sender too (RFC 3862, 2). What it envelops stays as it is.
    pub(super) fn body(self, request: &Request) -> Bytes {
        let media = request.headers.content_type().ok().flatten();
        if !self.user || !media.is_some_and(|media| media.is("message/cpim")) {
            return request.body.clone();
        }
        let body = &request.body;
        let end = body.windows(4).position(|octets| octets == b"\r\n\r\n").unwrap_or(body.len());
        let (head, rest) = body.split_at(end);
        let lines = head.split(|octet| *octet == b'\n').map(|line| {
            let line = line.trim_ascii_end();
            match line.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"From:")) {
                true => ANONYMOUS_CPIM,
                false => line,
            }
        });
        let head = lines.collect::<Vec<_>>().join(&b"\r\n"[..]);
        [&head, rest].concat().into()
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
    fn s1_05_the_envelope_names_nobody_and_what_it_holds_stays_as_it_is() {
        let uri: sip::Uri = "sip:bob@example.net".parse().unwrap();
        let cpim = "From: Alice <sip:alice@example.net>\r\nTo: <sip:bob@example.net>\r\n\r\n\
            Content-Type: text/plain\r\n\r\nFrom: this is my text\r\n";
        let sent =
            |media: &str| Request::new(sip::Method::Message, uri.clone()).with_body(media, cpim);
        let user = asked("user").unwrap();

        let hidden = user.body(&sent("message/cpim"));

        let hidden = std::str::from_utf8(&hidden).unwrap();
        assert!(hidden.starts_with("From: Anonymous <sip:anonymous@anonymous.invalid>\r\nTo: "));
        assert!(hidden.ends_with("From: this is my text\r\n") && !hidden.contains("alice"));
        assert_eq!(user.body(&sent("text/plain")), cpim);
        assert_eq!(asked("id").unwrap().body(&sent("message/cpim")), cpim);
    }

    #[test]
    fn priv_06_a_critical_level_that_nobody_has_is_500() {
        assert_eq!(asked("session; critical"), Err(500));
        assert_eq!(asked("session"), Ok(Privacy::default()));
        assert_eq!(asked("id; critical"), Ok(Privacy { id: true, user: false }));
    }
}
