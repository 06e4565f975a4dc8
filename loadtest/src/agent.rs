//! Several generators under one controller. Each is a process that some command starts, here or over `ssh` or `kubectl
//! exec`: controller and agent speak over its standard input and output, one JSON object a line, so there is no port to
//! protect and no secret to share. The rooms are dealt out; what comes back are counts and whole histograms.
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use futures_util::future::{TryFutureExt as _, join_all, try_join_all};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{self, MissedTickBehavior};

use crate::book::Interval;
use crate::conduct::{Asked, Ran, fault};
use crate::engine::{ENDED_PATIENCE, Engine, LEAD, Manner, Outcome};
use crate::fleet::{STOPPED, stopped};
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

/// How long an agent may say nothing once it should be done: at a system that goes on it waits for those who leave.
const SILENCE_MAX: Duration = Duration::from_secs(10);
const SILENCE_LEAVING_MAX: Duration = Duration::from_secs(30);

/// Agents with everybody in their seats.
pub(crate) struct Agents {
    agents: Vec<Agent>,
    silence_max: Duration,
}

/// When the agents begin, when they should be done, and how long each may be silent after that.
#[derive(Clone, Copy)]
struct Times {
    done: Instant,
    silence_max: Duration,
}

/// What all agents have seen since it was last told.
struct Together {
    new: Interval,
    /// What each owes and how often it failed, as it last said.
    of: Vec<(u64, u64)>,
}

struct Agent {
    /// Ends with this value.
    child: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    index: usize,
    name: String,
    command: String,
}

impl Agents {
    /// Starts them all and seats everybody. If that fails, or is stopped, nobody stays at a system that goes on.
    ///
    /// # Errors
    /// One of them does not start, somebody cannot join, or it was stopped.
    pub(crate) async fn start(
        commands: &[Vec<String>],
        scenario: &Scenario,
        stage: &Arc<Stage>,
        manner: &Manner,
        stop: watch::Receiver<bool>,
    ) -> anyhow::Result<Self> {
        let start = |(index, command): (usize, &Vec<String>)| Agent::start(index, command);
        let started: anyhow::Result<Vec<Agent>> = commands.iter().enumerate().map(start).collect();
        let mut agents = started?;
        let seat = |agent: &mut Agent| {
            Word::Seat(Box::new(Brief {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                scenario: scenario.clone(),
                stage: Stage::clone(stage),
                share: Share { index: agent.index, of: commands.len() },
                patience: manner.patience,
                p99_max: match manner.limit {
                    Limit::First => None,
                    Limit::P99(time) => Some(time),
                },
                interval: manner.interval,
            }))
        };
        let seating = try_join_all(agents.iter_mut().map(|agent| {
            let word = seat(agent);
            agent.seat(word)
        }));
        let seated = tokio::select! {
            seated = seating => seated.map(drop),
            () = stopped(stop) => Err(anyhow!(STOPPED)),
        };
        let silence_max = if stage.goes_on() { SILENCE_LEAVING_MAX } else { SILENCE_MAX };
        match seated {
            Ok(()) => Ok(Self { agents, silence_max }),
            Err(error) => {
                if stage.goes_on() {
                    let ended = join_all(agents.into_iter().map(Agent::dismiss));
                    let _late = time::timeout(silence_max, ended).await;
                }
                Err(error)
            }
        }
    }

    /// Lets them run, and tells what they see all together. When one of them ends before it should, so do the others.
    ///
    /// # Errors
    /// None of them has a result.
    pub(crate) async fn run(
        self,
        asked: &Asked,
        (start, stop): (Instant, watch::Receiver<bool>),
        mut tell: impl FnMut(Duration, &Interval),
    ) -> anyhow::Result<Ran> {
        let Asked { scenario, interval, patience, .. } = asked;
        let done = start + scenario.warmup + scenario.measured() + *patience;
        let times = Times { done, silence_max: self.silence_max };
        let mut together =
            Together { new: Interval::default(), of: vec![(0, 0); self.agents.len()] };
        let (saying, mut said) = mpsc::channel(SAID_MAX);
        let (ending, end) = watch::channel(false);
        let run = |agent: Agent| {
            let ran = agent.run(end.clone(), saying.clone(), times);
            ran.inspect_err(|_ended| {
                ending.send_replace(true);
            })
        };
        let mut running = Box::pin(join_all(self.agents.into_iter().map(run)));
        let mut ticks = time::interval_at((start + *interval).into(), *interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stopping = Box::pin(stopped(stop));
        let results = loop {
            tokio::select! {
                results = &mut running => break results,
                Some((index, interval)) = said.recv() => together.take(index, &interval),
                tick = ticks.tick() => {
                    let at = tick.into_std().saturating_duration_since(start);
                    tell(at, &together.interval(*interval));
                }
                () = &mut stopping, if !*ending.borrow() => {
                    ending.send_replace(true);
                }
            }
        };
        let mut ran = Ran { outcomes: Vec::new(), ended: Vec::new() };
        for result in results {
            match result {
                Ok(outcome) => ran.outcomes.push(outcome),
                Err(error) => ran.ended.push(fault("generator", &error)),
            }
        }
        match (ran.outcomes.is_empty(), ran.ended.first()) {
            (true, Some(ended)) => bail!("{}", ended.first),
            _ => Ok(ran),
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
        Ok(Self { child, to, from: BufReader::new(from).lines(), index, name, command })
    }

    async fn seat(&mut self, word: Word) -> anyhow::Result<()> {
        self.say(&word).await?;
        match self.hear().await? {
            Answer::Ready => Ok(()),
            _ => bail!("{} did not say that it is ready", self.name),
        }
    }

    /// Has it give up before the run, and waits until it has.
    async fn dismiss(mut self) {
        // One that is gone has nobody to take back any more.
        let _gone = self.say(&Word::Stop).await;
        drop(self.to);
        let _ended = self.child.wait().await;
    }

    /// Runs until it has a result; tells it when everybody is to stop.
    async fn run(
        mut self,
        mut stop: watch::Receiver<bool>,
        saying: mpsc::Sender<(usize, Interval)>,
        mut times: Times,
    ) -> anyhow::Result<Outcome> {
        self.say(&Word::Go).await?;
        let (mut told, mut heard) = (false, service::clock::now());
        loop {
            let silent = times.done.max(heard) + times.silence_max;
            tokio::select! {
                answer = self.hear() => {
                    heard = service::clock::now();
                    match answer? {
                        Answer::Done(outcome) => return Ok(*outcome),
                        // Who would show it may have ended.
                        Answer::Saw(interval) => drop(saying.send((self.index, *interval)).await),
                        _ => bail!("{} said something else than its result", self.name),
                    }
                }
                Ok(_stop) = stop.wait_for(|stop| *stop), if !told => {
                    told = true;
                    times.done = times.done.min(service::clock::now() + ENDED_PATIENCE);
                    self.say(&Word::Stop).await?;
                }
                () = time::sleep_until(silent.into()) => {
                    let silence = service::clock::now().saturating_duration_since(heard);
                    bail!("{} has said nothing for {} s", self.name, silence.as_secs());
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
                "{} has ended without a result; run its command by hand to see why ({})",
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
/// The controller is gone, or somebody cannot join. The controller is told too.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    match answer(&mut lines).await {
        Ok(outcome) => say(&Answer::Done(Box::new(outcome))).await,
        Err(error) => {
            // A controller that is gone is not told.
            let _gone = say(&Answer::Failed(format!("{error:#}"))).await;
            Err(error)
        }
    }
}

/// Seats everybody, unless the controller says that it is over or is gone.
async fn seat(
    brief: &Brief,
    lines: &mut Lines<BufReader<tokio::io::Stdin>>,
) -> anyhow::Result<Engine> {
    let (stopping, stop) = watch::channel(false);
    let stage = Arc::new(brief.stage.clone());
    let seating = Engine::prepare(&stage, &brief.scenario, brief.share, stop, |_what| {});
    tokio::pin!(seating);
    tokio::select! {
        engine = &mut seating => engine,
        _over = hear::<Word>(lines) => {
            stopping.send_replace(true);
            match seating.await {
                Ok(engine) => {
                    engine.leave().await;
                    bail!(STOPPED)
                }
                Err(error) => Err(error),
            }
        }
    }
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
    let engine = seat(&brief, lines).await?;
    let go = match say(&Answer::Ready).await {
        Ok(()) => hear(lines).await,
        Err(error) => Err(error),
    };
    let Ok(Word::Go) = go else {
        engine.leave().await;
        bail!("the controller must say go")
    };
    let manner = Manner {
        patience: brief.patience,
        interval: brief.interval,
        limit: brief.p99_max.map_or(Limit::First, Limit::P99),
    };
    play(engine, &manner, lines).await
}

/// Runs until it is over, or the controller says so or is gone.
async fn play(
    engine: Engine,
    manner: &Manner,
    lines: &mut Lines<BufReader<tokio::io::Stdin>>,
) -> anyhow::Result<Outcome> {
    let (stopping, stop) = watch::channel(false);
    let start = service::clock::now() + LEAD;
    let (seeing, mut seen) = mpsc::channel(SAID_MAX);
    // Nobody must wait for a controller that is slow to show what was seen.
    let tell = |_at, interval: &Interval| drop(seeing.try_send(interval.clone()));
    let mut running = Box::pin(engine.run(manner, start, stop, tell));
    let (mut ended, mut gone) = (false, None);
    loop {
        tokio::select! {
            outcome = &mut running => return gone.map_or(outcome, Err),
            word = hear::<Word>(lines), if !ended => {
                gone = word.context("the controller is gone").err();
                stopping.send_replace(true);
                ended = true;
            }
            Some(interval) = seen.recv(), if gone.is_none() => {
                if let Err(error) = say(&Answer::Saw(Box::new(interval))).await {
                    gone = Some(error);
                    stopping.send_replace(true);
                }
            }
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
