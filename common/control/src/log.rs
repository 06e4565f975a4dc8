//! The words of rooms that keep a log: what a relay deposits, what it is told is stored, and what it is given to replay.
//! What is stored how is the MRFC's business, who needs what again the relay's.
use std::fmt;

use bytes::Bytes;
use ids::{DeviceId, Number, SeatId, Term};

use crate::bad::BadFrame;
use crate::proto;

/// Something took its place in a room's order and is to be stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Deposit {
    /// Its place.
    pub number: Number,
    /// What it is.
    pub kind: Logged,
    /// When the relay had all of it, in milliseconds since 1970.
    pub at_ms: u64,
    /// All of it, as it is relayed.
    pub cpim: Bytes,
}

/// What a log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Logged {
    /// A message of this device.
    Message(DeviceId),
    /// A broadcast of the focus, which what follows may need.
    Commit,
}

impl Logged {
    /// Whose it is; the focus has no device.
    pub const fn author(&self) -> Option<&DeviceId> {
        match self {
            Self::Message(device) => Some(device),
            Self::Commit => None,
        }
    }
}

impl fmt::Debug for Deposit {
    /// Leaves out the message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deposit({}, {:?}, {} octets)", self.number, self.kind, self.cpim.len())
    }
}

/// A seat whose device has to be given again what it missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayAsked {
    /// Which seat.
    pub seat: SeatId,
    /// Its device: what that said itself is not given to it.
    pub device: DeviceId,
    /// It has everything up to there.
    pub after: Number,
}

/// What comes behind a place in the log.
#[derive(Clone, PartialEq, Eq)]
pub struct Page {
    /// For which seat.
    pub seat: SeatId,
    /// Behind which place.
    pub after: Number,
    /// The entries in their order.
    pub entries: Vec<(Number, Bytes)>,
    /// Nothing else was in the log when this was asked for.
    pub complete: bool,
}

impl fmt::Debug for Page {
    /// Leaves out the messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seat, after, entries, complete } = self;
        write!(f, "Page({seat}, after {after}, {} entries, complete {complete})", entries.len())
    }
}

pub(crate) const fn place(number: Number) -> proto::Place {
    proto::Place { term: number.term.0, n: number.n }
}

pub(crate) const fn number(place: proto::Place) -> Number {
    Number { term: Term(place.term), n: place.n }
}

pub(crate) fn required(
    field: &'static str,
    place: Option<proto::Place>,
) -> Result<Number, BadFrame> {
    place.map(number).ok_or_else(|| BadFrame::missing(field))
}

impl From<Deposit> for proto::Deposit {
    fn from(deposit: Deposit) -> Self {
        let author = deposit.kind.author().map(|device| device.as_str().to_owned());
        Self {
            place: Some(place(deposit.number)),
            author: author.unwrap_or_default(),
            at_ms: deposit.at_ms,
            cpim: deposit.cpim,
        }
    }
}

impl TryFrom<proto::Deposit> for Deposit {
    type Error = BadFrame;

    fn try_from(deposit: proto::Deposit) -> Result<Self, BadFrame> {
        let kind = if deposit.author.is_empty() {
            Logged::Commit
        } else {
            let author = deposit.author.parse();
            Logged::Message(author.map_err(|e| BadFrame::field("deposit.author", e))?)
        };
        Ok(Self {
            number: required("deposit.place", deposit.place)?,
            kind,
            at_ms: deposit.at_ms,
            cpim: deposit.cpim,
        })
    }
}

impl From<ReplayAsked> for proto::ReplayAsked {
    fn from(asked: ReplayAsked) -> Self {
        Self { seat: asked.seat.0, device: asked.device.into(), after: Some(place(asked.after)) }
    }
}

impl TryFrom<proto::ReplayAsked> for ReplayAsked {
    type Error = BadFrame;

    fn try_from(asked: proto::ReplayAsked) -> Result<Self, BadFrame> {
        let device = asked.device.parse();
        Ok(Self {
            seat: SeatId(asked.seat),
            device: device.map_err(|e| BadFrame::field("replay_asked.device", e))?,
            after: required("replay_asked.after", asked.after)?,
        })
    }
}

impl From<Page> for proto::Page {
    fn from(page: Page) -> Self {
        let entry = |(number, cpim)| proto::PageEntry { place: Some(place(number)), cpim };
        Self {
            seat: page.seat.0,
            after: Some(place(page.after)),
            entries: page.entries.into_iter().map(entry).collect(),
            complete: page.complete,
        }
    }
}

impl TryFrom<proto::Page> for Page {
    type Error = BadFrame;

    fn try_from(page: proto::Page) -> Result<Self, BadFrame> {
        let entry = |entry: proto::PageEntry| -> Result<(Number, Bytes), BadFrame> {
            Ok((required("page.entries.place", entry.place)?, entry.cpim))
        };
        let after = required("page.after", page.after)?;
        let entries = page.entries.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let places = std::iter::once(after).chain(entries.iter().map(|(number, _)| *number));
        if !places.is_sorted_by(|before, behind| before < behind) {
            return Err(BadFrame::field("page.entries", "are not in their order"));
        }
        Ok(Self { seat: SeatId(page.seat), after, entries, complete: page.complete })
    }
}

/// Places that devices have reached.
pub(crate) fn reached(places: Vec<(DeviceId, Number)>) -> proto::Reached {
    let one = |(device, number): (DeviceId, Number)| proto::DevicePlace {
        device: device.into(),
        place: Some(place(number)),
    };
    proto::Reached { places: places.into_iter().map(one).collect() }
}

/// The same, checked.
pub(crate) fn checked(reached: proto::Reached) -> Result<Vec<(DeviceId, Number)>, BadFrame> {
    let one = |one: proto::DevicePlace| -> Result<(DeviceId, Number), BadFrame> {
        let device = one.device.parse();
        let device = device.map_err(|e| BadFrame::field("reached.device", e))?;
        Ok((device, required("reached.place", one.place)?))
    };
    reached.places.into_iter().map(one).collect()
}
