//! `conclave chat ROOM --as NAME`: one person in one conference, in a terminal or through a pipe. What a line means
//! is decided in `line`, what it does here, without a terminal; `plain` and `screen` only read and show. What goes to one
//! person is in `mail` and `files`, who is there in `roster`.
mod device;
mod events;
mod files;
mod line;
mod lines;
mod mail;
mod own;
mod plain;
mod roster;
mod screen;
mod times;
mod trust;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use bytes::Bytes;
use client::{Conference, Device, Inbox, Level, Roster, Watch};
use ids::{Aor, ConferenceId};
use tokio::sync::mpsc;

use conclave::system::Directions;

use crate::cli;
use crate::terminal::address;
pub(crate) use device::start as start_device;
use events::told;
use files::Files;
use line::{HELP, Line, understand};

/// Octets of a file that is shared: it is in memory as a whole.
const FILE_OCTETS_MAX: u64 = 256 * 1024 * 1024;
/// Lines that wait to be shown, of what has taken a while.
const LATER_MAX: usize = 64;
/// What goes to a person outside of the room has a name on it.
const UNDER_YOUR_NAME: &str = "you are here under a pseudonym, and this would go out under your name; nothing was sent. \
                               Without --anonymous it can be";

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
    /// Files for one person, either way.
    files: Mutex<Files>,
    /// What is shown when it is over, of what nobody waits for.
    later: (mpsc::Sender<String>, mpsc::Receiver<String>),
}

impl Table<'_> {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows what comes of this when it does.
    fn show_later(&self, line: impl Future<Output = String> + Send + 'static) {
        let later = self.later.0.clone();
        tokio::spawn(async move {
            // The conversation may be over.
            let _shown = later.send(line.await).await;
        });
    }
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
        Line::Tell(..) | Line::Page(..) | Line::Send(..) | Line::Get(..)
            if table.room.shown_as().is_some() =>
        {
            Err(UNDER_YOUR_NAME.to_owned())
        }
        Line::Tell(users, text) => mail::tell(table, users, text).await.map(Some),
        Line::Page(user, text) => mail::page(table, user, text).await.map(Some),
        Line::Private(nick, text) => mail::private(table, nick, text).await.map(Some),
        Line::Send(user, path) => files::send(table, user, path).await.map(Some),
        Line::Get(name) => files::get(table, name).await.map(Some),
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
        Line::Confirm(code) => own::confirm(code, table).await.map(Some),
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

/// The next roster, if anything is told of it.
pub(crate) async fn next_roster(watch: &mut Option<Watch>) -> Option<Roster> {
    match watch {
        Some(watch) => watch.next().await,
        None => std::future::pending().await,
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
    let joined = match chat.anonymous {
        true => device.join_anonymously(&id, Level::Sealed).await,
        false => device.join(&id, Level::Sealed).await,
    };
    let (room, events) = joined.context("joining")?;
    let me = room.shown_as().unwrap_or(&me).clone();
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
        files: Mutex::default(),
        later: mpsc::channel(LATER_MAX),
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
