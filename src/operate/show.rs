//! What each answer of the admin API looks like to people.
use mrfc::admin::shapes::{
    AttemptList, AuditList, Conference, ConferenceList, DeviceList, Level, MemberList, Presence,
    RegistrationList, RelayList, Status,
};

use super::table::{facts, table};
use crate::terminal::counted;

pub(super) fn status(status: &Status) -> String {
    facts(&[
        ("version", status.version.clone()),
        ("domain", status.domain.clone()),
        ("serving since", status.since.clone()),
        ("conferences", status.conferences.to_string()),
        ("participants", format!("{} ({} hold keys)", status.participants, status.members)),
        ("registrations", status.registrations.to_string()),
        ("relays", format!("{} of {} reached", status.relays_reached, status.relays)),
        (
            "key changes",
            format!(
                "{} accepted, {} too late, {} refused",
                status.commits.accepted, status.commits.conflicting, status.commits.refused
            ),
        ),
    ])
}

pub(super) fn rooms(list: &ConferenceList) -> String {
    let rows: Vec<_> = list
        .conferences
        .iter()
        .map(|room| {
            [
                room.name.clone(),
                level(room.level).to_owned(),
                room.participants.to_string(),
                room.members.to_string(),
                room.creator.clone(),
            ]
        })
        .collect();
    let shown = table(["ROOM", "LEVEL", "DEVICES", "KEYS", "CREATOR"], &rows);
    shown + &rest(rows.len(), list.total)
}

pub(super) fn room(room: &Conference) -> String {
    let group = room.group.map_or_else(
        || String::from("none"),
        |group| format!("epoch {} of era {}", group.epoch, group.era),
    );
    let mut told = vec![
        ("room", room.name.clone()),
        ("address", room.uri.clone()),
        ("level", level(room.level).to_owned()),
        ("creator", room.creator.clone()),
        ("since", room.created.clone()),
        ("relay", room.relay.clone()),
        ("group", group),
        ("people", format!("{} on {}", room.people, counted(room.participants, "device"))),
    ];
    told.extend(room.subject.clone().map(|subject| ("subject", subject)));
    let exceptions = [
        (room.locked, "locked"),
        (!room.private_messages, "no private messages"),
        (!room.nicknames, "no nicknames"),
    ];
    let exceptions: Vec<_> =
        exceptions.into_iter().filter_map(|(holds, what)| holds.then_some(what)).collect();
    if !exceptions.is_empty() {
        told.push(("rules", exceptions.join(", ")));
    }
    if !room.barred.is_empty() {
        told.push(("kept out", room.barred.join(", ")));
    }
    facts(&told)
}

pub(super) fn members(list: &MemberList) -> String {
    let mut rows = Vec::new();
    for member in &list.members {
        let role = match (member.moderator, member.muted) {
            (true, true) => "moderator, muted",
            (true, false) => "moderator",
            (false, true) => "muted",
            (false, false) => "participant",
        };
        // What others see: an anonymous person is known by a handle, unless a device has a nickname.
        let handle = member.shown_as.as_deref().unwrap_or_default();
        let row = |device: &str, presence: &str, key: &str, nickname: &str| {
            [member.person.as_str(), role, device, presence, key, nickname].map(str::to_owned)
        };
        for device in &member.devices {
            let presence = match device.presence {
                Presence::Away => "away",
                Presence::Seated => "seated",
                Presence::Connected => "connected",
            };
            let key = if device.holds_key { "yes" } else { "no" };
            let nickname = device.nickname.as_deref().unwrap_or(handle);
            rows.push(row(&device.device, presence, key, nickname));
        }
        if member.devices.is_empty() {
            rows.push(row("-", "-", "-", handle));
        }
    }
    table(["PERSON", "ROLE", "DEVICE", "PRESENCE", "KEY", "SHOWN AS"], &rows)
}

pub(super) fn registrations(list: &RegistrationList) -> String {
    let rows: Vec<_> = list
        .registrations
        .iter()
        .map(|one| {
            let access = format!("{:?}", one.access).to_lowercase();
            let dash = || String::from("-");
            [
                one.person.clone(),
                one.device.clone().unwrap_or_else(dash),
                access,
                one.address.clone().unwrap_or_else(dash),
                format!("{} s", one.secs_left),
            ]
        })
        .collect();
    let shown = table(["PERSON", "DEVICE", "ACCESS", "FROM", "ENDS IN"], &rows);
    shown + &rest(rows.len(), list.total)
}

pub(super) fn devices(list: &DeviceList) -> String {
    let rows: Vec<_> = list
        .devices
        .iter()
        .map(|one| {
            let dash = || String::from("-");
            [
                one.device.clone(),
                one.certificate_ends.clone().unwrap_or_else(dash),
                one.key_packages.to_string(),
                format!("{:?}", one.last_resort).to_lowercase(),
                one.revoked.clone().unwrap_or_else(dash),
            ]
        })
        .collect();
    table(["DEVICE", "CERTIFICATE ENDS", "KEY PACKAGES", "LAST RESORT", "TAKEN BACK"], &rows)
}

pub(super) fn relays(list: &RelayList) -> String {
    let rows: Vec<_> = list
        .relays
        .iter()
        .map(|relay| {
            let state = match (relay.reached, relay.draining) {
                (false, _) => "not reached",
                (true, true) => "draining",
                (true, false) => "serving",
            };
            [
                relay.name.clone(),
                state.to_owned(),
                relay.rooms.to_string(),
                relay.control.clone(),
                relay.msrp.clone().unwrap_or_else(|| String::from("-")),
            ]
        })
        .collect();
    table(["RELAY", "STATE", "ROOMS", "CONTROL", "MSRP"], &rows)
}

pub(super) fn audit(list: &AuditList) -> String {
    let rows: Vec<_> = list
        .audit
        .iter()
        .map(|line| {
            let cells =
                [&line.at, &line.actor, &line.action, &line.subject, &line.result, &line.source];
            cells.map(Clone::clone)
        })
        .collect();
    table(["AT", "WHO", "WHAT", "OF", "RESULT", "FROM"], &rows)
}

pub(super) fn attempts(list: &AttemptList) -> String {
    let rows: Vec<_> = list
        .attempts
        .iter()
        .map(|line| {
            let device = line.device.clone().unwrap_or_else(|| String::from("-"));
            let (status, access) = (line.status.to_string(), line.access.clone());
            let result = format!("{status} {}", line.result);
            [line.at.clone(), line.person.clone(), device, access, result, line.source.clone()]
        })
        .collect();
    table(["AT", "PERSON", "DEVICE", "ACCESS", "RESULT", "FROM"], &rows)
}

const fn level(level: Level) -> &'static str {
    match level {
        Level::Sealed => "sealed",
        Level::Open => "open",
    }
}

/// What a list does not show.
fn rest(shown: usize, total: usize) -> String {
    if shown < total { format!("\n{shown} of {total}; --limit shows more") } else { String::new() }
}
