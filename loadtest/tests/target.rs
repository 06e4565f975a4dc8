//! `loadtest --target`: a load on a system that runs already, again and again, over each transport. Real servers, real devices.
#![expect(clippy::unwrap_used, reason = "a run that prints no result should fail the test")]
use std::process::Stdio;
use std::time::Duration;

use client::{Device, Entry, Event, Level};
use conclave::system::{Plan, System};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

/// How long what is to happen may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Everybody in the rooms of the load below.
const MEMBERS: usize = 6;

async fn system() -> System {
    let users = (0..MEMBERS).map(|n| format!("user{n}")).collect();
    let program = Some(env!("CARGO_BIN_EXE_loadtest").into());
    System::start(&Plan { users, program, ..Plan::default() }).await.unwrap()
}

/// What the relay says of itself.
async fn relay(system: &System) -> String {
    let [_focus, relay] = system.servers();
    let mut stream = TcpStream::connect(relay.address("ops").unwrap()).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

fn figure(text: &str, name: &str) -> f64 {
    let is = |line: &&str| line.split(' ').next() == Some(name);
    text.lines().find(is).map_or(0.0, |line| line.rsplit(' ').next().unwrap().parse().unwrap())
}

async fn load(system: &System, more: &[&str]) -> Value {
    let [_focus, relay] = system.servers();
    let mrfp = format!("mrfp=http://{}/metrics", relay.address("ops").unwrap());
    let small = "quick --rooms 2 --members 3 --rate 20 --duration 2s --warmup 0.5s --allow-not-valid --json";
    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(small.split(' '))
        .args(["--threshold", "loss=0,dup=0", "--metrics", &mrfp, "--target"])
        .arg(system.folder())
        .args(more)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

#[tokio::test]
async fn a_system_that_runs_already_is_loaded_again_and_again_and_nobody_stays_behind() {
    let system = system().await;
    for _again in 0..2 {
        let json = load(&system, &[]).await;

        assert_eq!(json["scenario"]["own_system"], false, "{json:#}");
        assert_eq!(json["deliveries"]["delivered"], 100, "{json:#}");
        assert_eq!(json["servers"][0]["name"], "mrfp", "{json:#}");
        assert!(json["servers"][0]["rss_octets"].as_u64() > Some(0), "{json:#}");
        // Who has hung up may still be on the way out.
        let empty = async { while figure(&relay(&system).await, "mrfp_rooms") > 0.0 {} };
        timeout(PATIENCE, empty).await.expect("somebody stays behind");
    }
    system.stop().await.unwrap();
}

/// In one room guests are in, away, have left and were removed when the run ends.
const GUESTS: &str = "
name = 'guests'
about = 'everybody leaves at the end'
rooms = 1
members = 2
rate = 20
duration = '2s'
warmup = '0.2s'
[[act]]
what = 'join'
who = 1
at = '0.2s'
[[act]]
what = 'away'
who = 1
at = '0.2s'
[[act]]
what = 'vanish'
who = 1
at = '0.2s'
[[act]]
what = 'kick'
who = 1
at = '0.5s'
";

#[tokio::test]
async fn guests_leave_a_system_that_goes_on_whatever_they_did() {
    let system = system().await;
    let scenario = system.folder().join("guests.toml");
    std::fs::write(&scenario, GUESTS).unwrap();

    let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["run", scenario.to_str().unwrap(), "--prefix", "guests", "--allow-not-valid"])
        .arg("--target")
        .arg(system.folder())
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));

    // Who comes to a room in which somebody is left is let in, and does not begin a new one.
    let profile = system.directions().profile("user0").unwrap();
    let (device, _invitations) = Device::start(profile).await.unwrap();
    let room = "guests-0".parse().unwrap();
    let (_conference, mut events) = device.join(&room, Level::Sealed).await.unwrap();
    let entered = async {
        loop {
            if let Some(Event::Entered { by, .. }) = events.next().await {
                break by;
            }
        }
    };
    assert_eq!(timeout(PATIENCE, entered).await.unwrap(), Entry::Created);
    // Nothing is sealed any more for the device that user0 had in the run.
    let devices = device.devices().await.unwrap();
    let still: Vec<_> = devices.iter().filter(|own| !own.revoked).collect();
    assert!(
        devices.len() == 2 && still.len() == 1 && still[0].device == *device.id(),
        "{devices:?}"
    );
    device.stop().await;
    system.stop().await.unwrap();
}

/// RFC 7977, 5.1.
#[tokio::test]
async fn members_are_behind_a_websocket_when_that_is_asked_for_and_behind_tls_when_not() {
    let system = system().await;
    let opened = |text: &str, over: &str| {
        figure(text, &format!("mrfp_sessions_opened_total{{transport=\"{over}\"}}"))
    };

    let json = load(&system, &["--transport", "wss"]).await;
    assert_eq!(json["scenario"]["transport"], "wss", "{json:#}");
    assert_eq!(json["deliveries"]["delivered"], 100, "{json:#}");
    let text = relay(&system).await;
    assert_eq!((opened(&text, "ws"), opened(&text, "tls")), (MEMBERS as f64, 0.0));

    let json = load(&system, &[]).await;
    assert_eq!(json["scenario"]["transport"], "tls", "{json:#}");
    let text = relay(&system).await;
    assert_eq!((opened(&text, "ws"), opened(&text, "tls")), (MEMBERS as f64, MEMBERS as f64));
    system.stop().await.unwrap();
}

/// The devices of a user that were not taken back, but for one that asks.
async fn left_behind(system: &System, user: &str) -> usize {
    let profile = system.directions().profile(user).unwrap();
    let (device, _invitations) = Device::start(profile).await.unwrap();
    let devices = device.devices().await.unwrap();
    let left = devices.iter().filter(|own| !own.revoked && own.device != *device.id()).count();
    device.take_back(device.id()).await.unwrap();
    device.stop().await;
    left
}

#[tokio::test]
async fn a_run_that_fails_before_it_begins_leaves_no_device_behind() {
    let system = system().await;
    let mut directions = serde_json::to_value(system.directions()).unwrap();
    // Everybody else has started when the last one may not.
    directions["passwords"]["user5"] = "wrong".into();
    let changed = system.folder().join("changed.json");
    std::fs::write(&changed, directions.to_string()).unwrap();
    for more in [&[][..], &["--agents", "2"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_loadtest"))
            .args(["quick", "--rooms", "2", "--members", "3", "--target"])
            .arg(&changed)
            .args(more)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();

        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("user5@") && told.contains("starts"), "{told}");
        for user in ["user0", "user1", "user2", "user3", "user4"] {
            assert_eq!(left_behind(&system, user).await, 0, "{user} {more:?}");
        }
    }
    let empty = async { while figure(&relay(&system).await, "mrfp_rooms") > 0.0 {} };
    timeout(PATIENCE, empty).await.expect("somebody stays behind");
    system.stop().await.unwrap();
}

#[tokio::test]
async fn a_run_that_is_interrupted_while_it_seats_leaves_no_device_behind() {
    let system = system().await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_loadtest"))
        .args(["quick", "--rooms", "2", "--members", "3", "--target"])
        .arg(system.folder())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().unwrap().contains("1 of 6 devices are in") {}

    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().await.unwrap().success());
    while lines.next_line().await.unwrap().is_some() {}
    let status = timeout(PATIENCE, child.wait()).await.expect("it does not end").unwrap();

    assert_eq!(status.code(), Some(1));
    for user in ["user0", "user1", "user2", "user3", "user4", "user5"] {
        assert_eq!(left_behind(&system, user).await, 0, "{user}");
    }
    system.stop().await.unwrap();
}
