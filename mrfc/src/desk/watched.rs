//! When those who watch a conference are told that it has changed: once, until somebody has looked again. So a crowd that
//! comes in one moment costs one word, however many watch.
use super::SipEffect;
use super::task::Desk;
use crate::conference::What;

/// What the desk knows of those who watch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Watched {
    /// Nobody has ever looked.
    #[default]
    No,
    /// Somebody has seen it as it is.
    Seen,
    /// It has changed since, and they know.
    Told,
}

impl Watched {
    /// Somebody looks.
    pub(super) fn looked(&mut self) {
        *self = Self::Seen;
    }

    /// It has changed: whether somebody has to be told.
    fn changed(&mut self) -> bool {
        let tell = *self == Self::Seen;
        if tell {
            *self = Self::Told;
        }
        tell
    }
}

impl Desk {
    /// Tells those who watch, if what happened can be seen.
    pub(super) async fn tell_watchers(&mut self, what: &What) {
        let conference = self.conference.id().clone();
        let effect = match what {
            What::Ended { .. } if self.watched != Watched::No => SipEffect::Deleted { conference },
            what if is_seen(what) && self.watched.changed() => SipEffect::Changed { conference },
            _ => return,
        };
        if self.shared.sip.send(effect).await.is_err() {
            tracing::warn!("the front is gone");
        }
    }
}

/// Whether a watcher could notice it. The group's affairs are its members' own.
const fn is_seen(what: &What) -> bool {
    match what {
        What::Created { .. }
        | What::Joined { .. }
        | What::Answered { .. }
        | What::Renamed { .. }
        | What::Bound { .. }
        | What::Alerting { .. }
        | What::Inherited { .. }
        | What::Rested
        | What::Restored { .. }
        | What::Unseated { .. }
        | What::Invited { .. }
        | What::Unreached { .. }
        | What::Ruled { .. }
        | What::Departed { .. }
        | What::GivenUp { .. }
        | What::Moved { .. }
        | What::Ended { .. } => true,
        What::Advanced { .. }
        | What::Vouched { .. }
        | What::Astray { .. }
        | What::Doubted { .. }
        | What::Denied { .. }
        | What::Upheld
        | What::Outdated { .. }
        | What::Gathered { .. }
        | What::Claimed { .. }
        | What::Asked { .. }
        | What::GaveUp { .. }
        | What::Adopted => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_word_is_enough_until_somebody_has_looked() {
        let mut watched = Watched::default();
        assert!(!watched.changed(), "nobody watches");

        watched.looked();
        assert!(watched.changed());
        assert!(!watched.changed(), "they know");

        watched.looked();
        assert!(watched.changed());
    }
}
