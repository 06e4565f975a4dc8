//! What the types of a configuration cannot say: bounds of its values, and which of them contradict each other.
use super::{Config, KIB, MIB};
use crate::obey::FocusNames;
use crate::room::Shards;
use crate::transit;

/// A value that contradicts another or makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct BadConfig {
    /// The key with its table.
    pub key: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Config {
    /// Checks what the types cannot.
    pub fn check(&self) -> Result<(), BadConfig> {
        let bad = |key, why: &str| Err(BadConfig { key, why: why.to_owned() });
        let limits = &self.limits;
        FocusNames::parse(&self.control.focus_names)?;
        self.check_times()?;
        if self.shards > Shards::COUNT_MAX {
            return bad("shards", "at most 64");
        }
        let counts = [
            ("limits.notices_waiting_max", limits.notices_waiting_max),
            ("limits.half_open_max", limits.half_open_max),
            ("limits.half_open_per_address_max", limits.half_open_per_address_max),
        ];
        if let Some((key, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
            return bad(key, "at least 1");
        }
        // RFC 4975, 7.1.1: a piece that is not the last must not be shorter.
        if limits.piece_octets_max < 2048 {
            return bad("limits.piece_octets_max", "at least 2048");
        }
        if !(4 * KIB..=16 * MIB).contains(&limits.read_octets) {
            return bad("limits.read_octets", "from 4 KiB to 16 MiB");
        }
        if limits.outbox_octets_max < 2 * limits.piece_octets_max {
            return bad("limits.outbox_octets_max", "at least twice limits.piece_octets_max");
        }
        // A connection rests for no longer than seconds after a buffer of input.
        let slowest = u64::try_from(limits.read_octets).unwrap_or(u64::MAX);
        if (1..slowest).contains(&limits.octets_per_connection_per_sec) {
            return bad(
                "limits.octets_per_connection_per_sec",
                "0, or at least limits.read_octets",
            );
        }
        // The control link carries a handshake in one frame.
        let frame_max = u64::try_from(control::FRAME_OCTETS_MAX / 2).unwrap_or(u64::MAX);
        if limits.handshake_octets_max > frame_max + 16 * 1024 {
            return bad("limits.handshake_octets_max", "at most 4 MiB and 16 KiB");
        }
        transit::Rules::check(self)
    }

    /// Points in time are counted from now, and none may lie where no clock goes.
    fn check_times(&self) -> Result<(), BadConfig> {
        let (limits, relay) = (&self.limits, &self.relay);
        let times = [
            ("limits.first_request_secs", limits.first_request_secs),
            ("limits.dial_secs", limits.dial_secs),
            ("limits.idle_secs", limits.idle_secs),
            ("limits.blocked_secs", limits.blocked_secs),
            ("limits.unacknowledged_secs", limits.unacknowledged_secs),
            ("limits.bind_secs", limits.bind_secs),
            ("limits.answer_secs", limits.answer_secs),
            ("limits.chunk_timer_secs", limits.chunk_timer_secs),
            ("limits.epoch_wait_secs", limits.epoch_wait_secs),
            ("limits.nickname_secs", limits.nickname_secs),
            ("limits.pair_wait_secs", limits.pair_wait_secs),
            ("relay.expires_secs_max", relay.expires_secs_max),
            ("relay.nonce_secs", relay.nonce_secs),
            ("relay.focus_secs", relay.focus_secs),
            ("relay.answer_secs", relay.answer_secs),
            ("msrp.reload_secs", self.msrp.reload_secs),
            ("drain.delay_secs", self.drain.delay_secs),
            ("drain.timeout_secs", self.drain.timeout_secs),
        ];
        match times.into_iter().find(|(_, secs)| *secs > SECS_MAX) {
            Some((key, _)) => Err(BadConfig { key, why: "at most a year".to_owned() }),
            None => Ok(()),
        }
    }
}

/// A year.
const SECS_MAX: u64 = 365 * 86_400;
