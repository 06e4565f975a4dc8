//! URIs: `sip:` and `sips:` taken apart and compared as RFC 3261, 19.1.4 says; any other scheme kept as it came.
//! Nothing is resolved here.
use core::net::Ipv6Addr;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use ids::{Aor, BadId};

use crate::header::Params;

/// The text is not a URI that SIP can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUri {
    /// No scheme, or a character no URI has.
    #[error("not a URI (RFC 3986)")]
    Malformed,
    /// A `sip:` or `sips:` URI that breaks its own grammar.
    #[error("not a SIP URI (RFC 3261, 19.1.1)")]
    Sip,
}

/// Where a request goes, or whom a header field means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Uri {
    /// `sip:` or `sips:`.
    Sip(SipUri),
    /// Any other scheme (`tel:`, `urn:`, `http:`, ..), not taken apart.
    Other(OtherUri),
}

/// A URI of a scheme this crate does not take apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherUri(Box<str>);

/// A `sip:` or `sips:` URI. `==` compares the parts as written; [`SipUri::is_equivalent`] compares what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SipUri {
    secure: bool,
    user: Option<Box<str>>,
    password: Option<Box<str>>,
    host: Box<str>,
    port: Option<u16>,
    params: Params,
    headers: UriHeaders,
}

/// Names and values behind the `?`.
type UriHeaders = Box<[(Box<str>, Box<str>)]>;

impl Uri {
    /// The SIP URI, if it is one.
    pub fn sip(&self) -> Option<&SipUri> {
        match self {
            Self::Sip(uri) => Some(uri),
            Self::Other(_) => None,
        }
    }

    /// The scheme, as written for other schemes.
    pub fn scheme(&self) -> &str {
        match self {
            Self::Sip(uri) => uri.scheme(),
            Self::Other(OtherUri(text)) => text.split(':').next().unwrap_or_default(),
        }
    }

    /// Whether both mean the same: RFC 3261, 19.1.4 for SIP URIs, letter by letter without case for others.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sip(a), Self::Sip(b)) => a.is_equivalent(b),
            (Self::Other(a), Self::Other(b)) => a.0.eq_ignore_ascii_case(&b.0),
            _ => false,
        }
    }

    /// The person this URI names, if it is a SIP URI with a user.
    pub fn aor(&self) -> Option<Aor> {
        self.sip()?.aor().ok()
    }
}

impl From<SipUri> for Uri {
    fn from(uri: SipUri) -> Self {
        Self::Sip(uri)
    }
}

impl FromStr for Uri {
    type Err = BadUri;

    fn from_str(text: &str) -> Result<Self, BadUri> {
        let (scheme, rest) = text.split_once(':').ok_or(BadUri::Malformed)?;
        let secure = scheme.eq_ignore_ascii_case("sips");
        if secure || scheme.eq_ignore_ascii_case("sip") {
            return SipUri::parse_rest(secure, rest).map(Self::Sip);
        }
        let starts = scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        if starts && scheme.bytes().all(inner) && !rest.is_empty() && rest.bytes().all(is_uri_byte)
        {
            return Ok(Self::Other(OtherUri(text.into())));
        }
        Err(BadUri::Malformed)
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sip(uri) => uri.fmt(f),
            Self::Other(OtherUri(text)) => f.write_str(text),
        }
    }
}

impl SipUri {
    /// `sip:host`, or `sip:user@host`. The user part is escaped where it must be.
    pub fn new(user: Option<&str>, host: &str) -> Result<Self, BadUri> {
        let user = user.map(|user| escape_user(user).into());
        if user.as_deref() == Some("") || !is_host(host) {
            return Err(BadUri::Sip);
        }
        let (password, port) = (None, None);
        let (params, headers) = (Params::default(), Box::default());
        Ok(Self { secure: false, user, password, host: host.into(), port, params, headers })
    }

    /// The same URI with this port.
    pub fn with_port(mut self, port: Option<u16>) -> Self {
        self.port = port;
        self
    }

    /// The same URI as `sips:`, or as `sip:`.
    pub fn with_secure(mut self, secure: bool) -> Self {
        self.secure = secure;
        self
    }

    /// The same URI with this parameter; what a URI cannot carry is escaped.
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> Self {
        let value = value.map(|value| escape(value, is_param_byte));
        self.params.remove(name);
        self.params.push_raw(&escape(name, is_param_byte), value.as_deref());
        self
    }

    /// Scheme, user, host and port only.
    pub fn bare(&self) -> Self {
        let (params, headers) = (Params::default(), Box::default());
        Self { params, headers, ..self.clone() }
    }

    /// `sip` or `sips`.
    pub fn scheme(&self) -> &'static str {
        if self.secure { "sips" } else { "sip" }
    }

    /// Whether the scheme is `sips`.
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The user part, escapes undone.
    pub fn user(&self) -> Option<Cow<'_, str>> {
        self.user.as_deref().map(unescape)
    }

    /// The host as written; IPv6 addresses have their brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, if one is written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The parameters, escaped as written.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The value of a parameter, escapes undone; the empty text if it has no value.
    pub fn param(&self, name: &str) -> Option<Cow<'_, str>> {
        self.params.find(name).map(|param| unescape(param.value().unwrap_or_default()))
    }

    /// The header fields (`?name=value`), escaped as written.
    pub fn headers(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The person this URI names: user and host, nothing else.
    pub fn aor(&self) -> Result<Aor, BadId> {
        let user = normal(self.user.as_deref().unwrap_or_default());
        format!("sip:{user}@{}", self.host).parse()
    }

    /// Whether both mean the same (RFC 3261, 19.1.4). This is not transitive: parameters in only one URI are mostly
    /// ignored.
    pub fn is_equivalent(&self, other: &Self) -> bool {
        self.secure == other.secure
            && same_case(self.user.as_deref(), other.user.as_deref())
            && same_case(self.password.as_deref(), other.password.as_deref())
            && same_host(&self.host, &other.host)
            && self.port == other.port
            && self.same_params(other)
            && self.same_headers(other)
    }

    fn same_params(&self, other: &Self) -> bool {
        // These never match a URI that lacks them; the examples of 19.1.4 add transport.
        const ALWAYS: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];
        let both = self.params.iter().all(|mine| match other.params.find(mine.name()) {
            Some(theirs) => same_text(mine.value(), theirs.value()),
            None => true,
        });
        both && ALWAYS.iter().all(|name| self.params.has(name) == other.params.has(name))
    }

    fn same_headers(&self, other: &Self) -> bool {
        let has = |headers: &[(Box<str>, Box<str>)], name: &str, value: &str| {
            headers
                .iter()
                .any(|(n, v)| same_text(Some(n), Some(name)) && normal(v) == normal(value))
        };
        self.headers.len() == other.headers.len()
            && self.headers.iter().all(|(n, v)| has(&other.headers, n, v))
            && other.headers.iter().all(|(n, v)| has(&self.headers, n, v))
    }

    fn parse_rest(secure: bool, rest: &str) -> Result<Self, BadUri> {
        if !rest.bytes().all(is_uri_byte) || !escapes_are_whole(rest) {
            return Err(BadUri::Sip);
        }
        let (userinfo, address) = match rest.split_once('@') {
            Some((userinfo, address)) => (Some(userinfo), address),
            None => (None, rest),
        };
        let (user, password) = match userinfo.map(|info| info.split_once(':').ok_or(info)) {
            None => (None, None),
            Some(Ok((user, password))) => (Some(user), Some(password)),
            Some(Err(user)) => (Some(user), None),
        };
        if user == Some("") || address.contains('@') {
            return Err(BadUri::Sip);
        }
        let (address, headers) = match address.split_once('?') {
            Some((address, headers)) => (address, parse_headers(headers)?),
            None => (address, Box::default()),
        };
        let (hostport, params) = match address.split_once(';') {
            Some((hostport, params)) => (hostport, parse_params(params)?),
            None => (address, Params::default()),
        };
        let (host, port) = parse_hostport(hostport).ok_or(BadUri::Sip)?;
        let (user, password) = (user.map(Into::into), password.map(Into::into));
        Ok(Self { secure, user, password, host: host.into(), port, params, headers })
    }
}

impl From<&Aor> for SipUri {
    fn from(aor: &Aor) -> Self {
        let (password, port) = (None, None);
        let (params, headers) = (Params::default(), Box::default());
        let (user, host) = (Some(aor.user().into()), aor.host().into());
        Self { secure: false, user, password, host, port, params, headers }
    }
}

impl FromStr for SipUri {
    type Err = BadUri;

    fn from_str(text: &str) -> Result<Self, BadUri> {
        match text.parse()? {
            Uri::Sip(uri) => Ok(uri),
            Uri::Other(_) => Err(BadUri::Sip),
        }
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.scheme())?;
        if let Some(user) = &self.user {
            f.write_str(user)?;
            if let Some(password) = &self.password {
                write!(f, ":{password}")?;
            }
            f.write_str("@")?;
        }
        f.write_str(&self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)?;
        for (at, (name, value)) in self.headers.iter().enumerate() {
            write!(f, "{}{name}={value}", if at == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

/// Takes `host[:port]` apart.
pub(crate) fn parse_hostport(text: &str) -> Option<(&str, Option<u16>)> {
    let host_end = match text.starts_with('[') {
        true => text.find(']')? + 1,
        false => text.find(':').unwrap_or(text.len()),
    };
    let (host, port) = text.split_at(host_end);
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok()?)
        }
        None if port.is_empty() => None,
        _ => return None,
    };
    is_host(host).then_some((host, port))
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok();
    }
    // The underscore is no host name character, but real networks have it.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !host.is_empty() && host.bytes().all(plain)
}

fn parse_params(text: &str) -> Result<Params, BadUri> {
    let mut params = Params::default();
    for param in text.split(';') {
        let (name, value) = match param.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (param, None),
        };
        if name.is_empty() || value == Some("") {
            return Err(BadUri::Sip);
        }
        params.push_raw(name, value);
    }
    Ok(params)
}

fn parse_headers(text: &str) -> Result<UriHeaders, BadUri> {
    let pair = |header: &str| match header.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err(BadUri::Sip),
    };
    text.split('&').map(pair).collect()
}

fn is_uri_byte(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'<' | b'>' | b'"' | b'\\' | b'^' | b'`' | b'{' | b'}' | b'|')
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')')
}

fn is_param_byte(byte: u8) -> bool {
    is_unreserved(byte) || matches!(byte, b'[' | b']' | b'/' | b':' | b'&' | b'+' | b'$')
}

fn escape_user(user: &str) -> String {
    let plain = |byte| {
        is_unreserved(byte) || matches!(byte, b'&' | b'=' | b'+' | b'$' | b',' | b';' | b'?' | b'/')
    };
    escape(user, plain)
}

fn escape(text: &str, plain: impl Fn(u8) -> bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// The byte that `%HH` at the start of `text` stands for.
fn escaped_byte(text: &[u8]) -> Option<u8> {
    let &[b'%', high, low, ..] = text else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? * 16 + digit(low)?)
}

fn escapes_are_whole(text: &str) -> bool {
    let bytes = text.as_bytes();
    memchr::memchr_iter(b'%', bytes).all(|at| bytes.get(at..).and_then(escaped_byte).is_some())
}

/// Undoes the escapes of the bytes that `chosen` agrees to.
fn unescape_if(text: &str, chosen: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        match escaped_byte(rest) {
            Some(byte) if chosen(byte) => {
                plain.push(byte);
                rest = rest.get(3..).unwrap_or_default();
            }
            _ => {
                plain.push(first);
                rest = after;
            }
        }
    }
    plain
}

fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(String::from_utf8_lossy(&unescape_if(text, |_| true)).into_owned())
}

/// One spelling for texts that mean the same: an escape that was not needed is undone, a needed one is in upper case.
fn normal(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut text = unescape_if(text, is_unreserved);
    let marks: Vec<usize> = memchr::memchr_iter(b'%', &text).collect();
    for at in marks {
        if let Some(escape) = text.get_mut(at..at + 3) {
            escape.make_ascii_uppercase();
        }
    }
    Cow::Owned(String::from_utf8_lossy(&text).into_owned())
}

fn same_case(a: Option<&str>, b: Option<&str>) -> bool {
    a.map(normal) == b.map(normal)
}

fn same_text(a: Option<&str>, b: Option<&str>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => normal(a).eq_ignore_ascii_case(&normal(b)),
        (None, None) => true,
        _ => false,
    }
}

fn same_host(a: &str, b: &str) -> bool {
    let address = |host: &str| -> Option<Ipv6Addr> {
        host.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
    };
    match (address(a), address(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a.eq_ignore_ascii_case(b),
    }
}
