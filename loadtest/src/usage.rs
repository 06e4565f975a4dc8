//! What a process has cost so far, from `/proc`: CPU time and memory. Linux only, like the servers.
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
