//! Certificates are renewed under an MRFC that serves: handshakes get the new one, and connections go on.
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use service::tls::{Fingerprint, Identity, Trust, client_config};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::relay::Manner;
use crate::world::{DOMAIN, World};

/// A connection to whoever shows this certificate.
async fn to(address: SocketAddr, known: &Fingerprint) -> std::io::Result<TlsStream<TcpStream>> {
    let trust = Trust::Fingerprints(vec![*known]);
    let config = client_config(trust, None, &[]).unwrap();
    let name = ServerName::try_from(DOMAIN).unwrap();
    TlsConnector::from(config).connect(name, TcpStream::connect(address).await?).await
}

/// Writes files of another certificate where the listeners have theirs.
fn renew(world: &World) -> Fingerprint {
    let files = world.ca.issue_files(&[DOMAIN, "127.0.0.1"], world.folder(), "server").unwrap();
    Identity::load(&files.certificate_file, &files.key_file).unwrap().fingerprint()
}

async fn reloaded(world: &World, result: &str, count: u64) {
    let counted = async {
        let line = format!("conclave_tls_reloads_total{{result=\"{result}\"}}");
        while world.metric(&line).await < count {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), counted).await.unwrap();
}

#[tokio::test]
async fn a_new_certificate_is_for_new_handshakes_of_sip_and_https_and_old_connections_stay() {
    let world = World::with(Manner::Prompt, |config| config.sip.reload_secs = 0).await;
    let (sip, https) = (world.addresses.sip, world.addresses.https);
    let file = world.folder().join("server.pem");
    let old = Identity::load(&file, &world.folder().join("server.key")).unwrap().fingerprint();
    let mut stays = to(sip, &old).await.unwrap();

    let new = renew(&world);
    // SIP and HTTPS have the same files here.
    reloaded(&world, "ok", 2).await;

    assert_ne!(old, new);
    for address in [sip, https] {
        assert!(to(address, &new).await.is_ok());
        assert!(to(address, &old).await.is_err(), "the old certificate is not shown any more");
    }
    // RFC 5626, 3.5.1: a ping, and its pong.
    stays.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    stays.read_exact(&mut pong).await.unwrap();
    assert_eq!(&pong, b"\r\n");
    for listener in ["sip", "https", "control"] {
        let name = "conclave_tls_certificate_not_after_timestamp_seconds";
        let ends = world.metric(&format!("{name}{{listener=\"{listener}\"}}")).await;
        assert!(ends > 1_000_000_000, "{listener}: {ends}");
    }

    std::fs::write(&file, "not a certificate").unwrap();
    reloaded(&world, "failed", 2).await;
    assert!(to(sip, &new).await.is_ok() && to(https, &new).await.is_ok());
}
