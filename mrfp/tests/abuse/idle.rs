//! Connections that open and say nothing.
use service::clock;
use tokio::io::AsyncReadExt;

use super::talk::{Talk, from_elsewhere};
use crate::common::{message, soon, text};

/// Both ends of each connection are in this process.
fn as_many_as_descriptors_allow(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    wanted.min(soft.map_or(wanted, |soft| soft.saturating_sub(200) / 2))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_that_say_nothing_do_not_disturb_a_room() {
    let count = as_many_as_descriptors_allow(2000);
    let mut talk = Talk::with(|config| config.limits.first_request_secs = 5).await;
    let quiet = talk.p99().await;
    let relay = talk.stage.msrp;

    let before = clock::now();
    let mut silent = Vec::new();
    for _ in 0..count {
        silent.push(from_elsewhere(relay).await.unwrap());
    }
    let opened = clock::now() - before;
    let harmed = talk.p99().await;

    println!("{count} connections opened in {opened:?}");
    talk.is_unharmed(&format!("{count} connections that say nothing"), quiet, harmed).await;
    for mut socket in silent {
        drop(soon("the end of a silent one", socket.read_to_end(&mut Vec::new())).await);
    }
    let refused = "mrfp_connections_refused_total{bound=\"half_open_address\"}";
    let refused = talk.stage.metric(refused).await;
    println!("{refused} of them were over the cap");
    let cap = u32::try_from(count.saturating_sub(64)).unwrap();
    assert!(refused <= f64::from(cap), "{refused} were turned away, and {cap} were too many");
    talk.say().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_do_not_disturb_a_room() {
    let count = as_many_as_descriptors_allow(10_000);
    let mut talk = Talk::with(|config| {
        config.limits.first_request_secs = 600;
        config.limits.half_open_max = 20_000;
        config.limits.half_open_per_address_max = 20_000;
        config.limits.connections_per_address_max = 20_000;
        config.limits.connects_per_address_per_sec = 0;
    })
    .await;
    let quiet = talk.p99().await;

    let mut idle = Vec::new();
    for _ in 0..count {
        idle.push(from_elsewhere(talk.stage.msrp).await.unwrap());
    }
    let open = f64::from(u32::try_from(count).unwrap()) + 3.0;
    talk.stage
        .until("mrfp_connections{transport=\"tls\"}", |connections| connections >= open)
        .await;
    let harmed = talk.p99().await;

    talk.is_unharmed(&format!("{count} idle connections"), quiet, harmed).await;
    drop(idle);
    talk.stage.until("mrfp_connections{transport=\"tls\"}", |connections| connections <= 3.0).await;
    talk.say().await;
}

/// Connections from elsewhere that say nothing.
async fn stay_silent(talk: &Talk, count: usize) -> Vec<tokio::net::TcpStream> {
    let mut silent = Vec::new();
    for _ in 0..count {
        silent.push(from_elsewhere(talk.stage.msrp).await.unwrap());
    }
    silent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_fills_its_half_open_places_keeps_no_other_out() {
    let mut talk = Talk::with(|config| {
        config.limits.first_request_secs = 600;
        config.limits.half_open_max = 100;
    })
    .await;

    let silent = stay_silent(&talk, 140).await;
    let refused = "mrfp_connections_refused_total{bound=\"half_open_address\"}";
    talk.stage.until(refused, |refused| refused >= 76.0).await;

    let mut newcomer = talk.stage.join(20).await;
    let (status, _) = newcomer.ask(&message("hello20", text(20, "hello"))).await;
    assert_eq!(status, 200);
    talk.say().await;
    assert_eq!(talk.stage.metric(refused).await, 76.0);
    assert_eq!(talk.stage.metric(FULL).await, 0.0);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_all_half_open_places_are_taken_who_holds_most_makes_room() {
    let mut talk = Talk::with(|config| {
        config.limits.first_request_secs = 600;
        config.limits.half_open_max = 100;
        config.limits.half_open_per_address_max = 1000;
    })
    .await;

    let mut silent = stay_silent(&talk, 100).await;
    let open = "mrfp_connections{transport=\"tls\"}";
    talk.stage.until(open, |open| open >= 103.0).await;
    let over = stay_silent(&talk, 5).await;
    talk.stage.until(FULL, |refused| refused >= 5.0).await;

    let mut newcomer = talk.stage.join(20).await;
    let (status, _) = newcomer.ask(&message("hello20", text(20, "hello"))).await;
    assert_eq!(status, 200);
    talk.say().await;
    let oldest = silent.first_mut().unwrap();
    drop(soon("the end of the oldest", oldest.read_to_end(&mut Vec::new())).await);
    assert_eq!(talk.stage.metric(FULL).await, 6.0);
    talk.stage.until(open, |open| open <= 103.0).await;
    drop((silent, over));
}

const FULL: &str = "mrfp_connections_refused_total{bound=\"half_open\"}";
