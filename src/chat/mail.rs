//! Messages for one person, beside the conference: sent by `/tell`, shown when they come. One that has waited in the mailbox
//! shows when it was sent and when it was taken in.
use std::time::SystemTime;

use bytes::Bytes;
use client::{Arrival, Device, Immediate, Inbox, Late, Protection, Taken};
use ids::Aor;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::terminal;

/// The next line out of the inbox.
pub(super) async fn next(inbox: &mut Inbox) -> String {
    match inbox.next().await {
        Some(Arrival::Message(message)) => line_of(&message),
        Some(Arrival::Call(ring)) => format!("* {} calls; a chat takes no calls", ring.from()),
        Some(Arrival::File(_) | Arrival::Wanted(_)) => {
            "* somebody offers a file, or wants one; a chat takes none outside of its room"
                .to_owned()
        }
        Some(Arrival::Letter(letter)) => {
            let text = terminal::text(&letter.message.body);
            format!("<{} to you, sealed> {text}", letter.message.from.user())
        }
        Some(Arrival::Receipt(receipt)) => format!("* {} has it", receipt.by.user()),
        Some(Arrival::Unreadable { from, why }) => {
            format!("* something of {} cannot be read here: {why}", from.user())
        }
        None => std::future::pending().await,
    }
}

/// Sends a text to a person; what became of it.
pub(super) async fn tell(device: &Device, who: &Aor, text: &str) -> Result<String, String> {
    let body = Bytes::from(text.to_owned());
    let sent = device.message(who, "text/plain;charset=utf-8", body).await;
    let (taken, protection) = sent.map_err(|error| error.to_string())?;
    let what = match taken {
        Taken::Delivered => "has it",
        Taken::Stored => "is not there: it waits in the mailbox",
        Taken::Accepted => "is sent it",
    };
    let open = if protection == Some(Protection::EndToEnd) { "" } else { ", not sealed" };
    Ok(format!("* {} {what}{open}", who.user()))
}

fn line_of(message: &Immediate) -> String {
    let text = terminal::content(&message.content_type, &message.body);
    let times = message.late.map(times).unwrap_or_default();
    format!("<{} to you{times}> {text}", message.from.user())
}

fn times(late: Late) -> String {
    let sent = late.sent.map(|sent| format!(", sent {}", shown(sent))).unwrap_or_default();
    let doubt = if late.skewed { " by a clock that is wrong" } else { "" };
    format!("{sent}{doubt}, kept since {}", shown(late.accepted))
}

fn shown(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn s4_16_a_late_message_shows_when_it_was_sent_and_since_when_it_was_kept() {
        let at = |secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs);
        let message = Immediate {
            from: "sip:alice@localhost".parse().unwrap(),
            content_type: "text/plain".to_owned(),
            body: Bytes::from_static(b"hi\x1b[2J"),
            protection: None,
            late: Some(Late { accepted: at(61), sent: Some(at(60)), skewed: false }),
        };

        assert_eq!(
            line_of(&message),
            "<alice to you, sent 1970-01-01T00:01:00Z, kept since 1970-01-01T00:01:01Z> hi [2J"
        );
        assert_eq!(line_of(&Immediate { late: None, ..message }), "<alice to you> hi [2J");
    }
}
