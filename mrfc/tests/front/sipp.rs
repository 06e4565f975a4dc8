//! SIPp drives the MRFC as a SIP core would: over mutual TLS, many calls one after the other on one connection. What is
//! said is in `tests/sipp/`; a call that goes another way than its scenario fails the test. Skipped, in words, where
//! SIPp is not installed. How fast the MRFC is, is for `loadtest sip`.
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::pki_types::ServerName;
use service::tls::{self, Identity, Trust};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::world::{DOMAIN, World};

const CORE: &str = "core.example.net";

#[expect(clippy::print_stderr, reason = "a test that does not run says so")]
fn installed() -> bool {
    static SAID: AtomicBool = AtomicBool::new(false);
    let there = std::process::Command::new("sipp")
        .arg("-v")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !there && !SAID.swap(true, Ordering::Relaxed) {
        eprintln!("SKIPPED: SIPp is not installed (Debian: sip-tester)");
    }
    there
}

/// A listener for SIPp of Debian, which is built without TLS: each connection goes on to the MRFC over TLS, with this
/// certificate. It ends with the test's runtime.
async fn tls_for(world: &World, identity: &Identity) -> SocketAddr {
    let trust = Trust::Roots(world.roots.clone());
    let config = tls::client_config(trust, Some(identity), &[]).unwrap();
    let (connector, focus) = (TlsConnector::from(config), world.addresses.sip);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let connector = connector.clone();
            tokio::spawn(async move {
                let far = TcpStream::connect(focus).await.unwrap();
                let name = ServerName::try_from(DOMAIN).unwrap();
                let mut far = connector.connect(name, far).await.unwrap();
                // Whoever hangs up first ends both.
                drop(copy_bidirectional(&mut near, &mut far).await);
            });
        }
    });
    address
}

/// Runs a scenario of `tests/sipp/` this many times, one call after the other on one connection.
async fn run(to: SocketAddr, scenario: &str, calls: u32) {
    let folder = tempfile::tempdir().unwrap();
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/sipp");
    let errors = folder.path().join("errors");
    let output = tokio::process::Command::new("sipp")
        .arg(to.to_string())
        .arg("-sf")
        .arg(scenarios.join(scenario))
        .arg("-oocsf")
        .arg(scenarios.join("recipient.xml"))
        .args(["-t", "t1", "-i", "127.0.0.1", "-m", &calls.to_string(), "-l", "8", "-r", "200"])
        .args(["-key", "domain", DOMAIN, "-nostdin", "-timeout", "30s", "-timeout_error"])
        .args(["-recv_timeout", "10000", "-trace_err", "-error_file"])
        .arg(&errors)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    let why = std::fs::read_to_string(errors).unwrap_or_default();
    assert!(output.status.success(), "{scenario}: {}\n{why}", output.status);
}

/// An MRFC, and SIPp's way to it as the core.
async fn as_core() -> Option<(World, SocketAddr)> {
    if !installed() {
        return None;
    }
    let world = World::with_core(CORE).await;
    let identity = world.ca.issue(&[CORE]).unwrap();
    let address = tls_for(&world, &identity).await;
    Some((world, address))
}

/// S0-01, S0-18.
#[tokio::test]
async fn sipp_asks_what_the_server_can_do() {
    let Some((_world, core)) = as_core().await else { return };
    run(core, "options.xml", 20).await;
}

#[tokio::test]
async fn sipp_is_told_which_methods_are_not_served_and_keeps_its_connection() {
    let Some((_world, core)) = as_core().await else { return };
    run(core, "methods.xml", 20).await;
}

#[tokio::test]
async fn sipp_sends_messages_to_somebody_at_the_core_and_to_nobody() {
    let Some((_world, core)) = as_core().await else { return };
    run(core, "message.xml", 20).await;
}

#[tokio::test]
async fn sipp_makes_and_leaves_a_hundred_conferences_and_no_dialog_stays() {
    let Some((world, core)) = as_core().await else { return };
    run(core, "conference.xml", 100).await;
    assert_eq!(world.metric("mrfc_dialogs").await, 0);
}

#[tokio::test]
async fn sipp_is_turned_down_in_words_its_rfcs_know() {
    let Some((_world, core)) = as_core().await else { return };
    run(core, "refused.xml", 20).await;
}

/// S0-03, S0-04, S0-05, S0-06.
#[tokio::test]
async fn s2_ns5_sipp_without_the_cores_certificate_is_challenged_by_every_method() {
    if !installed() {
        return;
    }
    let world = World::with_core(CORE).await;
    let stranger = world.ca.issue(&["edge.example.net"]).unwrap();
    let address = tls_for(&world, &stranger).await;
    run(address, "strangers.xml", 20).await;
    assert_eq!(world.metric("mrfc_logins_total{protocol=\"sip\",result=\"asserted\"}").await, 0);
}
