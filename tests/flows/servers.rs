//! The two servers, each a process of its own that can be stopped, killed and started again where it was: they find
//! each other, and devices find them. What happens meanwhile is for the flows.
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use conclave::system::Directions;

use crate::common::{CONCLAVE, Talk};

/// The longest that nothing may happen.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// A server that can be killed.
pub(super) struct Server {
    name: &'static str,
    pub(super) config: PathBuf,
    /// Where it listened the first time, so that the others find it again.
    pub(super) settings: Vec<(&'static str, String)>,
    child: Option<Child>,
}

impl Server {
    pub(super) fn start(&mut self) {
        let until = service::clock::now() + PATIENCE;
        while service::clock::now() < until {
            let mut child = Command::new(CONCLAVE)
                .args([self.name, "serve", "--exit-with-parent", "--config"])
                .arg(&self.config)
                .envs(self.settings.iter().map(|(name, value)| (name, value)))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(self.log())
                .spawn()
                .unwrap();
            let mut line = String::new();
            BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
            if !line.is_empty() {
                self.child = Some(child);
                return;
            }
            // Whoever had its ports before has not quite ended.
            child.wait().unwrap();
            std::thread::sleep(LOOK);
        }
        panic!("{} does not start", self.name);
    }

    /// What it says goes on where it ended before.
    fn log(&self) -> File {
        File::options().append(true).create(true).open(self.config.with_extension("log")).unwrap()
    }

    /// The last things it has warned of, for whoever looks for a fault.
    pub(super) fn warnings(&self) -> String {
        let said = std::fs::read_to_string(self.config.with_extension("log")).unwrap_or_default();
        let warned = |line: &&str| ["WARN", "ERROR", "panicked"].iter().any(|it| line.contains(it));
        let warnings: Vec<&str> = said.lines().filter(warned).collect();
        let newest = warnings.len().saturating_sub(20);
        warnings.get(newest..).unwrap_or_default().join("\n")
    }

    /// One more setting, by its variable.
    pub(super) fn set(&mut self, name: &'static str, value: &str) {
        self.settings.retain(|(known, _)| *known != name);
        self.settings.push((name, value.to_owned()));
    }

    /// Ends it as an operator does.
    pub(super) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let sigterm = Command::new("kill").arg(child.id().to_string()).status().unwrap();
            assert!(sigterm.success() && child.wait().unwrap().success(), "{}", self.name);
        }
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where a system listens, with everything it needs lying in its folder.
pub(super) fn settle(folder: &Path) -> [Server; 2] {
    let arguments = ["dev", "--sip", "127.0.0.1:0", "--folder", &folder.display().to_string()];
    let mut dev = Talk::start(&arguments);
    dev.until("ready in");
    let directions = Directions::read(folder).unwrap();
    let sigterm = Command::new("kill").arg(dev.child.id().to_string()).status().unwrap();
    assert!(sigterm.success() && dev.child.wait().unwrap().success());
    let config = folder.join("mrfc.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let control: SocketAddr = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("control = \""))
        .find_map(|rest| rest.trim_end_matches('"').parse().ok())
        .unwrap();
    let focus = vec![
        ("MRFC_SIP__LISTEN", directions.sip.to_string()),
        ("MRFC_HTTPS__LISTEN", directions.https.to_string()),
        ("MRFC_CONFERENCES__ACKNOWLEDGE", "stored".to_owned()),
    ];
    let relay = vec![("MRFP_CONTROL__LISTEN", control.to_string())];
    let server = |name, file: &str, settings| Server {
        name,
        config: folder.join(file),
        settings,
        child: None,
    };
    [server("mrfp", "mrfp.toml", relay), server("mrfc", "mrfc.toml", focus)]
}
