//! What is too much for every test run: `make soak`.
use service::clock;
use service::tls::DevCa;
use tempfile::TempDir;

use super::drain::ready_of;
use super::talk::{Talk, from_elsewhere};
use super::{config_under, serve};
use crate::common::Stage;

const CONNECTIONS: usize = 10_000;

const LIMITS: &str = "[limits]\nhalf_open_max = 12000\nhalf_open_per_address_max = 12000\n\
                      connections_per_address_max = 12000\n\
                      connects_per_address_per_sec = 0\nfirst_request_secs = 600\n";

#[tokio::test]
#[ignore = "takes ten thousand descriptors in each of two processes: make soak"]
async fn ten_thousand_that_say_nothing_do_not_disturb_a_room() {
    let (ca, folder) = (DevCa::new("test", clock::wall()).unwrap(), TempDir::new().unwrap());
    let config = config_under(&ca, folder.path(), LIMITS);
    let (mut child, ready) = serve(&config, &["--exit-with-parent"]);
    let stage = Stage::around(ca, folder, ready_of(&ready)).await;
    let mut talk = Talk::on(stage).await;
    let quiet = talk.p99().await;
    let before = talk.stage.metric("process_resident_memory_bytes").await;

    let mut silent = Vec::new();
    for _ in 0..CONNECTIONS {
        silent.push(from_elsewhere(talk.stage.msrp).await.unwrap());
    }
    let harmed = talk.p99().await;

    let after = talk.stage.metric("process_resident_memory_bytes").await;
    println!("{CONNECTIONS} connections take {} KiB", (after - before) / 1024.0);
    talk.is_unharmed("ten thousand connections that say nothing", quiet, harmed).await;
    for refused in ["half_open", "half_open_address", "address", "address_rate", "connections"] {
        let name = format!("mrfp_connections_refused_total{{bound=\"{refused}\"}}");
        assert_eq!(talk.stage.metric(&name).await, 0.0, "{name}");
    }
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
