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

/// What is sent for a ruling.
pub(crate) struct Sent {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Option<Value>,
}

impl Ruling {
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
