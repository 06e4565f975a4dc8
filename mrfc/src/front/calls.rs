//! Work at the desks that the front waits for without standing still: one task each, bounded, and a panic in one is
//! an answer like any other.
use std::collections::HashMap;
use std::future::Future;
use std::time::Duration;

use tokio::task::{Id, JoinSet};

/// The tasks in work. `W` says what each one was for, so that one that dies can be answered; `D` is what it brings.
#[derive(Debug)]
pub(crate) struct Calls<W, D> {
    set: JoinSet<Option<D>>,
    waiting: HashMap<Id, W>,
    max: usize,
}

/// What became of one.
#[derive(Debug)]
pub(crate) enum Outcome<W, D> {
    /// It brought this.
    Done(D),
    /// It took too long, or panicked; this is what it was for.
    Failed(W),
}

/// There are as many as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overloaded;

impl<W, D: Send + 'static> Calls<W, D> {
    /// None in work, at most `max` at once.
    pub(crate) fn new(max: usize) -> Self {
        Self { set: JoinSet::new(), waiting: HashMap::new(), max }
    }

    /// Begins one, if there is room.
    pub(crate) fn begin(
        &mut self,
        wait: Duration,
        what_for: W,
        work: impl Future<Output = D> + Send + 'static,
    ) -> Result<(), Overloaded> {
        if self.waiting.len() >= self.max {
            return Err(Overloaded);
        }
        self.must(wait, what_for, work);
        Ok(())
    }

    /// Begins one that must not be lost: it gives back what an earlier one took, so it needs no room of its own.
    pub(crate) fn must(
        &mut self,
        wait: Duration,
        what_for: W,
        work: impl Future<Output = D> + Send + 'static,
    ) {
        let task = self.set.spawn(async move { tokio::time::timeout(wait, work).await.ok() });
        self.waiting.insert(task.id(), what_for);
    }

    /// The next one that ends; `None` when none is in work. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Option<Outcome<W, D>> {
        loop {
            let (id, done) = match self.set.join_next_with_id().await? {
                Ok((id, done)) => (id, done),
                Err(error) => (error.id(), None),
            };
            // Each task has its entry; without one there is nobody to tell.
            let Some(what_for) = self.waiting.remove(&id) else { continue };
            return Some(done.map_or(Outcome::Failed(what_for), Outcome::Done));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn a_panic_and_a_sleeper_fail_alone_and_say_what_they_were_for() {
        let mut calls = Calls::new(3);
        calls.begin(WAIT, "panics", async { panic!("on purpose") }).unwrap();
        calls.begin(Duration::ZERO, "sleeps", std::future::pending()).unwrap();
        calls.begin(WAIT, "works", async { 7 }).unwrap();

        let mut failed = Vec::new();
        let mut done = Vec::new();
        while let Some(outcome) = calls.next().await {
            match outcome {
                Outcome::Done(value) => done.push(value),
                Outcome::Failed(what_for) => failed.push(what_for),
            }
        }

        failed.sort_unstable();
        assert_eq!((done, failed), (vec![7], vec!["panics", "sleeps"]));
    }

    #[tokio::test]
    async fn a_full_table_takes_only_what_gives_back() {
        let mut calls: Calls<&str, ()> = Calls::new(1);
        calls.begin(WAIT, "first", async {}).unwrap();

        assert_eq!(calls.begin(WAIT, "second", async {}), Err(Overloaded));
        calls.must(WAIT, "release", async {});
        assert_eq!(calls.waiting.len(), 2);
    }
}
