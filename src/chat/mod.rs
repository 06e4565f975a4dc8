//! `conclave chat ROOM --as NAME`: one person in one conference, in a terminal or through a pipe. What a line means
//! is decided here, without a terminal; `plain` and `screen` only read and show. Who is there is in `roster`.
mod device;
mod lines;
mod mail;
mod own;
mod plain;
mod roster;
mod screen;
mod trust;

use std::path::{Path, PathBuf};

use anyhow::Context;
use bytes::Bytes;
use client::{Conference, Device, Entry, Event, Folder, Inbox, Level, Roster, Ruling, Watch};
use ids::{Aor, ConferenceId};

use conclave::system::Directions;

use crate::cli;
use crate::terminal::{self, address};
pub(crate) use device::start as start_device;
use trust::Trust;

/// What a person typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Text for everyone.
    Say(String),
    /// `/invite USER`
    Invite(String),
    /// `/kick USER`
    Kick(String),
    /// `/tell USER TEXT`: a message for one person, there or not.
    Tell(String, String),
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

/// What the slash commands are, for `/help`.
pub(crate) const HELP: &str = "/invite USER  /kick USER  /tell USER TEXT  /file PATH  /nick NAME  /who  /quit (stay a member)  /leave (for good)  /help\n\
    who is who: /verify [USER]  /verified USER  /unverify USER  /accept USER\n\
    your own devices: /devices  /lost DEVICE (take it back for good)\n\
    moderators: /lock  /unlock  /subject TEXT  /ban USER  /unban USER  /mute USER  /unmute USER  /moderator USER  /dismiss USER";

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

    fn ruling(self, of: &str, domain: &str) -> anyhow::Result<Ruling> {
        let who = || address(of, domain);
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

/// Octets of a file that is shared: it is in memory as a whole.
const FILE_OCTETS_MAX: u64 = 256 * 1024 * 1024;

/// Understands a line.
pub(crate) fn understand(line: &str) -> Option<Line> {
    let line = line.trim_end();
    let Some(command) = line.strip_prefix('/') else {
        return (!line.is_empty()).then(|| Line::Say(line.to_owned()));
    };
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
        ("tell", false) => match rest.split_once(' ') {
            Some((user, text)) => Line::Tell(user.to_owned(), text.trim().to_owned()),
            None => Line::Unknown(line.to_owned()),
        },
        ("nick", _) => Line::Nick(rest),
        ("devices", true) => Line::Devices,
        ("lost", false) => Line::Lost(rest),
        ("who", true) => Line::Who,
        ("quit" | "q", true) => Line::Quit,
        ("leave", true) => Line::Leave,
        ("help", true) => Line::Help,
        _ => Line::Unknown(line.to_owned()),
    })
}

/// Whether the conversation goes on after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read on.
    Go,
    /// Done, staying a member.
    Quit,
    /// Done, leaving the group.
    Leave,
}

/// What a conversation is carried on with.
pub(crate) struct Table<'a> {
    pub(crate) room: &'a Conference,
    pub(crate) me: &'a Aor,
    pub(crate) device: &'a Device,
    pub(crate) domain: &'a str,
    /// Who is there, if we may watch.
    pub(crate) watch: Option<Watch>,
    /// What comes for this person alone.
    pub(crate) inbox: Inbox,
    /// Where received files go.
    pub(crate) downloads: PathBuf,
    /// Octets of a file that may be shared.
    pub(crate) file_octets_max: u64,
}

/// Carries a line out; what is to be shown goes to `show`. A refusal names the command.
pub(crate) async fn carry_out(
    line: &Line,
    table: &Table<'_>,
    show: &mut dyn FnMut(String),
) -> Next {
    let Table { room, domain, .. } = table;
    let carried = match line {
        Line::Say(text) => {
            let text = Bytes::from(text.clone());
            tokio::select! {
                // Said first, then held.
                biased;
                sent = room.send("text/plain;charset=utf-8", text) => {
                    sent.map(|_id| None).map_err(|error| error.to_string())
                }
                // It goes out later; an event says so.
                _who = room.held() => Ok(None),
            }
        }
        Line::Invite(user) => about(user, domain, async |who| room.invite(&who).await).await,
        Line::Tell(user, text) => match address(user, domain) {
            Ok(who) => mail::tell(table.device, &who, text).await.map(Some),
            Err(error) => Err(error.to_string()),
        },
        Line::Kick(user) => about(user, domain, async |who| room.kick(&who).await).await,
        Line::Settle(settle, of) => match settle.ruling(of, domain) {
            Ok(ruling) => {
                let settled = room.settle(&ruling).await;
                settled.map(|()| Some("* done".to_owned())).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        },
        Line::Share(path) => share(path, table).await.map(Some),
        Line::Nick(name) => {
            let known = match name.is_empty() {
                true => "* you have no nickname".to_owned(),
                false => format!("* you are known as {name}"),
            };
            room.nickname(name).await.map(|()| Some(known)).map_err(|error| error.to_string())
        }
        Line::Trust(trust, of) => trust.carry_out(of, table).await.map(Some),
        Line::Devices => own::devices(table).await.map(Some),
        Line::Lost(device) => own::take_back(device, table).await.map(Some),
        Line::Who => Ok(Some(who(table))),
        Line::Help => Ok(Some(HELP.to_owned())),
        Line::Unknown(line) => Ok(Some(format!("not understood: {line}   {HELP}"))),
        Line::Quit => return Next::Quit,
        Line::Leave => return Next::Leave,
    };
    match carried {
        Ok(said) => said.into_iter().for_each(show),
        Err(error) => show(format!("! {}{error}", line.command())),
    }
    Next::Go
}

impl Line {
    /// The command that a refusal is about.
    fn command(&self) -> String {
        match self {
            Self::Invite(user) => format!("/invite {user}: "),
            Self::Kick(user) => format!("/kick {user}: "),
            Self::Tell(user, _text) => format!("/tell {user}: "),
            Self::Share(path) => format!("/file {path}: "),
            Self::Devices => "/devices: ".to_owned(),
            Self::Lost(device) => format!("/lost {device}: "),
            Self::Nick(name) => format!("/nick {name}: "),
            Self::Trust(trust, of) => {
                format!("/{} {of}", trust.word()).trim_end().to_owned() + ": "
            }
            Self::Settle(settle, of) => {
                let word = Settle::ALL.into_iter().find(|(_, it)| it == settle);
                format!("/{} {of}", word.map_or("", |(word, _)| word)).trim_end().to_owned() + ": "
            }
            _ => String::new(),
        }
    }
}

/// Does something about a person of our domain, or of another one.
async fn about(
    user: &str,
    domain: &str,
    act: impl AsyncFnOnce(Aor) -> Result<(), client::Error>,
) -> Result<Option<String>, String> {
    let who = address(user, domain).map_err(|error| error.to_string())?;
    act(who).await.map(|()| None).map_err(|error| error.to_string())
}

/// Shares a file, whose size is known before it is read.
async fn share(path: &str, table: &Table<'_>) -> Result<String, String> {
    let name = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.ok_or("it names no file")?;
    let metadata = tokio::fs::metadata(path).await.map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    let (octets, max) = (metadata.len(), table.file_octets_max);
    if octets > max {
        return Err(format!("{octets} octets are too many; share at most {max} at once"));
    }
    let content = tokio::fs::read(path).await.map_err(|error| error.to_string())?;
    let shared = table.room.send_file(&name, "application/octet-stream", Bytes::from(content));
    shared.await.map_err(|error| error.to_string())?;
    Ok(format!("* shared {path}"))
}

fn who(table: &Table<'_>) -> String {
    let status = table.room.status();
    let devices = format!("* {} devices in epoch {}", status.roster.len(), status.epoch);
    match &table.watch {
        Some(watch) => format!("{devices}\n{}", roster::shown(&watch.roster())),
        None => {
            let names: Vec<String> =
                status.roster.iter().map(|device| device.aor.to_string()).collect();
            format!("{devices}: {}", names.join(", "))
        }
    }
}

/// An event as a line for a person. A file is in the folder for files before it is told of.
pub(crate) async fn told(event: &Event, table: &Table<'_>) -> String {
    if let Event::File(file) = event {
        let (folder, name) = (Folder::new(&table.downloads), file.name.clone());
        let content = file.content.clone();
        let saved = tokio::task::spawn_blocking(move || folder.save(&name, &content)).await;
        let place = match saved.map_err(std::io::Error::other).flatten() {
            Ok(path) => format!("saved as {}", path.display()),
            Err(error) => format!("not saved: {error}"),
        };
        return format!("{}; {place}", line_of(event));
    }
    line_of(event)
}

/// The next roster, if anything is told of it.
pub(crate) async fn next_roster(watch: &mut Option<Watch>) -> Option<Roster> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
    }
}

fn line_of(event: &Event) -> String {
    match event {
        Event::Entered { epoch, by: Entry::Kept, .. } => {
            format!("* you hold the group key as before (epoch {epoch})")
        }
        Event::Entered { epoch, .. } => format!("* you hold the group key (epoch {epoch})"),
        Event::Advanced { epoch, added, removed } => {
            let names = |devices: &[(Aor, ids::DeviceId)], word: &str| -> String {
                devices.iter().map(|(aor, _device)| format!(" {aor} {word};")).collect()
            };
            format!("* epoch {epoch};{}{}", names(added, "joined"), names(removed, "is out"))
        }
        Event::Message(message) => {
            let shown = terminal::content(&message.content_type, &message.body);
            format!("<{}> {shown}", message.from.user())
        }
        Event::File(file) => {
            let (name, octets) = (terminal::plain(&file.name), file.content.len());
            format!("* {} shared {name} ({octets} octets)", file.from.user())
        }
        Event::Announced(file) => {
            let (name, octets) = (terminal::plain(&file.name), file.octets);
            format!("* {} has {name} for you ({octets} octets)", file.from.user())
        }
        Event::Unreadable { why } => format!("* something unreadable came by: {why}"),
        Event::Device { who, device, news, held } => trust::told(who, device, *news, *held),
        Event::Held { who } => trust::held(who),
        Event::Split { who, epoch } => trust::split(who, *epoch),
        Event::Missed { since: Some((_, since)), until: (_, until) } => {
            format!("* you missed what was said between epochs {since} and {until}")
        }
        Event::Missed { since: None, until: (_, until) } => {
            format!("* your keys were lost: you cannot read what was said before epoch {until}")
        }
        Event::Removed => "* you were removed from the group".to_owned(),
        Event::Ended { reason } => format!("* the conference ended for you: {reason}"),
    }
}

/// Joins and talks until the person or the input is done.
///
/// # Errors
/// The system is not there, does not know the user, or refuses the conference.
pub(crate) async fn run(chat: cli::Chat) -> anyhow::Result<()> {
    let directions = Directions::read(&chat.folder)?;
    let id: ConferenceId = chat.room.parse().context("the name of the room")?;
    let profile = directions.profile(&chat.name)?;
    let me = profile.aor.clone();
    let domain = directions.domain.clone();
    let state =
        device::State { folder: chat.state.clone(), passphrase_file: chat.passphrase_file.clone() };
    let started = device::start_in(&chat.folder, &chat.name, &state, profile).await;
    // The vault stays open to the end.
    let (device, _invitations, _vault) = started.context("registering")?;
    let (room, events) = device.join(&id, Level::Sealed).await.context("joining")?;
    let (watch, unwatched) = match room.watch().await {
        Ok(watch) => (Some(watch), None),
        Err(error) => (None, Some(format!("! who is there cannot be watched: {error}"))),
    };
    let downloads = chat.downloads.unwrap_or_else(|| chat.folder.join("downloads"));
    let file_octets_max = FILE_OCTETS_MAX;
    let table = Table {
        room: &room,
        me: &me,
        device: &device,
        inbox: device.inbox(),
        domain: &domain,
        watch,
        downloads,
        file_octets_max,
    };
    let next = if chat.plain {
        plain::talk(table, events, unwatched).await?
    } else {
        screen::talk(table, events, &chat.name, unwatched).await?
    };
    match next {
        Next::Leave => room.leave().await.context("leaving")?,
        Next::Go | Next::Quit => room.away().await,
    }
    device.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_text_unless_it_starts_with_a_slash() {
        assert_eq!(understand("hello /quit\n"), Some(Line::Say("hello /quit".into())));
        assert_eq!(understand("/quit"), Some(Line::Quit));
        assert_eq!(understand("/kick  dave "), Some(Line::Kick("dave".into())));
        assert_eq!(understand("/kick"), Some(Line::Unknown("/kick".into())));
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
        for incomplete in ["/ban", "/lock it", "/moderator", "/accept"] {
            assert_eq!(understand(incomplete), Some(Line::Unknown(incomplete.into())));
        }
    }
}
