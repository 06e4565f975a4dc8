//! MSRP URIs and the paths made of them (RFC 4975, section 6). Resolving a host to an address is the caller's.
//!
//! The session-id is what lets somebody into a session, so neither `Debug` nor `Display` ever shows it:
//! [`Uri::as_str`] is for the wire only.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

use bytes::Bytes;
// `core::net` holds addresses and no sockets, so naming it keeps this crate pure.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::token;

/// `msrp` or `msrps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain TCP, or TLS by another agreement.
    Msrp,
    /// TLS on every hop.
    Msrps,
}

/// Why a text is no MSRP URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUri {
    /// It does not start with `msrp://` or `msrps://`.
    #[error("the scheme is neither msrp nor msrps")]
    Scheme,
    /// The user part is empty, has a character no URI may have, or carries a password.
    #[error("the user part is malformed or carries a password")]
    User,
    /// No host, or a malformed one.
    #[error("the host is missing or malformed")]
    Host,
    /// No number of 1 to 65535, or none at all where the host is an address.
    #[error("the port is malformed, or missing after a numeric host")]
    Port,
    /// An empty session-id, or one with a character it may not have.
    #[error("the session-id is malformed")]
    Session,
    /// No `;transport`, or a malformed one.
    #[error("the transport is missing or malformed")]
    Transport,
    /// A malformed parameter behind the transport.
    #[error("a parameter is malformed")]
    Parameter,
    /// A path has more URIs than allowed.
    #[error("a path has too many URIs")]
    Count,
}

/// An MSRP URI that follows the grammar. `==` compares as RFC 4975, section 6.1 says, not octet by octet.
#[derive(Clone)]
pub struct Uri {
    text: Bytes,
    scheme: Scheme,
    host: (u32, u32),
    port: Option<u16>,
    /// `start == end` where there is none.
    session: (u32, u32),
    transport: (u32, u32),
}

impl Uri {
    /// Reads a URI that is the whole of `text`. Nothing is copied.
    pub fn parse(text: Bytes) -> Result<Self, BadUri> {
        Self::parse_in(&text, &text)
    }

    /// Reads the URI `whole`, which is a part of `block`.
    pub(crate) fn parse_in(block: &Bytes, whole: &[u8]) -> Result<Self, BadUri> {
        match plain(whole) {
            Some(parts) => Ok(Self { text: block.slice_ref(whole), ..parts }),
            None => Self::parse_any(block, whole),
        }
    }

    fn parse_any(block: &Bytes, whole: &[u8]) -> Result<Self, BadUri> {
        let (scheme, rest) = scheme(whole)?;
        let authority_at = whole.len() - rest.len();
        let end = memchr::memchr2(b'/', b';', rest).ok_or(BadUri::Transport)?;
        let (authority, rest) = rest.split_at_checked(end).ok_or(BadUri::Transport)?;
        let (host_at, host, port) = host_and_port(authority)?;

        let mut at = authority_at + authority.len();
        let (session, rest) = match rest.strip_prefix(b"/") {
            Some(rest) => {
                let end = memchr::memchr(b';', rest).ok_or(BadUri::Transport)?;
                let (id, rest) = rest.split_at_checked(end).ok_or(BadUri::Transport)?;
                if !token::is_session_id(id) {
                    return Err(BadUri::Session);
                }
                at += 1;
                (span(at, id), rest)
            }
            None => ((0, 0), rest),
        };
        at += (session.1 - session.0) as usize;

        // `rest` starts with the semicolon.
        let rest = rest.get(1..).unwrap_or_default();
        let end = memchr::memchr(b';', rest).unwrap_or(rest.len());
        let (transport, parameters) = rest.split_at_checked(end).ok_or(BadUri::Transport)?;
        if !token::is_alphanumeric(transport) {
            return Err(BadUri::Transport);
        }
        let transport_span = span(at + 1, transport);
        if !parameters.is_empty() && !parameters.split(|&c| c == b';').skip(1).all(is_parameter) {
            return Err(BadUri::Parameter);
        }
        let host = span(authority_at + host_at, host);
        let text = block.slice_ref(whole);
        Ok(Self { scheme, host, port, session, transport: transport_span, text })
    }

    fn part(&self, (start, end): (u32, u32)) -> &str {
        let part = self.text.get(start as usize..end as usize).unwrap_or_default();
        // Only ASCII passes `parse`.
        std::str::from_utf8(part).unwrap_or_default()
    }

    /// The whole URI, for the wire. It holds the session-id: keep it out of logs.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// The octets on the wire, shared.
    pub fn as_bytes(&self) -> &Bytes {
        &self.text
    }

    /// `msrp` or `msrps`.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host as written; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        self.part(self.host)
    }

    /// The port, where there is one.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The session-id, where there is one. It is a secret.
    pub fn session_id(&self) -> Option<&str> {
        (self.session.0 != self.session.1).then(|| self.part(self.session))
    }

    /// `tcp`, `ws` or a later one, as written.
    pub fn transport(&self) -> &str {
        self.part(self.transport)
    }

    /// RFC 4975, section 6.1, step 2: addresses as addresses, names without case and percent-encoding.
    fn same_host(&self, other: &Self) -> bool {
        let (a, b) = (self.host(), other.host());
        if a.eq_ignore_ascii_case(b) {
            return true;
        }
        match (address(a), address(b)) {
            (Some(a), Some(b)) => a == b,
            (None, None) if a.contains('%') || b.contains('%') => {
                unescape(a).eq_ignore_ascii_case(&unescape(b))
            }
            _ => false,
        }
    }

    /// A copy that shares nothing with the buffer it was read from, for keeping.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self { text: Bytes::copy_from_slice(&self.text), ..self.clone() }
    }

    /// The same URI in `own`, which has the same octets as the front of `block`, where this one lies.
    pub(crate) fn moved(&self, block: &[u8], own: &Bytes) -> Self {
        let at = self.text.as_ptr().addr() - block.as_ptr().addr();
        Self { text: own.slice(at..at + self.text.len()), ..self.clone() }
    }
}

fn span(start: usize, part: &[u8]) -> (u32, u32) {
    let narrow = |at| u32::try_from(at).unwrap_or(u32::MAX);
    (narrow(start), narrow(start + part.len()))
}

/// The parts, without the text, of what nearly every URI is: `scheme://host:port/session-id;transport`, in one go.
/// Whatever else it may be, [`Uri::parse_any`] knows.
fn plain(whole: &[u8]) -> Option<Uri> {
    let (scheme, authority) = match whole {
        [b'm', b's', b'r', b'p', b's', b':', b'/', b'/', rest @ ..] => (Scheme::Msrps, rest),
        [b'm', b's', b'r', b'p', b':', b'/', b'/', rest @ ..] => (Scheme::Msrp, rest),
        _ => return None,
    };
    let (host, behind) = authority.split_at_checked(token::authority_len(authority))?;
    let behind = behind.strip_prefix(b":")?;
    let (port, session) = behind.split_at_checked(behind.iter().position(|&c| c == b'/')?)?;
    let port = token::number(port).filter(|_| port.len() <= 5)?;
    let session = session.get(1..)?;
    let (session, behind) = session.split_at_checked(token::session_id_len(session))?;
    let transport = behind.strip_prefix(b";")?;
    let bad = host.is_empty() || session.is_empty() || !token::is_alphanumeric(transport);
    let at = |part: &[u8]| part.as_ptr().addr() - whole.as_ptr().addr();
    (!bad).then_some(Uri {
        text: Bytes::new(),
        scheme,
        host: span(at(host), host),
        port: Some(u16::try_from(port).ok().filter(|&port| port != 0)?),
        session: span(at(session), session),
        transport: span(at(transport), transport),
    })
}

fn scheme(text: &[u8]) -> Result<(Scheme, &[u8]), BadUri> {
    let secure = (Scheme::Msrps, b"msrps://".as_slice());
    for (scheme, prefix) in [secure, (Scheme::Msrp, b"msrp://")] {
        if let Some((start, rest)) = text.split_at_checked(prefix.len())
            && start.eq_ignore_ascii_case(prefix)
        {
            return Ok((scheme, rest));
        }
    }
    Err(BadUri::Scheme)
}

/// Where the host starts in the authority, the host, and the port.
fn host_and_port(authority: &[u8]) -> Result<(usize, &[u8], Option<u16>), BadUri> {
    let (user, rest) = match memchr::memrchr(b'@', authority) {
        Some(at) => (authority.get(..at), authority.get(at + 1..).unwrap_or_default()),
        None => (None, authority),
    };
    // RFC 4975, section 6: the user part never holds a password, so there is no colon in it.
    if user.is_some_and(|user| !token::is_authority(user)) {
        return Err(BadUri::User);
    }
    let host_end = if rest.first() == Some(&b'[') {
        memchr::memchr(b']', rest).ok_or(BadUri::Host)? + 1
    } else {
        memchr::memchr(b':', rest).unwrap_or(rest.len())
    };
    let (host, port) = rest.split_at_checked(host_end).ok_or(BadUri::Host)?;
    let numeric = numeric_host(host)?;
    let port = match port {
        [] if numeric => return Err(BadUri::Port),
        [] => None,
        [b':', digits @ ..] if digits.len() <= 5 => {
            let number = token::number(digits).ok_or(BadUri::Port)?;
            Some(u16::try_from(number).ok().filter(|&port| port != 0).ok_or(BadUri::Port)?)
        }
        _ => return Err(BadUri::Port),
    };
    Ok((authority.len() - rest.len(), host, port))
}

/// Whether the host is an address; an error where it is nothing.
fn numeric_host(host: &[u8]) -> Result<bool, BadUri> {
    if host.first() == Some(&b'[') {
        let text = std::str::from_utf8(host).map_err(|_| BadUri::Host)?;
        return address(text).map(|_| true).ok_or(BadUri::Host);
    }
    if !token::is_authority(host) {
        return Err(BadUri::Host);
    }
    let digits = host.last().is_some_and(u8::is_ascii_digit);
    Ok(digits && std::str::from_utf8(host).is_ok_and(|host| host.parse::<Ipv4Addr>().is_ok()))
}

fn address(host: &str) -> Option<IpAddr> {
    if let Some(inner) = host.strip_prefix('[') {
        return inner.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    host.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
}

/// Decodes percent-encoded octets; a broken escape stays as it is.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [c, tail @ ..] = rest {
        if let (b'%', [high, low, after @ ..]) = (c, tail)
            && let Some(high) = char::from(*high).to_digit(16)
            && let Some(low) = char::from(*low).to_digit(16)
        {
            out.push(u8::try_from(high * 16 + low).unwrap_or_default());
            rest = after;
        } else {
            out.push(*c);
            rest = tail;
        }
    }
    out
}

fn is_parameter(parameter: &[u8]) -> bool {
    match memchr::memchr(b'=', parameter) {
        // `=` is no token character, so the value is everything behind the first one.
        Some(at) => {
            token::is_token(parameter.get(..at).unwrap_or_default())
                && token::is_token(parameter.get(at + 1..).unwrap_or_default())
        }
        None => token::is_token(parameter),
    }
}

impl PartialEq for Uri {
    fn eq(&self, other: &Self) -> bool {
        // RFC 4975, section 6.1. User part and further parameters are not compared.
        self.scheme == other.scheme
            && self.port == other.port
            && self.session_id() == other.session_id()
            && self.transport().eq_ignore_ascii_case(other.transport())
            && self.same_host(other)
    }
}

impl Eq for Uri {}

impl Hash for Uri {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Equal URIs have equal session-ids; the host may be written in several ways, so it stays out.
        self.scheme.hash(state);
        self.port.hash(state);
        self.session_id().hash(state);
    }
}

impl FromStr for Uri {
    type Err = BadUri;

    fn from_str(text: &str) -> Result<Self, BadUri> {
        Self::parse(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl fmt::Debug for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.scheme == Scheme::Msrps { "msrps" } else { "msrp" };
        write!(f, "{scheme}://{}", self.host())?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        let session = if self.session_id().is_some() { "/…" } else { "" };
        write!(f, "{session};{}", self.transport())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn the_parts_of_a_uri_are_found() {
        let whole = uri("msrps://alice@relay.example.net:2855/s+=/-._~1;tcp;x=y;flag");

        assert_eq!(whole.scheme(), Scheme::Msrps);
        assert_eq!(whole.host(), "relay.example.net");
        assert_eq!(whole.port(), Some(2855));
        assert_eq!(whole.session_id(), Some("s+=/-._~1"));
        assert_eq!(whole.transport(), "tcp");
        assert_eq!(uri("msrp://[2001:db8::1]:9/s;ws").host(), "[2001:db8::1]");
        assert_eq!(uri("msrps://alice@relay.example.net;tcp").session_id(), None);
    }

    #[test]
    fn the_short_way_and_the_long_way_find_the_same() {
        let long = |text: &str| {
            let block = Bytes::copy_from_slice(text.as_bytes());
            Uri::parse_any(&block, &block)
        };
        let texts = [
            "msrps://relay.example.net:2855/s1;tcp",
            "msrp://192.0.2.1:65535/a/b;ws",
            "MSRP://h:1/s;tcp",
            "msrp://h:0/s;tcp",
            "msrp://h:65536/s;tcp",
            "msrp://h:000001/s;tcp",
            "msrp://h:/s;tcp",
            "msrp://:1/s;tcp",
            "msrp://h/s;tcp",
            "msrp://h:1/;tcp",
            "msrp://h:1/s;",
            "msrp://h:1/s;tcp;x",
            "msrp://h:1/s;t-p",
            "msrp://h:1;tcp",
            "msrp://u@h:1/s;tcp",
            "msrp://[::1]:1/s;tcp",
            "msrp://h^:1/s;tcp",
            "msrp://h:1/s^;tcp",
            "",
        ];
        for text in texts {
            let short = text.parse::<Uri>();
            let parts = |uri: &Uri| (uri.scheme, uri.host, uri.port, uri.session, uri.transport);

            assert_eq!(short.as_ref().map(parts), long(text).as_ref().map(parts), "{text}");
        }
    }

    #[test]
    fn a_session_id_never_shows_in_debug_output() {
        let shown = format!("{:?}", uri("msrps://alice@h.example:1/topsecret;tcp"));

        assert_eq!(shown, "msrps://h.example:1/…;tcp");
    }

    #[test]
    fn a_kept_copy_is_equal_and_shares_nothing() {
        let buffer = Bytes::from_static(b"msrp://h:1/s;tcp");
        let read = Uri::parse(buffer.clone()).unwrap();

        let kept = read.detached();

        assert_eq!(kept, read);
        assert_ne!(kept.as_bytes().as_ptr(), buffer.as_ptr());
    }
}
