//! Who may do what. Every rule is one function; nothing here changes anything.
use ids::Aor;

use super::nouns::Participant;
use super::refusal::Refusal;
use super::roster::Roster;

/// Anybody the front has authenticated may join, unless a moderator has removed them or no place is left.
pub(super) fn may_join(
    roster: &Roster,
    who: &Participant,
    participants_max: usize,
) -> Result<(), Refusal> {
    if roster.is_barred(&who.aor) {
        return Err(Refusal::Barred);
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

/// Moderators may remove anybody but the founder; everybody may go.
pub(super) fn may_remove(
    roster: &Roster,
    founder: &Aor,
    by: &Aor,
    who: &Aor,
) -> Result<(), Refusal> {
    if by != who && !roster.is_moderator(by) {
        return Err(Refusal::NotModerator);
    }
    if by != who && who == founder {
        return Err(Refusal::Founder);
    }
    if roster.has(who) { Ok(()) } else { Err(Refusal::NotOnRoster(who.clone())) }
}
