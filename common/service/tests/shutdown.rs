//! What stops a process. Each test runs this very program again as a child, because signals are for whole processes.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};

use service::shutdown::Shutdown;

/// Starts `a_child` below in a process of its own and waits until it listens.
fn child(stop_slowly: bool) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_child", "--ignored", "--nocapture"])
        .env("STOP_SLOWLY", if stop_slowly { "1" } else { "" })
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    wait_for(&mut lines, "serving");
    (child, lines)
}

fn wait_for(lines: &mut BufReader<ChildStdout>, what: &str) {
    let mut line = String::new();
    while lines.read_line(&mut line).unwrap() > 0 {
        if line.contains(what) {
            return;
        }
        line.clear();
    }
    unreachable!("the child ended without saying {what:?}");
}

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    assert!(Command::new("kill").args([name, &id]).status().unwrap().success());
}

#[test]
#[ignore = "the child of the other tests"]
fn a_child() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let shutdown = Shutdown::new();
        shutdown.on_signals().unwrap();
        shutdown.on_stdin_end().unwrap();
        println!("serving");
        shutdown.triggered().await;
        println!("stopping");
        if std::env::var("STOP_SLOWLY").is_ok_and(|slowly| !slowly.is_empty()) {
            std::future::pending::<()>().await;
        }
    });
}

#[test]
fn the_first_sigterm_or_sigint_lets_the_process_stop_by_itself() {
    for name in ["-TERM", "-INT"] {
        let (mut child, mut lines) = child(false);

        signal(&child, name);

        wait_for(&mut lines, "stopping");
        assert_eq!(child.wait().unwrap().code(), Some(0), "{name}");
    }
}

#[test]
fn a_second_signal_ends_a_process_that_stops_too_slowly_with_code_1() {
    let (mut child, mut lines) = child(true);
    signal(&child, "-TERM");
    wait_for(&mut lines, "stopping");

    signal(&child, "-TERM");

    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn the_end_of_stdin_stops_a_child() {
    let (mut child, mut lines) = child(false);

    drop(child.stdin.take());

    wait_for(&mut lines, "stopping");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_child_stops_with_its_parent_and_alone_without_it() {
    let parent = Shutdown::new();
    let (first, second) = (parent.child(), parent.child());

    first.trigger();
    assert!(first.is_triggered() && !second.is_triggered() && !parent.is_triggered());

    parent.trigger();
    second.triggered().await;
    assert!(second.is_triggered());
}
