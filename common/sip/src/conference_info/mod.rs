//! Who is in a conference, as its focus tells it (RFC 4575): the value, what changed since an earlier one
//! ([`ConferenceInfo::since`]), and the document in XML, written ([`ConferenceInfo::to_xml`]) and read
//! ([`ConferenceInfo::from_xml`]). Whom it is told to and when is the notifier's business.
//!
//! ```
//! use sip::conference_info::{ConferenceInfo, User};
//! let mut info = ConferenceInfo::new("sip:room7@conf.example.net");
//! info.users.push(User::new("sip:alice@example.net"));
//! let read = ConferenceInfo::from_xml(info.to_xml().as_bytes()).unwrap();
//! assert_eq!(read, info);
//! ```
mod merge;
mod read;
mod tree;
mod write;

pub use merge::Gap;
pub use tree::BadInfo;

/// The media type of the document.
pub const MEDIA_TYPE: &str = "application/conference-info+xml";
/// The event package.
pub const EVENT: &str = "conference";

const INFO: &str = "urn:ietf:params:xml:ns:conference-info";
/// RFC 6502; RFC 7701, 7.1 takes the nickname from there.
const XCON: &str = "urn:ietf:params:xml:ns:xcon-conference-info";

/// How much of something a document tells (RFC 4575, 4.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// All of it.
    #[default]
    Full,
    /// What has changed.
    Partial,
    /// It is no more.
    Deleted,
}

/// What is known of a conference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConferenceInfo {
    /// The conference's URI.
    pub entity: String,
    /// Grows by one with each document of a subscription.
    pub version: u32,
    /// How much this tells.
    pub state: State,
    /// What it is about.
    pub subject: Option<String>,
    /// How many people may be in it.
    pub maximum_user_count: Option<u32>,
    /// How many people are in it.
    pub user_count: Option<u32>,
    /// Whether media can flow.
    pub active: Option<bool>,
    /// Whether nobody new is let in.
    pub locked: Option<bool>,
    /// The people; in a partial document those that changed.
    pub users: Vec<User>,
}

/// One person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Who: an address, or one under `anonymous.invalid` for somebody who is hidden (RFC 4575, 5.6).
    pub entity: String,
    /// How much this tells.
    pub state: State,
    /// What others call them.
    pub display_text: Option<String>,
    /// Their nickname (RFC 7701, 7.1).
    pub nickname: Option<String>,
    /// What they may do: `moderator`, `participant`.
    pub roles: Vec<String>,
    /// The devices they take part on.
    pub endpoints: Vec<Endpoint>,
}

/// One device of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Which.
    pub entity: String,
    /// How much this tells.
    pub state: State,
    /// What others call it: the nickname taken on it, where a person has several.
    pub display_text: Option<String>,
    /// Where it is.
    pub status: Option<Status>,
    /// How it came.
    pub joining: Option<Joining>,
    /// Since when it is there (RFC 3339).
    pub joined: Option<String>,
    /// How it went.
    pub disconnection: Option<Disconnection>,
    /// When it went (RFC 3339).
    pub disconnected: Option<String>,
    /// Which way messages flow, seen from the device.
    pub media: Option<Media>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// As the document has it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }

            fn parse(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

words! {
    /// Where a device is (RFC 4575, 5.7.3).
    Status {
        /// In the conference.
        Connected = "connected",
        /// Not in it, and without a dialog.
        Disconnected = "disconnected",
        /// In it, and neither sends nor receives.
        OnHold = "on-hold",
        /// In it, and the focus takes no message from it.
        MutedViaFocus = "muted-via-focus",
        /// Waits to be let in.
        Pending = "pending",
        /// Rings.
        Alerting = "alerting",
        /// About to come.
        DialingIn = "dialing-in",
        /// Being called.
        DialingOut = "dialing-out",
        /// About to go.
        Disconnecting = "disconnecting",
    }
}

words! {
    /// How a device came (RFC 4575, 5.7.4).
    Joining {
        /// It called the conference.
        DialedIn = "dialed-in",
        /// The conference called it.
        DialedOut = "dialed-out",
        /// It is the focus itself.
        FocusOwner = "focus-owner",
    }
}

words! {
    /// How a device went (RFC 4575, 5.7.6).
    Disconnection {
        /// By itself.
        Departed = "departed",
        /// Somebody put it out.
        Booted = "booted",
        /// Something broke.
        Failed = "failed",
        /// It was called and did not come.
        Busy = "busy",
    }
}

words! {
    /// Which way media flows (RFC 4575, 5.8.4).
    Media {
        /// Both ways.
        SendRecv = "sendrecv",
        /// From the device.
        SendOnly = "sendonly",
        /// To the device.
        RecvOnly = "recvonly",
        /// Neither way.
        Inactive = "inactive",
    }
}

impl State {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::Deleted => "deleted",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Full, Self::Partial, Self::Deleted].into_iter().find(|state| state.as_str() == text)
    }
}

impl ConferenceInfo {
    /// A conference of this URI, of which nothing else is known.
    pub fn new(entity: &str) -> Self {
        Self { entity: entity.to_owned(), ..Self::default() }
    }

    /// The conference is no more (RFC 4575, 5.1).
    #[must_use]
    pub fn deleted(entity: &str, version: u32) -> Self {
        Self { version, state: State::Deleted, ..Self::new(entity) }
    }

    /// The person of this address.
    pub fn user(&self, entity: &str) -> Option<&User> {
        self.users.iter().find(|user| user.entity == entity)
    }
}

impl User {
    /// Somebody of whom nothing else is known.
    pub fn new(entity: &str) -> Self {
        Self { entity: entity.to_owned(), ..Self::default() }
    }

    /// Somebody who is no more in the conference.
    pub fn deleted(entity: &str) -> Self {
        Self { state: State::Deleted, ..Self::new(entity) }
    }

    /// Whether no device of theirs is in the conference or on its way.
    pub fn is_gone(&self) -> bool {
        self.endpoints.iter().all(|endpoint| endpoint.status == Some(Status::Disconnected))
    }
}
