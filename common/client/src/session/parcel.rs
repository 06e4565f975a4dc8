//! Sealed messages of a circle as they travel outside of rooms: one `message/cpim` around the seal, and at first contact
//! the founding of the circle beside it. What is inside the seal names its author, everybody it is for and its id, and
//! receipts are sealed like what they are about. Pure.
use std::borrow::Cow;

use bytes::Bytes;
use ids::{Aor, ConferenceId, DeviceId, Epoch};
use mls::circle::{Circle, group_of, is_circle};
use mls::member::Opened;
use mls::wire::{self, Founding};
use msrp::cpim::imdn::{self, Notification, Status};
use msrp::cpim::{self, Builder, Envelope, IMDN_TYPE};
use sip::multipart::{self, Part};
use sip::{Headers, Name};

use super::letter;
use super::witness::Witness;
use crate::event::Message;
use crate::phone::Late;

/// The namespace of our own CPIM headers.
pub(super) const CONCLAVE: &str = "urn:x-conclave:cpim";

/// A message that somebody wrote to a circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// What was written; its author is proven by the circle's key.
    pub message: Message,
    /// Everybody who can read it, its author too.
    pub people: Vec<Aor>,
    /// What is known of its times, if it has waited in the mailbox.
    pub late: Option<Late>,
}

/// A device has got what we wrote, as it says under the circle's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// The `imdn.Message-ID` of what we wrote.
    pub of: String,
    /// Who has got it.
    pub by: Aor,
    /// On which device.
    pub device: DeviceId,
}

/// A sealed message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Parcel {
    pub(crate) circle: ConferenceId,
    pub(crate) outer: Envelope,
    pub(crate) sealed: Bytes,
    pub(crate) founding: Option<Founding>,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Message,
    Receipt,
}

/// What is to be sealed.
#[derive(Clone, Debug)]
pub(crate) struct Wording {
    pub(crate) id: String,
    pub(crate) class: Class,
    /// The complete inner CPIM message.
    pub(crate) inner: Bytes,
}

/// What was inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Inside {
    /// Words, and whether their author wants to know that they arrived.
    Letter(Letter, bool),
    Receipt(Receipt),
}

/// What is said of something that is written, but for what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marks<'a> {
    /// Its `imdn.Message-ID`.
    pub(crate) id: &'a str,
    pub(crate) date_time: &'a str,
    /// What its author has seen of the circle's group.
    pub(crate) seen: &'a str,
}

/// Where something is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) circle: &'a Circle,
    /// The conference in which it is said in private, if it is.
    pub(crate) room: Option<&'a ConferenceId>,
}

impl Parcel {
    /// The sealed message of a circle, if this is one.
    pub(crate) fn read(content_type: &str, body: &Bytes) -> Option<Self> {
        let mut headers = Headers::new();
        headers.push(Name::ContentType, content_type.to_owned());
        let kind = headers.content_type().ok().flatten()?;
        if !kind.is("multipart/mixed") {
            return kind.is(cpim::MEDIA_TYPE).then(|| Self::of(body, None)).flatten();
        }
        let parts = multipart::read(&kind, body).ok()?;
        let find = |essence: &str| {
            let is = |part: &&Part| part.content_type().is_some_and(|kind| kind.is(essence));
            parts.iter().find(is).map(|part| &part.body)
        };
        let founding = find(wire::FOUNDING).and_then(|it| Founding::from_bytes(it).ok());
        Self::of(find(cpim::MEDIA_TYPE)?, founding)
    }

    fn of(letter: &Bytes, founding: Option<Founding>) -> Option<Self> {
        let outer = cpim::parse(letter).ok().flatten()?;
        let sealed = letter.get(outer.octets()..).filter(|_| outer.is_type(wire::MLS))?;
        let (circle, _era, _epoch) = group_of(sealed)?;
        let founding = founding.filter(|founding| *founding.people.id() == circle);
        let sealed = letter.slice_ref(sealed);
        is_circle(&circle).then_some(Self { circle, outer, sealed, founding })
    }
}

impl Place<'_> {
    /// Words for everybody here.
    pub(crate) fn words(
        self,
        me: &Aor,
        marks: Marks<'_>,
        receipt: bool,
        (content_type, body): (&str, Bytes),
    ) -> Wording {
        let wanted: &[&str] = if receipt { &["positive-delivery"] } else { &[] };
        let Marks { id, date_time, seen } = marks;
        let builder = self.address(me, seen).date_time(date_time).imdn(id, wanted);
        let inner = builder.content(content_type, body).gather();
        Wording { id: id.to_owned(), class: Class::Message, inner }
    }

    /// A receipt for a message.
    pub(crate) fn receipt(self, me: &Aor, marks: Marks<'_>, of: &str) -> Wording {
        let Marks { id, date_time, seen } = marks;
        let (recipients, status) = (None, Status::Delivered);
        let told = Notification { of, written: date_time, recipients, status };
        let builder = self.address(me, seen).date_time(date_time).imdn(id, &[]);
        let inner = told.wrapped_in(builder).gather();
        Wording { id: id.to_owned(), class: Class::Receipt, inner }
    }

    fn address(self, me: &Aor, seen: &str) -> Builder {
        let others = self.circle.others(me);
        let builder = Builder::to_each(me.as_str(), others.iter().map(Aor::as_str));
        let builder = builder.namespace("conclave", CONCLAVE);
        let builder = match seen {
            "" => builder,
            seen => builder.header("conclave.Seen", seen),
        };
        match self.room {
            Some(room) => builder.header("conclave.Room", room.as_str()),
            None => builder,
        }
    }

    /// What is inside a seal, if everything names one author, one id, these people and this place; and the first epoch
    /// in which its author was in another group than this device, if that is news.
    ///
    /// # Errors
    /// What does not fit, for a person.
    pub(crate) fn check(
        self,
        outer: &Envelope,
        opened: Opened,
        witness: &mut Witness,
    ) -> Result<(Inside, Option<Epoch>), Cow<'static, str>> {
        let plain = Bytes::copy_from_slice(&opened.plaintext);
        let inner = cpim::parse(&plain).ok().flatten().ok_or("the inner message is not CPIM")?;
        let (by, device) = (opened.from.aor.clone(), opened.from.device.clone());
        let mut message = letter::check(outer, opened)?;
        let named = inner.to().map_err(|_bad| "it does not say whom it is for")?;
        let named = named.iter().filter_map(|to| to.uri.parse::<Aor>().ok()).chain([by.clone()]);
        if Circle::of(named).as_ref() != Ok(self.circle) {
            return Err("it names other people than its circle".into());
        }
        let room = inner.text(CONCLAVE, "Room");
        if room.as_deref() != self.room.map(|room| room.as_str()) {
            return Err("it was written for another place".into());
        }
        let seen = inner.text(CONCLAVE, "Seen");
        let split = seen.and_then(|seen| witness.compare(&seen));
        let is_receipt = message.content_type.eq_ignore_ascii_case(IMDN_TYPE);
        let says_receipt = outer.text(CONCLAVE, "Class").as_deref() == Some("receipt");
        if is_receipt != says_receipt {
            return Err("it is not what it says it is".into());
        }
        if is_receipt {
            let told = imdn::read(&message.body).filter(|told| told.status == Status::Delivered);
            let of = told.ok_or("a receipt that says nothing")?.of;
            return Ok((Inside::Receipt(Receipt { of, by, device }), split));
        }
        message.private = self.room.is_some();
        let wanted = inner.wants("positive-delivery");
        let people = self.circle.people().cloned().collect();
        Ok((Inside::Letter(Letter { message, people, late: None }, wanted), split))
    }
}

impl Wording {
    /// The parts of a message outside of any room, around this seal.
    pub(crate) fn parts(
        &self,
        (me, to): (&Aor, &[Aor]),
        founding: Option<&Founding>,
        sealed: Bytes,
    ) -> Vec<Part> {
        let builder = Builder::to_each(me.as_str(), to.iter().map(Aor::as_str));
        // Only the mailbox knows that nobody came for it, and it has no key: so it is asked, and answers, in the clear.
        let wanted: &[&str] = match self.class {
            Class::Message => &["negative-delivery"],
            Class::Receipt => &[],
        };
        let mut builder = builder.imdn(&self.id, wanted);
        if self.class == Class::Receipt {
            builder = builder.namespace("conclave", CONCLAVE).header("conclave.Class", "receipt");
        }
        let letter = Part::new(cpim::MEDIA_TYPE, builder.content(wire::MLS, sealed).gather());
        let letter = letter.with(binary(), "binary");
        let founding = founding.map(|founding| {
            Part::new(wire::FOUNDING, founding.to_bytes()).with(binary(), "binary")
        });
        founding.into_iter().chain([letter]).collect()
    }
}

/// RFC 2045, 6: the parts are octets as they are.
fn binary() -> Name {
    Name::parse(b"Content-Transfer-Encoding").unwrap_or(Name::ContentDisposition)
}

#[cfg(test)]
mod tests;
