//! The record layer of TLS 1.3 (RFC 8446, 5), for a connection whose handshake rustls has done: it opens records into the
//! caller's buffer and seals slices into the caller's buffer, with one copy on the way out and none on the way in.
//! rustls agrees on the keys, checks certificates and derives every later key; nothing of that is here, nor is TLS 1.2.
//!
//! ```text
//!            UnbufferedServerConnection, UnbufferedClientConnection
//!                     │ dangerous_into_kernel_connection
//!                     ▼
//!  socket ─► Records::open ─► octets        slices ─► Records::seal ─► socket
//!                     │                                  ▲
//!                     └── KeyUpdate, close_notify, alerts┘
//! ```
//!
//! What a peer may do, and where it is dealt with:
//!
//! | from the peer | here |
//! |---|---|
//! | a record in several pieces | kept until it is whole, at most one ([`Records::open`]) |
//! | KeyUpdate, with or without a request | the next key; the answer leaves before whatever is sealed next |
//! | close_notify | [`Incoming::Closed`]; what follows is not looked at |
//! | NewSessionTicket | dropped by a client, an error for a server |
//! | records that carry nothing for the application | an error if more than 32 come in a row |
//! | anything else, or a record that does not open | an [`Error`], whose alert [`Records::alert`] seals |
//!
//! Behind an error nothing is opened any more, and of the record that it is about nothing is handed out. A key seals at
//! most 2^24 records with AES-GCM (RFC 8446, 5.5); then this end sends a KeyUpdate by itself. Whether a stream may end
//! without close_notify is for the application: MSRP's messages say themselves where they end.
mod handshake;
mod key;

use std::fmt;

use bytes::BytesMut;
use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{AlertDescription, ConnectionTrafficSecrets, ExtractedSecrets};

use handshake::{Handshake, Message};
use key::{Key, TAG_OCTETS};

/// Octets of content in one record (RFC 8446, 5.1).
pub const FRAGMENT_OCTETS_MAX: usize = 16 * 1024;

/// What one record adds to its content: header, content type, tag.
pub const OVERHEAD_OCTETS: usize = HEADER_OCTETS + 1 + TAG_OCTETS;

const HEADER_OCTETS: usize = 5;

/// Octets behind the header: content, its type and padding, and at most 256 of expansion (RFC 8446, 5.2).
const SEALED_OCTETS_MAX: usize = FRAGMENT_OCTETS_MAX + 256;

/// Records in a row that carry nothing for the application: each costs as much as one that does.
const WORDLESS_MAX: u8 = 32;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;

/// A connection behind its handshake.
pub struct Records {
    tx: Key,
    rx: Key,
    renewal: Renewal,
    /// The front of a record whose rest has not come.
    partial: Vec<u8>,
    handshake: Handshake,
    /// The peer wants this end to change its key, too.
    owes_update: bool,
    /// Records since the peer last said something.
    wordless: u8,
    closed: bool,
    /// Why nothing is opened any more.
    failed: Option<Error>,
}

/// Who derives the next keys: rustls, at either end.
pub enum Renewal {
    /// The peer connected to us.
    Server(KernelConnection<ServerConnectionData>),
    /// We connected.
    Client(KernelConnection<ClientConnectionData>),
}

/// Whether the peer will send more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// It may.
    Open,
    /// It said that nothing follows.
    Closed,
}

/// Why a connection cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A record that was not sealed by the peer, or not as the next.
    #[error("a record does not open")]
    Forged,
    /// A record that is longer than records are.
    #[error("a record is too long")]
    TooLong,
    /// What may not come at this point.
    #[error("a record that is out of place")]
    Unexpected,
    /// A handshake message or alert that is not as long as it must be.
    #[error("a malformed handshake message or alert")]
    Malformed,
    /// A KeyUpdate that asks for what there is not.
    #[error("a value that no KeyUpdate has")]
    Illegal,
    /// The peer gave up.
    #[error("the peer ended it with alert {0}")]
    Alert(u8),
    /// No key of this end may seal any more.
    #[error("no key is left")]
    Exhausted,
    /// What was agreed on is nothing this layer knows.
    #[error("not a cipher suite of TLS 1.3")]
    Suite,
}

impl Error {
    /// What the peer is told (RFC 8446, 6.2); nothing if it was the one to give up.
    fn description(self) -> Option<AlertDescription> {
        match self {
            Self::Forged => Some(AlertDescription::BadRecordMac),
            Self::TooLong => Some(AlertDescription::RecordOverflow),
            Self::Unexpected => Some(AlertDescription::UnexpectedMessage),
            Self::Malformed => Some(AlertDescription::DecodeError),
            Self::Illegal => Some(AlertDescription::IllegalParameter),
            Self::Exhausted | Self::Suite => Some(AlertDescription::InternalError),
            Self::Alert(_) => None,
        }
    }
}

impl Renewal {
    fn next(&mut self, direction: Direction) -> Result<Key, Error> {
        let next = match (self, direction) {
            (Self::Server(state), Direction::Out) => state.update_tx_secret(),
            (Self::Server(state), Direction::In) => state.update_rx_secret(),
            (Self::Client(state), Direction::Out) => state.update_tx_secret(),
            (Self::Client(state), Direction::In) => state.update_rx_secret(),
        };
        Key::new(&next.map_err(|_| Error::Exhausted)?)
    }
}

#[derive(Clone, Copy)]
enum Direction {
    In,
    Out,
}

impl Records {
    /// Goes on where rustls stopped: with these keys, and `renewal` for later ones.
    pub fn new(secrets: &ExtractedSecrets, renewal: Renewal) -> Result<Self, Error> {
        Ok(Self {
            tx: Key::new(&secrets.tx)?,
            rx: Key::new(&secrets.rx)?,
            handshake: Handshake::new(matches!(renewal, Renewal::Client(_))),
            renewal,
            partial: Vec::new(),
            owes_update: false,
            wordless: 0,
            closed: false,
            failed: None,
        })
    }

    /// Opens `sealed`, as it came from the socket, and adds what was inside to `opened`.
    pub fn open(&mut self, sealed: &[u8], opened: &mut BytesMut) -> Result<Incoming, Error> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let read = self.read(sealed, opened);
        self.failed = read.err();
        read.map(|()| if self.closed { Incoming::Closed } else { Incoming::Open })
    }

    fn read(&mut self, mut sealed: &[u8], opened: &mut BytesMut) -> Result<(), Error> {
        if !self.partial.is_empty() {
            sealed = self.complete(sealed)?;
            if whole(&self.partial)?.is_none() {
                return Ok(());
            }
            let record = std::mem::take(&mut self.partial);
            self.record(&record, opened)?;
        }
        while !self.closed
            && let Some(octets) = whole(sealed)?
        {
            let (record, rest) = sealed.split_at(octets);
            self.record(record, opened)?;
            sealed = rest;
        }
        if !self.closed && !sealed.is_empty() {
            self.partial.reserve_exact(wanted(sealed)?);
            self.partial.extend_from_slice(sealed);
        }
        Ok(())
    }

    /// Adds to the partial record what it lacks. What is left of `sealed`.
    fn complete<'a>(&mut self, mut sealed: &'a [u8]) -> Result<&'a [u8], Error> {
        // At most twice: the rest of the header says how long the rest of the record is.
        loop {
            let lacks = wanted(&self.partial)?.saturating_sub(self.partial.len());
            let (front, rest) = sealed.split_at(lacks.min(sealed.len()));
            if front.is_empty() {
                return Ok(rest);
            }
            self.partial.reserve_exact(lacks);
            self.partial.extend_from_slice(front);
            sealed = rest;
        }
    }

    /// Opens one record. `opened` keeps only what is for the application.
    fn record(&mut self, record: &[u8], opened: &mut BytesMut) -> Result<(), Error> {
        let at = opened.len();
        let heeded = self.unseal(record, at, opened).and_then(|(kind, octets)| {
            if kind == APPLICATION_DATA && octets > 0 {
                self.wordless = 0;
                return Ok(octets);
            }
            self.wordless += 1;
            if self.wordless > WORDLESS_MAX {
                return Err(Error::Unexpected);
            }
            let said = opened.get(at..at + octets).unwrap_or_default();
            match kind {
                APPLICATION_DATA => Ok(()),
                ALERT => self.heed(said),
                _ => self.agree(said),
            }
            .map(|()| 0)
        });
        opened.truncate(at + heeded.unwrap_or_default());
        heeded.map(|_| ())
    }

    /// Opens one record into `opened`, from `at` on. Which kind it is, and how many octets of content it has.
    fn unseal(
        &mut self,
        record: &[u8],
        at: usize,
        opened: &mut BytesMut,
    ) -> Result<(u8, usize), Error> {
        let Some((header, sealed)) = record.split_first_chunk::<HEADER_OCTETS>() else {
            return Err(Error::Forged);
        };
        let Some(tag_at) = sealed.len().checked_sub(TAG_OCTETS) else {
            return Err(Error::Forged);
        };
        opened.resize(at + tag_at, 0);
        let plain = opened.get_mut(at..).unwrap_or_default();
        self.rx.open(header, sealed.split_at(tag_at), plain)?;
        // RFC 8446, 5.4: content, its type, and padding, which counts too.
        if tag_at > FRAGMENT_OCTETS_MAX + 1 {
            return Err(Error::TooLong);
        }
        let Some(end) = plain.iter().rposition(|octet| *octet != 0) else {
            return Err(Error::Unexpected);
        };
        match plain.get(end).copied() {
            Some(kind @ (ALERT | APPLICATION_DATA)) if self.handshake.is_empty() => Ok((kind, end)),
            Some(HANDSHAKE) => Ok((HANDSHAKE, end)),
            _ => Err(Error::Unexpected),
        }
    }

    /// RFC 8446, 6: whatever its level says, every alert but two ends the connection.
    fn heed(&mut self, alert: &[u8]) -> Result<(), Error> {
        let [_level, description] = *alert else {
            // RFC 8446, 5.4: an empty one is out of place.
            return Err(if alert.is_empty() { Error::Unexpected } else { Error::Malformed });
        };
        match AlertDescription::from(description) {
            AlertDescription::CloseNotify => self.closed = true,
            AlertDescription::UserCanceled => {}
            _ => return Err(Error::Alert(description)),
        }
        Ok(())
    }

    fn agree(&mut self, octets: &[u8]) -> Result<(), Error> {
        match self.handshake.read(octets)? {
            Message::Nothing => {}
            Message::KeyUpdate { requested } => {
                self.rx = self.renewal.next(Direction::In)?;
                self.owes_update |= requested;
            }
        }
        Ok(())
    }

    /// Whether something is to be sealed although nobody has something to say.
    pub fn wants_seal(&self) -> bool {
        self.owes_update
    }

    /// Seals octets that lie in many places, one behind the other, into as few records as they fit, and adds those to
    /// `out`; before them what this end owes its peer. After an error nothing more may be sealed.
    pub fn seal<'a>(
        &mut self,
        slices: impl IntoIterator<Item = &'a [u8]>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if std::mem::take(&mut self.owes_update) {
            self.update(out)?;
        }
        let mut room = 0;
        let mut start = out.len();
        for mut slice in slices {
            while !slice.is_empty() {
                if room == 0 {
                    self.end(start, APPLICATION_DATA, out)?;
                    start = begin(out);
                    room = FRAGMENT_OCTETS_MAX;
                }
                let (now, rest) = slice.split_at(room.min(slice.len()));
                out.extend_from_slice(now);
                room -= now.len();
                slice = rest;
            }
        }
        self.end(start, APPLICATION_DATA, out)
    }

    /// Seals the record that begins at `start`, if one does.
    fn end(&mut self, start: usize, kind: u8, out: &mut Vec<u8>) -> Result<(), Error> {
        if start == out.len() {
            return Ok(());
        }
        let sealed = self.finish(start, kind, out);
        if sealed.is_err() {
            // What is not sealed must not leave.
            out.truncate(start);
        }
        sealed
    }

    fn finish(&mut self, start: usize, kind: u8, out: &mut Vec<u8>) -> Result<(), Error> {
        out.push(kind);
        let octets = out.len() - start - HEADER_OCTETS + TAG_OCTETS;
        let length = u16::try_from(octets).map_err(|_| Error::TooLong)?.to_be_bytes();
        let record = out.get_mut(start..).unwrap_or_default();
        let Some((header, plain)) = record.split_first_chunk_mut::<HEADER_OCTETS>() else {
            return Err(Error::Exhausted);
        };
        // RFC 8446, 5.1: whatever it carries, it looks like application data of TLS 1.2.
        *header = [APPLICATION_DATA, 3, 3, length[0], length[1]];
        let tag = self.tx.seal(header, plain)?;
        out.extend_from_slice(tag.as_ref());
        if self.tx.is_worn() && kind == APPLICATION_DATA {
            self.update(out)?;
        }
        Ok(())
    }

    /// Says that the next record has another key, and takes that.
    fn update(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.say(HANDSHAKE, &handshake::KEY_UPDATE, out)?;
        self.tx = self.renewal.next(Direction::Out)?;
        Ok(())
    }

    fn say(&mut self, kind: u8, octets: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let start = begin(out);
        out.extend_from_slice(octets);
        self.end(start, kind, out)
    }

    /// Tells the peer that nothing follows.
    pub fn close(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        self.say(ALERT, &[1, AlertDescription::CloseNotify.into()], out)
    }

    /// Tells the peer why this is the end.
    pub fn alert(&mut self, error: Error, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(description) = error.description() else { return Ok(()) };
        self.say(ALERT, &[2, description.into()], out)
    }
}

/// Room for the header of a record. Where it begins.
fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_OCTETS]);
    start
}

/// How long the record is that begins here, as far as that is known: at least its header.
fn wanted(octets: &[u8]) -> Result<usize, Error> {
    let Some([kind, _, _, high, low]) = octets.first_chunk() else { return Ok(HEADER_OCTETS) };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    match (*kind, length) {
        (APPLICATION_DATA, length) if length > SEALED_OCTETS_MAX => Err(Error::TooLong),
        (APPLICATION_DATA, length) if length <= TAG_OCTETS => Err(Error::Forged),
        (APPLICATION_DATA, length) => Ok(HEADER_OCTETS + length),
        // Behind the handshake everything is sealed, and looks like this.
        _ => Err(Error::Unexpected),
    }
}

/// How long the record is that begins here, if it is all here.
fn whole(octets: &[u8]) -> Result<Option<usize>, Error> {
    let wanted = wanted(octets)?;
    Ok((octets.len() >= wanted).then_some(wanted))
}

/// Keys are in it, so nothing of it shows.
impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("closed", &self.closed).finish_non_exhaustive()
    }
}

impl fmt::Debug for Renewal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Renewal")
    }
}

/// Keys of one direction, as rustls says them.
type Secrets = (u64, ConnectionTrafficSecrets);

#[cfg(test)]
mod tests;
