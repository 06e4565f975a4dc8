//! What a conference tells the person who is in it, and how what they ask for can fail.
use std::time::SystemTime;

use bytes::Bytes;
use ids::{Aor, ConferenceId, DeviceId, Epoch, Era};
use mls::files::FileDescription;

use crate::device::Icon;

/// Protection of a room's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// End-to-end under the group key. The default, and never given up silently.
    Sealed,
    /// Hop by hop only: the relay could read it. Shown as such everywhere.
    Open,
}

/// Whether others in a conference learn who this is (RFC 3323).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shown {
    /// By name.
    #[default]
    Named,
    /// Under a pseudonym of that conference.
    Hidden,
}

/// Something that happened in a conference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// This device holds the group key from this epoch on.
    Entered {
        /// The era of the group.
        era: Era,
        /// The first epoch this device can read.
        epoch: Epoch,
        /// How it came in.
        by: Entry,
    },
    /// A commit moved the group to a new epoch.
    Advanced {
        /// The new epoch.
        epoch: Epoch,
        /// Devices that came in.
        added: Vec<(Aor, DeviceId)>,
        /// Devices that are out.
        removed: Vec<(Aor, DeviceId)>,
    },
    /// This device had to enter anew: what was said in between it cannot read. It had lost its keys, or what led from
    /// them to the present ones.
    Missed {
        /// The last generation of the key that it could read; none: it does not know.
        since: Option<(Era, Epoch)>,
        /// The first one that it can read again.
        until: (Era, Epoch),
    },
    /// A message that this device could open and whose author is proven by the group key (in a sealed room).
    Message(Message),
    /// A file that arrived whole and untampered.
    File(File),
    /// A member has a file that is too large to come by itself: it is fetched from them.
    Announced(Announced),
    /// Something arrived that could not be read: sealed before we joined, for another epoch, or damaged.
    Unreadable {
        /// Why, for a person.
        why: String,
    },
    /// The focus would not have a change of ours to the group: it came too late, or left out what was due. Whoever is
    /// asked next does better; nothing is lost.
    Refused {
        /// Why, for a person.
        why: String,
    },
    /// A person in the group has a device that was not there before, or one that signs with another key.
    Device {
        /// Whose.
        who: Aor,
        /// Which.
        device: DeviceId,
        /// What is new about it.
        news: DeviceNews,
        /// The person was verified: nothing is said here until somebody accepts it.
        held: bool,
    },
    /// Something is to be said and is held, because these verified people have devices that nobody has accepted.
    Held {
        /// They.
        who: Vec<Aor>,
    },
    /// Somebody has seen another group than this device in an epoch: the members were led apart, and neither can know
    /// who read what was said then. Told once.
    Split {
        /// Who.
        who: Aor,
        /// The first epoch in which it differs.
        epoch: Epoch,
    },
    /// This device was removed from the group: it reads nothing from here on.
    Removed,
    /// The seat ended: kicked, the conference closed, or the connection broke.
    Ended {
        /// Why, for a person.
        reason: String,
    },
}

/// What is new about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceNews {
    /// It was never seen, though its person was.
    New,
    /// It signs with another key than before.
    OtherKey,
}

/// How a device got the group key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It created the group.
    Created,
    /// A member added it.
    Welcomed,
    /// It was a member before it was started and still is: it kept its keys.
    Kept,
    /// It entered by its own external commit: nobody was online, or its state was lost.
    External,
}

/// A message of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Who wrote it.
    pub from: Aor,
    /// The device it was written on; absent in an open room.
    pub device: Option<DeviceId>,
    /// Its `imdn.Message-ID`, the same at every receiver (RFC 5438, 6.3).
    pub id: String,
    /// When it was written, if it says so: by its author's clock, which may be wrong.
    pub written: Option<SystemTime>,
    /// The MIME type of the content.
    pub content_type: String,
    /// The content, byte for byte as sent.
    pub body: Bytes,
    /// The epoch it was sealed in; absent in an open room.
    pub epoch: Option<Epoch>,
    /// Whether it was meant for this person alone (RFC 7701, 6.2).
    pub private: bool,
}

/// A file that a person shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Who shared it.
    pub from: Aor,
    /// The name its author gave it. A name, not a path: never use it as one.
    pub name: String,
    /// Its MIME type.
    pub content_type: String,
    /// The content, opened.
    pub content: Bytes,
}

/// A file that a person has for everybody in the room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// Who has it.
    pub from: Aor,
    /// The name its author gave it. A name, not a path: never use it as one.
    pub name: String,
    /// Its MIME type.
    pub content_type: String,
    /// Its octets.
    pub octets: u64,
    /// How it is known, and its key.
    pub(crate) description: Box<FileDescription>,
}

impl Announced {
    pub(crate) fn new(from: Aor, description: FileDescription) -> Self {
        let (name, content_type) = (description.name.clone(), description.media_type.clone());
        let (octets, description) = (description.file.size, Box::new(description));
        Self { from, name, content_type, octets, description }
    }

    /// Whether it is this file of this person, sealed once more.
    pub fn is_again(&self, other: &Self) -> bool {
        let of = |it: &Self| it.description.file.plaintext_sha256;
        self.from == other.from && self.name == other.name && of(self) == of(other)
    }

    /// A small picture of it, which came under the same seal.
    pub fn picture(&self) -> Option<Icon> {
        let picture = self.description.picture.clone()?;
        Some(Icon { media_type: picture.media_type, content: picture.content })
    }
}

/// A file to be shared.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The name others see.
    pub name: String,
    /// Its MIME type.
    pub content_type: String,
    /// The content.
    pub content: Bytes,
}

/// Why a device could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server could not be reached, or the connection broke.
    #[error("{what}: {why}")]
    Network {
        /// What was tried.
        what: &'static str,
        /// What went wrong.
        why: String,
    },
    /// A server said no.
    #[error("{what} was refused: {status} {reason}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// The status: SIP, MSRP or HTTP, by what was asked.
        status: u16,
        /// The server's words.
        reason: String,
    },
    /// A server's answer makes no sense.
    #[error("{what}: the answer is not understood: {why}")]
    Answer {
        /// What was asked.
        what: &'static str,
        /// What is wrong with the answer.
        why: String,
    },
    /// The room is open although a sealed one was asked for. There is no fallback to cleartext.
    #[error("conference {0} is not sealed, and an open room was not asked for")]
    NotSealed(ConferenceId),
    /// A credential or a key did not pass.
    #[error("group key: {0}")]
    Group(String),
    /// What the device keeps cannot be read or written.
    #[error(transparent)]
    Vault(#[from] crate::vault::VaultError),
    /// The folder keeps a device of somebody else, and is left as it is.
    #[error("this folder keeps a device of {0}; name another folder")]
    SomebodyElses(String),
    /// The server lists this device as taken back, and never lets it in again: its person goes on with a new one.
    #[error("this device ({0}) was taken back, and is never let in again")]
    TakenBack(DeviceId),
    /// No device of one's own waits to be confirmed with the code that was typed.
    #[error(
        "no device of yours waits with this code: compare it with what the new device shows. If one asks that is not \
             yours, change your password"
    )]
    WrongCode,
    /// These verified people have devices that nobody has accepted, and no more can be held for them. Nothing was sent.
    #[error("{} has a device that you have not accepted", names(.0))]
    Held(Vec<Aor>),
    /// Somebody has no keys, so that nothing can be sealed for them. Nothing was sent.
    #[error("{0} has no keys: nothing can be sealed for them")]
    NoKeys(Aor),
    /// There is nobody of this name. Nothing was sent.
    #[error("nobody of the name {} is known here", .0.user())]
    Nobody(Aor),
    /// Nothing came in time.
    #[error("{0}: no answer in time")]
    Late(&'static str),
    /// The conference has ended for this device.
    #[error("not in the conference any more: {0}")]
    Ended(String),
    /// The content is larger than a message may be; send it as a file.
    #[error("{octets} octets are too many for one message (at most {max}): send it as a file")]
    TooLarge {
        /// Octets of the content.
        octets: usize,
        /// The most a message takes.
        max: usize,
    },
}

impl From<endpoint::NotBound> for Error {
    fn from(why: endpoint::NotBound) -> Self {
        match why {
            endpoint::NotBound::Refused { status, reason } => {
                Self::Refused { what: "the session", status, reason }
            }
            endpoint::NotBound::Ended(why) => Self::Ended(why),
        }
    }
}

impl From<endpoint::ends::BadPath> for Error {
    fn from(endpoint::ends::BadPath(why): endpoint::ends::BadPath) -> Self {
        Self::Answer { what: "an MSRP path", why }
    }
}

fn names(people: &[Aor]) -> String {
    people.iter().map(Aor::as_str).collect::<Vec<_>>().join(", ")
}
