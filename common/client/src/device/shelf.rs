//! Sealed files that come from person to person: what is offered and its key take two ways, and either may be here first. An
//! offer rings until its key is here, so that nobody is asked about a file they could not open.
use std::collections::VecDeque;

use super::calling::Arrival;
use super::filing::FileOffer;
use crate::event::Announced;

/// Keys of files that are remembered for offers to come.
const ANNOUNCED_MAX: usize = 64;
/// Offers that ring until their key comes; what is dropped hears that this device is busy.
const OFFERS_MAX: usize = 16;

/// What waits for its other half, and what is to be told next.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    announced: VecDeque<Announced>,
    offers: VecDeque<FileOffer>,
    ready: VecDeque<Arrival>,
}

impl Shelf {
    pub(super) fn next(&mut self) -> Option<Arrival> {
        self.ready.pop_front()
    }

    pub(super) fn put(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Announced(announced) => self.known(announced),
            Arrival::File(offer) if offer.is_sealed() => self.offered(offer),
            other => self.ready.push_back(other),
        }
    }

    fn known(&mut self, announced: Announced) {
        self.ready.push_back(Arrival::Announced(announced.clone()));
        let waiting = std::mem::take(&mut self.offers);
        for mut offer in waiting {
            match offer.take_key(&announced) {
                true => self.ready.push_back(Arrival::File(offer)),
                false => self.offers.push_back(offer),
            }
        }
        self.announced.push_back(announced);
        if self.announced.len() > ANNOUNCED_MAX {
            self.announced.pop_front();
        }
    }

    fn offered(&mut self, mut offer: FileOffer) {
        if self.announced.iter().any(|announced| offer.take_key(announced)) {
            return self.ready.push_back(Arrival::File(offer));
        }
        self.offers.push_back(offer);
        if self.offers.len() > OFFERS_MAX {
            self.offers.pop_front();
        }
    }
}
