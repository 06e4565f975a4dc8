//! `/nick`: what one wants to be called. Nobody takes the name of somebody else for it by mistake; who does so on purpose is
//! shown with their address.
use client::Error;

use super::Table;
use crate::terminal::{address, plain};

/// Letters of a nickname: it stands beside an address on a line. RFC 7701 allows for more, and others may have more.
pub(super) const LETTERS_MAX: usize = 64;

/// `/nick [NAME]`
pub(super) async fn take(name: &str, table: &Table<'_>) -> Result<String, String> {
    let letters = name.chars().count();
    if letters > LETTERS_MAX {
        return Err(format!(
            "{letters} letters are too many; a nickname has at most {LETTERS_MAX}"
        ));
    }
    if !name.is_empty() && is_somebody_elses(name, table).await {
        return Err(format!("somebody else has the name {}; choose another one", plain(name)));
    }
    table.room.nickname(name).await.map_err(|error| match error {
        Error::Refused { status: 424, .. } => {
            "the nickname was refused: 424, it has characters that no nickname may have".to_owned()
        }
        Error::Refused { status: 425, .. } => {
            "the nickname was refused: 425, somebody else has it, or it is reserved; choose another one"
                .to_owned()
        }
        error => error.to_string(),
    })?;
    Ok(match name.is_empty() {
        true => "* you have no nickname".to_owned(),
        false => format!("* you are known as {}", plain(name)),
    })
}

/// Whether this is the name of a user, here or not, who is not oneself.
pub(super) async fn is_somebody_elses(name: &str, table: &Table<'_>) -> bool {
    if table.whom().others_named(name, table.me) {
        return true;
    }
    let lower = name.to_lowercase();
    let users = [name, &lower].map(|user| address(user, table.domain).ok());
    for user in users.into_iter().flatten().filter(|user| user != table.me) {
        if table.device.knows(&user).await == Some(true) {
            return true;
        }
    }
    false
}
