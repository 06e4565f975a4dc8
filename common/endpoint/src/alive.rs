//! Whether the peer is still there, a relay or another end. A session that hears nothing for a while asks with a SEND without a body, which
//! also keeps the paths of address translators open; no answer to that is the end.
use std::time::{Duration, Instant};

use msrp::{Address, Frame, MessageId, SendRequest};
use rand::RngCore;

use super::Limits;

/// What a silence calls for.
#[derive(Debug)]
pub enum Pulse {
    /// Send this and see.
    Ask(Box<Frame>),
    /// Nobody answered.
    Dead,
}

/// The relay's signs of life.
#[derive(Debug)]
pub struct Alive {
    address: Address,
    silence: Duration,
    patience: Duration,
    /// When the next step is due; `None` until anything was heard.
    due: Option<Instant>,
    asked: bool,
}

impl Alive {
    /// Nothing was heard yet.
    pub fn new(address: Address, limits: Limits) -> Self {
        let (silence, patience) = (limits.keep_alive, limits.transaction);
        Self { address, silence, patience, due: None, asked: false }
    }

    /// Anything came.
    pub fn heard(&mut self, now: Instant) {
        self.due = Some(now + self.silence);
        self.asked = false;
    }

    /// When the next step is due.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Takes the step that is due.
    pub fn timeout(&mut self, now: Instant, rng: &mut impl RngCore) -> Option<Pulse> {
        self.due.filter(|due| *due <= now)?;
        if self.asked {
            self.due = None;
            return Some(Pulse::Dead);
        }
        self.asked = true;
        self.due = Some(now + self.patience);
        let ask = SendRequest::bodiless(MessageId::random(rng)).encode(rng);
        Some(Pulse::Ask(Box::new(ask.to(&self.address))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_relay_is_asked_once_and_then_given_up() {
        let now = service::clock::now();
        let limits = Limits::default();
        let mut alive = Alive::new(Address::default(), limits);
        let mut rng = rand::rng();
        assert!(alive.due().is_none());
        alive.heard(now);

        assert!(alive.timeout(now, &mut rng).is_none());
        let asked = now + limits.keep_alive;
        assert!(matches!(alive.timeout(asked, &mut rng), Some(Pulse::Ask(_))));
        assert!(alive.timeout(asked, &mut rng).is_none());

        let given_up = asked + limits.transaction;
        assert!(matches!(alive.timeout(given_up, &mut rng), Some(Pulse::Dead)));
    }

    #[test]
    fn any_sign_of_life_starts_the_silence_anew() {
        let now = service::clock::now();
        let limits = Limits::default();
        let mut alive = Alive::new(Address::default(), limits);
        alive.heard(now);
        let asked = now + limits.keep_alive;
        assert!(alive.timeout(asked, &mut rand::rng()).is_some());

        alive.heard(asked);

        assert_eq!(alive.due(), Some(asked + limits.keep_alive));
    }
}
