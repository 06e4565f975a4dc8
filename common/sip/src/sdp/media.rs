//! One MSRP media line with its attributes, typed.
use std::fmt;
use std::str::FromStr;

use sdp_types::{Attribute, Connection, Media, Session};

use super::file::FileMedia;

/// `TCP/MSRP` or `TCP/TLS/MSRP`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proto {
    /// Without TLS.
    TcpMsrp,
    /// With TLS.
    TcpTlsMsrp,
}

/// Who opens the connection (RFC 4145, RFC 6135). `holdconn` is never sent, and ignored when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// I will.
    Active,
    /// You will.
    Passive,
    /// You may choose.
    ActPass,
}

/// Which way messages go, seen from whose description it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// From me.
    SendOnly,
    /// To me.
    RecvOnly,
    /// Neither.
    Inactive,
}

/// `a=fingerprint`: the hash of a certificate (RFC 8122, 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The hash function in lower case, such as `sha-256`.
    pub hash: String,
    /// The hash.
    pub bytes: Vec<u8>,
}

/// The text is no fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a fingerprint (RFC 8122, 5)")]
pub struct BadFingerprint;

/// What one side says about its end of an MSRP session.
#[derive(Clone, PartialEq, Eq)]
pub struct MsrpMedia {
    /// The address of the `c=` line.
    pub address: String,
    /// With or without TLS.
    pub proto: Proto,
    /// The port of the media line.
    pub port: u16,
    /// `a=path`: the URIs to visit, the endpoint's own last.
    pub path: Vec<String>,
    /// `a=setup`.
    pub setup: Option<Setup>,
    /// `a=accept-types`, the preferred one first.
    pub accept_types: Vec<String>,
    /// `a=accept-wrapped-types`: what may be inside of message/cpim.
    pub accept_wrapped_types: Vec<String>,
    /// `a=chatroom` (RFC 7701, 8), such as `nickname`, `private-messages`; `None` without the attribute.
    pub chatroom: Option<Vec<String>>,
    /// `a=max-size`: bytes of a whole message; a hint that senders obey.
    pub max_size: Option<u64>,
    /// `a=fingerprint`, all of them.
    pub fingerprints: Vec<Fingerprint>,
    /// `a=sendrecv` and its like.
    pub direction: Direction,
    /// `a=msrp-cema` (RFC 6714).
    pub cema: bool,
    /// The file that the line is for (RFC 5547).
    pub file: Option<Box<FileMedia>>,
}

impl fmt::Debug for MsrpMedia {
    /// Leaves out the path: who knows it can take the session's place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, port, proto, setup, direction, .. } = self;
        write!(f, "MsrpMedia({} {address}:{port} {setup:?} {direction:?})", proto.as_str())
    }
}

impl Proto {
    /// As it stands in the media line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TcpMsrp => "TCP/MSRP",
            Self::TcpTlsMsrp => "TCP/TLS/MSRP",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::TcpMsrp, Self::TcpTlsMsrp]
            .into_iter()
            .find(|p| p.as_str().eq_ignore_ascii_case(text))
    }
}

impl Setup {
    /// As it stands in the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Passive => "passive",
            Self::ActPass => "actpass",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Active, Self::Passive, Self::ActPass].into_iter().find(|s| s.as_str() == text)
    }
}

impl Direction {
    /// The name of the attribute.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// What the other side says if it agrees (RFC 3264, 6.1).
    pub fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            both => both,
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive]
            .into_iter()
            .find(|d| d.as_str() == name)
    }
}

impl Fingerprint {
    /// The fingerprint of a certificate whose SHA-256 hash this is.
    pub fn sha256(hash: [u8; 32]) -> Self {
        Self { hash: "sha-256".to_owned(), bytes: hash.to_vec() }
    }
}

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Self, BadFingerprint> {
        let (hash, hex) = text.trim().split_once(' ').ok_or(BadFingerprint)?;
        let byte = |pair: &str| match pair.len() {
            2 if !pair.starts_with('+') => u8::from_str_radix(pair, 16).map_err(|_| BadFingerprint),
            _ => Err(BadFingerprint),
        };
        let bytes = hex.trim().split(':').map(byte).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { hash: hash.to_ascii_lowercase(), bytes })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.hash)?;
        for (at, byte) in self.bytes.iter().enumerate() {
            write!(f, "{}{byte:02X}", if at == 0 { ' ' } else { ':' })?;
        }
        Ok(())
    }
}

impl MsrpMedia {
    /// Media with this path and nothing said about the rest: TLS if the path says so, no types.
    pub fn new(address: &str, port: u16, path: Vec<String>) -> Self {
        let secure = path.last().is_some_and(|uri| uri.to_ascii_lowercase().starts_with("msrps:"));
        Self {
            address: address.to_owned(),
            proto: if secure { Proto::TcpTlsMsrp } else { Proto::TcpMsrp },
            port,
            path,
            setup: None,
            accept_types: Vec::new(),
            accept_wrapped_types: Vec::new(),
            chatroom: None,
            max_size: None,
            fingerprints: Vec::new(),
            direction: Direction::SendRecv,
            cema: false,
            file: None,
        }
    }

    /// Whether messages of this type may be sent to this side, in any case and counting wildcards.
    pub fn accepts(&self, media_type: &str) -> bool {
        includes(&self.accept_types, media_type)
    }

    /// Whether this type may be inside of message/cpim.
    pub fn accepts_wrapped(&self, media_type: &str) -> bool {
        self.accepts("message/cpim")
            && (includes(&self.accept_wrapped_types, media_type) || self.accepts(media_type))
    }

    /// Whether the chat room has this ability, such as `private-messages`.
    pub fn chatroom_has(&self, ability: &str) -> bool {
        self.chatroom.iter().flatten().any(|known| known.eq_ignore_ascii_case(ability))
    }

    pub(super) fn read(session: &Session, media: &Media, proto: Proto) -> Self {
        let words = |name| {
            let value = media.get_first_attribute_value(name).flatten().unwrap_or_default();
            value.split_ascii_whitespace().map(str::to_owned).collect::<Vec<_>>()
        };
        // RFC 8866, 6: what stands before the first media line holds for every line that says nothing itself.
        let inherited = || media.attributes.iter().chain(&session.attributes);
        let direction = inherited().find_map(|attribute| Direction::parse(&attribute.attribute));
        let setup = inherited().filter(|attribute| attribute.attribute == "setup");
        let own = media.attributes.iter().any(|attribute| attribute.attribute == "fingerprint");
        let fingerprints = if own { &media.attributes } else { &session.attributes };
        let fingerprints = fingerprints.iter().filter(|a| a.attribute == "fingerprint");
        let connection = media.connections.first().or(session.connection.as_ref());
        Self {
            address: connection.map(|c| c.connection_address.clone()).unwrap_or_default(),
            proto,
            port: media.port,
            path: words("path"),
            setup: setup.filter_map(|a| a.value.as_deref()).find_map(Setup::parse),
            accept_types: words("accept-types"),
            accept_wrapped_types: words("accept-wrapped-types"),
            chatroom: media.has_attribute("chatroom").then(|| words("chatroom")),
            max_size: words("max-size").first().and_then(|size| size.parse().ok()),
            fingerprints: fingerprints
                .filter_map(|attribute| attribute.value.as_deref()?.parse().ok())
                .collect(),
            direction: direction.unwrap_or_default(),
            cema: media.has_attribute("msrp-cema"),
            file: None,
        }
    }

    pub(super) fn write(&self) -> Media {
        let mut attributes = vec![with_value("path", &self.path.join(" "))];
        attributes.extend(self.setup.map(|setup| with_value("setup", setup.as_str())));
        attributes.extend(self.cema.then(|| Attribute::new("msrp-cema")));
        attributes.push(with_value("accept-types", &self.accept_types.join(" ")));
        if !self.accept_wrapped_types.is_empty() {
            let types = self.accept_wrapped_types.join(" ");
            attributes.push(with_value("accept-wrapped-types", &types));
        }
        attributes.extend(self.chatroom.as_ref().map(|abilities| match abilities.is_empty() {
            true => Attribute::new("chatroom"),
            false => with_value("chatroom", &abilities.join(" ")),
        }));
        attributes.extend(self.max_size.map(|size| with_value("max-size", &size.to_string())));
        let fingerprints = self.fingerprints.iter();
        attributes.extend(fingerprints.map(|print| with_value("fingerprint", &print.to_string())));
        attributes.push(Attribute::new(self.direction.as_str()));
        if let Some(file) = &self.file {
            file.write(&mut attributes);
        }
        Media {
            media: "message".to_owned(),
            port: self.port,
            num_ports: None,
            proto: self.proto.as_str().to_owned(),
            fmt: "*".to_owned(),
            media_title: None,
            connections: vec![connection(&self.address)],
            bandwidths: Vec::new(),
            key: None,
            attributes,
        }
    }
}

fn with_value(name: &str, value: &str) -> Attribute {
    Attribute::with_value(name, value)
}

/// `c=IN IP4 ..`, or IP6 for an address with colons; an address with brackets loses them (RFC 8866, 5.7).
pub(super) fn connection(address: &str) -> Connection {
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let kind = if address.contains(':') { "IP6" } else { "IP4" };
    Connection::new(sdp_types::NetType::In, sdp_types::AddrType::new(kind), address)
}

/// Whether a list such as `message/cpim text/*` includes `media_type`; parameters do not matter (RFC 4975, 8.6).
fn includes(list: &[String], media_type: &str) -> bool {
    let (kind, _) = media_type.split_once('/').unwrap_or((media_type, ""));
    list.iter().map(|entry| entry.split(';').next().unwrap_or(entry)).any(|entry| {
        let range = entry.strip_suffix("/*").is_some_and(|range| range.eq_ignore_ascii_case(kind));
        entry == "*" || range || entry.eq_ignore_ascii_case(media_type)
    })
}
