//! Files between two people, beside the conference: `/send` seals one for a person, who is told of it and fetches it from
//! here or, sent while they were away, from their mailbox; `/get` takes what somebody has for us. A file that came without a
//! seal is called so.
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use client::{
    Announced, Error, FileOffer, FileRequest, FileTransfer, Folder, Icon, SealedFile, Sent, Taken,
};
use ids::Aor;

use super::{Table, mail};
use crate::files::media_type_of;
use crate::terminal::plain as shown;

/// Files of each kind that are remembered; the oldest are forgotten first.
const FILES_MAX: usize = 64;

/// What can be done for who has no keys.
const CLEAR: &str = "`conclave send --clear` sends a file without a seal to who is there";

/// What there is, either way.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// What we have for others.
    own: VecDeque<(Aor, Arc<SealedFile>)>,
    /// What others have for us.
    announced: VecDeque<Announced>,
    /// What they would send now.
    offered: VecDeque<FileOffer>,
}

impl Files {
    /// Somebody has a file for us.
    pub(super) fn announced(&mut self, file: Announced) {
        // Who sends a file of the same name again means the newer one.
        let is = |known: &Announced| known.from == file.from && known.name == file.name;
        self.announced.retain(|known| !is(known));
        keep(&mut self.announced, file);
    }

    /// Somebody would send us a file now; how it is told.
    pub(super) fn offered(&mut self, offer: FileOffer) -> String {
        let line = match offer.sealed() {
            Some(file) => told(file, "offers"),
            None => {
                let (name, from) = (shown(&name_of(&offer)), offer.from().user().to_owned());
                let octets = offer.selector().size.unwrap_or_default();
                format!("* {from} offers {name} ({octets} octets), not sealed: /get {name}")
            }
        };
        let known = offer.sealed().map(Announced::selector);
        self.announced.retain(|file| Some(file.selector()) != known);
        keep(&mut self.offered, offer);
        line
    }

    /// The file of ours that a person asks for, if it is for them.
    fn wanted(&self, request: &FileRequest) -> Option<Arc<SealedFile>> {
        let is = |(to, file): &&(Aor, Arc<SealedFile>)| {
            to == request.from() && file.is(request.selector())
        };
        self.own.iter().rev().find(is).map(|(_, file)| Arc::clone(file))
    }

    fn listed(&self) -> String {
        let offered = self.offered.iter().map(|it| (name_of(it), it.from().clone()));
        let announced = self.announced.iter().map(|it| (it.name.clone(), it.from.clone()));
        let mut lines: Vec<String> = Vec::new();
        for (name, from) in offered.chain(announced) {
            let line = format!("  {}", listed(&name, &from));
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        if lines.is_empty() { "* nobody has a file for you".to_owned() } else { lines.join("\n") }
    }

    /// The newest of this name, as it is shown, or as it is listed.
    fn take_offer(&mut self, name: &str) -> Option<FileOffer> {
        let at = self.offered.iter().rposition(|it| is_called(&name_of(it), it.from(), name))?;
        self.offered.remove(at)
    }

    fn find(&self, name: &str) -> Option<Announced> {
        let mut newest = self.announced.iter().rev();
        newest.find(|file| is_called(&file.name, &file.from, name)).cloned()
    }
}

/// How a file is told from those of others.
fn listed(name: &str, from: &Aor) -> String {
    format!("{} of {}", shown(name), from.user())
}

fn is_called(name: &str, from: &Aor, typed: &str) -> bool {
    shown(name) == typed || listed(name, from) == typed
}

fn keep<T>(all: &mut VecDeque<T>, one: T) {
    all.push_back(one);
    if all.len() > FILES_MAX {
        all.pop_front();
    }
}

/// The name in what is sealed, or else what servers could see.
fn name_of(offer: &FileOffer) -> String {
    let sealed = offer.sealed().map(|file| file.name.clone());
    sealed.or_else(|| offer.selector().name.clone()).unwrap_or_default()
}

/// What is said of a sealed file.
fn told(file: &Announced, verb: &str) -> String {
    let (from, name, octets) = (file.from.user(), shown(&file.name), file.octets);
    format!("* {from} {verb} {name} for you ({octets} octets), sealed: /get {name}")
}

/// Saves what has come whole; where.
pub(super) async fn saved(folder: Folder, name: String, content: Bytes) -> io::Result<PathBuf> {
    let saving = tokio::task::spawn_blocking(move || folder.save(&name, &content));
    saving.await.map_err(io::Error::other).flatten()
}

/// Somebody has a file for us, and its key is here; how it is told.
pub(super) fn announced(table: &Table<'_>, file: &Announced) -> String {
    pictured(table, &file.name, file.picture());
    table.files().announced(file.clone());
    told(file, "has")
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
    keep(&mut table.files().own, (who.clone(), Arc::clone(&file)));
    let writing = table.device.announce_to(&who, &file).await.map_err(|error| error.to_string())?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (leaving, later) =
        (Box::pin(table.device.leave_sealed(&who, &file)), table.later.0.clone());
    mail::outcome(table, writing, move |sent| match (mail::went(&sent, false, CLEAR), sent) {
        (Ok(_words), Ok(Sent { taken: Taken::Stored, .. })) => {
            let line = format!("* {name} is sealed for {}, who is away", who.user());
            tokio::spawn(async move {
                // The conversation may be over.
                let _shown = later.send(left(leaving, &who, &name).await).await;
                drop(file);
            });
            line
        }
        (Ok(_words), _) => {
            format!("* {name} is sealed for {}, who can get it while you are here", who.user())
        }
        (Err(why), _) => format!("! {name} is not sent: {why}"),
    })
    .await
}

/// Leaves a file in the mailbox of somebody who is away; how it went.
async fn left(
    leaving: impl Future<Output = Result<FileTransfer, Error>>,
    who: &Aor,
    name: &str,
) -> String {
    let left = async {
        let mut transfer = leaving.await.map_err(|why| why.to_string())?;
        transfer.finished().await.map_err(|why| why.to_string())
    };
    let who = who.user();
    match left.await {
        Ok(_arrived) => format!("* {name} waits in the mailbox of {who}, sealed"),
        Err(why) => {
            format!(
                "! {name} is not in the mailbox of {who}, who can get it while you are here: {why}"
            )
        }
    }
}

/// `/get [NAME]`
pub(super) async fn get(table: &Table<'_>, name: &str) -> Result<String, String> {
    if name.is_empty() {
        return Ok(table.files().listed());
    }
    let folder = Folder::new(&table.downloads);
    let offer = table.files().take_offer(name);
    let (key, transfer) = match offer {
        Some(offer) => (offer.sealed().cloned(), offer.accept(&folder).await),
        None => {
            let key = table.files().find(name).ok_or("nobody has a file of that name for you")?;
            let transfer = table.device.fetch_announced(&key, &folder).await;
            (Some(key), transfer)
        }
    };
    let mut transfer = transfer.map_err(|error| error.to_string())?;
    // What was left comes from a mailbox, and is somebody else's.
    let author = key.as_ref().map_or_else(|| transfer.peer(), |key| &key.from);
    let (from, name) = (author.user().to_owned(), name.to_owned());
    table.show_later(async move {
        let seal = if key.is_some() { "sealed" } else { "not sealed" };
        let saved = async {
            let arrived = transfer.finished().await?;
            crate::files::landed(arrived, key.as_ref(), &folder).await
        };
        match saved.await {
            Ok(path) => format!("* {name} of {from}, {seal}, is saved as {}", path.display()),
            Err(error) => format!("! /get {name}: {error:#}"),
        }
    });
    Ok("* it is on its way".to_owned())
}

/// Somebody asks for a file of ours.
pub(super) fn serve(table: &Table<'_>, request: FileRequest) {
    let file = table.files().wanted(&request);
    let who = request.from().user().to_owned();
    table.show_later(async move {
        let Some(file) = file else {
            request.none().await;
            return format!("* {who} asked for a file that you have not");
        };
        let transfer = match request.serve(&file.to_send()).await {
            Ok(mut transfer) => transfer.finished().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match transfer {
            Ok(sent) => format!("* {who} has got the file, sealed ({} octets)", sent.octets),
            Err(why) => format!("! {who} has not got the file: {why}"),
        }
    });
}
