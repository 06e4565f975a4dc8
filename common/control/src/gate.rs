//! Reads the clear prefix of an MLS message (RFC 9420, 6) and decides whether it may pass a room's gate.
//! It reads group id, epoch and content type, never more; it cannot decrypt. It keeps no state and no time:
//! ending the [`GRACE`] of an epoch and holding back what must wait is the relay's business.
use std::time::Duration;

use ids::{ConferenceId, Epoch, Era};

use crate::order::Gate;

/// How long the epoch before is still accepted where a gate grants grace. Counted by the relay from the moment
/// the gate took effect there; then it treats the gate as one without grace.
pub const GRACE: Duration = Duration::from_secs(3);

/// The longest group id: a conference id of 64, `#`, and an era of ten digits.
const GROUP_ID_OCTETS_MAX: usize = 75;

/// RFC 9420, 6: `mls10`.
const VERSION: [u8; 2] = [0, 1];

/// What the clear prefix of an MLS message says. Nobody vouches for it: the receivers' MLS does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    /// How the message is framed.
    pub kind: Kind,
    /// The conference whose group it is for.
    pub conference: ConferenceId,
    /// Which re-creation of that group.
    pub era: Era,
    /// The epoch it was made in.
    pub epoch: Epoch,
    /// What is inside; of a public message it lies behind the sender and is not read.
    pub content: Option<Content>,
}

/// RFC 9420, 6: the wire formats that name a group and an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `mls_public_message`: signed, in the clear. Handshakes.
    Public,
    /// `mls_private_message`: encrypted.
    Private,
}

/// RFC 9420, 6: what a framed content is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// What a person sends.
    Application,
    /// A proposal.
    Proposal,
    /// A commit.
    Commit,
}

/// Why bytes are not the prefix of an MLS message for a conference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPrefix {
    /// It ends too early.
    #[error("shorter than the prefix of an MLS message")]
    Short,
    /// Another protocol version.
    #[error("not MLS 1.0")]
    Version,
    /// A Welcome, a GroupInfo, a KeyPackage, or something unknown.
    #[error("wire format {0} names no group")]
    WireFormat(u16),
    /// A length that RFC 9420, 2.1.2 does not allow.
    #[error("a length that is not minimal")]
    Length,
    /// Not `conference#era`.
    #[error("the group id names no conference and era")]
    GroupId,
    /// RFC 9420, 6 knows three.
    #[error("content type {0} is unknown")]
    ContentType(u8),
}

/// Reads the prefix. The rest of the message is not looked at.
pub fn read(message: &[u8]) -> Result<Prefix, BadPrefix> {
    let mut rest = message;
    if take::<2>(&mut rest)? != VERSION {
        return Err(BadPrefix::Version);
    }
    let kind = match u16::from_be_bytes(take(&mut rest)?) {
        1 => Kind::Public,
        2 => Kind::Private,
        other => return Err(BadPrefix::WireFormat(other)),
    };
    let octets = length(&mut rest)?;
    if octets > GROUP_ID_OCTETS_MAX {
        return Err(BadPrefix::GroupId);
    }
    let (group_id, mut rest) = rest.split_at_checked(octets).ok_or(BadPrefix::Short)?;
    let (conference, era) = split_group_id(group_id).ok_or(BadPrefix::GroupId)?;
    let epoch = Epoch(u64::from_be_bytes(take(&mut rest)?));
    let content = match kind {
        Kind::Public => None,
        Kind::Private => Some(content(take(&mut rest)?)?),
    };
    Ok(Prefix { kind, conference, era, epoch, content })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], BadPrefix> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or(BadPrefix::Short)?;
    *rest = tail;
    Ok(*head)
}

/// RFC 9420, 2.1.2: the top two bits say how long the length is; a longer form than needed is malformed.
/// Four octets hold more than any group id here, so that form is refused as too long.
fn length(rest: &mut &[u8]) -> Result<usize, BadPrefix> {
    let [first] = take::<1>(rest)?;
    match first >> 6 {
        0 => Ok(usize::from(first)),
        1 => {
            let [second] = take::<1>(rest)?;
            match u16::from_be_bytes([first & 0x3f, second]) {
                0..=0x3f => Err(BadPrefix::Length),
                octets => Ok(usize::from(octets)),
            }
        }
        2 => Err(BadPrefix::GroupId),
        _ => Err(BadPrefix::Length),
    }
}

/// The two parts of `conference#era`. The era has one spelling: decimal, no sign, no leading zero.
pub fn split_group_id(group_id: &[u8]) -> Option<(ConferenceId, Era)> {
    let text = std::str::from_utf8(group_id).ok()?;
    let (conference, digits) = text.split_once('#')?;
    let era: u32 = digits.parse().ok()?;
    (era.to_string() == digits).then_some(())?;
    Some((conference.parse().ok()?, Era(era)))
}

/// The group id of a conference's group in an era.
pub fn group_id(conference: &ConferenceId, era: Era) -> Vec<u8> {
    format!("{conference}#{era}").into_bytes()
}

fn content([octet]: [u8; 1]) -> Result<Content, BadPrefix> {
    match octet {
        1 => Ok(Content::Application),
        2 => Ok(Content::Proposal),
        3 => Ok(Content::Commit),
        other => Err(BadPrefix::ContentType(other)),
    }
}

/// What becomes of a sealed message at a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Relay it.
    Pass,
    /// Made in an epoch that is over, or a Remove is pending: 413 with the comment `stale-epoch ERA/EPOCH`.
    Stale {
        /// The group's era.
        era: Era,
        /// Its epoch. The sender waits for a later one, or for this one if it is behind.
        epoch: Epoch,
    },
    /// Made in an epoch whose commit has not come by yet: hold it, bounded.
    Wait {
        /// The era it needs.
        era: Era,
        /// The epoch it needs.
        epoch: Epoch,
    },
    /// Not an application message for this room's group.
    Foreign,
}

/// Decides about a message for the room of `conference`.
///
/// ```
/// use control::{Gate, gate::{self, Content, Kind, Prefix, Verdict}};
/// use ids::{Epoch, Era};
/// let room: ids::ConferenceId = "room7".parse()?;
/// let gate = Gate { era: Era(0), epoch: Epoch(4), shut: false, grace: false };
/// let message = Prefix {
///     kind: Kind::Private,
///     conference: room.clone(),
///     era: Era(0),
///     epoch: Epoch(3),
///     content: Some(Content::Application),
/// };
/// let verdict = gate::decide(&room, gate, &message);
/// assert_eq!(verdict, Verdict::Stale { era: Era(0), epoch: Epoch(4) });
/// # Ok::<(), ids::BadId>(())
/// ```
pub fn decide(conference: &ConferenceId, gate: Gate, message: &Prefix) -> Verdict {
    let application =
        message.kind == Kind::Private && message.content == Some(Content::Application);
    if !application || message.conference != *conference {
        return Verdict::Foreign;
    }
    let made = (message.era, message.epoch);
    let current = (gate.era, gate.epoch);
    if made > current {
        return Verdict::Wait { era: message.era, epoch: message.epoch };
    }
    let before = message.era == gate.era && message.epoch.0.checked_add(1) == Some(gate.epoch.0);
    if !gate.shut && (made == current || gate.grace && before) {
        return Verdict::Pass;
    }
    Verdict::Stale { era: gate.era, epoch: gate.epoch }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room() -> ConferenceId {
        "room7".parse().unwrap()
    }

    /// RFC 9420, 6, by hand.
    fn private(group_id: &[u8], epoch: u64, content_type: u8) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, 2];
        bytes.push(u8::try_from(group_id.len()).unwrap());
        bytes.extend_from_slice(group_id);
        bytes.extend_from_slice(&epoch.to_be_bytes());
        bytes.push(content_type);
        bytes.extend_from_slice(b"\x05hello ciphertext");
        bytes
    }

    #[test]
    fn s6_the_prefix_of_a_private_message_is_read_and_nothing_more() {
        let bytes = private(b"room7#3", 0x0102, 1);

        let prefix = read(&bytes).unwrap();

        assert_eq!(prefix.kind, Kind::Private);
        assert_eq!((prefix.conference, prefix.era, prefix.epoch), (room(), Era(3), Epoch(0x0102)));
        assert_eq!(prefix.content, Some(Content::Application));
        assert_eq!(read(bytes.get(..21).unwrap()).unwrap(), read(&bytes).unwrap());
    }

    #[test]
    fn s6_a_public_message_gives_group_and_epoch_only() {
        let mut bytes = private(b"room7#0", 9, 0xff);
        bytes[3] = 1;

        let prefix = read(&bytes).unwrap();

        assert_eq!((prefix.kind, prefix.epoch, prefix.content), (Kind::Public, Epoch(9), None));
    }

    #[test]
    fn every_shorter_piece_of_a_prefix_is_short_and_never_a_panic() {
        let bytes = private(b"room7#3", 1, 1);
        for end in 0..bytes.len() - 17 {
            let found = read(bytes.get(..end).unwrap());
            assert_eq!(found, Err(BadPrefix::Short), "cut at {end}");
        }
    }

    /// S3-14.
    #[test]
    fn s2_1_2_a_long_group_id_has_a_two_octet_length_and_a_needlessly_long_form_is_refused() {
        let conference = "c".repeat(64);
        let group_id = format!("{conference}#{}", u32::MAX);
        let tail = [&7_u64.to_be_bytes()[..], &[1]].concat();
        let long = [&[0, 1, 0, 2, 0x40, 75], group_id.as_bytes(), &tail].concat();
        let padded = [&[0, 1, 0, 2, 0x40, 7][..], b"room7#3", &tail].concat();

        assert_eq!(read(&long).unwrap().era, Era(u32::MAX));
        assert_eq!(read(&padded), Err(BadPrefix::Length));
        assert_eq!(read(&[0, 1, 0, 2, 0x40, 76]), Err(BadPrefix::GroupId));
        assert_eq!(read(&[0, 1, 0, 2, 0x80, 0, 0, 7]), Err(BadPrefix::GroupId));
        assert_eq!(read(&[0, 1, 0, 2, 0xc0]), Err(BadPrefix::Length));
    }

    #[test]
    fn what_names_no_conference_and_era_is_refused() {
        for group_id in [&b""[..], b"room7", b"room7#", b"room7#01", b"room7#+1", b"room7#1#2"] {
            assert_eq!(read(&private(group_id, 1, 1)), Err(BadPrefix::GroupId), "{group_id:?}");
        }
        for group_id in [&b"room7#4294967296"[..], b"#1", b"Room#1", b"\xff#1", b"room7#-1"] {
            assert_eq!(read(&private(group_id, 1, 1)), Err(BadPrefix::GroupId), "{group_id:?}");
        }
        assert_eq!(split_group_id(&group_id(&room(), Era(7))), Some((room(), Era(7))));
    }

    #[test]
    fn another_version_wire_format_or_content_type_is_refused() {
        assert_eq!(read(&[0, 2, 0, 2]), Err(BadPrefix::Version));
        for other in [0, 3, 4, 5, 9] {
            assert_eq!(read(&[0, 1, 0, other]), Err(BadPrefix::WireFormat(u16::from(other))));
        }
        assert_eq!(read(&private(b"room7#3", 1, 4)), Err(BadPrefix::ContentType(4)));
    }

    fn verdict(gate: Gate, era: u32, epoch: u64) -> Verdict {
        let message = Prefix {
            kind: Kind::Private,
            conference: room(),
            era: Era(era),
            epoch: Epoch(epoch),
            content: Some(Content::Application),
        };
        decide(&room(), gate, &message)
    }

    const OPEN: Gate = Gate { era: Era(1), epoch: Epoch(5), shut: false, grace: false };
    const STALE: Verdict = Verdict::Stale { era: Era(1), epoch: Epoch(5) };

    #[test]
    fn only_the_current_epoch_passes_and_with_grace_the_one_before() {
        let grace = Gate { grace: true, ..OPEN };

        assert_eq!(verdict(OPEN, 1, 5), Verdict::Pass);
        assert_eq!(verdict(OPEN, 1, 4), STALE);
        assert_eq!(verdict(grace, 1, 4), Verdict::Pass);
        assert_eq!(verdict(grace, 1, 3), STALE);
        assert_eq!(verdict(grace, 0, 5), STALE);
        assert_eq!(verdict(grace, 0, 4), STALE);
    }

    #[test]
    fn a_shut_gate_lets_nothing_through_whatever_else_it_says() {
        let shut = Gate { shut: true, grace: true, ..OPEN };

        assert_eq!(verdict(shut, 1, 5), STALE);
        assert_eq!(verdict(shut, 1, 4), STALE);
    }

    #[test]
    fn an_epoch_or_era_that_has_not_come_by_yet_waits() {
        let later = Verdict::Wait { era: Era(1), epoch: Epoch(6) };

        assert_eq!(verdict(OPEN, 1, 6), later);
        assert_eq!(verdict(Gate { shut: true, ..OPEN }, 1, 6), later);
        assert_eq!(verdict(OPEN, 2, 0), Verdict::Wait { era: Era(2), epoch: Epoch(0) });
        assert!(matches!(verdict(OPEN, 1, u64::MAX), Verdict::Wait { .. }));
    }

    #[test]
    fn another_group_and_anything_but_application_data_is_foreign() {
        let message = read(&private(b"room8#1", 5, 1)).unwrap();
        assert_eq!(decide(&room(), OPEN, &message), Verdict::Foreign);
        for content_type in [2, 3] {
            let message = read(&private(b"room7#1", 5, content_type)).unwrap();
            assert_eq!(decide(&room(), OPEN, &message), Verdict::Foreign);
        }
        let mut public = private(b"room7#1", 5, 1);
        public[3] = 1;
        assert_eq!(decide(&room(), OPEN, &read(&public).unwrap()), Verdict::Foreign);
    }
}
