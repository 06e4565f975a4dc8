//! What a sender wants hidden (RFC 3323, RFC 3325), and what is left of a request for whoever must not see it. Pure. We
//! are a back-to-back agent: Via, Contact, Record-Route and Call-ID of a request never reach the other side at all.
use bytes::Bytes;
use ids::Aor;
use sip::header::{Name, NameAddr};
use sip::{Headers, Method, Request, Response, Status};

/// What the Privacy header asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Privacy {
    /// No asserted identity (RFC 3325, 7).
    id: bool,
    /// Nothing that names the person (RFC 3323, 5.3).
    user: bool,
    /// Nothing that says where the person's media is (RFC 3323, 5.2).
    session: bool,
    /// What is asked for is done, or the request fails.
    critical: bool,
    /// Nothing may be hidden, here or further on.
    none: bool,
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

/// Characters of the levels that a failure names.
const NAMED_MAX: usize = 64;

/// The URI of nobody in particular (RFC 3323, 4.1.1.3).
const ANONYMOUS: &str = "sip:anonymous@anonymous.invalid";

/// The same in an envelope.
const ANONYMOUS_CPIM: &[u8] = b"From: Anonymous <sip:anonymous@anonymous.invalid>";

impl Privacy {
    /// Nothing names the person.
    pub(super) const fn whole() -> Self {
        Self { id: true, user: true, session: false, critical: false, none: false }
    }

    /// What this request asks for. A level that we do not have is ignored, unless it is `critical`: then the request
    /// must fail (RFC 3323, 5). Only a session has media to hide.
    pub(super) fn of(request: &Request) -> Result<Self, Response> {
        let mut asked = Self::default();
        let mut unknown = Vec::new();
        for level in levels(&request.headers) {
            match level.as_str() {
                "none" => return Ok(Self { none: true, ..Self::default() }),
                "id" => asked.id = true,
                "user" => (asked.id, asked.user) = (true, true),
                "session" if request.method == Method::Invite => asked.session = true,
                // Nothing of these is passed on anyway.
                "header" => {}
                "critical" => asked.critical = true,
                _ => unknown.push(level),
            }
        }
        match asked.critical && !unknown.is_empty() {
            true => Err(failed(request, &unknown.join(", "))),
            false => Ok(asked),
        }
    }

    /// What the answer of somebody who was called asks for (RFC 3323, 4.3).
    pub(super) fn of_answer(response: &Response) -> Self {
        let mut asked = Self::default();
        for level in levels(&response.headers) {
            match level.as_str() {
                "none" => return Self::default(),
                "id" | "user" => asked.id = true,
                _ => {}
            }
        }
        asked
    }

    /// Whether others are not to learn who it is.
    pub(super) const fn hides(self) -> bool {
        self.id || self.user
    }

    /// Whether others are not to learn where the person's media is.
    pub(super) const fn hides_media(self) -> bool {
        self.session
    }

    /// Whether the request must fail where it cannot be hidden.
    pub(super) const fn is_critical(self) -> bool {
        self.critical
    }

    /// Whether it was said that nothing is to be hidden.
    pub(super) const fn is_none(self) -> bool {
        self.none
    }

    /// The Privacy header that goes along. What is done here is not asked for again (RFC 3323, 5); `none` stays, and
    /// inside the trust domain so does the wish that its edge has to fulfil (RFC 3325, 7).
    pub(super) const fn onward(self, inside: bool) -> Option<&'static str> {
        match (self.none, self.id && inside, self.critical) {
            (true, ..) => Some("none"),
            (false, true, true) => Some("id;critical"),
            (false, true, false) => Some("id"),
            (false, false, _) => None,
        }
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

/// A request that must fail, for we cannot hide what it wants hidden (RFC 3323, 5).
pub(super) fn failed(request: &Request, levels: &str) -> Response {
    let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~, ".contains(c);
    let named: String = levels.chars().filter(|c| token(*c)).take(NAMED_MAX).collect();
    let mut refused = Response::to(request, Status::SERVER_INTERNAL_ERROR);
    refused.reason = format!("Privacy Failure: {named} Not Supported").into();
    refused
}

/// The values of Privacy headers.
fn levels(headers: &Headers) -> impl Iterator<Item = String> {
    let values = headers.raw(&Name::Privacy).map(|value| String::from_utf8_lossy(value));
    let values: Vec<String> = values
        .flat_map(|text| {
            text.split(';').map(|level| level.trim().to_ascii_lowercase()).collect::<Vec<_>>()
        })
        .filter(|level| !level.is_empty())
        .collect();
    values.into_iter()
}

/// The URI of nobody in particular.
pub(super) fn anonymous() -> String {
    ANONYMOUS.to_owned()
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
        let request = Request::new(Method::Message, uri).with(Name::Privacy, privacy);
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
        let sent = |media: &str| Request::new(Method::Message, uri.clone()).with_body(media, cpim);
        let user = asked("user").unwrap();

        let hidden = user.body(&sent("message/cpim"));

        let hidden = std::str::from_utf8(&hidden).unwrap();
        assert!(hidden.starts_with("From: Anonymous <sip:anonymous@anonymous.invalid>\r\nTo: "));
        assert!(hidden.ends_with("From: this is my text\r\n") && !hidden.contains("alice"));
        assert_eq!(user.body(&sent("text/plain")), cpim);
        assert_eq!(asked("id").unwrap().body(&sent("message/cpim")), cpim);
    }

    #[test]
    fn priv_06_a_critical_level_that_nobody_has_is_500_and_named() {
        assert_eq!(asked("session; critical"), Err(500));
        assert_eq!(asked("session"), Ok(Privacy::default()));
        let hidden = asked("id; critical").unwrap();
        assert!(hidden.hides() && hidden.is_critical());
        let uri: sip::Uri = "sip:bob@example.net".parse().unwrap();
        let request = Request::new(Method::Invite, uri)
            .with(Name::Privacy, "history;critical;foo;id")
            .with(Name::Privacy, "bar\u{7}");

        let failed = Privacy::of(&request).unwrap_err();

        assert_eq!(failed.reason, "Privacy Failure: history, foo, bar Not Supported");
    }

    #[test]
    fn priv_06_none_means_that_nothing_is_hidden_whatever_else_is_said() {
        let none = asked("id;none;user").unwrap();

        assert!(none.is_none() && !none.hides());
        assert_eq!((none.onward(false), none.onward(true)), (Some("none"), Some("none")));
    }

    #[test]
    fn priv_02_what_is_done_is_not_asked_for_again_and_the_edge_hears_of_the_rest() {
        assert_eq!(asked("user;header").unwrap().onward(false), None);
        assert_eq!(asked("user;header").unwrap().onward(true), Some("id"));
        assert_eq!(asked("id;critical").unwrap().onward(true), Some("id;critical"));
    }
}
