//! How conferences come to be, who sees them, and when they end. Doc comments of the keys are the configuration page, like
//! those of `config.rs`.
use std::time::Duration;

use ids::Aor;
use serde::Deserialize;

use super::{BadConfig, Consent};
use crate::conference::{self, CreatorLeaves, Life, Nickname, NicknamePolicy};
use crate::log::Retention;

/// How conferences come to be.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conferences {
    /// The user part of the factory URI (RFC 4579, 5.4).
    pub factory: String,
    /// Whether an INVITE to an unused name makes a conference of that name. Default false: 404.
    pub named: bool,
    /// Whether new conferences are sealed (end-to-end keys) or open.
    pub level: Level,
    /// Whether participants may take nicknames (RFC 7701, 7). Default true; otherwise NICKNAME gets 403.
    pub nicknames: bool,
    /// Seconds a nickname is kept for its person after its last seat is over. 600: as long as a seat outlives a lost
    /// dialog.
    pub nickname_quarantine_secs: u64,
    /// Words that nobody gets as a nickname, compared as nicknames are; in the file only.
    pub nicknames_reserved: Vec<String>,
    /// Whether a message may go to one participant alone (RFC 7701, 6.2). Default true; otherwise it gets 428.
    pub private_messages: bool,
    /// How a relay finds the session of a request: `strict`, or `session-id` where border controllers rewrite paths in
    /// SDP and not in MSRP. Default `strict`; a participant behind RFC 6714 is matched by its session-id in any case.
    pub session_match: SessionMatch,
    /// Who may watch who is in a conference (RFC 4575): its `participants`, or `everybody` who can log in and was not put
    /// out. Default `participants`.
    pub watchers: Watchers,
    /// Who may be anonymous (RFC 3323): `nobody`, `participants` though not who makes a conference, or `everybody`. Default
    /// `participants`; others get 433. In an open conference the relay and the others see a number, in a sealed one a
    /// pseudonym of that conference with a certificate of its own.
    pub anonymous: Anonymous,
    /// Seconds between two notifications to one watcher; what happens meanwhile comes in one. 5 (RFC 4575, 3.9).
    pub notify_secs: u64,
    /// People in the list of an INVITE that makes a conference and calls them (RFC 5366). 100; above it 413.
    pub list_recipients_max: usize,
    /// Who may be called so (RFC 5360): `domain`, every user of this domain, or `nobody`. Default `domain`; for a list
    /// with anybody else its sender gets 470, and no conference.
    pub list_consent: Consent,
    /// Whether each message of every conference is charged: one record, with to how many it went. Records are where those of
    /// sessions are (`sessions.charge_file`, and the store). Default false.
    pub charge: bool,
    /// When a message of a sealed conference is acknowledged: when it is `stored`, and then every member gets it, also who is
    /// away, too slow, or loses the relay; or when it is `relayed` to those who are there, which costs no disk. Default
    /// `stored`: what was acknowledged is not lost. In open conferences it is always when it is relayed.
    pub acknowledge: Acknowledge,
    /// Seconds for which messages are kept for members that are away. 2 592 000, 30 days: by then their certificates have
    /// ended. What every member has is kept no longer.
    pub log_secs: u64,
    /// Octets of messages kept for members of one conference that are away. 256 MiB; the oldest go first.
    pub log_bytes_max: u64,
    /// Messages kept so. 100 000.
    pub log_messages_max: u32,
    /// What becomes of a conference when its creator leaves it for good: it goes on (`stay`), ends (`end`), or whoever
    /// moderates longest takes the creator's place (`hand-on`). Default `stay`.
    pub creator_leaves: Leaves,
    /// Seconds after which a conference ends whoever is in it. Default 0: never.
    pub lifetime_secs: u64,
    /// Seconds after which a conference ends in which nobody has a seat. 2 592 000, 30 days: by then the certificates of
    /// those who were in it have ended. 0: never.
    pub idle_secs: u64,
    /// Seconds in which whoever asks for a conference that has ended is told so (410); after that there never was one
    /// (404). 3 600.
    pub gone_secs: u64,
    /// Conferences that are there without anybody in them, and keep their rules; in the file only. One that is left out
    /// later stays until somebody ends it.
    pub standing: Vec<StandingConference>,
    /// People (`sip:alice@example.net`) and domains who may make such conferences over HTTPS; in the file only.
    pub makers: Vec<String>,
}

/// A conference that outlives emptiness.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StandingConference {
    /// The user part of its URI.
    pub name: String,
    /// Who decides about it.
    pub creator: Aor,
    /// Who decides beside the creator.
    #[serde(default)]
    pub moderators: Vec<Aor>,
    /// Whether it is sealed or open. Default: as new conferences are.
    #[serde(default)]
    pub level: Option<Level>,
    /// What it is about.
    #[serde(default)]
    pub subject: Option<String>,
}

/// What becomes of a conference whose creator leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Leaves {
    /// It goes on.
    Stay,
    /// It ends.
    End,
    /// It gets another creator.
    HandOn,
}

/// When a message counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acknowledge {
    /// When it is on disk.
    Stored,
    /// When it is passed on.
    Relayed,
}

impl From<Acknowledge> for conference::Acknowledge {
    fn from(acknowledge: Acknowledge) -> Self {
        match acknowledge {
            Acknowledge::Stored => Self::Stored,
            Acknowledge::Relayed => Self::Relayed,
        }
    }
}

/// Who may be anonymous.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anonymous {
    /// Nobody.
    Nobody,
    /// Who joins a conference that is there.
    Participants,
    /// Also who makes it.
    Everybody,
}

/// Who may watch a conference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Watchers {
    /// Who is on its roster.
    Participants,
    /// Every user.
    Everybody,
}

/// How much of a path must be as SDP said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionMatch {
    /// All that RFC 4975, 6.1 compares.
    Strict,
    /// The session-id, which is the secret of it.
    SessionId,
}

/// What a new conference lets the relay see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Group keys; the relay sees ciphertext only.
    Sealed,
    /// TLS hop by hop, for plain MSRP clients.
    Open,
}

impl Default for Conferences {
    fn default() -> Self {
        let words = ["admin", "administrator", "moderator", "focus", "system"];
        Self {
            factory: String::from("conference-factory"),
            named: false,
            level: Level::Sealed,
            nicknames: true,
            nickname_quarantine_secs: 600,
            nicknames_reserved: words.map(String::from).to_vec(),
            private_messages: true,
            session_match: SessionMatch::Strict,
            watchers: Watchers::Participants,
            anonymous: Anonymous::Participants,
            notify_secs: 5,
            list_recipients_max: 100,
            list_consent: Consent::Domain,
            charge: false,
            acknowledge: Acknowledge::Stored,
            log_secs: 30 * 24 * 3600,
            log_bytes_max: 256 << 20,
            log_messages_max: 100_000,
            creator_leaves: Leaves::Stay,
            lifetime_secs: 0,
            idle_secs: 30 * 24 * 3600,
            gone_secs: 3_600,
            standing: Vec::new(),
            makers: Vec::new(),
        }
    }
}

impl Conferences {
    /// What participants may be called.
    ///
    /// # Errors
    /// A reserved word is no nickname.
    pub(crate) fn nickname_policy(&self) -> Result<NicknamePolicy, BadConfig> {
        let quarantine = Duration::from_secs(self.nickname_quarantine_secs);
        let bad = |word: &String| BadConfig::Reserved(word.clone());
        let words = self.nicknames_reserved.iter();
        let reserved = words.map(|word| Nickname::parse(word).map_err(|_| bad(word)));
        let reserved = reserved.collect::<Result<Vec<_>, _>>()?;
        Ok(NicknamePolicy::new(self.nicknames, quarantine, reserved))
    }

    /// How much is kept for members that are away.
    pub(crate) fn retention(&self) -> Retention {
        Retention {
            age: Duration::from_secs(self.log_secs),
            octets_max: self.log_bytes_max,
            messages_max: self.log_messages_max,
        }
    }

    /// When a conference ends by itself.
    pub(crate) fn life(&self) -> Life {
        let secs = |secs: u64| (secs > 0).then(|| Duration::from_secs(secs));
        let creator_leaves = match self.creator_leaves {
            Leaves::Stay => CreatorLeaves::Stay,
            Leaves::End => CreatorLeaves::End,
            Leaves::HandOn => CreatorLeaves::HandOn,
        };
        Life { longest: secs(self.lifetime_secs), idle: secs(self.idle_secs), creator_leaves }
    }

    /// Whether this person may make a conference that outlives emptiness.
    pub(crate) fn makes(&self, who: &Aor) -> bool {
        self.makers.iter().any(|name| {
            name.eq_ignore_ascii_case(who.as_str()) || name.eq_ignore_ascii_case(who.host())
        })
    }
}
