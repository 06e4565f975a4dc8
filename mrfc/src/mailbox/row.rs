//! A message as a row of the store has it: its head always under the mailbox's key, its body unless it is sealed. Pure.
use std::time::SystemTime;

use bytes::Bytes;
use ids::Aor;
use store::NewLetter;

use super::large::Large;
use super::letter::Letter;
use super::lock::Keys;

/// What is known of a message beside its text.
pub(super) struct Kept {
    pub(super) owner: Aor,
    pub(super) id: String,
    pub(super) until: SystemTime,
    pub(super) forget: SystemTime,
    pub(super) is_sealed: bool,
    pub(super) large: Option<Large>,
}

/// Under the keys, unless no server can read its body anyway.
pub(super) fn locked(
    keys: &Keys,
    kept: Kept,
    letter: &Letter,
    now: SystemTime,
) -> Option<NewLetter> {
    let octets = kept.large.as_ref().map(|large| large.octets);
    let octets = octets.unwrap_or_else(|| u64::try_from(letter.body.len()).unwrap_or(u64::MAX));
    let mut new = NewLetter {
        owner: kept.owner,
        sender: letter.author.clone(),
        message_id: kept.id,
        accepted: now,
        expires: kept.until,
        forget: kept.forget,
        octets,
        locked: !kept.is_sealed,
        head: Bytes::new(),
        body: letter.body.clone(),
        blob: kept.large.map(|large| large.blob),
    };
    new.head = keys.lock(&place("head", &new), &letter.head()).ok()?;
    if new.locked {
        new.body = keys.lock(&place("body", &new), &letter.body).ok()?;
    }
    Some(new)
}

/// What was kept, if it is unchanged and under one of these keys.
pub(super) fn opened(keys: &Keys, kept: &NewLetter) -> Option<Letter> {
    let head = keys.open(&place("head", kept), &kept.head)?;
    let body = match kept.locked {
        true => keys.open(&place("body", kept), &kept.body)?,
        false => kept.body.clone(),
    };
    Letter::read(&head, body)
}

/// Where a text belongs: moved to another row it does not open.
fn place(part: &str, letter: &NewLetter) -> Vec<u8> {
    let accepted = letter.accepted.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (owner, sender, id) = (&letter.owner, &letter.sender, &letter.message_id);
    format!("{part}\n{owner}\n{sender}\n{}\n{id}", accepted.as_millis()).into_bytes()
}
