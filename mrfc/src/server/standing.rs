//! The conferences that the configuration wants to be there. One that is there already keeps what was settled in it.
use ids::ConferenceId;

use super::StartError;
use crate::config::{Conferences, StandingConference};
use crate::desk::{Desks, NewConference, Refusal, Standing};

/// Makes those that are not there.
pub(super) async fn make(desks: &Desks, conferences: &Conferences) -> Result<(), StartError> {
    for one in &conferences.standing {
        let StandingConference { name, creator, moderators, level, subject } = one.clone();
        // Checked with the configuration.
        let Ok(id) = name.parse::<ConferenceId>() else { continue };
        let new = NewConference {
            id: Some(id),
            creator,
            level: level.unwrap_or(conferences.level),
            standing: Some(Standing { moderators, subject }),
        };
        match desks.create(new).await {
            Ok(_) | Err(Refusal::Exists) => {}
            Err(why) => return Err(StartError::Standing { name, why }),
        }
    }
    Ok(())
}
