//! Large messages on their way to devices: too many octets for a SIP request, so the mailbox calls, in the name of who wrote
//! the message, and gives it in the session ([`crate::mailbox::files`]). One message is one call; the next one waits for it.
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use endpoint::transfer::Broken;
use service::clock;
use sip::dialog::{Dialog, DialogId};
use sip::endpoint::{FlowId, TransactionKey};
use sip::header::{Name, ReasonValue};
use sip::{Method, Request, Response};
use store::Settled;

use super::deferral::{Slot, is_temporary};
use super::kept_calls::KeptCall;
use super::protection::{self, Protection};
use super::screen::ALLOW;
use super::{Done, Front, WhatFor};
use crate::mailbox::Ready;
use crate::mailbox::files::{Given, Offering};

/// How long a message may take to a device that goes on answering.
const DELIVERING: Duration = Duration::from_secs(6 * 3_600);
/// A call is remembered this long for late 2xx (timer M of RFC 6026).
const LATE: Duration = Duration::from_secs(64);

/// Calls by which messages go to devices, and are not yet in a session.
pub(super) type LateCalls = HashMap<TransactionKey, LateCall>;

/// One of them.
#[derive(Debug)]
pub(super) struct LateCall {
    slot: Slot,
    ready: Arc<Ready>,
    request: Request,
    flow: FlowId,
    state: State,
    since: Instant,
}

#[derive(Debug)]
enum State {
    Ringing(Box<Offering>),
    Answered(DialogId),
    GivenUp,
}

/// What became of a message in its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Came {
    Settled(Settled),
    /// It comes again.
    Nowhere,
}

impl Front {
    /// Calls a device with a large message.
    pub(super) fn call_late(&mut self, slot: Slot, ready: Arc<Ready>) {
        let files = self.mailbox.as_ref().and_then(|mailbox| mailbox.files()).cloned();
        let Some(Ok(offering)) = files.map(|files| files.offering()) else {
            // As many sessions as there may be.
            return self.rest(&slot);
        };
        let call = self.way_to(&slot).and_then(|way| {
            let copy = self.late_copy(&slot.0, &ready, (Method::Invite, &offering.offer), &way)?;
            let contact = self.pair_contact(&way.target);
            // RFC 3840, 10: no person calls.
            let contact = format!("{contact};automata;actor=\"msg-taker\"");
            let locked = ready.large.as_ref().is_none_or(|large| large.locked);
            let reach = if locked { Protection::FirstHop } else { Protection::EndToEnd };
            let copy = copy.with(protection::header(), reach.as_str());
            Some((way.flow, copy.with(Name::Contact, contact).with(Name::Allow, ALLOW)))
        });
        // It comes back when the device does.
        let Some((flow, request)) = call else { return self.end_round(&slot) };
        let since = clock::now();
        let key = self.endpoint.request(since, flow, request.clone());
        let state = State::Ringing(Box::new(offering));
        let call = LateCall { slot, ready, request, flow, state, since };
        self.deferral.calls.insert(key, call);
    }

    /// A device has answered a call with a message. Whether it was one.
    pub(super) fn late_call_answered(&mut self, key: TransactionKey, response: &Response) -> bool {
        let Some(call) = self.deferral.calls.get_mut(&key) else { return false };
        if response.status.is_provisional() {
            return true;
        }
        if !response.status.is_success() {
            if let Some(call) = self.deferral.calls.remove(&key) {
                self.not_taken(call, response.status.code());
            }
            return true;
        }
        let Ok(dialog) = Dialog::uac(&call.request, response) else {
            // Nothing can be acknowledged without a dialog; the device will notice.
            let slot = call.slot.clone();
            self.deferral.calls.remove(&key);
            self.rest(&slot);
            return true;
        };
        self.endpoint.acknowledge(call.flow, dialog.acknowledgement(1));
        let id = dialog.id().clone();
        match &call.state {
            State::Answered(known) if *known == id => return true,
            State::Answered(_) | State::GivenUp => {
                let flow = call.flow;
                self.end_late(dialog, flow, (487, "too late"));
                return true;
            }
            State::Ringing(_) => {}
        }
        let ringing = std::mem::replace(&mut call.state, State::Answered(id));
        let (slot, ready, flow) = (call.slot.clone(), Arc::clone(&call.ready), call.flow);
        if let State::Ringing(offering) = ringing {
            self.give_late(dialog, flow, *offering, response, (slot, ready));
        }
        true
    }

    /// A device has taken the call: the message goes.
    fn give_late(
        &mut self,
        dialog: Dialog,
        flow: FlowId,
        offering: Offering,
        response: &Response,
        (slot, ready): (Slot, Arc<Ready>),
    ) {
        let Some(mailbox) = self.mailbox.clone() else { return };
        let description = offering.offer.clone();
        let given = mailbox
            .files()
            .zip(ready.large.as_ref())
            .map(|(files, large)| files.give(offering, &response.body, (&ready, large, &slot.0)));
        let Some(Ok(Given { hangup, over })) = given else {
            tracing::debug!("a device that describes no session for a message");
            self.end_late(dialog, flow, (488, "no session for a message"));
            return self.settle_late(slot, ready, Settled::Refused);
        };
        let person = slot.0.clone();
        let call = KeptCall { dialog, person, flow, description, hangup };
        self.kept_calls.insert(call.dialog.id().clone(), call);
        // Who takes call after call and never a session has had its time.
        let is_last = self.has_rested_long(&slot);
        let what_for = WhatFor::Mailbox(slot.clone());
        self.calls.must(DELIVERING, what_for, async move {
            let came = match over.await {
                Ok(Ok(_finished)) => Came::Settled(Settled::Taken),
                Ok(Err(Broken::Refused { .. })) => Came::Settled(Settled::Refused),
                _ if is_last => Came::Settled(Settled::Refused),
                _ => Came::Nowhere,
            };
            match came {
                Came::Settled(settled) => mailbox_next(&mailbox, slot, &ready, settled).await,
                Came::Nowhere => Done::Unsettled(slot),
            }
        });
    }

    /// Hangs up on a device whose session does not come about.
    fn end_late(&mut self, mut dialog: Dialog, flow: FlowId, (cause, text): (u16, &str)) {
        // Only an INVITE can meet a glare.
        if let Ok(bye) = dialog.request(Method::Bye) {
            let bye = bye.with(Name::Reason, ReasonValue::new("SIP", cause, text));
            self.endpoint.request(clock::now(), flow, bye);
        }
    }

    fn not_taken(&mut self, call: LateCall, status: u16) {
        match call.state {
            State::Answered(_) => {}
            State::Ringing(_) if !is_temporary(status) => {
                self.settle_late(call.slot, call.ready, Settled::Refused);
            }
            State::Ringing(_) | State::GivenUp => self.rest(&call.slot),
        }
    }

    fn settle_late(&mut self, slot: Slot, ready: Arc<Ready>, settled: Settled) {
        let Some(mailbox) = self.mailbox.clone() else { return };
        let what_for = WhatFor::Mailbox(slot.clone());
        self.calls.must(self.config.limits.call(), what_for, async move {
            mailbox_next(&mailbox, slot, &ready, settled).await
        });
    }

    /// A device does not answer a call with a message. Whether it was one.
    pub(super) fn late_call_lost(&mut self, key: TransactionKey) -> bool {
        let Some(call) = self.deferral.calls.remove(&key) else { return false };
        if !matches!(call.state, State::Answered(_)) {
            self.rest(&call.slot);
        }
        true
    }

    /// Calls that rang long enough are given up; what is over is forgotten once nothing can follow.
    pub(super) fn late_calls_due(&mut self, now: Instant) {
        let ring = self.config.limits.ring();
        for (key, call) in &mut self.deferral.calls {
            if matches!(call.state, State::Ringing(_)) && now >= call.since + ring {
                call.state = State::GivenUp;
                self.endpoint.cancel(now, *key);
            }
        }
        let answered = |call: &LateCall| matches!(call.state, State::Answered(_));
        self.deferral.calls.retain(|_, call| !answered(call) || now < call.since + ring + LATE);
    }
}

/// Notes what became of a message, and asks for the next one.
pub(super) async fn mailbox_next(
    mailbox: &crate::mailbox::Mailbox,
    slot: Slot,
    ready: &Ready,
    settled: Settled,
) -> Done {
    let (now, whose) = (clock::wall(), (&slot.0, slot.1.as_str()));
    let (told, ready) = match mailbox.settle(whose, ready, settled, now).await {
        Ok(told) => (told, mailbox.next(&slot.0, &slot.1, now).await),
        Err(error) => (None, Err(error.into())),
    };
    Done::Found(Box::new(super::deferral::Found { slot, ready, told }))
}
