//! `/file PATH`: a file for everybody in the room. What is small enough comes by itself, if everybody is there: its octets are
//! not kept with what is said. Of what is not, or while somebody is away, everybody is told, sealed, and fetches it from here
//! while we are here and from our mailbox when we are not.
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use client::SealedFile;

use super::Table;
use super::files::{For, whole};
use super::roster;
use crate::files::media_type_of;
use crate::terminal::plain as shown;

/// Whoever fetches something asks a person for it.
const NOT_HIDDEN: &str = "you are here under a pseudonym, and who fetches a file sees whose it is";

/// Shares a file, whose size is known before it is read.
pub(super) async fn share(path: &str, table: &Table<'_>) -> Result<String, String> {
    let name = Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
    let name = name.ok_or("it names no file")?;
    let metadata = tokio::fs::metadata(path).await.map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no file".to_owned());
    }
    let (octets, max) = (metadata.len(), table.file_octets_max);
    if octets > max {
        return match table.room.shown_as() {
            None => tell(Path::new(path), "it is too large to come by itself", table).await,
            Some(_) => Err(format!("{NOT_HIDDEN}: share at most {max} octets at once")),
        };
    }
    if let Some(why) = somebody_away(table).await.filter(|_| table.room.shown_as().is_none()) {
        return tell(Path::new(path), &why, table).await;
    }
    let content = tokio::fs::read(path).await.map_err(|error| error.to_string())?;
    let media_type = media_type_of(Path::new(path));
    let room = table.room;
    let mut sending =
        Box::pin(async move { room.send_file(&name, media_type, Bytes::from(content)).await });
    let sent = tokio::select! {
        biased;
        sent = &mut sending => sent,
        // An event says why.
        who = room.held() => {
            table.held.keep(who, sending);
            return Ok(format!("* {path} goes out as soon as it may"));
        }
    };
    match sent {
        Ok(()) => Ok(format!("* shared {path} with who is here")),
        Err(error) => Err(table.unsaid(error).await),
    }
}

/// Who is away and would miss what comes by itself, in words.
async fn somebody_away(table: &Table<'_>) -> Option<String> {
    let watch = table.watch.as_ref()?;
    let now = watch.look().await.unwrap_or_else(|_late| watch.roster());
    let members = table.room.status().roster.into_iter().map(|device| device.aor);
    let others: BTreeSet<_> = members.filter(|who| who != table.me).collect();
    let away: Vec<&str> =
        others.iter().filter(|who| !roster::hears(&now, who)).map(|who| who.user()).collect();
    match &*away {
        [] => None,
        [one] => Some(format!("{one} is away, and would miss it otherwise")),
        several => Some(format!("{} are away, and would miss it otherwise", several.join(", "))),
    }
}

/// Seals the file, tells everybody of it, and leaves it where it can be fetched also when we are away.
async fn tell(path: &Path, why: &str, table: &Table<'_>) -> Result<String, String> {
    let into = table.downloads.join("sealed");
    let sealed = SealedFile::new(path, media_type_of(path), &into).await;
    let file = Arc::new(sealed.map_err(|error| error.to_string())?);
    // Whoever is told may ask at once.
    table.files.keep_own(For::Room, &file);
    let notes = table.device.leaving();
    notes.begin(table.me, &file);
    let (room, announced) = (table.room, Arc::clone(&file));
    let mut telling = Box::pin(async move { room.announce(&announced).await });
    let told = tokio::select! {
        biased;
        told = &mut telling => told,
        // It goes out later, and an event says so.
        who = room.held() => {
            table.held.keep(who, telling);
            Ok(())
        }
    };
    if let Err(error) = told {
        notes.end(&file);
        return Err(table.unsaid(error).await);
    }
    let (name, leaving) =
        (shown(file.name()), Box::pin(table.device.leave_sealed(table.me, &file)));
    let line = format!("* everybody is told of {name}, and /get fetches it: {why}");
    let underway = table.files.underway.clone();
    table.show_later(async move {
        let left = whole(leaving, (&name, &underway)).await;
        notes.end(&file);
        match left {
            Ok(()) => format!("* {name} waits in your mailbox for who wants it, sealed"),
            Err(why) => format!("! {name} can be had only while you are here: {why}"),
        }
    });
    Ok(line)
}
