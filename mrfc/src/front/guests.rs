//! Who is called right after a conference was made: the list in the INVITE that makes it (RFC 5366). Its sender is
//! answered as without a list; what becomes of each call only watchers see.
//!
//! ```text
//! INVITE + list ─► 200 ─► Desks::invite, one after the other ─► dial_out, each with what the others may know
//! ```
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use ids::{Aor, ConferenceId};
use sip::header::Name;
use sip::multipart::Part;
use sip::resource_lists::Entry;
use sip::{Request, Response, Status};

use super::recipients::{self, FOR_INVITE, NoRecipients, Recipients};
use super::{Done, Front, WhatFor};

const SDP: &str = "application/sdp";

/// Whom a new conference is to call.
#[derive(Debug, Default)]
pub(super) struct Guests {
    people: Vec<Aor>,
    /// What each of them is shown of the list.
    history: Option<Part>,
}

/// Lists whose people are not all called yet.
#[derive(Debug, Default)]
pub(super) struct GuestLists(HashMap<ConferenceId, GuestList>);

#[derive(Debug)]
struct GuestList {
    history: Part,
    left: HashSet<Aor>,
}

impl GuestLists {
    fn add(&mut self, conference: &ConferenceId, guests: &Guests) {
        if let Some(history) = guests.history.clone() {
            let left = guests.people.iter().cloned().collect();
            self.0.insert(conference.clone(), GuestList { history, left });
        }
    }

    /// This person is called, or is not: what they are shown of the list.
    pub(super) fn take(&mut self, conference: &ConferenceId, who: &Aor) -> Option<Part> {
        let list = self.0.get_mut(conference)?;
        let history = list.left.remove(who).then(|| list.history.clone());
        if list.left.is_empty() {
            self.0.remove(conference);
        }
        history
    }

    pub(super) fn forget(&mut self, conference: &ConferenceId) {
        self.0.remove(conference);
    }
}

/// The extension is not for this resource (RFC 5366, 5.1).
pub(super) fn no_list_here(request: &Request) -> Response {
    Response::to(request, Status::BAD_EXTENSION).with(Name::Unsupported, FOR_INVITE)
}

/// An INVITE as if its description were all of its body, and the list that stands beside it.
pub(super) fn unpacked(
    request: &Request,
    recipients_max: usize,
) -> Result<(Cow<'_, Request>, Vec<Entry>), NoRecipients> {
    let required = request.headers.lists(&Name::Require, FOR_INVITE);
    if !recipients::is_mixed(request) {
        let plain = (Cow::Borrowed(request), Vec::new());
        return if required { Err(NoRecipients::NoList) } else { Ok(plain) };
    }
    let Recipients { entries, parts } = match required {
        true => Recipients::of(request, recipients_max)?,
        false => Recipients::perhaps(request, recipients_max)?,
    };
    let mut sdp = None;
    for part in parts {
        match part.content_type() {
            Some(kind) if kind.is(SDP) && sdp.is_none() => sdp = Some(part.body),
            // RFC 3261, 20.11: what is not said to be optional is required.
            _ if is_optional(&part) => {}
            _ => return Err(NoRecipients::Part),
        }
    }
    let mut request = request.clone();
    request.headers.remove(&Name::ContentType);
    request.body = Bytes::new();
    if let Some(sdp) = sdp {
        request = request.with_body(SDP, sdp);
    }
    Ok((Cow::Owned(request), entries))
}

fn is_optional(part: &Part) -> bool {
    let value = part.headers.text(&Name::ContentDisposition).unwrap_or_default();
    value.split(';').skip(1).any(|param| {
        let param: String = param.split_whitespace().collect();
        param.eq_ignore_ascii_case("handling=optional")
    })
}

impl Front {
    /// The people of a list, each once and without its sender, if all of them have agreed to be called so
    /// (RFC 5360, 5.9.3.3).
    pub(super) fn guests(
        &self,
        request: &Request,
        person: &Aor,
        entries: &[Entry],
    ) -> Result<Guests, Response> {
        let consent = self.config.conferences.list_consent;
        let named: Vec<Entry> = entries.iter().cloned().map(|entry| self.named(entry)).collect();
        let mut people = self.willing(request, &named, consent)?;
        people.retain(|who| who != person);
        Ok(Guests { people, history: recipients::history(entries) })
    }

    /// A number stands for its person.
    fn named(&self, entry: Entry) -> Entry {
        match self.meant(&entry.uri) {
            Ok(Some(uri)) => Entry { uri: uri.into(), ..entry },
            Ok(None) | Err(_) => entry,
        }
    }

    /// The conference is made and its maker is in: the others are called.
    pub(super) fn call_guests(&mut self, conference: &ConferenceId, by: &Aor, guests: Guests) {
        if guests.people.is_empty() {
            return;
        }
        self.guest_lists.add(conference, &guests);
        let (desks, id, by) = (self.desks.clone(), conference.clone(), by.clone());
        // As much time for each as for one request.
        let count = u32::try_from(guests.people.len()).unwrap_or(u32::MAX);
        let wait = self.config.limits.call().saturating_mul(count);
        self.calls.must(wait, WhatFor::Guests(id.clone()), async move {
            let mut refused = Vec::new();
            for who in guests.people {
                if let Err(why) = desks.invite(&id, &by, who.clone()).await {
                    tracing::debug!(conference = %id, %why, "a guest is not called");
                    refused.push(who);
                }
            }
            Done::Invited(id, refused)
        });
    }

    /// Nobody waits for these any more.
    pub(super) fn uninvited(&mut self, conference: &ConferenceId, refused: &[Aor]) {
        for who in refused {
            self.guest_lists.take(conference, who);
        }
    }
}

#[cfg(test)]
mod tests {
    use sip::{Method, multipart};

    use super::*;

    const LIST: &str = "<resource-lists xmlns=\"urn:ietf:params:xml:ns:resource-lists\"><list>\
        <entry uri=\"sip:bob@example.net\"/></list></resource-lists>";

    fn invite(parts: &[Part]) -> Request {
        let uri: sip::Uri = "sip:conference-factory@example.net".parse().unwrap();
        let (kind, body) = multipart::write(parts, 7);
        Request::new(Method::Invite, uri).with_body(&kind, body)
    }

    fn list() -> Part {
        let list = Part::new(sip::resource_lists::MEDIA_TYPE, LIST);
        list.with(Name::ContentDisposition, "recipient-list")
    }

    #[test]
    fn curi_01_description_and_list_are_taken_apart() {
        let request = invite(&[Part::new(SDP, "v=0\r\n"), list()]);

        let (plain, entries) = unpacked(&request, 9).unwrap();

        assert!(plain.headers.content_type().unwrap().unwrap().is(SDP));
        assert_eq!((&plain.body[..], entries.len()), (&b"v=0\r\n"[..], 1));
        let without = invite(&[list()]);
        assert!(unpacked(&without, 9).unwrap().0.body.is_empty());
    }

    #[test]
    fn s20_11_a_part_that_is_not_understood_is_passed_over_only_if_it_says_so() {
        let sdp = || Part::new(SDP, "v=0\r\n");
        let photo = |disposition: &str| {
            Part::new("image/png", "x").with(Name::ContentDisposition, disposition)
        };

        let needed = invite(&[sdp(), list(), photo("render")]);
        let optional = invite(&[sdp(), list(), photo("render; Handling = optional")]);
        let two = invite(&[sdp(), sdp()]);

        assert_eq!(unpacked(&needed, 9).unwrap_err(), NoRecipients::Part);
        assert!(unpacked(&optional, 9).is_ok());
        assert_eq!(unpacked(&two, 9).unwrap_err(), NoRecipients::Part);
    }

    #[test]
    fn who_requires_the_extension_and_sends_no_list_is_told() {
        let uri: sip::Uri = "sip:conference-factory@example.net".parse().unwrap();
        let plain = Request::new(Method::Invite, uri).with_body(SDP, "v=0\r\n");

        assert!(unpacked(&plain, 9).unwrap().1.is_empty());
        let asked = plain.with(Name::Require, FOR_INVITE);
        assert_eq!(unpacked(&asked, 9).unwrap_err(), NoRecipients::NoList);
    }

    #[test]
    fn a_list_is_forgotten_with_the_last_of_its_people() {
        let aor = |name: &str| -> Aor { format!("sip:{name}@example.net").parse().unwrap() };
        let (room, mut lists) = ("room7".parse().unwrap(), GuestLists::default());
        let people = vec![aor("bob"), aor("carol")];
        lists.add(&room, &Guests { people, history: Some(Part::new("text/plain", "x")) });

        assert!(lists.take(&room, &aor("mallory")).is_none());
        assert!(lists.take(&room, &aor("bob")).is_some());
        assert!(lists.take(&room, &aor("bob")).is_none());
        assert!(lists.take(&room, &aor("carol")).is_some());
        assert!(lists.0.is_empty());
    }
}
