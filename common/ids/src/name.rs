//! Names of conferences, people and devices. Checked once, when made; compared as bytes from then on.
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not a name of the kind asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadId {
    /// Not a conference id.
    #[error(
        "a conference id is 1 to 64 of a-z 0-9 . _ - and starts with a letter or digit, not {0:?}"
    )]
    Conference(String),
    /// Not an address of record.
    #[error("an address of record looks like sip:alice@example.net, not {0:?}")]
    Aor(String),
    /// Not a device's instance id.
    #[error("a device id is a urn:uuid: name (RFC 5626, 4.1), not {0:?}")]
    Device(String),
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text, in its one spelling.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadId;
            fn try_from(text: String) -> Result<Self, BadId> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.to_string()
            }
        }
    };
}

name! {
    /// A conference, and the room that carries its media. It is the user part of the conference URI.
    ConferenceId
}
name! {
    /// A person: the SIP address of record, `sip:user@host`, host in lower case, without port or parameters.
    Aor
}
name! {
    /// A device of a person: the `+sip.instance` URN (RFC 5626, 4.1), in lower case, without angle brackets.
    DeviceId
}

const CONFERENCE_CHARS_MAX: usize = 64;
const AOR_CHARS_MAX: usize = 255;
const DEVICE_CHARS_MAX: usize = 64;

impl FromStr for ConferenceId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let inner =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
        let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
        if first && text.len() <= CONFERENCE_CHARS_MAX && text.chars().all(inner) {
            return Ok(Self(text.into()));
        }
        Err(BadId::Conference(text.to_owned()))
    }
}

impl FromStr for Aor {
    type Err = BadId;

    /// Accepts `sip:` and `sips:`, drops port and URI parameters, and spells the host in lower case.
    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId::Aor(text.to_owned());
        let (scheme, rest) = text.split_once(':').ok_or_else(bad)?;
        if !scheme.eq_ignore_ascii_case("sip") && !scheme.eq_ignore_ascii_case("sips") {
            return Err(bad());
        }
        let (user, address) = rest.split_once('@').ok_or_else(bad)?;
        let host = host_of(address);
        let plain =
            |c: char| c.is_ascii_graphic() && !matches!(c, '<' | '>' | '"' | '@' | ':' | ';');
        let host_plain =
            |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '[' | ']' | ':');
        let legal = !user.is_empty()
            && !host.is_empty()
            && user.chars().all(plain)
            && host.chars().all(host_plain)
            && text.len() <= AOR_CHARS_MAX;
        if !legal {
            return Err(bad());
        }
        Ok(Self(format!("sip:{user}@{}", host.to_ascii_lowercase()).into()))
    }
}

/// The host of `host[:port][;params][?headers]`, with brackets kept around an IPv6 address.
fn host_of(address: &str) -> &str {
    let end = address.find([';', '?']).unwrap_or(address.len());
    let (address, _) = address.split_at(end);
    match address.rfind(']') {
        Some(close) => address.split_at(close + 1).0,
        None => address.split(':').next().unwrap_or(address),
    }
}

impl Aor {
    /// The part before the `@`.
    pub fn user(&self) -> &str {
        self.after_scheme().split('@').next().unwrap_or_default()
    }

    /// The part after the `@`.
    pub fn host(&self) -> &str {
        self.after_scheme().split('@').nth(1).unwrap_or_default()
    }

    fn after_scheme(&self) -> &str {
        self.0.strip_prefix("sip:").unwrap_or(&self.0)
    }
}

impl FromStr for DeviceId {
    type Err = BadId;

    /// Accepts the URN with or without angle brackets and quotes, in any case.
    fn from_str(text: &str) -> Result<Self, BadId> {
        let name = text.trim_matches(['"', '<', '>']).to_ascii_lowercase();
        let hex = |c: char| c.is_ascii_hexdigit() || c == '-';
        match name.strip_prefix("urn:uuid:") {
            Some(uuid) if uuid.len() == 36 && uuid.chars().all(hex) => Ok(Self(name.into())),
            _ if name.len() > DEVICE_CHARS_MAX => Err(BadId::Device(String::from("(too long)"))),
            _ => Err(BadId::Device(text.to_owned())),
        }
    }
}

impl DeviceId {
    /// A random (version 4) UUID as a device name.
    pub fn random(rng: &mut impl rand::RngCore) -> Self {
        let mut bytes = [0_u8; 16];
        rng.fill_bytes(&mut bytes);
        let bits = u128::from_be_bytes(bytes);
        let version = bits & !(0xf << 76) | (0x4 << 76);
        let variant = version & !(0x3 << 62) | (0x2 << 62);
        let hex = format!("{variant:032x}");
        let mut name = String::from("urn:uuid:");
        for (at, c) in hex.chars().enumerate() {
            if matches!(at, 8 | 12 | 16 | 20) {
                name.push('-');
            }
            name.push(c);
        }
        Self(name.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aor_loses_scheme_variant_port_and_parameters() {
        let aor: Aor = "sips:alice@Example.net:5061;transport=tls".parse().unwrap();

        assert_eq!(aor.as_str(), "sip:alice@example.net");
        assert_eq!((aor.user(), aor.host()), ("alice", "example.net"));
    }

    #[test]
    fn an_ipv6_host_keeps_its_brackets_and_loses_its_port() {
        let aor: Aor = "sip:bob@[2001:DB8::1]:5061".parse().unwrap();

        assert_eq!(aor.host(), "[2001:db8::1]");
    }

    #[test]
    fn what_is_not_an_aor_is_refused() {
        for text in
            ["", "alice", "tel:+1555", "sip:@h", "sip:a@", "sip:a b@h", "sip:a@h/x", "sip:<a>@h"]
        {
            assert!(text.parse::<Aor>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_conference_id_is_short_and_plain() {
        assert!("room7".parse::<ConferenceId>().is_ok());
        for text in ["", "-room", "Room", "a b", "ä", &"x".repeat(65)] {
            assert!(text.parse::<ConferenceId>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_random_device_id_reads_back_as_itself() {
        let mut rng = <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(1);
        let device = DeviceId::random(&mut rng);

        assert_eq!(format!("\"<{device}>\"").parse::<DeviceId>().unwrap(), device);
    }
}
