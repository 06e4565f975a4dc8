//! Messages outside of sessions, as they came: they are on the disk before their sender hears that they are here, and stay
//! there until they are opened, or told. A device that keeps nothing keeps none of them.
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::late::Late;
use super::pager::{Immediate, Protection};
use crate::session::kept::{Kept, Row};
use crate::vault::{Vault, VaultError};

/// The names of the notes begin so.
const PREFIX: &[u8] = b"post/";

/// What came and is not dealt with.
#[derive(Debug, Default)]
pub(crate) struct Post {
    vault: Option<(Vault, Mutex<Row>)>,
    /// What came before the device was started.
    before: Mutex<Vec<(Immediate, Kept)>>,
}

impl Post {
    /// As the device left it.
    pub(crate) fn open(vault: Option<&Vault>) -> Self {
        let Some(vault) = vault else { return Self::default() };
        let (row, all) = Row::open(vault.records(), PREFIX.to_vec());
        let before = all.into_iter().filter_map(|(kept, value)| Some((read(&value)?, kept)));
        let before = Mutex::new(before.collect());
        Self { vault: Some((vault.clone(), Mutex::new(row))), before }
    }

    /// Keeps a message; it is on the disk when this returns.
    pub(super) async fn keep(&self, message: &Immediate) -> Result<Option<Kept>, VaultError> {
        let Some((vault, row)) = &self.vault else { return Ok(None) };
        let kept = row.lock().unwrap_or_else(PoisonError::into_inner).keep(write(message));
        vault.commit().await?;
        Ok(Some(kept))
    }

    pub(super) fn before(&self) -> Vec<(Immediate, Kept)> {
        std::mem::take(&mut *self.before.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lines, then the content.
fn write(message: &Immediate) -> Vec<u8> {
    let protection = match message.protection {
        None => "",
        Some(Protection::FirstHop) => "first-hop",
        Some(Protection::EndToEnd) => "end-to-end",
    };
    let nanos =
        |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string();
    let (accepted, sent, skewed) = match message.late {
        None => Default::default(),
        Some(late) => (
            nanos(late.accepted),
            late.sent.map(nanos).unwrap_or_default(),
            if late.skewed { "skewed" } else { "" },
        ),
    };
    // A header field has no line breaks.
    let kind = message.content_type.replace('\n', " ");
    let lines = [message.from.as_str(), &kind, protection, &accepted, &sent, skewed];
    let mut octets = (lines.join("\n") + "\n").into_bytes();
    octets.extend_from_slice(&message.body);
    octets
}

fn read(octets: &[u8]) -> Option<Immediate> {
    let mut parts = octets.splitn(7, |octet| *octet == b'\n');
    let mut line = || std::str::from_utf8(parts.next()?).ok();
    let (from, content_type) = (line()?.parse().ok()?, line()?.to_owned());
    let protection = match line()? {
        "first-hop" => Some(Protection::FirstHop),
        "end-to-end" => Some(Protection::EndToEnd),
        _ => None,
    };
    let at = |nanos: &str| UNIX_EPOCH.checked_add(Duration::from_nanos(nanos.parse().ok()?));
    let (accepted, sent, skewed) = (at(line()?), at(line()?), line()? == "skewed");
    let late = accepted.map(|accepted| Late { accepted, sent, skewed });
    let body = Bytes::copy_from_slice(parts.next()?);
    Some(Immediate { from, content_type, body, protection, late })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_is_there_again_with_every_octet_until_it_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let key = crate::vault::VaultKey::KeyFile(folder.path().join("key"));
        let open = || Vault::open(&folder.path().join("vault"), &key).unwrap();
        let plain = Immediate {
            from: "sip:alice@example.net".parse().unwrap(),
            content_type: "text/plain;charset=utf-8".to_owned(),
            body: Bytes::from_static(b"two\nlines\n\nand \xff"),
            protection: Some(Protection::EndToEnd),
            late: None,
        };
        let at = |secs| UNIX_EPOCH + Duration::from_secs(secs);
        let late =
            Late { accepted: at(1_700_000_000), sent: Some(at(1_600_000_000)), skewed: true };
        let late = Immediate { protection: None, late: Some(late), ..plain.clone() };
        let vault = open();
        let post = Post::open(Some(&vault));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let keep = |message| runtime.block_on(post.keep(message)).unwrap().unwrap();
        let first = keep(&plain);
        drop(keep(&late));
        drop(keep(&plain));

        // As after a SIGKILL: nothing was written but what was promised.
        first.done();
        vault.commit_now().unwrap();
        drop((post, vault));

        let vault = open();
        let post = Post::open(Some(&vault));
        let (messages, kept): (Vec<_>, Vec<_>) = post.before().into_iter().unzip();
        assert_eq!(messages, [late, plain]);
        assert!(post.before().is_empty());
        kept.into_iter().for_each(Kept::done);
        assert!(Post::open(Some(&vault)).before().is_empty());
    }
}
