//! Telephone numbers that the whole world can call: E.164, in `tel:` URIs (RFC 3966) and in SIP URIs with `user=phone`
//! (RFC 3261, 19.1.6). Whose they are is not known here.
use std::fmt;
use std::str::FromStr;

use crate::uri::Uri;

/// A global number: `+` and up to 15 digits, without the marks that make it legible.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct E164(Box<str>);

/// The text is no global number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an E.164 number")]
pub struct NotE164;

/// What a URI says of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Numbered {
    /// It names this number.
    Global(E164),
    /// It names a number that means something in one place only, or none at all.
    Local,
}

/// Digits of a number at most (ITU-T E.164, 6).
const DIGITS_MAX: usize = 15;

impl E164 {
    /// `+` and the digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Numbered {
    /// What this URI says of a number; `None` if it is not about numbers. In a SIP URI either `user=phone` or a leading
    /// `+` says that it is one.
    pub fn of(uri: &Uri) -> Option<Self> {
        let text = match uri {
            Uri::Sip(uri) => {
                let user = uri.user()?;
                let phone =
                    uri.param("user").is_some_and(|user| user.eq_ignore_ascii_case("phone"));
                (phone || user.starts_with('+')).then_some(user.into_owned())?
            }
            Uri::Other(_) if uri.scheme().eq_ignore_ascii_case("tel") => {
                uri.to_string().split_off("tel:".len())
            }
            Uri::Other(_) => return None,
        };
        Some(text.parse().map_or(Self::Local, Self::Global))
    }
}

impl FromStr for E164 {
    type Err = NotE164;

    /// Reads a `telephone-subscriber` (RFC 3966, 3), or what a person writes: visual separators are left out.
    fn from_str(text: &str) -> Result<Self, NotE164> {
        let number = text.split(';').next().unwrap_or_default();
        let digits = number.strip_prefix('+').ok_or(NotE164)?;
        let mut plain = String::from("+");
        for sign in digits.chars() {
            match sign {
                '0'..='9' => plain.push(sign),
                '-' | '.' | '(' | ')' => {}
                _ => return Err(NotE164),
            }
        }
        let ok = (2..=DIGITS_MAX + 1).contains(&plain.len());
        if ok { Ok(Self(plain.into())) } else { Err(NotE164) }
    }
}

impl fmt::Display for E164 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(uri: &str) -> Option<Numbered> {
        Numbered::of(&uri.parse().unwrap())
    }

    #[test]
    fn r3966_3_a_number_is_the_same_with_and_without_its_marks() {
        let number = Some(Numbered::Global("+15551230001".parse().unwrap()));

        for uri in [
            "tel:+15551230001",
            "TEL:+1-555-123-0001;ext=7",
            "tel:+1(555)123.0001",
            "sip:+15551230001@example.net;user=phone",
            "sip:+1-555-123-0001;x=y@example.net;user=phone",
            "sips:+15551230001@example.net",
        ] {
            assert_eq!(numbered(uri), number, "{uri}");
        }
    }

    #[test]
    fn what_means_something_in_one_place_only_is_local() {
        for uri in [
            "tel:7042;phone-context=example.net",
            "tel:+",
            "tel:+1234567890123456",
            "sip:7042@example.net;user=phone",
        ] {
            assert_eq!(numbered(uri), Some(Numbered::Local), "{uri}");
        }
        for uri in ["sip:alice@example.net", "sip:7042@example.net", "sip:example.net", "urn:x:+1"]
        {
            assert_eq!(numbered(uri), None, "{uri}");
        }
    }
}
