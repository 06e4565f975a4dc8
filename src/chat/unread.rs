//! What has come and cannot be read here: counted for a moment, and told together. A device that is new gets everything that was
//! written before it was there, and can open none of it.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ids::Aor;

/// How long is waited for more.
pub(super) const MOMENT: Duration = Duration::from_secs(2);
/// Reasons that are told apart; others are told as one.
const REASONS_MAX: usize = 16;

/// What was not told yet, by the reason. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread(Arc<Mutex<BTreeMap<String, Of>>>);

#[derive(Debug, Default)]
struct Of {
    messages: usize,
    authors: BTreeSet<String>,
}

impl Unread {
    fn reasons(&self) -> MutexGuard<'_, BTreeMap<String, Of>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One more. Whether it is the first one to be told.
    pub(super) fn note(&self, from: &Aor, why: &str) -> bool {
        let mut reasons = self.reasons();
        let first = reasons.is_empty();
        let room = reasons.len() < REASONS_MAX || reasons.contains_key(why);
        let of = reasons.entry(if room { why } else { "" }.to_owned()).or_default();
        of.messages += 1;
        of.authors.insert(from.user().to_owned());
        first
    }

    /// All of it, a line for each reason; then there is none.
    pub(super) fn take(&self) -> Vec<String> {
        let line = |(why, of): (String, Of)| {
            let authors = of.authors.into_iter().collect::<Vec<_>>().join(", ");
            let what = match of.messages {
                1 => format!("a message of {authors}"),
                messages => format!("{messages} messages of {authors}"),
            };
            let why = match (&*why, of.messages) {
                ("", _) => "for several reasons".to_owned(),
                (_, 1) => why,
                _ => why
                    .strip_prefix("it was ")
                    .map_or_else(|| why.clone(), |rest| format!("they were {rest}")),
            };
            format!("* {what} cannot be read here: {why}; another device of yours may have read it")
        };
        std::mem::take(&mut *self.reasons()).into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_told_once_with_its_number_and_its_authors() {
        let (alice, bob): (Aor, Aor) =
            ("sip:alice@x".parse().unwrap(), "sip:bob@x".parse().unwrap());
        let unread = Unread::default();
        let old = "it was sealed before";
        let noted = [(&bob, old), (&alice, old), (&bob, old), (&bob, "damaged")];

        let first = noted.map(|(from, why)| unread.note(from, why));

        assert_eq!(first, [true, false, false, false]);
        let lines = unread.take();
        assert!(
            lines[0].starts_with("* a message of bob cannot be read here: damaged"),
            "{lines:?}"
        );
        assert!(lines[1].starts_with(
            "* 3 messages of alice, bob cannot be read here: they were sealed before;"
        ));
        assert!(unread.take().is_empty() && unread.note(&bob, old));
    }
}
