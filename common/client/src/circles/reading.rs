//! What arrives for a circle: opened once, checked against what is written on it, told, and acknowledged under the same
//! seal if its author wants to know.
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use ids::{Aor, ConferenceId};
use mls::circle::CircleMember;
use mls::member::{Opened, Processed};
use msrp::cpim::Envelope;
use sha2::{Digest as _, Sha256};

use super::circle::{Command, TRIES, Task, fresh_id};
use crate::event::{Error, Event};
use crate::phone::Arrived;
use crate::session::parcel::{Inside, Letter, Parcel, Place, Receipt};

/// Sealed messages remembered as opened.
const OPENED_MAX: usize = 4096;

impl Task {
    pub(super) async fn arrived(&mut self, from: Aor, parcel: Parcel) {
        if self.opened.has(&parcel.sealed) {
            return;
        }
        let inside = self.open_parcel(&from, &parcel).await;
        match inside {
            Ok(Inside::Letter(letter, receipt)) => self.show(letter, receipt).await,
            Ok(Inside::Receipt(receipt)) => self.acknowledged(receipt).await,
            Err(why) => self.tools.tell(Arrived::Unreadable { from, why }).await,
        }
    }

    async fn open_parcel(&mut self, from: &Aor, parcel: &Parcel) -> Result<Inside, String> {
        if self.member.is_none()
            && let Some(founding) = &parcel.founding
            && let Some(welcome) = founding.welcome_for(self.tools.keyring.device())
        {
            let now = service::clock::wall();
            match CircleMember::join(&self.tools.keyring, &founding.people, &welcome, now) {
                Ok(member) => {
                    (self.member, self.circle) = (Some(member), Some(founding.people.clone()));
                }
                Err(error) => tracing::debug!(%error, "a founding does not open"),
            }
        }
        let opened = self.open(&parcel.sealed).await?;
        if opened.from.aor != *from {
            return Err("it was sealed by somebody else than who sent it".to_owned());
        }
        let circle = self.circle.as_ref().ok_or("it is not known whose circle it is")?;
        let checked = Place { circle, room: None }.check(&parcel.outer, opened);
        checked.map_err(str::to_owned)
    }

    /// Opens a sealed message, after following the circle to its epoch if that is ahead.
    async fn open(&mut self, sealed: &Bytes) -> Result<Opened, String> {
        for behind in [true, false] {
            let now = service::clock::wall();
            match self.member.as_mut().map(|member| member.process(sealed, now)) {
                Some(Ok(Processed::Message(opened))) => {
                    self.opened.note(sealed);
                    self.tools.keep().await.map_err(|error| error.to_string())?;
                    return Ok(opened);
                }
                None | Some(Ok(Processed::Future { .. })) if behind => {
                    let caught_up = self.catch_up().await.map_err(|error| error.to_string())?;
                    if !caught_up {
                        return Err("there is no such circle".to_owned());
                    }
                }
                Some(Err(error)) => return Err(error.to_string()),
                _ => return Err("it was sealed before this device held the key".to_owned()),
            }
        }
        Err("its epoch has not come".to_owned())
    }

    async fn show(&mut self, letter: Letter, receipt: bool) {
        let (author, id) = (letter.message.from.clone(), letter.message.id.clone());
        if !self.seen.note(&author, &id) {
            return;
        }
        self.tools.tell(Arrived::Letter(letter)).await;
        if receipt {
            self.acknowledge(author, id, 0).await;
        }
    }

    async fn acknowledged(&self, receipt: Receipt) {
        if receipt.by != *self.tools.me() {
            self.tools.tell(Arrived::Receipt(receipt)).await;
        }
    }

    /// Tells the author that it has arrived, sealed, without waiting for them: they may be away.
    pub(super) async fn acknowledge(&mut self, author: Aor, of: String, tries: usize) {
        let Some(circle) = self.circle.clone().filter(|_| tries < TRIES) else { return };
        if tries > 0
            && let Err(error) = self.catch_up().await
        {
            tracing::debug!(%error, "a receipt was not sent");
            return;
        }
        let (id, me) = (fresh_id(), self.tools.me().clone());
        let date_time = crate::date_time(service::clock::wall());
        let place = Place { circle: &circle, room: None };
        let words = place.receipt(&me, (&id, &date_time), &of);
        let Ok(Some(sealed)) = self.seal(&words).await else { return };
        let to = [author];
        let parts = words.parts((&me, &to), None, sealed);
        let (tools, own) = (Arc::clone(&self.tools), self.own.clone());
        tokio::spawn(async move {
            let sent = tools.phone.parcel(&to, parts, &tools.departures).await;
            let [author] = to;
            match sent {
                Err(Error::Refused { status: 412, .. }) => {
                    if let Some(own) = own.upgrade() {
                        let again = Command::Acknowledge { author, of, tries: tries + 1 };
                        // The task may have ended.
                        let _asked = own.send(again).await;
                    }
                }
                Err(error) => tracing::debug!(%error, "a receipt was not sent"),
                Ok(_taken) => {}
            }
        });
    }

    /// Something that was said in private in a room, as an event there. Nothing if it was said before.
    pub(super) async fn said(
        &mut self,
        room: &ConferenceId,
        outer: &Envelope,
        sealed: &Bytes,
    ) -> Option<Event> {
        if self.opened.has(sealed) {
            return None;
        }
        let opened = match self.open(sealed).await {
            Ok(opened) => opened,
            Err(why) => return Some(Event::Unreadable { why }),
        };
        let circle = self.circle.as_ref()?;
        match (Place { circle, room: Some(room) }).check(outer, opened) {
            Ok(Inside::Letter(letter, _receipt)) => {
                let message = letter.message;
                let new = self.seen.note(&message.from, &message.id);
                new.then_some(Event::Message(message))
            }
            Ok(Inside::Receipt(_)) => None,
            Err(why) => Some(Event::Unreadable { why: why.to_owned() }),
        }
    }
}

/// Sealed messages that were opened: what comes again is passed over. The oldest are forgotten first.
#[derive(Debug, Default)]
pub(super) struct Recent {
    known: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Recent {
    fn has(&self, sealed: &[u8]) -> bool {
        self.known.contains(&<[u8; 32]>::from(Sha256::digest(sealed)))
    }

    fn note(&mut self, sealed: &[u8]) {
        let hash = Sha256::digest(sealed).into();
        if self.known.insert(hash) {
            self.order.push_back(hash);
        }
        if self.order.len() > OPENED_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}
