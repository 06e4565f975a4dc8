//! `From`, `To`, `Contact`, `Route` and their like: a URI, perhaps with a display name, and parameters.
use std::borrow::Cow;
use std::fmt;

use ids::DeviceId;

use super::params::Params;
use super::scan::{Broken, Scan, in_quotes, unquote};
use crate::token::is_token_byte;
use crate::uri::Uri;

/// `"Display" <uri>;params`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// The display name, as text; empty and absent are the same.
    pub display: Option<String>,
    /// The URI, with its own parameters inside.
    pub uri: Uri,
    /// The parameters of the header field, such as `tag`.
    pub params: Params,
}

impl NameAddr {
    /// `<uri>`, nothing more.
    pub fn new(uri: impl Into<Uri>) -> Self {
        Self { display: None, uri: uri.into(), params: Params::default() }
    }

    /// The same with this parameter.
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> Self {
        self.params.set(name, value);
        self
    }

    /// The same with this tag.
    pub fn with_tag(self, tag: &str) -> Self {
        self.with_param("tag", Some(tag))
    }

    /// The tag of a From or To.
    pub fn tag(&self) -> Option<&str> {
        self.params.value("tag")
    }

    /// The `expires` parameter of a Contact, in seconds. A value that is no number counts as 3600 (RFC 3261, 10.2.1.1).
    pub fn expires(&self) -> Option<u32> {
        let value = self.params.value("expires")?;
        let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        Some(if digits { value.parse().unwrap_or(u32::MAX) } else { 3600 })
    }

    /// The `q` parameter of a Contact, in thousandths; a missing or broken one is 1.
    pub fn preference(&self) -> u32 {
        let Some(q) = self.params.value("q") else { return 1000 };
        let (whole, part) = q.split_once('.').unwrap_or((q, ""));
        let digits = part.bytes().chain(*b"000").take(3);
        let part = digits.fold(0, |sum, byte| sum * 10 + u32::from(byte.wrapping_sub(b'0').min(9)));
        if whole == "1" { 1000 } else { part }
    }

    /// The device of a Contact (`+sip.instance`, RFC 5626, 4.1).
    pub fn instance(&self) -> Option<DeviceId> {
        let text = self.params.text("+sip.instance")?;
        text.trim().trim_start_matches('<').trim_end_matches('>').parse().ok()
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Broken> {
        let mut scan = Scan::new(text);
        let name = Self::scan(&mut scan)?;
        scan.end()?;
        Ok(name)
    }

    fn scan(scan: &mut Scan<'_>) -> Result<Self, Broken> {
        scan.space();
        let quoted = scan.quoted()?.map(unquote);
        scan.space();
        let display = match (&quoted, scan.rest().split_once('<')) {
            (_, Some(("", _))) => quoted,
            (None, Some((words, _))) if words.bytes().all(is_display_byte) => {
                scan.run(is_display_byte);
                Some(Cow::Borrowed(words.trim()))
            }
            (Some(_), _) => return Err(Broken),
            (None, _) => None,
        };
        let uri = match scan.rest().strip_prefix('<') {
            Some(_) => {
                // RFC 3261, 25.1: no white space inside the brackets, so it stays in the run and is refused.
                let uri = scan.run(|byte| byte != b'>');
                scan.expect('>')?;
                uri.strip_prefix('<').unwrap_or(uri)
            }
            // RFC 3261, 20.10: without brackets everything behind `;` belongs to the field; `,` and `?` must not be.
            None => scan.run(|byte| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'?')),
        };
        let uri = uri.parse().map_err(|_| Broken)?;
        let params = scan.params()?;
        let display = display.filter(|name| !name.is_empty()).map(Cow::into_owned);
        Ok(Self { display, uri, params })
    }
}

/// What `*( token LWS )`, a display name without quotes, is made of.
fn is_display_byte(byte: u8) -> bool {
    is_token_byte(byte) || matches!(byte, b' ' | b'\t')
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(display) = &self.display {
            write!(f, "{} ", in_quotes(display))?;
        }
        write!(f, "<{}>{}", self.uri, self.params)
    }
}
