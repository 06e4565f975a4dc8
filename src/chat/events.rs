//! What happens in the room, as lines for a person. A file that has come whole is in its folder before it is told of.
use client::{Entry, Event, Folder};
use ids::{Aor, DeviceId};
use mls::wire::DeviceName;

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
            let changes = moves(added, removed, &table.room.status().roster, table.domain);
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
        Event::Device { who, device, news, held } => {
            trust::told(who, device, (*news, *held), table.me)
        }
        Event::Held { who } => trust::held(who),
        Event::Split { who, epoch } => trust::split(who, *epoch),
        Event::Missed { since: Some((then, since)), until: (now, until) } if then != now => {
            format!(
                "* the group began anew: you cannot read what was said after epoch {since} of the old one and before epoch {until} of this one"
            )
        }
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

/// Who has come and gone, each person once; of somebody who is there on other devices too, only a device has.
fn moves(
    added: &[(Aor, DeviceId)],
    removed: &[(Aor, DeviceId)],
    there: &[DeviceName],
    domain: &str,
) -> Vec<String> {
    let others = |who: &Aor, than: &[(Aor, DeviceId)]| {
        let is_other = |it: &&DeviceName| than.iter().all(|(_, device)| *device != it.device);
        there.iter().filter(|it| it.aor == *who).filter(is_other).count()
    };
    let called = |(who, devices)| (who, terminal::named(who, domain), devices);
    let come =
        each(added).map(called).map(|(aor, who, devices)| match (others(aor, added), devices) {
            (0, 1) => format!("{who} joined"),
            (0, devices) => format!("{who} joined with {devices} devices"),
            (_, 1) => format!("another device of {who} joined"),
            (_, devices) => format!("{devices} more devices of {who} joined"),
        });
    let gone = each(removed).map(called).map(|(aor, who, devices)| {
        match (others(aor, removed), devices) {
            (0, 1) => format!("{who} is out"),
            (0, devices) => format!("{who} is out, with {devices} devices"),
            (_, 1) => format!("a device of {who} is out"),
            (_, devices) => format!("{devices} devices of {who} are out"),
        }
    });
    come.chain(gone).collect()
}

/// Each person with the number of their devices, in the order they come in.
fn each(devices: &[(Aor, DeviceId)]) -> impl Iterator<Item = (&Aor, usize)> {
    let mut people: Vec<(&Aor, usize)> = Vec::new();
    for (who, _device) in devices {
        match people.iter_mut().find(|(known, _)| *known == who) {
            Some((_, devices)) => *devices += 1,
            None => people.push((who, 1)),
        }
    }
    people.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(user: &str, n: u8) -> (Aor, DeviceId) {
        let device = format!("urn:uuid:00000000-0000-4000-8000-0000000000{n:02}");
        (format!("sip:{user}@x").parse().unwrap(), device.parse().unwrap())
    }

    fn there(devices: &[(Aor, DeviceId)]) -> Vec<DeviceName> {
        let name = |(aor, device): &(Aor, DeviceId)| DeviceName {
            aor: aor.clone(),
            device: device.clone(),
        };
        devices.iter().map(name).collect()
    }

    #[test]
    fn a_person_is_named_once_however_many_devices_come_or_go() {
        let bob = [device("bob", 1), device("bob", 2), device("bob", 3)];
        let carol = device("carol", 4);

        assert_eq!(moves(&[], &bob, &[], "x"), ["bob is out, with 3 devices"]);
        let came = [bob[0].clone(), carol.clone()];
        assert_eq!(moves(&came, &[], &there(&came), "x"), ["bob joined", "carol joined"]);
        assert_eq!(
            moves(&bob, &[carol], &there(&bob), "x"),
            ["bob joined with 3 devices", "carol is out"]
        );
    }

    #[test]
    fn who_has_other_devices_here_has_neither_come_nor_gone() {
        let bob = [device("bob", 1), device("bob", 2), device("bob", 3)];

        assert_eq!(
            moves(&bob[1..2], &[], &there(&bob[..2]), "x"),
            ["another device of bob joined"]
        );
        assert_eq!(moves(&[], &bob[1..], &there(&bob[..1]), "x"), ["2 devices of bob are out"]);
        assert_eq!(moves(&[], &bob[..1], &there(&bob[1..]), "x"), ["a device of bob is out"]);
    }
}
