//! Which media types somebody takes inside of message/cpim (RFC 4975, 8.6), and who of a room does not take one. Types
//! are compared without case and parameters; what a container holds is not looked at.
use std::cell::OnceCell;
use std::collections::HashMap;
use std::sync::Arc;

use ids::SeatId;

use super::Roster;

/// A list such as `text/plain image/*`; an empty one is anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Types(Vec<String>);

impl Types {
    /// The list of an SDP attribute. None of it, or a `*` in it, is anything.
    pub fn new<'a>(list: impl IntoIterator<Item = &'a str>) -> Self {
        let all: Vec<String> = list.into_iter().map(|one| bare(one.as_bytes())).collect();
        let anything = all.iter().any(|one| matches!(one.as_str(), "*" | "*/*"));
        Self(if anything { Vec::new() } else { all })
    }

    /// Whether anything is taken.
    pub fn are_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether content of this type, as sent, is taken.
    pub fn include(&self, content_type: &[u8]) -> bool {
        self.are_all() || self.include_bare(&bare(content_type))
    }

    fn include_bare(&self, wanted: &str) -> bool {
        let kind = wanted.split_once('/').map_or(wanted, |(kind, _)| kind);
        self.0.iter().any(|one| one == wanted || one.strip_suffix("/*") == Some(kind))
    }
}

/// The type alone, in lower case. Content that does not say what it is is text (RFC 2045, 5.2).
fn bare(content_type: &[u8]) -> String {
    let end = content_type.iter().position(|octet| *octet == b';');
    let text =
        content_type.get(..end.unwrap_or(content_type.len())).unwrap_or_default().trim_ascii();
    match text {
        [] => "text/plain".to_owned(),
        text => String::from_utf8_lossy(text).to_ascii_lowercase(),
    }
}

/// Who of a room does not take a type, worked out once for each type until somebody comes, goes or changes. In a room
/// where everybody takes anything it costs one look.
#[derive(Debug, Default)]
pub(super) struct Deaf {
    /// Whether anybody does not take everything; none: not looked yet.
    picky: Option<bool>,
    /// Who is on hold.
    held: OnceCell<Option<Arc<[SeatId]>>>,
    known: HashMap<String, Option<Arc<[SeatId]>>>,
}

/// Types that are remembered. Who sends ever new ones makes us look again, and fills no memory.
const KNOWN_MAX: usize = 32;

impl Deaf {
    /// The people have changed.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// The connected seats on hold, in order; none if there is none.
    pub(super) fn held(&self, roster: &Roster) -> Option<Arc<[SeatId]>> {
        let look = || {
            let held = roster.people.iter().filter(|(_, person)| person.bound && person.held);
            let seats: Arc<[SeatId]> = held.map(|(seat, _)| *seat).collect();
            (!seats.is_empty()).then_some(seats)
        };
        self.held.get_or_init(look).clone()
    }

    /// The connected seats that do not take this type, or are on hold, in order; none if everybody does.
    pub(super) fn to(&mut self, content_type: &[u8], roster: &Roster) -> Option<Arc<[SeatId]>> {
        let look = || roster.people.values().any(|p| p.held || !p.types.are_all());
        if !*self.picky.get_or_insert_with(look) {
            return None;
        }
        let wanted = bare(content_type);
        if let Some(known) = self.known.get(&wanted) {
            return known.clone();
        }
        let deaf = roster.people.iter().filter(|(_, person)| {
            let deaf = || !person.types.are_all() && !person.types.include_bare(&wanted);
            person.bound && (person.held || deaf())
        });
        let seats: Arc<[SeatId]> = deaf.map(|(seat, _)| *seat).collect();
        let seats = (!seats.is_empty()).then_some(seats);
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        self.known.insert(wanted, seats.clone());
        seats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m4975_50_types_match_by_wildcard_and_without_case_and_parameters() {
        let table = [
            (vec![], "image/png", true),
            (vec!["text/plain", "*"], "image/png", true),
            (vec!["text/plain"], "Text/PLAIN;charset=utf-8", true),
            (vec!["Text/Plain;charset=utf-8"], "text/plain", true),
            (vec!["text/plain"], "", true),
            (vec!["image/*"], "image/png", true),
            (vec!["image/*"], "imagery/png", false),
            (vec!["text/plain", "image/*"], "text/html", false),
            (vec!["text/plain"], "text/plainer", false),
        ];
        for (list, content_type, taken) in table {
            let types = Types::new(list.iter().copied());
            assert_eq!(types.include(content_type.as_bytes()), taken, "{list:?} {content_type}");
        }
    }
}
