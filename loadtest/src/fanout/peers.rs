//! `loadtest peers`: every load of `rows` with everybody who takes part, in rounds whose order rotates, so that what else
//! the machine does falls on all alike. A fault in a run ends it: a figure of a run that lost something means nothing.
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::rows::{Contestant, Row, rows};
use super::run;
use super::server::{Against, is_installed, version};
use super::table::{Measured, head, lines, placed};
use crate::units;

/// Compares the relay with other servers under the same load.
#[derive(Clone, Debug, Args)]
pub struct Peers {
    /// Only these loads (window, single, 16k, 1000, plain, plain-single, plain-16k, file, idle, p99, shards)
    #[arg(long, value_parser = row)]
    pub row: Vec<String>,
    /// Rounds; each runs everybody once
    #[arg(long, default_value_t = 5, value_parser = units::positive::<usize>)]
    pub rounds: usize,
    /// How long to measure in each run
    #[arg(long, default_value = "2s", value_parser = units::some_time)]
    pub duration: Duration,
    /// Another executable of the relay, such as that of an earlier commit
    #[arg(long)]
    pub relay: Option<PathBuf>,
    /// Write the table into this file, between its marks
    #[arg(long)]
    pub write: Option<PathBuf>,
    /// What is said about the commit in the file
    #[arg(long, default_value = "unknown")]
    pub commit: String,
}

impl Peers {
    /// Does it and prints the table.
    ///
    /// # Errors
    /// A run failed.
    #[expect(clippy::print_stdout, clippy::print_stderr, reason = "the result, and progress")]
    pub fn carry_out(&self) -> anyhow::Result<ExitCode> {
        let rows = self.rows();
        let mut table = head();
        let missing: Vec<Against> = [Against::Nats, Against::Mosquitto, Against::Haproxy]
            .into_iter()
            .filter(|against| !is_installed(*against))
            .collect();
        for against in &missing {
            eprintln!(
                "SKIPPED {}: {} is not installed",
                against.name(),
                against.program().unwrap_or_default()
            );
        }
        println!("{}", table.trim_end());
        for row in &rows {
            let measured = self.measure(row, &missing)?;
            let lines = lines(row, &measured);
            println!("{}", lines.trim_end());
            table.push_str(&lines);
        }
        if let Some(path) = &self.write {
            self.write(path, &table)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn rows(&self) -> Vec<Row> {
        let wanted =
            |row: &Row| self.row.is_empty() || self.row.iter().any(|name| name == row.name);
        rows().into_iter().filter(wanted).collect()
    }

    #[expect(clippy::print_stderr, reason = "progress")]
    fn measure(&self, row: &Row, missing: &[Against]) -> anyhow::Result<Vec<Measured>> {
        let new = |who: &Contestant| Measured { who: *who, figures: Vec::new() };
        let mut measured: Vec<Measured> = row.contestants.iter().map(new).collect();
        for round in 0..self.rounds {
            for at in 0..measured.len() {
                let turn = (at + round) % measured.len();
                let Some(measured) = measured.get_mut(turn) else { continue };
                let who = measured.who;
                if missing.contains(&who.against) {
                    continue;
                }
                let mut asked = row.asked(who, self.duration);
                asked.setup.relay.clone_from(&self.relay);
                let what = || format!("{} with {}", row.name, who.label());
                let report = run(&asked).with_context(what)?;
                anyhow::ensure!(
                    report.broken.is_empty(),
                    "{}: {}",
                    what(),
                    report.broken.join(", ")
                );
                let figure = row.figure.of(&report);
                eprintln!("  round {}: {} {figure:.2} {}", round + 1, what(), row.figure.unit());
                measured.figures.push(figure);
            }
        }
        Ok(measured)
    }

    fn write(&self, path: &Path, table: &str) -> anyhow::Result<()> {
        let file =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let versions = [Against::Nats, Against::Mosquitto, Against::Haproxy].map(version);
        let text = format!(
            "## The relay next to others\n\n`make bench-peers` (`loadtest peers --rounds {} --duration {}ms`), in rotating order; medians (least–most), ratios of \
             medians. Commit {}.\n{}\nMachine: {}.\n\n{table}",
            self.rounds,
            self.duration.as_millis(),
            self.commit,
            versions.join(", "),
            machine(),
        );
        std::fs::write(path, placed(&file, &text))
            .with_context(|| format!("writing {}", path.display()))
    }
}

fn row(name: &str) -> Result<String, String> {
    let known: Vec<&str> = rows().iter().map(|row| row.name).collect();
    if known.contains(&name) {
        Ok(name.to_owned())
    } else {
        Err(format!("there is no such load; these are: {}", known.join(", ")))
    }
}

/// The machine in words.
fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("unknown CPU", |(_, model)| model);
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    // One that paces, as bbr does, costs a timer for every 64 KiB, whoever sends them.
    let pacing = read("/proc/sys/net/ipv4/tcp_congestion_control");
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{cpus} CPUs ({model}), Linux {}, TCP {}", kernel.trim(), pacing.trim())
}
