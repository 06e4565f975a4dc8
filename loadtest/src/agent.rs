//! Several generators under one controller. Each is a process that some command starts, here or over `ssh` or `kubectl
//! exec`: controller and agent speak over its standard input and output, one JSON object a line, so there is no port to
//! protect and no secret to share. The rooms are dealt out; what comes back are counts and whole histograms.
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;

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
}

/// What an agent says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    /// Everybody is in their seat.
    Ready,
    /// Something failed.
    Failed(String),
    /// The run is over.
    Done(Box<Outcome>),
}

/// Agents with everybody in their seats.
pub(crate) struct Agents(Vec<Agent>);

struct Agent {
    /// Ends with this value.
    _child: Child,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    name: String,
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

    /// Lets them run.
    ///
    /// # Errors
    /// One of them failed.
    pub(crate) async fn run(
        self,
        stop: watch::Receiver<bool>,
        tell: impl Fn(&str),
    ) -> anyhow::Result<Vec<Outcome>> {
        tell(&format!("{} agents run", self.0.len()));
        let run = |mut agent: Agent| {
            let mut stop = stop.clone();
            async move {
                agent.say(&Word::Go).await?;
                let mut told = false;
                loop {
                    tokio::select! {
                        answer = agent.hear() => match answer? {
                            Answer::Done(outcome) => return Ok(*outcome),
                            _ => bail!("{} said something else than its result", agent.name),
                        },
                        Ok(_stop) = stop.wait_for(|stop| *stop), if !told => told = true,
                    }
                    if told {
                        agent.say(&Word::Stop).await?;
                    }
                }
            }
        };
        try_join_all(self.0.into_iter().map(run)).await
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
        Ok(Self { _child: child, to, from: BufReader::new(from).lines(), name })
    }

    async fn say(&mut self, word: &Word) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(word)?;
        line.push(b'\n');
        let said = self.to.write_all(&line).await;
        said.with_context(|| format!("telling {}", self.name))
    }

    async fn hear(&mut self) -> anyhow::Result<Answer> {
        let line = self.from.next_line().await?;
        let line = line.with_context(|| format!("{} has ended", self.name))?;
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
        interval: Duration::from_millis(500),
        limit: brief.p99_max.map_or(Limit::First, Limit::P99),
    };
    let start = service::clock::now() + LEAD;
    let mut running = Box::pin(engine.run(&manner, start, stop, |_at, _interval| {}));
    tokio::select! {
        outcome = &mut running => return outcome,
        word = hear::<Word>(lines) => {
            word.context("the controller is gone")?;
            let _over = stopping.send(true);
        }
    }
    running.await
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
