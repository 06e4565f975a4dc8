//! Everything the MRFC can be told, and every bound it keeps, with its unit, default and reason. It is checked
//! once, by [`Config::check`] (in `config/check.rs`); nothing is read from files here except by name.
mod admin;
mod blobs;
mod check;
mod conferences;
mod location;
mod mailbox;
mod people;
mod registration;
mod services;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use service::telemetry::Format;

pub use admin::Admin;
pub use blobs::{Blobs, Bucket};
pub use check::BadConfig;
pub use conferences::{
    Acknowledge, Anonymous, Conferences, Leaves, Level, SessionMatch, StandingConference, Watchers,
};
pub use mailbox::{Mailbox, MailboxFiles};
pub use people::Numbers;
pub use registration::Registration;
pub use services::{Consent, FilterRule, Messages, Sessions};

/// The whole configuration file. Unknown keys are errors.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The SIP domain: addresses of record and conference URIs are `sip:NAME@DOMAIN`; also the digest realm.
    pub domain: String,
    /// Who may register: a TOML file of `[[user]]` entries (see [`crate::users`]).
    pub users_file: PathBuf,
    /// Where SIP is spoken.
    pub sip: Sip,
    /// Where devices fetch certificates and leave KeyPackages.
    pub https: Https,
    /// Where the operator's API is served. Without this table there is none.
    #[serde(default)]
    pub admin: Option<Admin>,
    /// Where metrics and health are read.
    #[serde(default)]
    pub ops: Ops,
    /// Where the journal lies.
    pub store: Store,
    /// Who signs the devices' certificates.
    pub issuer: Issuer,
    /// Who we are to the relays.
    pub control: Control,
    /// The relays that carry rooms.
    #[serde(default)]
    pub relays: Vec<Relay>,
    /// Who may register how, and what is noted of it.
    #[serde(default)]
    pub registration: Registration,
    /// How conferences come to be.
    #[serde(default)]
    pub conferences: Conferences,
    /// How telephone numbers become people.
    #[serde(default)]
    pub numbers: Numbers,
    /// What immediate messages may be.
    #[serde(default)]
    pub messages: Messages,
    /// What waits for people who cannot be reached.
    #[serde(default)]
    pub mailbox: Option<Mailbox>,
    /// Where what is too large for the database lies.
    #[serde(default)]
    pub blobs: Option<Blobs>,
    /// How sessions between two people go.
    #[serde(default)]
    pub sessions: Sessions,
    /// What is turned away of what is not sealed.
    #[serde(default)]
    pub filters: Vec<FilterRule>,
    /// Every bound.
    #[serde(default)]
    pub limits: Limits,
    /// What is logged and how.
    #[serde(default)]
    pub log: Log,
    /// The file this was read from, to be checked again when the operator asks.
    #[serde(skip)]
    pub(crate) file: Option<PathBuf>,
}

/// The SIP listeners.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sip {
    /// SIP over TLS; port 0 lets the system choose.
    #[serde(default = "default_sip_listen")]
    pub listen: SocketAddr,
    /// SIP over WebSocket over TLS (RFC 7118), for browsers; usually port 5062. Off unless named. The certificate is that of
    /// `listen`, and nobody is asked for one.
    #[serde(default)]
    pub websocket_listen: Option<SocketAddr>,
    /// The origins, such as `https://chat.example.org`, whose pages may connect by WebSocket; in the file only. Default:
    /// every page.
    #[serde(default)]
    pub websocket_origins: Vec<String>,
    /// SIP over plain TCP, for a network that is protected by other means. Off unless named.
    #[serde(default)]
    pub protected_listen: Option<SocketAddr>,
    /// Certificate chain, PEM.
    pub certificate_file: PathBuf,
    /// Private key, PEM.
    pub key_file: PathBuf,
    /// Seconds between two looks at the certificates of this table, of `https`, `admin` and `control`. Default 60; SIGHUP
    /// looks at once. A changed certificate is used from the next handshake on, and connections stay.
    #[serde(default = "default_reload_secs")]
    pub reload_secs: u64,
    /// The port in the URIs we hand out, where a load balancer changes it. Default: the port of `listen`.
    #[serde(default)]
    pub advertised_port: Option<u16>,
    /// The CA that signs the SIP core in front of us, PEM. Clients may then show a certificate under it. Default: none,
    /// and nobody's word counts but a password's.
    #[serde(default)]
    pub core_ca_file: Option<PathBuf>,
    /// DNS names or IP addresses of which the core's certificate carries one. What such a peer asserts about who asks
    /// (P-Asserted-Identity, RFC 3325) is believed, and it is not challenged; in the file only.
    #[serde(default)]
    pub core_names: Vec<String>,
    /// Seconds after which a session that nobody has refreshed ends (RFC 4028): what we ask for, and the longest we grant.
    /// 1 800: a device that vanished is out within half an hour, and each one says a word every quarter.
    #[serde(default = "default_session_secs")]
    pub session_secs: u32,
    /// The shortest interval between refreshes that is taken; a briefer one gets 422. 90: RFC 4028, 5 knows none below, so
    /// less is for a laboratory.
    #[serde(default = "default_session_secs_min")]
    pub session_secs_min: u32,
    /// Offer MD5 beside SHA-256, for old clients (RFC 8760, 2.7). Needs `ha1_md5` in the users file.
    #[serde(default)]
    pub md5: bool,
}

/// The HTTPS listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Https {
    /// HTTP/1.1 over TLS; port 0 lets the system choose.
    #[serde(default = "default_https_listen")]
    pub listen: SocketAddr,
    /// Certificate chain, PEM.
    pub certificate_file: PathBuf,
    /// Private key, PEM.
    pub key_file: PathBuf,
    /// The CA that signs the proxy in front of us that asks people who they are, PEM. Default: none, and nobody's word counts.
    #[serde(default)]
    pub proxy_ca_file: Option<PathBuf>,
    /// DNS names or IP addresses of which the proxy's certificate carries one. What such a peer asserts about who asks
    /// (X-3GPP-Asserted-Identity, TS 24.109) is believed; from anybody else it is nothing. In the file only.
    #[serde(default)]
    pub proxy_names: Vec<String>,
}

/// The operations listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ops {
    /// Plain HTTP; keep it inside the cluster.
    pub listen: SocketAddr,
}

/// Where the focus keeps what must outlive it: a file, or a database of a server.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// The SQLite file; made if it is not there. This or `store.url`.
    #[serde(default)]
    pub path: PathBuf,
    /// A PostgreSQL database (15 or later): `postgres://user@host:5432/database?sslmode=verify-full&sslrootcert=file`, or `sqlite:` and a path. No password in it.
    pub url: Option<String>,
    /// A file with the password for `store.url`.
    pub password_file: Option<PathBuf>,
    /// Seconds after which another focus may take the database over from one that is silent. 15: a crash of a machine is noticed soon, and a pause of a few seconds is not taken for one.
    #[serde(default = "default_lease_secs")]
    pub lease_secs: u64,
}

/// What a new device of a person needs beside the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NewDevices {
    /// The password.
    #[default]
    Password,
    /// Also the word of another device.
    Confirmed,
}

/// The device certificate authority.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The CA certificate, PEM.
    pub certificate_file: PathBuf,
    /// Its Ed25519 key, PKCS#8 PEM. It is also the key of the MLS external sender.
    pub key_file: PathBuf,
    /// Other authorities whose device certificates count as ours do, PEM; by default none. Each issues its certificates itself,
    /// with an Ed25519 key or one on P-256; what they have to look like stands in `docs/security.md`.
    #[serde(default)]
    pub external_ca_file: Option<PathBuf>,
    /// Whose word a new device needs whose person has one already: `password`, the person's alone, or `confirmed`, besides that
    /// of one of the other devices, where a code is compared. Default `password`.
    #[serde(default)]
    pub new_devices: NewDevices,
    /// How long a device certificate is good for, in days. Default 30: a lost device is out within a month.
    #[serde(default = "default_certificate_days")]
    pub certificate_days: u32,
}

/// The MRFC's end of the control links.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// What the relays call us in their logs.
    pub name: String,
    /// Client certificate chain, PEM.
    pub certificate_file: PathBuf,
    /// Its key, PEM.
    pub key_file: PathBuf,
    /// The CA that signs relays, PEM.
    pub ca_file: PathBuf,
}

/// One relay.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relay {
    /// Our name for it; it stays the same when the relay moves.
    pub name: String,
    /// Its control address, `host:port`.
    pub control: String,
    /// The name its certificate proves.
    pub server_name: String,
}

/// Every bound of the MRFC. At a bound the peer gets a status of its protocol, and nobody else notices.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// SIP connections at once. 10 000: about 0.4 GB with TLS.
    pub sip_connections_max: usize,
    /// Octets of a SIP message's headers. 64 KiB: a certificate chain in a header still fits.
    pub sip_head_bytes_max: usize,
    /// Octets of a SIP message's body. 256 KiB: far above any SDP or resource list.
    pub sip_body_bytes_max: usize,
    /// Octets queued for one connection that does not read, before it is closed. 1 MiB.
    pub sip_queue_bytes_max: usize,
    /// Seconds a TLS handshake may take. 10: a slow mobile handshake takes 3.
    pub sip_handshake_secs: u64,
    /// Seconds a connection may be silent. 300: above the 120 s keep-alive of RFC 5626, 4.4.
    pub sip_idle_secs: u64,
    /// Requests in work at the desks at once, all connections together. 2 048; above it 503.
    pub calls_max: usize,
    /// Requests in work for one connection. 64: one client cannot take all the places.
    pub calls_per_connection_max: usize,
    /// Seconds one request may wait for a desk and its relay. 10: below Timer B's 32.
    pub call_secs: u64,
    /// Dialogs at once. 20 000.
    pub dialogs_max: usize,
    /// Dialogs on one connection. 256: a person in very many rooms.
    pub dialogs_per_connection_max: usize,
    /// Subscriptions at once. 20 000: one for each dialog.
    pub subscriptions_max: usize,
    /// Subscriptions on one connection. 256, as dialogs.
    pub subscriptions_per_connection_max: usize,
    /// Shortest subscription, seconds. 60; below it 423 (RFC 6665, 4.2.1.1).
    pub subscribe_secs_min: u32,
    /// Subscription length when the client names none, seconds. 3 600 (RFC 4575, 3.3).
    pub subscribe_secs_default: u32,
    /// Longest subscription, seconds; more is cut to it. 7 200.
    pub subscribe_secs_max: u32,
    /// Conferences at once. 10 000.
    pub conferences_max: usize,
    /// Conferences at once that one person has made. 100; above it 486.
    pub conferences_per_person_max: usize,
    /// Devices on one conference's roster. 5 000: a commit then costs its maker half a second.
    pub participants_max: usize,
    /// How often one device may enter a conference's group by itself in a day; above it it is refused, and counted as
    /// `limited`. 50: each entry changes the key of everybody, and a device that loses its keys at every start still gets in.
    pub entries_per_day_max: u32,
    /// Bindings (devices) of one person. 16.
    pub bindings_per_person_max: usize,
    /// Bindings of all people. 20 000.
    pub bindings_max: usize,
    /// Shortest registration, seconds. 60; below it 423 (RFC 3261, 10.2.8).
    pub register_secs_min: u32,
    /// Registration length when the client names none, seconds. 3 600 (RFC 3261, 10.2.1.1).
    pub register_secs_default: u32,
    /// Longest registration, seconds; more is cut to it. 7 200.
    pub register_secs_max: u32,
    /// Seconds an invited device rings before we give up. 60.
    pub ring_secs: u64,
    /// Seconds a digest nonce is good for. 300: a request made with an older one is asked again, with `stale`.
    pub nonce_secs: u64,
    /// Wrong passwords on one connection before it is closed. 10.
    pub failures_per_connection_max: u32,
    /// HTTPS connections at once. 2 000.
    pub http_connections_max: usize,
    /// Octets of an HTTPS request body. 1 MiB: 100 KeyPackages with room to spare.
    pub http_body_bytes_max: usize,
    /// Seconds an HTTPS request (its handshake, head, body, answer) may take. 15.
    pub http_request_secs: u64,
    /// Wrong passwords over HTTPS from one address in a minute; above it 429. 60: an office behind one address is
    /// not kept out by its typing errors.
    pub http_failures_per_minute_max: u32,
    /// Octets of one message that is passed on as it comes, `a=max-size`; above it 413. 4 GiB: the relay holds none of it.
    pub message_bytes_max: u64,
    /// KeyPackages one device may leave at once. 100.
    pub key_packages_max: usize,
    /// Days that a KeyPackage must have left to be handed out to people. 7: a message sealed for it opens as long as it may
    /// wait to be fetched, so not less than `mailbox.keep_secs`. At most 29, and less than a third of
    /// `issuer.certificate_days`: so much is left of them when a device replaces them.
    pub key_package_days_min: u32,
    /// How often one person may claim another's KeyPackages in a minute; above it 429. 30: nobody uses up the 50 of
    /// somebody else before that one can leave more.
    pub key_package_claims_per_minute_max: u32,
    /// Circles, the groups of people who write to each other outside of conferences, that one person belongs to. 2 000;
    /// above it nobody new can be written to sealed.
    pub circles_per_person_max: u32,
    /// Days that a change of a circle's group waits for a device that is away. 60: as long as KeyPackages live; after that
    /// the device enters its circle anew. Not less than `mailbox.keep_secs`.
    pub circle_log_days: u32,
    /// Changes of one circle's group that wait so. 512.
    pub circle_log_entries_max: u32,
}

/// What is logged.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A filter such as `info` or `mrfc=debug,warn`.
    pub level: String,
    /// One JSON object a line, or text.
    pub format: Format,
}

impl Default for Ops {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sip_connections_max: 10_000,
            sip_head_bytes_max: 64 * 1024,
            sip_body_bytes_max: 256 * 1024,
            sip_queue_bytes_max: 1024 * 1024,
            sip_handshake_secs: 10,
            sip_idle_secs: 300,
            calls_max: 2_048,
            calls_per_connection_max: 64,
            call_secs: 10,
            dialogs_max: 20_000,
            dialogs_per_connection_max: 256,
            subscriptions_max: 20_000,
            subscriptions_per_connection_max: 256,
            subscribe_secs_min: 60,
            subscribe_secs_default: 3_600,
            subscribe_secs_max: 7_200,
            conferences_max: 10_000,
            conferences_per_person_max: 100,
            participants_max: 5_000,
            entries_per_day_max: 50,
            bindings_per_person_max: 16,
            bindings_max: 20_000,
            register_secs_min: 60,
            register_secs_default: 3_600,
            register_secs_max: 7_200,
            ring_secs: 60,
            nonce_secs: 300,
            failures_per_connection_max: 10,
            http_connections_max: 2_000,
            http_body_bytes_max: 1024 * 1024,
            http_request_secs: 15,
            http_failures_per_minute_max: 60,
            message_bytes_max: 4 << 30,
            key_packages_max: 100,
            key_package_days_min: 7,
            key_package_claims_per_minute_max: 30,
            circles_per_person_max: 2_000,
            circle_log_days: 60,
            circle_log_entries_max: 512,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: String::from("info"), format: Format::Text }
    }
}

fn default_reload_secs() -> u64 {
    60
}

const fn default_session_secs() -> u32 {
    1_800
}

const fn default_session_secs_min() -> u32 {
    sip::session_timer::SECS_MIN
}

fn default_sip_listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 5061))
}

fn default_https_listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 8443))
}

const fn default_lease_secs() -> u64 {
    15
}

const fn default_certificate_days() -> u32 {
    30
}

impl Limits {
    /// How long a request may wait for a desk.
    pub(crate) const fn call(&self) -> Duration {
        Duration::from_secs(self.call_secs)
    }

    /// How long an invited device rings.
    pub(crate) const fn ring(&self) -> Duration {
        Duration::from_secs(self.ring_secs)
    }

    /// How long an HTTPS request may take.
    pub(crate) const fn http_request(&self) -> Duration {
        Duration::from_secs(self.http_request_secs)
    }
}
