//! What devices and the focus tell each other about a circle: its founding, and the log of its changes.
use bytes::Bytes;
use ids::{Aor, Epoch, Era};

use super::WelcomeDelivery;
use super::{BUNDLE_OCTETS_MAX, Bundle, DeviceName, Malformed, STATE_OCTETS_MAX};
use crate::circle::{Circle, PEOPLE_MAX};
use crate::codec::{Reader, Writer};

/// Entries of one answer of the log. Whoever is further behind asks again.
pub const LOG_ENTRIES_MAX: usize = 64;
/// Circles of one person in one answer.
pub const CIRCLES_MAX: usize = 4096;

/// The beginning of a circle: its group, and everybody let into it, in one piece, so that it can travel beside the first
/// message. The focus orders it and checks it; each device it welcomes needs nothing else to read that message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founding {
    /// Whose circle it is.
    pub people: Circle,
    /// The device that made it.
    pub by: DeviceName,
    /// The group with its founder alone.
    pub create: Bundle,
    /// The commit that lets the others in, with a Welcome for each device.
    pub add: Bundle,
    /// The ratchet tree after it.
    pub tree: Bytes,
}

impl Founding {
    /// The way in for this device.
    pub fn welcome_for(&self, device: &DeviceName) -> Option<WelcomeDelivery> {
        let own = self.add.welcomes.iter().find(|invitation| invitation.to == *device)?;
        let (welcome, tree) = (own.welcome.clone(), self.tree.clone());
        Some(WelcomeDelivery { era: self.add.era, welcome, tree })
    }

    /// The encoding.
    pub fn to_bytes(&self) -> Bytes {
        let mut to = Writer::default();
        write_people(&mut to, &self.people);
        self.by.write(&mut to);
        to.blob(&self.create.to_bytes()).blob(&self.add.to_bytes()).blob(&self.tree).finish()
    }

    /// Reads one whole founding.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let max = BUNDLE_OCTETS_MAX;
        let mut from = Reader::new(bytes, max, "founding")?;
        let founding = Self {
            people: read_people(&mut from)?,
            by: DeviceName::read(&mut from)?,
            create: Bundle::from_bytes(&from.blob(max, "founding")?)?,
            add: Bundle::from_bytes(&from.blob(max, "founding")?)?,
            tree: from.blob(max, "ratchet tree")?,
        };
        from.end("founding")?;
        Ok(founding)
    }
}

/// One change of a circle's group, as one of its devices may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircleEntry {
    /// Its place in the log, from 1.
    pub seq: u64,
    /// The commit, or a Remove of the focus.
    pub message: Bytes,
    /// The way in, if it is this device that was let in.
    pub welcome: Option<WelcomeDelivery>,
}

/// What has happened in a circle since a place in its log, for one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircleLog {
    /// Whose circle it is.
    pub people: Circle,
    /// Its group.
    pub era: Era,
    /// The epoch that is in force.
    pub epoch: Epoch,
    /// Whether more entries follow these.
    pub more: bool,
    /// The changes this device has to know, in order. What is older than the log is not among them.
    pub entries: Vec<CircleEntry>,
}

impl CircleLog {
    /// The encoding.
    pub fn to_bytes(&self) -> Bytes {
        let mut to = Writer::default();
        write_people(&mut to, &self.people);
        to.u32(self.era.0).u64(self.epoch.0).u8(u8::from(self.more));
        to.list(&self.entries, |to, entry| {
            to.u64(entry.seq).blob(&entry.message);
            to.option(entry.welcome.as_ref(), |to, welcome| {
                to.blob(&welcome.to_bytes());
            });
        });
        to.finish()
    }

    /// Reads one whole answer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let (max, what) = (STATE_OCTETS_MAX, "log of a circle");
        let mut from = Reader::new(bytes, max, what)?;
        let log = Self {
            people: read_people(&mut from)?,
            era: Era(from.u32(what)?),
            epoch: Epoch(from.u64(what)?),
            more: from.u8(what)? != 0,
            entries: from.list(LOG_ENTRIES_MAX, what, |from| {
                let (seq, message) = (from.u64(what)?, from.blob(max, what)?);
                let welcome =
                    |from: &mut Reader<'_>| WelcomeDelivery::from_bytes(&from.blob(max, what)?);
                Ok(CircleEntry { seq, message, welcome: from.option(what, welcome)? })
            })?,
        };
        from.end(what)?;
        Ok(log)
    }
}

/// The encoding of the circles that a person belongs to.
pub fn circles_to_bytes(circles: &[Circle]) -> Bytes {
    let mut to = Writer::default();
    to.list(circles, write_people).finish()
}

/// Reads the circles that a person belongs to.
pub fn circles_from_bytes(bytes: &[u8]) -> Result<Vec<Circle>, Malformed> {
    let mut from = Reader::new(bytes, STATE_OCTETS_MAX, "circles")?;
    let circles = from.list(CIRCLES_MAX, "circles", read_people)?;
    from.end("circles")?;
    Ok(circles)
}

fn write_people(to: &mut Writer, circle: &Circle) {
    let people: Vec<&Aor> = circle.people().collect();
    to.list(&people, |to, person| {
        to.text(person);
    });
}

fn read_people(from: &mut Reader<'_>) -> Result<Circle, Malformed> {
    let people = from.list(PEOPLE_MAX, "people of a circle", |from| from.name("a person"))?;
    Circle::of(people).map_err(|_| Malformed("people of a circle"))
}
