//! What a line means: the grammar of the slash commands, and nothing of what they do. Pure.
use client::Ruling;
use ids::Aor;

use super::trust::Trust;
use super::whom::{THAT_IS_YOU, Whom};

/// What a person typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Text for everyone.
    Say(String),
    /// `/invite USER`
    Invite(String),
    /// `/kick USER`
    Kick(String),
    /// `/tell USER[,USER] TEXT`, `/msg`: a sealed message, whether they are there or not.
    Tell(String, String),
    /// `/page USER TEXT`, `/tell --clear USER TEXT`: a message that servers can read.
    Page(String, String),
    /// `/private NICK TEXT`: said in the room to one person alone, sealed for the two.
    Private(String, String),
    /// `/send USER PATH`: a sealed file for one person.
    Send(String, String),
    /// `/get NUMBER`, `/get NAME`: a file that somebody has for this person; `/get` alone says which there are.
    Get(String),
    /// `/file PATH`
    Share(String),
    /// `/nick NAME`, or `/nick` for none.
    Nick(String),
    /// `/lock`, `/subject TEXT`, or about a person: `/ban USER`, `/moderator USER` and the like.
    Settle(Settle, String),
    /// `/verify`, `/accept USER` and the like.
    Trust(Trust, String),
    /// `/devices`
    Devices,
    /// `/confirm CODE`
    Confirm(String),
    /// `/lost DEVICE`
    Lost(String),
    /// `/who`
    Who,
    /// `/quit`: away, coming back as the same member.
    Quit,
    /// `/leave`: out of the group for good.
    Leave,
    /// `/help`
    Help,
    /// Something that starts with a slash and is none of these.
    Unknown(String),
}

/// What a moderator settles, by the word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settle {
    Lock,
    Unlock,
    Subject,
    Ban,
    Unban,
    Mute,
    Unmute,
    Moderator,
    Dismiss,
}

impl Settle {
    const ALL: [(&str, Self); 9] = [
        ("lock", Self::Lock),
        ("unlock", Self::Unlock),
        ("subject", Self::Subject),
        ("ban", Self::Ban),
        ("unban", Self::Unban),
        ("mute", Self::Mute),
        ("unmute", Self::Unmute),
        ("moderator", Self::Moderator),
        ("dismiss", Self::Dismiss),
    ];

    /// What is settled by this word, if it may stand with something behind it, or alone.
    fn of(word: &str, alone: bool) -> Option<Self> {
        let (_, it) = Self::ALL.into_iter().find(|(known, _)| *known == word)?;
        match it {
            Self::Subject => Some(it),
            Self::Lock | Self::Unlock => alone.then_some(it),
            _ => (!alone).then_some(it),
        }
    }

    /// What it asks for; nobody puts themselves out by mistake.
    pub(super) fn ruling(self, of: &str, whom: &Whom<'_>, me: &Aor) -> Result<Ruling, String> {
        let who = || whom.somebody(of);
        if matches!(self, Self::Ban | Self::Mute) && who()? == *me {
            return Err(THAT_IS_YOU.to_owned());
        }
        Ok(match self {
            Self::Lock => Ruling::Lock(true),
            Self::Unlock => Ruling::Lock(false),
            Self::Subject => Ruling::Subject(of.to_owned()),
            Self::Ban => Ruling::Ban(who()?),
            Self::Unban => Ruling::Unban(who()?),
            Self::Mute => Ruling::Mute(who()?),
            Self::Unmute => Ruling::Unmute(who()?),
            Self::Moderator => Ruling::Appoint(who()?),
            Self::Dismiss => Ruling::Dismiss(who()?),
        })
    }
}

/// Understands a line.
pub(crate) fn understand(line: &str) -> Option<Line> {
    let line = line.trim_end();
    // A blank that slipped in before a command must not tell everybody what was meant for one.
    let Some(command) = line.trim_start().strip_prefix('/') else {
        return (!line.is_empty()).then(|| Line::Say(line.to_owned()));
    };
    if command.starts_with('/') {
        return Some(Line::Say(command.to_owned()));
    }
    let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
    let rest = rest.trim().to_owned();
    if let Some(settle) = Settle::of(word, rest.is_empty()) {
        return Some(Line::Settle(settle, rest));
    }
    if let Some(trust) = Trust::of(word, rest.is_empty()) {
        return Some(Line::Trust(trust, rest));
    }
    Some(match (word, rest.is_empty()) {
        ("invite", false) => Line::Invite(rest),
        ("kick", false) => Line::Kick(rest),
        ("file", false) => Line::Share(rest),
        ("tell" | "msg" | "page" | "private" | "send", false) => {
            addressed(word, &rest).unwrap_or_else(|| Line::Unknown(line.to_owned()))
        }
        ("get", _) => Line::Get(rest),
        ("nick", _) => Line::Nick(rest),
        ("devices", true) => Line::Devices,
        ("confirm", false) => Line::Confirm(rest),
        ("lost", false) => Line::Lost(rest),
        ("who", true) => Line::Who,
        ("quit" | "q", true) => Line::Quit,
        ("leave", true) => Line::Leave,
        ("help", true) => Line::Help,
        _ => Line::Unknown(line.to_owned()),
    })
}

/// A command with a person and something for them.
fn addressed(word: &str, rest: &str) -> Option<Line> {
    let (who, what) = match word {
        "tell" | "msg" => people(rest)?,
        _ => rest.split_once(' ').map(|(who, what)| (who.to_owned(), what))?,
    };
    let what = what.trim().to_owned();
    match word {
        // Only this word, in this place, gives the seal up.
        "tell" | "msg" if who == "--clear" => addressed("page", &what),
        "tell" | "msg" => Some(Line::Tell(who, what)),
        "page" => Some(Line::Page(who, what)),
        "private" => Some(Line::Private(who, what)),
        _ => Some(Line::Send(who, what)),
    }
}

/// The people at the beginning of a line, and what is behind them: a comma goes on also beside a blank.
fn people(rest: &str) -> Option<(String, &str)> {
    let (who, mut what) = rest.split_once(' ')?;
    let mut who = who.to_owned();
    while who.ends_with(',') || what.trim_start().starts_with(',') {
        let (next, behind) = what.trim_start().split_once(' ')?;
        who.push_str(next);
        what = behind;
    }
    Some((who, what))
}

impl Line {
    /// The command that a refusal is about.
    pub(super) fn command(&self) -> String {
        match self {
            Self::Invite(user) => format!("/invite {user}: "),
            Self::Kick(user) => format!("/kick {user}: "),
            Self::Tell(user, _text) => format!("/tell {user}: "),
            Self::Page(user, _text) => format!("/page {user}: "),
            Self::Private(nick, _text) => format!("/private {nick}: "),
            Self::Send(user, path) => format!("/send {user} {path}: "),
            Self::Get(name) => format!("/get {name}").trim_end().to_owned() + ": ",
            Self::Share(path) => format!("/file {path}: "),
            Self::Devices => "/devices: ".to_owned(),
            Self::Confirm(_code) => "/confirm: ".to_owned(),
            Self::Lost(device) => format!("/lost {device}: "),
            Self::Nick(name) => format!("/nick {name}").trim_end().to_owned() + ": ",
            Self::Trust(trust, of) => {
                format!("/{} {of}", trust.word()).trim_end().to_owned() + ": "
            }
            // What it was to be about may be long.
            Self::Settle(Settle::Subject, _text) => "/subject: ".to_owned(),
            Self::Settle(settle, of) => {
                let word = Settle::ALL.into_iter().find(|(_, it)| it == settle);
                format!("/{} {of}", word.map_or("", |(word, _)| word)).trim_end().to_owned() + ": "
            }
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_text_unless_it_starts_with_a_slash() {
        assert_eq!(understand("  /tell bob x"), understand("/tell bob x"));
        assert!(!matches!(understand(" /tell bob x"), Some(Line::Say(_))));
        assert_eq!(understand("hello /quit\n"), Some(Line::Say("hello /quit".into())));
        assert_eq!(understand("//etc/passwd"), Some(Line::Say("/etc/passwd".into())));
        assert_eq!(understand("/quit"), Some(Line::Quit));
        assert_eq!(understand("/kick  dave "), Some(Line::Kick("dave".into())));
        assert_eq!(understand("/kick"), Some(Line::Unknown("/kick".into())));
        let tell = Line::Tell("bob".into(), "are you there?".into());
        assert_eq!(understand("/tell bob  are you there?"), Some(tell.clone()));
        assert_eq!(understand("/msg bob are you there?"), Some(tell));
        let page = Line::Page("bob".into(), "are you there?".into());
        assert_eq!(understand("/page bob are you there?"), Some(page.clone()));
        assert_eq!(understand("/tell --clear bob are you there?"), Some(page));
        for several in
            ["/tell bob,carol x", "/tell bob, carol x", "/tell bob ,carol  x", "/msg bob , carol x"]
        {
            let both = Line::Tell("bob,carol".into(), "x".into());
            assert_eq!(understand(several), Some(both), "{several}");
        }
        assert_eq!(understand("/tell bob, x"), Some(Line::Unknown("/tell bob, x".into())));
        assert_eq!(
            understand("/send bob a b.txt"),
            Some(Line::Send("bob".into(), "a b.txt".into()))
        );
        assert_eq!(
            understand("/private Jay psst"),
            Some(Line::Private("Jay".into(), "psst".into()))
        );
        assert_eq!(understand("/get"), Some(Line::Get(String::new())));
        assert_eq!(understand("/nick Blue Jay"), Some(Line::Nick("Blue Jay".into())));
        assert_eq!(understand("/nick"), Some(Line::Nick(String::new())));
        assert_eq!(understand("  \n"), None);
        assert_eq!(understand("/ban dave"), Some(Line::Settle(Settle::Ban, "dave".into())));
        let verify = |of: &str| Some(Line::Trust(Trust::Compare, of.to_owned()));
        assert_eq!(understand("/verify"), verify(""));
        assert_eq!(understand("/verify bob"), verify("bob"));
        assert_eq!(understand("/accept bob"), Some(Line::Trust(Trust::Accept, "bob".into())));
        assert_eq!(understand("/lock"), Some(Line::Settle(Settle::Lock, String::new())));
        assert_eq!(understand("/subject"), Some(Line::Settle(Settle::Subject, String::new())));
        for incomplete in [
            "/ban",
            "/lock it",
            "/moderator",
            "/accept",
            "/tell bob",
            "/tell --clear bob",
            "/send bob",
        ] {
            assert_eq!(understand(incomplete), Some(Line::Unknown(incomplete.into())));
        }
    }
}
