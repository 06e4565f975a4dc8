//! The result of a run and its progress in words, for a terminal. Pure: it prints nothing.
use std::time::Duration;

use crate::book::Interval;
use crate::latency::Figures;
use crate::report::{Report, ServerCost, Step, Verdict};
use crate::scenario::{Kind, Level, Scenario};
use crate::threshold::Judged;
use crate::units::{grouped, millis};

/// The result of a run.
#[must_use]
pub fn result(report: &Report) -> String {
    let mut lines = vec![ran(report)];
    lines.extend(report.scenario.acts.iter().map(|act| format!("act           {act}")));
    lines.extend([rate(report), arrivals(report)]);
    lines.push(format!("latency e2e   {}   ({})", latency(&report.latency_us), origin(report)));
    lines.extend(report.measures.iter().map(|(name, of)| {
        format!("{name:<13} {}   ({} x {})", latency(&of.us), grouped(of.us.count), of.about)
    }));
    lines.extend(guests(report));
    if report.steps.len() > 1 {
        lines.extend(report.steps.iter().map(step));
        lines.push(match report.knee {
            Some(knee) => {
                format!("knee          {knee:.0} msg/s is the most that was carried without strain")
            }
            None => "knee          none: the first step was too much".to_owned(),
        });
    }
    lines.push(generator(report));
    lines.extend(report.servers.iter().map(|server| {
        let mib = |octets: u64| octets >> 20;
        format!(
            "{:<13} {} ms CPU, {:.1} us a delivery   memory {} MiB (most {} MiB, grew {} KiB)",
            server.name,
            grouped(server.cpu_ms),
            server.cpu_us_per_delivery,
            mib(server.rss_octets),
            mib(server.rss_octets_max),
            server.rss_growth_octets / 1024,
        )
    }));
    lines.extend(report.servers.iter().filter_map(relay_added));
    if report.rooms.clean < report.rooms.count {
        lines.push(format!(
            "rooms         {} of {} without a fault",
            report.rooms.clean, report.rooms.count
        ));
    }
    lines.extend(report.notes.iter().map(|note| format!("note          {note}")));
    lines.extend(report.generator.why.iter().map(|why| format!("NOT VALID     {why}")));
    lines.push(verdict(report));
    lines.join("\n")
}

fn relay_added(server: &ServerCost) -> Option<String> {
    let added = server.relay?;
    let bound = |us: Option<u64>| {
        us.map_or_else(|| "more than 5 s".to_owned(), |us| format!("at most {} us", grouped(us)))
    };
    let (half, most) = (bound(added.p50_us), bound(added.p99_us));
    Some(format!("relay added   p50 {half}   p99 {most}   ({} chunks)", grouped(added.chunks)))
}

/// What happened in an interval that ended `at` this time of the run, in one line.
#[must_use]
pub fn progress(at: Duration, scenario: &Scenario, interval: &Interval) -> String {
    let (going, measured) = (going(at, scenario, interval), measured(at, scenario, interval));
    format!("{:>4} s  {going}  {measured}  {}", at.as_secs(), health(at, scenario, interval))
}

/// The same for a terminal, in three lines.
#[must_use]
pub fn screen(at: Duration, scenario: &Scenario, interval: &Interval) -> String {
    let (going, measured) = (going(at, scenario, interval), measured(at, scenario, interval));
    format!("{going}\nlatency {measured}\ngenerator {}", health(at, scenario, interval))
}

/// What was to be sent, what was taken and what came, in a second; what is still to come, and what failed.
fn going(at: Duration, scenario: &Scenario, interval: &Interval) -> String {
    let seconds = interval.time.as_secs_f64().max(0.001);
    #[expect(clippy::cast_precision_loss, reason = "counts of one interval")]
    let a_second = |count: u64| format!("{:.0}/s", count as f64 / seconds);
    format!(
        "offered {:.0}/s  achieved {}  arrived {}  under way {}  errors {}",
        scenario.rate_between(at.saturating_sub(interval.time), at),
        a_second(interval.accepted),
        a_second(interval.heard),
        grouped(interval.owed),
        interval.errors,
    )
}

/// How late the generator itself is.
fn health(at: Duration, scenario: &Scenario, interval: &Interval) -> String {
    let (lag, latency) = (interval.lag.figures().p99, interval.latency.figures());
    let late = latency.count > 0 && lag * 10 > latency.p99 && at > scenario.warmup;
    let verdict = if late { "LATE: latency is not valid" } else { "OK" };
    format!("lag p99 {} ms  {verdict}", millis(lag))
}

fn measured(at: Duration, scenario: &Scenario, interval: &Interval) -> String {
    if at <= scenario.warmup {
        return "warming up".to_owned();
    }
    let figures = interval.latency.figures();
    if figures.count == 0 {
        return "nothing measured".to_owned();
    }
    let [p50, p99, max] = [figures.p50, figures.p99, figures.max].map(millis);
    format!("p50 {p50} ms  p99 {p99}  max {max}")
}

fn origin(report: &Report) -> &'static str {
    if report.scenario.open_loop {
        "from intended start"
    } else {
        "CLOSED loop: from when it was sent"
    }
}

fn step(step: &Step) -> String {
    let strain =
        step.strain.as_deref().map_or(String::new(), |strain| format!("   STRAIN: {strain}"));
    format!(
        "step          offered {:.0}/s  achieved {:.1}/s  {:.0} deliveries/s  {}{strain}",
        step.offered,
        step.achieved,
        step.deliveries,
        latency(&step.latency_us)
    )
}

fn guests(report: &Report) -> Option<String> {
    let guests = &report.guests;
    (report.scenario.guests > 0).then(|| {
        format!(
            "guests        came {}  went {} (of these {} removed)  cut off {}  shown {}  unreadable {}  missed while away {}  commits refused {}",
            guests.entered,
            guests.went,
            guests.kicked,
            guests.seats_lost,
            grouped(guests.heard),
            grouped(guests.unreadable),
            grouped(guests.missed),
            guests.commits_refused,
        )
    })
}

fn ran(report: &Report) -> String {
    let (scenario, environment) = (&report.scenario, &report.environment);
    let word = |it: bool, yes: &'static str, no: &'static str| if it { yes } else { no };
    let agents =
        if scenario.agents > 1 { format!("  {} agents", scenario.agents) } else { String::new() };
    format!(
        "loadtest {}  {} {} x {} members  {} {} {}/s  {} s (+{} s warm-up)  {} octets  e2ee {}  {}  seed {}{agents}\n\
         {} build {} on {} CPUs, everyone had joined after {} ms",
        scenario.name,
        scenario.rooms,
        if scenario.rooms == 1 { "room" } else { "rooms" },
        scenario.members,
        word(scenario.open_loop, "open", "CLOSED"),
        report.rate.offered,
        word(scenario.kind == Kind::Messages, "msg", "files"),
        scenario.duration_secs,
        scenario.warmup_secs,
        scenario.size_octets,
        word(scenario.level == Level::Sealed, "on", "off"),
        scenario.transport.name(),
        scenario.seed,
        environment.profile,
        environment.version,
        environment.cpus,
        grouped(report.setup_ms),
    )
}

fn rate(report: &Report) -> String {
    let (sent, rate) = (&report.messages, &report.rate);
    format!(
        "offered {} ({:.1}/s)  sent {}  accepted {} ({:.1}/s)  failed {}  unanswered {}",
        grouped(sent.scheduled - sent.cut),
        rate.offered,
        grouped(sent.sent),
        grouped(sent.accepted),
        rate.achieved,
        sent.failed,
        sent.unanswered,
    )
}

fn arrivals(report: &Report) -> String {
    let counts = &report.deliveries;
    format!(
        "delivered {}/{}  lost {}  dup {}  corrupt {}  misdelivered {}  undecryptable {}  leaked {}  reorder {}  ({:.0}/s)",
        grouped(counts.delivered),
        grouped(counts.expected),
        counts.lost,
        counts.duplicated,
        counts.corrupt,
        counts.misdelivered,
        counts.undecryptable,
        counts.leaked,
        counts.reordered,
        report.rate.deliveries,
    )
}

fn latency(figures: &Figures) -> String {
    let Figures { p50, p90, p99, p99_9, max, .. } = *figures;
    let [p50, p90, p99, p99_9, max] = [p50, p90, p99, p99_9, max].map(millis);
    format!("p50 {p50} ms  p90 {p90}  p99 {p99}  p99.9 {p99_9}  max {max}")
}

fn generator(report: &Report) -> String {
    let generator = &report.generator;
    let state = if generator.valid { "OK" } else { "NOT VALID" };
    let lag = if report.scenario.open_loop {
        format!("lag p99 {:?}", Duration::from_micros(generator.lag_us.p99))
    } else {
        "no lag: it waits for answers".to_owned()
    };
    format!(
        "generator     cpu {:.0} %  machine idle {} %  {lag}  dropped {}  {state}",
        generator.cpu_percent, generator.idle_percent, report.messages.dropped
    )
}

/// One word for each demand, and what is wrong.
fn verdict(report: &Report) -> String {
    let word = |judged: &Judged| match &judged.why {
        _ if judged.met => format!("PASS {}", judged.threshold),
        Some(why) => format!("MISS {} ({why})", judged.threshold),
        None => format!("MISS {}", judged.threshold),
    };
    let mut words: Vec<String> = report.thresholds.iter().map(word).collect();
    match report.verdict {
        Verdict::Failed => words.push(format!("FAILED: {}", report.broken.join("; "))),
        Verdict::Pass if words.is_empty() => {
            words.push("PASS everything arrived, once and unchanged".to_owned());
        }
        Verdict::NotValid => {
            words.push("everything arrived, once and unchanged".to_owned());
            words.push("NOT VALID: nothing can be concluded about the system's latency".to_owned());
        }
        Verdict::Pass | Verdict::Missed => {}
    }
    words.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{Plant, report};

    #[test]
    fn a_result_that_is_not_valid_still_says_that_everything_arrived() {
        let told = |plant| result(&report(plant, ""));

        let late = told(Plant::Lag(Duration::from_millis(1)));
        let lost = told(Plant::Loss);

        let last = late.lines().last().unwrap();
        assert!(last.contains("everything arrived") && last.contains("NOT VALID"), "{late}");
        assert!(!lost.contains("everything arrived"), "{lost}");
    }

    #[test]
    fn a_good_result_reads_like_this() {
        let text = result(&report(Plant::Nothing, "p99<20ms,loss=0"));

        let expected = "\
loadtest quick  2 rooms x 3 members  open 100 msg/s  10 s (+1 s warm-up)  64 octets  e2ee on  tls  seed 7
debug build 0.1.0 on 2 CPUs, everyone had joined after 700 ms
offered 1 100 (100.0/s)  sent 1 100  accepted 1 100 (100.0/s)  failed 0  unanswered 0
delivered 2 200/2 200  lost 0  dup 0  corrupt 0  misdelivered 0  undecryptable 0  leaked 0  reorder 0  (200/s)
latency e2e   p50 5.0 ms  p90 5.0  p99 5.0  p99.9 5.0  max 5.0   (from intended start)
generator     cpu 31 %  machine idle 40 %  lag p99 80µs  dropped 0  OK
mrfc          10 ms CPU, 5.0 us a delivery   memory 50 MiB (most 60 MiB, grew 0 KiB)
mrfp          240 ms CPU, 120.0 us a delivery   memory 50 MiB (most 60 MiB, grew 0 KiB)
note          a debug build: its figures say nothing about a deployment
PASS p99<20ms  PASS loss=0";
        assert_eq!(text, expected);
    }

    #[test]
    fn what_is_wrong_is_said_in_the_last_line() {
        let cases = [
            (Plant::Loss, "loss=0", "MISS loss=0 (1)  FAILED: 1 lost; loss=0 is missed (1)"),
            (Plant::Nothing, "p50<1ms,dup=0", "MISS p50<1ms (5.003 ms)  PASS dup=0"),
            (Plant::Nothing, "", "PASS everything arrived, once and unchanged"),
        ];
        for (plant, thresholds, last) in cases {
            assert_eq!(result(&report(plant, thresholds)).lines().last(), Some(last));
        }
    }

    #[test]
    fn a_closed_loop_has_no_lag() {
        let mut report = report(Plant::Nothing, "");
        report.scenario.open_loop = false;

        let text = result(&report);

        assert!(
            text.contains("no lag: it waits for answers") && !text.contains("lag p99"),
            "{text}"
        );
    }

    #[test]
    fn who_was_removed_is_named_among_those_who_went() {
        let mut report = report(Plant::Nothing, "");
        report.scenario.guests = 4;
        report.guests = crate::book::Guests { entered: 6, went: 8, kicked: 2, ..report.guests };

        let text = result(&report);

        assert!(text.contains("came 6  went 8 (of these 2 removed)  cut off 0"), "{text}");
    }

    #[test]
    fn a_result_that_is_not_valid_says_so_and_why() {
        let text = result(&report(Plant::Lag(Duration::from_millis(2)), ""));

        assert!(
            text.contains("dropped 0  NOT VALID\n")
                && text.contains("NOT VALID     the generator was late"),
            "{text}"
        );
    }

    #[test]
    fn progress_shows_latencies_once_warm() {
        let interval = Interval {
            time: Duration::from_secs(2),
            sent: 98,
            accepted: 96,
            heard: 400,
            owed: 4,
            ..Interval::default()
        };
        let scenario = Scenario { warmup: Duration::from_secs(2), ..Scenario::default() };
        let mut measured = interval.clone();
        measured.latency.record(Duration::from_millis(3));
        let at = |secs| progress(Duration::from_secs(secs), &scenario, &interval);
        let warm = progress(Duration::from_secs(3), &scenario, &measured);

        assert_eq!(
            at(2),
            "   2 s  offered 50/s  achieved 48/s  arrived 200/s  under way 4  errors 0  warming up  lag p99 0.0 ms  OK"
        );
        assert!(
            warm.ends_with("errors 0  p50 3.0 ms  p99 3.0  max 3.0  lag p99 0.0 ms  OK"),
            "{warm}"
        );
        assert!(at(3).contains("errors 0  nothing measured"), "{}", at(3));
        assert!(at(13).contains("offered 25/s"), "{}", at(13));
        assert!(at(14).contains("offered 0/s"), "{}", at(14));
    }
}
