//! Messages for one person, or a few, beside the conference: sealed by `/tell`, in the clear by `/page` and by nothing else,
//! and `/private` inside of the room. What comes says whether it was sealed; what has waited in the mailbox, since when.
use bytes::Bytes;
use client::{
    Arrival, Error, Fate, Immediate, Inbox, Letter, Manner, Notice, Protection, Sent, Taken,
    Writing,
};
use ids::Aor;

use super::{THAT_IS_YOU, Table, files, nick, times, trust, unread};
use crate::terminal;

/// What is typed is text.
const TEXT: &str = "text/plain;charset=utf-8";
/// What can be done for who has no keys.
const PAGE: &str = "/page sends it in the clear, so that servers can read it";

/// What comes next for this person alone.
pub(super) async fn next(inbox: &mut Inbox) -> Arrival {
    match inbox.next().await {
        Some(arrival) => arrival,
        None => std::future::pending().await,
    }
}

/// What has come, as a line.
pub(super) fn arrived(arrival: Arrival, table: &Table<'_>) -> Option<String> {
    Some(match arrival {
        Arrival::Message(message) => line_of(&message),
        Arrival::Call(ring) => format!("* {} calls; a chat takes no calls", ring.from()),
        Arrival::File(offer) => {
            let name = offer.selector().name.clone().unwrap_or_default();
            files::pictured(table, &name, offer.icon());
            table.files.offered(offer)
        }
        Arrival::Announced(file) => return files::announced(table, &file),
        Arrival::Wanted(request) => {
            files::serve(table, request);
            return None;
        }
        Arrival::Letter(letter) => letter_of(&letter, table.me),
        Arrival::Receipt(receipt) => format!("* {} has opened it", receipt.by.user()),
        Arrival::Device { who, device, news, held } => {
            trust::told(&who, &device, (news, held), table.me)
        }
        Arrival::Split { who, epoch } => trust::split(&who, epoch),
        Arrival::Unreadable { from, why } => {
            if table.unread.note(&from, &why) {
                let unread = table.unread.clone();
                table.show_later(async move {
                    tokio::time::sleep(unread::MOMENT).await;
                    unread.take().join("\n")
                });
            }
            return None;
        }
    })
}

/// A message as a line; nothing of what else can come.
pub(crate) fn message(arrival: &Arrival, me: &Aor) -> Option<String> {
    match arrival {
        Arrival::Message(message) => Some(line_of(message)),
        Arrival::Letter(letter) => Some(letter_of(letter, me)),
        _ => None,
    }
}

/// `/tell USER TEXT`: sealed, or not sent.
pub(super) async fn tell(table: &Table<'_>, users: &str, text: &str) -> Result<String, String> {
    let whom = table.whom();
    let named = users.split(',').map(str::trim).filter(|user| !user.is_empty());
    let mut to: Vec<Aor> = Vec::new();
    for who in named.map(|user| whom.elsewhere(user, table.me)) {
        let who = who?;
        // Each has it once, however often they are named.
        if !to.contains(&who) {
            to.push(who);
        }
    }
    let manner = Manner { receipt: true, ..Manner::default() };
    let body = Bytes::from(text.to_owned());
    let writing = table.device.writing(&to, manner, TEXT, body).await;
    let writing = writing.map_err(|error| error.to_string())?;
    let (names, users) = (names(&to), users.to_owned());
    let many = to.len() > 1;
    outcome(table, writing, move |sent| match went(&sent, many, PAGE) {
        Ok(words) => format!("* {names} {words}"),
        Err(why) => format!("! /tell {users}: {why}"),
    })
    .await
}

/// `/page USER TEXT`: as it is. Servers can read it. What becomes of it is shown when that is told.
pub(super) async fn page(table: &Table<'_>, user: &str, text: &str) -> Result<String, String> {
    if user.contains(',') {
        return Err("it goes to one person at a time; /tell goes to several, sealed".to_owned());
    }
    let who = table.whom().elsewhere(user, table.me)?;
    let sent = table.device.page(&who, TEXT, Bytes::from(text.to_owned())).await;
    let sent = sent.map_err(|error| match error {
        Error::Refused { status: 404, .. } => "there is no such person".to_owned(),
        error => error.to_string(),
    })?;
    Ok(format!("* {} {}, not sealed", who.user(), came(sent.taken, false)))
}

/// `/private NICK TEXT`: in the room, sealed for the two.
pub(super) async fn private(table: &Table<'_>, nick: &str, text: &str) -> Result<String, String> {
    let who = known_as(table, nick).await?;
    let writing = table.room.whisper(&who, TEXT, Bytes::from(text.to_owned())).await;
    let writing = writing.map_err(|error| error.to_string())?;
    let nick = nick.to_owned();
    outcome(table, writing, move |said| match said {
        Ok(_id) => format!("* {} alone has it, sealed", who.user()),
        Err(Error::Refused { status: 404, .. }) => {
            let who = who.user();
            format!("! /private {nick}: {who} is away; /tell {who} waits for them in their mailbox")
        }
        Err(error) => format!("! /private {nick}: {error}"),
    })
    .await
}

/// Who is meant, of those who are here. The focus is asked before somebody is said not to be.
async fn known_as(table: &Table<'_>, nick: &str) -> Result<Aor, String> {
    let mut who = table.whom().here(nick);
    if let (None, Some(watch)) = (&who, &table.watch) {
        // If it does not answer, what was known before counts.
        drop(watch.look().await);
        who = table.whom().here(nick);
    }
    match who {
        Some(who) if who == *table.me => Err(THAT_IS_YOU.to_owned()),
        // A nickname that is the name of somebody who is not here: nobody is to read what was for another.
        Some(who)
            if table.whom().somebody(nick).as_ref() != Ok(&who)
                && nick::is_somebody_elses(nick, table).await =>
        {
            Err(format!(
                "here {} calls themselves so, and somebody else has that name: /private {0} or /tell {nick}",
                who.user()
            ))
        }
        Some(who) => Ok(who),
        None => {
            let others = table.whom().others(table.me);
            Err(format!("nobody here is called so; {others}. /tell reaches people elsewhere"))
        }
    }
}

/// What became of something written: at once, or, if it is held, when it has gone out.
pub(super) async fn outcome<T: Send + 'static>(
    table: &Table<'_>,
    mut writing: Writing<T>,
    told: impl FnOnce(Result<T, Error>) -> String + Send + 'static,
) -> Result<String, String> {
    match writing.held().await {
        None => Ok(told(writing.done().await)),
        Some(who) => {
            let (line, waits) = (trust::held(&who), table.held.watch(who));
            table.show_later(async move {
                let line = told(writing.done().await);
                drop(waits);
                line
            });
            Ok(line)
        }
    }
}

/// How far something written to one or many has come, and how it is protected; or why not, and what else there is.
pub(super) fn went(
    sent: &Result<Sent, Error>,
    many: bool,
    otherwise: &str,
) -> Result<String, String> {
    match sent {
        Ok(sent) => {
            let seal = match sent.protection {
                Protection::EndToEnd => "sealed",
                Protection::FirstHop => "NOT SEALED",
            };
            Ok(format!("{}, {seal}", came(sent.taken, many)))
        }
        Err(error @ Error::NoKeys(_)) => Err(format!("{error}. {otherwise}")),
        Err(error @ Error::Nobody(_)) if many => Err(format!("{error}; nothing was sent")),
        Err(error) => Err(error.to_string()),
    }
}

fn came(taken: Taken, many: bool) -> &'static str {
    match (taken, many) {
        (Taken::Delivered, false) => "has it",
        (Taken::Delivered, true) => "have it",
        (Taken::Stored, false) => "is not there: it waits in the mailbox",
        (Taken::Stored, true) => "are not all there: it waits in the mailbox",
        (Taken::Accepted, false) => "is sent it",
        (Taken::Accepted, true) => "are sent it",
    }
}

fn names(people: &[Aor]) -> String {
    people.iter().map(Aor::user).collect::<Vec<_>>().join(", ")
}

/// A sealed message; one's own were written on another device.
fn letter_of(letter: &Letter, me: &Aor) -> String {
    let text = terminal::content(&letter.message.content_type, &letter.message.body);
    let (from, written) = (&letter.message.from, letter.message.written);
    let times = letter.late.map(|late| times::late(late, written)).unwrap_or_default();
    let others: Vec<Aor> =
        letter.people.iter().filter(|person| *person != from && *person != me).cloned().collect();
    if from == me {
        return format!("<you to {}, sealed{times}> {text}", names(&others));
    }
    let and = if others.is_empty() { String::new() } else { format!(" and {}", names(&others)) };
    format!("<{} to you{and}, sealed{times}> {text}", from.user())
}

fn line_of(message: &Immediate) -> String {
    if let Some(notice) = message.notice() {
        return became(&notice);
    }
    let (content_type, body) = message.inside();
    let text = terminal::content(&content_type, &body);
    let times = message.late.map(|late| times::late(late, None)).unwrap_or_default();
    // What was sealed by other means than ours is shown as octets, and its type says what it is.
    let open = if message.protection == Some(Protection::EndToEnd) { "" } else { ", not sealed" };
    format!("<{} to you{open}{times}> {text}", message.from.user())
}

/// What became of something that was written or left before, whenever that was.
fn became(notice: &Notice) -> String {
    let who = notice.whom.user();
    let at = notice.written.map(times::at).unwrap_or_default();
    match notice.fate {
        Fate::Delivered => format!("* {who} has what you wrote{at}"),
        Fate::Stored => format!("* what you wrote{at} waits for {who} in the mailbox"),
        Fate::Failed => format!("! a device of {who} does not take what you wrote{at}"),
        Fate::Expired => {
            format!("! {who} did not come in time for what you wrote{at}: it is gone")
        }
        Fate::Unfetched => {
            format!("! {who} did not fetch in time the file you left{at}: it is gone")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::Late;
    use std::time::{Duration, SystemTime};

    #[test]
    fn s4_16_a_late_message_shows_when_it_was_sent_and_since_when_it_was_kept() {
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        let message = Immediate {
            from: "sip:alice@localhost".parse().unwrap(),
            content_type: "text/plain".to_owned(),
            body: Bytes::from_static(b"hi\x1b[2J"),
            protection: None,
            late: Some(Late { accepted: at(61), sent: Some(at(60)), skewed: false }),
        };

        assert_eq!(
            line_of(&message),
            "<alice to you, not sealed, sent 1970-01-01T00:01:00Z, kept since 1970-01-01T00:01:01Z> hi [2J"
        );
        let now = Immediate { late: None, ..message };
        assert_eq!(line_of(&now), "<alice to you, not sealed> hi [2J");
        let wrapped = Immediate {
            content_type: "Message/CPIM".to_owned(),
            body: Bytes::from_static(
                b"From: <sip:alice@localhost>\r\nTo: <sip:bob@localhost>\r\n\r\n\
                  Content-Type: text/plain\r\n\r\nhi",
            ),
            ..now
        };
        assert_eq!(line_of(&wrapped), "<alice to you, not sealed> hi");
    }

    #[test]
    fn what_became_of_a_message_or_a_file_is_said_in_words() {
        let notice = Notice {
            of: "m1".to_owned(),
            whom: "sip:bob@localhost".parse().unwrap(),
            written: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(60)),
            fate: Fate::Expired,
        };

        assert_eq!(
            became(&notice),
            "! bob did not come in time for what you wrote at 1970-01-01T00:01:00Z: it is gone"
        );
        let file = Notice { fate: Fate::Unfetched, written: None, ..notice };
        assert_eq!(became(&file), "! bob did not fetch in time the file you left: it is gone");
    }

    #[test]
    fn a_sealed_message_names_everybody_who_reads_it_and_what_a_device_of_ones_own_wrote_says_so() {
        let aor = |user: &str| format!("sip:{user}@localhost").parse::<Aor>().unwrap();
        let message = client::Message {
            from: aor("alice"),
            device: None,
            id: "m1".to_owned(),
            written: None,
            content_type: "text/plain".to_owned(),
            body: Bytes::from_static(b"hi\x1b"),
            epoch: None,
            private: false,
        };
        let pair = Letter { message, people: vec![aor("alice"), aor("bob")], late: None };
        let three = Letter { people: vec![aor("alice"), aor("bob"), aor("carol")], ..pair.clone() };

        assert_eq!(letter_of(&pair, &aor("bob")), "<alice to you, sealed> hi ");
        assert_eq!(letter_of(&three, &aor("bob")), "<alice to you and carol, sealed> hi ");
        assert_eq!(letter_of(&three, &aor("alice")), "<you to bob, carol, sealed> hi ");
    }
}
