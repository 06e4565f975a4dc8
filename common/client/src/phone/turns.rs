//! One message outside of dialogs at a time to one address (RFC 3428, section 8): who writes faster than is answered waits.
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ids::Aor;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::event::Error;

/// Longest that a message waits for those before it: each of them is answered, or given up, in half a minute.
pub(super) const WAIT_MAX: Duration = Duration::from_mins(2);

/// Whose turn it is, for each address that something is on its way to.
#[derive(Clone, Debug)]
pub(super) struct Turns {
    taken: Arc<Mutex<HashMap<Aor, Arc<Turn<()>>>>>,
    wait_max: Duration,
}

/// Nothing else goes to this address before it is dropped.
pub(super) struct Alone {
    turns: Turns,
    to: Aor,
    turn: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Everybody waits this long at most.
    pub(super) fn new(wait_max: Duration) -> Self {
        Self { taken: Arc::default(), wait_max }
    }

    /// Waits until nothing is on its way to this address. Who came first is first.
    ///
    /// # Errors
    /// What went before is not answered in time.
    pub(super) async fn alone(&self, to: &Aor) -> Result<Alone, Error> {
        let mut alone = Alone { turns: self.clone(), to: to.clone(), turn: None };
        let turn = Arc::clone(self.lock().entry(to.clone()).or_default());
        let late = |_elapsed| Error::Late("the messages before it");
        alone.turn =
            Some(tokio::time::timeout(self.wait_max, turn.lock_owned()).await.map_err(late)?);
        Ok(alone)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Aor, Arc<Turn<()>>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Also of who gave up waiting: an address that nothing goes to is forgotten.
impl Drop for Alone {
    fn drop(&mut self) {
        let mut turns = self.turns.lock();
        drop(self.turn.take());
        if turns.get(&self.to).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(&self.to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(user: &str) -> Aor {
        format!("sip:{user}@example.net").parse().unwrap()
    }

    #[tokio::test]
    async fn msg_07_a_message_waits_for_the_one_before_it_to_the_same_address_and_no_other() {
        let turns = Turns::new(WAIT_MAX);
        let first = turns.alone(&of("bob")).await.unwrap();
        let _other = turns.alone(&of("carol")).await.unwrap();
        let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..3 {
            let (turns, told) = (turns.clone(), told.clone());
            tokio::spawn(async move {
                let _alone = turns.alone(&of("bob")).await.unwrap();
                told.send(number).unwrap();
            });
            tokio::task::yield_now().await;
        }
        assert!(order.try_recv().is_err());

        drop(first);

        for number in 0..3 {
            assert_eq!(order.recv().await, Some(number));
        }
    }

    #[tokio::test]
    async fn msg_07_who_waits_too_long_is_told_so_and_nothing_is_left_of_an_address() {
        let turns = Turns::new(Duration::from_millis(20));
        let first = turns.alone(&of("bob")).await.unwrap();

        let late = turns.alone(&of("bob")).await.err();

        assert!(matches!(late, Some(Error::Late(_))), "{late:?}");
        assert_eq!(turns.lock().len(), 1);
        drop(first);
        assert!(turns.lock().is_empty());
    }
}
