//! Sends each message at its time, whatever became of those before: the load is open. It reads no clock of its own and
//! does not know what sending is.
use std::ops::ControlFlow;
use std::time::Duration;

use crate::scenario::Shot;

/// Walks through a schedule. `clock` says how much of the run has passed, `wait` lets time pass, `fire` hands a message
/// over and may stop the walk. A message whose time has passed is fired at once, still under the time it was meant for.
pub fn pace(
    shots: &[Shot],
    clock: impl Fn() -> Duration,
    wait: impl Fn(Duration),
    mut fire: impl FnMut(&Shot) -> ControlFlow<()>,
) {
    for shot in shots {
        loop {
            let early = shot.at.saturating_sub(clock());
            if early.is_zero() {
                break;
            }
            wait(early);
        }
        if fire(shot).is_break() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::book::{Book, Note};
    use crate::latency::{Figures, Latencies};
    use crate::scenario::Place;
    use crate::scenario::tests::scenario;

    const SERVICE: Duration = Duration::from_millis(1);

    /// A server on a fake clock that takes a millisecond for a message and stalls once: from 4 s to 5 s.
    fn served(arrived: Duration) -> Duration {
        let (stall, over) = (Duration::from_secs(4), Duration::from_secs(5));
        if (stall..over).contains(&arrived) { over } else { arrived + SERVICE }
    }

    #[test]
    fn a_stall_of_the_server_shows_in_the_latencies() {
        let shots = scenario().schedule().unwrap();
        let clock = Cell::new(Duration::ZERO);
        let mut book = Book::new(scenario(), shots.clone());

        pace(
            &shots,
            || clock.get(),
            |time| clock.set(clock.get() + time),
            |shot| {
                let at = served(clock.get());
                let receiver = Place { member: (shot.sender.member + 1) % 3, ..shot.sender };
                let (from, content) = (Some(shot.sender), Some(shot.number));
                book.note(Note::Heard { receiver, from, content, at });
                ControlFlow::Continue(())
            },
        );

        // 100 of 1000 messages meet the stall and wait 1 s, 0.99 s, and so on down to 0.01 s.
        let open = book.latency();
        assert!((899_000..=901_000).contains(&open.p99), "{open:?}");
        assert!((1_000..=1_001).contains(&open.p90), "{open:?}");
        let closed = closed_loop(&shots);
        assert!(closed.p99 <= 1_001, "for comparison, a closed loop sees nothing: {closed:?}");
    }

    /// What a sender measures that waits for each answer and counts from when it sent.
    fn closed_loop(shots: &[Shot]) -> Figures {
        let (mut latencies, mut time) = (Latencies::default(), Duration::ZERO);
        for shot in shots {
            time = time.max(shot.at);
            latencies.record(served(time) - time);
            time = served(time);
        }
        latencies.figures()
    }

    #[test]
    fn a_stall_of_the_sender_moves_no_intended_time() {
        let shots = scenario().schedule().unwrap();
        let clock = Cell::new(Duration::ZERO);
        let mut fired = Vec::new();

        pace(
            &shots,
            || clock.get(),
            |time| clock.set(clock.get() + time),
            |shot| {
                fired.push((shot.number, shot.at, clock.get()));
                if shot.number == 200 {
                    clock.set(clock.get() + Duration::from_secs(1));
                }
                ControlFlow::Continue(())
            },
        );

        let intended: Vec<_> = fired.iter().map(|(number, at, _)| (*number, *at)).collect();
        assert_eq!(intended, shots.iter().map(|shot| (shot.number, shot.at)).collect::<Vec<_>>());
        assert_eq!(fired[201].2 - fired[201].1, Duration::from_millis(990));
        assert_eq!(fired[299].2 - fired[299].1, Duration::from_millis(10));
        assert!(fired[300..].iter().all(|(_, intended, real)| intended == real));
    }

    #[test]
    fn a_wait_that_ends_early_is_waited_for_again() {
        let shots = scenario().schedule().unwrap();
        let clock = Cell::new(Duration::ZERO);

        pace(
            &shots,
            || clock.get(),
            |time| clock.set(clock.get() + (time / 2).max(Duration::from_nanos(1))),
            |shot| {
                assert_eq!(clock.get(), shot.at);
                ControlFlow::Continue(())
            },
        );
    }

    #[test]
    fn nothing_is_fired_after_the_walk_was_stopped() {
        let shots = scenario().schedule().unwrap();
        let mut fired = 0;

        pace(
            &shots,
            || Duration::MAX,
            |_| {},
            |_| {
                fired += 1;
                if fired == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            },
        );

        assert_eq!(fired, 3);
    }
}
