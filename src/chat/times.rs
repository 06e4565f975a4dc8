//! When something was written or came, as words beside it. What was written just now needs none.
use std::time::{Duration, SystemTime};

use client::Late;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What lies no further from now was written now: clocks differ and messages travel.
const NOW: Duration = Duration::from_secs(60);

/// What a clock may differ from the focus's, as a mailbox has it.
const SKEW: Duration = Duration::from_secs(300);

/// Of a message in the room: it may have waited in the conference's log.
pub(super) fn written(at: Option<SystemTime>, now: SystemTime) -> String {
    match at {
        Some(at) if at + NOW < now => format!(", at {}", shown(at)),
        Some(at) if now + NOW < at => format!(", at {} by a clock that is ahead", shown(at)),
        _ => String::new(),
    }
}

/// Of a message that has waited in the mailbox. When it was sealed with the time in it, that is `sealed`.
pub(super) fn late(late: Late, sealed: Option<SystemTime>) -> String {
    let sent = sealed.or(late.sent).map(|sent| format!(", sent {}", shown(sent)));
    // What is in a seal the mailbox could not compare.
    let skewed = late.skewed || sealed.is_some_and(|sealed| apart(sealed, late.accepted) > SKEW);
    let doubt = if skewed { " by a clock that is wrong" } else { "" };
    format!("{}{doubt}, kept since {}", sent.unwrap_or_default(), shown(late.accepted))
}

fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|error| error.duration())
}

/// When something was written that is told of.
pub(super) fn at(time: SystemTime) -> String {
    format!(" at {}", shown(time))
}

fn shown(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(secs)
    }

    #[test]
    fn s3_08_what_was_written_long_ago_says_when_and_what_is_yet_to_be_written_whose_clock_it_is() {
        let words = |written_at| written(written_at, at(3600));

        assert_eq!(words(None), "");
        assert_eq!(words(Some(at(3590))), "");
        assert_eq!(words(Some(at(3650))), "");
        assert_eq!(words(Some(at(60))), ", at 1970-01-01T00:01:00Z");
        assert_eq!(words(Some(at(7200))), ", at 1970-01-01T02:00:00Z by a clock that is ahead");
    }

    #[test]
    fn s3_08_a_time_in_the_seal_that_is_far_from_when_it_came_is_of_a_clock_that_is_wrong() {
        let kept = Late { accepted: at(10_000), sent: None, skewed: false };

        for (sealed, wrong) in [(9_700, false), (9_699, true), (10_300, false), (10_301, true)] {
            let words = late(kept, Some(at(sealed)));
            assert_eq!(words.contains(" by a clock that is wrong"), wrong, "{sealed} {words}");
        }
        assert!(!late(kept, None).contains("wrong"));
    }

    #[test]
    fn s3_08_the_time_in_the_seal_counts_before_the_one_outside() {
        let kept = Late { accepted: at(61), sent: Some(at(60)), skewed: true };

        assert_eq!(
            late(kept, Some(at(120))),
            ", sent 1970-01-01T00:02:00Z by a clock that is wrong, kept since 1970-01-01T00:01:01Z"
        );
        assert_eq!(
            late(Late { skewed: false, ..kept }, None),
            ", sent 1970-01-01T00:01:00Z, kept since 1970-01-01T00:01:01Z"
        );
    }
}
