//! The server under load: our focus with a relay beside it, or Kamailio, which answers the same requests and keeps nothing.
//! Each is kept on one CPU, and everything else on another, where the machine has two.
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use anyhow::{Context, bail};
use client::Level;
use conclave::system::{Plan, System};
use rustls::RootCertStore;
use service::tls::DevCa;
use tokio::runtime::Runtime;

use super::text::{Caller, DOMAIN};
use crate::usage::{self, Usage};

/// The longest Kamailio may take to listen.
const READY: std::time::Duration = std::time::Duration::from_secs(10);
/// The CPU of the server, and that of everything else.
const SERVER: usize = 0;
const OTHERS: usize = 1;
/// How long a participant of a conference may stay away from the relay: longer than any run.
const BIND_SECS: u64 = 3600;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Against {
    /// Our focus, and a relay that gives the seats
    Mrfc,
    /// Kamailio, answering without state
    Kamailio,
}

/// A server that runs.
#[derive(Debug)]
pub enum House {
    /// Ours.
    Mrfc {
        /// It needs one to be stopped.
        runtime: Runtime,
        /// Both servers.
        system: Box<System>,
    },
    /// Kamailio.
    Kamailio {
        /// Its first process.
        child: Child,
        /// Where it listens.
        sip: SocketAddr,
        /// Who signed its certificate.
        ca: Box<DevCa>,
        /// Its files.
        folder: tempfile::TempDir,
    },
}

impl House {
    /// Starts it, for so many users.
    ///
    /// # Errors
    /// It does not start.
    pub fn start(against: Against, users: usize, pinned: bool) -> anyhow::Result<Self> {
        if pinned {
            // What is started from here sees one CPU, and makes its threads for it.
            pin(std::process::id(), SERVER)?;
        }
        let house = Self::start_here(against, users)?;
        if pinned {
            if let Self::Mrfc { system, .. } = &house {
                let [_, mrfp] = system.servers();
                pin(mrfp.id()?, OTHERS)?;
            }
            pin(std::process::id(), OTHERS)?;
        }
        Ok(house)
    }

    fn start_here(against: Against, users: usize) -> anyhow::Result<Self> {
        match against {
            Against::Mrfc => {
                let users = (0..users).map(|n| Caller(n).user()).collect();
                let plan = Plan {
                    users,
                    level: Level::Open,
                    bind_secs: Some(BIND_SECS),
                    ..Plan::default()
                };
                let runtime = tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(1)
                    .enable_all()
                    .build()?;
                let system = Box::new(runtime.block_on(System::start(&plan))?);
                Ok(Self::Mrfc { runtime, system })
            }
            Against::Kamailio => Self::kamailio(),
        }
    }

    fn kamailio() -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("loadtest-").tempdir()?;
        let ca = DevCa::new("loadtest", service::clock::wall())?;
        let files = ca.issue_files(&[DOMAIN, "127.0.0.1"], folder.path(), "server")?;
        let sip = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let tls = format!(
            "[server:default]\nmethod = TLSv1.2+\nverify_certificate = no\nrequire_certificate = no\n\
             private_key = {}\ncertificate = {}\n",
            files.key_file.display(),
            files.certificate_file.display()
        );
        std::fs::write(folder.path().join("tls.cfg"), tls)?;
        let text = include_str!("../../peers/kamailio.cfg")
            .replace("{{port}}", &sip.port().to_string())
            .replace("{{folder}}", &folder.path().display().to_string())
            .replace("{{modules}}", &modules()?);
        let config = folder.path().join("kamailio.cfg");
        std::fs::write(&config, text)?;
        let mut command = Command::new("/usr/sbin/kamailio");
        command.arg("-DD").arg("-E").arg("-m").arg("512").arg("-f").arg(&config);
        let log = std::fs::File::create(folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().context("starting kamailio")?;
        let until = service::clock::now() + READY;
        while TcpStream::connect(sip).is_err() {
            if child.try_wait()?.is_some() || service::clock::now() > until {
                let log = std::fs::read_to_string(folder.path().join("log")).unwrap_or_default();
                bail!("kamailio does not listen: {log}");
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Ok(Self::Kamailio { child, sip, ca: Box::new(ca), folder })
    }

    /// Where SIP is spoken.
    ///
    /// # Errors
    /// It did not say.
    pub fn sip(&self) -> anyhow::Result<SocketAddr> {
        match self {
            Self::Mrfc { system, .. } => Ok(system.directions().sip),
            Self::Kamailio { sip, .. } => Ok(*sip),
        }
    }

    /// Who signed its certificate.
    ///
    /// # Errors
    /// The certificate is not understood.
    pub fn roots(&self) -> anyhow::Result<Arc<RootCertStore>> {
        match self {
            Self::Mrfc { system, .. } => Ok(system.directions().profile("u0")?.system.roots),
            Self::Kamailio { ca, .. } => Ok(ca.roots()?),
        }
    }

    /// The password of a caller; none where nobody asks for one.
    ///
    /// # Errors
    /// There is no such user.
    pub fn password(&self, caller: Caller) -> anyhow::Result<Option<String>> {
        match self {
            Self::Mrfc { system, .. } => {
                let profile = system.directions().profile(&caller.user())?;
                Ok(Some(profile.password.to_string()))
            }
            Self::Kamailio { .. } => Ok(None),
        }
    }

    /// What the server has cost so far.
    ///
    /// # Errors
    /// It has ended.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        match self {
            Self::Mrfc { system, .. } => {
                let [mrfc, _] = system.servers();
                Ok(usage::of(mrfc.id()?)?)
            }
            Self::Kamailio { child, .. } => {
                let mut sum = Usage::default();
                for pid in family(child.id())? {
                    let one = usage::of(pid)?;
                    sum.cpu += one.cpu;
                    sum.rss_octets += one.rss_octets;
                    sum.rss_octets_max += one.rss_octets_max;
                }
                Ok(sum)
            }
        }
    }

    /// The CPU time of the relay beside it.
    ///
    /// # Errors
    /// It has ended.
    pub fn relay(&self) -> anyhow::Result<Option<Usage>> {
        match self {
            Self::Mrfc { system, .. } => {
                let [_, mrfp] = system.servers();
                Ok(Some(usage::of(mrfp.id()?)?))
            }
            Self::Kamailio { .. } => Ok(None),
        }
    }

    /// What a server that counts says of itself: the text of its metrics.
    ///
    /// # Errors
    /// It does not answer.
    pub fn metrics(&self) -> anyhow::Result<String> {
        let Self::Mrfc { system, .. } = self else { return Ok(String::new()) };
        let [mrfc, _] = system.servers();
        let mut stream = TcpStream::connect(mrfc.address("ops")?)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Ends it.
    ///
    /// # Errors
    /// It does not end as it should.
    pub fn stop(self) -> anyhow::Result<()> {
        match self {
            Self::Mrfc { runtime, system } => runtime.block_on(system.stop()),
            Self::Kamailio { mut child, folder, .. } => {
                let pids: Vec<String> = family(child.id())?.iter().map(u32::to_string).collect();
                Command::new("kill").args(pids).status()?;
                child.wait()?;
                Ok(folder.close()?)
            }
        }
    }
}

/// Where Debian puts Kamailio's modules on this architecture.
fn modules() -> anyhow::Result<String> {
    for folder in std::fs::read_dir("/usr/lib")? {
        let folder = folder?.path().join("kamailio/modules");
        if folder.join("tls.so").is_file() {
            return Ok(folder.display().to_string());
        }
    }
    bail!("kamailio and its module for TLS are not installed")
}

/// A process and its children, and theirs.
fn family(pid: u32) -> anyhow::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(child) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let stat = std::fs::read_to_string(Path::new("/proc").join(&name).join("stat"));
        let parent = stat.ok().and_then(|stat| parent(&stat));
        parents.extend(parent.map(|parent| (child, parent)));
    }
    let (mut family, mut at) = (vec![pid], 0);
    while let Some(of) = family.get(at).copied() {
        family.extend(parents.iter().filter(|(_, parent)| *parent == of).map(|(child, _)| child));
        at += 1;
    }
    Ok(family)
}

/// Of `/proc/PID/stat` (proc(5)): the second field behind the name in parentheses.
fn parent(stat: &str) -> Option<u32> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Keeps all threads of a process on one CPU; on a machine with one there is nothing to do.
fn pin(pid: u32, cpu: usize) -> anyhow::Result<()> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    if cpus.lines().filter(|line| line.starts_with("processor")).count() < 2 {
        return Ok(());
    }
    let mut command = Command::new("taskset");
    command.args(["-a", "-c", "-p", &cpu.to_string(), &pid.to_string()]).stdout(Stdio::null());
    anyhow::ensure!(command.status().context("taskset")?.success(), "taskset failed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_a_process_is_found_whatever_it_is_called() {
        assert_eq!(parent("42 (a) b) S 7 42 42 0"), Some(7));
        let own = family(std::process::id()).unwrap();
        assert_eq!(own.first(), Some(&std::process::id()));
    }
}
