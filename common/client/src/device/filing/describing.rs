//! What is said of a file of ours, and what is understood of somebody else's: sizes, hashes, dates, and the picture that
//! goes with an offer.
use std::path::Path;

use bytes::Bytes;
use rand::Rng as _;
use sip::multipart::{self, Part as BodyPart};
use sip::sdp::{self, BadSdp, FileHash, FileMedia, FileRange, FileSelector, MsrpMedia};

use super::{Disposition, FileToSend, Icon, refused};
use crate::device::calling::unsafe_session;
use crate::event::Error;
use endpoint::transfer::{Hashes, Hashing, Part};

/// Octets that are hashed at a time.
const READ_OCTETS: usize = 256 << 10;

/// What is known of a file of ours.
pub(super) struct Known {
    pub(super) file: std::fs::File,
    pub(super) selector: FileSelector,
    pub(super) hashes: Hashes,
    pub(super) size: u64,
    pub(super) modified: Option<String>,
}

pub(super) fn part_of(sent: &FileToSend, known: &Known, start: u64, octets: u64) -> Part {
    let kind = match sent.disposition {
        Disposition::Render => "render",
        Disposition::Attachment => "attachment",
    };
    let selector = FileSelector { name: Some(sent.name.clone()), ..FileSelector::default() };
    // The same quoting, in which nothing ends the line or the quotes.
    let name = selector.to_string().trim_start_matches("name:").to_owned();
    Part {
        media_type: Some(sent.media_type.clone()),
        start,
        octets: Some(octets),
        hashes: known.hashes,
        octets_max: u64::MAX,
        disposition: Some(format!("{kind}; filename={name}; size={}", known.size)),
        ..Part::default()
    }
}

/// What the other side answered to our file.
pub(super) fn answered_file(answer: &[u8], ours: &FileMedia) -> Result<MsrpMedia, Error> {
    let theirs = sdp::parse_answer(answer).map_err(|bad| match bad {
        BadSdp::Refused => refused(488, "the other side does not want it"),
        bad => unsafe_session(bad),
    })?;
    let wrong = |why: &str| Error::Answer { what: "the file", why: why.to_owned() };
    let file = theirs.file.as_deref().ok_or_else(|| wrong("the other side knows no files"))?;
    if file.transfer_id != ours.transfer_id || !file.selector.may_be(&ours.selector) {
        return Err(wrong("the answer is about another file"));
    }
    let start = |range: Option<FileRange>| range.map_or(1, FileRange::start);
    if start(file.range) != start(ours.range) {
        return Err(wrong("the answer is about another part of the file"));
    }
    Ok(theirs)
}

/// What we asked for, with what they add.
pub(super) fn joined(asked: &FileSelector, told: FileSelector) -> FileSelector {
    let known = |hash: &FileHash| asked.hash(&hash.algorithm).is_some();
    let more = told.hashes.into_iter().filter(|hash| !known(hash));
    FileSelector {
        name: asked.name.clone().or(told.name),
        media_type: asked.media_type.clone().or(told.media_type),
        size: asked.size.or(told.size),
        hashes: asked.hashes.iter().cloned().chain(more).collect(),
    }
}

/// What a part of a file is known by while the rest is missing.
pub(super) fn key_of(selector: &FileSelector) -> Option<String> {
    let hash = selector.hash("sha-256").or_else(|| selector.hash("sha-1"))?;
    Some(hex::encode(hash))
}

/// The description, and beside it the picture if there is one (RFC 5547, 8.8).
pub(super) fn with_icon(offer: Bytes, icon: Option<&Icon>, file: &FileMedia) -> (String, Bytes) {
    let (Some(icon), Some(id)) = (icon, &file.icon) else {
        return ("application/sdp".to_owned(), offer);
    };
    let picture = BodyPart::new(&icon.media_type, icon.content.clone())
        .with(multipart::content_id(), &format!("<{id}>"))
        .with(sip::Name::ContentDisposition, "icon");
    let random = rand::rng().random();
    let parts = [BodyPart::new("application/sdp", offer), picture];
    multipart::write_related("application/sdp", &parts, random)
}

/// Reads a file to know its size and its hashes.
pub(super) async fn known(sent: &FileToSend) -> Result<Known, Error> {
    let (path, name, kind) = (sent.path.clone(), sent.name.clone(), sent.media_type.clone());
    let looked = tokio::task::spawn_blocking(move || look(&path, name, kind)).await;
    let looked = looked.map_err(std::io::Error::other).flatten();
    looked.map_err(|error| Error::Network { what: "reading the file", why: error.to_string() })
}

/// Opens a file to be read. Whoever opens a pipe waits for who writes into it, so that is looked at before.
pub(crate) fn readable(path: &Path) -> std::io::Result<std::fs::File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    std::fs::File::open(path)
}

fn look(path: &Path, name: String, media_type: String) -> std::io::Result<Known> {
    use std::io::Read as _;
    let mut file = readable(path)?;
    let metadata = file.metadata()?;
    let (mut hashing, mut buffer) = (Hashing::default(), vec![0; READ_OCTETS]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hashing.update(buffer.get(..read).unwrap_or_default());
    }
    let size = hashing.octets();
    let hashes = hashing.finish();
    let modified = metadata.modified().ok().map(time::OffsetDateTime::from);
    let format = &time::format_description::well_known::Rfc2822;
    let selector = FileSelector {
        name: Some(name).filter(|name| !name.is_empty()),
        media_type: Some(media_type),
        size: Some(size),
        hashes: hashes.listed(),
    };
    let modified = modified.and_then(|at| at.format(format).ok());
    Ok(Known { file, selector, hashes, size, modified })
}
