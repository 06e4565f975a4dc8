//! Who has a seat in a room, as sessions see it: a snapshot that is replaced when membership changes, so that
//! checking a message needs no lock. Whether a seat still stands when a message is complete is for `room`.
use std::collections::BTreeMap;
use std::sync::Arc;

use control::{Level, Seat};
use ids::{Aor, DeviceId, Number, SeatId};

use super::types::Types;

/// A room and its people at one moment.
#[derive(Clone, Debug)]
pub struct Roster {
    pub(crate) uri: String,
    /// What content the room takes.
    pub level: Level,
    /// The longest message.
    pub message_octets_max: u64,
    /// Each message is charged.
    pub charge: bool,
    pub(crate) people: BTreeMap<SeatId, Arc<Participant>>,
}

/// A person's device and what it may do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Whose it is.
    pub aor: Aor,
    /// Which device.
    pub device: DeviceId,
    /// URIs it may use as CPIM From, in one spelling.
    pub identities: Vec<String>,
    /// It may not send to the room.
    pub muted: bool,
    /// It takes private messages.
    pub private_messages: bool,
    /// It is on hold: what others say is not sent to it.
    pub held: bool,
    /// What it takes inside of message/cpim.
    pub types: Types,
    /// Up to where its device has what was said in a room that keeps a log; none: it is new.
    pub after: Option<Number>,
    /// It is connected.
    pub bound: bool,
}

/// Where a CPIM To leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    /// The room.
    Room,
    /// A participant's sessions that take private messages.
    Seats(Vec<SeatId>),
    /// A participant none of whose sessions takes private messages.
    NoPrivateMessages,
    /// Nobody who is here.
    Nobody,
}

impl Roster {
    /// A room without people. The URI is brought into the spelling that identities are compared in.
    pub fn new(uri: &str, level: Level, message_octets_max: u64) -> Self {
        Self {
            uri: same_uri(uri),
            level,
            message_octets_max,
            charge: false,
            people: BTreeMap::new(),
        }
    }

    /// The participant of a seat.
    pub fn participant(&self, seat: SeatId) -> Option<&Participant> {
        self.people.get(&seat).map(Arc::as_ref)
    }

    /// Where a message with this CPIM To goes (RFC 7701, 6.1 and 6.2). Each session of a person gets a copy.
    pub fn recipient(&self, to: &str) -> Recipient {
        let to = same_uri(to);
        if to == self.uri {
            return Recipient::Room;
        }
        let here = |p: &Participant| p.bound && p.identities.contains(&to);
        if !self.people.values().any(|p| here(p)) {
            return Recipient::Nobody;
        }
        let takes = self.people.iter().filter(|(_, p)| here(p) && p.private_messages);
        let seats: Vec<SeatId> = takes.map(|(seat, _)| *seat).collect();
        if seats.is_empty() { Recipient::NoPrivateMessages } else { Recipient::Seats(seats) }
    }
}

impl Participant {
    /// The participant an order describes.
    pub fn new(seat: &Seat, bound: bool) -> Self {
        let own =
            std::iter::once(seat.aor.as_str()).chain(seat.identities.iter().map(String::as_str));
        let mut identities: Vec<String> = own.map(same_uri).collect();
        identities.dedup();
        Self {
            aor: seat.aor.clone(),
            device: seat.device.clone(),
            identities,
            muted: seat.muted,
            private_messages: seat.private_messages && !seat.held,
            held: seat.held,
            after: seat.after,
            types: Types::new(seat.accept_wrapped_types.iter().map(String::as_str)),
            bound,
        }
    }

    /// Whether a CPIM From is this participant.
    pub fn is(&self, from: &str) -> bool {
        self.identities.contains(&same_uri(from))
    }
}

/// A URI in the spelling under which equal ones are equal: of a SIP URI the address of record (port, parameters and
/// the case of scheme and host do not count), of any other URI its scheme in lower case.
fn same_uri(uri: &str) -> String {
    if let Ok(aor) = uri.parse::<Aor>() {
        return aor.as_str().to_owned();
    }
    match uri.split_once(':') {
        Some((scheme, rest)) => format!("{}:{rest}", scheme.to_ascii_lowercase()),
        None => uri.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn participant(aor: &str, private_messages: bool, bound: bool) -> Participant {
        let device = "urn:uuid:00000000-0000-4000-8000-000000000000".parse().unwrap();
        let seat = Seat {
            identities: vec!["tel:+15551234".into()],
            private_messages,
            ..Seat::new(SeatId(0), aor.parse().unwrap(), device)
        };
        Participant::new(&seat, bound)
    }

    fn roster(people: &[(u64, &str, bool, bool)]) -> Roster {
        let mut roster = Roster::new("sips:room7@Example.net", Level::Open, 1000);
        for (seat, aor, private, bound) in people {
            roster.people.insert(SeatId(*seat), Arc::new(participant(aor, *private, *bound)));
        }
        roster
    }

    #[test]
    fn identities_are_compared_as_uris_and_not_as_text() {
        let alice = participant("sip:alice@example.net", false, true);

        assert!(alice.is("sips:alice@EXAMPLE.net:5061;user=phone"));
        assert!(alice.is("TEL:+15551234"));
        assert!(!alice.is("sip:Alice@example.net"));
        assert!(!alice.is("sip:bob@example.net"));
    }

    #[test]
    fn the_rooms_uri_is_the_room_however_it_is_spelled() {
        assert_eq!(roster(&[]).recipient("sip:room7@example.net:5061"), Recipient::Room);
    }

    #[test]
    fn s6_2_a_private_message_goes_to_each_session_that_takes_them() {
        let roster = roster(&[
            (1, "sip:bob@example.net", true, true),
            (2, "sip:bob@example.net", false, true),
            (3, "sip:bob@example.net", true, true),
            (4, "sip:bob@example.net", true, false),
            (5, "sip:carol@example.net", false, true),
            (6, "sip:dave@example.net", true, false),
        ]);

        let bob = roster.recipient("sip:bob@example.net");

        assert_eq!(bob, Recipient::Seats(vec![SeatId(1), SeatId(3)]));
        assert_eq!(roster.recipient("sip:carol@example.net"), Recipient::NoPrivateMessages);
        assert_eq!(roster.recipient("sip:dave@example.net"), Recipient::Nobody);
        assert_eq!(roster.recipient("sip:eve@example.net"), Recipient::Nobody);
    }
}
