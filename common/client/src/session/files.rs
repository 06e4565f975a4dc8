//! Files on their way in and out: a description, sealed like any message, and the sealed octets, which come on their
//! own. The two are matched by the hash of the sealed octets; nothing is handed out before the whole file is proven.
//! Files live in memory here, within the bound of one incoming message; of a larger one the room hears what it is, and it
//! is fetched from who has it.
use std::collections::VecDeque;

use bytes::Bytes;
use ids::Aor;
use mls::files::{FileDescription, FileOpener, FileSealer, SEGMENT_OCTETS};
use msrp::Body;
use rand::CryptoRng;
use sha2::{Digest, Sha256};

use crate::event::{Announced, Error, Event, File, Outgoing};

/// Descriptions kept while their file is on its way.
const DESCRIBED_MAX: usize = 64;
/// Files kept while their description is on its way.
const UNCLAIMED_MAX: usize = 4;

/// A file as others will see it, and what only members learn of it.
pub(super) fn seal(file: &Outgoing, rng: &mut impl CryptoRng) -> Result<(Bytes, Body), Error> {
    let failed = |fault: mls::files::FileFault| Error::Group(fault.to_string());
    let mut sealer = FileSealer::new(rng).map_err(failed)?;
    let mut sealed =
        Vec::with_capacity(file.content.len() + file.content.len() / 1024 + SEGMENT_OCTETS);
    sealer.push(&file.content, &mut sealed).map_err(failed)?;
    let described = sealer.finish(&mut sealed).map_err(failed)?;
    let description = described.describe(&file.name, &file.content_type);
    Ok((description.to_bytes(), Body::from(Bytes::from(sealed))))
}

/// Files that are half here.
#[derive(Debug)]
pub(super) struct Files {
    /// Sealed octets that come by themselves; a file with more is fetched.
    octets_max: u64,
    described: VecDeque<(Aor, FileDescription)>,
    unclaimed: VecDeque<([u8; 32], Body)>,
}

impl Files {
    pub(super) fn new(octets_max: usize) -> Self {
        let octets_max = octets_max as u64;
        Self { octets_max, described: VecDeque::new(), unclaimed: VecDeque::new() }
    }

    /// A member told of a file.
    pub(super) fn described(
        &mut self,
        from: Aor,
        description: &[u8],
    ) -> Option<Result<Event, String>> {
        let description = match FileDescription::from_bytes(description) {
            Ok(description) => description,
            Err(error) => return Some(Err(error.to_string())),
        };
        if description.file.ciphertext_size > self.octets_max {
            return Some(Ok(Event::Announced(Announced::new(from, description))));
        }
        let hash = description.file.ciphertext_sha256;
        if let Some(at) = self.unclaimed.iter().position(|(known, _sealed)| *known == hash) {
            let (_hash, sealed) = self.unclaimed.remove(at)?;
            return Some(open(from, &description, &sealed).map(Event::File));
        }
        self.described.push_back((from, description));
        if self.described.len() <= DESCRIBED_MAX {
            return None;
        }
        let (_from, forgotten) = self.described.pop_front()?;
        Some(Err(format!("{} never came", forgotten.name)))
    }

    /// The sealed octets of a file are here.
    pub(super) fn arrived(&mut self, sealed: Body) -> Option<Result<Event, String>> {
        let mut hasher = Sha256::new();
        sealed.slices().for_each(|slice| hasher.update(slice));
        let hash: [u8; 32] = hasher.finalize().into();
        let ours = |(_from, description): &(Aor, FileDescription)| {
            description.file.ciphertext_sha256 == hash
        };
        if let Some(at) = self.described.iter().position(ours) {
            let (from, description) = self.described.remove(at)?;
            return Some(open(from, &description, &sealed).map(Event::File));
        }
        self.unclaimed.push_back((hash, sealed));
        if self.unclaimed.len() <= UNCLAIMED_MAX {
            return None;
        }
        self.unclaimed.pop_front();
        Some(Err("a file came whose description did not".to_owned()))
    }
}

fn open(from: Aor, description: &FileDescription, sealed: &Body) -> Result<File, String> {
    let failed = |fault: mls::files::FileFault| format!("{}: {fault}", description.name);
    let mut opener = FileOpener::new(description);
    let mut content = Vec::with_capacity(sealed.len());
    for slice in sealed.slices() {
        opener.push(slice, &mut content).map_err(failed)?;
    }
    opener.finish().map_err(failed)?;
    Ok(File {
        from,
        name: description.name.clone(),
        content_type: description.media_type.clone(),
        content: Bytes::from(content),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> Outgoing {
        let content =
            Bytes::from((0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect::<Vec<u8>>());
        Outgoing { name: "holiday.jpg".into(), content_type: "image/jpeg".into(), content }
    }

    fn alice() -> Aor {
        "sip:alice@x".parse().unwrap()
    }

    #[test]
    fn a_file_opens_whichever_half_comes_first() {
        let (description, sealed) = seal(&file(), &mut rand::rng()).unwrap();

        let mut files = Files::new(1 << 20);
        assert!(files.described(alice(), &description).is_none());
        let whole = |event| if let Event::File(file) = event { file } else { panic!("{event:?}") };
        let first = whole(files.arrived(sealed.clone()).unwrap().unwrap());
        assert!(files.arrived(sealed).is_none());
        let second = whole(files.described(alice(), &description).unwrap().unwrap());

        assert_eq!((&first.content, &second.content), (&file().content, &file().content));
        assert_eq!(first.name, "holiday.jpg");
    }

    #[test]
    fn a_changed_file_is_never_handed_out() {
        let (description, sealed) = seal(&file(), &mut rand::rng()).unwrap();
        let mut changed = sealed.gather().to_vec();
        changed[70_000] ^= 1;
        let mut files = Files::new(1 << 20);
        files.described(alice(), &description);

        assert!(files.arrived(Body::from(Bytes::from(changed))).is_none());
        assert!(files.arrived(sealed).unwrap().is_ok());
    }

    #[test]
    fn a_file_that_is_too_large_to_come_is_told_of_and_not_waited_for() {
        let (description, sealed) = seal(&file(), &mut rand::rng()).unwrap();
        let mut files = Files::new(sealed.len() - 1);

        let told = files.described(alice(), &description).unwrap().unwrap();

        let Event::Announced(announced) = told else { panic!("{told:?}") };
        assert_eq!((announced.name.as_str(), announced.octets), ("holiday.jpg", 200_000));
        assert_eq!(announced.selector().size, Some(sealed.len() as u64));
        assert!(files.described.is_empty());
    }
}
