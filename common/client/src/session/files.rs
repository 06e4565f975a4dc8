//! Files on their way in and out: a description, sealed like any message, and the sealed octets, which come on their
//! own. The two are matched by the hash of the sealed octets; nothing is handed out before the whole file is proven.
//! Files live in memory here, within the bound of one incoming message; of a larger one the room hears what it is, and it
//! is fetched from who has it.
use std::collections::VecDeque;

use bytes::Bytes;
use ids::{Aor, ConferenceId};
use mls::files::{FileDescription, FileOpener, FileSealer, SEGMENT_OCTETS};
use mls::storage::Records;
use mls::wire;
use msrp::Body;
use rand::CryptoRng;
use sha2::{Digest, Sha256};

use super::kept::{Kept, Row};
use super::{Output, Session};
use crate::event::{Announced, Error, Event, File, Message, Outgoing};

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

/// Files that are half here. What is here is kept with the device until the file is told: the key that opened its
/// description is gone, and its octets come once.
#[derive(Debug)]
pub(super) struct Files {
    /// Sealed octets that come by themselves; a file with more is fetched.
    octets_max: u64,
    row: Row,
    described: VecDeque<(Aor, FileDescription, Kept)>,
    unclaimed: VecDeque<([u8; 32], Body, Kept)>,
}

/// What is to be told, and what keeps it until it is; or why there is nothing.
type Told = Option<Result<(Event, Kept), String>>;

impl Files {
    /// Those of a conference, and what is to be told of them.
    pub(super) fn kept(
        records: &Records,
        room: &ConferenceId,
        octets_max: usize,
    ) -> (Self, Vec<(Event, Kept)>) {
        let (row, all) = Row::open(records, format!("files/{room}/").into_bytes());
        let (described, unclaimed) = (VecDeque::new(), VecDeque::new());
        let mut files = Self { octets_max: octets_max as u64, row, described, unclaimed };
        let mut untold = Vec::new();
        for (kept, half) in all {
            let told = match half.split_first() {
                Some((b'o', sealed)) => {
                    files.came(Body::from(Bytes::copy_from_slice(sealed)), kept)
                }
                Some((how, described)) => files.read(*how, described, kept),
                None => None,
            };
            untold.extend(told.and_then(Result::ok));
        }
        (files, untold)
    }

    fn read(&mut self, how: u8, octets: &[u8], kept: Kept) -> Told {
        let at = octets.iter().position(|octet| *octet == b'\n')?;
        let (from, description) = octets.split_at_checked(at)?;
        let from = std::str::from_utf8(from).ok()?.parse().ok()?;
        let comes = if how == b'f' { Comes::Fetched } else { Comes::ByItself };
        self.told_of(from, description.get(1..)?, comes, kept)
    }

    /// A member told of a file.
    pub(super) fn described(&mut self, from: Aor, description: &[u8], comes: Comes) -> Told {
        let how = if comes == Comes::Fetched { b'f' } else { b'd' };
        let kept = [&[how], from.as_str().as_bytes(), b"\n", description].concat();
        let kept = self.row.keep(kept);
        self.told_of(from, description, comes, kept)
    }

    fn told_of(&mut self, from: Aor, description: &[u8], comes: Comes, kept: Kept) -> Told {
        let description = match FileDescription::from_bytes(description) {
            Ok(description) => description,
            Err(error) => {
                kept.done();
                return Some(Err(error.to_string()));
            }
        };
        let is_large = description.file.ciphertext_size > self.octets_max;
        if is_large || comes == Comes::Fetched {
            return Some(Ok((Event::Announced(Announced::new(from, description)), kept)));
        }
        let hash = description.file.ciphertext_sha256;
        if let Some(at) = self.unclaimed.iter().position(|(known, ..)| *known == hash) {
            let (_hash, sealed, octets) = self.unclaimed.remove(at)?;
            return Some(whole(from, &description, &sealed, kept.and(octets)));
        }
        self.described.push_back((from, description, kept));
        if self.described.len() <= DESCRIBED_MAX {
            return None;
        }
        let (_from, forgotten, kept) = self.described.pop_front()?;
        kept.done();
        Some(Err(format!("{} never came", forgotten.name)))
    }

    /// The sealed octets of a file are here.
    pub(super) fn arrived(&mut self, sealed: Body) -> Told {
        let mut kept = Vec::with_capacity(sealed.len() + 1);
        kept.push(b'o');
        sealed.slices().for_each(|slice| kept.extend_from_slice(slice));
        let kept = self.row.keep(kept);
        self.came(sealed, kept)
    }

    fn came(&mut self, sealed: Body, kept: Kept) -> Told {
        let mut hasher = Sha256::new();
        sealed.slices().for_each(|slice| hasher.update(slice));
        let hash: [u8; 32] = hasher.finalize().into();
        let is = |(_, description, _): &(Aor, FileDescription, Kept)| {
            description.file.ciphertext_sha256 == hash
        };
        if let Some(at) = self.described.iter().position(is) {
            let (from, description, of_key) = self.described.remove(at)?;
            return Some(whole(from, &description, &sealed, of_key.and(kept)));
        }
        self.unclaimed.push_back((hash, sealed, kept));
        if self.unclaimed.len() <= UNCLAIMED_MAX {
            return None;
        }
        let (_hash, _sealed, kept) = self.unclaimed.pop_front()?;
        kept.done();
        Some(Err("a file came whose description did not".to_owned()))
    }
}

/// How the octets of a file that a room is told of come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comes {
    /// In the room, if they are few enough.
    ByItself,
    /// To who asks for them.
    Fetched,
}

impl Session {
    /// What a sealed message tells of a file; gives back what is no such message.
    pub(super) fn told_of_file(&mut self, message: Message) -> Option<Message> {
        let comes = match message.content_type.as_str() {
            wire::FILE_DESCRIPTION => Comes::ByItself,
            wire::FILE_TO_FETCH => Comes::Fetched,
            _ => return Some(message),
        };
        let told = self.files.described(message.from, &message.body, comes);
        self.filed(told);
        None
    }

    /// The sealed octets of a file have come.
    pub(super) fn file_came(&mut self, sealed: Body) {
        let told = self.files.arrived(sealed);
        self.filed(told);
    }

    fn filed(&mut self, told: Told) {
        match told {
            Some(Ok((event, kept))) => {
                self.keeping.tells_file(kept);
                self.outputs.push_back(Output::Event(event));
            }
            Some(Err(why)) => self.unreadable(&why),
            None => {}
        }
    }
}

/// A file of which both halves are here.
fn whole(
    from: Aor,
    description: &FileDescription,
    sealed: &Body,
    kept: Kept,
) -> Result<(Event, Kept), String> {
    match open(from, description, sealed) {
        Ok(file) => Ok((Event::File(file), kept)),
        Err(why) => {
            kept.done();
            Err(why)
        }
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

    fn files(records: &Records, octets_max: usize) -> (Files, Vec<Event>) {
        let (files, untold) = Files::kept(records, &"room7".parse().unwrap(), octets_max);
        (files, untold.into_iter().map(|(event, _kept)| event).collect())
    }

    fn anew(octets_max: usize) -> Files {
        files(&Records::kept([]), octets_max).0
    }

    fn shared(told: Told) -> (File, Kept) {
        match told.unwrap().unwrap() {
            (Event::File(file), kept) => (file, kept),
            (other, _kept) => panic!("{other:?}"),
        }
    }

    fn announced(event: Event) -> Announced {
        if let Event::Announced(announced) = event { announced } else { panic!("{event:?}") }
    }

    #[test]
    fn a_file_opens_whichever_half_comes_first() {
        let (description, sealed) = seal(&file(), &mut rand::rng()).unwrap();

        let mut files = anew(1 << 20);
        assert!(files.described(alice(), &description, Comes::ByItself).is_none());
        let (first, _kept) = shared(files.arrived(sealed.clone()));
        assert!(files.arrived(sealed).is_none());
        let (second, _kept) = shared(files.described(alice(), &description, Comes::ByItself));

        assert_eq!((&first.content, &second.content), (&file().content, &file().content));
        assert_eq!(first.name, "holiday.jpg");
    }

    #[test]
    fn a_changed_file_is_never_handed_out() {
        let (description, sealed) = seal(&file(), &mut rand::rng()).unwrap();
        let mut changed = sealed.gather().to_vec();
        changed[70_000] ^= 1;
        let mut files = anew(1 << 20);
        files.described(alice(), &description, Comes::ByItself);

        assert!(files.arrived(Body::from(Bytes::from(changed))).is_none());
        assert!(files.arrived(sealed).unwrap().is_ok());
    }

    #[test]
    fn a_file_that_is_too_large_to_come_is_told_of_and_not_waited_for() {
        let (description, sealed) = seal(&file(), &mut rand::rng()).unwrap();
        let mut files = anew(sealed.len() - 1);

        let told = files.described(alice(), &description, Comes::ByItself).unwrap().unwrap();

        let announced = announced(told.0);
        assert_eq!((announced.name.as_str(), announced.octets), ("holiday.jpg", 200_000));
        assert_eq!(announced.selector().size, Some(sealed.len() as u64));
        assert!(files.described.is_empty());
    }

    #[test]
    fn a_small_file_that_is_to_be_fetched_is_told_of_and_not_waited_for() {
        let (description, _sealed) = seal(&file(), &mut rand::rng()).unwrap();
        let mut files = anew(1 << 20);

        let told = files.described(alice(), &description, Comes::Fetched).unwrap().unwrap();

        assert_eq!(announced(told.0).octets, 200_000);
        assert!(files.described.is_empty());
    }

    /// The relay has heard 200 for both halves, and the key of the first is gone: nothing brings them again.
    #[test]
    fn i19_what_is_here_of_a_file_is_there_again_until_it_was_told() {
        let (description, sealed) = seal(&file(), &mut rand::rng()).unwrap();
        let records = Records::kept([]);
        let (mut one, nothing) = files(&records, 1 << 20);
        assert!(nothing.is_empty());
        one.described(alice(), &description, Comes::ByItself);

        let (mut two, nothing) = files(&records, 1 << 20);
        assert!(nothing.is_empty());
        let (_file, untold) = shared(two.arrived(sealed.clone()));
        let to_fetch = two.described(alice(), &description, Comes::Fetched).unwrap().unwrap();

        let (_three, again) = files(&records, 1 << 20);
        let [Event::File(again), Event::Announced(_)] = &again[..] else { panic!("{again:?}") };
        assert_eq!(again.content, file().content);
        untold.done();
        to_fetch.1.done();
        assert!(files(&records, 1 << 20).1.is_empty());
        assert!(records.noted_under(b"files/").is_empty());

        // And the other way round.
        let (mut four, _nothing) = files(&records, 1 << 20);
        four.arrived(sealed);
        let (mut five, _nothing) = files(&records, 1 << 20);
        shared(five.described(alice(), &description, Comes::ByItself)).1.done();
        assert!(records.noted_under(b"files/").is_empty());
    }
}
