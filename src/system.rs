//! A system on loopback: it makes a folder with certificates, users and configuration, starts MRFP and MRFC on it, and
//! says how to reach it. Everything is new each time and none of it is for production.
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use client::{Level, Limits, Profile};
use ids::DeviceId;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use service::tls::{DevCa, IdentityFiles};
use sip::digest::{Algorithm, Ha1};

use crate::children::{Role, Server};

/// The SIP domain of a system on loopback, and the name in its certificates.
pub const DOMAIN: &str = "localhost";
const LOOPBACK: &str = "127.0.0.1";
const ISSUER_LIFETIME: Duration = Duration::from_secs(365 * 24 * 3600);
const DIRECTIONS: &str = "directions.json";
const CA: &str = "ca.pem";
const ISSUER: &str = "issuer.pem";
const MAILBOX_KEY: &str = "mailbox.key";
const TOKEN: &str = "admin.token";
const DATABASE: &str = "mrfc.sqlite";
const OPERATOR: &str = "operator.toml";

/// How a system should be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The users; each gets a password of its own.
    pub users: Vec<String>,
    /// Where SIP listens. The other listeners take free ports.
    pub sip: SocketAddr,
    /// The protection of its rooms.
    pub level: Level,
    /// Whether a conference comes into being when somebody calls its name.
    pub named: bool,
    /// Whether a message of a sealed room is acknowledged when it is stored, and not when it is relayed.
    pub stored: bool,
    /// Connections the relay takes from one address: on loopback everybody has the same.
    pub connections_max: usize,
    /// Seconds a participant has to come to its seat, if not as long as usual.
    pub bind_secs: Option<u64>,
    /// The executable that is its servers, if not this one.
    pub program: Option<PathBuf>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            users: ["alice", "bob", "carol", "dave", "erin"].map(str::to_owned).to_vec(),
            sip: SocketAddr::from(([127, 0, 0, 1], 0)),
            level: Level::Sealed,
            named: true,
            stored: true,
            connections_max: 10_000,
            bind_secs: None,
            program: None,
        }
    }
}

/// How to reach a system, for a client on this machine. Kept in its folder, readable by its owner only.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Directions {
    /// The SIP domain.
    pub domain: String,
    /// The MRFC's SIP listener.
    pub sip: SocketAddr,
    /// The MRFC's HTTPS listener.
    pub https: SocketAddr,
    /// The users and their passwords.
    passwords: BTreeMap<String, Secret>,
    /// The certificate authority of the servers, PEM.
    ca: String,
    /// The certificate of the device issuer, DER in base64.
    issuer: String,
}

/// A password that does not show.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct Secret(String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

impl Directions {
    /// Reads the directions that a running system left in its folder.
    ///
    /// # Errors
    /// There are none.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let path = folder.join(DIRECTIONS);
        let text = fs::read_to_string(&path).with_context(|| {
            format!("no system in {}: start one with `conclave dev`", folder.display())
        })?;
        serde_json::from_str(&text).with_context(|| format!("{} is not understood", path.display()))
    }

    /// The users, in the order of their names.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.passwords.keys().map(String::as_str)
    }

    /// A new device of a user.
    ///
    /// # Errors
    /// There is no such user.
    pub fn profile(&self, user: &str) -> anyhow::Result<Profile> {
        let password = self.passwords.get(user).with_context(|| {
            let users: Vec<&str> = self.users().collect();
            format!("there is no user {user}; there are {}", users.join(", "))
        })?;
        let issuer = base64::engine::general_purpose::STANDARD.decode(&self.issuer);
        Ok(Profile {
            aor: format!("sip:{user}@{}", self.domain).parse().context("the user's address")?,
            password: password.0.clone().into(),
            device: DeviceId::random(&mut rand::rng()),
            system: client::System {
                domain: self.domain.clone(),
                sip: self.sip,
                https: self.https,
                server_name: DOMAIN.to_owned(),
                roots: service::tls::roots_from_pem(self.ca.as_bytes(), CA)?,
                issuer: issuer.context("the issuer's certificate")?,
                authorities: Vec::new(),
            },
            transport: client::Transport::default(),
            limits: Limits::default(),
            pins: client::Pins::default(),
            waits: client::Waits::default(),
        })
    }
}

/// A running system. Its servers end with it.
#[derive(Debug)]
pub struct System {
    folder: PathBuf,
    temporary: Option<tempfile::TempDir>,
    /// Locked as long as the system runs, so that no second one takes the folder.
    _lock: Option<fs::File>,
    directions: Directions,
    mrfc: Server,
    mrfp: Server,
}

impl System {
    /// Starts a system in a temporary folder, which is removed with it.
    ///
    /// # Errors
    /// The folder cannot be written or a server does not start.
    pub async fn start(plan: &Plan) -> anyhow::Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("conclave-").tempdir().context("a temporary folder")?;
        let path = folder.path().to_owned();
        Self::start_in(plan, path, Some(folder)).await
    }

    /// Starts a system in this folder, where it leaves its directions. What an earlier one left there is gone: its
    /// certificates mean nothing to the new one.
    ///
    /// # Errors
    /// As for [`System::start`].
    pub async fn start_at(plan: &Plan, folder: &Path) -> anyhow::Result<Self> {
        make_private(folder)?;
        let lock = fs::File::create(folder.join("lock")).context("opening the folder's lock")?;
        if lock.try_lock().is_err() {
            anyhow::bail!(
                "another system runs in {}: stop it or name another folder",
                folder.display()
            );
        }
        forget(folder)?;
        // SQLite gives what it writes beside the file the rights of the file.
        write_private(&folder.join(DATABASE), "")?;
        let started = Self::start_in(plan, folder.to_owned(), None).await?;
        Ok(Self { _lock: Some(lock), ..started })
    }

    async fn start_in(
        plan: &Plan,
        folder: PathBuf,
        temporary: Option<tempfile::TempDir>,
    ) -> anyhow::Result<Self> {
        let (made, program) = (Made::new(plan, &folder)?, plan.program.as_deref());
        write_private(&folder.join("mrfp.toml"), &made.mrfp()?)?;
        let mrfp = Server::start(Role::Mrfp, &folder, program).await?;
        write_private(&folder.join("mrfc.toml"), &made.mrfc(mrfp.address("control")?)?)?;
        let mrfc = Server::start(Role::Mrfc, &folder, program).await?;
        let directions = Directions {
            domain: DOMAIN.to_owned(),
            sip: mrfc.address("sip")?.parse().context("the address of SIP")?,
            https: mrfc.address("https")?.parse().context("the address of HTTPS")?,
            passwords: made.passwords,
            ca: made.ca,
            issuer: base64::engine::general_purpose::STANDARD.encode(made.issuer),
        };
        let operator = serde_json::json!({
            "server": mrfc.address("admin")?, "server_name": DOMAIN, "ca_file": CA, "token_file": TOKEN,
        });
        write_private(&folder.join(OPERATOR), &toml::to_string(&operator)?)?;
        write_private(&folder.join(DIRECTIONS), &serde_json::to_string_pretty(&directions)?)?;
        Ok(Self { folder, temporary, _lock: None, directions, mrfc, mrfp })
    }

    /// How to reach it.
    pub fn directions(&self) -> &Directions {
        &self.directions
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What `conclave room list` and its like read to operate it (`--profile`).
    pub fn operator(&self) -> PathBuf {
        self.folder.join(OPERATOR)
    }

    /// Where the relay listens for participants.
    ///
    /// # Errors
    /// The relay did not say.
    pub fn msrp(&self) -> anyhow::Result<&str> {
        self.mrfp.address("msrp")
    }

    /// The servers.
    pub fn servers(&self) -> [&Server; 2] {
        [&self.mrfc, &self.mrfp]
    }

    /// Resolves when a server ends by itself, with what is known about it.
    pub async fn failed(&mut self) -> anyhow::Error {
        tokio::select! {
            error = self.mrfc.ended() => error,
            error = self.mrfp.ended() => error,
        }
    }

    /// Stops both servers and removes the folder if it is temporary.
    ///
    /// # Errors
    /// A server did not end as it should.
    pub async fn stop(self) -> anyhow::Result<()> {
        let (mrfc, mrfp) = (self.mrfc.stop().await, self.mrfp.stop().await);
        let removed = self.temporary.map_or(Ok(()), tempfile::TempDir::close);
        mrfc.and(mrfp)?;
        removed.context("removing the temporary folder")
    }
}

/// What a new system is made of.
struct Made {
    folder: PathBuf,
    plan: Plan,
    passwords: BTreeMap<String, Secret>,
    ca: String,
    issuer: Vec<u8>,
    server: IdentityFiles,
    focus: IdentityFiles,
    relay: IdentityFiles,
}

impl Made {
    fn new(plan: &Plan, folder: &Path) -> anyhow::Result<Self> {
        let now = service::clock::wall();
        let ca = DevCa::new("Conclave development CA", now)?;
        ca.write_certificate(&folder.join(CA))?;
        let issuer = mls::identity::Issuer::generate(
            &mut rand::rng(),
            "Conclave devices",
            now,
            ISSUER_LIFETIME,
        )?;
        let certificate = pem("CERTIFICATE", issuer.certificate());
        fs::write(folder.join(ISSUER), certificate).context("writing the issuer's certificate")?;
        write_private(&folder.join("issuer.key"), &pem("PRIVATE KEY", &issuer.to_pkcs8()?))?;
        let passwords: BTreeMap<String, Secret> =
            plan.users.iter().map(|user| (user.clone(), password())).collect();
        let made = Self {
            folder: folder.to_owned(),
            plan: plan.clone(),
            ca: ca.certificate_pem().to_owned(),
            issuer: issuer.certificate().to_vec(),
            server: ca.issue_files(&[DOMAIN, LOOPBACK], folder, "server")?,
            focus: ca.issue_files(&["mrfc"], folder, "focus")?,
            relay: ca.issue_files(&["mrfp"], folder, "relay")?,
            passwords,
        };
        write_private(&folder.join("users.toml"), &made.users()?)?;
        let mut key = [0_u8; 32];
        rand::rng().fill_bytes(&mut key);
        write_private(&folder.join(MAILBOX_KEY), &hex::encode(key))?;
        write_private(&folder.join(TOKEN), &password().0)?;
        Ok(made)
    }

    fn users(&self) -> anyhow::Result<String> {
        let entry = |(user, password): (&String, &Secret)| {
            let ha1 = Ha1::new(Algorithm::Sha256, user, DOMAIN, &password.0);
            toml::Table::from_iter([
                ("aor".to_owned(), format!("sip:{user}@{DOMAIN}").into()),
                ("ha1_sha256".to_owned(), ha1.to_hex().into()),
            ])
        };
        let users: Vec<toml::Table> = self.passwords.iter().map(entry).collect();
        Ok(toml::to_string(&BTreeMap::from([("user", users)]))?)
    }

    fn mrfp(&self) -> anyhow::Result<String> {
        let free = format!("{LOOPBACK}:0");
        // All its clients have one address.
        let mut limits = serde_json::json!({
            "connections_per_address_max": self.plan.connections_max,
            "half_open_per_address_max": 1024,
        });
        if let (Some(secs), Some(limits)) = (self.plan.bind_secs, limits.as_object_mut()) {
            limits.insert("bind_secs".to_owned(), secs.into());
        }
        let config = serde_json::json!({
            "name": "mrfp-0",
            "msrp": with_identity(&self.server, serde_json::json!({
                "listen": free, "websocket_listen": free,
            })),
            "control": with_identity(&self.relay, serde_json::json!({
                "listen": free, "ca_file": self.folder.join(CA), "focus_names": ["mrfc"],
            })),
            "ops": { "listen": free },
            "drain": { "delay_secs": 0, "timeout_secs": 2 },
            "limits": limits,
        });
        Ok(toml::to_string(&config)?)
    }

    fn mrfc(&self, relay: &str) -> anyhow::Result<String> {
        let free = format!("{LOOPBACK}:0");
        let level = match self.plan.level {
            Level::Sealed => "sealed",
            Level::Open => "open",
        };
        let config = serde_json::json!({
            "domain": DOMAIN,
            "users_file": self.folder.join("users.toml"),
            "sip": with_identity(&self.server, serde_json::json!({ "listen": self.plan.sip })),
            "https": with_identity(&self.server, serde_json::json!({ "listen": free })),
            "admin": with_identity(&self.server, serde_json::json!({
                "listen": free, "token_file": self.folder.join(TOKEN),
            })),
            "ops": { "listen": free },
            "store": { "path": self.folder.join(DATABASE) },
            "issuer": {
                "certificate_file": self.folder.join(ISSUER),
                "key_file": self.folder.join("issuer.key"),
            },
            "control": with_identity(&self.focus, serde_json::json!({
                "name": "mrfc-0", "ca_file": self.folder.join(CA),
            })),
            "relays": [{ "name": "mrfp-0", "control": relay, "server_name": "mrfp" }],
            "mailbox": {
                "key_file": self.folder.join(MAILBOX_KEY),
                "files": { "listen": free, "arriving": self.folder.join("arriving") },
            },
            "blobs": { "folder": self.folder.join("blobs") },
            "conferences": {
                "named": self.plan.named, "level": level,
                "acknowledge": if self.plan.stored { "stored" } else { "relayed" },
            },
        });
        Ok(toml::to_string(&config)?)
    }
}

/// A section of a configuration with the files of an identity.
fn with_identity(files: &IdentityFiles, mut section: serde_json::Value) -> serde_json::Value {
    if let Some(section) = section.as_object_mut() {
        let text = |path: &Path| serde_json::Value::from(path.display().to_string());
        section.insert("certificate_file".to_owned(), text(&files.certificate_file));
        section.insert("key_file".to_owned(), text(&files.key_file));
    }
    section
}

/// Removes what an earlier system kept in its folder.
fn forget(folder: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("listing {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(DATABASE)
            || name.starts_with("device-")
            || name == "mrfc.log"
            || name == "mrfp.log"
        {
            fs::remove_file(&path).with_context(|| format!("removing {}", path.display()))?;
        }
    }
    Ok(())
}

fn password() -> Secret {
    let mut random = [0_u8; 12];
    rand::rng().fill_bytes(&mut random);
    Secret(hex::encode(random))
}

/// DER as PEM (RFC 7468).
fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// Makes a folder for its owner alone. One that was there, and has more in it than a system's files, stays as it is.
fn make_private(folder: &Path) -> anyhow::Result<()> {
    let context = || format!("making {}", folder.display());
    if folder.join(DIRECTIONS).exists() {
        let owners = fs::Permissions::from_mode(0o700);
        return fs::set_permissions(folder, owners).with_context(context);
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(context)
}

/// Writes a file that only its owner may read.
fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    let file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("opening {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_file_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");

        write_private(&path, "x").unwrap();

        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_password_shows_nowhere() {
        let shown = format!("{:?}", password());

        assert_eq!(shown, "(secret)");
    }

    #[test]
    fn what_servers_are_told_is_legal_to_both() {
        service::tls::install_provider();
        let folder = tempfile::tempdir().unwrap();
        let made = Made::new(&Plan::default(), folder.path()).unwrap();

        toml::from_str::<mrfp::Config>(&made.mrfp().unwrap()).unwrap().check().unwrap();
        toml::from_str::<mrfc::Config>(&made.mrfc("127.0.0.1:4747").unwrap())
            .unwrap()
            .check()
            .unwrap();
    }
}
