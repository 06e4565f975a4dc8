//! Names of header fields: known ones as variants, in long and compact form; any other token as it came.
use std::fmt;

use crate::token::{NotAToken, Token};

macro_rules! names {
    ($($variant:ident = $text:literal $(/ $compact:literal)?,)*) => {
        /// The name of a header field. Two names are equal if they differ only in case or in compact form.
        #[derive(Clone)]
        #[non_exhaustive]
        pub enum Name {
            $(#[doc = $text] $variant,)*
            /// Any other name; [`Name::parse`] never puts a known one here.
            Other(Token),
        }

        impl Name {
            /// The name in its long form and usual case.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(token) => token.as_str(),
                }
            }

            fn known(bytes: &[u8]) -> Option<Self> {
                if let &[letter] = bytes {
                    return match letter.to_ascii_lowercase() {
                        $($($compact => Some(Self::$variant),)?)*
                        _ => None,
                    };
                }
                $(if bytes.len() == $text.len() && bytes.eq_ignore_ascii_case($text.as_bytes()) {
                    return Some(Self::$variant);
                })*
                None
            }
        }
    };
}

names! {
    Via = "Via" / b'v',
    MaxForwards = "Max-Forwards",
    From = "From" / b'f',
    To = "To" / b't',
    CallId = "Call-ID" / b'i',
    CSeq = "CSeq",
    Contact = "Contact" / b'm',
    ContentLength = "Content-Length" / b'l',
    ContentType = "Content-Type" / b'c',
    Route = "Route",
    RecordRoute = "Record-Route",
    Require = "Require",
    Supported = "Supported" / b'k',
    Allow = "Allow",
    AllowEvents = "Allow-Events" / b'u',
    Authorization = "Authorization",
    WwwAuthenticate = "WWW-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyRequire = "Proxy-Require",
    AuthenticationInfo = "Authentication-Info",
    Expires = "Expires",
    MinExpires = "Min-Expires",
    SessionExpires = "Session-Expires" / b'x',
    MinSe = "Min-SE",
    UserAgent = "User-Agent",
    Server = "Server",
    Date = "Date",
    Timestamp = "Timestamp",
    Subject = "Subject" / b's',
    Warning = "Warning",
    Unsupported = "Unsupported",
    RetryAfter = "Retry-After",
    Reason = "Reason",
    Event = "Event" / b'o',
    SubscriptionState = "Subscription-State",
    ReferTo = "Refer-To" / b'r',
    ReferredBy = "Referred-By" / b'b',
    ReferSub = "Refer-Sub",
    TargetDialog = "Target-Dialog",
    Replaces = "Replaces",
    Join = "Join",
    Accept = "Accept",
    AcceptEncoding = "Accept-Encoding",
    AcceptLanguage = "Accept-Language",
    AcceptContact = "Accept-Contact" / b'a',
    RejectContact = "Reject-Contact" / b'j',
    RequestDisposition = "Request-Disposition" / b'd',
    ContentDisposition = "Content-Disposition",
    ContentEncoding = "Content-Encoding" / b'e',
    ContentLanguage = "Content-Language",
    MimeVersion = "MIME-Version",
    Organization = "Organization",
    Priority = "Priority",
    InReplyTo = "In-Reply-To",
    ReplyTo = "Reply-To",
    ErrorInfo = "Error-Info",
    Path = "Path",
    ServiceRoute = "Service-Route",
    FlowTimer = "Flow-Timer",
    Privacy = "Privacy",
    PAssertedIdentity = "P-Asserted-Identity",
    PPreferredIdentity = "P-Preferred-Identity",
    PAssociatedUri = "P-Associated-URI",
    SecurityClient = "Security-Client",
    SecurityServer = "Security-Server",
    SecurityVerify = "Security-Verify",
    SipEtag = "SIP-ETag",
    SipIfMatch = "SIP-If-Match",
    HistoryInfo = "History-Info",
    Identity = "Identity" / b'y',
    RSeq = "RSeq",
    RAck = "RAck",
}

impl Name {
    /// The name these bytes spell, long or compact, in any case.
    pub fn parse(bytes: &[u8]) -> Result<Self, NotAToken> {
        if let Some(known) = Self::known(bytes) {
            return Ok(known);
        }
        std::str::from_utf8(bytes).map_err(|_| NotAToken)?.parse().map(Self::Other)
    }
}

impl std::str::FromStr for Name {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        Self::parse(text.as_bytes())
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Other(a), Self::Other(b)) => a.as_str().eq_ignore_ascii_case(b.as_str()),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }
}

impl Eq for Name {}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_in_any_case_and_in_compact_form() {
        assert_eq!(Name::parse(b"v"), Ok(Name::Via));
        assert_eq!(Name::parse(b"VIA"), Ok(Name::Via));
        assert_eq!(Name::parse(b"x-Thing"), Name::parse(b"X-THING"));
        assert_ne!(Name::parse(b"x-thing"), Name::parse(b"x-other"));
        assert_eq!(Name::parse(b"caf\xe9"), Err(NotAToken));
    }
}
