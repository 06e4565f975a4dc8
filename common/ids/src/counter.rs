//! The counters that order what happens. Plain numbers with a name; nothing here allocates or checks.
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// The one after this. Counters are wide enough never to wrap.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

counter! {
    /// A participant's place at a relay. Unique within one MRFC for all time; a device that comes back gets a new one.
    SeatId(u64)
}
counter! {
    /// A generation of the group key (RFC 9420, 7.2). It only moves forward, one step at a time.
    Epoch(u64)
}
counter! {
    /// A re-creation of the group. A higher era outranks every epoch of a lower one.
    Era(u32)
}
counter! {
    /// The appointment of a relay to a room. The MRFC raises it at each appointment, so that a restarted
    /// relay never uses a number twice.
    Term(u32)
}
counter! {
    /// The position of an event in its conference's journal, from 1. Zero stands for "nothing yet".
    Seq(u64)
}
counter! {
    /// Names one order that must happen once (a broadcast, a delivery). It grows within a conference, so a
    /// relay skips what it has already done.
    Key(u64)
}

/// When eras of a clock begin: 2026-01-01T00:00:00Z, since 1970.
const ERAS_SINCE: Duration = Duration::from_secs(1_767_225_600);

impl Era {
    /// What the eras of something count from that begins at this time: its seconds since 2026. Devices remember eras for
    /// longer than a database may live, and one that begins with nothing gives out none that they have been in.
    pub fn at(now: SystemTime) -> Self {
        let since = now.duration_since(SystemTime::UNIX_EPOCH + ERAS_SINCE).unwrap_or_default();
        Self(u32::try_from(since.as_secs()).unwrap_or(u32::MAX / 2))
    }
}

/// The place of a completed message or commit in its room's order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Number {
    /// The relay's appointment.
    pub term: Term,
    /// Counts completed messages within the term, from 1.
    pub n: u64,
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_term_outranks_any_number_of_an_earlier_one() {
        let old = Number { term: Term(1), n: u64::MAX };
        let new = Number { term: Term(2), n: 1 };

        assert!(new > old);
    }

    #[test]
    fn what_begins_later_has_a_later_era_and_no_clock_uses_all_of_them_up() {
        let at = |secs| Era::at(SystemTime::UNIX_EPOCH + Duration::from_secs(secs));

        assert_eq!([at(0), at(1_767_225_600), at(1_767_225_601)], [Era(0), Era(0), Era(1)]);
        assert!(at(1_800_000_000).next() < at(1_800_000_002));
        assert_eq!(at(u64::from(u32::MAX) * 2), Era(u32::MAX / 2));
    }
}
