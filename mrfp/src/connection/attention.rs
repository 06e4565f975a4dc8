//! The way to a connection's task, for whoever has something for it on its shard. What the task then does is its own.
use std::cell::RefCell;
use std::task::Waker;

/// Wakes a connection's task.
#[derive(Default)]
pub(super) struct Attention(RefCell<Option<Waker>>);

impl Attention {
    /// The task is called like this.
    pub(super) fn note(&self, waker: &Waker) {
        let mut known = self.0.borrow_mut();
        if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
    }

    pub(super) fn call(&self) {
        if let Some(waker) = &*self.0.borrow() {
            waker.wake_by_ref();
        }
    }
}
