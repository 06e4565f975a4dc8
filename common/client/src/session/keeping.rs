//! What a session notes for the next time the device is started, beside its keys.
use super::Session;
use crate::event::Event;

impl Session {
    /// The person has been told of an event, in the order they came.
    pub fn told(&mut self, event: &Event) {
        if matches!(event, Event::Message(_)) {
            self.untold.told();
        }
    }

    /// The session is over in order: what was reserved and not used is given back.
    pub fn rest(&mut self) {
        self.group.rest();
    }
}
