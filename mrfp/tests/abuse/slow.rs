//! Peers that take their time: with the handshake, with a head, with a body, with reading.
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::talk::{Talk, from_elsewhere};
use crate::common::person::trusting;
use crate::common::{Person, ROOM, cpim, message, seat, soon, text};

/// Between two octets of somebody slow.
const PAUSE: Duration = Duration::from_millis(20);

/// Of each kind.
const SLOW: u64 = 25;

/// The first octets of a TLS record, and nothing more.
async fn stall_in_the_handshake(relay: SocketAddr) {
    let mut socket = from_elsewhere(relay).await.unwrap();
    socket.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    drop(socket.read_to_end(&mut Vec::new()).await);
}

/// Whole handshakes, each the dearest there is, one behind the other.
async fn agree_again_and_again(trust: Arc<ClientConfig>, relay: SocketAddr, done: Arc<AtomicU32>) {
    while let Ok(socket) = from_elsewhere(relay).await {
        if Person::over(socket, Arc::clone(&trust)).await.is_ok() {
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A head that never ends, octet by octet.
async fn dribble_a_head(trust: Arc<ClientConfig>, relay: SocketAddr) {
    let socket = from_elsewhere(relay).await.unwrap();
    let Ok(mut person) = Person::over(socket, trust).await else { return };
    let head = b"MSRP aaaa1111 SEND\r\nTo-Path: msrps://x.example:1/y;tcp\r\n";
    for octet in head.iter().cycle() {
        if person.write(&[*octet]).await.is_err() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_whole_handshakes_does_not_disturb_a_room() {
    let mut talk = Talk::with(|config| {
        config.limits.connects_per_address_per_sec = 0;
        config.limits.first_request_secs = 1;
    })
    .await;
    let quiet = talk.p99().await;
    let trust = trusting(&talk.stage.ca);
    let mut anew = ClientConfig::clone(&trust);
    anew.resumption = rustls::client::Resumption::disabled();
    let (anew, done) = (Arc::new(anew), Arc::new(AtomicU32::new(0)));

    let flood = |_| {
        let (trust, done) = (Arc::clone(&anew), Arc::clone(&done));
        tokio::spawn(agree_again_and_again(trust, talk.stage.msrp, done))
    };
    let floods: Vec<_> = (0..16).map(flood).collect();
    let begun = async {
        while done.load(Ordering::Relaxed) < 16 {
            tokio::task::yield_now().await;
        }
    };
    soon("the first handshakes", begun).await;
    let harmed = talk.p99().await;
    let agreed = done.load(Ordering::Relaxed);

    floods.iter().for_each(tokio::task::JoinHandle::abort);
    assert!(agreed > 100, "{agreed} handshakes are no flood");
    talk.is_unharmed(&format!("{agreed} handshakes"), quiet, harmed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slowloris_is_cut_off_and_does_not_disturb_a_room() {
    let mut talk = Talk::with(|config| config.limits.first_request_secs = 1).await;
    let quiet = talk.p99().await;
    let (trust, relay) = (trusting(&talk.stage.ca), talk.stage.msrp);

    let mut slow = Vec::new();
    for _ in 0..SLOW {
        slow.push(tokio::spawn(stall_in_the_handshake(relay)));
        slow.push(tokio::spawn(dribble_a_head(Arc::clone(&trust), relay)));
    }
    let harmed = talk.p99().await;

    for slow in slow {
        soon("the end of somebody slow", slow).await.unwrap();
    }
    talk.is_unharmed("slow handshakes and heads", quiet, harmed).await;
    // They may have read the end before the relay counts again.
    let counted = async {
        while talk.stage.metric("mrfp_connections{transport=\"tls\"}").await != 3.0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the count without the slow ones", counted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_come_octet_by_octet_do_not_disturb_a_room() {
    let mut talk = Talk::with(|_| {}).await;
    let mut slow = Vec::new();
    for n in 0..SLOW {
        slow.push(talk.stage.join(100 + n).await);
    }
    let quiet = talk.p99().await;

    let dribbling: Vec<_> = slow
        .into_iter()
        .zip(100..)
        .map(|(mut person, n)| {
            tokio::spawn(async move {
                let body = cpim(n, ROOM, "text/plain", vec![b'x'; 64 * 1024]);
                let send = message(&format!("slow{n}"), body);
                let frame = send.encode(&mut person.rng).to(person.address()).to_bytes();
                let (head, body) = frame.split_at(400);
                person.write(head).await.unwrap();
                for octet in body {
                    person.write(&[*octet]).await.unwrap();
                    person.drain().await;
                    tokio::time::sleep(PAUSE).await;
                }
            })
        })
        .collect();
    let harmed = talk.p99().await;

    assert!(dribbling.iter().all(|slow| !slow.is_finished()), "to be slow is no fault");
    dribbling.iter().for_each(tokio::task::JoinHandle::abort);
    talk.is_unharmed("slow bodies", quiet, harmed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_that_never_read_do_not_disturb_a_room() {
    let mut talk = Talk::with(|_| {}).await;
    let quiet = talk.p99().await;
    let mut sleepers = Vec::new();
    for n in 0..5 {
        sleepers.push(talk.stage.join(100 + n).await);
    }
    // Answers nobody reads fill the sleepers' own outboxes.
    for sleeper in &mut sleepers {
        for n in 0..200 {
            sleeper.send(&message(&format!("zzz{n}"), text(1, "not mine"))).await;
        }
    }

    let harmed = talk.p99().await;

    talk.is_unharmed("peers that never read", quiet, harmed).await;
    assert!(talk.stage.metric("mrfp_refusals_total{reason=\"not_yours\"}").await >= 1000.0);
    assert_eq!(talk.stage.metric("mrfp_sessions{transport=\"tls\"}").await, 8.0);
}

#[tokio::test]
async fn a_seat_that_nobody_takes_in_time_gives_its_half_open_place_back() {
    let mut talk = Talk::with(|config| {
        config.limits.first_request_secs = 1;
        config.limits.half_open_max = 4;
    })
    .await;
    let relay = talk.stage.msrp;

    for _ in 0..2 {
        let stalled: Vec<_> = (0..4).map(|_| tokio::spawn(stall_in_the_handshake(relay))).collect();
        for one in stalled {
            soon("its end", one).await.unwrap();
        }
    }

    let path = talk.stage.seat(seat(9)).await;
    assert!(path.starts_with("msrps://"));
    talk.stage.join(10).await;
    talk.say().await;
}
