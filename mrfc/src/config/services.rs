//! What is done for people outside of conferences: immediate messages, and the rules for what is not sealed. Doc comments
//! of the keys are the configuration page, like those of `config.rs`.
use std::path::PathBuf;

use serde::Deserialize;

/// Immediate messages (SIP MESSAGE, RFC 3428): what is passed from one person to another's devices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Messages {
    /// Whether they are passed on at all. Default true; otherwise 403.
    pub enabled: bool,
    /// Octets of a body. 64 KiB: every hop is TLS or TCP, so the 1300 octets of RFC 3428, 8 do not bind; above it 413.
    pub octets_max: usize,
    /// Media types that are passed on, such as `text/plain` or `image/*`. Default none named: all; otherwise 415.
    pub types: Vec<String>,
    /// Octets of a body for a person of this domain. Default 0: no other bound than `octets_max`.
    pub terminating_octets_max: usize,
    /// Media types that people of this domain are sent. Default none named: no other rule than `types`.
    pub terminating_types: Vec<String>,
    /// Seconds the recipient's devices have to answer. 20: below the sender's own 32 (RFC 3261, Timer F); then 480.
    pub answer_secs: u64,
    /// The user part of the URI to which a message for many is sent (RFC 5365). Default `list`; empty: no such service.
    pub list_service: String,
    /// Recipients of one such message. 100; above it 413.
    pub list_recipients_max: usize,
    /// Who may be sent one (RFC 5360): `domain`, every user of this domain, or `nobody`. Default `domain`; for a list
    /// with anybody else the sender gets 470.
    pub list_consent: Consent,
}

/// Who may be sent a message for many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consent {
    /// Whoever has an account here has agreed.
    Domain,
    /// Nobody has.
    Nobody,
}

/// Sessions between two people (MSRP, RFC 4975).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sessions {
    /// Whether people can call each other. Default true; otherwise 403.
    pub enabled: bool,
    /// Whether every session goes through a relay of ours. Default false: from device to device.
    pub through_relay: bool,
    /// People (`sip:alice@example.net`) and domains whose sessions go through a relay; in the file only.
    pub through_relay_for: Vec<String>,
    /// Whether each message of every session is charged; all of them go through a relay then. Default false.
    pub charge: bool,
    /// People and domains whose sessions are charged, and so go through a relay; in the file only.
    pub charge_for: Vec<String>,
    /// Where each charge is written as a line of JSON, beside its row in the store. Default: nowhere.
    pub charge_file: Option<PathBuf>,
}

/// A rule for content that is not sealed. A message is turned away if everything that the rule names is true of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterRule {
    /// Media types it is about, such as `text/html` or `image/*`; of `message/cpim` what it holds. Default: every type.
    #[serde(default)]
    pub types: Vec<String>,
    /// Words of which the content has one, in any case. Default: whatever it says.
    #[serde(default)]
    pub words: Vec<String>,
    /// It has more octets than this. Default: of any size.
    #[serde(default)]
    pub octets_over: Option<usize>,
    /// The SIP status its sender gets, 400 to 699. Default 403.
    #[serde(default = "forbidden")]
    pub status: u16,
}

impl FilterRule {
    /// Whether it says what it is about, and refuses.
    pub(super) fn is_useful(&self) -> bool {
        let about = !self.types.is_empty() || !self.words.is_empty() || self.octets_over.is_some();
        about && (400..=699).contains(&self.status)
    }
}

impl Default for Messages {
    fn default() -> Self {
        Self {
            enabled: true,
            octets_max: 64 * 1024,
            types: Vec::new(),
            terminating_octets_max: 0,
            terminating_types: Vec::new(),
            answer_secs: 20,
            list_service: String::from("list"),
            list_recipients_max: 100,
            list_consent: Consent::Domain,
        }
    }
}

impl Default for Sessions {
    fn default() -> Self {
        Self {
            enabled: true,
            through_relay: false,
            through_relay_for: Vec::new(),
            charge: false,
            charge_for: Vec::new(),
            charge_file: None,
        }
    }
}

const fn forbidden() -> u16 {
    403
}
