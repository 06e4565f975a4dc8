//! What happens in the room, as lines for a person. A file that has come whole is in its folder before it is told of.
use client::{Entry, Event, Folder};
use ids::Aor;

use super::{Table, files, times, trust};
use crate::terminal;

/// An event as a line for a person. A file is in the folder for files before it is told of.
pub(crate) async fn told(event: &Event, table: &Table<'_>) -> Option<String> {
    Some(match event {
        Event::Entered { epoch, by: Entry::Kept, .. } => {
            format!("* you hold the group key as before (epoch {epoch})")
        }
        Event::Entered { epoch, .. } => format!("* you hold the group key (epoch {epoch})"),
        Event::Advanced { epoch, added, removed } => {
            let names = |devices: &[(Aor, ids::DeviceId)], word: &str| -> Vec<String> {
                devices.iter().map(|(aor, _device)| format!("{aor} {word}")).collect()
            };
            let changes = [names(added, "joined"), names(removed, "is out")].concat();
            match changes.is_empty() {
                true => format!("* epoch {epoch}; the group has a new key"),
                false => format!("* epoch {epoch}; {}", changes.join(", ")),
            }
        }
        Event::Message(message) => {
            let shown = terminal::content(&message.content_type, &message.body);
            let alone = if message.private { " to you alone, sealed" } else { "" };
            let times = times::written(message.written, service::clock::wall());
            format!("<{}{alone}{times}> {shown}", message.from.user())
        }
        Event::File(file) => {
            let (name, octets) = (terminal::plain(&file.name), file.content.len());
            let folder = Folder::new(&table.downloads);
            let saved = files::saved(folder, file.name.clone(), file.content.clone()).await;
            let place = match saved {
                Ok(path) => format!("saved as {}", path.display()),
                Err(error) => format!("not saved: {error}"),
            };
            format!("* {} shared {name} ({octets} octets); {place}", file.from.user())
        }
        Event::Announced(file) => return files::shared(table, file),
        Event::Refused { why } => format!("* the focus refused our change of the group: {why}"),
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
        // Told at the end of everything else, with how to go on.
        Event::Ended { .. } => return None,
    })
}
