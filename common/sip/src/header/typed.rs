//! The accessors of [`Headers`] named after header fields. Each parses when asked, and nothing is remembered.
use std::borrow::Cow;

use super::BadHeader;
use super::fields::{CSeq, Contacts, Event, MediaType, ReasonValue, SubscriptionState, Warning};
use super::list::Headers;
use super::name::Name;
use super::name_addr::NameAddr;
use super::scan::{Broken, split_commas};
use super::session::{SessionExpires, seconds};
use super::via::Via;

impl Headers {
    /// The topmost Via.
    pub fn via(&self) -> Result<Via, BadHeader> {
        let text = self.text(&Name::Via).ok_or_else(|| BadHeader::missing(Name::Via))?;
        let top = split_commas(&text).next().unwrap_or_default();
        parsed(Name::Via, top, Via::parse)
    }

    /// Every Via, topmost first.
    pub fn vias(&self) -> Result<Vec<Via>, BadHeader> {
        self.list(Name::Via, Via::parse)
    }

    /// From: who asks.
    pub fn from(&self) -> Result<NameAddr, BadHeader> {
        parsed(Name::From, &self.only(&Name::From)?, NameAddr::parse)
    }

    /// To: who is asked.
    pub fn to(&self) -> Result<NameAddr, BadHeader> {
        parsed(Name::To, &self.only(&Name::To)?, NameAddr::parse)
    }

    /// Call-ID, compared byte by byte.
    pub fn call_id(&self) -> Result<Cow<'_, str>, BadHeader> {
        let value = self.only(&Name::CallId)?;
        let legal = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_graphic());
        if legal { Ok(value) } else { Err(BadHeader::malformed(Name::CallId)) }
    }

    /// `CSeq`: the number and method of the request.
    pub fn cseq(&self) -> Result<CSeq, BadHeader> {
        parsed(Name::CSeq, &self.only(&Name::CSeq)?, CSeq::parse)
    }

    /// Max-Forwards, 0 to 255; `None` if absent.
    pub fn max_forwards(&self) -> Result<Option<u8>, BadHeader> {
        let hops = self.number(Name::MaxForwards)?;
        let bad = |_| BadHeader::malformed(Name::MaxForwards);
        hops.map(|hops| u8::try_from(hops).map_err(bad)).transpose()
    }

    /// Content-Length in bytes, if it is there. Equal repetitions count as one.
    pub fn content_length(&self) -> Result<Option<usize>, BadHeader> {
        let bad = || BadHeader::malformed(Name::ContentLength);
        let mut length = None;
        for value in self.raw(&Name::ContentLength) {
            let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
            let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            let number: usize = number.filter(|_| digits).ok_or_else(bad)?;
            if length.is_some_and(|length| length != number) {
                return Err(BadHeader::repeated(Name::ContentLength));
            }
            length = Some(number);
        }
        Ok(length)
    }

    /// Content-Type of the body.
    pub fn content_type(&self) -> Result<Option<MediaType>, BadHeader> {
        self.optional(Name::ContentType, MediaType::parse)
    }

    /// Expires in seconds. A number too large for 32 bits is the largest one.
    pub fn expires(&self) -> Result<Option<u32>, BadHeader> {
        self.number(Name::Expires)
    }

    /// Min-Expires in seconds.
    pub fn min_expires(&self) -> Result<Option<u32>, BadHeader> {
        self.number(Name::MinExpires)
    }

    /// Session-Expires (RFC 4028, 4).
    pub fn session_expires(&self) -> Result<Option<SessionExpires>, BadHeader> {
        self.optional(Name::SessionExpires, SessionExpires::parse)
    }

    /// Min-SE in seconds (RFC 4028, 5).
    pub fn min_se(&self) -> Result<Option<u32>, BadHeader> {
        self.optional(Name::MinSe, |text| seconds(text).map(|(secs, _)| secs))
    }

    /// Contact.
    pub fn contacts(&self) -> Result<Contacts, BadHeader> {
        let mut values = self.elements(&Name::Contact);
        if self.raw(&Name::Contact).any(|value| value.trim_ascii() == b"*") {
            let alone = values.next().is_some() && values.next().is_none();
            let bad = || BadHeader::malformed(Name::Contact);
            return alone.then_some(Contacts::All).ok_or_else(bad);
        }
        self.list(Name::Contact, NameAddr::parse).map(Contacts::Some)
    }

    /// The one Contact that a dialog needs.
    pub fn contact(&self) -> Result<NameAddr, BadHeader> {
        let Contacts::Some(contacts) = self.contacts()? else {
            return Err(BadHeader::malformed(Name::Contact));
        };
        let mut contacts = contacts.into_iter();
        let first = contacts.next().ok_or_else(|| BadHeader::missing(Name::Contact))?;
        match contacts.next() {
            None => Ok(first),
            Some(_) => Err(BadHeader::repeated(Name::Contact)),
        }
    }

    /// Route, first hop first.
    pub fn routes(&self) -> Result<Vec<NameAddr>, BadHeader> {
        self.list(Name::Route, NameAddr::parse)
    }

    /// Record-Route, in the order of the message.
    pub fn record_routes(&self) -> Result<Vec<NameAddr>, BadHeader> {
        self.list(Name::RecordRoute, NameAddr::parse)
    }

    /// Refer-To (RFC 3515, 2.1: exactly one).
    pub fn refer_to(&self) -> Result<NameAddr, BadHeader> {
        parsed(Name::ReferTo, &self.only(&Name::ReferTo)?, NameAddr::parse)
    }

    /// Every Reason (RFC 3326).
    pub fn reasons(&self) -> Result<Vec<ReasonValue>, BadHeader> {
        self.list(Name::Reason, ReasonValue::parse)
    }

    /// Event (RFC 6665).
    pub fn event(&self) -> Result<Event, BadHeader> {
        parsed(Name::Event, &self.only(&Name::Event)?, Event::parse)
    }

    /// Subscription-State (RFC 6665).
    pub fn subscription_state(&self) -> Result<SubscriptionState, BadHeader> {
        let value = self.only(&Name::SubscriptionState)?;
        parsed(Name::SubscriptionState, &value, SubscriptionState::parse)
    }

    /// Every Warning.
    pub fn warnings(&self) -> Result<Vec<Warning>, BadHeader> {
        self.list(Name::Warning, Warning::parse)
    }

    /// Every name and address in a list field: P-Asserted-Identity, Path, Service-Route, ...
    pub fn addresses(&self, name: Name) -> Result<Vec<NameAddr>, BadHeader> {
        self.list(name, NameAddr::parse)
    }

    fn list<T>(
        &self,
        name: Name,
        parse: impl Fn(&str) -> Result<T, Broken>,
    ) -> Result<Vec<T>, BadHeader> {
        let mut all = Vec::new();
        for value in self.raw(&name) {
            let text = String::from_utf8_lossy(value);
            for element in split_commas(&text) {
                all.push(parsed(name.clone(), element, &parse)?);
            }
        }
        Ok(all)
    }

    fn optional<T>(
        &self,
        name: Name,
        parse: impl Fn(&str) -> Result<T, Broken>,
    ) -> Result<Option<T>, BadHeader> {
        let Some(value) = self.at_most_one(&name)? else { return Ok(None) };
        parsed(name.clone(), &value, parse).map(Some)
    }

    /// A field that is a number of 32 bits; a larger one saturates, as RFC 3261, 20.19 allows.
    fn number(&self, name: Name) -> Result<Option<u32>, BadHeader> {
        let digits = |text: &str| {
            let legal = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if legal { Ok(text.parse().unwrap_or(u32::MAX)) } else { Err(Broken) }
        };
        self.optional(name, digits)
    }
}

fn parsed<T>(
    name: Name,
    text: &str,
    parse: impl Fn(&str) -> Result<T, Broken>,
) -> Result<T, BadHeader> {
    parse(text).map_err(|Broken| BadHeader::malformed(name))
}
