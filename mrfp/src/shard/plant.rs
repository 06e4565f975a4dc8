//! A fault on purpose: with `PLANTED_FAULT=drop` in its environment, a relay of a test build leaves out one frame in fifty. It
//! is how the load generator is seen to find what a relay breaks, and it is in no other build.
use std::sync::atomic::{AtomicU64, Ordering};

const EVERY: u64 = 50;

static FRAMES: AtomicU64 = AtomicU64::new(0);

/// Whether this frame is left out.
pub(super) fn befalls() -> bool {
    let planted = std::env::var_os("PLANTED_FAULT").is_some_and(|what| what == "drop");
    planted && FRAMES.fetch_add(1, Ordering::Relaxed) % EVERY == EVERY - 1
}
