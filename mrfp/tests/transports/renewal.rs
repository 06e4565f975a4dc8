//! Certificates are renewed under a relay that serves: handshakes get the new one, sessions go on.
use control::Level;
use service::tls::{Trust, client_config};
use tokio::net::TcpStream;

use crate::common::{Person, Stage, message, soon, text};

#[tokio::test]
async fn a_new_certificate_is_for_new_handshakes_and_the_focus_hears_of_it() {
    let mut stage = Stage::with(|config| config.msrp.reload_secs = 0).await;
    stage.open(Level::Open, None).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);

    // The relay's certificates for participants and for the focus are the same files here.
    let files = stage.ca.issue_files(&["localhost", "127.0.0.1"], stage.folder(), "relay").unwrap();
    let new = service::tls::Identity::load(&files.certificate_file, &files.key_file).unwrap();
    let taken = async {
        while stage.metric("conclave_tls_reloads_total{result=\"ok\"}").await < 2.0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the new certificate", taken).await;

    let known = client_config(Trust::Fingerprints(vec![new.fingerprint()]), None, &[]).unwrap();
    let socket = TcpStream::connect(stage.msrp).await.unwrap();
    assert!(Person::over(socket, known).await.is_ok());
    assert_eq!(alice.ask(&message("m1aa", text(1, "still here"))).await.0, 200);
    assert_eq!(bob.message().await, text(1, "still here"));
    let end =
        stage.metric("conclave_tls_certificate_not_after_timestamp_seconds{listener=\"msrp\"}");
    assert!(end.await > 1.0e9);

    soon("the end of the old link", stage.focus.hung_up()).await;
    stage.focus.break_link();
    stage.focus.connect().await;
    assert_eq!(stage.focus.fingerprint(), Some(new.fingerprint().to_string().as_str()));

    std::fs::write(&files.certificate_file, "not a certificate").unwrap();
    let refused = async {
        while stage.metric("conclave_tls_reloads_total{result=\"failed\"}").await < 2.0 {
            tokio::task::yield_now().await;
        }
    };
    soon("the bad file", refused).await;
    let socket = TcpStream::connect(stage.msrp).await.unwrap();
    let known = client_config(Trust::Fingerprints(vec![new.fingerprint()]), None, &[]).unwrap();
    assert!(Person::over(socket, known).await.is_ok());
}
