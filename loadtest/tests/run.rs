//! `loadtest run` and its like against real systems of their own: guests who come and go, several generators, a file in
//! every form a result has, and whatever ends a run before its time.
#![expect(clippy::unwrap_used, reason = "a run that prints no result should fail the test")]
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

mod schema;

const SCENARIO: &str = "
name = 'everything'
about = 'a small room in which everything happens'
rooms = 2
members = 3
rate = 20
duration = '5s'
warmup = '0.5s'
patience = '20s'
[[act]]
what = 'join'
who = 1
at = '0.5s'
[[act]]
what = 'kick'
who = 1
at = '1s'
[[act]]
what = 'leave'
who = 1
at = '1.5s'
[[act]]
what = 'away'
who = 1
at = '1s'
back = '1s'
[[act]]
what = 'vanish'
who = 1
at = '0.5s'
back = '2s'
[[act]]
what = 'pause'
who = 1
at = '1s'
back = '1s'
";

fn loadtest(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    // Other tests run beside this one.
    command.args(arguments).arg("--allow-not-valid").stdin(Stdio::null());
    command
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

fn schema() -> Value {
    serde_json::from_str(include_str!("../schema/report-2.json")).unwrap()
}

fn text(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn guests_join_leave_are_removed_and_come_back_while_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(folder.path().join("all.toml"), SCENARIO).unwrap();

    let output = loadtest(&["run", &path("all.toml"), "--json", "--threshold", "loss=0,leaked=0"])
        .args(["--html", &path("p.html"), "--csv", &path("p.csv"), "--hdr", &path("p.hlog")])
        .output()
        .unwrap();

    let json = json(&output);
    assert_eq!(schema::breaches(&schema(), &json), Vec::<String>::new());
    assert_eq!(output.status.code(), Some(0), "{:#}", json["broken"]);
    assert_eq!(json["deliveries"]["expected"], 110 * 2, "{json:#}");
    let guests = &json["guests"];
    // In each of two rooms: one joins, one comes back from away, one after it vanished.
    assert_eq!((&guests["entered"], &guests["kicked"]), (&6.into(), &2.into()), "{guests:#}");
    assert!(
        guests["heard"].as_u64() > Some(0) && guests["missed"].as_u64() > Some(0),
        "{guests:#}"
    );
    for measure in ["start", "seat", "key", "enter", "kick", "epoch"] {
        assert!(json["measures"][measure]["us"]["count"].as_u64() > Some(0), "{measure} {json:#}");
    }
    assert!(text(folder.path(), "p.html").contains("class=\"verdict "));
    assert!(text(folder.path(), "p.csv").lines().count() > 40);
    assert!(text(folder.path(), "p.hlog").contains("Tag=epoch"));
}

const MORNING: &str = "
name = 'morning'
about = 'half of a small room goes away and comes back'
rooms = 2
members = 2
rate = 40
duration = '5s'
warmup = '0.5s'
patience = '20s'
acknowledge = 'stored'
[[act]]
what = 'away'
who = 2
at = '0.5s'
back = '2s'
[[act]]
what = 'pause'
who = 1
at = '0.5s'
back = '2s'
";

#[test]
fn who_was_away_from_rooms_that_store_is_owed_everything_and_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("morning.toml");
    std::fs::write(&path, MORNING).unwrap();

    let output = loadtest(&["run", path.to_str().unwrap(), "--json"]).output().unwrap();

    let json = json(&output);
    assert_eq!(schema::breaches(&schema(), &json), Vec::<String>::new());
    assert_eq!(output.status.code(), Some(0), "{:#}", json["broken"]);
    // One other who stays, and three guests for whom everything is kept.
    assert_eq!(json["deliveries"]["expected"], 220 * 4, "{json:#}");
    assert_eq!(json["deliveries"]["delivered"], 220 * 4, "{json:#}");
    assert_eq!(json["guests"]["missed"], 0, "{json:#}");
    assert_eq!(json["measures"]["catchup"]["us"]["count"], 4, "{json:#}");
}

#[test]
fn two_generators_share_the_rooms_and_their_books_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("two.json");
    let output =
        loadtest(&["quick", "--rooms", "3", "--members", "2", "--rate", "30", "--duration", "2s"])
            .args(["--warmup", "0.5s", "--agents", "2", "--save", saved.to_str().unwrap()])
            .args(["--interval", "500ms"])
            .output()
            .unwrap();

    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    // Both are in what is told meanwhile: 30 messages a second, of which one generator has 20 at most.
    let of = |line: &str| line.split("arrived ").nth(1)?.split('/').next()?.parse::<u64>().ok();
    assert!(told.lines().filter_map(of).any(|arrived| arrived > 22), "{told}");
    let json: Value = serde_json::from_str(&text(folder.path(), "two.json")).unwrap();
    assert_eq!(
        (&json["scenario"]["agents"], &json["messages"]["accepted"]),
        (&2.into(), &75.into())
    );
    assert_eq!(
        (&json["deliveries"]["delivered"], &json["rooms"]["clean"]),
        (&75.into(), &3.into())
    );
    assert_eq!(json["latency_us"]["count"], 60);

    let compare = |more: &[&str]| {
        let compared = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(["compare", saved.to_str().unwrap(), saved.to_str().unwrap()])
            .args(more)
            .output()
            .unwrap();
        compared.status.code()
    };
    assert_eq!(compare(&[]), Some(0));
    // Nobody judges the latencies of a machine that was too busy to be believed.
    let judged = if json["generator"]["valid"] == true { 0 } else { 3 };
    assert_eq!(compare(&["--worse-max", "1"]), Some(judged));
}

#[test]
fn ctrl_c_while_warming_up_tells_what_was_seen_too() {
    let mut child = loadtest(&["quick", "--duration", "10m", "--interval", "200ms", "--json"])
        .args(["--warmup", "10m"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let some_came = |line: &str| line.contains("warming up") && !line.contains("arrived 0/s");
    assert!(lines.any(|line| some_came(&line.unwrap())), "nothing ever came");

    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    let _rest = std::thread::spawn(move || lines.count());
    let output = child.wait_with_output().unwrap();

    let json = json(&output);
    assert_eq!(output.status.code(), Some(0), "{:#}", json["broken"]);
    assert_eq!((&json["interrupted"], &json["latency_us"]["count"]), (&true.into(), &0.into()));
    assert!(json["messages"]["accepted"].as_u64() > Some(0), "{:#}", json["messages"]);
}

#[test]
fn a_closed_loop_is_warned_of_and_marked() {
    let output = loadtest(&["smoke", "--closed", "--json"]).output().unwrap();

    let json = json(&output);
    assert_eq!(json["scenario"]["open_loop"], false);
    assert!(json["notes"][0].as_str().unwrap().contains("coordinated omission"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("warning: closed loop"));
}

#[test]
fn a_ramp_stops_at_the_step_that_strains() {
    let output =
        loadtest(&["ramp", "--rooms", "1", "--members", "2", "--rate", "20", "--duration", "1s"])
            .args(["--steps", "4", "--factor", "1.5", "--p99-max", "1us", "--json"])
            .output()
            .unwrap();

    let json = json(&output);
    assert_eq!(json["knee"], Value::Null, "{:#}", json["steps"]);
    assert!(
        json["steps"][0]["strain"].as_str().unwrap().contains("above 1 us"),
        "{:#}",
        json["steps"]
    );
    assert!(json["messages"]["cut"].as_u64() > Some(0), "{:#}", json["messages"]);
}

/// A load that lasts until somebody ends it, of which something has been measured.
struct Measuring {
    child: Child,
    /// Where a system of its own has its folder.
    temporary: tempfile::TempDir,
}

impl Measuring {
    fn start(more: &[&str]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut child = loadtest(&["quick", "--duration", "10m", "--warmup", "0.2s", "--json"])
            .args(["--interval", "200ms", "--rooms", "2", "--members", "2"])
            .args(more)
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let measuring = |line: &str| line.contains("p50") && !line.contains("achieved 0/s");
        assert!(lines.any(|line| measuring(&line.unwrap())), "it never began to measure");
        let _rest = std::thread::spawn(move || lines.count());
        Self { child, temporary }
    }

    /// The process that it has started for this part.
    fn process(&self, part: &str) -> u32 {
        let parent = self.child.id();
        let mut children: Vec<u32> = Vec::new();
        for task in std::fs::read_dir(format!("/proc/{parent}/task")).unwrap() {
            let of = std::fs::read_to_string(task.unwrap().path().join("children")).unwrap();
            children.extend(of.split_whitespace().map(|pid| pid.parse::<u32>().unwrap()));
        }
        let is = |pid: &u32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
            line.split(|octet| *octet == 0).any(|word| word == part.as_bytes())
        };
        children.into_iter().find(is).unwrap_or_else(|| panic!("there is no {part}"))
    }

    fn end(self) -> Output {
        let (done, over) = std::sync::mpsc::channel();
        let pid = self.child.id();
        let waiting = std::thread::spawn(move || done.send(self.child.wait_with_output()));
        let Ok(output) = over.recv_timeout(Duration::from_secs(60)) else {
            kill("-KILL", pid);
            panic!("it does not end");
        };
        waiting.join().unwrap().unwrap();
        let left = std::fs::read_dir(self.temporary.path()).unwrap().count();
        assert_eq!(left, 0, "it leaves its folder behind");
        output.unwrap()
    }
}

fn kill(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

fn broken(json: &Value) -> String {
    json["broken"].as_array().unwrap().iter().map(|why| format!("{why}\n")).collect()
}

#[test]
fn whatever_signal_ends_the_load_the_report_so_far_is_given() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let running = Measuring::start(&[]);

        kill(signal, running.child.id());
        let output = running.end();

        let json = json(&output);
        assert_eq!(output.status.code(), Some(0), "{signal} {:#}", json["broken"]);
        assert_eq!((&json["interrupted"], &json["deliveries"]["lost"]), (&true.into(), &0.into()));
        assert!(json["messages"]["cut"].as_u64() > Some(10_000), "{:#}", json["messages"]);
        // Nothing more was offered, so nothing has fallen behind.
        assert!(json["rate"]["achieved"].as_f64() > Some(30.0), "{:#}", json["rate"]);
    }
}

#[test]
fn a_server_that_dies_ends_the_load_and_the_report_says_so() {
    let running = Measuring::start(&[]);

    kill("-KILL", running.process("mrfp"));
    let output = running.end();

    let json = json(&output);
    assert_eq!(schema::breaches(&schema(), &json), Vec::<String>::new());
    assert_eq!((output.status.code(), &json["verdict"]), (Some(1), &"failed".into()));
    assert!(broken(&json).contains("mrfp ended: signal: 9"), "{json:#}");
    assert!(json["deliveries"]["delivered"].as_u64() > Some(0), "{json:#}");
}

#[test]
fn an_agent_that_dies_ends_the_load_and_the_others_are_reported() {
    let running = Measuring::start(&["--agents", "2"]);

    kill("-KILL", running.process("agent"));
    let output = running.end();

    let json = json(&output);
    assert_eq!((output.status.code(), &json["verdict"]), (Some(1), &"failed".into()));
    assert!(broken(&json).contains(" has ended"), "{json:#}");
    assert!(json["deliveries"]["delivered"].as_u64() > Some(0), "{json:#}");
}

#[test]
fn an_agent_that_hangs_holds_nobody_up() {
    let running = Measuring::start(&["--agents", "2"]);

    kill("-STOP", running.process("agent"));
    kill("-INT", running.child.id());
    let output = running.end();

    let json = json(&output);
    assert_eq!((output.status.code(), &json["verdict"]), (Some(1), &"failed".into()));
    assert!(broken(&json).contains(" has said nothing for "), "{json:#}");
    assert!(json["deliveries"]["delivered"].as_u64() > Some(0), "{json:#}");
}

#[test]
fn an_agent_that_is_told_nothing_it_understands_fails() {
    for said in ["", "garbage\n"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .arg("agent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(said.as_bytes()).unwrap();

        let output = child.wait_with_output().unwrap();

        assert_eq!(output.status.code(), Some(1), "{said:?}");
        assert!(json(&output)["failed"].is_string(), "{said:?}");
    }
}

#[test]
fn what_cannot_be_done_is_a_usage_error_before_anything_is_started() {
    let agents: &[&str] = &["quick", "--rooms", "4", "--agents", "9"];
    let nothing: &[&str] = &["quick", "--agent", ""];
    let prefix: &[&str] = &["smoke", "--target", "/nowhere", "--prefix", "bad prefix/../"];
    for (bad, why) in [(agents, "9 agents"), (nothing, "--agent"), (prefix, "bad prefix/../")] {
        let output = loadtest(bad).output().unwrap();

        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{bad:?} {told}");
        assert!(told.contains(why) && !told.contains("starting"), "{told}");
    }
}

#[test]
fn a_result_is_saved_although_nobody_reads_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved.json");
    let mut child = loadtest(&["smoke", "--duration", "1s", "--save", saved.to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();

    drop((child.stdout.take(), child.stderr.take()));
    child.wait().unwrap();

    let json: Value = serde_json::from_str(&text(folder.path(), "saved.json")).unwrap();
    assert_eq!(json["deliveries"]["lost"], 0, "{json:#}");
}
