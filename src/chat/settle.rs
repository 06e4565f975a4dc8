//! What a moderator settles on a line, in words: what was done, or that it was so already.
use client::Ruling;
use mrfc::conference::SUBJECT_OCTETS_MAX;

use super::Table;
use super::line::Settle;
use crate::terminal::plain;

pub(super) async fn carry_out(
    settle: Settle,
    of: &str,
    table: &Table<'_>,
) -> Result<String, String> {
    let ruling = settle.ruling(of, &table.whom(), table.me)?;
    if let Ruling::Subject(it) = &ruling
        && it.len() > SUBJECT_OCTETS_MAX
    {
        let octets = it.len();
        return Err(format!(
            "a subject has at most {SUBJECT_OCTETS_MAX} octets, and this has {octets}"
        ));
    }
    if let Ruling::Mute(who) | Ruling::Unmute(who) | Ruling::Appoint(who) | Ruling::Dismiss(who) =
        &ruling
        && !table.whom().has(who)
    {
        let whom = table.whom();
        return Err(whom.called(of).unwrap_or_else(|| whom.absent(table.me)));
    }
    // Who may not settle it hears that from the focus, before anything else.
    let rules = table.room.rules().await.ok().filter(|it| it.moderators.contains(table.me));
    if rules.is_some_and(|rules| ruling.is_so(&rules)) {
        return Err(format!("{}; nothing has changed", so(&ruling)));
    }
    if let Ruling::Ban(who) = &ruling {
        let known = table.is_known(who).await;
        known.map_err(|unknown| table.whom().called(of).unwrap_or(unknown))?;
    }
    table.room.settle(&ruling).await.map_err(|error| error.to_string())?;
    Ok(format!("* done: {}", done(&ruling)))
}

/// How it is already.
fn so(ruling: &Ruling) -> String {
    match ruling {
        Ruling::Lock(true) => "it is locked already".to_owned(),
        Ruling::Lock(false) => "it is not locked".to_owned(),
        Ruling::PrivateMessages(_) | Ruling::Nicknames(_) => "it is so already".to_owned(),
        Ruling::Subject(it) if it.is_empty() => "it has no subject".to_owned(),
        Ruling::Subject(_) => "it is about that already".to_owned(),
        Ruling::Mute(who) => format!("{} is muted already", who.user()),
        Ruling::Unmute(who) => format!("{} is not muted", who.user()),
        Ruling::Ban(who) => format!("{} is kept out already", who.user()),
        Ruling::Unban(who) => format!("{} is not kept out", who.user()),
        Ruling::Appoint(who) => format!("{} moderates already", who.user()),
        Ruling::Dismiss(who) => format!("{} does not moderate", who.user()),
    }
}

/// How it is now.
fn done(ruling: &Ruling) -> String {
    match ruling {
        Ruling::Lock(true) => "nobody new comes in, but who is invited".to_owned(),
        Ruling::Lock(false) => "anybody may come in".to_owned(),
        Ruling::PrivateMessages(_) | Ruling::Nicknames(_) => "it is so now".to_owned(),
        Ruling::Subject(it) if it.is_empty() => "it has no subject".to_owned(),
        Ruling::Subject(it) => format!("it is about {}", plain(it)),
        Ruling::Mute(who) => format!("{} may read, and not talk", who.user()),
        Ruling::Unmute(who) => format!("{} may talk", who.user()),
        Ruling::Ban(who) => format!("{0} is kept out, until /unban {0} or /invite {0}", who.user()),
        Ruling::Unban(who) => format!("{} may come again", who.user()),
        Ruling::Appoint(who) => format!("{} moderates", who.user()),
        Ruling::Dismiss(who) => format!("{} does not moderate any more", who.user()),
    }
}
