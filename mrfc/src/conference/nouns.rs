//! Small values that commands, events and effects share. Each has one form in the journal.
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use ids::{Aor, DeviceId};
use mls::wire::DeviceName;
use serde::{Deserialize, Serialize};

/// A person's device on the roster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Participant {
    /// The person.
    pub aor: Aor,
    /// The device.
    pub device: DeviceId,
}

impl Participant {
    /// The same, as MLS credentials name it.
    pub fn name(&self) -> DeviceName {
        DeviceName { aor: self.aor.clone(), device: self.device.clone() }
    }
}

impl From<&DeviceName> for Participant {
    fn from(name: &DeviceName) -> Self {
        Self { aor: name.aor.clone(), device: name.device.clone() }
    }
}

impl fmt::Display for Participant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.aor, self.device)
    }
}

/// What the relay may see of a conference's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Group keys; only MLS content and sealed files pass.
    Sealed,
    /// TLS hop by hop, for plain MSRP clients.
    Open,
}

/// Why a seat ends while the conference goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// The dialog ended: BYE without a word of leaving, or a lost SIP connection.
    Away,
    /// The invitation was declined, or never answered.
    Refused,
    /// The MSRP connection ended.
    Disconnected,
    /// It read too slowly for a room that keeps no log.
    Slow,
    /// It never connected, was idle too long, or let its session expire (RFC 4028).
    Silent,
    /// It broke the rules of MSRP.
    Misbehaved,
    /// The relay started anew, or could not seat it in time.
    RelayLost,
    /// Nobody has claimed it since this focus started anew.
    Forgotten,
    /// Its person left the conference.
    Left,
    /// Its person was removed by a moderator.
    Kicked,
    /// Nobody could follow its change of the group.
    Unusable,
    /// Its certificate ended.
    Expired,
    /// The device was taken back by its person or the operator.
    Revoked,
    /// The conference ended.
    Ended,
    /// It was called, and no answer came.
    Unreachable,
    /// It was called, and was busy.
    Busy,
}

impl Why {
    /// For people and for the relay's log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Refused => "declined",
            Self::Disconnected => "connection lost",
            Self::Slow => "too slow",
            Self::Silent => "no connection",
            Self::Misbehaved => "protocol error",
            Self::RelayLost => "relay lost",
            Self::Forgotten => "dialog lost",
            Self::Left => "left",
            Self::Kicked => "removed by a moderator",
            Self::Unusable => "nobody could follow its change of the group",
            Self::Expired => "certificate ended",
            Self::Revoked => "device taken back",
            Self::Ended => "conference ended",
            Self::Unreachable => "not reached",
            Self::Busy => "busy",
        }
    }

    /// Whether the dialog is over already, so that nobody needs to be told.
    pub(crate) const fn dialog_over(self) -> bool {
        matches!(self, Self::Away | Self::Left) || self.did_not_come()
    }

    /// Whether it was called and has not come.
    pub(crate) const fn did_not_come(self) -> bool {
        matches!(self, Self::Refused | Self::Unreachable | Self::Busy)
    }
}

/// A moment, in milliseconds since 1970.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct At(u64);

impl At {
    /// This much later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl From<SystemTime> for At {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<At> for SystemTime {
    fn from(at: At) -> Self {
        UNIX_EPOCH + Duration::from_millis(at.0)
    }
}

/// Octets, in base64 in the journal. Debug says how many.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Blob(pub Bytes);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets", self.0.len())
    }
}

impl TryFrom<String> for Blob {
    type Error = base64::DecodeError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        STANDARD_NO_PAD.decode(text).map(|octets| Self(octets.into()))
    }
}

impl From<Blob> for String {
    fn from(blob: Blob) -> Self {
        STANDARD_NO_PAD.encode(&blob.0)
    }
}

/// What a participant's SDP says about its end of the session, besides the path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct End {
    /// It takes private messages (RFC 7701, 8).
    pub private_messages: bool,
    /// What it takes inside of message/cpim; empty: anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accept_wrapped_types: Vec<String>,
    /// Somebody between us rewrites paths, so that only session-ids are compared.
    #[serde(skip_serializing_if = "is_false")]
    pub by_session_id: bool,
    /// `a=fingerprint`: its certificate is one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fingerprints: Vec<String>,
    /// The relay connects to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dial: Option<Dial>,
    /// What carries it.
    #[serde(skip_serializing_if = "Transport::is_tls")]
    pub transport: Transport,
    /// Which way its messages flow (RFC 3264, 6.1).
    #[serde(skip_serializing_if = "Flow::is_both")]
    pub flow: Flow,
}

/// Which way messages flow, seen from the participant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Flow {
    /// It sends and receives.
    #[default]
    SendRecv,
    /// It only sends.
    SendOnly,
    /// It only receives.
    RecvOnly,
    /// Neither: it is on hold.
    Inactive,
}

impl Flow {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_both(&self) -> bool {
        *self == Self::SendRecv
    }

    /// Whether it may send.
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether it takes what others send.
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// How a device came to its seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Came {
    /// It called the conference.
    #[default]
    DialedIn,
    /// The conference called it.
    DialedOut,
}

/// Whether others learn who somebody is (RFC 3323).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shown {
    /// By name.
    #[default]
    Named,
    /// As a number.
    Hidden,
}

/// What carries MSRP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TLS.
    #[default]
    Tls,
    /// WebSocket over TLS (RFC 7977).
    WebSocket,
    /// Plain TCP, on a network that protects it.
    Tcp,
}

impl Transport {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_tls(&self) -> bool {
        *self == Self::Tls
    }
}

/// Where a relay connects to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dial {
    /// `host:port` in place of the path's (RFC 6714).
    pub to: Option<String>,
}

impl End {
    /// How the relay reaches it.
    pub(crate) fn reach(&self) -> control::Reach {
        control::Reach {
            transport: match self.transport {
                Transport::Tls => control::Transport::Tls,
                Transport::WebSocket => control::Transport::WebSocket,
                Transport::Tcp => control::Transport::Tcp,
            },
            fingerprints: self.fingerprints.clone(),
            dial: self.dial.as_ref().map(|dial| control::Dial { to: dial.to.clone() }),
        }
    }

    /// How its requests are found to be its own.
    pub(crate) const fn matching(&self) -> control::Match {
        if self.by_session_id { control::Match::SessionId } else { control::Match::Strict }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

/// The MSRP path of a participant. Whoever knows it may pose as the participant, so Debug hides it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PeerPath(pub String);

impl fmt::Debug for PeerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PeerPath(..)")
    }
}
