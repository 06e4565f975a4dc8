//! What holds for the result of every command that loads something, whatever it measures. Pure.
use std::process::ExitCode;

use super::NOT_VALID;
use crate::latency::Figures;

/// The part of the measured p99 that the generator's own lag may have at its p99.
pub(super) const LAG_SHARE_MAX: u64 = 10;
/// CPUs that a generator of one thread may use: with more, whoever was late may have waited for it.
const CPUS_MAX: f64 = 0.9;

/// What everybody is told who asks for a closed loop.
pub(crate) const CLOSED: &str = "closed loop: a speaker waits for each answer and latency counts from when it sent, so a \
    system that stalls is asked less and looks better than it is (coordinated omission)";

/// Why latencies of an open loop are the generator's own, if they are.
pub(crate) fn late(latency: &Figures, lag: &Figures) -> Option<String> {
    (lag.p99 * LAG_SHARE_MAX > latency.p99).then(|| {
        format!(
            "the generator was late: lag p99 {} us is more than a tenth of the measured p99, {} us",
            lag.p99, latency.p99
        )
    })
}

/// Why a generator of one thread measured itself, if it had none of its CPU left.
pub(crate) fn worn_out(cpus: f64) -> Option<String> {
    (cpus > CPUS_MAX).then(|| format!("the generator's only thread used {cpus:.2} of a CPU"))
}

/// How a command ends.
pub(crate) fn ended(broken: &[String], not_valid: bool) -> ExitCode {
    match (broken.is_empty(), not_valid) {
        (false, _) => ExitCode::FAILURE,
        (true, true) => ExitCode::from(NOT_VALID),
        (true, false) => ExitCode::SUCCESS,
    }
}
