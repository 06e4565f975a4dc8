//! Request methods. The set is open: a method nobody here knows decodes like any other and can be answered 405 or 501.
use std::fmt;
use std::str::FromStr;

use crate::token::{NotAToken, Token};

macro_rules! methods {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)*) => {
        /// What a request asks for. Methods are case-sensitive (RFC 3261, 7.1).
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Method {
            $($(#[$doc])* $variant,)*
            /// Any other method; [`Method::from_str`] never puts a known one here.
            Other(Token),
        }

        impl Method {
            /// The methods with a variant of their own.
            pub const KNOWN: &'static [Self] = &[$(Self::$variant,)*];

            /// The method as it is written.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Other(token) => token.as_str(),
                }
            }
        }

        impl FromStr for Method {
            type Err = NotAToken;

            fn from_str(text: &str) -> Result<Self, NotAToken> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    other => other.parse().map(Self::Other),
                }
            }
        }
    };
}

methods! {
    /// Begin or change a session.
    Invite = "INVITE",
    /// Confirm the final answer to an INVITE.
    Ack = "ACK",
    /// End a session.
    Bye = "BYE",
    /// Give up an INVITE that is not answered yet.
    Cancel = "CANCEL",
    /// Bind a contact to an address of record.
    Register = "REGISTER",
    /// Ask what the other side can do.
    Options = "OPTIONS",
    /// An instant message (RFC 3428).
    Message = "MESSAGE",
    /// Ask the other side to send a request (RFC 3515).
    Refer = "REFER",
    /// Ask to be told of events (RFC 6665).
    Subscribe = "SUBSCRIBE",
    /// Tell of an event (RFC 6665).
    Notify = "NOTIFY",
    /// Publish event state (RFC 3903).
    Publish = "PUBLISH",
    /// Application information inside a dialog (RFC 6086).
    Info = "INFO",
    /// Change a session before it is answered (RFC 3311).
    Update = "UPDATE",
    /// Acknowledge a provisional answer (RFC 3262).
    Prack = "PRACK",
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
