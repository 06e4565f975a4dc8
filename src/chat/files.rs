//! Files between two people, beside the conference: `/send` seals one for a person, who is told of it and fetches it from
//! here or, sent while they were away, from their mailbox; `/get` takes what somebody has for us. A file that came without a
//! seal is called so.
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use client::{
    Announced, Error, FileOffer, FileRequest, FileTransfer, Folder, Icon, SealedFile, Sent, Taken,
    Unfetched,
};
use ids::Aor;

use super::list::List;
use super::progress::Underway;
use super::{Table, mail};
use crate::files::media_type_of;
use crate::terminal::plain as shown;

/// Files of each kind that are remembered; the oldest are forgotten first.
const FILES_MAX: usize = 64;

/// What can be done for who has no keys.
const CLEAR: &str = "`conclave send --clear` sends a file without a seal to who is there";

/// What there is, either way. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Files {
    inner: Arc<Mutex<Inner>>,
    /// Those for us, kept with the device.
    unfetched: Unfetched,
    /// How far those are that are on their way.
    pub(super) underway: Underway,
}

#[derive(Debug, Default)]
struct Inner {
    /// What we have for others.
    own: VecDeque<(For, Arc<SealedFile>)>,
    /// What others have for us.
    list: List<Source>,
}

/// Whom a file of ours is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// A person.
    Person(Aor),
    /// Everybody who is a member when they ask.
    Room,
}

/// Where a file for us is.
#[derive(Debug)]
enum Source {
    /// In a mailbox, or with who has it.
    Announced(Announced),
    /// They would send it now.
    Offered(FileOffer),
}

impl Source {
    fn key(&self) -> Option<&Announced> {
        match self {
            Self::Announced(key) => Some(key),
            Self::Offered(offer) => offer.sealed(),
        }
    }
}

impl Files {
    /// Those that were announced before this device was started are on the list.
    pub(super) fn new(unfetched: Unfetched) -> Self {
        let mut inner = Inner::default();
        for file in unfetched.all() {
            inner.announced(file);
        }
        Self { inner: Arc::new(Mutex::new(inner)), unfetched, underway: Underway::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// We have a file for somebody.
    pub(super) fn keep_own(&self, whom: For, file: &Arc<SealedFile>) {
        self.inner().keep_own(whom, file);
    }

    /// What is said at the beginning of files that wait.
    pub(super) fn waiting(&self) -> Option<String> {
        match self.inner().list.lines().len() {
            0 => None,
            1 => Some("* a file waits for you: /get shows which".to_owned()),
            files => Some(format!("* {files} files wait for you: /get lists them")),
        }
    }

    /// Somebody has a file for us; how it is told.
    fn announced(&self, file: &Announced) -> String {
        let (typed, instead_of) = self.inner().announced(file.clone());
        let line = told(file, "has", &typed);
        match instead_of {
            Some(number) => format!("{line} (the same file as number {number}, in its place)"),
            None => line,
        }
    }

    /// Somebody would send us a file now; how it is told.
    pub(super) fn offered(&self, offer: FileOffer) -> String {
        self.inner().offered(offer)
    }

    fn listed(&self) -> String {
        let mut inner = self.inner();
        inner.look();
        match inner.list.lines() {
            none if none.is_empty() => "* nobody has a file for you".to_owned(),
            lines => format!("{}\n  /get NUMBER or /get NAME fetches one", lines.join("\n")),
        }
    }

    /// It is here, or cannot be had any more.
    fn is_done(&self, number: usize, key: Option<&Announced>) {
        self.inner().list.take(|entry| entry.number == number);
        if let Some(key) = key {
            self.unfetched.forget(key);
        }
    }

    /// It has not come, and may be asked for again, if there is a key to know it by.
    fn is_not_here(&self, number: usize, key: Option<&Announced>) {
        match key {
            Some(key) => self.inner().list.put_back(number, Source::Announced(key.clone())),
            None => self.is_done(number, None),
        }
    }
}

impl Inner {
    /// How it is fetched, and in whose place it is.
    fn announced(&mut self, file: Announced) -> (String, Option<usize>) {
        let is_older = |source: &Source| source.key().is_some_and(|known| file.is_again(known));
        let older = self.list.take(|entry| entry.what.as_ref().is_some_and(is_older));
        let (from, name, octets) = (file.from.clone(), file.name.clone(), file.octets);
        let of = (&from, &*name, octets);
        let typed = self.list.put(of, "sealed", Source::Announced(file), FILES_MAX);
        (typed, older.last().map(|entry| entry.number))
    }

    fn offered(&mut self, offer: FileOffer) -> String {
        let Some(file) = offer.sealed().cloned() else {
            let (name, from) = (offer.selector().name.clone().unwrap_or_default(), offer.from());
            let (octets, from) = (offer.selector().size.unwrap_or_default(), from.clone());
            let of = (&from, &*name, octets);
            let typed = self.list.put(of, "not sealed", Source::Offered(offer), FILES_MAX);
            let (from, name) = (from.user(), shown(&name));
            return format!("* {from} offers {name} ({octets} octets), not sealed: /get {typed}");
        };
        // Its key came before it, and has a number.
        let is =
            |source: &Source| source.key().is_some_and(|key| key.selector() == file.selector());
        self.list.take(|entry| entry.what.as_ref().is_some_and(is));
        let of = (&file.from, &*file.name, file.octets);
        let typed = self.list.put(of, "sealed", Source::Offered(offer), FILES_MAX);
        told(&file, "offers", &typed)
    }

    /// Who has given up offers nothing any more; what they have told the key of may be left somewhere.
    fn look(&mut self) {
        self.list.take(|entry| {
            let Some(Source::Offered(offer)) = &mut entry.what else { return false };
            if !offer.is_given_up() {
                return false;
            }
            let key = offer.sealed().cloned();
            entry.what = key.map(Source::Announced);
            entry.what.is_none()
        });
    }

    /// Takes one up.
    fn begin(&mut self, typed: &str) -> Result<(usize, String, Source), String> {
        self.look();
        let entry = self.list.find(typed)?;
        let source = entry.what.take().ok_or("it is on its way already")?;
        Ok((entry.number, shown(&entry.name), source))
    }

    /// The file of ours that a person asks for, if it is for them, or for all `members` and they are one.
    fn wanted(&self, request: &FileRequest, members: &[Aor]) -> Option<Arc<SealedFile>> {
        let is = |(to, file): &&(For, Arc<SealedFile>)| {
            let theirs = match to {
                For::Person(who) => who == request.from(),
                For::Room => members.contains(request.from()),
            };
            theirs && file.is(request.selector())
        };
        self.own.iter().rev().find(is).map(|(_, file)| Arc::clone(file))
    }

    fn keep_own(&mut self, whom: For, file: &Arc<SealedFile>) {
        self.own.push_back((whom, Arc::clone(file)));
        if self.own.len() > FILES_MAX {
            self.own.pop_front();
        }
    }
}

/// What is said of a sealed file.
fn told(file: &Announced, verb: &str, typed: &str) -> String {
    let (from, name, octets) = (file.from.user(), shown(&file.name), file.octets);
    format!("* {from} {verb} {name} for you ({octets} octets), sealed: /get {typed}")
}

/// Saves what has come whole; where.
pub(super) async fn saved(folder: Folder, name: String, content: Bytes) -> io::Result<PathBuf> {
    let saving = tokio::task::spawn_blocking(move || folder.save(&name, &content));
    saving.await.map_err(io::Error::other).flatten()
}

/// Somebody has a file for us, and its key is here; how it is told. Another device of ours may have told others.
pub(super) fn announced(table: &Table<'_>, file: &Announced) -> Option<String> {
    if file.from == *table.me {
        return None;
    }
    pictured(table, &file.name, file.picture());
    Some(table.files.announced(file))
}

/// Somebody here has a file for everybody that is too large to come by itself.
pub(super) fn shared(table: &Table<'_>, file: &Announced) -> Option<String> {
    // Whoever hides fetches nothing, and has nothing of it another day.
    if table.room.shown_as().is_none() && file.from != *table.me {
        table.files.unfetched.keep(file);
    }
    announced(table, file)
}

/// Saves the small picture that came with word of a file, and shows where.
pub(super) fn pictured(table: &Table<'_>, name: &str, picture: Option<Icon>) {
    let Some(picture) = picture else { return };
    let (folder, name) = (Folder::new(&table.downloads), name.to_owned());
    let ending = if picture.media_type == "image/png" { "png" } else { "jpg" };
    table.show_later(async move {
        let (shown, called) = (shown(&name), format!("small-{name}.{ending}"));
        match saved(folder, called, picture.content).await {
            Ok(path) => format!("* a small picture of {shown} is saved as {}", path.display()),
            Err(error) => format!("! the small picture of {shown} is not saved: {error}"),
        }
    });
}

/// `/send USER PATH`
pub(super) async fn send(table: &Table<'_>, user: &str, path: &str) -> Result<String, String> {
    let who = table.whom().elsewhere(user, table.me)?;
    let path = std::path::Path::new(path);
    let into = table.downloads.join("sealed");
    let sealed = SealedFile::new(path, media_type_of(path), &into).await;
    let file = Arc::new(sealed.map_err(|error| error.to_string())?);
    table.files.keep_own(For::Person(who.clone()), &file);
    let notes = table.device.leaving();
    notes.begin(&who, &file);
    let writing = table.device.announce_to(&who, &file).await;
    let writing = writing.map_err(|error| {
        notes.end(&file);
        error.to_string()
    })?;
    let name = shown(file.name());
    let (leaving, later) =
        (Box::pin(table.device.leave_sealed(&who, &file)), table.later.0.clone());
    let underway = table.files.underway.clone();
    mail::outcome(table, writing, move |sent| match (mail::went(&sent, false, CLEAR), sent) {
        (Ok(_words), Ok(Sent { taken: Taken::Stored, .. })) => {
            let line = format!("* {name} is sealed for {}, who is away", who.user());
            tokio::spawn(async move {
                let line = left(leaving, &who, (&name, &underway)).await;
                notes.end(&file);
                // The conversation may be over.
                let _shown = later.send(line).await;
            });
            line
        }
        (went, _) => {
            notes.end(&file);
            match went {
                Ok(_words) => {
                    let who = who.user();
                    format!("* {name} is sealed for {who}, who can get it while you are here")
                }
                Err(why) => format!("! {name} is not sent: {why}"),
            }
        }
    })
    .await
}

/// What is said at the beginning of files that did not leave, because the chat was stopped before they had.
pub(super) fn cut_off(device: &client::Device, me: &Aor) -> Vec<String> {
    let line = |(who, name): (Aor, String)| {
        let (name, user) = (shown(&name), who.user());
        match who == *me {
            true => format!(
                "! {name} was not in your mailbox yet when the chat was stopped: /file it again"
            ),
            false => format!(
                "! {name} was not in the mailbox of {user} yet when the chat was stopped: /send {user} it again"
            ),
        }
    };
    device.leaving().cut_off().into_iter().map(line).collect()
}

/// Until what is left in a mailbox is there.
pub(super) async fn whole(
    leaving: impl Future<Output = Result<FileTransfer, Error>>,
    (name, underway): (&str, &Underway),
) -> anyhow::Result<()> {
    let mut transfer = leaving.await?;
    underway.until(name, transfer.progress(), transfer.finished()).await?;
    Ok(())
}

/// Leaves a file in the mailbox of somebody who is away; how it went.
async fn left(
    leaving: impl Future<Output = Result<FileTransfer, Error>>,
    who: &Aor,
    (name, underway): (&str, &Underway),
) -> String {
    let who = who.user();
    match whole(leaving, (name, underway)).await {
        Ok(()) => format!("* {name} waits in the mailbox of {who}, sealed"),
        Err(why) => {
            format!(
                "! {name} is not in the mailbox of {who}, who can get it while you are here: {why}"
            )
        }
    }
}

/// `/get [NUMBER or NAME]`
pub(super) async fn get(table: &Table<'_>, typed: &str) -> Result<String, String> {
    if typed.is_empty() {
        return Ok(table.files.listed());
    }
    let (folder, files) = (Folder::new(&table.downloads), table.files.clone());
    let (number, name, source) = files.inner().begin(typed)?;
    let key = source.key().cloned();
    let transfer = match source {
        Source::Offered(offer) => offer.accept(&folder).await,
        Source::Announced(key) => table.device.fetch_announced(&key, &folder).await,
    };
    let mut transfer = match transfer {
        Ok(transfer) => transfer,
        Err(error) => return Err(not_fetched(&files, number, key.as_ref(), &error)),
    };
    // What was left comes from a mailbox, and is somebody else's.
    let author = key.as_ref().map_or_else(|| transfer.peer(), |key| &key.from);
    let (from, typed, underway) =
        (author.user().to_owned(), typed.to_owned(), table.files.underway.clone());
    table.show_later(async move {
        let seal = if key.is_some() { "sealed" } else { "not sealed" };
        let saved = async {
            let progress = transfer.progress();
            let arrived = underway.until(&name, progress, transfer.finished()).await?;
            crate::files::landed(arrived, key.as_ref(), &folder).await
        };
        match saved.await {
            Ok(path) => {
                files.is_done(number, key.as_ref());
                format!("* {name} of {from}, {seal}, is saved as {}", path.display())
            }
            Err(error) => {
                files.is_not_here(number, key.as_ref());
                format!("! /get {typed}: {error:#}")
            }
        }
    });
    Ok("* it is on its way".to_owned())
}

/// Why a file does not come, and what becomes of it on the list.
fn not_fetched(files: &Files, number: usize, key: Option<&Announced>, why: &Error) -> String {
    let from = key.map(|key| key.from.user());
    match (why, from) {
        (Error::Refused { what: "the call", status: 480, .. }, Some(from)) => {
            files.is_not_here(number, key);
            format!("it waits in no mailbox, and {from} is away: try it again when {from} is here")
        }
        // Neither a mailbox has it nor whoever announced it.
        (Error::Refused { what: "the call", status: 404 | 488, .. }, Some(from)) => {
            files.is_done(number, key);
            format!(
                "{from} has it no more, and it waits in no mailbox: ask {from} to send it again"
            )
        }
        _ => {
            files.is_not_here(number, key);
            why.to_string()
        }
    }
}

/// Somebody asks for a file of ours.
pub(super) fn serve(table: &Table<'_>, request: FileRequest) {
    let members: Vec<Aor> =
        table.room.status().roster.into_iter().map(|device| device.aor).collect();
    let file = table.files.inner().wanted(&request, &members);
    let who = request.from().user().to_owned();
    let own = table.room.status().roster.into_iter().filter(|device| device.aor == *table.me);
    let (is_only_one, underway) = (own.count() <= 1, table.files.underway.clone());
    table.show_later(async move {
        let Some(file) = file else {
            request.none().await;
            return match is_only_one {
                true => format!("* {who} asked for a file that you have not"),
                // All of them are asked, and one that has it answers.
                false => String::new(),
            };
        };
        let transfer = match request.serve(&file.to_send()).await {
            Ok(mut transfer) => {
                let (what, far) = (shown(file.name()), transfer.progress());
                let over = underway.until(&what, far, transfer.finished()).await;
                over.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        let (name, octets) = (shown(file.name()), file.octets());
        match transfer {
            Ok(sent) if sent.verified => {
                format!("* {who} has got {name} ({octets} octets), sealed")
            }
            Ok(_unproven) => {
                format!("* {name} went to {who} ({octets} octets, sealed), who has not said that it is whole")
            }
            Err(why) => format!("! {who} has not got {name}: {why}"),
        }
    });
}
