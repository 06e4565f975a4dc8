//! Session-Expires and Min-SE (RFC 4028, 4 and 5): how long a session lasts without a refresh, and who refreshes it.
use std::fmt;

use super::fields::parse_word;
use super::params::Params;
use super::scan::Broken;

/// Which side of the request that carries it refreshes a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresher {
    /// Who sent the request.
    Uac,
    /// Who answers it.
    Uas,
}

/// `Session-Expires: 1800;refresher=uac`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionExpires {
    /// Seconds from one refresh to the end.
    pub secs: u32,
    /// Who refreshes, if that is settled.
    pub refresher: Option<Refresher>,
}

impl Refresher {
    /// As it stands in the parameter.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uac => "uac",
            Self::Uas => "uas",
        }
    }
}

impl SessionExpires {
    pub(crate) fn parse(text: &str) -> Result<Self, Broken> {
        let (secs, params) = seconds(text)?;
        let refresher = match params.value("refresher").map(str::to_ascii_lowercase).as_deref() {
            None => None,
            Some("uac") => Some(Refresher::Uac),
            Some("uas") => Some(Refresher::Uas),
            Some(_) => return Err(Broken),
        };
        Ok(Self { secs, refresher })
    }
}

/// `delta-seconds *( SEMI generic-param )`. More than 32 bits hold is the largest number.
pub(crate) fn seconds(text: &str) -> Result<(u32, Params), Broken> {
    let (digits, params) = parse_word(text)?;
    let legal = digits.bytes().all(|byte| byte.is_ascii_digit());
    if legal { Ok((digits.parse().unwrap_or(u32::MAX), params)) } else { Err(Broken) }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.secs)?;
        match self.refresher {
            Some(refresher) => write!(f, ";refresher={}", refresher.as_str()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r4028_4_an_interval_has_seconds_and_perhaps_a_refresher() {
        for (text, secs, refresher) in [
            ("1800", 1800, None),
            (" 90 ; refresher=UAC", 90, Some(Refresher::Uac)),
            ("4000;x=y;refresher=uas", 4000, Some(Refresher::Uas)),
            ("99999999999", u32::MAX, None),
        ] {
            let wanted = SessionExpires { secs, refresher };
            assert_eq!(SessionExpires::parse(text).ok(), Some(wanted), "{text}");
        }
        for broken in ["", "soon", "-1", "90;refresher=proxy", "90 90"] {
            assert!(SessionExpires::parse(broken).is_err(), "{broken}");
        }
        let written = SessionExpires { secs: 90, refresher: Some(Refresher::Uas) };
        assert_eq!(written.to_string(), "90;refresher=uas");
    }
}
