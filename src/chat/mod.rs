//! `conclave chat ROOM --as NAME`: one person in one conference, in a terminal or through a pipe. What a line means
//! is decided in `line`, what it does here, without a terminal; `plain` and `screen` only read and show. What goes to one
//! person is in `mail` and `files`, who is there in `roster`, and whom a name means in `whom`.
mod device;
mod ending;
mod events;
mod files;
mod held;
mod help;
mod line;
mod lines;
mod list;
mod mail;
mod nick;
mod own;
mod plain;
mod progress;
mod roster;
mod screen;
mod settle;
mod share;
mod times;
mod trust;
mod turn;
mod unread;
mod whom;

use std::cell::Cell;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use bytes::Bytes;
use client::{Conference, Device, Error, Events, Inbox, Invitations, Level, Roster, Vault, Watch};
use ids::{Aor, ConferenceId};
use service::shutdown::Shutdown;
use tokio::sync::mpsc;

use conclave::system::Directions;

use crate::cli;
use crate::terminal::counted;
pub(crate) use device::{give_up, start as start_device};
use events::told;
use files::Files;
use help::HELP;
use line::{Line, understand};
pub(crate) use mail::message;
use whom::{THAT_IS_YOU, Whom};

/// Lines that wait to be shown, of what has taken a while.
const LATER_MAX: usize = 64;
/// What is said to who tries to talk and may not.
const YOU_ARE_MUTED: &str = "a moderator has muted you: you may read, and not talk, until they /unmute you; /who shows who moderates";
/// What goes to a person outside of the room has a name on it.
const UNDER_YOUR_NAME: &str = "you are here under a pseudonym, and this would go out under your name; nothing was sent. \
                               Without --anonymous it can be";

/// Whether the conversation goes on after a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read on.
    Go,
    /// Done, staying a member.
    Quit,
    /// Done, leaving the group.
    Leave,
    /// Somebody else has ended it, for this reason.
    Over(String),
}

/// What a conversation is carried on with.
pub(crate) struct Table<'a> {
    pub(crate) room: &'a Conference,
    pub(crate) me: &'a Aor,
    pub(crate) device: &'a Device,
    pub(crate) domain: &'a str,
    pub(crate) events: Events,
    /// Who is there, if we may watch; and what was told of it.
    pub(crate) watch: Option<Watch>,
    pub(crate) known: Roster,
    /// Other conferences that call.
    pub(crate) invitations: Option<Invitations>,
    /// What comes for this person alone.
    pub(crate) inbox: Inbox,
    /// Where received files go.
    pub(crate) downloads: PathBuf,
    /// Octets of a file that comes to everybody by itself, in memory as a whole.
    pub(crate) file_octets_max: u64,
    /// The folder that keeps this device, if one does.
    pub(crate) kept_in: Option<PathBuf>,
    /// When it is to end.
    pub(crate) stop: Shutdown,
    /// This device was taken back by its own person, here.
    given_up: Cell<bool>,
    /// What waits until somebody is accepted.
    held: held::Held<'a>,
    /// What could not be read, and is told in a moment.
    unread: unread::Unread,
    /// Files for one person, either way.
    files: Files,
    /// What is shown when it is over, of what nobody waits for.
    later: (mpsc::Sender<String>, mpsc::Receiver<String>),
}

impl Table<'_> {
    /// Whom names mean now.
    fn whom(&self) -> Whom<'_> {
        let members = self.room.status().roster.into_iter().map(|device| device.aor);
        let roster = self.watch.as_ref().map(Watch::roster).unwrap_or_default();
        Whom::new(self.domain, members, &roster)
    }

    /// Whether there is such a person at all, as far as that can be known.
    async fn is_known(&self, who: &Aor) -> Result<(), String> {
        let is_here = who.is_pseudonym() || self.whom().has(who);
        match is_here || self.device.knows(who).await != Some(false) {
            true => Ok(()),
            false => Err(format!("nobody of the name {} is known here", who.user())),
        }
    }

    /// Why nothing was said: whoever is muted hears that first.
    async fn unsaid(&self, why: Error) -> String {
        if let (Error::Refused { status: 403, .. }, Some(watch)) = (&why, &self.watch)
            && let Ok(now) = watch.look().await
            && roster::is_muted(&now, self.me)
        {
            return YOU_ARE_MUTED.to_owned();
        }
        why.to_string()
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
    match line {
        Line::Quit => return Next::Quit,
        Line::Leave => return Next::Leave,
        _ => {}
    }
    let carried = tokio::select! {
        carried = carried(line, table) => carried,
        () = table.stop.triggered() => return Next::Quit,
    };
    match carried {
        Ok(said) => said.into_iter().for_each(show),
        Err(error) => show(format!("! {}{error}", line.command())),
    }
    if table.given_up.get() {
        return Next::Over(ending::TAKEN_BACK.to_owned());
    }
    Next::Go
}

/// What comes of a line, as far as there is something to show.
async fn carried(line: &Line, table: &Table<'_>) -> Result<Option<String>, String> {
    let room = table.room;
    let shown = match line {
        Line::Say(text) => return say(text, table).await,
        Line::Tell(..) | Line::Page(..) | Line::Send(..) | Line::Get(..)
            if room.shown_as().is_some() =>
        {
            return Err(UNDER_YOUR_NAME.to_owned());
        }
        Line::Tell(users, text) => mail::tell(table, users, text).await?,
        Line::Page(user, text) => mail::page(table, user, text).await?,
        Line::Private(nick, text) => mail::private(table, nick, text).await?,
        Line::Send(user, path) => files::send(table, user, path).await?,
        Line::Get(name) => files::get(table, name).await?,
        Line::Invite(user) => invite(user, table).await?,
        Line::Kick(user) => kick(user, table).await?,
        Line::Settle(settle, of) => settle::carry_out(*settle, of, table).await?,
        Line::Share(path) => share::share(path, table).await?,
        Line::Nick(name) => nick::take(name, table).await?,
        Line::Trust(trust, of) => trust.carry_out(of, table).await?,
        Line::Devices => own::devices(table).await?,
        Line::Confirm(code) => own::confirm(code, table).await?,
        Line::Lost(device) => own::take_back(device, table).await?,
        Line::Who => who(table).await,
        Line::Help => HELP.to_owned(),
        Line::Unknown(line) => help::not_understood(line),
        Line::Quit | Line::Leave => return Ok(None),
    };
    Ok(Some(shown))
}

/// Says something to everybody. Where it is held, it goes out later, and an event says so.
async fn say(text: &str, table: &Table<'_>) -> Result<Option<String>, String> {
    let (text, room) = (Bytes::from(text.to_owned()), table.room);
    let mut sending =
        Box::pin(async move { room.send("text/plain;charset=utf-8", text).await.map(drop) });
    let sent = tokio::select! {
        // Said first, then held.
        biased;
        sent = &mut sending => sent,
        who = room.held() => {
            table.held.keep(who, sending);
            return Ok(None);
        }
    };
    match sent {
        Ok(()) => Ok(None),
        Err(error) => Err(table.unsaid(error).await),
    }
}

/// `/invite USER`: the focus calls them; what becomes of it is shown when it is known.
async fn invite(user: &str, table: &Table<'_>) -> Result<String, String> {
    let who = table.whom().elsewhere(user, table.me)?;
    let calling = table.room.invite_and_hear(&who).await.map_err(|error| error.to_string())?;
    let (name, user) = (who.user().to_owned(), user.to_owned());
    table.show_later(async move {
        match calling.outcome().await {
            Ok(()) => format!("* {name} has taken the call, or is here"),
            Err(error) => format!("! /invite {user}: {}", not_come(&error)),
        }
    });
    Ok(format!("* {} is being called", who.user()))
}

/// Why somebody who was called has not come.
fn not_come(error: &Error) -> String {
    let Error::Refused { status, .. } = error else { return error.to_string() };
    match status {
        403 => "they take no such calls".to_owned(),
        404 => "there is no such person".to_owned(),
        480 => "no device of theirs can be reached now; they may come by themselves".to_owned(),
        486 | 600 | 603 => "they do not want to come".to_owned(),
        408 | 487 => "nobody has answered".to_owned(),
        _ => error.to_string(),
    }
}

/// `/kick USER`
async fn kick(user: &str, table: &Table<'_>) -> Result<String, String> {
    let who = table.whom().somebody(user)?;
    if who == *table.me {
        return Err(format!("{THAT_IS_YOU}: /leave takes you out for good"));
    }
    table.room.kick(&who).await.map_err(|error| match error {
        Error::Refused { status: 404, .. } => {
            let whom = table.whom();
            let absent =
                || format!("{}. /ban keeps out who is not here, too", whom.absent(table.me));
            whom.called(user).unwrap_or_else(absent)
        }
        error => error.to_string(),
    })?;
    Ok(format!("* {} is removed, and comes back only when invited", who.user()))
}

/// `/who`: asked of the focus this moment, for it tells of changes only now and then.
async fn who(table: &Table<'_>) -> String {
    let known = match &table.watch {
        Some(watch) => Some(watch.look().await.map_err(|_late| watch.roster())),
        None => None,
    };
    let status = table.room.status();
    let devices = counted(status.roster.len(), "device");
    let devices = format!("* {devices} in epoch {}", status.epoch);
    match known {
        Some(Ok(now)) => format!("{devices}\n{}", roster::shown(&now)),
        Some(Err(before)) => {
            format!(
                "{devices}; the focus does not answer, and said before:\n{}",
                roster::shown(&before)
            )
        }
        None => {
            let names: Vec<String> =
                status.roster.iter().map(|device| device.aor.to_string()).collect();
            format!("{devices}: {}", names.join(", "))
        }
    }
}

/// A device in a room.
struct Joined {
    device: Device,
    invitations: Invitations,
    vault: Option<Vault>,
    room: Conference,
    events: Events,
}

async fn join(
    chat: &cli::Chat,
    state: &device::State,
    profile: client::Profile,
) -> anyhow::Result<Joined> {
    let id: ConferenceId = chat.room.parse().context("the name of the room")?;
    let started = device::start_in(&chat.folder, &chat.name, state, profile).await;
    let (device, invitations, vault) = started.context("registering")?;
    let joined = match chat.anonymous {
        true => device.join_anonymously(&id, Level::Sealed).await,
        false => device.join(&id, Level::Sealed).await,
    };
    let (room, events) = joined.map_err(|error| ending::not_in(error, &id, &chat.name))?;
    Ok(Joined { device, invitations, vault, room, events })
}

/// Follows who is there, if we may; what there is to say of it at the beginning.
async fn watched(room: &Conference, me: &Aor, first: &mut Vec<String>) -> Option<Watch> {
    match room.watch().await {
        Ok(watch) => {
            let muted = roster::is_muted(&watch.roster(), me);
            first.extend(muted.then(|| format!("! {YOU_ARE_MUTED}")));
            Some(watch)
        }
        Err(error) => {
            first.push(format!("! who is there cannot be watched: {error}"));
            None
        }
    }
}

/// Says what there is to say at the end; what a script is told of it.
async fn farewell(next: &Next, table: &Table<'_>, place: &ending::Place) -> ExitCode {
    let ending = match next {
        Next::Over(reason) => Some(ending::Ending::of(reason, table).await),
        Next::Go | Next::Quit | Next::Leave => None,
    };
    let told = ending.iter().map(|ending| ending.told(place, table.kept_in.as_deref()));
    let mut lines: Vec<String> = told.collect();
    let never_sent = table.held.never_sent();
    let code = match &ending {
        Some(ending) => ExitCode::from(ending.exit_code()),
        None if never_sent.is_empty() => ExitCode::SUCCESS,
        None => ExitCode::from(crate::FAILED),
    };
    lines.extend(never_sent);
    for line in &lines {
        // Whoever listened may be gone.
        let _there = writeln!(io::stdout(), "{}", crate::terminal::lines(line));
    }
    code
}

/// Joins and talks until the person, the input or a signal ends it, or somebody else does: then the code is another one.
///
/// # Errors
/// The system is not there, does not know the user, or refuses the conference.
pub(crate) async fn run(chat: cli::Chat) -> anyhow::Result<ExitCode> {
    let directions = Directions::read(&chat.folder)?;
    let profile = directions.profile(&chat.name)?;
    let me = profile.aor.clone();
    let downloads = crate::files::downloads(chat.downloads.clone(), &chat.folder)?;
    let file_octets_max = u64::try_from(profile.limits.shared_octets_max()).unwrap_or(u64::MAX);
    let stop = Shutdown::new();
    stop.on_signals()?;
    stop.on_hangup()?;
    let state =
        device::State { folder: chat.state.clone(), passphrase_file: chat.passphrase_file.clone() };
    let joined = tokio::select! {
        joined = Box::pin(join(&chat, &state, profile)) => joined?,
        () = stop.triggered() => return Ok(ExitCode::SUCCESS),
    };
    let Joined { device, invitations, vault, room, events } = joined;
    let me = room.shown_as().unwrap_or(&me).clone();
    let mut first: Vec<String> = Vec::new();
    if vault.is_none() {
        first.push(device::not_kept(&chat.folder, &chat.name));
    }
    let watch = watched(&room, &me, &mut first).await;
    let files = Files::new(device.unfetched());
    first.extend(files::cut_off(&device, &me));
    // Under a pseudonym nothing is fetched: that would say whose it is.
    first.extend(files.waiting().filter(|_| room.shown_as().is_none()));
    let place = ending::Place::of(&room, &chat);
    let mut table = Table {
        room: &room,
        me: &me,
        device: &device,
        inbox: device.inbox(),
        domain: &directions.domain,
        events,
        known: watch.as_ref().map(Watch::roster).unwrap_or_default(),
        watch,
        invitations: Some(invitations),
        downloads: downloads.path().to_owned(),
        file_octets_max,
        kept_in: vault.is_some().then(|| state.place(&chat.folder, &chat.name)),
        stop,
        given_up: Cell::default(),
        held: held::Held::default(),
        unread: unread::Unread::default(),
        files,
        later: mpsc::channel(LATER_MAX),
    };
    let next = match chat.plain {
        true => plain::talk(&mut table, first).await,
        false => screen::talk(&mut table, &chat.name, first).await?,
    };
    let code = farewell(&next, &table, &place).await;
    drop(table);
    // What was shown is not shown again, also if the server does not answer to the rest.
    if let Some(vault) = &vault {
        vault.commit_now()?;
    }
    match next {
        Next::Leave => room.leave().await.context("leaving")?,
        Next::Go | Next::Quit | Next::Over(_) => room.away().await,
    }
    if vault.is_none() {
        give_up(&device).await;
    }
    device.stop().await;
    Ok(code)
}
