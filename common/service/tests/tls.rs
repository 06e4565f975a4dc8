//! TLS over loopback: who gets through and who does not, and what is wrong with a bad identity.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use rustls::{CipherSuite, ClientConfig, ServerConfig};
use rustls_pki_types::{ServerName, UnixTime};
use service::clock;
use service::tls::{
    BadFingerprint, ClientAuth, DevCa, Fingerprint, Identity, Trust, client_config, load_roots,
    server_config,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

fn ca(name: &str) -> DevCa {
    DevCa::new(name, clock::wall()).unwrap()
}

#[derive(Debug)]
struct Met {
    suite: CipherSuite,
    alpn: Option<Vec<u8>>,
    client_showed_certificate: bool,
}

/// One connection over loopback, a byte each way, as both ends saw it.
async fn meet(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
) -> (Result<Met, std::io::Error>, Result<(), std::io::Error>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        let (stream, _) = listener.accept().await?;
        let mut stream = TlsAcceptor::from(server).accept(stream).await?;
        let mut byte = [0];
        stream.read_exact(&mut byte).await?;
        stream.write_all(&byte).await?;
        stream.shutdown().await?;
        let tls = stream.get_ref().1;
        Ok(Met {
            suite: tls.negotiated_cipher_suite().unwrap().suite(),
            alpn: tls.alpn_protocol().map(<[u8]>::to_vec),
            client_showed_certificate: tls.peer_certificates().is_some(),
        })
    };
    let call = async {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(client).connect(name, stream).await?;
        stream.write_all(b"x").await?;
        let mut byte = [0];
        stream.read_exact(&mut byte).await.map(|_| ())
    };
    tokio::join!(serve, call)
}

#[tokio::test]
async fn both_ends_under_one_ca_meet_with_aes_128_gcm_and_the_protocol_asked_for() {
    let ca = ca("dev");
    let server = ca.issue(&["localhost", "127.0.0.1"]).unwrap();
    let server = server_config(&server, ClientAuth::None, &[b"sip", b"msrp"]).unwrap();
    let client = client_config(Trust::Roots(ca.roots().unwrap()), None, &[b"msrp"]).unwrap();

    let (met, called) = meet(server, client).await;

    called.unwrap();
    let met = met.unwrap();
    assert_eq!(met.suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
    assert_eq!(met.alpn.as_deref(), Some(&b"msrp"[..]));
    assert!(!met.client_showed_certificate);
}

#[tokio::test]
async fn a_client_that_prefers_another_suite_still_gets_aes_128_gcm() {
    let ca = ca("dev");
    let server = ca.issue(&["localhost"]).unwrap();
    let server = server_config(&server, ClientAuth::None, &[]).unwrap();
    let client = client_config(Trust::Roots(ca.roots().unwrap()), None, &[]).unwrap();
    let mut client = Arc::unwrap_or_clone(client);
    let mut provider = client.crypto_provider().as_ref().clone();
    provider.cipher_suites.reverse();
    let roots = ca.roots().unwrap();
    client = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let (met, called) = meet(server, Arc::new(client)).await;

    called.unwrap();
    assert_eq!(met.unwrap().suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
}

#[tokio::test]
async fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    let ca = ca("dev");
    let server = ca.issue(&["localhost"]).unwrap();
    let required = ClientAuth::Required(ca.roots().unwrap());
    let server = server_config(&server, required, &[]).unwrap();
    let nobody = client_config(Trust::Roots(ca.roots().unwrap()), None, &[]).unwrap();

    let (met, called) = meet(server, nobody).await;

    assert!(met.unwrap_err().to_string().contains("no certificates"), "not for that reason");
    assert!(called.is_err());
}

#[tokio::test]
async fn a_client_of_another_ca_is_refused_where_a_certificate_is_required_or_optional() {
    let (ours, theirs) = (ca("ours"), ca("theirs"));
    let server = ours.issue(&["localhost"]).unwrap();
    let stranger = theirs.issue(&["mrfc"]).unwrap();
    let roots = ours.roots().unwrap();
    let trust = || Trust::Roots(ours.roots().unwrap());
    for clients in [ClientAuth::Required(Arc::clone(&roots)), ClientAuth::Optional(roots.clone())] {
        let server = server_config(&server, clients, &[]).unwrap();
        let client = client_config(trust(), Some(&stranger), &[]).unwrap();
        let (met, called) = meet(server, client).await;
        assert!(met.is_err() && called.is_err());
    }

    let server = server_config(&server, ClientAuth::Optional(roots), &[]).unwrap();
    let nobody = client_config(trust(), None, &[]).unwrap();
    let (met, _) = meet(server, nobody).await;
    assert!(!met.unwrap().client_showed_certificate);
}

#[tokio::test]
async fn tlssdp_02_a_client_certificate_of_any_issuer_is_taken_and_so_is_none() {
    let (ours, theirs) = (ca("ours"), ca("theirs"));
    let server = ours.issue(&["localhost"]).unwrap();
    let server = server_config(&server, ClientAuth::Any, &[]).unwrap();
    let stranger = theirs.issue(&["ue"]).unwrap();
    for (identity, shows) in [(Some(&stranger), true), (None, false)] {
        let trust = Trust::Roots(ours.roots().unwrap());
        let client = client_config(trust, identity, &[]).unwrap();
        let (met, called) = meet(Arc::clone(&server), client).await;
        called.unwrap();
        assert_eq!(met.unwrap().client_showed_certificate, shows);
    }
}

#[tokio::test]
async fn tlssdp_02_a_client_that_shows_a_certificate_without_holding_its_key_is_refused() {
    let ca = ca("dev");
    let (victim, thief) = (ca.issue(&["ue"]).unwrap(), ca.issue(&["ue"]).unwrap());
    let server = ca.issue(&["localhost"]).unwrap();
    let server = server_config(&server, ClientAuth::Any, &[]).unwrap();
    let provider = service::tls::provider();
    let key = provider.key_provider.load_private_key(thief.parts().1).unwrap();
    let shown = rustls::sign::CertifiedKey::new(victim.parts().0, key);
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(ca.roots().unwrap())
        .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));

    let (met, _) = meet(server, Arc::new(client)).await;

    let refusal = met.unwrap_err().to_string();
    assert!(refusal.contains("BadSignature"), "{refusal}");
}

#[test]
fn m4976_17_only_a_chain_under_the_roots_proves_the_name_it_carries() {
    let (ours, theirs) = (ca("ours"), ca("theirs"));
    let authority = service::tls::Authority::new(ours.roots().unwrap()).unwrap();
    let relay = ours.issue(&["relay.example.net", "::1"]).unwrap().parts().0;
    let stranger = theirs.issue(&["relay.example.net"]).unwrap().parts().0;
    let now = UnixTime::now();

    assert!(authority.proves(&relay, "relay.example.net", now));
    assert!(authority.proves(&relay, "[::1]", now));
    assert!(!authority.proves(&relay, "other.example.net", now));
    assert!(!authority.proves(&stranger, "relay.example.net", now));
    assert!(!authority.proves(&[], "relay.example.net", now));
    let year = std::time::Duration::from_secs(365 * 24 * 3600);
    let later = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_secs()) + year);
    assert!(!authority.proves(&relay, "relay.example.net", later));
}

#[tokio::test]
async fn a_handshake_gets_the_certificate_of_the_files_and_a_bad_file_keeps_the_old_one() {
    let (folder, ca) = (tempfile::tempdir().unwrap(), ca("dev"));
    let issue = || ca.issue_files(&["localhost"], folder.path(), "relay").unwrap();
    let files = issue();
    let live = service::tls::Live::load(&files.certificate_file, &files.key_file).unwrap();
    let server = service::tls::live_server_config(&live, ClientAuth::None, &[]).unwrap();
    let meets = async |known: Fingerprint| {
        let client = client_config(Trust::Fingerprints(vec![known]), None, &[]).unwrap();
        meet(Arc::clone(&server), client).await.1.is_ok()
    };
    let old = live.identity().fingerprint();
    assert!(meets(old).await && !live.refresh().unwrap());

    std::fs::write(&files.certificate_file, "not a certificate").unwrap();
    assert!(live.refresh().is_err());
    assert!(!live.refresh().unwrap(), "what is wrong is said once");
    assert!(meets(old).await);

    issue();
    assert!(live.refresh().unwrap());
    let new = live.identity().fingerprint();
    assert!(new != old && meets(new).await && !meets(old).await);
}

/// S3-02, S3-09.
#[tokio::test]
async fn m4975_16_tls_1_1_is_refused() {
    use tokio::net::TcpStream;
    let ca = ca("dev");
    let server = server_config(&ca.issue(&["localhost"]).unwrap(), ClientAuth::None, &[]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        TlsAcceptor::from(server).accept(stream).await.map(|_| ()).unwrap_err().to_string()
    };
    // RFC 4346, 7.4.1.2: a ClientHello of version 3.2 with one suite, no compression, signatures and groups.
    let mut hello = vec![3, 2];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 2, 0xc0, 0x13, 1, 0, 0, 16]);
    hello.extend_from_slice(&[0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 23]);
    let mut record = vec![22, 3, 1, 0, u8::try_from(hello.len() + 4).unwrap(), 1, 0, 0];
    record.push(u8::try_from(hello.len()).unwrap());
    record.extend(hello);
    let call = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&record).await.unwrap();
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        answer
    };

    let (refusal, answer) = tokio::join!(serve, call);

    // An alert, fatal, protocol_version.
    assert_eq!(answer.get(..1), Some(&[21][..]), "{refusal}");
    assert_eq!(answer.get(5..7), Some(&[2, 70][..]), "{refusal}");
}

#[tokio::test]
async fn a_client_refuses_a_server_of_another_ca_name_or_time() {
    let (ours, theirs) = (ca("ours"), ca("theirs"));
    let year = std::time::Duration::from_secs(365 * 24 * 3600);
    let past = DevCa::new("past", clock::wall() - year).unwrap();
    let trust = ours.roots().unwrap();
    let cases = [
        (theirs.issue(&["localhost"]).unwrap(), Arc::clone(&trust)),
        (ours.issue(&["elsewhere.example.net"]).unwrap(), trust),
        (past.issue(&["localhost"]).unwrap(), past.roots().unwrap()),
    ];
    for (identity, roots) in cases {
        let server = server_config(&identity, ClientAuth::None, &[]).unwrap();
        let client = client_config(Trust::Roots(roots), None, &[]).unwrap();
        let (met, called) = meet(server, client).await;
        assert!(met.is_err() && called.is_err(), "{identity:?}");
    }
}

#[tokio::test]
async fn rfc8122_s6_2_only_the_certificate_with_the_known_fingerprint_is_accepted() {
    let ca = ca("dev");
    let (right, wrong) = (ca.issue(&["any.name"]).unwrap(), ca.issue(&["localhost"]).unwrap());
    let server = server_config(&right, ClientAuth::None, &[]).unwrap();
    for (known, accepted) in [
        (vec![wrong.fingerprint(), right.fingerprint()], true),
        (vec![wrong.fingerprint()], false),
        (vec![], false),
    ] {
        let client = client_config(Trust::Fingerprints(known), None, &[]).unwrap();
        let (met, called) = meet(Arc::clone(&server), client).await;
        assert_eq!((met.is_ok(), called.is_ok()), (accepted, accepted));
    }
}

#[tokio::test]
async fn rfc8122_s6_2_a_server_that_shows_a_certificate_without_holding_its_key_is_refused() {
    let ca = ca("dev");
    let (victim, thief) = (ca.issue(&["localhost"]).unwrap(), ca.issue(&["localhost"]).unwrap());
    let provider = service::tls::provider();
    let key = provider.key_provider.load_private_key(thief.parts().1).unwrap();
    let shown = rustls::sign::CertifiedKey::new(victim.parts().0, key);
    let server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(shown)));
    let known = Trust::Fingerprints(vec![victim.fingerprint()]);
    let client = client_config(known, None, &[]).unwrap();

    let (met, called) = meet(Arc::new(server), client).await;

    assert!(met.is_err());
    let refusal = called.unwrap_err().to_string();
    assert!(refusal.contains("BadSignature"), "{refusal}");
}

#[test]
fn rfc8122_s5_a_fingerprint_reads_back_in_any_case_and_weak_or_broken_ones_are_refused() {
    let fingerprint = ca("dev").issue(&["localhost"]).unwrap().fingerprint();
    let text = fingerprint.to_string();

    assert_eq!(text.parse(), Ok(fingerprint));
    assert_eq!(text.to_lowercase().parse(), Ok(fingerprint));
    assert_eq!(text.replace("SHA-256", "SHA-1").parse::<Fingerprint>(), Err(BadFingerprint::Hash));
    let short = text.rsplit_once(':').unwrap().0.to_owned();
    let odd = text.replacen(':', ":+", 1);
    for bad in [String::new(), text.replace(':', ""), short, format!("{text}:00"), odd] {
        assert_eq!(bad.parse::<Fingerprint>(), Err(BadFingerprint::Form), "{bad}");
    }
}

#[test]
fn issued_files_load_as_the_same_identity_and_only_the_owner_may_read_the_key() {
    let (folder, ca) = (tempfile::tempdir().unwrap(), ca("dev"));
    std::fs::write(folder.path().join("relay.key"), "an older file, readable by all").unwrap();

    let files = ca.issue_files(&["localhost"], folder.path(), "relay").unwrap();
    let ca_file = folder.path().join("ca.pem");
    ca.write_certificate(&ca_file).unwrap();

    let identity = Identity::load(&files.certificate_file, &files.key_file).unwrap();
    assert!(format!("{identity:?}").starts_with("Identity(SHA-256 "));
    let mode = std::fs::metadata(&files.key_file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(load_roots(&ca_file).unwrap().len(), 1);
    assert!(!std::fs::read_to_string(&ca_file).unwrap().contains("PRIVATE"));
}

#[test]
fn a_bad_identity_is_refused_with_the_file_and_what_is_wrong() {
    let (folder, ca) = (tempfile::tempdir().unwrap(), ca("dev"));
    let one = ca.issue_files(&["localhost"], folder.path(), "one").unwrap();
    let two = ca.issue_files(&["localhost"], folder.path(), "two").unwrap();
    let missing = folder.path().join("none.pem");
    let wrong = |certificate: &std::path::Path, key: &std::path::Path| {
        Identity::load(certificate, key).unwrap_err().to_string()
    };

    assert!(wrong(&missing, &one.key_file).contains("cannot read"));
    assert!(wrong(&missing, &one.key_file).contains("none.pem"));
    let no_chain = wrong(&one.key_file, &one.key_file);
    assert!(no_chain.contains("one.key holds no certificate"), "{no_chain}");
    let no_key = wrong(&one.certificate_file, &one.certificate_file);
    assert!(no_key.contains("one.pem holds no private key"), "{no_key}");
    let pair = wrong(&one.certificate_file, &two.key_file);
    for file in [&one.certificate_file, &two.key_file] {
        assert!(pair.contains(&file.display().to_string()), "{pair}");
    }
}

/// Made with `openssl ecparam -genkey -name prime256v1`: SEC1, the form that openssl writes by default.
#[test]
fn a_sec1_key_and_a_pkcs8_key_are_both_understood() {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("ec.key"), folder.path().join("ec.pem"));
    let openssl = |arguments: &[&str]| {
        std::process::Command::new("openssl")
            .args(arguments)
            .output()
            .is_ok_and(|o| o.status.success())
    };
    let (key_name, certificate_name) = (key.to_str().unwrap(), certificate.to_str().unwrap());
    let made = openssl(&["ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", key_name])
        && openssl(&[
            "req",
            "-x509",
            "-key",
            key_name,
            "-subj",
            "/CN=localhost",
            "-out",
            certificate_name,
        ]);
    if !made {
        println!("SKIPPED: no openssl command here");
        return;
    }

    assert!(std::fs::read_to_string(&key).unwrap().contains("BEGIN EC PRIVATE KEY"));
    Identity::load(&certificate, &key).unwrap();
}
