//! Header fields with a shape of their own: what each value means, and how it is written.
use std::fmt;

use super::name_addr::NameAddr;
use super::params::Params;
use super::scan::{Broken, Scan, in_quotes, unquote};
use crate::message::Method;

/// `CSeq: 1 INVITE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CSeq {
    /// The number, below 2^31.
    pub number: u32,
    /// The method; it must be that of the request.
    pub method: Method,
}

/// The Contact fields of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contacts {
    /// `Contact: *`: all bindings (of a REGISTER that removes them).
    All,
    /// The addresses, perhaps none.
    Some(Vec<NameAddr>),
}

/// A media type with its parameters: `Content-Type`, an element of `Accept`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// `type/subtype` in lower case.
    pub essence: String,
    /// The parameters, such as `boundary`.
    pub params: Params,
}

/// `Reason: SIP;cause=200;text="Call completed elsewhere"` (RFC 3326).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReasonValue {
    /// `SIP`, `Q.850` or another namespace.
    pub protocol: String,
    /// The parameters, such as `cause` and `text`.
    pub params: Params,
}

/// `Event: conference;id=7` (RFC 6665, 8.2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The event package, compared with case.
    pub package: String,
    /// The parameters; `id` belongs to the identity of the subscription.
    pub params: Params,
}

/// `Subscription-State: active;expires=60` (RFC 6665, 8.2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionState {
    /// What became of the subscription.
    pub status: SubscriptionStatus,
    /// The parameters: `expires`, `reason`, `retry-after`.
    pub params: Params,
}

/// The three states, and room for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubscriptionStatus {
    /// Accepted, and events flow.
    Active,
    /// Waits for somebody's decision.
    Pending,
    /// Over.
    Terminated,
    /// A state of an extension.
    Other(String),
}

/// `Warning: 399 mrfc.example.net "text"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Three digits.
    pub code: u16,
    /// Who warns.
    pub agent: String,
    /// What for, in words.
    pub text: String,
}

impl CSeq {
    pub(crate) fn parse(text: &str) -> Result<Self, Broken> {
        let mut scan = Scan::new(text);
        let number = scan.space().number()?;
        let before = scan.rest().len();
        if number >= 1 << 31 || scan.space().rest().len() == before {
            return Err(Broken);
        }
        let method = scan.token()?.parse().map_err(|_| Broken)?;
        scan.end()?;
        Ok(Self { number, method })
    }
}

impl MediaType {
    /// `type/subtype` without parameters. The text is taken as it is, in lower case.
    pub fn new(essence: &str) -> Self {
        Self { essence: essence.to_ascii_lowercase(), params: Params::default() }
    }

    /// Whether this is the media type `essence`, in any case and with any parameters.
    pub fn is(&self, essence: &str) -> bool {
        self.essence.eq_ignore_ascii_case(essence)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Broken> {
        let mut scan = Scan::new(text);
        let kind = scan.space().token()?;
        scan.expect('/')?;
        let essence = format!("{kind}/{}", scan.token()?).to_ascii_lowercase();
        let params = scan.params()?;
        scan.end()?;
        Ok(Self { essence, params })
    }
}

/// `token *( SEMI param )`, which several fields are.
pub(super) fn parse_word(text: &str) -> Result<(String, Params), Broken> {
    let mut scan = Scan::new(text);
    let word = scan.space().token()?.to_owned();
    let params = scan.params()?;
    scan.end()?;
    Ok((word, params))
}

impl ReasonValue {
    /// A reason with a cause and words.
    pub fn new(protocol: &str, cause: u16, text: &str) -> Self {
        let mut params = Params::default();
        params.push_raw("cause", Some(&cause.to_string()));
        params.push_raw("text", Some(&in_quotes(text)));
        Self { protocol: protocol.to_owned(), params }
    }

    /// The `cause`, if it is a number.
    pub fn cause(&self) -> Option<u16> {
        self.params.value("cause")?.parse().ok()
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Broken> {
        parse_word(text).map(|(protocol, params)| Self { protocol, params })
    }
}

impl Event {
    /// The event package alone.
    pub fn new(package: &str) -> Self {
        Self { package: package.to_owned(), params: Params::default() }
    }

    /// The `id` parameter.
    pub fn id(&self) -> Option<&str> {
        self.params.value("id")
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Broken> {
        parse_word(text).map(|(package, params)| Self { package, params })
    }
}

impl SubscriptionState {
    /// Active, with the seconds that are left.
    pub fn active(expires_secs: u32) -> Self {
        let mut params = Params::default();
        params.set("expires", Some(&expires_secs.to_string()));
        Self { status: SubscriptionStatus::Active, params }
    }

    /// Over, with the reason (`noresource`, `timeout`, ..).
    pub fn terminated(reason: &str) -> Self {
        let mut params = Params::default();
        params.set("reason", Some(reason));
        Self { status: SubscriptionStatus::Terminated, params }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Broken> {
        let (word, params) = parse_word(text)?;
        let status = match word.to_ascii_lowercase().as_str() {
            "active" => SubscriptionStatus::Active,
            "pending" => SubscriptionStatus::Pending,
            "terminated" => SubscriptionStatus::Terminated,
            _ => SubscriptionStatus::Other(word),
        };
        Ok(Self { status, params })
    }
}

impl Warning {
    /// A warning of ours; 399 is "miscellaneous", 304 and 305 are about media types and formats (RFC 3261, 20.43).
    pub fn new(code: u16, agent: &str, text: &str) -> Self {
        Self { code, agent: agent.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Broken> {
        let mut scan = Scan::new(text);
        let code = u16::try_from(scan.space().number()?).map_err(|_| Broken)?;
        let agent = scan.space().run(|byte| byte.is_ascii_graphic() && byte != b'"').to_owned();
        let words = scan.space().quoted()?.ok_or(Broken)?;
        scan.end()?;
        if !(100..1000).contains(&code) || agent.is_empty() {
            return Err(Broken);
        }
        Ok(Self { code, agent, text: unquote(words).into_owned() })
    }
}

impl fmt::Display for CSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.method)
    }
}

impl fmt::Display for MediaType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.essence, self.params)
    }
}

impl fmt::Display for ReasonValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.protocol, self.params)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.package, self.params)
    }
}

impl fmt::Display for SubscriptionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match &self.status {
            SubscriptionStatus::Active => "active",
            SubscriptionStatus::Pending => "pending",
            SubscriptionStatus::Terminated => "terminated",
            SubscriptionStatus::Other(word) => word,
        };
        write!(f, "{word}{}", self.params)
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03} {} {}", self.code, self.agent, in_quotes(&self.text))
    }
}
