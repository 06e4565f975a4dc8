//! Several generators under one controller. Each is a process that some command starts, here or over `ssh` or `kubectl
//! exec`: controller and agent speak over its standard input and output, one JSON object a line, so there is no port to
//! protect and no secret to share. The rooms are dealt out; what comes back are counts and whole histograms.
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{self, MissedTickBehavior};

use crate::book::Interval;
use crate::engine::{Engine, LEAD, Manner, Outcome};
use crate::report::Limit;
use crate::scenario::Scenario;
use crate::stage::{Share, Stage};

/// What the controller says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    /// Seat everybody of this share.
    Seat(Box<Brief>),
    /// Begin.
    Go,
    /// End before the time.
    Stop,
}

/// What an agent has to know.
#[derive(Debug, Serialize, Deserialize)]
struct Brief {
    version: String,
    scenario: Scenario,
    stage: Stage,
    share: Share,
    patience: Duration,
    p99_max: Option<Duration>,
    interval: Duration,
}

/// What an agent says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    /// Everybody is in their seat.
    Ready,
    /// What happened in an interval.
    Saw(Box<Interval>),
    /// Something failed.
    Failed(String),
    /// The run is over.
    Done(Box<Outcome>),
}

/// What agents say of their intervals and nobody has looked at yet.
const SAID_MAX: usize = 64;

/// Agents with everybody in their seats.
pub(crate) struct Agents(Vec<Agent>);

/// What all agents have seen since it was last told.
struct Together {
    new: Interval,
    /// What each owes and how often it failed, as it last said.
    of: Vec<(u64, u64)>,
}

struct Agent {
    /// Ends with this value.
    _child: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    index: usize,
    name: String,
    command: String,
}

impl Agents {
    /// Starts them all and seats everybody.
    ///
    /// # Errors
    /// One of them does not start, or somebody cannot join.
    pub(crate) async fn start(
        commands: &[Vec<String>],
        scenario: &Scenario,
        stage: &Arc<Stage>,
        manner: &Manner,
    ) -> anyhow::Result<Self> {
        anyhow::ensure!(
            commands.len() <= scenario.rooms,
            "{} agents and {} rooms: a room is not divided, so that one clock times a delivery",
            commands.len(),
            scenario.rooms
        );
        let seat = |(index, command): (usize, &Vec<String>)| {
            let brief = Brief {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                scenario: scenario.clone(),
                stage: Stage::clone(stage),
                share: Share { index, of: commands.len() },
                patience: manner.patience,
                p99_max: match manner.limit {
                    Limit::First => None,
                    Limit::P99(time) => Some(time),
                },
                interval: manner.interval,
            };
            let command = command.clone();
            async move {
                let mut agent = Agent::start(index, &command)?;
                agent.say(&Word::Seat(Box::new(brief))).await?;
                match agent.hear().await? {
                    Answer::Ready => Ok(agent),
                    _ => bail!("{} did not say that it is ready", agent.name),
                }
            }
        };
        try_join_all(commands.iter().enumerate().map(seat)).await.map(Self)
    }

    /// Lets them run, and tells what they see all together.
    ///
    /// # Errors
    /// One of them failed.
    pub(crate) async fn run(
        self,
        manner: &Manner,
        (start, stop): (Instant, watch::Receiver<bool>),
        mut tell: impl FnMut(Duration, &Interval),
    ) -> anyhow::Result<Vec<Outcome>> {
        let mut together = Together { new: Interval::default(), of: vec![(0, 0); self.0.len()] };
        let (saying, mut said) = mpsc::channel(SAID_MAX);
        let run = |agent: Agent| agent.run(stop.clone(), saying.clone());
        let mut running = Box::pin(try_join_all(self.0.into_iter().map(run)));
        let mut ticks = time::interval_at((start + manner.interval).into(), manner.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                outcomes = &mut running => return outcomes,
                Some((index, interval)) = said.recv() => together.take(index, &interval),
                tick = ticks.tick() => {
                    let at = tick.into_std().saturating_duration_since(start);
                    tell(at, &together.interval(manner.interval));
                }
            }
        }
    }
}

impl Together {
    fn take(&mut self, index: usize, interval: &Interval) {
        self.new.add(interval);
        if let Some(of) = self.of.get_mut(index) {
            *of = (interval.owed, interval.errors);
        }
    }

    fn interval(&mut self, time: Duration) -> Interval {
        let (owed, errors) = self.of.iter().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
        Interval { time, owed, errors, ..std::mem::take(&mut self.new) }
    }
}

impl Agent {
    fn start(index: usize, command: &[String]) -> anyhow::Result<Self> {
        let name = format!("agent {index}");
        let (program, arguments) = command.split_first().context("an agent needs a command")?;
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            // Ctrl-C is for the controller, which tells its agents.
            .process_group(0)
            .spawn();
        let mut child = child.with_context(|| format!("starting {name}: {}", command.join(" ")))?;
        let to = child.stdin.take().context("its standard input is no pipe")?;
        let from = child.stdout.take().context("its standard output is no pipe")?;
        let command = command.join(" ");
        Ok(Self { _child: child, to, from: BufReader::new(from).lines(), index, name, command })
    }

    /// Runs until it has a result; tells it when everybody is to stop.
    async fn run(
        mut self,
        mut stop: watch::Receiver<bool>,
        saying: mpsc::Sender<(usize, Interval)>,
    ) -> anyhow::Result<Outcome> {
        self.say(&Word::Go).await?;
        let mut told = false;
        loop {
            tokio::select! {
                answer = self.hear() => match answer? {
                    Answer::Done(outcome) => return Ok(*outcome),
                    // Who would show it may have ended.
                    Answer::Saw(interval) => drop(saying.send((self.index, *interval)).await),
                    _ => bail!("{} said something else than its result", self.name),
                },
                Ok(_stop) = stop.wait_for(|stop| *stop), if !told => {
                    told = true;
                    self.say(&Word::Stop).await?;
                }
            }
        }
    }

    async fn say(&mut self, word: &Word) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(word)?;
        line.push(b'\n');
        let said = self.to.write_all(&line).await;
        said.with_context(|| format!("telling {}", self.name))
    }

    async fn hear(&mut self) -> anyhow::Result<Answer> {
        let line = self.from.next_line().await?;
        let line = line.with_context(|| {
            format!(
                "{0} has ended: see what {0} said above, or run its command by hand ({1})",
                self.name, self.command
            )
        })?;
        match serde_json::from_str(&line) {
            Ok(Answer::Failed(why)) => bail!("{}: {why}", self.name),
            Ok(answer) => Ok(answer),
            Err(error) => bail!("{} is not understood: {error}", self.name),
        }
    }
}

/// What `loadtest agent` does: serves one controller over standard input and output.
///
/// # Errors
/// The controller is gone, or somebody cannot join.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let served = answer(&mut lines).await;
    let last = match served {
        Ok(outcome) => Answer::Done(Box::new(outcome)),
        Err(error) => Answer::Failed(format!("{error:#}")),
    };
    say(&last).await
}

async fn answer(lines: &mut Lines<BufReader<tokio::io::Stdin>>) -> anyhow::Result<Outcome> {
    let Word::Seat(brief) = hear(lines).await? else {
        bail!("the controller must say who sits where")
    };
    let ours = env!("CARGO_PKG_VERSION");
    anyhow::ensure!(
        brief.version == ours,
        "the controller is {}, this agent {ours}",
        brief.version
    );
    let engine =
        Engine::prepare(&Arc::new(brief.stage), &brief.scenario, brief.share, |_what| {}).await?;
    say(&Answer::Ready).await?;
    let Word::Go = hear(lines).await? else { bail!("the controller must say go") };
    let (stopping, stop) = watch::channel(false);
    let manner = Manner {
        patience: brief.patience,
        interval: brief.interval,
        limit: brief.p99_max.map_or(Limit::First, Limit::P99),
    };
    let start = service::clock::now() + LEAD;
    let (seeing, mut seen) = mpsc::channel(SAID_MAX);
    // Nobody must wait for a controller that is slow to show what was seen.
    let tell = |_at, interval: &Interval| drop(seeing.try_send(interval.clone()));
    let mut running = Box::pin(engine.run(&manner, start, stop, tell));
    let mut ended = false;
    loop {
        tokio::select! {
            outcome = &mut running => return outcome,
            word = hear::<Word>(lines), if !ended => {
                word.context("the controller is gone")?;
                let _over = stopping.send(true);
                ended = true;
            }
            Some(interval) = seen.recv() => say(&Answer::Saw(Box::new(interval))).await?,
        }
    }
}

async fn hear<T: DeserializeOwned>(
    lines: &mut Lines<BufReader<tokio::io::Stdin>>,
) -> anyhow::Result<T> {
    let line = lines.next_line().await?.context("nothing more is said")?;
    Ok(serde_json::from_str(&line)?)
}

async fn say(answer: &Answer) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    let mut out = tokio::io::stdout();
    out.write_all(&line).await?;
    Ok(out.flush().await?)
}
