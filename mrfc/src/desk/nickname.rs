//! What became of a wish for a nickname, as MSRP says it: one match, without a wildcard.
use crate::conference::Refusal;

/// The status of the answer to a NICKNAME (RFC 7701, 7.1).
pub(super) const fn status(outcome: &Result<(), Refusal>) -> u16 {
    let refusal = match outcome {
        Ok(()) => return 200,
        Err(refusal) => refusal,
    };
    match refusal {
        Refusal::NothingNew => 200,
        Refusal::Nickname(_) => 424,
        Refusal::NicknameTaken => 425,
        Refusal::NoSeat | Refusal::NoSuchConference | Refusal::Over | Refusal::NotOwner => 481,
        // Nothing was decided: as if nobody had answered.
        Refusal::StoreFailed | Refusal::NoRelay | Refusal::RelaySilent | Refusal::Unconfirmed => {
            408
        }
        Refusal::NoNicknames
        | Refusal::Exists
        | Refusal::NotModerator
        | Refusal::Locked
        | Refusal::NotAnonymous
        | Refusal::KnownByName
        | Refusal::LastModerator
        | Refusal::NotWatcher
        | Refusal::Barred
        | Refusal::NotOnRoster(_)
        | Refusal::Founder
        | Refusal::Full
        | Refusal::OtherPlace
        | Refusal::Unseatable
        | Refusal::TooManyOwn
        | Refusal::NotYet
        | Refusal::NoGroup
        | Refusal::Repeated { .. }
        | Refusal::Distrusted
        | Refusal::EntersTooOften
        | Refusal::Group(_) => 403,
    }
}
