//! Files from person to person, each in a session of its own (RFC 5547): offered and taken, or asked for and given. What is
//! said of a file, the other side compares with what comes; where a file ends up, only its receiver decides.
mod describing;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use ids::Aor;
use sip::Status;
use sip::sdp::{
    self, Direction, FileDates, FileMedia, FileRange, FileSelector, MsrpMedia, Setup, Terms,
};

use super::calling::{Agreed, unsafe_session};
use super::{Device, Shared, origin};
use crate::conference::now;
use crate::event::{Announced, Error};
use crate::phone::{At, Ringing};
use crate::transfer::{Disk, FileTransfer, Folder, Landing, Parts};
pub(crate) use describing::readable;
use describing::{answered_file, joined, key_of, known, part_of, with_icon};
use endpoint::ends;
use endpoint::transfer::{Hashes, Part, Transfer};

/// Octets around a file in its message: the wrapper.
const AROUND_OCTETS: u64 = 64 << 10;
/// Octets of a picture that goes with an offer: signalling is no place for more (RFC 5547, 8.8).
const ICON_OCTETS_MAX: usize = 16 << 10;

/// What the receiver is asked to do with a file (RFC 5547, 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disposition {
    /// Keep it, and do not show it without being asked.
    #[default]
    Attachment,
    /// Show it: an image that is shared.
    Render,
}

/// A small picture of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Icon {
    /// Its media type.
    pub media_type: String,
    /// The picture. It is its author's: decode it with bounds.
    pub content: Bytes,
}

/// A file to be sent.
#[derive(Clone, Debug)]
pub struct FileToSend {
    /// Where it is.
    pub path: PathBuf,
    /// The name that the other side sees.
    pub name: String,
    /// Its media type.
    pub media_type: String,
    /// What it is for.
    pub disposition: Disposition,
    /// A small picture of it. Who does not take one is offered the file without.
    pub icon: Option<Icon>,
    /// Octets that the other side has already.
    pub from: u64,
}

impl FileToSend {
    /// All of a file, under its own name, to be kept.
    pub fn new(path: impl Into<PathBuf>, media_type: &str) -> Self {
        let path = path.into();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let (name, media_type) = (name.unwrap_or_default(), media_type.to_owned());
        Self { path, name, media_type, disposition: Disposition::default(), icon: None, from: 0 }
    }
}

/// Which way a file goes, seen from who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Push,
    Pull,
}

/// Which way the file of a call goes; `None` if it is for none.
pub(super) fn direction(ringing: &Ringing) -> Option<Way> {
    let media = ringing.offer.media();
    media.file.as_ref().filter(|file| !file.is_capability())?;
    Some(if media.direction == Direction::RecvOnly { Way::Pull } else { Way::Push })
}

/// Somebody offers a file. Dropping it says that this device is busy.
#[derive(Debug)]
pub struct FileOffer {
    shared: Arc<Shared>,
    ringing: Box<Ringing>,
    key: Option<Announced>,
}

/// Somebody asks for a file of ours. Dropping it says that this device is busy.
#[derive(Debug)]
pub struct FileRequest {
    pub(super) shared: Arc<Shared>,
    pub(super) ringing: Box<Ringing>,
}

impl FileOffer {
    pub(super) fn new(shared: Arc<Shared>, ringing: Box<Ringing>) -> Self {
        Self { shared, ringing, key: None }
    }

    /// Whether what is offered is the octets of a sealed file, which servers cannot read.
    pub fn is_sealed(&self) -> bool {
        self.selector().media_type.as_deref().is_some_and(|kind| kind == mls::wire::SEALED_FILE)
    }

    /// The key of a sealed file, under which its octets are opened once they are here ([`Announced::open`]), and what its
    /// author says of it. None if the file is not sealed.
    pub fn sealed(&self) -> Option<&Announced> {
        self.key.as_ref()
    }

    /// Takes the key, if it is the one: of the same author, and for these octets by their hash.
    pub(super) fn take_key(&mut self, key: &Announced) -> bool {
        let wanted = key.selector();
        let known = self.selector();
        let same = known.size == wanted.size
            && wanted.hashes.iter().all(|hash| known.hashes.contains(hash));
        let is = same && key.from == *self.from();
        if is {
            self.key = Some(key.clone());
        }
        is
    }

    /// Whether whoever offers it has given up.
    pub fn is_given_up(&mut self) -> bool {
        self.ringing.is_given_up()
    }

    /// Who offers it.
    pub fn from(&self) -> &Aor {
        &self.ringing.from
    }

    /// What they say of it: name, type, size and hashes. The name is no path.
    pub fn selector(&self) -> &FileSelector {
        &file(&self.ringing).selector
    }

    /// What they want done with it.
    pub fn disposition(&self) -> Disposition {
        match file(&self.ringing).disposition.as_deref() {
            Some("render") => Disposition::Render,
            _ => Disposition::Attachment,
        }
    }

    /// A small picture of it.
    pub fn icon(&self) -> Option<Icon> {
        let part = self.ringing.icon.as_ref()?;
        let media_type = part.content_type()?.essence;
        let small = part.body.len() <= ICON_OCTETS_MAX && media_type.starts_with("image/");
        small.then(|| Icon { media_type, content: part.body.clone() })
    }

    /// Takes it into a folder, and returns once it is on its way. A part that is offered is taken if what is before it is
    /// here from an earlier transfer.
    ///
    /// # Errors
    /// The sender has given up, the file is too large or no part that fits what is here, or no connection came about.
    pub async fn accept(self, folder: &Folder) -> Result<FileTransfer, Error> {
        let Self { shared, ringing, key: _ } = self;
        let theirs = file(&ringing).clone();
        let wanted = shared.wanted(&theirs, ringing.offer.media(), folder);
        let (part, landing) = match wanted {
            Ok(wanted) => wanted,
            Err((status, error)) => {
                ringing.refuse(status).await;
                return Err(error);
            }
        };
        let side = Side::Receive { part, landing };
        shared.answer_file(*ringing, theirs.mirrored(), side).await
    }

    /// Says no, for all devices of the user.
    pub async fn decline(self) {
        self.ringing.refuse(Status::DECLINE).await;
    }
}

impl FileRequest {
    /// Who asks.
    pub fn from(&self) -> &Aor {
        &self.ringing.from
    }

    /// Which file they want.
    pub fn selector(&self) -> &FileSelector {
        &file(&self.ringing).selector
    }

    /// Sends this file, if it is the one that is asked for.
    ///
    /// # Errors
    /// It is another one, it does not have the octets that are asked for, or no connection came about. The other side
    /// has been told.
    pub async fn serve(self, sent: &FileToSend) -> Result<FileTransfer, Error> {
        let Self { shared, ringing } = self;
        let asked = file(&ringing).clone();
        let known = match known(sent).await {
            Ok(known) => known,
            Err(error) => {
                ringing.refuse(Status::NOT_ACCEPTABLE_HERE).await;
                return Err(error);
            }
        };
        let range = asked.range.map_or(Ok((0, known.size)), |range| range.of(known.size));
        let (Ok((start, octets)), true) = (range, known.selector.fits(&asked.selector)) else {
            ringing.refuse(Status::NOT_ACCEPTABLE_HERE).await;
            return Err(refused(488, "it is not the file that was asked for"));
        };
        // RFC 5547, 8.3.2: the hash says that it is the one.
        let ours = FileMedia { selector: known.selector.clone(), ..asked.mirrored() };
        let part = part_of(sent, &known, start, octets);
        let side = Side::Send { part, file: known.file };
        shared.answer_file(*ringing, ours, side).await
    }

    /// Says that there is no such file.
    pub async fn none(self) {
        self.ringing.refuse(Status::NOT_ACCEPTABLE_HERE).await;
    }
}

/// What we do with a file.
enum Side {
    Send { part: Part, file: std::fs::File },
    Receive { part: Part, landing: Landing },
}

impl Device {
    /// Offers a file to a person, and returns once it is on its way. Dropped before, the offer is given up.
    ///
    /// # Errors
    /// It cannot be read; they are not there, do not want it, or offer no session that is safe.
    pub async fn send_file(&self, who: &Aor, file: &FileToSend) -> Result<FileTransfer, Error> {
        self.shared.push((who, At::Devices), file).await
    }

    /// Whose device this is.
    pub(crate) fn own_aor(&self) -> &Aor {
        &self.shared.profile.aor
    }

    /// Puts a file into a person's mailbox, or into our own for everybody who is told of its hash, and returns once it is on
    /// its way. A mailbox takes sealed files only.
    ///
    /// # Errors
    /// There is no mailbox, it is full or does not take this one, or the file cannot be read.
    pub fn leave_file(
        &self,
        who: &Aor,
        file: &FileToSend,
    ) -> impl Future<Output = Result<FileTransfer, Error>> + Send + use<> {
        let (shared, who, file) = (Arc::clone(&self.shared), who.clone(), file.clone());
        async move { shared.push((&who, At::Mailbox), &file).await }
    }

    /// Asks a person's mailbox for a file: our own for what somebody left there, another one's for what its owner keeps for
    /// those who know its hash.
    ///
    /// # Errors
    /// As for [`Device::fetch_file`].
    pub async fn fetch_left(
        &self,
        who: &Aor,
        selector: &FileSelector,
        folder: &Folder,
    ) -> Result<FileTransfer, Error> {
        self.shared.pull((who, At::Mailbox), selector, folder).await
    }

    /// Asks a person for a file, and returns once it is on its way into a folder. What is there of it from an earlier
    /// transfer is not asked for again, if the selector has a hash to know it by.
    ///
    /// # Errors
    /// They are not there, have no such file or more than one, do not want to, or offer no session that is safe.
    pub async fn fetch_file(
        &self,
        who: &Aor,
        selector: &FileSelector,
        folder: &Folder,
    ) -> Result<FileTransfer, Error> {
        self.shared.pull((who, At::Devices), selector, folder).await
    }
}

impl Shared {
    async fn push(&self, (who, at): (&Aor, At), sent: &FileToSend) -> Result<FileTransfer, Error> {
        let known = known(sent).await?;
        let octets = known.size.checked_sub(sent.from);
        let octets = octets.ok_or_else(|| refused(488, "it does not have so many octets"))?;
        let range = (sent.from > 0).then(|| FileRange::new(sent.from + 1, Some(known.size)));
        let render = sent.disposition == Disposition::Render;
        let mut file = FileMedia {
            disposition: Some(if render { "render" } else { "attachment" }.to_owned()),
            dates: FileDates { modification: known.modified.clone(), ..FileDates::default() },
            range: range.transpose().ok().flatten(),
            ..FileMedia::new(known.selector.clone(), &msrp::random_session_id(&mut rand::rng()))
        };
        if sent.from > 0 && file.range.is_none() {
            return Err(refused(488, "nothing of it is left"));
        }
        let (listener, port) = self.listen().await?;
        let mut icon = sent.icon.as_ref().filter(|icon| icon.content.len() <= ICON_OCTETS_MAX);
        let (ours, (call, answer)) = loop {
            file.icon = icon.map(|_| format!("{}@file", file.transfer_id));
            let ours =
                self.file_end(Some(port), (Setup::ActPass, true), &file, Direction::SendOnly)?;
            let offer = sdp::offer(&origin(&ours.address), &ours);
            let (kind, body) = with_icon(offer, icon, &file);
            match self.phone.ring((who, at), ours.clone(), (&kind, body)).await {
                // RFC 5547, 8.8: once more, without the picture.
                Err(Error::Refused { status: 415, .. }) if icon.is_some() => icon = None,
                rung => break (ours, rung?),
            }
        };
        let theirs = answered_file(&answer, &file)?;
        let fits = theirs.max_size.is_none_or(|max| octets <= max);
        if !fits {
            let max = theirs.max_size.unwrap_or_default();
            let octets = usize::try_from(octets).unwrap_or(usize::MAX);
            return Err(Error::TooLarge {
                octets,
                max: usize::try_from(max).unwrap_or(usize::MAX),
            });
        }
        let terms = ends::answered(&theirs).map_err(unsafe_session)?;
        let part = part_of(sent, &known, sent.from, octets);
        let side = Side::Send { part, file: known.file };
        self.exchange(Agreed { call, ours, theirs, terms, listener: Some(listener) }, side).await
    }

    async fn pull(
        &self,
        (who, at): (&Aor, At),
        selector: &FileSelector,
        folder: &Folder,
    ) -> Result<FileTransfer, Error> {
        let begun = key_of(selector).map_or(0, |key| folder.begun(&key));
        let begun = selector.size.map_or(begun, |size| begun.min(size));
        let range = (begun > 0).then(|| FileRange::new(begun + 1, None));
        let id = msrp::random_session_id(&mut rand::rng());
        let range = range.transpose().ok().flatten();
        let file = FileMedia { range, ..FileMedia::new(selector.clone(), &id) };
        let (listener, port) = self.listen().await?;
        let ours = self.file_end(Some(port), (Setup::ActPass, true), &file, Direction::RecvOnly)?;
        let offer = sdp::offer(&origin(&ours.address), &ours);
        let rung = self.phone.ring((who, at), ours.clone(), ("application/sdp", offer)).await;
        let (call, answer) = rung?;
        let theirs = answered_file(&answer, &file)?;
        // What they say of the file besides what we asked for.
        let told = theirs.file.as_deref().map(|file| file.selector.clone()).unwrap_or_default();
        let described = FileMedia { selector: joined(selector, told), ..file.clone() };
        let wanted = self.wanted(&described, &ours, folder);
        let (part, landing) = wanted.map_err(|(_status, error)| error)?;
        let terms = ends::answered(&theirs).map_err(unsafe_session)?;
        let side = Side::Receive { part, landing };
        self.exchange(Agreed { call, ours, theirs, terms, listener: Some(listener) }, side).await
    }

    /// What we take of a file that is described so, and where it goes; or why not.
    fn wanted(
        &self,
        described: &FileMedia,
        media: &MsrpMedia,
        folder: &Folder,
    ) -> Result<(Part, Landing), (Status, Error)> {
        let no = |why: &str| (Status::NOT_ACCEPTABLE_HERE, refused(488, why));
        if media.direction == Direction::SendRecv || media.direction == Direction::Inactive {
            return Err(no("a file goes one way"));
        }
        let selector = &described.selector;
        let octets_max = self.profile.limits.file_octets_max;
        if selector.size.is_some_and(|size| size > octets_max) {
            return Err(no("it is larger than is taken"));
        }
        let (start, octets) = match (described.range, selector.size) {
            (None, size) => (0, size),
            (Some(range), Some(size)) => {
                let (start, octets) = range.of(size).map_err(|_bad| no("it has no such octets"))?;
                // What is missing behind the part would never come.
                if start + octets != size {
                    return Err(no("the part does not reach the end of the file"));
                }
                (start, Some(octets))
            }
            (Some(range), None) => (range.start() - 1, None),
        };
        let key = key_of(selector).unwrap_or_else(|| described.transfer_id.clone());
        let unkept = |why: std::io::Error| match why.raw_os_error() {
            // Nothing is wrong with the file, and other devices of the person can take it.
            Some(_) => (Status::SERVER_INTERNAL_ERROR, no_disk(&why)),
            None => no(&why.to_string()),
        };
        let part = folder.go_on(&key, start).map_err(unkept)?;
        let name = selector.name.clone().unwrap_or_default();
        let landing = Landing { folder: folder.clone(), part, name };
        let hashes = Hashes::of(selector);
        let media_type = selector.media_type.clone();
        let part = Part { media_type, start, octets, hashes, octets_max, ..Part::default() };
        Ok((part, landing))
    }

    async fn answer_file(
        &self,
        ringing: Ringing,
        file: FileMedia,
        side: Side,
    ) -> Result<FileTransfer, Error> {
        let way = ringing.offer.media().direction.reversed();
        let end = |port, terms: &Terms| self.file_end(port, (terms.setup, terms.cema), &file, way);
        self.exchange(self.agree(ringing, end).await?, side).await
    }

    fn file_end(
        &self,
        port: Option<u16>,
        (setup, cema): (Setup, bool),
        file: &FileMedia,
        direction: Direction,
    ) -> Result<MsrpMedia, Error> {
        let max_size = self.profile.limits.file_octets_max.saturating_add(AROUND_OCTETS);
        let (file, max_size) = (Some(Box::new(file.clone())), Some(max_size));
        Ok(MsrpMedia { file, direction, max_size, ..self.end(port, setup, cema)? })
    }

    /// Connects, and starts the transfer.
    async fn exchange(&self, agreed: Agreed, side: Side) -> Result<FileTransfer, Error> {
        let (call, setup, connection) = self.connected(agreed).await?;
        let closed = MsrpMedia { port: 0, ..setup.ours.clone() };
        let closing = sdp::offer(&origin(&closed.address), &closed);
        let peer = setup.peer.clone();
        let disk = |why: std::io::Error| no_disk(&why);
        let (session, start, landing) = match side {
            Side::Send { part, file } => {
                let start = part.start;
                let disk = Box::new(Disk(file));
                (Transfer::send(setup, part, disk, &mut rand::rng()), start, None)
            }
            Side::Receive { part, landing } => {
                let (start, sink) = (part.start, landing.part.sink().map_err(disk)?);
                let sink = Box::new(sink);
                let session = Transfer::receive_into(now(), setup, part, sink, &mut rand::rng());
                (session, start, Some(landing))
            }
        };
        let patience = self.profile.limits.request;
        let parts = Parts { peer, call, connection, session, start, landing, closing, patience };
        FileTransfer::start(parts).await
    }
}

fn file(ringing: &Ringing) -> &FileMedia {
    ringing.offer.media().file.as_deref().expect("only calls for a file come here")
}

fn no_disk(why: &std::io::Error) -> Error {
    Error::Network { what: "the folder for received files", why: why.to_string() }
}

fn refused(status: u16, reason: &str) -> Error {
    Error::Refused { what: "the file", status, reason: reason.to_owned() }
}
