//! A result as one page that needs nothing else: the verdict first, then the figures, the charts as inline SVG, the tables,
//! and where it comes from. No script, no font, no address is loaded. Pure.
mod charts;
mod plot;

use std::fmt::Write as _;

use crate::report::{Report, Verdict};
use crate::scenario::{Kind, Level, Transport};
use crate::units::{float, grouped};
use plot::escape;

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let title = format!("{}: {}", report.scenario.name, word(report.verdict));
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{}</title><style>{}</style></head><body><main>\n{}{}{}\n\
         <div class=\"charts\">{}</div>\n{}</main></body></html>\n",
        escape(&title),
        include_str!("html/page.css"),
        head(report),
        verdict(report),
        tiles(report),
        charts::all(report),
        tables(report)
    )
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "PASS",
        Verdict::Missed => "MISSED",
        Verdict::NotValid => "NOT VALID",
        Verdict::Failed => "FAILED",
    }
}

fn head(report: &Report) -> String {
    let scenario = &report.scenario;
    let mut words = vec![format!(
        "{} {} × {} members{}",
        scenario.rooms,
        if scenario.rooms == 1 { "room" } else { "rooms" },
        scenario.members,
        if scenario.guests > 0 { format!(" + {} guests", scenario.guests) } else { String::new() }
    )];
    let kind = if scenario.kind == Kind::Files { "files" } else { "messages" };
    let open = if scenario.open_loop { "open loop" } else { "CLOSED LOOP" };
    words.push(format!(
        "{} {kind}/s of {} octets, {open}",
        report.rate.offered,
        grouped(scenario.size_octets as u64)
    ));
    words.push(
        match (scenario.level, scenario.transport) {
            (Level::Sealed, Transport::Tls) => "sealed (MLS) over TLS",
            (Level::Sealed, Transport::Wss) => "sealed (MLS) over WebSocket and TLS",
            (Level::Open, Transport::Tls) => "not sealed, over TLS",
            (Level::Open, Transport::Wss) => "not sealed, over WebSocket and TLS",
        }
        .to_owned(),
    );
    words.push(format!("{} s after {} s of warm-up", scenario.duration_secs, scenario.warmup_secs));
    words.push(format!("seed {}", scenario.seed));
    let acts = scenario.acts.iter().map(|act| format!("<br>{}", escape(act)));
    format!(
        "<h1>{}</h1><p class=\"sub\">{}{}</p>",
        escape(&scenario.name),
        escape(&words.join(" · ")),
        acts.collect::<String>()
    )
}

fn verdict(report: &Report) -> String {
    let class = match report.verdict {
        Verdict::Pass => "pass",
        Verdict::Missed => "missed",
        Verdict::NotValid => "not-valid",
        Verdict::Failed => "failed",
    };
    let counts = &report.deliveries;
    let mut lines: Vec<String> = report.broken.clone();
    if lines.is_empty() {
        lines.push(format!(
            "all {} of {} arrivals happened, once, in the right name, octet for octet as sent",
            grouped(counts.delivered),
            grouped(counts.expected)
        ));
    }
    lines.extend(
        report
            .thresholds
            .iter()
            .filter(|judged| judged.met)
            .map(|judged| format!("{} holds", judged.threshold)),
    );
    let items: String = lines.iter().map(|line| format!("<li>{}</li>", escape(line))).collect();
    format!("<div class=\"verdict {class}\"><b>{}</b><ul>{items}</ul></div>", word(report.verdict))
}

fn tiles(report: &Report) -> String {
    let tile = |what: &str, value: String, beside: String| {
        format!(
            "<div class=\"tile\"><span>{}</span><b>{}</b> <small>{}</small></div>",
            escape(what),
            escape(&value),
            escape(&beside)
        )
    };
    let (latency, counts) = (&report.latency_us, &report.deliveries);
    let us = |us: u64| time(float(us));
    let mut tiles = vec![
        tile("latency p50", us(latency.p50), String::new()),
        tile("latency p99", us(latency.p99), String::new()),
        tile("latency p99.9", us(latency.p99_9), format!("max {}", us(latency.max))),
        tile(
            "achieved",
            format!("{}/s", report.rate.achieved),
            format!("of {}/s", report.rate.offered),
        ),
        tile("arrivals", grouped(counts.delivered), format!("{} lost", counts.lost)),
    ];
    if let Some(knee) = report.knee {
        tiles.push(tile("knee", format!("{knee:.0}/s"), "messages".into()));
    }
    if let Some(epoch) = report.measures.get("epoch") {
        tiles.push(tile("epoch change p99", us(epoch.us.p99), format!("{} leaked", counts.leaked)));
    }
    if let Some(enter) = report.measures.get("enter") {
        tiles.push(tile("coming in p99", us(enter.us.p99), format!("{} times", enter.us.count)));
    }
    if let Some(caught) = report.measures.get("catchup") {
        tiles.push(tile(
            "catching up p99",
            us(caught.us.p99),
            format!("{} times", caught.us.count),
        ));
    }
    let health = if report.generator.valid { "lag p99, believable" } else { "lag p99, NOT VALID" };
    tiles.push(if report.scenario.open_loop {
        tile("generator", us(report.generator.lag_us.p99), health.to_owned())
    } else {
        tile("generator", "no lag".into(), "it waits for answers".into())
    });
    format!("<div class=\"tiles\">{}</div>", tiles.concat())
}

fn tables(report: &Report) -> String {
    let mut out = String::from("<h2>What became of the messages</h2><div class=\"cols\">");
    let (sent, counts) = (&report.messages, &report.deliveries);
    let row = |name: &str, count: u64, is_fault: bool| {
        let class = if is_fault && count > 0 { " class=\"bad\"" } else { "" };
        format!("<tr{class}><td>{}</td><td>{}</td></tr>", escape(name), grouped(count))
    };
    let at_senders = [
        row("scheduled", sent.scheduled, false),
        row("sent", sent.sent, false),
        row("accepted by the relay", sent.accepted, false),
        row("refused or not answered in time", sent.failed, true),
        row("without an answer at the end", sent.unanswered, true),
        row("dropped by the generator", sent.dropped, true),
        row("never due, the run was ended", sent.cut, false),
    ];
    let at_receivers = [
        row("had to arrive", counts.expected, false),
        row("arrived whole and once", counts.delivered, false),
        row("lost", counts.lost, true),
        row("shown twice", counts.duplicated, true),
        row("with content that nobody sent", counts.corrupt, true),
        row("at the wrong place or in a wrong name", counts.misdelivered, true),
        row("not decryptable", counts.undecryptable, true),
        row("shown to somebody who was out", counts.leaked, true),
        row("after a later one (a fault in open rooms)", counts.reordered, false),
    ];
    let _always = write!(
        out,
        "<table><tr><th>at the senders</th><th></th></tr>{}</table><table><tr><th>at the receivers</th><th></th></tr>{}</table></div>",
        at_senders.concat(),
        at_receivers.concat()
    );
    out.push_str(&rooms(report));
    out.push_str(&times(report));
    out.push_str(&steps(report));
    out.push_str(&servers(report));
    out.push_str(&rest(report));
    out
}

fn rooms(report: &Report) -> String {
    if report.rooms.faulty.is_empty() {
        return String::new();
    }
    let row = |room: &crate::report::FaultyRoom| {
        format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            room.room,
            room.expected,
            room.lost,
            room.duplicated,
            room.corrupt,
            room.misdelivered,
            room.reordered,
            room.undecryptable,
            room.leaked
        )
    };
    format!(
        "<h2>Rooms with a fault ({} of {})</h2><table><tr><th>room</th><th>had to arrive</th><th>lost</th><th>twice</th>\
         <th>corrupt</th><th>misdelivered</th><th>out of order</th><th>undecryptable</th><th>leaked</th></tr>{}</table>",
        report.rooms.count - report.rooms.clean,
        report.rooms.count,
        report.rooms.faulty.iter().map(row).collect::<String>()
    )
}

fn times(report: &Report) -> String {
    let row = |name: &str, about: &str, of: &crate::latency::Figures| {
        let cells = [of.p50, of.p90, of.p99, of.p99_9, of.max]
            .map(|us| format!("<td>{}</td>", time(float(us))));
        format!(
            "<tr><td>{}</td><td class=\"text\">{}</td><td>{}</td>{}</tr>",
            escape(name),
            escape(about),
            grouped(of.count),
            cells.concat()
        )
    };
    let mut rows = row("latency", "from intended start to decrypted", &report.latency_us);
    for (name, measured) in &report.measures {
        rows.push_str(&row(name, &measured.about, &measured.us));
    }
    if report.scenario.open_loop {
        rows.push_str(&row("lag", "of that, the generator's own", &report.generator.lag_us));
    }
    format!(
        "<h2>Times</h2><table><tr><th></th><th></th><th>count</th><th>p50</th><th>p90</th><th>p99</th><th>p99.9</th>\
         <th>max</th></tr>{rows}</table>"
    )
}

fn steps(report: &Report) -> String {
    if report.steps.len() < 2 {
        return String::new();
    }
    let row = |step: &crate::report::Step| {
        format!(
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td class=\"text\">{}</td></tr>",
            step.offered,
            step.achieved,
            step.deliveries,
            time(float(step.latency_us.p50)),
            time(float(step.latency_us.p99)),
            escape(step.strain.as_deref().unwrap_or_default())
        )
    };
    format!(
        "<h2>Steps</h2><table><tr><th>offered/s</th><th>achieved/s</th><th>deliveries/s</th><th>p50</th><th>p99</th>\
         <th></th></tr>{}</table>",
        report.steps.iter().map(row).collect::<String>()
    )
}

fn servers(report: &Report) -> String {
    if report.servers.is_empty() {
        return String::new();
    }
    let mib = |octets: u64| format!("{} MiB", octets >> 20);
    let row = |server: &crate::report::ServerCost| {
        format!(
            "<tr><td>{}</td><td>{} ms</td><td>{} µs</td><td>{}</td><td>{}</td><td>{} KiB</td><td>{}</td></tr>",
            escape(&server.name),
            grouped(server.cpu_ms),
            server.cpu_us_per_delivery,
            mib(server.rss_octets),
            mib(server.rss_octets_max),
            server.rss_growth_octets / 1024,
            server
                .relay
                .and_then(|added| added.p99_us)
                .map_or(String::new(), |us| format!("≤ {} µs", grouped(us)))
        )
    };
    format!(
        "<h2>Servers</h2><table><tr><th></th><th>CPU</th><th>CPU a delivery</th><th>memory</th><th>most</th><th>grew</th><th>p99 it added</th></tr>{}</table>",
        report.servers.iter().map(row).collect::<String>()
    )
}

fn rest(report: &Report) -> String {
    let mut out = String::new();
    if report.scenario.guests > 0 {
        let guests = &report.guests;
        let _always = write!(
            out,
            "<h2>Guests</h2><p>Came in or back {} times, went {} times, of which {} removals; {} seats were cut off. They were \
             shown {} messages and sent {} that they could not open; {} were said while they were away \
             and not kept for them.</p>",
            guests.entered,
            guests.went,
            guests.kicked,
            guests.seats_lost,
            grouped(guests.heard),
            grouped(guests.unreadable),
            grouped(guests.missed)
        );
    }
    for error in &report.errors {
        let _always = write!(
            out,
            "<p><b>{}</b> ({}×): {}</p>",
            escape(&error.what),
            error.count,
            escape(&error.first)
        );
    }
    let environment = &report.environment;
    let notes: String =
        report.notes.iter().map(|note| format!("<li>{}</li>", escape(note))).collect();
    let _always = write!(
        out,
        "<h2>Where this comes from</h2><p><code>{}</code></p><p>{} · version {}, {} build · {} × {} · Linux {} · \
         everyone had joined after {} ms, the whole run took {} ms · schema {} version {}</p><ul class=\"notes\">{notes}</ul>",
        escape(&environment.command),
        escape(&environment.began),
        escape(&environment.version),
        escape(&environment.profile),
        environment.cpus,
        escape(&environment.cpu_model),
        escape(&environment.kernel),
        grouped(report.setup_ms),
        grouped(report.elapsed_ms),
        escape(&report.schema),
        report.version
    );
    out
}

/// Microseconds as people say them.
fn time(us: f64) -> String {
    let digits = |value: f64| {
        if value >= 100.0 || value.fract() < 0.05 {
            format!("{value:.0}")
        } else {
            format!("{value:.1}")
        }
    };
    match us {
        us if us < 1000.0 => format!("{} µs", digits(us)),
        us if us < 1_000_000.0 => format!("{} ms", digits(us / 1000.0)),
        us => format!("{} s", digits(us / 1_000_000.0)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::tests::{Plant, report};

    #[test]
    fn the_verdict_comes_before_every_chart_and_says_what_is_wrong() {
        let page = page(&report(Plant::Loss, "p99<20ms"));

        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is missing"));
        assert!(at("FAILED</b>") < at("<svg") && at("1 lost") < at("<svg"));
        assert!(at("Rooms with a fault (1 of 2)") > at("<svg"));
    }

    #[test]
    fn a_demand_that_was_missed_says_what_was_measured() {
        let page = page(&report(Plant::Lag(Duration::from_millis(2)), "p99<10s"));

        let said = "p99&lt;10s is missed (5.003 ms, and the result is not valid)";
        assert!(page.contains(said), "{page}");
    }

    #[test]
    fn the_chart_of_arrivals_says_that_it_counts_more_than_the_tile() {
        let page = page(&report(Plant::Nothing, ""));

        assert!(page.contains("Arrivals a second at everybody, guests and warm-up included"));
    }

    #[test]
    fn a_closed_loop_has_no_lag() {
        let mut report = report(Plant::Nothing, "");
        assert!(page(&report).contains("lag p99"));
        report.scenario.open_loop = false;

        let page = page(&report);

        assert!(page.contains("<b>no lag</b>") && !page.contains("lag p99"), "{page}");
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere() {
        let page = page(&report(Plant::Nothing, ""));

        for word in ["http", "src=", "href=", "url(", "@import", "<script", "<link"] {
            assert!(!page.contains(word), "{word}");
        }
    }

    #[test]
    fn every_element_is_closed() {
        let page = page(&report(Plant::Lag(Duration::from_millis(2)), ""));

        for element in ["html", "body", "main", "div", "figure", "svg", "table", "ul", "p", "text"]
        {
            let count = |open: &str| page.matches(open).count();
            let opened = count(&format!("<{element}>")) + count(&format!("<{element} "));
            assert_eq!(opened, count(&format!("</{element}>")), "{element}");
        }
    }

    #[test]
    fn what_a_server_says_is_text_and_no_markup() {
        let mut report = report(Plant::Nothing, "");
        report.environment.command = "<script>alert(1)</script>".into();

        assert!(!page(&report).contains("<script"));
    }

    #[test]
    fn times_are_said_in_the_unit_people_use() {
        let said = [0.0, 950.0, 1500.0, 250_000.0, 1_250_000.0].map(time);
        assert_eq!(said, ["0 µs", "950 µs", "1.5 ms", "250 ms", "1.2 s"]);
    }
}
