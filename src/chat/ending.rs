//! A conversation that somebody else has ended: what has happened, how its person goes on, and what a script is told.
use std::path::Path;

use anyhow::anyhow;
use client::{Conference, Error};
use ids::ConferenceId;

use super::{Table, device};

/// Who ends a seat, in the focus's words (RFC 3326).
const REMOVED: &str = "removed by a moderator";
const ENDED: &str = "conference ended";
pub(super) const TAKEN_BACK: &str = "device taken back";

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// A moderator does not want this person here.
    Removed,
    /// There is no such conference any more.
    Over,
    /// This device was taken back.
    TakenBack,
    /// The servers are not reached any more, or have lost the seat.
    Lost(String),
}

/// Where a conversation was, for the way back.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) room: String,
    /// By which name one is called there; none: one hides it.
    pub(super) name: Option<String>,
    /// What is typed to start it again.
    pub(super) command: String,
}

impl Ending {
    /// What a reason means. That a device was taken back shows in its list, since the connection often ends without a word.
    pub(super) async fn of(reason: &str, table: &Table<'_>) -> Self {
        match reason {
            REMOVED => Self::Removed,
            ENDED => Self::Over,
            TAKEN_BACK => Self::TakenBack,
            other => {
                let devices = table.device.devices().await.unwrap_or_default();
                let mut own = devices.iter().filter(|device| device.device == *table.device.id());
                match own.any(|device| device.revoked) {
                    true => Self::TakenBack,
                    false => Self::Lost(other.to_owned()),
                }
            }
        }
    }

    /// For `main`; the grammar and the operator's commands have those below.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self {
            // As where an operator's command reaches nobody.
            Self::Lost(_) => 5,
            Self::Removed | Self::Over => 6,
            Self::TakenBack => 7,
        }
    }

    /// What is said of it; `kept` if this device is kept in a folder.
    pub(super) fn told(&self, at: &Place, kept: Option<&Path>) -> String {
        let Place { room, name, command } = at;
        let what = match self {
            Self::Removed => {
                let by = name.as_ref().map(|name| format!(" (/invite {name})")).unwrap_or_default();
                format!(
                    "{REMOVED}. Once a moderator of {room} has let you in again{by}, start again: {command}"
                )
            }
            Self::Over => format!("{room} was ended for everybody. {command} begins a new one"),
            Self::TakenBack => {
                let how = match kept {
                    Some(folder) => device::begin_anew(folder),
                    None => format!("Start again as a new device: {command}"),
                };
                format!("this device was taken back, and is never let in again. {how}")
            }
            Self::Lost(reason) => {
                format!("{reason}. You are still a member: start again with {command}")
            }
        };
        format!("* the conference ended for you: {what}")
    }
}

/// Why somebody is not let into a room, and how to mend it.
pub(super) fn not_in(error: Error, room: &ConferenceId, name: &str) -> anyhow::Error {
    match error {
        Error::Refused { status: 403, .. } => {
            anyhow!("{error}; ask a moderator of {room} to let you in (/invite {name})")
        }
        error => anyhow::Error::new(error).context("joining"),
    }
}

impl Place {
    pub(super) fn of(room: &Conference, chat: &crate::cli::Chat) -> Self {
        let mut command = format!("conclave chat {} --as {}", chat.room, chat.name);
        if chat.folder != Path::new("conclave-dev") {
            command += &format!(" --folder {}", chat.folder.display());
        }
        let options = [
            ("state", &chat.state),
            ("passphrase-file", &chat.passphrase_file),
            ("downloads", &chat.downloads),
        ];
        for (option, path) in options {
            command.extend(path.iter().map(|path| format!(" --{option} {}", path.display())));
        }
        if chat.anonymous {
            command += " --anonymous";
        }
        let name = (!chat.anonymous).then(|| chat.name.clone());
        Self { room: room.id().to_string(), name, command }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_has_ended_it_it_is_said_how_to_go_on_and_each_kind_has_a_code() {
        let command = "conclave chat lobby --as bob".to_owned();
        let at = Place { room: "lobby".to_owned(), name: Some("bob".to_owned()), command };
        let folder = Path::new("dev/state-bob");
        let told = |ending: &Ending, kept| (ending.exit_code(), ending.told(&at, kept));

        let (code, line) = told(&Ending::Removed, None);
        assert!(code == 6 && line.contains("/invite bob"), "{line}");
        let hidden = Place { name: None, ..at.clone() };
        assert!(!Ending::Removed.told(&hidden, None).contains("/invite"));
        let (code, line) = told(&Ending::Over, None);
        assert!(code == 6 && line.contains("lobby was ended for everybody"), "{line}");
        let (code, line) = told(&Ending::TakenBack, Some(folder));
        assert!(code == 7 && line.contains("mv dev/state-bob dev/state-bob.taken-back"), "{line}");
        let (code, line) = told(&Ending::TakenBack, None);
        assert!(code == 7 && line.ends_with("as a new device: conclave chat lobby --as bob"));
        let (code, line) = told(&Ending::Lost("relay lost".to_owned()), Some(folder));
        assert!(code == 5 && line.contains("you: relay lost. You are still a member"), "{line}");
    }
}
