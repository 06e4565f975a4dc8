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

use super::bare::{Plant, Stalls};
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
    /// haproxy, from one connection to one other
    Haproxy,
    /// The smallest switch there can be, of this repository
    Bare,
}

impl Against {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mrfp => "mrfp",
            Self::Nats => "nats",
            Self::Mosquitto => "mosquitto",
            Self::Haproxy => "haproxy",
            Self::Bare => "bare",
        }
    }

    /// Whether the sender's messages are answered, each once. What haproxy passes on is answered by the receiver.
    #[must_use]
    pub const fn answers(self) -> bool {
        matches!(self, Self::Mrfp | Self::Bare)
    }

    /// The program, if it is not this executable.
    #[must_use]
    pub const fn program(self) -> Option<&'static str> {
        match self {
            Self::Mrfp | Self::Bare => None,
            Self::Nats => Some("nats-server"),
            Self::Mosquitto => Some("mosquitto"),
            Self::Haproxy => Some("haproxy"),
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
    /// A fault of the bare switch, to see it found.
    pub plant: Option<Plant>,
    /// When the bare switch does nothing.
    pub stalls: Option<Stalls>,
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
    /// Where haproxy connects to, in turn.
    pub behind: Option<TcpListener>,
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
        let behind = match setup.against {
            Against::Haproxy => Some(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?),
            _ => None,
        };
        let made = Made {
            files: ca.issue_files(&[SERVER_NAME, "127.0.0.1"], folder.path(), "server")?,
            folder: folder.path(),
            behind: behind.as_ref().map(TcpListener::local_addr).transpose()?,
            setup,
        };
        ca.write_certificate(&folder.path().join("ca.pem"))?;
        let (mut child, address) = made.spawn().with_context(|| format!("starting {name}"))?;
        let (address, control) = match address {
            Some(address) => {
                wait(&mut child, address).with_context(|| format!("waiting for {name}"))?;
                (address, None)
            }
            None => ready(&mut child, setup).with_context(|| format!("starting {name}"))?,
        };
        Ok(Self { child, address, control, ca, behind, _folder: folder })
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
    behind: Option<SocketAddr>,
    setup: &'a Setup,
}

impl Made<'_> {
    /// The process, and where it will listen unless it says so itself.
    fn spawn(&self) -> anyhow::Result<(Child, Option<SocketAddr>)> {
        let Some(program) = self.setup.against.program() else {
            let mut command = Command::new(self.executable()?);
            self.arguments(&mut command)?;
            return Ok((command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?, None));
        };
        let free = free_port()?;
        let text = match self.setup.against {
            Against::Nats => self.nats(free)?,
            Against::Haproxy => self.haproxy(free)?,
            _ => self.mosquitto(free)?,
        };
        let mut command = Command::new(found(program)?);
        command.arg(if self.setup.against == Against::Haproxy { "-f" } else { "-c" });
        command.arg(self.write("peer.conf", &text)?);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Ok((command.spawn()?, Some(free)))
    }

    fn arguments(&self, command: &mut Command) -> anyhow::Result<()> {
        let (certificate, key) = (&self.files.certificate_file, &self.files.key_file);
        if self.setup.against == Against::Bare {
            command.arg("bare");
            if !self.setup.plain {
                command.arg("--certificate").arg(certificate).arg("--key").arg(key);
            }
            if let Some(value) = self.setup.plant.and_then(|plant| plant.to_possible_value()) {
                command.args(["--plant", value.get_name()]);
            }
            if let Some(Stalls { time, every }) = self.setup.stalls {
                let ms = |time: Duration| format!("{}ms", time.as_millis());
                command.args(["--stall", &ms(time), "--stall-every", &ms(every)]);
            }
            return Ok(());
        }
        if self.setup.relay.is_none() {
            command.arg("mrfp");
        }
        let config = self.write("mrfp.toml", &self.relay())?;
        command.args(["serve", "--exit-with-parent", "--config"]).arg(config);
        Ok(())
    }

    fn nats(&self, listen: SocketAddr) -> anyhow::Result<String> {
        let (certificate, key) = (&self.files.certificate_file, &self.files.key_file);
        let mut text = format!("listen: \"{listen}\"\nmax_payload: 8MB\nwrite_deadline: \"60s\"\n");
        if !self.setup.plain {
            writeln!(text, "tls {{ cert_file: {certificate:?}, key_file: {key:?} }}")?;
        }
        Ok(text)
    }

    fn mosquitto(&self, listen: SocketAddr) -> anyhow::Result<String> {
        let (certificate, key) = (&self.files.certificate_file, &self.files.key_file);
        // Without these bounds it drops what it cannot send at once; with another user it cannot read the key.
        let mut text = format!(
            "user root\nlistener {} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\n\
             max_inflight_messages 0\nset_tcp_nodelay true\nlog_dest none\n",
            listen.port()
        );
        if !self.setup.plain {
            writeln!(text, "certfile {}\nkeyfile {}", certificate.display(), key.display())?;
        }
        Ok(text)
    }

    /// TLS on both sides, as the legs of a session that the relay is between.
    fn haproxy(&self, listen: SocketAddr) -> anyhow::Result<String> {
        let read = |path: &Path| std::fs::read_to_string(path);
        let both = read(&self.files.certificate_file)? + &read(&self.files.key_file)?;
        let pem = self.write("both.pem", &both)?;
        let behind = self.behind.context("nothing is behind it")?;
        let (front, back) = if self.setup.plain {
            (String::new(), "")
        } else {
            (format!(" ssl crt {}", pem.display()), " ssl verify none")
        };
        Ok(format!(
            "defaults\n mode tcp\n timeout connect 10s\n timeout client 60s\n timeout server 60s\n\
             listen relay\n bind {listen}{front}\n server behind {behind}{back}\n"
        ))
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
            "shards = {shards}\n[msrp]\nlisten = \"127.0.0.1:0\"\n{identity}{protected}\
             [control]\nlisten = \"127.0.0.1:0\"\n{identity}ca_file = {ca:?}\n\
             [ops]\nlisten = \"127.0.0.1:0\"\n[log]\nlevel = \"warn\"\n\
             [limits]\nconnections_max = 20000\nconnections_per_address_max = 20000\n\
             half_open_per_address_max = 1024\n\
             connects_per_address_per_sec = 0\nchunks_per_seat_per_sec = 0\n\
             octets_per_connection_per_sec = 0\n",
            shards = self.setup.shards,
            protected = if self.setup.plain { "protected_listen = \"127.0.0.1:0\"\n" } else { "" },
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

/// What a program says its version is.
#[must_use]
pub fn version(against: Against) -> String {
    let program = against.program().unwrap_or_default();
    let option = match against {
        Against::Mosquitto => "-h",
        Against::Haproxy => "-v",
        _ => "--version",
    };
    let output = found(program).ok().and_then(|path| Command::new(path).arg(option).output().ok());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = text.as_deref().and_then(|text| text.lines().next());
    line.map_or_else(
        || format!("{program} is not installed"),
        |line| {
            // haproxy goes on with where it comes from.
            line.split(" - ").next().unwrap_or(line).trim().to_owned()
        },
    )
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
fn ready(child: &mut Child, setup: &Setup) -> anyhow::Result<(SocketAddr, Option<SocketAddr>)> {
    let stdout = child.stdout.take().context("its standard output is not a pipe")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let ready: serde_json::Value = serde_json::from_str(&line).context("it said nothing")?;
    let address = |name: &str| ready.get(name)?.as_str()?.parse().ok();
    let protected = setup.plain && setup.against == Against::Mrfp;
    let listener = if protected { "protected" } else { "msrp" };
    Ok((address(listener).context("it has no listener")?, address("control")))
}
