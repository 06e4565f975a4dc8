//! What a task at the desks, or at the mailbox, brought: each outcome goes to the part of the front that began it.
use super::calls::Outcome;
use super::{Done, Front, WhatFor};

impl Front {
    /// A task has ended.
    pub(super) fn outcome(&mut self, outcome: Outcome<WhatFor, Done>) {
        match outcome {
            Outcome::Done(Done::Joined(key, joined)) => self.joined(key, joined),
            Outcome::Done(Done::Seated(seated)) => self.seated(*seated),
            Outcome::Done(Done::Opened(opened)) => self.opened_pair(*opened),
            Outcome::Done(Done::Kept(decided)) => self.kept_call_decided(*decided),
            Outcome::Done(Done::Referred(key, referred)) => self.referred(key, referred),
            Outcome::Done(Done::Subscribed(key, what)) => self.subscribed(key, what.0, what.1),
            Outcome::Done(Done::Looked(looked)) => self.looked(*looked),
            Outcome::Done(Done::Shown(key, shown)) => self.shown(key, *shown),
            Outcome::Done(Done::Sealed(asked)) => self.circle_answered(*asked),
            Outcome::Done(Done::Invited(conference, refused)) => {
                self.uninvited(&conference, &refused);
            }
            Outcome::Done(Done::Stored(key, stored)) => self.stored(key, *stored),
            Outcome::Done(Done::Found(found)) => self.found(*found),
            Outcome::Done(Done::Unsettled(slot)) => self.rest(&slot),
            Outcome::Done(Done::Told(people)) => self.tell(people),
            Outcome::Done(Done::Swept(people)) => self.swept(people),
            Outcome::Done(Done::Nothing) => {}
            Outcome::Failed(WhatFor::Request(key)) => {
                self.joining.remove(&key);
                self.referrals.forget(key);
                self.answer(key, sip::Status::SERVER_TIMEOUT);
            }
            Outcome::Failed(WhatFor::Dial { conference, who }) => {
                self.dial_ended(&conference, &who, sip::Status::SERVER_TIMEOUT);
            }
            Outcome::Failed(WhatFor::Guests(conference)) => self.guest_lists.forget(&conference),
            Outcome::Failed(WhatFor::Scene(conference)) => self.not_looked(&conference),
            Outcome::Failed(WhatFor::Mailbox(slot)) => self.rest(&slot),
            Outcome::Failed(WhatFor::Sweep) => self.swept(Vec::new()),
            Outcome::Failed(WhatFor::Nobody) => {
                tracing::warn!("a desk did not take a word from the front in time");
            }
        }
        if self.joining.is_empty() {
            self.ended_early.clear();
        }
        self.gauges();
    }
}
