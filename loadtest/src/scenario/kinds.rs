//! What can be chosen of a scenario by a word. Plain values.
use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Protection of rooms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Under a group key.
    Sealed,
    /// The relay could read it.
    Open,
}

impl Level {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::Open => "not sealed",
        }
    }
}

/// What members' MSRP runs over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TLS
    #[default]
    Tls,
    /// WebSocket over TLS, as browsers have it
    Wss,
}

impl Transport {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::Wss => "wss",
        }
    }
}

/// When the relay acknowledges a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Acknowledge {
    /// When it has gone to those who are there
    #[default]
    Relayed,
    /// When it is stored: who is away gets it when they are back
    Stored,
}

impl Acknowledge {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Relayed => "relayed",
            Self::Stored => "stored",
        }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Messages.
    Messages,
    /// Files.
    Files,
}

impl Kind {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Files => "files",
        }
    }
}
