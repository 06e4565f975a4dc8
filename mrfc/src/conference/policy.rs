//! Who may do what. Every rule is one function; nothing here changes anything.
use ids::Aor;

use super::nouns::Participant;
use super::refusal::Refusal;
use super::roster::Roster;
use super::rules::Rules;

/// Anybody the front has authenticated may join, unless a moderator has removed them or locked the conference, or no
/// place is left.
pub(super) fn may_join(
    roster: &Roster,
    rules: &Rules,
    who: &Participant,
    participants_max: usize,
) -> Result<(), Refusal> {
    if roster.is_barred(&who.aor) {
        return Err(Refusal::Barred);
    }
    // Who belongs to it comes back, and who is called comes in.
    if rules.locked && !roster.includes(&who.aor) {
        return Err(Refusal::Locked);
    }
    if !roster.has_device(who) && roster.devices() >= participants_max {
        return Err(Refusal::Full);
    }
    Ok(())
}

/// Moderators may invite.
pub(super) fn may_invite(roster: &Roster, by: &Aor) -> Result<(), Refusal> {
    if roster.is_moderator(by) { Ok(()) } else { Err(Refusal::NotModerator) }
}

/// Moderators may remove anybody but the founder, while that one moderates; everybody may go.
pub(super) fn may_remove(
    roster: &Roster,
    founder: &Aor,
    by: &Aor,
    who: &Aor,
) -> Result<(), Refusal> {
    if by != who && !roster.is_moderator(by) {
        return Err(Refusal::NotModerator);
    }
    if by != who && who == founder && roster.is_moderator(founder) {
        return Err(Refusal::Founder);
    }
    if roster.has(who) { Ok(()) } else { Err(Refusal::NotOnRoster(who.clone())) }
}
