//! What a receiver's answer to a chunk means for what follows (RFC 4975, 10). It decides nothing about other receivers:
//! the switch has answered the sender already.
use msrp::Status;

/// What follows from a response, or from a REPORT of the same code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It arrived.
    Arrived,
    /// This receiver does not take this message: 413, 415, and every refusal nobody has given another meaning.
    Unwanted,
    /// The receiver has no such session, or has it elsewhere: 481, 506.
    SessionGone,
    /// Somebody on the way waited for an answer and got none: 408, as if we had waited ourselves.
    TimedOut,
}

impl Verdict {
    /// The meaning of a code. One that is unknown means what its class says.
    pub fn of(status: Status) -> Self {
        match status {
            Status::NO_SUCH_SESSION | Status::BOUND_ELSEWHERE => Self::SessionGone,
            Status::TIMEOUT => Self::TimedOut,
            status if status.is_success() => Self::Arrived,
            _ => Self::Unwanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s10_unknown_codes_are_judged_by_their_class() {
        let table = [
            (200, Verdict::Arrived),
            (299, Verdict::Arrived),
            (400, Verdict::Unwanted),
            (408, Verdict::TimedOut),
            (413, Verdict::Unwanted),
            (415, Verdict::Unwanted),
            (481, Verdict::SessionGone),
            (499, Verdict::Unwanted),
            (501, Verdict::Unwanted),
            (506, Verdict::SessionGone),
            (699, Verdict::Unwanted),
        ];
        for (code, verdict) in table {
            assert_eq!(Verdict::of(Status::new(code).unwrap()), verdict, "{code}");
        }
    }
}
