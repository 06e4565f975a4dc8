//! What a moderator settles, as the HTTPS resources of a conference take it. Calling and removing people are REFER's.
use hyper::Method;
use ids::{Aor, ConferenceId};
use serde_json::{Value, json};

/// Something to be settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// Nobody new is let in, or anybody again.
    Lock(bool),
    /// Messages to one participant alone pass, or not.
    PrivateMessages(bool),
    /// There are nicknames, or not.
    Nicknames(bool),
    /// What it is about; empty: nothing.
    Subject(String),
    /// This person may not talk.
    Mute(Aor),
    /// This person may talk again.
    Unmute(Aor),
    /// This person is put out, and kept out.
    Ban(Aor),
    /// This person may come again.
    Unban(Aor),
    /// This person may decide about others.
    Appoint(Aor),
    /// This person may not decide about others any more.
    Dismiss(Aor),
}

/// What holds in a conference, as far as whoever asks may know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Nobody new is let in.
    pub locked: bool,
    /// Messages to one participant alone pass.
    pub private_messages: bool,
    /// There are nicknames.
    pub nicknames: bool,
    /// What it is about.
    pub subject: Option<String>,
    /// Who may decide about others.
    pub moderators: Vec<Aor>,
    /// Who may not talk.
    pub muted: Vec<Aor>,
    /// Who is kept out. Moderators alone are told.
    pub banned: Vec<Aor>,
}

impl Rules {
    /// Reads them; none if these are none.
    pub(crate) fn read(octets: &[u8]) -> Option<Self> {
        let rules: Value = serde_json::from_slice(octets).ok()?;
        let is = |name: &str| rules.get(name)?.as_bool();
        let people = |name: &str| -> Option<Vec<Aor>> {
            let listed = rules.get(name)?.as_array()?.iter();
            Some(listed.filter_map(|who| who.as_str()?.parse().ok()).collect())
        };
        Some(Self {
            locked: is("locked")?,
            private_messages: is("private_messages")?,
            nicknames: is("nicknames")?,
            subject: rules.get("subject")?.as_str().map(str::to_owned),
            moderators: people("moderators")?,
            muted: people("muted")?,
            banned: people("banned")?,
        })
    }
}

/// What is sent for a ruling.
pub(crate) struct Sent {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
}

impl Ruling {
    /// Whether it is so already.
    pub fn is_so(&self, rules: &Rules) -> bool {
        match self {
            Self::Lock(it) => rules.locked == *it,
            Self::PrivateMessages(it) => rules.private_messages == *it,
            Self::Nicknames(it) => rules.nicknames == *it,
            Self::Subject(it) => rules.subject.as_deref().unwrap_or_default() == it,
            Self::Mute(who) => rules.muted.contains(who),
            Self::Unmute(who) => !rules.muted.contains(who),
            Self::Ban(who) => rules.banned.contains(who),
            Self::Unban(who) => !rules.banned.contains(who),
            Self::Appoint(who) => rules.moderators.contains(who),
            Self::Dismiss(who) => !rules.moderators.contains(who),
        }
    }

    pub(crate) fn sent(&self, id: &ConferenceId) -> Sent {
        let path = format!("/v1/conferences/{id}");
        let change =
            |body: Value| Sent { method: Method::PATCH, path: path.clone(), body: Some(body) };
        let listed = |method: Method, list: &str, who: &Aor| Sent {
            method,
            path: format!("{path}/{list}/{who}"),
            body: None,
        };
        match self {
            Self::Lock(it) => change(json!({ "locked": it })),
            Self::PrivateMessages(it) => change(json!({ "private_messages": it })),
            Self::Nicknames(it) => change(json!({ "nicknames": it })),
            Self::Subject(it) => change(json!({ "subject": it })),
            Self::Mute(who) => listed(Method::PUT, "muted", who),
            Self::Unmute(who) => listed(Method::DELETE, "muted", who),
            Self::Ban(who) => listed(Method::PUT, "banned", who),
            Self::Unban(who) => listed(Method::DELETE, "banned", who),
            Self::Appoint(who) => listed(Method::PUT, "moderators", who),
            Self::Dismiss(who) => listed(Method::DELETE, "moderators", who),
        }
    }

    /// What is asked for, for whoever hears that it was refused.
    pub(crate) const fn what(&self) -> &'static str {
        match self {
            Self::Lock(true) => "locking the conference",
            Self::Lock(false) => "unlocking the conference",
            Self::PrivateMessages(_) => "settling private messages",
            Self::Nicknames(_) => "settling nicknames",
            Self::Subject(_) => "settling the subject",
            Self::Mute(_) => "muting somebody",
            Self::Unmute(_) => "letting somebody talk",
            Self::Ban(_) => "keeping somebody out",
            Self::Unban(_) => "letting somebody come again",
            Self::Appoint(_) => "appointing a moderator",
            Self::Dismiss(_) => "dismissing a moderator",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_is_read_and_says_what_a_ruling_would_not_change() {
        let rules = Rules::read(
            br#"{"uri":"sip:room7@x","locked":true,"private_messages":true,"nicknames":false,"subject":null,
                "moderators":["sip:alice@x"],"muted":["sip:bob@x"],"banned":[]}"#,
        );
        let rules = rules.unwrap();
        let (alice, bob): (Aor, Aor) =
            ("sip:alice@x".parse().unwrap(), "sip:bob@x".parse().unwrap());

        let so = [
            Ruling::Lock(true),
            Ruling::PrivateMessages(true),
            Ruling::Nicknames(false),
            Ruling::Subject(String::new()),
            Ruling::Mute(bob.clone()),
            Ruling::Unmute(alice.clone()),
            Ruling::Unban(bob.clone()),
            Ruling::Appoint(alice.clone()),
            Ruling::Dismiss(bob.clone()),
        ];
        assert!(so.iter().all(|ruling| ruling.is_so(&rules)));
        let new = [
            Ruling::Lock(false),
            Ruling::Subject("tea".to_owned()),
            Ruling::Mute(alice.clone()),
            Ruling::Unmute(bob.clone()),
            Ruling::Ban(bob.clone()),
            Ruling::Appoint(bob),
            Ruling::Dismiss(alice),
        ];
        assert!(!new.iter().any(|ruling| ruling.is_so(&rules)));
        assert_eq!(Rules::read(b"[]"), None);
    }

    #[test]
    fn each_ruling_has_its_resource() {
        let (id, bob): (ConferenceId, Aor) =
            ("room7".parse().unwrap(), "sip:bob@example.net".parse().unwrap());
        let of = |ruling: Ruling| {
            let Sent { method, path, body } = ruling.sent(&id);
            format!("{method} {path} {}", body.unwrap_or_default())
        };

        assert_eq!(of(Ruling::Lock(true)), "PATCH /v1/conferences/room7 {\"locked\":true}");
        assert_eq!(
            of(Ruling::Ban(bob.clone())),
            "PUT /v1/conferences/room7/banned/sip:bob@example.net null"
        );
        assert_eq!(
            of(Ruling::Dismiss(bob)),
            "DELETE /v1/conferences/room7/moderators/sip:bob@example.net null"
        );
    }
}
