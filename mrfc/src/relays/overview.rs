//! What an operator may know of the relays, and the wish that one takes no new room.
use std::sync::atomic::Ordering;

use super::{Link, NoSuchRelay, Relays};

/// A relay as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayState {
    /// Our name for it.
    pub name: String,
    /// Its control address.
    pub control: String,
    /// The authority of its MSRP URIs, once it has been reached.
    pub msrp: Option<String>,
    /// Whether orders reach it now.
    pub reached: bool,
    /// Whether it gets no new room: the operator wants that, or it ends.
    pub draining: bool,
    /// The rooms it carries.
    pub rooms: usize,
}

impl Relays {
    /// Every relay, in the order of the configuration.
    pub fn states(&self) -> Vec<RelayState> {
        let links = self.order.iter().filter_map(|name| Some((name, self.links.get(name)?)));
        let state = |(name, link): (&std::sync::Arc<str>, &Link)| {
            let face = link.face.borrow().clone();
            RelayState {
                name: name.to_string(),
                control: link.control.clone(),
                reached: face.as_ref().is_some_and(|face| face.up),
                msrp: face.map(|face| face.msrp),
                draining: link.drains(),
                rooms: *link.rooms.borrow(),
            }
        };
        links.map(state).collect()
    }

    /// Whether a relay gets new rooms. The rooms it has stay; the wish is forgotten when this focus ends.
    ///
    /// # Errors
    /// There is no such relay.
    pub fn drain(&self, relay: &str, drained: bool) -> Result<(), NoSuchRelay> {
        let link = self.links.get(relay).ok_or(NoSuchRelay)?;
        link.drained.store(drained, Ordering::Relaxed);
        Ok(())
    }
}

impl Link {
    pub(super) fn drains(&self) -> bool {
        self.drained.load(Ordering::Relaxed) || self.leaving.load(Ordering::Relaxed)
    }
}
