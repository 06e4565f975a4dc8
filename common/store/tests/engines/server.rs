//! A PostgreSQL server for the tests of one process: in a temporary folder, on a Unix socket and no port, stopped and removed
//! when the process ends, however it ends.
#![allow(dead_code, reason = "not everything that includes this needs all of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot set up should fail")]
#![allow(clippy::print_stderr, reason = "a test that is skipped says why")]
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Nothing here has to outlive the machine.
pub(crate) const FAST: &str = "-c listen_addresses= -c fsync=off -c full_page_writes=off -c shared_buffers=8MB \
                        -c max_connections=60 -c wal_level=minimal -c max_wal_senders=0";
/// As an operator runs it: what was committed is on disk.
pub(crate) const DURABLE: &str = "-c listen_addresses= -c max_connections=60 -c max_wal_size=4GB";
/// Ends the server when the test process does: then nobody holds the other end of its standard input any more.
const WATCH: &str = "cat >/dev/null; kill -QUIT \"$1\" 2>/dev/null; \
                     while kill -0 \"$1\" 2>/dev/null; do sleep 0.05; done; rm -rf \"$2\"";

pub(crate) struct Server {
    pub(crate) folder: PathBuf,
    postgres: Child,
    /// Its standard input is what the watch waits on.
    _watch: Child,
}

/// An empty database of its own on the server of this process.
pub(crate) async fn database() -> Option<String> {
    static SERVER: OnceLock<Option<Server>> = OnceLock::new();
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    let server = SERVER.get_or_init(|| Server::start(FAST)).as_ref()?;
    let name = format!("test{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    server.create(&name).await;
    Some(server.url(&name))
}

/// Where Debian puts the programs, newest version first.
pub(crate) fn programs() -> Option<PathBuf> {
    let mut found: Vec<_> = fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}

impl Server {
    pub(crate) fn start(settings: &str) -> Option<Self> {
        let Some(bin) = programs() else {
            eprintln!("SKIPPED on PostgreSQL: no /usr/lib/postgresql/*/bin; .ci/setup installs it");
            return None;
        };
        let folder = tempfile::tempdir().unwrap().keep();
        let data = folder.join("data");
        run(Command::new("cp").arg("-a").arg(template(&bin)).arg(&data));
        hand_over(&folder);
        let mut command = unprivileged(&bin.join("postgres"));
        let log = File::create(folder.join("log")).unwrap();
        command.arg("-D").arg(&data).arg("-k").arg(&folder).args(settings.split_whitespace());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // A group of its own, so that an interrupted test run stops it by the watch and in order.
        let postgres = command.process_group(0).spawn().unwrap();
        let watch = Command::new("sh")
            .args(["-c", WATCH, "watch", &postgres.id().to_string()])
            .arg(&folder)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Some(Self { folder, postgres, _watch: watch })
    }

    pub(crate) fn url(&self, database: &str) -> String {
        let folder = self.folder.to_str().unwrap().replace('/', "%2F");
        format!("postgres://conclave@{folder}/{database}")
    }

    /// Asks until the server, which has just been started, answers.
    pub(crate) async fn create(&self, database: &str) {
        let mut why = String::new();
        for _ in 0..600 {
            let mut createdb = Command::new(programs().unwrap().join("createdb"));
            let made = createdb.arg("-h").arg(&self.folder).args(["-U", "conclave", database]);
            let output = made.output().unwrap();
            if output.status.success() {
                return;
            }
            why = String::from_utf8_lossy(&output.stderr).into_owned();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        panic!("PostgreSQL does not answer: {why}\n{log}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        run(Command::new("kill").args(["-QUIT", &self.postgres.id().to_string()]));
        self.postgres.wait().ok();
    }
}

/// An empty data folder, made once: `initdb` takes a second of computing.
pub(crate) fn template(bin: &Path) -> PathBuf {
    let version = bin.parent().and_then(Path::file_name).unwrap().to_str().unwrap();
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(shared).unwrap();
    let template = shared.join(format!("postgres-{version}"));
    let lock = File::create(shared.join("postgres.lock")).unwrap();
    lock.lock().unwrap();
    if !template.exists() {
        let folder = tempfile::tempdir().unwrap();
        hand_over(folder.path());
        let data = folder.path().join("data");
        let mut initdb = unprivileged(&bin.join("initdb"));
        initdb.arg("-D").arg(&data).args(["-U", "conclave", "--auth=trust", "--no-sync"]);
        run(initdb.args(["--encoding=UTF8", "--locale=C.UTF-8"]));
        let made = shared.join(format!("postgres-{version}.new"));
        fs::remove_dir_all(&made).ok();
        run(Command::new("cp").arg("-a").arg(&data).arg(&made));
        fs::rename(&made, &template).unwrap();
    }
    template
}

/// PostgreSQL does not run as root: then it is `nobody`.
pub(crate) fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(program);
    command.current_dir("/");
    command
}

pub(crate) fn hand_over(folder: &Path) {
    if is_root() {
        run(Command::new("chown").args(["-R", "nobody:nogroup"]).arg(folder));
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").is_ok_and(|it| it.uid() == 0)
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let why = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {why}");
}
