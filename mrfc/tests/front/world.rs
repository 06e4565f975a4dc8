//! A running MRFC with its files, its users and a relay.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use mls::identity::Issuer;
use mrfc::{Addresses, Config, Server};
use rand::SeedableRng as _;
use rustls::RootCertStore;
use service::clock;
use service::shutdown::Shutdown;
use service::tls::{self, DevCa};
use sip::digest::{Algorithm, Ha1};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::relay::{Manner, Relay};

pub(crate) const DOMAIN: &str = "example.net";

/// An MRFC and everything around it; it stops with the test.
pub(crate) struct World {
    pub(crate) addresses: Addresses,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) issuer: Issuer,
    pub(crate) relay: Relay,
    /// Who signs every certificate here.
    pub(crate) ca: DevCa,
    shutdown: Shutdown,
    serving: tokio::task::JoinHandle<Result<(), mrfc::StartError>>,
    config: Config,
    files: Files,
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// The password of a user.
pub(crate) fn password(user: &str) -> String {
    format!("{user}'s secret")
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(Manner::Prompt, |_| {}).await
    }

    /// A world with another configuration.
    pub(crate) async fn with(manner: Manner, change: impl FnOnce(&mut Config)) -> Self {
        tls::install_provider();
        let ca = DevCa::new("control", clock::wall()).unwrap();
        let relay = Relay::start(&ca.issue(&["mrfp"]).unwrap(), ca.roots().unwrap(), manner);
        let files = Files::with(&ca, relay.address);
        Self::of(ca, relay, files, change).await
    }

    /// A world that takes whoever proves this name for the SIP core in front of it.
    pub(crate) async fn with_core(name: &str) -> Self {
        tls::install_provider();
        let ca = DevCa::new("control", clock::wall()).unwrap();
        let identity = ca.issue(&["mrfp"]).unwrap();
        let relay = Relay::start(&identity, ca.roots().unwrap(), Manner::Prompt);
        let files = Files::with(&ca, relay.address);
        let roots = files.path("ca.pem");
        let change = |config: &mut Config| {
            config.sip.core_ca_file = Some(roots);
            config.sip.core_names = vec![name.to_owned()];
        };
        Self::of(ca, relay, files, change).await
    }

    async fn of(ca: DevCa, relay: Relay, files: Files, change: impl FnOnce(&mut Config)) -> Self {
        let text = Some(files.config());
        let mut config: Config =
            service::config::load_from(text.as_deref(), "MRFC", [].into(), &[]).unwrap();
        change(&mut config);
        let shutdown = Shutdown::new();
        let started = Box::pin(Server::start(config.clone(), shutdown.clone()));
        let server = started.await.unwrap();
        let addresses = server.addresses().clone();
        let serving = tokio::spawn(server.serve());
        let (roots, issuer) = (ca.roots().unwrap(), files.issuer.clone());
        Self { addresses, roots, issuer, relay, ca, shutdown, serving, config, files }
    }

    /// The folder of its files.
    pub(crate) fn folder(&self) -> &Path {
        self.files.folder.path()
    }

    /// Ends the MRFC and starts it again with the same files.
    pub(crate) async fn restart(&mut self) {
        self.shutdown.trigger();
        (&mut self.serving).await.unwrap().unwrap();
        self.shutdown = Shutdown::new();
        let started = Box::pin(Server::start(self.config.clone(), self.shutdown.clone()));
        let server = started.await.unwrap();
        self.addresses = server.addresses().clone();
        self.serving = tokio::spawn(server.serve());
    }

    /// A second MRFC with the same configuration, when it has started.
    pub(crate) fn another(&self) -> tokio::task::JoinHandle<Result<Server, mrfc::StartError>> {
        let config = self.config.clone();
        let runtime = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            runtime.block_on(Server::start(config, Shutdown::new()))
        })
    }

    /// Tells the MRFC to end.
    pub(crate) fn stop(&self) {
        self.shutdown.trigger();
    }

    /// How the MRFC ended.
    pub(crate) async fn ended(&mut self) -> Result<(), mrfc::StartError> {
        (&mut self.serving).await.unwrap()
    }

    /// The attempts to register that were noted, newest first, once there are so many.
    pub(crate) async fn attempts(&self, count: usize) -> Vec<store::Attempt> {
        let store = store::Store::open(&self.files.path("mrfc.sqlite")).await.unwrap();
        loop {
            let attempts = store.attempts(None, 100).await.unwrap();
            if attempts.len() >= count {
                return attempts;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Every conference that was ever made and is not forgotten.
    pub(crate) async fn conferences(&self) -> Vec<ids::ConferenceId> {
        let store = store::Store::open(&self.files.path("mrfc.sqlite")).await.unwrap();
        store.conferences().await.unwrap()
    }

    /// The octets of the database, whatever they mean.
    pub(crate) fn octets_on_disk(&self) -> Vec<u8> {
        let of = |name| std::fs::read(self.files.path(name)).unwrap_or_default();
        [of("mrfc.sqlite"), of("mrfc.sqlite-wal")].concat()
    }

    /// The value of one line of `/metrics`; 0 if it is not there.
    pub(crate) async fn metric(&self, line: &str) -> u64 {
        let mut stream = TcpStream::connect(self.addresses.ops).await.unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let values: BTreeMap<&str, &str> =
            answer.lines().filter_map(|line| line.rsplit_once(' ')).collect();
        values.get(line).map_or(0, |value| value.parse().unwrap())
    }
}

/// The files of an MRFC, in a folder that goes with them.
pub(crate) struct Files {
    folder: tempfile::TempDir,
    issuer: Issuer,
}

impl Files {
    /// Files for an MRFC whose relay has its control port here.
    pub(crate) fn make(relay: SocketAddr) -> Self {
        tls::install_provider();
        Self::with(&DevCa::new("control", clock::wall()).unwrap(), relay)
    }

    pub(crate) fn with(ca: &DevCa, relay: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        ca.issue_files(&[DOMAIN, "127.0.0.1"], folder.path(), "server").unwrap();
        ca.issue_files(&["mrfc"], folder.path(), "focus").unwrap();
        ca.write_certificate(&folder.path().join("ca.pem")).unwrap();
        let issuer = device_issuer(folder.path());
        let files = Self { folder, issuer };
        let known = users(&["alice", "bob", "carol", "mallory"]);
        std::fs::write(files.path("users.toml"), known).unwrap();
        std::fs::write(files.config(), files.text(relay)).unwrap();
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration file.
    pub(crate) fn config(&self) -> PathBuf {
        self.path("mrfc.toml")
    }

    fn text(&self, relay: SocketAddr) -> String {
        let identity = |name: &str| {
            let (certificate, key) =
                (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
            format!("certificate_file = {certificate:?}\nkey_file = {key:?}\n")
        };
        let listen = "listen = \"127.0.0.1:0\"\n";
        format!(
            "domain = \"{DOMAIN}\"\nusers_file = {:?}\n[sip]\n{listen}{server}[https]\n{listen}{server}\
             [ops]\n{listen}[store]\npath = {:?}\n[issuer]\n{}[control]\nname = \"mrfc-0\"\nca_file = {:?}\n{}\
             [[relays]]\nname = \"mrfp-0\"\ncontrol = \"{relay}\"\nserver_name = \"mrfp\"\n",
            self.path("users.toml"),
            self.path("mrfc.sqlite"),
            identity("issuer"),
            self.path("ca.pem"),
            identity("focus"),
            server = identity("server"),
        )
    }
}

fn device_issuer(folder: &Path) -> Issuer {
    let mut rng = rand::rngs::StdRng::seed_from_u64(7);
    let year = Duration::from_secs(365 * 24 * 3600);
    let issuer = Issuer::generate(&mut rng, "Devices", clock::wall(), year).unwrap();
    let pem = |label: &str, der: &[u8]| {
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n")
    };
    std::fs::write(folder.join("issuer.pem"), pem("CERTIFICATE", issuer.certificate())).unwrap();
    let key = issuer.to_pkcs8().unwrap();
    std::fs::write(folder.join("issuer.key"), pem("PRIVATE KEY", &key)).unwrap();
    issuer
}

/// The telephone number of a user: `+1555` and what the name adds up to.
pub(crate) fn number(user: &str) -> String {
    format!("+1555{:07}", user.bytes().map(u32::from).sum::<u32>())
}

fn users(names: &[&str]) -> String {
    let entry = |name: &&str| {
        let ha1 = Ha1::new(Algorithm::Sha256, name, DOMAIN, &password(name));
        let (ha1, number) = (ha1.to_hex(), number(name));
        format!(
            "[[user]]\naor = \"sip:{name}@{DOMAIN}\"\nha1_sha256 = \"{ha1}\"\nnumbers = [\"{number}\"]\n"
        )
    };
    names.iter().map(entry).collect()
}
