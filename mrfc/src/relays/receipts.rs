//! Who waits until the relay has carried out what it was ordered. It moves no bytes.
use control::{FocusLink, Order, RoomOrder};
use ids::{ConferenceId, SeatId};
use tokio::sync::oneshot;

/// A seat that is never given: the store counts from one. To end it says nothing new, and a relay answers for it.
const NO_SEAT: SeatId = SeatId(0);

struct Receipt {
    conference: ConferenceId,
    /// The order that the relay's acknowledgement has to cover; none while what it is for has not been sent.
    number: Option<u64>,
    reply: oneshot::Sender<()>,
}

/// The receipts that are owed.
#[derive(Default)]
pub(super) struct Receipts(Vec<Receipt>);

impl Receipts {
    /// Everything ordered so far, for the room of this conference and others, is to be carried out before the reply.
    pub(super) fn ask(
        &mut self,
        link: &FocusLink,
        conference: ConferenceId,
        reply: oneshot::Sender<()>,
    ) {
        // Who waits no longer is forgotten here, so that a relay that never comes back costs nothing.
        self.0.retain(|receipt| !receipt.reply.is_closed());
        let number = link.is_up().then(|| link.last_order());
        self.0.push(Receipt { conference, number, reply });
        self.settle(link);
    }

    /// The link is gone. What was on its way goes with the next full resend.
    pub(super) fn broken(&mut self) {
        self.0.iter_mut().for_each(|receipt| receipt.number = None);
    }

    /// The full resend is on its way. A seat that is over is not in it: the relay ends it when the resend is
    /// complete. So that an acknowledgement speaks of that too, one more order follows it.
    pub(super) fn resent(&mut self, link: &mut FocusLink) {
        self.0.retain(|receipt| !receipt.reply.is_closed());
        let Some(first) = self.0.first() else { return };
        let nothing = RoomOrder::Unseat { seat: NO_SEAT, reason: String::new() };
        if link.order(Order::room(first.conference.clone(), nothing)).is_ok() {
            let number = Some(link.last_order());
            self.0.iter_mut().for_each(|receipt| receipt.number = number);
        }
    }

    /// The relay has carried something out.
    pub(super) fn settle(&mut self, link: &FocusLink) {
        let carried_out = link.carried_out_up_to();
        let done = |receipt: &mut Receipt| receipt.number.is_some_and(|n| n <= carried_out);
        for receipt in self.0.extract_if(.., done) {
            // Its asker may have stopped waiting.
            receipt.reply.send(()).ok();
        }
    }
}
