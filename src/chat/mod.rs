//! `conclave chat ROOM --as NAME`: one person in one conference, in a terminal or through a pipe. What a line means
//! is decided here, without a terminal; `plain` and `screen` only read and show.
mod device;
mod plain;
mod screen;

use anyhow::Context;
use bytes::Bytes;
use client::{Conference, Event, Level};
use ids::{Aor, ConferenceId};

use conclave::system::Directions;

use crate::cli;

/// What a person typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// Text for everyone.
    Say(String),
    /// `/invite USER`
    Invite(String),
    /// `/kick USER`
    Kick(String),
    /// `/file PATH`
    Share(String),
    /// `/nick NAME`, or `/nick` for none.
    Nick(String),
    /// `/who`
    Who,
    /// `/quit`: away, coming back as the same member.
    Quit,
    /// `/leave`: out of the group for good.
    Leave,
    /// `/help`
    Help,
    /// Something that starts with a slash and is none of these.
    Unknown(String),
}

/// What the slash commands are, for `/help`.
pub(crate) const HELP: &str = "/invite USER  /kick USER  /file PATH  /nick NAME  /who  /quit (stay a member)  /leave (for good)  /help";

/// Understands a line.
pub(crate) fn understand(line: &str) -> Option<Line> {
    let line = line.trim_end();
    let Some(command) = line.strip_prefix('/') else {
        return (!line.is_empty()).then(|| Line::Say(line.to_owned()));
    };
    let (word, rest) = command.split_once(' ').unwrap_or((command, ""));
    let rest = rest.trim().to_owned();
    Some(match (word, rest.is_empty()) {
        ("invite", false) => Line::Invite(rest),
        ("kick", false) => Line::Kick(rest),
        ("file", false) => Line::Share(rest),
        ("nick", _) => Line::Nick(rest),
        ("who", true) => Line::Who,
        ("quit" | "q", true) => Line::Quit,
        ("leave", true) => Line::Leave,
        ("help", true) => Line::Help,
        _ => Line::Unknown(line.to_owned()),
    })
}

/// Whether the conversation goes on after a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read on.
    Go,
    /// Done, staying a member.
    Quit,
    /// Done, leaving the group.
    Leave,
}

/// Carries a line out; what is to be shown goes to `show`.
pub(crate) async fn carry_out(
    line: Line,
    room: &Conference,
    domain: &str,
    show: &mut dyn FnMut(String),
) -> Next {
    let outcome = match line {
        Line::Say(text) => {
            room.send("text/plain;charset=utf-8", Bytes::from(text)).await.map(|_id| ())
        }
        Line::Invite(user) => match address(&user, domain) {
            Ok(who) => room.invite(&who).await,
            Err(error) => return shown(show, error.to_string()),
        },
        Line::Kick(user) => match address(&user, domain) {
            Ok(who) => room.kick(&who).await,
            Err(error) => return shown(show, error.to_string()),
        },
        Line::Share(path) => return share(&path, room, show).await,
        Line::Nick(name) => match room.nickname(&name).await {
            Ok(()) if name.is_empty() => return shown(show, "* you have no nickname".to_owned()),
            Ok(()) => return shown(show, format!("* you are known as {name}")),
            Err(error) => Err(error),
        },
        Line::Who => return shown(show, who(room)),
        Line::Help => return shown(show, HELP.to_owned()),
        Line::Unknown(line) => return shown(show, format!("not understood: {line}   {HELP}")),
        Line::Quit => return Next::Quit,
        Line::Leave => return Next::Leave,
    };
    if let Err(error) = outcome {
        show(format!("! {error}"));
    }
    Next::Go
}

fn shown(show: &mut dyn FnMut(String), text: String) -> Next {
    show(text);
    Next::Go
}

async fn share(path: &str, room: &Conference, show: &mut dyn FnMut(String)) -> Next {
    let name =
        std::path::Path::new(path).file_name().map(|name| name.to_string_lossy().into_owned());
    let content = tokio::fs::read(path).await;
    let outcome = match (name, content) {
        (Some(name), Ok(content)) => {
            let sent =
                room.send_file(&name, "application/octet-stream", Bytes::from(content)).await;
            sent.map_err(|error| error.to_string())
        }
        (None, _) => Err(format!("{path} names no file")),
        (_, Err(error)) => Err(format!("{path}: {error}")),
    };
    match outcome {
        Ok(()) => show(format!("* shared {path}")),
        Err(error) => show(format!("! {error}")),
    }
    Next::Go
}

fn who(room: &Conference) -> String {
    let status = room.status();
    let names: Vec<String> = status.roster.iter().map(|device| device.aor.to_string()).collect();
    format!("* {} devices in epoch {}: {}", names.len(), status.epoch, names.join(", "))
}

fn address(user: &str, domain: &str) -> anyhow::Result<Aor> {
    let text = if user.contains(':') { user.to_owned() } else { format!("sip:{user}@{domain}") };
    text.parse().with_context(|| format!("{user} is nobody's address"))
}

/// An event as a line for a person.
pub(crate) fn told(event: &Event) -> String {
    match event {
        Event::Entered { epoch, .. } => format!("* you hold the group key (epoch {epoch})"),
        Event::Advanced { epoch, added, removed } => {
            let names = |devices: &[(Aor, ids::DeviceId)], word: &str| -> String {
                devices.iter().map(|(aor, _device)| format!(" {aor} {word};")).collect()
            };
            format!("* epoch {epoch};{}{}", names(added, "joined"), names(removed, "is out"))
        }
        Event::Message(message) => {
            let text = String::from_utf8_lossy(&message.body);
            let shown = if message.content_type.starts_with("text/") {
                text.into_owned()
            } else {
                format!("[{}, {} octets]", message.content_type, message.body.len())
            };
            // A peer does not get to drive the terminal.
            let shown = shown.replace(|c: char| c.is_control() && c != '\t', " ");
            format!("<{}> {shown}", message.from.user())
        }
        Event::File(file) => {
            format!("* {} shared {} ({} octets)", file.from.user(), file.name, file.content.len())
        }
        Event::Unreadable { why } => format!("* something unreadable came by: {why}"),
        Event::Removed => "* you were removed from the group".to_owned(),
        Event::Ended { reason } => format!("* the conference ended for you: {reason}"),
    }
}

/// Joins and talks until the person or the input is done.
///
/// # Errors
/// The system is not there, does not know the user, or refuses the conference.
pub(crate) async fn run(chat: cli::Chat) -> anyhow::Result<()> {
    let directions = Directions::read(&chat.folder)?;
    let id: ConferenceId = chat.room.parse().context("the name of the room")?;
    let profile = directions.profile(&chat.name)?;
    let domain = directions.domain.clone();
    let started = device::start(&chat.folder, &chat.name, profile).await;
    // The device's file stays locked to the end.
    let (device, _invitations, _locked) = started.context("registering")?;
    let (room, events) = device.join(&id, Level::Sealed).await.context("joining")?;
    let next = if chat.plain {
        plain::talk(&room, events, &domain).await?
    } else {
        screen::talk(&room, events, &domain, &chat.name).await?
    };
    match next {
        Next::Leave => room.leave().await.context("leaving")?,
        Next::Go | Next::Quit => room.away().await,
    }
    device.stop().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_text_unless_it_starts_with_a_slash() {
        assert_eq!(understand("hello /quit\n"), Some(Line::Say("hello /quit".into())));
        assert_eq!(understand("/quit"), Some(Line::Quit));
        assert_eq!(understand("/kick  dave "), Some(Line::Kick("dave".into())));
        assert_eq!(understand("/kick"), Some(Line::Unknown("/kick".into())));
        assert_eq!(understand("/nick Blue Jay"), Some(Line::Nick("Blue Jay".into())));
        assert_eq!(understand("/nick"), Some(Line::Nick(String::new())));
        assert_eq!(understand("  \n"), None);
    }

    #[test]
    fn a_bare_name_is_a_user_of_our_domain() {
        assert_eq!(address("bob", "example.net").unwrap().as_str(), "sip:bob@example.net");
        assert_eq!(
            address("sip:bob@other.net", "example.net").unwrap().as_str(),
            "sip:bob@other.net"
        );
        assert!(address("b b", "example.net").is_err());
    }
}
