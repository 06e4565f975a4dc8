//! The relay's books about its focus, shared by all threads: whoever has a notice leaves it here, and `obey` carries
//! it over the wire. It opens no connection.
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use control::{Limits, Notice, Overfull, RelayLink, RelayName, RoomNotice};
use ids::{ConferenceId, SeatId};
use rand::RngCore;
use tokio::sync::Notify;

use crate::room::Room;

/// The link and a bell for `obey`.
#[derive(Debug)]
pub(crate) struct Focus {
    link: Mutex<RelayLink>,
    rung: Notify,
    overrun: AtomicBool,
    renamed: AtomicBool,
}

impl Focus {
    /// The books of a relay that has just started. The name's incarnation is drawn here. So many notices may
    /// wait.
    pub(crate) fn new(name: RelayName, waiting_max: usize, rng: &mut impl RngCore) -> Self {
        let incarnation = msrp::random_session_id(rng);
        let limits = Limits { waiting_max, ..Limits::default() };
        let link = RelayLink::new(RelayName { incarnation, ..name }, limits);
        let (overrun, renamed) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { link: Mutex::new(link), rung: Notify::new(), overrun, renamed }
    }

    /// Starts the books anew, as after a restart.
    pub(crate) fn renew(&self, rng: &mut impl RngCore) {
        self.link().renew(msrp::random_session_id(rng));
    }

    /// The books, for one step.
    pub(crate) fn link(&self) -> MutexGuard<'_, RelayLink> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a notice; refused where too many wait already.
    pub(crate) fn notice(&self, notice: Notice) -> Result<(), Overfull> {
        let left = self.link().notice(notice);
        self.ring();
        left
    }

    /// How many handshakes of a seat are not safe with the focus yet.
    pub(crate) fn handshakes_of(&self, conference: &ConferenceId, seat: SeatId) -> usize {
        self.link().handshakes_of(conference, seat)
    }

    /// Leaves a notice that the focus must get. If there is no room even for that, the focus has been away too long
    /// and `obey` starts anew.
    pub(crate) fn tell(&self, room: &Room, notice: RoomNotice) {
        if self.notice(Notice::room(room.conference().clone(), notice)).is_err() {
            self.note_overrun();
        }
    }

    /// A notice that the focus must get was lost.
    pub(crate) fn note_overrun(&self) {
        self.overrun.store(true, Ordering::Relaxed);
    }

    /// Whether a notice was lost since the last call.
    pub(crate) fn take_overrun(&self) -> bool {
        self.overrun.swap(false, Ordering::Relaxed)
    }

    /// The relay shows another certificate from now on: `obey` greets the focus anew.
    pub(crate) fn rename(&self, fingerprint: String) {
        self.link().set_fingerprint(fingerprint);
        self.renamed.store(true, Ordering::Relaxed);
        self.ring();
    }

    /// Whether the focus knows an old certificate since the last call.
    pub(crate) fn take_renamed(&self) -> bool {
        self.renamed.swap(false, Ordering::Relaxed)
    }

    /// Tells `obey` that there is something to send.
    pub(crate) fn ring(&self) {
        self.rung.notify_one();
    }

    /// Waits for the bell.
    pub(crate) async fn rung(&self) {
        self.rung.notified().await;
    }
}
