//! The result of `loadtest sip`. Pure.
use std::fmt;

use serde::Serialize;

use crate::latency::Figures;
use crate::report::CLOSED;

/// The name and version of the JSON object.
pub const SCHEMA: &str = "conclave/loadtest-sip-1";

/// What a run came to.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Which schema this follows.
    pub schema: &'static str,
    /// Who answered.
    pub against: String,
    /// Phones with a connection and a registration.
    pub registrations: usize,
    /// Conferences that were there all the time.
    pub conferences: usize,
    /// Seconds that were measured.
    pub seconds: f64,
    /// Measured calls: INVITE, 200, ACK, BYE, 200.
    pub calls: u64,
    /// Of them in a second.
    pub calls_per_second: f64,
    /// Calls in flight, in a closed loop.
    pub window: Option<usize>,
    /// Calls a second that were offered, in an open loop.
    pub offered_per_second: Option<f64>,
    /// From the intended start of a call to its INVITE leaving, in microseconds; in a closed loop it is meant when it is made.
    pub lag: Figures,
    /// Calls that were due and not made, since every phone was in one.
    pub dropped: u64,
    /// From a call's intended start to the 200 to its INVITE, in microseconds.
    pub invite: Figures,
    /// From a BYE to its 200.
    pub bye: Figures,
    /// From an immediate message to its 200.
    pub message: Figures,
    /// Messages that came to the other phone.
    pub messages_delivered: u64,
    /// CPU of the server for one call, in microseconds; messages are in it.
    pub server_us_per_call: f64,
    /// CPU of the relay beside it.
    pub relay_us_per_call: f64,
    /// CPUs that were busy with the server.
    pub server_cpus: f64,
    /// CPUs that were busy with the generator.
    pub generator_cpus: f64,
    /// Octets of the server for one idle registered connection.
    pub octets_per_registration: u64,
    /// Resident octets of the server: empty, all registered, and at the end of the load.
    pub rss: [u64; 3],
    /// What was left in the server's tables when all had hung up, or had gone.
    pub left: Vec<(String, u64)>,
    /// Why the latencies are the generator's own and not the server's, if they are.
    pub not_valid: Option<String>,
    /// What went wrong. Empty: nothing.
    pub broken: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |micros: u64| f64::from(u32::try_from(micros).unwrap_or(u32::MAX)) / 1000.0;
        let mib = |octets: u64| octets / (1024 * 1024);
        writeln!(
            f,
            "{}: {} registrations, {} conferences, {} calls in {:.1} s: {:.0} a second",
            self.against,
            self.registrations,
            self.conferences,
            self.calls,
            self.seconds,
            self.calls_per_second
        )?;
        match self.offered_per_second {
            Some(offered) => {
                let (p50, p99) = (ms(self.lag.p50), ms(self.lag.p99));
                let dropped = self.dropped;
                writeln!(
                    f,
                    "  offered  {offered:.0} a second  dropped {dropped}  lag p50 {p50:.1} ms  p99 {p99:.1}"
                )?;
            }
            None => writeln!(f, "  {CLOSED}")?,
        }
        for (what, figures) in
            [("INVITE", self.invite), ("BYE", self.bye), ("MESSAGE", self.message)]
        {
            let Figures { count, p50, p99, p99_9, max, .. } = figures;
            let (p50, p99, p99_9, max) = (ms(p50), ms(p99), ms(p99_9), ms(max));
            writeln!(
                f,
                "  {what:8} {count:8}  p50 {p50:.1} ms  p99 {p99:.1}  p99.9 {p99_9:.1}  max {max:.1}"
            )?;
        }
        writeln!(
            f,
            "  server   {:.0} us a call ({:.2} CPUs), relay {:.0} us; generator {:.2} CPUs",
            self.server_us_per_call, self.server_cpus, self.relay_us_per_call, self.generator_cpus
        )?;
        let [empty, registered, end] = self.rss.map(mib);
        writeln!(
            f,
            "  memory   {:.1} KiB a registration; {empty} MiB empty, {registered} registered, {end} at the end",
            ms(self.octets_per_registration) / 1.024
        )?;
        for (table, count) in &self.left {
            writeln!(f, "  left     {count} in {table}")?;
        }
        if let Some(why) = &self.not_valid {
            writeln!(f, "  NOT VALID {why}")?;
        }
        for broken in &self.broken {
            writeln!(f, "  BROKEN   {broken}")?;
        }
        Ok(())
    }
}
