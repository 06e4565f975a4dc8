//! What was said and is held until somebody's devices are accepted. It waits with the chat, and is gone with it: then its
//! person hears what never went out.
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

use client::Error;
use ids::Aor;

/// Something on its way, for as long as it is held.
type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;

/// All that was held in this chat.
#[derive(Default)]
pub(super) struct Held<'a>(RefCell<Vec<One<'a>>>);

struct One<'a> {
    /// Who has a device that nobody has accepted.
    who: Vec<Aor>,
    state: State<'a>,
}

enum State<'a> {
    /// Whether it has gone out nobody waits for.
    Unwatched(Sending<'a>),
    /// Somebody waits for it, and holds this.
    Watched(Weak<()>),
}

impl fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held({})", self.0.borrow().len())
    }
}

impl<'a> Held<'a> {
    /// This goes out when it may.
    pub(super) fn keep(&self, who: Vec<Aor>, sending: Sending<'a>) {
        self.0.borrow_mut().push(One { who, state: State::Unwatched(sending) });
    }

    /// Whoever waits for something held has this until it has gone out, or cannot any more.
    pub(super) fn watch(&self, who: Vec<Aor>) -> Arc<()> {
        let watched = Arc::new(());
        self.0.borrow_mut().push(One { who, state: State::Watched(Arc::downgrade(&watched)) });
        watched
    }

    /// What has not gone out, a line for those it was held for; then nothing is held any more.
    pub(super) fn never_sent(&self) -> Vec<String> {
        let mut never: BTreeMap<String, usize> = BTreeMap::new();
        for mut one in self.0.take() {
            if one.is_unsent() {
                let names: Vec<&str> = one.who.iter().map(Aor::user).collect();
                *never.entry(names.join(", ")).or_default() += 1;
            }
        }
        let line = |(names, number): (String, usize)| {
            let what = match number {
                1 => "one thing that you said or sent was".to_owned(),
                several => format!("{several} things that you said or sent were"),
            };
            format!(
                "! {what} held until you accept a device of {names}: nobody has it, and it is gone now"
            )
        };
        never.into_iter().map(line).collect()
    }
}

impl One<'_> {
    fn is_unsent(&mut self) -> bool {
        match &mut self.state {
            State::Unwatched(sending) => {
                let polled = sending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                !matches!(polled, Poll::Ready(Ok(())))
            }
            State::Watched(watched) => watched.strong_count() > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_held_and_has_not_gone_out_is_counted_for_each_person() {
        let who = |names: &[&str]| -> Vec<Aor> {
            names.iter().map(|name| format!("sip:{name}@x").parse().unwrap()).collect()
        };
        let held = Held::default();
        held.keep(who(&["bob"]), Box::pin(std::future::ready(Ok(()))));
        held.keep(who(&["bob"]), Box::pin(std::future::pending()));
        held.keep(who(&["bob"]), Box::pin(std::future::ready(Err(Error::Late("it")))));
        let waits = held.watch(who(&["bob", "carol"]));
        drop(held.watch(who(&["dave"])));

        let lines = held.never_sent();

        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("! 2 things that you said or sent were held"), "{lines:?}");
        assert!(lines[1].contains("accept a device of bob, carol"), "{lines:?}");
        drop(waits);
        assert!(held.never_sent().is_empty());
    }
}
