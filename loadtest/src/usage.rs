//! What a process has cost so far and what the machine had left, from `/proc`. Linux only, like the servers.
use std::io;
use std::time::Duration;

/// The clock ticks in which `/proc/PID/stat` counts CPU time (`USER_HZ`, proc(5)): 100 a second on every architecture
/// we build for.
const TICK: Duration = Duration::from_millis(10);

/// What a process has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time in user and kernel mode, all threads, also those that ended. In steps of 10 ms.
    pub cpu: Duration,
    /// Octets of memory in use now (resident set).
    pub rss_octets: u64,
    /// The most there ever were.
    pub rss_octets_max: u64,
}

/// The usage of a process.
///
/// # Errors
/// There is no such process, or its files are not understood.
pub fn of(pid: u32) -> io::Result<Usage> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
    let (stat, status) = (read("stat")?, read("status")?);
    let unclear =
        || io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid} is not understood"));
    Ok(Usage {
        cpu: cpu(&stat).ok_or_else(unclear)?,
        rss_octets: octets(&status, "VmRSS:").ok_or_else(unclear)?,
        rss_octets_max: octets(&status, "VmHWM:").ok_or_else(unclear)?,
    })
}

/// What the CPUs of the machine have done so far, in clock ticks over all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Ticks in which a CPU had nothing to do, or waited for a disk.
    pub idle: u64,
    /// All ticks.
    pub all: u64,
}

impl Machine {
    /// What the machine has done so far.
    ///
    /// # Errors
    /// `/proc/stat` cannot be read or is not understood.
    pub fn now() -> io::Result<Self> {
        let unclear = || io::Error::new(io::ErrorKind::InvalidData, "/proc/stat is not understood");
        machine(&std::fs::read_to_string("/proc/stat")?).ok_or_else(unclear)
    }

    /// The part of its CPU time, in percent, that nobody has used since `before`. All of it if no time has passed.
    #[must_use]
    pub fn idle_percent_since(self, before: Self) -> u64 {
        let (idle, all) =
            (self.idle.saturating_sub(before.idle), self.all.saturating_sub(before.all));
        (idle * 100).checked_div(all).unwrap_or(100)
    }
}

/// The first line of proc_stat(5): user, nice, system, idle, iowait, irq, softirq, steal. What follows is counted in
/// these already.
fn machine(stat: &str) -> Option<Machine> {
    let ticks = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace().take(8);
    let ticks: Vec<u64> = ticks.map(str::parse).collect::<Result<_, _>>().ok()?;
    let idle = ticks.get(3..5)?.iter().sum();
    Some(Machine { idle, all: ticks.iter().sum() })
}

/// Fields 14 and 15 of proc_pid_stat(5): utime and stime. The name of the process, field 2, may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_pid_and_name, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let utime: u32 = fields.next()?.parse().ok()?;
    let stime: u32 = fields.next()?.parse().ok()?;
    TICK.checked_mul(utime.checked_add(stime)?)
}

/// A line of proc_pid_status(5), given in kB, which are 1024 octets.
fn octets(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str =
        "4242 (a) b (c) S 1 4242 4242 0 -1 4194560 977 0 0 0 123 45 6 7 20 0 9 0 81 1 2 3";

    #[test]
    fn cpu_time_is_user_and_system_time_whatever_the_process_is_called() {
        assert_eq!(cpu(STAT), Some(Duration::from_millis(1680)));
    }

    #[test]
    fn memory_is_given_in_octets() {
        let status = "Name:\tmrfp\nVmHWM:\t   20480 kB\nVmRSS:\t   10240 kB\nThreads:\t4\n";

        assert_eq!(
            (octets(status, "VmRSS:"), octets(status, "VmHWM:")),
            (Some(10 << 20), Some(20 << 20))
        );
    }

    #[test]
    fn what_nobody_used_is_idle_time_and_waiting_for_disks() {
        let stat = "cpu  10 20 30 400 50 6 7 8 90 100\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        let before = machine(stat).unwrap();

        assert_eq!(before, Machine { idle: 450, all: 531 });
        let after = Machine { idle: 450 + 30, all: 531 + 400 };
        assert_eq!((after.idle_percent_since(before), before.idle_percent_since(before)), (7, 100));
        assert_eq!(
            (machine(""), machine("cpu  1 2 3"), machine("cpu  1 2 3 x 5")),
            (None, None, None)
        );
        assert!(Machine::now().unwrap().all > 0);
    }

    #[test]
    fn what_is_not_understood_is_no_number() {
        assert_eq!(
            (cpu(""), cpu("1 (x) S 1 2"), cpu(&STAT.replace("123", "x"))),
            (None, None, None)
        );
        assert_eq!((octets("", "VmRSS:"), octets("VmRSS: 12 pages", "VmRSS:")), (None, None));
    }

    #[test]
    fn this_process_uses_memory() {
        let usage = of(std::process::id()).unwrap();

        assert!(usage.rss_octets > 0 && usage.rss_octets_max >= usage.rss_octets, "{usage:?}");
        assert!(of(u32::MAX).is_err());
    }
}
