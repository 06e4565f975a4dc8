//! The server under load, as a process of its own on loopback: the relay, or a program to compare it with. It ends with
//! this value. Each gets the shortest configuration under which it takes the load; its certificate is made anew.
use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::Serialize;
use service::tls::{DevCa, IdentityFiles};
use tempfile::TempDir;

use super::line::SERVER_NAME;

/// The longest a server may take until it listens.
const READY_MAX: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is put under load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Against {
    /// The relay of this repository
    Mrfp,
    /// nats-server
    Nats,
    /// mosquitto
    Mosquitto,
}

impl Against {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mrfp => "mrfp",
            Self::Nats => "nats",
            Self::Mosquitto => "mosquitto",
        }
    }

    /// Whether it answers the sender's messages.
    #[must_use]
    pub const fn answers(self) -> bool {
        matches!(self, Self::Mrfp)
    }

    /// The program, if it is not this executable.
    #[must_use]
    pub const fn program(self) -> Option<&'static str> {
        match self {
            Self::Mrfp => None,
            Self::Nats => Some("nats-server"),
            Self::Mosquitto => Some("mosquitto"),
        }
    }
}

/// How to start it.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What.
    pub against: Against,
    /// Another executable of the relay than this one.
    pub relay: Option<PathBuf>,
    /// Threads of the relay that carry connections.
    pub shards: usize,
    /// Without TLS.
    pub plain: bool,
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where participants connect.
    pub address: SocketAddr,
    /// Where the focus connects.
    pub control: Option<SocketAddr>,
    /// Who signed its certificate.
    pub ca: DevCa,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; nothing of it is wanted any more.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Server {
    /// Starts it and waits until it listens.
    ///
    /// # Errors
    /// It is not installed, or does not start.
    pub fn start(setup: &Setup) -> anyhow::Result<Self> {
        let name = setup.against.name();
        let folder = tempfile::Builder::new().prefix("loadtest-").tempdir()?;
        let ca = DevCa::new("loadtest", service::clock::wall())?;
        let made = Made {
            files: ca.issue_files(&[SERVER_NAME, "127.0.0.1"], folder.path(), "server")?,
            folder: folder.path(),
            setup,
        };
        ca.write_certificate(&folder.path().join("ca.pem"))?;
        let (mut child, address) = made.spawn().with_context(|| format!("starting {name}"))?;
        let (address, control) = match address {
            Some(address) => {
                wait(&mut child, address).with_context(|| format!("waiting for {name}"))?;
                (address, None)
            }
            None => ready(&mut child).with_context(|| format!("starting {name}"))?,
        };
        Ok(Self { child, address, control, ca, _folder: folder })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

/// What a server is made of.
struct Made<'a> {
    folder: &'a Path,
    files: IdentityFiles,
    setup: &'a Setup,
}

impl Made<'_> {
    /// The process, and where it will listen unless it says so itself.
    fn spawn(&self) -> anyhow::Result<(Child, Option<SocketAddr>)> {
        let mut command = match self.setup.against.program() {
            Some(program) => Command::new(found(program)?),
            None => Command::new(self.executable()?),
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let (certificate, key) = (&self.files.certificate_file, &self.files.key_file);
        let free = free_port()?;
        let port = free.port();
        let listens = match self.setup.against {
            Against::Mrfp => {
                let config = self.write("mrfp.toml", &self.relay())?;
                if self.setup.relay.is_none() {
                    command.arg("mrfp");
                }
                command.args(["serve", "--exit-with-parent", "--config"]).arg(config);
                None
            }
            Against::Nats => {
                let mut text =
                    format!("listen: \"{free}\"\nmax_payload: 8MB\nwrite_deadline: \"60s\"\n");
                if !self.setup.plain {
                    writeln!(text, "tls {{ cert_file: {certificate:?}, key_file: {key:?} }}")?;
                }
                command.arg("-c").arg(self.write("nats.conf", &text)?).stderr(Stdio::null());
                Some(free)
            }
            Against::Mosquitto => {
                // Without these bounds it drops what it cannot send at once.
                let mut text = format!(
                    "user root\nlistener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n\
                     max_inflight_messages 0\nset_tcp_nodelay true\nlog_dest none\n"
                );
                if !self.setup.plain {
                    writeln!(
                        text,
                        "certfile {}\nkeyfile {}",
                        certificate.display(),
                        key.display()
                    )?;
                }
                command.arg("-c").arg(self.write("mosquitto.conf", &text)?).stderr(Stdio::null());
                Some(free)
            }
        };
        if listens.is_some() {
            command.stdout(Stdio::null());
        }
        Ok((command.spawn()?, listens))
    }

    fn executable(&self) -> anyhow::Result<PathBuf> {
        match &self.setup.relay {
            Some(relay) => Ok(relay.clone()),
            None => std::env::current_exe().context("finding this executable"),
        }
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    fn relay(&self) -> String {
        let (chain, key) = (&self.files.certificate_file, &self.files.key_file);
        let identity = format!("certificate_file = {chain:?}\nkey_file = {key:?}\n");
        format!(
            "shards = {shards}\n[msrp]\nlisten = \"127.0.0.1:0\"\n{identity}\
             [control]\nlisten = \"127.0.0.1:0\"\n{identity}ca_file = {ca:?}\n\
             [ops]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"warn\"\n\
             [limits]\nconnections_max = 20000\nconnections_per_address_max = 20000\n",
            shards = self.setup.shards,
            ca = self.folder.join("ca.pem"),
        )
    }
}

/// Debian keeps servers where only root looks for commands.
fn found(program: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders =
        std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let mut files = folders.map(|folder| folder.join(program));
    files.find(|file| file.is_file()).with_context(|| format!("{program} is not installed"))
}

/// Whether a program can be started.
#[must_use]
pub fn is_installed(against: Against) -> bool {
    against.program().is_none_or(|program| found(program).is_ok())
}

/// A port that was free just now: these programs cannot say which one they took.
fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

fn wait(child: &mut Child, address: SocketAddr) -> anyhow::Result<()> {
    let until = service::clock::now() + READY_MAX;
    while TcpStream::connect(address).is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("it ended with {status}");
        }
        if service::clock::now() > until {
            bail!("it does not listen");
        }
        std::thread::sleep(LOOK_AGAIN);
    }
    Ok(())
}

/// The line in which our own servers say where they listen.
fn ready(child: &mut Child) -> anyhow::Result<(SocketAddr, Option<SocketAddr>)> {
    let stdout = child.stdout.take().context("its standard output is not a pipe")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let ready: serde_json::Value = serde_json::from_str(&line).context("it said nothing")?;
    let address = |name: &str| ready.get(name)?.as_str()?.parse().ok();
    Ok((address("msrp").context("it has no listener")?, address("control")))
}
