//! Durable appends a second: `cargo bench -p store [SECONDS]`. 512 writers, each with a conference of its own, append events
//! of 1 KiB and wait until each is on disk; beside it, in turns, the limit: a plain loop that writes the same octets to
//! a file and flushes it, one event at a time and 512 at a time. The disk is that of the working directory; PostgreSQL, where
//! it is installed, with its own settings in the folder for temporary files.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement prints, and ends where it cannot go on"
)]
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use ids::Seq;
use service::clock;
use store::{Entry, Location, Store};

#[path = "../tests/engines/server.rs"]
mod server;

const WRITERS: usize = 512;
const EVENT_BYTES: usize = 1024;
const ROUNDS: usize = 3;

fn main() {
    let seconds = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(3);
    let duration = Duration::from_secs(seconds);
    let folder = tempfile::tempdir_in(".").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{WRITERS} writers, {EVENT_BYTES} octets, {seconds} s each, appends a second:");
    for round in 1..=ROUNDS {
        let path = folder.path().join(format!("round{round}.sqlite"));
        let appends = runtime.block_on(appends(&Location::file(&path), duration));
        let file = folder.path().join(format!("round{round}.plain"));
        let (alone, together) = (plain(&file, 1, duration), plain(&file, WRITERS, duration));
        println!(
            "  SQLite {appends:.0} · flushed one by one {alone:.0} · 512 by 512 {together:.0}"
        );
    }
    let Some(server) = server::Server::start(server::DURABLE) else { return };
    for round in 1..=ROUNDS {
        let name = format!("round{round}");
        runtime.block_on(server.create(&name));
        let location = server.url(&name).parse().unwrap();
        let appends = runtime.block_on(appends(&location, duration));
        let file = folder.path().join(format!("{name}.plain"));
        let (alone, together) = (plain(&file, 1, duration), plain(&file, WRITERS, duration));
        println!(
            "  PostgreSQL {appends:.0} · flushed one by one {alone:.0} · 512 by 512 {together:.0}"
        );
    }
}

async fn appends(location: &Location, duration: Duration) -> f64 {
    let store = Store::open(location).await.unwrap();
    let begin = clock::now();
    let writers = (0..WRITERS).map(|n| {
        let (store, room) = (store.clone(), format!("room{n}").parse().unwrap());
        tokio::spawn(async move {
            let mut seq = Seq(0);
            while begin.elapsed() < duration {
                let event = Bytes::from(vec![b'x'; EVENT_BYTES]);
                seq = store.append(&room, seq, Entry { event, group: None }).await.unwrap();
            }
            seq.0
        })
    });
    let writers: Vec<_> = writers.collect();
    let mut done = 0.0;
    for writer in writers {
        done += f64::from(u32::try_from(writer.await.unwrap()).unwrap());
    }
    let took = begin.elapsed();
    store.close().await;
    done / took.as_secs_f64()
}

fn plain(path: &Path, at_once: usize, duration: Duration) -> f64 {
    let mut file = std::fs::File::create(path).unwrap();
    let events = vec![b'x'; EVENT_BYTES * at_once];
    let (begin, mut done) = (clock::now(), 0.0);
    while begin.elapsed() < duration {
        file.write_all(&events).unwrap();
        file.sync_data().unwrap();
        done += f64::from(u32::try_from(at_once).unwrap());
    }
    done / begin.elapsed().as_secs_f64()
}
