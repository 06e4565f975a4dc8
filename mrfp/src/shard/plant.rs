//! Faults on purpose: a relay of a test build does to one frame in fifty what `PLANTED_FAULT` in its environment says. It is how
//! the load generator is seen to find what a relay breaks, and it is in no other build.
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use ids::SeatId;
use msrp::{Frame, Payload};

use crate::relay::RoomId;

const EVERY: u64 = 50;

static FAULT: LazyLock<Option<Fault>> = LazyLock::new(|| match std::env::var("PLANTED_FAULT") {
    Ok(what) if what == "drop" => Some(Fault::Drop),
    Ok(what) if what == "swap" => Some(Fault::Swap),
    Ok(what) if what == "stray" => Some(Fault::Stray),
    _ => None,
});

static STATE: LazyLock<Mutex<State>> = LazyLock::new(Mutex::default);

#[derive(Clone, Copy)]
enum Fault {
    /// It is left out.
    Drop,
    /// It comes behind the next one to the same receiver.
    Swap,
    /// What was said in another room comes in its place.
    Stray,
}

#[derive(Default)]
struct State {
    frames: u64,
    held: HashMap<(RoomId, SeatId), Frame>,
    /// What was last said in each room.
    said: HashMap<RoomId, Payload>,
}

/// What is offered in the place of this frame.
pub(super) fn befall((room, seat): (RoomId, SeatId), frame: Frame) -> Vec<Frame> {
    let Some(fault) = *FAULT else { return vec![frame] };
    let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
    state.frames += 1;
    let due = state.frames.is_multiple_of(EVERY);
    match fault {
        Fault::Drop if due => Vec::new(),
        Fault::Swap => match state.held.remove(&(room, seat)) {
            Some(held) => vec![frame, held],
            None if due => {
                state.held.insert((room, seat), frame);
                Vec::new()
            }
            None => vec![frame],
        },
        Fault::Stray => {
            state.said.insert(room, frame.payload.clone());
            let other = state.said.iter().find(|(other, _)| due && **other != room);
            let stray = other.map(|(_, payload)| payload.to(&frame.address));
            vec![stray.unwrap_or(frame)]
        }
        Fault::Drop => vec![frame],
    }
}
