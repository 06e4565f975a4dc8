//! The operations port over loopback: probes follow the server's phase, metrics meet Prometheus's conventions.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use service::metrics::{Metrics, SECONDS};
use service::ops::{self, Health, Phase};
use service::shutdown::Shutdown;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

struct Server {
    address: SocketAddr,
    health: Health,
    shutdown: Shutdown,
    metrics: Metrics,
    task: JoinHandle<()>,
}

async fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (health, shutdown, metrics) = (Health::new(), Shutdown::new(), Metrics::new());
    let task = ops::serve(listener, metrics.clone(), health.clone(), shutdown.clone());
    Server { address, health, shutdown, metrics, task: tokio::spawn(task) }
}

/// Status line number, and everything after the head.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn readiness_follows_the_phase_and_liveness_does_not() {
    let server = server().await;
    assert_eq!(get(server.address, "/readyz").await, (503, "starting\n".into()));

    server.health.ready();
    assert_eq!(get(server.address, "/readyz").await, (200, "ready\n".into()));

    server.health.drain();
    server.health.ready();
    assert_eq!(get(server.address, "/readyz").await, (503, "draining\n".into()));
    assert_eq!(get(server.address, "/livez").await, (200, "live\n".into()));
    assert_eq!(get(server.address, "/nothing").await.0, 404);
}

#[tokio::test]
async fn the_drain_hook_wakes_the_server() {
    let server = server().await;
    server.health.ready();
    let health = server.health.clone();
    let woken = tokio::spawn(async move { health.draining().await });

    assert_eq!(get(server.address, "/drain").await.0, 200);

    woken.await.unwrap();
    assert_eq!(server.health.phase(), Phase::Draining);
}

#[tokio::test]
async fn clients_that_say_nothing_do_not_keep_a_scrape_out_or_the_server_up() {
    let server = server().await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(TcpStream::connect(server.address).await.unwrap());
    }

    assert_eq!(get(server.address, "/livez").await.0, 200);

    server.shutdown.trigger();
    server.task.await.unwrap();
    for mut stream in silent {
        // Far below the time after which a silent connection ends anyway.
        let mut byte = [0];
        let end = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut byte)).await;
        assert!(matches!(end, Ok(Ok(0) | Err(_))), "a connection outlived the server");
    }
}

#[tokio::test]
async fn metrics_meet_the_conventions_of_prometheus() {
    let server = server().await;
    let chunks = server.metrics.counters("test_chunks_total", "Chunks.", &["direction"]);
    chunks.with_label_values(&["in"]).inc();
    server.metrics.gauge("test_rooms", "Rooms.").set(3);
    server.metrics.histogram("test_duration_seconds", "How long.", SECONDS).observe(0.002);

    let (status, text) = get(server.address, "/metrics").await;

    assert_eq!(status, 200);
    assert!(text.contains("test_chunks_total{direction=\"in\"} 1"), "{text}");
    assert!(text.contains("test_duration_seconds_count 1"), "{text}");
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        println!("SKIPPED: no promtool here (Debian package prometheus)");
        return;
    };
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let verdict = promtool.wait_with_output().unwrap();
    assert!(verdict.status.success(), "{verdict:?}");
}
