//! Whose devices these are: numbers to compare, and what is said of devices that were not there before.
use std::collections::BTreeSet;

use client::{DeviceNews, Pair};
use ids::{Aor, DeviceId};

use super::Table;
use super::whom::THAT_IS_YOU;
use crate::terminal::counted;

/// What a person wants to know or says of somebody's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// `/verify` or `/verify USER`: the numbers to compare.
    Compare,
    /// `/verified USER`: they are alike.
    Alike,
    /// `/unverify USER`: that is taken back.
    Doubt,
    /// `/accept USER`: the devices they have now are theirs.
    Accept,
}

impl Trust {
    const ALL: [(&str, Self); 4] = [
        ("verify", Self::Compare),
        ("verified", Self::Alike),
        ("unverify", Self::Doubt),
        ("accept", Self::Accept),
    ];

    /// What this word means, if it may stand with something behind it, or alone.
    pub(super) fn of(word: &str, alone: bool) -> Option<Self> {
        let (_, it) = Self::ALL.into_iter().find(|(known, _)| *known == word)?;
        (!alone || it == Self::Compare).then_some(it)
    }

    pub(super) fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, it)| *it == self).map_or("", |(word, _)| word)
    }

    /// Carries it out; what is to be shown.
    pub(super) async fn carry_out(self, of: &str, table: &Table<'_>) -> Result<String, String> {
        if of.is_empty() {
            return everybody(table).await;
        }
        let who = table.whom().somebody(of)?;
        if who == *table.me {
            return Err(format!("{THAT_IS_YOU}: /devices shows what you have"));
        }
        let (room, name) = (table.room, who.user());
        match self {
            Self::Compare => compare(&who, table).await,
            Self::Alike => {
                if !has_number(&who, table).await {
                    return Err(nothing_to_compare(table));
                }
                room.verify(&who, true).await.map_err(|error| error.to_string())?;
                Ok(format!(
                    "* {name} is verified: a new device of theirs holds what you say until you accept it"
                ))
            }
            Self::Doubt if !is_verified(&who, table).await => {
                Err(format!("{name} is not verified; nothing has changed"))
            }
            Self::Doubt => {
                room.verify(&who, false).await.map_err(|error| error.to_string())?;
                Ok(format!("* {name} is not verified any more"))
            }
            Self::Accept => match room.accept(&who).await.map_err(|error| error.to_string())? {
                true => Ok(format!("* the devices of {name} are accepted")),
                false => Ok(format!("* {name} has no device that waits to be accepted")),
            },
        }
    }
}

async fn compare(who: &Aor, table: &Table<'_>) -> Result<String, String> {
    let numbers = table.room.numbers(Some(who)).await.ok_or("you do not hold the group key yet")?;
    // What is written to them outside of this room has a key of its own, and may reach devices that are not here.
    let outside = table.device.number(who).await.ok();
    let name = who.user();
    let (pair, outside) = match (numbers.pair, outside) {
        (Some(pair), Some(outside)) if outside.number != pair.number => (pair, Some(outside)),
        (Some(pair), _) | (None, Some(pair)) => (pair, None),
        (None, None) => return Err(nothing_to_compare(table)),
    };
    let line = |pair: &Pair| format!("({}): {}", counted(pair.devices, "device"), pair.number);
    let mut lines = vec![format!("* you and {name} {}", line(&pair))];
    lines.extend(outside.map(|outside| format!("  outside of this room {}", line(&outside))));
    lines.push(match pair.verified {
        true => String::from("  verified before"),
        false => format!("  if {name} sees the same: /verified {name}"),
    });
    Ok(lines.join("\n"))
}

/// Whether there was ever something to compare with them.
async fn has_number(who: &Aor, table: &Table<'_>) -> bool {
    let here = table.room.numbers(Some(who)).await.and_then(|numbers| numbers.pair);
    here.is_some() || table.device.number(who).await.is_ok()
}

/// Whether somebody has said that their numbers were alike.
async fn is_verified(who: &Aor, table: &Table<'_>) -> bool {
    let here = table.room.numbers(Some(who)).await.and_then(|numbers| numbers.pair);
    let is_so = |pair: Pair| pair.verified;
    here.is_some_and(is_so) || table.device.number(who).await.is_ok_and(is_so)
}

fn nothing_to_compare(table: &Table<'_>) -> String {
    let others = table.whom().others(table.me);
    format!("they are not here, and you never wrote to each other; {others}")
}

async fn everybody(table: &Table<'_>) -> Result<String, String> {
    let room = table.room;
    let numbers = room.numbers(None).await.ok_or("you do not hold the group key yet")?;
    let mut lines = vec![format!("* everybody here should see {}", numbers.epoch)];
    let people: BTreeSet<Aor> = room.status().roster.into_iter().map(|it| it.aor).collect();
    for who in people {
        // One's own devices are no pair.
        let pair = room.numbers(Some(&who)).await.and_then(|numbers| numbers.pair);
        let Some(pair) = pair.filter(|_| who != *table.me) else { continue };
        let verified = if pair.verified { ", verified" } else { "" };
        lines.push(format!("  you and {}: {}{verified}", who.user(), pair.number));
    }
    Ok(lines.join("\n"))
}

/// What is said of a device that was not there before.
pub(super) fn told(
    who: &Aor,
    device: &DeviceId,
    (news, held): (DeviceNews, bool),
    me: &Aor,
) -> String {
    let name = who.user();
    if who == me {
        let what = match news {
            DeviceNews::New => "this device meets another one of yours for the first time",
            DeviceNews::OtherKey => "a known device of yours has another key",
        };
        return format!("! {what} ({device}); if it is not yours: /lost {device}");
    }
    let what = match news {
        DeviceNews::New => "has a new device",
        DeviceNews::OtherKey => "has another key on a known device",
    };
    let then = match held {
        true => {
            format!("what you say is held: compare numbers (/verify {name}), then /accept {name}")
        }
        false => format!("to be sure it is theirs compare numbers: /verify {name}"),
    };
    format!("! {name} {what} ({device}); {then}")
}

/// What is said when the members were led apart.
pub(super) fn split(who: &Aor, epoch: ids::Epoch) -> String {
    let name = who.user();
    format!(
        "! in epoch {epoch} {name} was in another group than you: who runs the server may have led you apart, and read along. Compare numbers: /verify"
    )
}

/// What is said when something waits.
pub(super) fn held(who: &[Aor]) -> String {
    let names: Vec<&str> = who.iter().map(Aor::user).collect();
    let names = names.join(", ");
    format!("! not sent yet: {names} has a device that you have not accepted")
}
