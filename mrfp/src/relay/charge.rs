//! Charges of a room's messages: each that is passed on is told to the focus once. What a pair's messages cost is told by
//! whoever hears from the next hop; a switch is the receiving end, so here it is enough that a message was passed on, or in a
//! room that keeps a log that it was stored. Its sender is answered when the focus has the charge on disk.
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Instant;

use control::Ending;
use ids::{Number, SeatId};
use msrp::{Flag, MessageId, cpim};
use rand::RngCore;

use super::Relay;
use crate::doors::LogErrand;
use crate::pair::tab::{Fare, Tab};
use crate::room::Passage;
use crate::session::{Audience, Message, Piece, Refusal};

/// The tabs of the streams that are passing through a room.
pub(super) type Tabs = HashMap<MessageId, Arc<Tab>>;

/// The tabs of messages that have a place in the log and are not stored yet.
pub(super) type Unstored = BTreeMap<Number, Arc<Tab>>;

impl Relay {
    fn unstored_tabs(&self) -> MutexGuard<'_, Unstored> {
        self.unstored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The message at this place is charged when it is stored. Called under the room's lock, so before anybody can say so.
    pub(super) fn charge_when_stored(&self, number: Number, tab: Option<&Arc<Tab>>) {
        if let Some(tab) = tab {
            self.unstored_tabs().insert(number, Arc::clone(tab));
        }
    }

    /// Everything up to there is stored.
    pub(super) fn charge_stored(&self, upto: Number) {
        let mut waiting = self.unstored_tabs();
        while let Some(first) = waiting.first_entry().filter(|first| *first.key() <= upto) {
            first.remove().close(Ending::Complete);
        }
    }

    /// The message at this place is not stored: its sender is told so, and so is whoever charges.
    pub(super) fn charge_unstored(&self, number: Number) {
        if let Some(tab) = self.unstored_tabs().remove(&number) {
            tab.close(Ending::Refused(Refusal::NotStored.status().code()));
        }
    }

    fn tabs(&self) -> MutexGuard<'_, Tabs> {
        self.tabs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a message is answered only when its charge is kept, and it is not kept yet. Of a pair that is not known
    /// when its chunks are answered, but when the next hop has answered.
    pub(crate) fn charge_waits(&self, id: MessageId) -> bool {
        if !self.charges.load(Ordering::Relaxed) {
            return false;
        }
        let conference = self.lock().conference().clone();
        self.focus.link().charge_waits(&conference, id.as_str())
    }

    /// The charge of a message is kept.
    pub(crate) fn charged(&self, id: MessageId) {
        let room = self.lock();
        self.tell_log(&room, LogErrand::Charged(id));
    }

    /// Opens a tab, if the room is charged.
    fn open_tab_for(
        &self,
        (seat, id): (SeatId, MessageId),
        audience: &Audience,
        wrapped: &[u8],
    ) -> Result<Option<Arc<Tab>>, Refusal> {
        let room = self.lock();
        if !room.roster().charge {
            return Ok(None);
        }
        let receivers = room.receivers(audience, seat);
        let fare = Fare { conference: room.conference(), seat, receivers };
        let types = (cpim::MEDIA_TYPE.as_bytes(), wrapped);
        Tab::open(&self.focus, fare, id, types).map(Some)
    }

    /// A streamed message begins, which its sender calls `id`.
    pub(crate) fn begin(&self, id: MessageId, piece: &Piece) -> Result<(), Refusal> {
        if !piece.is_first() {
            return Ok(());
        }
        let whose = (piece.sender(), id);
        if let Some(tab) = self.open_tab_for(whose, piece.audience(), piece.content_type())? {
            self.tabs().insert(piece.stream(), tab);
        }
        Ok(())
    }

    /// What became of a piece of a streamed message.
    pub(super) fn note_piece(&self, piece: &Piece, passed: &Result<(), Refusal>) {
        let mut tabs = self.tabs();
        let Some(tab) = tabs.get(&piece.stream()) else { return };
        let ending = match (passed, piece.flag()) {
            (Err(refusal), _) => Ending::Refused(refusal.status().code()),
            (Ok(()), Flag::Abort) => Ending::Aborted,
            (Ok(()), Flag::End) => Ending::Complete,
            (Ok(()), Flag::More) => {
                tab.note(piece.range().start - 1 + piece.body().octets());
                return;
            }
        };
        if passed.is_ok() {
            tab.note(piece.range().start - 1 + piece.body().octets());
        }
        tab.close(ending);
        tabs.remove(&piece.stream());
    }

    /// A gathered message is complete, which its sender calls `id`.
    pub(crate) fn charged_message(
        &self,
        id: MessageId,
        message: &Message,
        now: Instant,
        rng: &mut impl RngCore,
    ) -> Result<Passage, Refusal> {
        let whose = (message.sender(), id);
        let tab = self.open_tab_for(whose, message.audience(), message.content_type())?;
        if let Some(tab) = &tab {
            tab.note(message.body().octets());
        }
        let passage = self.message((message, tab.as_ref()), now, rng);
        if let Some(tab) = tab {
            match &passage {
                Ok(Passage::Pass(_, Some(_))) if self.keeps_log() => {}
                Ok(Passage::Pass(..)) => tab.close(Ending::Complete),
                Ok(Passage::Wait) | Err(_) => tab.cancel(),
            }
        }
        passage
    }
}
