//! What a running relay shows to Prometheus, and what Prometheus's own checker says of it.
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use control::Level;

use super::common::{Stage, message, text};

/// A relay of which most things have been counted.
async fn scraped() -> String {
    let mut stage = Stage::new().await;
    stage.open(Level::Open, None).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    assert_eq!(alice.ask(&message("one1", text(1, "one"))).await.0, 200);
    bob.message().await;
    assert_eq!(alice.ask(&message("two1", text(2, "not mine"))).await.0, 403);
    bob.hang_up();
    stage.lost(2).await;
    let response = stage.metrics().await;
    response.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics() {
    let text = scraped().await;
    let checker = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut checker) = checker else {
        println!("SKIPPED: no promtool (Debian: prometheus), so nothing checked the metrics");
        return;
    };

    checker.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let checked = checker.wait_with_output().unwrap();

    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success(), "{said}\n{text}");
    assert_eq!(said, "");
}

#[tokio::test]
async fn every_metric_that_is_shown_is_described() {
    let text = scraped().await;
    let described: BTreeSet<String> = mrfp::metrics().into_iter().map(|m| m.name).collect();

    let shown: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();

    assert!(shown.len() > 20, "{shown:?}");
    let strange: Vec<_> = shown.iter().filter(|name| !described.contains(**name)).collect();
    assert!(strange.is_empty(), "{strange:?}");
}
