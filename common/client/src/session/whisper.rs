//! What is said to one person in a room (RFC 7701, 6.2): as it is in an open one, sealed for the two in a sealed one.
use bytes::Bytes;
use ids::Aor;
use msrp::cpim::{self, Envelope};
use msrp::{Body, MessageId};
use rand::CryptoRng;

use super::kept::Kept;
use super::outgoing::Content;
use super::{MESSAGE_OCTETS_MAX, Now, Output, Session, Ticket};
use crate::event::{Error, Level};

/// Something that was said to this person alone, sealed for the two. It is kept until it is opened.
#[derive(Debug)]
pub struct Whisper {
    /// What is written on it.
    pub(crate) outer: Envelope,
    /// What only its circle opens.
    pub(crate) sealed: Bytes,
    pub(crate) kept: Kept,
}

impl Whisper {
    /// One that came before the device was started.
    pub(super) fn read(whole: &Body, kept: Kept) -> Option<Self> {
        let letter = cpim::Message::read(whole).ok()?;
        Some(Self { outer: letter.envelope.clone(), sealed: letter.content.gather(), kept })
    }
}

impl Session {
    /// It is on the disk before the relay hears that it is here: its circle may take its time.
    pub(super) fn whispered(&mut self, whole: &Body, outer: &Envelope, sealed: Bytes) {
        let whisper = Whisper { outer: outer.clone(), sealed, kept: self.keeping.came(whole) };
        self.outputs.push_back(Output::Whispered(Box::new(whisper)));
    }

    /// Says something to one person who is here (RFC 7701, 6.2), on each device of theirs.
    ///
    /// # Errors
    /// The content is too large for a message, or the room is sealed: what is sealed there every member can open.
    pub fn whisper(
        &mut self,
        now: Now,
        rng: &mut impl CryptoRng,
        to: &Aor,
        (content_type, body): (&str, Bytes),
    ) -> Result<(String, Ticket), Error> {
        if body.len() > MESSAGE_OCTETS_MAX {
            return Err(Error::TooLarge { octets: body.len(), max: MESSAGE_OCTETS_MAX });
        }
        if self.level == Level::Sealed {
            let why = "what is said to one person here is sealed for the two alone";
            return Err(Error::Group(why.to_owned()));
        }
        let id = MessageId::random(rng).as_str().to_owned();
        let date_time = crate::date_time(now.wall);
        let letter = self.addresses.private(to.as_str(), (&id, &date_time), content_type, body);
        Ok((id, self.outgoing.push(now.instant, Content::Ready(letter))))
    }

    /// Says something to one person who is here that is sealed for the two alone: the ticket it is settled under.
    pub(crate) fn whisper_sealed(&mut self, now: Now, to: &Aor, id: &str, sealed: Bytes) -> Ticket {
        let letter = self.addresses.whisper(to, id, sealed);
        self.outgoing.push(now.instant, Content::Ready(letter))
    }
}
