//! Runs MRFC and MRFP as child processes of this command: the executable starts itself again as the server.
//! A child says on its standard output where it listens, logs into a file, and ends when its standard input closes,
//! so it never outlives its parent. Nothing here knows what the servers do.
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// The longest a server may take to say that it is ready. Recovery of a small journal takes milliseconds.
const READY_SECS_MAX: u64 = 30;
/// The longest a server may take to end once its standard input has closed.
const STOP_SECS_MAX: u64 = 10;

/// Which server a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The conference focus.
    Mrfc,
    /// The relay.
    Mrfp,
}

impl Role {
    /// The name of the subcommand and of the configuration file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mrfc => "mrfc",
            Self::Mrfp => "mrfp",
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    role: Role,
    child: Child,
    stdin: Option<ChildStdin>,
    listens: BTreeMap<String, String>,
}

impl Server {
    /// Starts `role` with the configuration in `folder` and waits until it is ready. It is a subcommand of `program`, or of
    /// this executable.
    ///
    /// # Errors
    /// The process does not start, ends early, or is not ready within 30 s; the message names its log.
    pub async fn start(role: Role, folder: &Path, program: Option<&Path>) -> anyhow::Result<Self> {
        let program = match program {
            Some(program) => program.to_owned(),
            None => std::env::current_exe().context("finding this executable")?,
        };
        let config = folder.join(format!("{}.toml", role.name()));
        let log = folder.join(format!("{}.log", role.name()));
        let log_file = File::options().create(true).append(true).mode(0o600).open(&log);
        let log_file = log_file.with_context(|| format!("opening {}", log.display()))?;
        let mut child = Command::new(program)
            .args([role.name(), "serve", "--exit-with-parent", "--config"])
            .arg(&config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::from(log_file))
            .kill_on_drop(true)
            // Ctrl-C in a terminal is for whoever started the servers, who stops them in their time.
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", role.name()))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout was asked for as a pipe");
        let ready = ready_line(stdout);
        let line = tokio::time::timeout(Duration::from_secs(READY_SECS_MAX), ready).await;
        let listens = match line {
            Ok(Ok(listens)) => listens,
            Ok(Err(error)) => bail!("{} did not start: {error}; {}", role.name(), tail(&log)),
            Err(_late) => {
                bail!("{} was not ready within {READY_SECS_MAX} s; {}", role.name(), tail(&log))
            }
        };
        Ok(Self { role, child, stdin, listens })
    }

    /// The address of a listener by its name in the ready line (`sip`, `https`, `msrp`, `control`, `ops`).
    ///
    /// # Errors
    /// The server named no such listener.
    pub fn address(&self, listener: &str) -> anyhow::Result<&str> {
        let address = self.listens.get(listener);
        address
            .map(String::as_str)
            .with_context(|| format!("{} has no {listener} listener", self.role.name()))
    }

    /// What it is: `mrfc` or `mrfp`.
    pub fn name(&self) -> &'static str {
        self.role.name()
    }

    /// The process id.
    ///
    /// # Errors
    /// The process has ended.
    pub fn id(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("{} has ended", self.role.name()))
    }

    /// Resolves when the process ends by itself.
    pub async fn ended(&mut self) -> anyhow::Error {
        match self.child.wait().await {
            Ok(status) => anyhow::anyhow!("{} ended: {status}", self.role.name()),
            Err(error) => anyhow::anyhow!("{} cannot be waited for: {error}", self.role.name()),
        }
    }

    /// Asks the server to end and waits for it.
    ///
    /// # Errors
    /// It ended with another status than 0, or not within 10 s (it is killed then).
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin.take());
        let ended =
            tokio::time::timeout(Duration::from_secs(STOP_SECS_MAX), self.child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => bail!("{} ended with {status}", self.role.name()),
            Ok(Err(error)) => {
                Err(error).with_context(|| format!("waiting for {}", self.role.name()))
            }
            Err(_late) => {
                self.child.kill().await.with_context(|| format!("killing {}", self.role.name()))?;
                bail!("{} did not end within {STOP_SECS_MAX} s and was killed", self.role.name())
            }
        }
    }
}

/// Reads the one line a server prints when it is ready: a JSON object of listener names and addresses.
async fn ready_line(
    stdout: tokio::process::ChildStdout,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut line = String::new();
    let read =
        BufReader::new(stdout).read_line(&mut line).await.context("reading its ready line")?;
    if read == 0 {
        bail!("it ended before it was ready");
    }
    serde_json::from_str(&line)
        .with_context(|| format!("its ready line is not understood: {line:?}"))
}

/// The last lines of a log, for a person who must find out why a server did not start.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    let lines: Vec<&str> = lines.into_iter().rev().collect();
    format!("the end of {}:\n{}", log.display(), lines.join("\n"))
}
