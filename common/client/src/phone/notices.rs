//! What became of something that this device sent, as others tell it (RFC 5438): a mailbox, or a device that has it. How a
//! message outside of any session asks for that. What is sealed has receipts that are sealed; of what waits too long, or is
//! not taken, only a mailbox can tell.
use std::time::SystemTime;

use bytes::Bytes;
use ids::Aor;
use msrp::MessageId;
use msrp::cpim::imdn::{self, Status as Became};
use msrp::cpim::{self, Builder, IMDN_TYPE};

use super::pager::{Immediate, Protection, Taken};
use super::{Phone, Status};
use crate::event::Error;

/// What a message in the clear asks to be told.
const WANTED: [&str; 2] = ["positive-delivery", "negative-delivery"];
/// The user part of who speaks for all mailboxes of a domain.
const MAILBOX: &str = "mailbox";

/// What became of something of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The `imdn.Message-ID` of the message; of a file what its transfer was called.
    pub of: String,
    /// Whom it was for.
    pub whom: Aor,
    /// When it was written, or when the mailbox took it.
    pub written: Option<SystemTime>,
    /// What became of it.
    pub fate: Fate,
}

/// What becomes of a message, or of a file that was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A device has it.
    Delivered,
    /// It waits in the mailbox.
    Stored,
    /// A device does not take it.
    Failed,
    /// Nobody came for it in time; it is gone.
    Expired,
    /// A file that nobody fetched in time; it is gone.
    Unfetched,
}

/// A message that was sent, and asks to be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paged {
    /// Its `imdn.Message-ID`; none if the other side takes messages without such a name only.
    pub id: Option<String>,
    /// How far it has come.
    pub taken: Taken,
    /// How far it was protected, if the server says so.
    pub protection: Option<Protection>,
}

impl Immediate {
    /// What this says became of something of ours, if that is what it is and its sender can know it: a person says what
    /// that person has, and everything else is said by the mailbox of their domain.
    pub fn notice(&self) -> Option<Notice> {
        let is_wrapped = self.content_type.split(';').next().unwrap_or_default().trim();
        if !is_wrapped.eq_ignore_ascii_case(cpim::MEDIA_TYPE) {
            return None;
        }
        let envelope = cpim::parse(&self.body).ok().flatten().filter(|it| it.is_type(IMDN_TYPE))?;
        let told = imdn::read(self.body.get(envelope.octets()..)?)?;
        let whom: Aor = told.recipient?.parse().ok()?;
        let fate = match told.status {
            Became::Delivered => Fate::Delivered,
            Became::Stored => Fate::Stored,
            Became::Failed => Fate::Failed,
            Became::Expired => Fate::Expired,
            Became::Unfetched => Fate::Unfetched,
        };
        let knows = match fate {
            Fate::Delivered => self.from == whom,
            _ => self.from.user() == MAILBOX && self.from.host() == whom.host(),
        };
        let written = crate::time_of(&told.written);
        knows.then_some(Notice { of: told.of, whom, written, fate })
    }
}

impl Phone {
    /// Sends a message to a person, and asks to be told what becomes of it.
    pub(crate) async fn page(
        &self,
        to: &Aor,
        content_type: &str,
        body: Bytes,
    ) -> Result<Paged, Error> {
        let id = MessageId::random(&mut rand::rng()).as_str().to_owned();
        let now = crate::date_time(service::clock::wall());
        let builder = Builder::new(self.shared.profile.aor.as_str(), to.as_str());
        let wrapped = builder.date_time(&now).imdn(&id, &WANTED);
        let wrapped = wrapped.content(content_type, body.clone()).gather();
        match self.message(to, cpim::MEDIA_TYPE, wrapped).await {
            Ok((taken, protection)) => Ok(Paged { id: Some(id), taken, protection }),
            // A device that knows no wrapper tells of nothing, and takes what is in it.
            Err(Error::Refused { status, .. })
                if status == Status::UNSUPPORTED_MEDIA_TYPE.code() =>
            {
                let (taken, protection) = self.message(to, content_type, body).await?;
                Ok(Paged { id: None, taken, protection })
            }
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use msrp::cpim::imdn::Notification;

    fn said(from: &str, status: Became) -> Immediate {
        let recipients = Some(("sip:bob@example.net", "sip:bob@example.net"));
        let told = Notification { of: "m1", written: "1970-01-01T00:01:00Z", recipients, status };
        let headers = Builder::new(from, "sip:alice@example.net").imdn("own", &[]);
        Immediate {
            from: from.parse().unwrap(),
            content_type: "message/cpim".to_owned(),
            body: told.wrapped_in(headers).gather(),
            protection: None,
            late: None,
        }
    }

    const MAILBOX: &str = "sip:mailbox@example.net";

    #[test]
    fn r5438_8_what_became_of_a_message_is_believed_of_who_can_know_it() {
        for (status, fate, from) in [
            (Became::Delivered, Fate::Delivered, "sip:bob@example.net"),
            (Became::Stored, Fate::Stored, MAILBOX),
            (Became::Failed, Fate::Failed, MAILBOX),
            (Became::Expired, Fate::Expired, MAILBOX),
            (Became::Unfetched, Fate::Unfetched, MAILBOX),
        ] {
            let notice = said(from, status).notice().unwrap();
            assert_eq!((notice.of.as_str(), notice.fate), ("m1", fate));
            assert_eq!(notice.whom, "sip:bob@example.net".parse().unwrap());
            assert_eq!(notice.written, crate::time_of("1970-01-01T00:01:00Z"));
            for other in ["sip:mallory@example.net", "sip:mailbox@elsewhere.example"] {
                assert_eq!(said(other, status).notice(), None, "{other} {status:?}");
            }
        }
        assert_eq!(said(MAILBOX, Became::Delivered).notice(), None);
        assert_eq!(said("sip:bob@example.net", Became::Expired).notice(), None);
    }

    #[test]
    fn what_is_no_notification_is_a_message_like_any_other() {
        let told = said(MAILBOX, Became::Expired);
        let quoted = Builder::new(MAILBOX, "sip:alice@example.net")
            .content("text/plain", told.inside().1)
            .gather();

        assert_eq!(Immediate { body: quoted, ..told.clone() }.notice(), None);
        assert_eq!(Immediate { content_type: IMDN_TYPE.to_owned(), ..told }.notice(), None);
    }
}
