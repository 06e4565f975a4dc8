//! What the generator writes and what it hears, as text: one user agent that is as cheap as can be. It reads only the
//! fields that it answers with, and checks no more of a message than who it is from the form it has. Pure.
use std::io;

/// The domain, which is also the name in the server's certificate.
pub const DOMAIN: &str = "localhost";

/// What a request is about; its Call-ID says so, and which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum About {
    /// A registration of this phone.
    Registration(u64),
    /// A call.
    Call(u64),
    /// An immediate message.
    Message(u64),
}

impl About {
    fn call_id(self) -> String {
        match self {
            Self::Registration(n) => format!("r{n}"),
            Self::Call(n) => format!("c{n}"),
            Self::Message(n) => format!("m{n}"),
        }
    }

    fn read(call_id: &str) -> Option<Self> {
        let (kind, number) = call_id.split_at_checked(1)?;
        let number = number.parse().ok()?;
        match kind {
            "r" => Some(Self::Registration(number)),
            "c" => Some(Self::Call(number)),
            "m" => Some(Self::Message(number)),
            _ => None,
        }
    }
}

/// The other side of a call, as its 200 said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its To, tag and all.
    pub to: String,
    /// Its Contact: where further requests go.
    pub target: String,
}

/// A phone: a user with one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller(pub usize);

impl Caller {
    /// The name of its user.
    #[must_use]
    pub fn user(self) -> String {
        format!("u{}", self.0)
    }

    fn head(self, about: About, (method, target, cseq): (&str, &str, u32), to: &str) -> String {
        let (phone, call_id) = (self.0, about.call_id());
        format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/TLS ua{phone}.invalid;branch=z9hG4bK{call_id}.{cseq}{method}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:u{phone}@{DOMAIN}>;tag=f{call_id}\r\nTo: {to}\r\n\
             Call-ID: {call_id}\r\nCSeq: {cseq} {method}\r\n"
        )
    }

    fn contact(self) -> String {
        let phone = self.0;
        format!(
            "<sip:u{phone}@ua{phone}.invalid;transport=tls>;\
             +sip.instance=\"<urn:uuid:00000000-0000-4000-8000-{phone:012}>\""
        )
    }

    /// REGISTER, with the proof once it was asked for.
    #[must_use]
    pub fn register(self, proof: Option<&str>) -> String {
        let n = u64::try_from(self.0).unwrap_or(u64::MAX);
        let to = format!("<sip:u{}@{DOMAIN}>", self.0);
        let (uri, cseq) = (format!("sip:{DOMAIN}"), if proof.is_some() { 2 } else { 1 });
        let head = self.head(About::Registration(n), ("REGISTER", &uri, cseq), &to);
        let proof = proof.map(|proof| format!("Authorization: {proof}\r\n")).unwrap_or_default();
        let contact = self.contact();
        format!(
            "{head}{proof}Supported: path, outbound\r\n\
             Contact: {contact};reg-id=1;expires=3600\r\nContent-Length: 0\r\n\r\n"
        )
    }

    /// INVITE to a conference, with an offer.
    #[must_use]
    pub fn invite(self, call: u64, room: usize) -> String {
        let uri = format!("sip:load{room}@{DOMAIN}");
        let head = self.head(About::Call(call), ("INVITE", &uri, 1), &format!("<{uri}>"));
        let (contact, phone) = (self.contact(), self.0);
        let sdp = format!(
            "v=0\r\no=- {call} 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=message 9 TCP/TLS/MSRP *\r\na=path:msrps://127.0.0.1:9/p{phone}c{call};tcp\r\n\
             a=setup:active\r\na=accept-types:message/cpim\r\na=accept-wrapped-types:*\r\n"
        );
        format!(
            "{head}Contact: {contact}\r\nSupported: timer\r\nAllow: INVITE, ACK, BYE, CANCEL, MESSAGE\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        )
    }

    /// ACK to a 200.
    #[must_use]
    pub fn ack(self, call: u64, remote: &Remote) -> String {
        let head = self.head(About::Call(call), ("ACK", &remote.target, 1), &remote.to);
        head + "Content-Length: 0\r\n\r\n"
    }

    /// BYE.
    #[must_use]
    pub fn bye(self, call: u64, remote: &Remote) -> String {
        let head = self.head(About::Call(call), ("BYE", &remote.target, 2), &remote.to);
        head + "Content-Length: 0\r\n\r\n"
    }

    /// An immediate message to another phone.
    #[must_use]
    pub fn message(self, number: u64, to: Self) -> String {
        let uri = format!("sip:u{}@{DOMAIN}", to.0);
        let head = self.head(About::Message(number), ("MESSAGE", &uri, 1), &format!("<{uri}>"));
        let text = "An immediate message, as long as people write them on their way to work.";
        format!("{head}Content-Type: text/plain\r\nContent-Length: {}\r\n\r\n{text}", text.len())
    }
}

/// A message that came in.
#[derive(Debug)]
pub struct Heard<'a> {
    head: &'a str,
    /// Octets it has on the wire, with what is skipped before it.
    pub octets: usize,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An answer.
    Response {
        /// To what.
        about: About,
        /// Of which method.
        method: Method,
        /// The status.
        code: u16,
    },
    /// A request of this method, to be answered.
    Request(Method),
}

/// The methods the generator knows apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// INVITE.
    Invite,
    /// BYE.
    Bye,
    /// MESSAGE.
    Message,
    /// Any other.
    Other,
}

impl Method {
    fn read(name: &str) -> Self {
        match name {
            "INVITE" => Self::Invite,
            "BYE" => Self::Bye,
            "MESSAGE" => Self::Message,
            _ => Self::Other,
        }
    }
}

impl<'a> Heard<'a> {
    /// Cuts the first message off, if it is there.
    ///
    /// # Errors
    /// It is none.
    pub fn cut(octets: &'a [u8]) -> io::Result<Option<Self>> {
        // Answers to keep-alives (RFC 5626, 4.4.1).
        let skipped = octets.iter().take_while(|octet| matches!(octet, b'\r' | b'\n')).count();
        let rest = octets.get(skipped..).unwrap_or_default();
        let Some(end) = memchr::memmem::find(rest, b"\r\n\r\n") else { return Ok(None) };
        let head = rest.get(..end + 2).unwrap_or_default();
        let head = std::str::from_utf8(head).map_err(io::Error::other)?;
        let mut heard = Self { head, octets: skipped + end + 4 };
        let body: usize = match heard.field("Content-Length") {
            Some(length) => length.parse().map_err(io::Error::other)?,
            None => 0,
        };
        heard.octets += body;
        Ok((heard.octets <= octets.len()).then_some(heard))
    }

    /// The first field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'a str> {
        self.fields(name).next()
    }

    /// All fields of this name.
    pub fn fields(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.head.lines().skip(1).filter_map(move |line| {
            let (field, value) = line.split_once(':')?;
            field.trim_end().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// What it is; none if it is not for this generator.
    #[must_use]
    pub fn item(&self) -> Option<Item> {
        let mut words = self.head.lines().next()?.split(' ');
        let first = words.next()?;
        if first != "SIP/2.0" {
            return Some(Item::Request(Method::read(first)));
        }
        let code = words.next()?.parse().ok()?;
        let about = About::read(self.field("Call-ID")?)?;
        let (_, method) = self.field("CSeq")?.split_once(' ')?;
        Some(Item::Response { about, method: Method::read(method), code })
    }

    /// The other side of a call, of its 200.
    #[must_use]
    pub fn remote(&self) -> Option<Remote> {
        let contact = self.field("Contact")?;
        let (_, uri) = contact.split_once('<')?;
        let (target, _) = uri.split_once('>')?;
        Some(Remote { to: self.field("To")?.to_owned(), target: target.to_owned() })
    }

    /// A 200 to it.
    #[must_use]
    pub fn ok(&self) -> String {
        let mut text = String::from("SIP/2.0 200 OK\r\n");
        for via in self.fields("Via") {
            text.extend(["Via: ", via, "\r\n"]);
        }
        for name in ["From", "To", "Call-ID", "CSeq"] {
            let tag = if name == "To" && !self.field(name).unwrap_or_default().contains(";tag=") {
                ";tag=ua"
            } else {
                ""
            };
            text.extend([name, ": ", self.field(name).unwrap_or_default(), tag, "\r\n"]);
        }
        text + "Content-Length: 0\r\n\r\n"
    }
}

#[cfg(test)]
mod tests {
    use sip::{Decoder, Limits, Message, Side};

    use super::*;

    fn reads(text: &str) -> Message {
        let mut octets = bytes::BytesMut::from(text);
        match Decoder::new(Side::Accepted, Limits::default()).decode(&mut octets) {
            Some(sip::Item::Message(message)) if octets.is_empty() => message,
            other => panic!("{other:?} of {text}"),
        }
    }

    #[test]
    fn what_is_written_is_sip() {
        let (caller, remote) =
            (Caller(7), Remote { to: "<sip:a@b>;tag=1".into(), target: "sip:x@y".into() });
        let texts = [
            caller.register(None),
            caller.register(Some("Digest username=\"u7\"")),
            caller.invite(3, 2),
            caller.ack(3, &remote),
            caller.bye(3, &remote),
            caller.message(1, Caller(8)),
        ];

        for text in texts {
            let Message::Request(request) = reads(&text) else { panic!("{text}") };
            assert_eq!(
                request.headers.from().unwrap().uri.aor().unwrap().as_str(),
                "sip:u7@localhost"
            );
        }
    }

    #[test]
    fn an_answer_says_what_it_is_about() {
        let invite = Caller(7).invite(3, 2);
        let Message::Request(request) = reads(&invite) else { panic!() };
        let response = sip::Response::to(&request, sip::Status::OK)
            .with_to_tag("t")
            .with(sip::Name::Contact, "<sip:load2@localhost:5061;transport=tls>;isfocus")
            .with_body("application/sdp", "v=0\r\n");
        let mut octets = b"\r\n".to_vec();
        octets.extend_from_slice(&response.to_bytes());
        let length = octets.len();
        octets.extend_from_slice(b"SIP/2.0 ");

        let heard = Heard::cut(&octets).unwrap().unwrap();

        assert_eq!(heard.octets, length);
        let wanted = Item::Response { about: About::Call(3), method: Method::Invite, code: 200 };
        assert_eq!(heard.item(), Some(wanted));
        let remote = heard.remote().unwrap();
        assert_eq!(remote.target, "sip:load2@localhost:5061;transport=tls");
        assert_eq!(remote.to, "<sip:load2@localhost>;tag=t");
        assert!(Heard::cut(octets.get(..length - 1).unwrap()).unwrap().is_none());
    }

    #[test]
    fn a_request_is_answered_with_its_own_fields() {
        let message = Caller(7).message(1, Caller(8));

        let heard = Heard::cut(message.as_bytes()).unwrap().unwrap();

        assert_eq!(heard.item(), Some(Item::Request(Method::Message)));
        let Message::Response(response) = reads(&heard.ok()) else { panic!() };
        assert_eq!(response.headers.to().unwrap().tag(), Some("ua"));
        assert_eq!(response.headers.raw(&sip::Name::CallId).next().unwrap(), &b"m1"[..]);
    }
}
