//! Everything an operator can say about a relay, and every bound it keeps: each with its unit, its default and the
//! reason for it. Nothing is read here; `service::config` does that.
mod check;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use service::telemetry::Format;

use crate::brake::Marks;
use crate::forward;
use crate::outbox;
use crate::pace::{Rate, Rates};
use crate::room::Shards;
use crate::session;

pub use check::BadConfig;

/// The configuration file of `mrfp`. Each key is also `MRFP_` and its path with `__`, as in `MRFP_MSRP__LISTEN`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The relay's name in notices and logs. Default `mrfp`; a deployment gives each relay its own.
    #[serde(default = "default_name")]
    pub name: String,
    /// The listener for participants.
    pub msrp: Msrp,
    /// The listener for the focus.
    pub control: Control,
    /// The relay for one-to-one sessions whose clients ask for it with AUTH (RFC 4976).
    #[serde(default)]
    pub relay: Relay,
    /// The listener for operators.
    #[serde(default)]
    pub ops: Ops,
    /// Threads that carry connections. Default 0: one for each core.
    #[serde(default)]
    pub shards: usize,
    /// Every bound.
    #[serde(default)]
    pub limits: Limits,
    /// How to stop.
    #[serde(default)]
    pub drain: Drain,
    /// What to log.
    #[serde(default)]
    pub log: Log,
}

/// MSRP, over TLS unless said otherwise.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Msrp {
    /// Where to listen. Default `0.0.0.0:2855` (RFC 4975, 15.4); port 0 takes a free one.
    #[serde(default = "default_msrp_listen")]
    pub listen: SocketAddr,
    /// `host:port` in the MSRP URIs we hand out. Default: the address listened on. The certificate must name the host
    /// unless peers compare fingerprints.
    #[serde(default)]
    pub advertise: Option<String>,
    /// PEM file with the certificate chain.
    pub certificate_file: PathBuf,
    /// PEM file with its key.
    pub key_file: PathBuf,
    /// Seconds between two looks at the certificates of this table and of `control`. Default 60; SIGHUP looks at once.
    /// A changed certificate is used from the next handshake on, and connections stay.
    #[serde(default = "default_reload_secs")]
    pub reload_secs: u64,
    /// PEM file with the roots under which other relays and hosts must have their certificates, by which they prove the
    /// names in their URIs. Not needed where signalling names fingerprints. Default: none, and nobody proves a name.
    #[serde(default)]
    pub peer_ca_file: Option<PathBuf>,
    /// `address:port` of the DNS server that is asked where peers are that the relay connects to. Default: those of the
    /// system.
    #[serde(default)]
    pub nameserver: Option<SocketAddr>,
    /// MSRP over WebSocket over TLS (RFC 7977), for browsers; usually port 2856. Off unless named. The certificate is
    /// that of this table, and clients are not asked for one.
    #[serde(default)]
    pub websocket_listen: Option<SocketAddr>,
    /// `host:port` in the `;ws` URIs that lead to it. Default: the address listened on.
    #[serde(default)]
    pub websocket_advertise: Option<String>,
    /// Origins, such as `https://chat.example`, whose pages may connect. Default: none named, and every page may, for a
    /// session needs its secret URI and no cookie. In the file only.
    #[serde(default)]
    pub websocket_origins: Vec<String>,
    /// MSRP over plain TCP, for a network that is protected by other means. Off unless named. Only seats that the focus
    /// ordered with that transport can be taken over it.
    #[serde(default)]
    pub protected_listen: Option<SocketAddr>,
    /// `host:port` in the `msrp:` URIs that lead to it. Default: the address listened on.
    #[serde(default)]
    pub protected_advertise: Option<String>,
}

/// QUIC with mutual TLS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// Where to listen, UDP. Default `0.0.0.0:4747`; port 0 takes a free one.
    #[serde(default = "default_control_listen")]
    pub listen: SocketAddr,
    /// PEM file with the certificate chain.
    pub certificate_file: PathBuf,
    /// PEM file with its key.
    pub key_file: PathBuf,
    /// PEM file with the roots under which a focus must have its certificate.
    pub ca_file: PathBuf,
    /// DNS names or IP addresses of which the certificate of a focus must carry one. Default: none, and any certificate
    /// under the roots is a focus. Say it where others, such as relays, have certificates under the same roots; in the
    /// file only.
    #[serde(default)]
    pub focus_names: Vec<String>,
}

/// Who may have messages passed on by AUTH, and where to.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Relay {
    /// Whether AUTH is answered at all. Default false: a relay for others is never an accident.
    pub enabled: bool,
    /// Whose passwords are asked for: the `domain` of the MRFC, whose users file was made with it. No default.
    pub realm: String,
    /// The DNS name in the URIs handed out, which the certificate must carry. Default: the host of `msrp.advertise`.
    pub host: Option<String>,
    /// Offer MD5 behind SHA-256, for clients that know RFC 4976 and no more; it works for users with `ha1_md5`. Default
    /// true.
    pub md5: bool,
    /// Shortest life of a URI, seconds; who asks for less gets 423. Default 60.
    pub expires_secs_min: u64,
    /// Life of a URI where the client names none, seconds. Default 1800.
    pub expires_secs: u64,
    /// Longest life of a URI, seconds; who asks for more gets 423. Default 86 400: a session of a day.
    pub expires_secs_max: u64,
    /// Seconds a digest nonce is good for. Default 300; then it is `stale`.
    pub nonce_secs: u64,
    /// Nonces in use at one time, each watched for replays. Default 65 536; above that the oldest is stale.
    pub nonces_max: usize,
    /// Wrong passwords on one connection before it is closed. Default 5.
    pub failures_max: u32,
    /// Seconds an AUTH waits for the focus. Default 5; then it gets 408.
    pub focus_secs: u64,
    /// AUTH requests that wait for the focus. Default 1024; above that they get 408.
    pub asked_max: usize,
    /// URIs handed out and still alive. Default 20 000.
    pub uris_max: usize,
    /// The same on one connection. Default 64: a device in that many sessions.
    pub uris_per_connection_max: usize,
    /// The same of one user, on all connections and over all relays; for who comes over another relay it is the only
    /// bound of the two. Default 256: four such devices.
    pub uris_per_user_max: usize,
    /// Seconds the next hop has to answer a chunk. Default 30 (RFC 4976, 6.4.1); then its sender gets a REPORT 408.
    pub answer_secs: u64,
    /// Hosts that may be dialled for a client: names, `*.name` for whatever is below one, or `*` for all. Their
    /// certificates must be under `msrp.peer_ca_file`. Default none: messages pass between those who have connected here.
    pub next_hops: Vec<String>,
    /// Whether those hosts may have addresses that are not public. Default false, so that nobody looks around in the
    /// network behind the relay.
    pub private_next_hops: bool,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            enabled: false,
            realm: String::new(),
            host: None,
            md5: true,
            expires_secs_min: 60,
            expires_secs: 1800,
            expires_secs_max: 86_400,
            nonce_secs: 300,
            nonces_max: 65_536,
            failures_max: 5,
            focus_secs: 5,
            asked_max: 1024,
            uris_max: 20_000,
            uris_per_connection_max: 64,
            uris_per_user_max: 256,
            answer_secs: 30,
            next_hops: Vec::new(),
            private_next_hops: false,
        }
    }
}

/// Plain HTTP for the cluster's own network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ops {
    /// Where to listen. Default `127.0.0.1:9464`, so that nobody outside reads it unless told to.
    pub listen: SocketAddr,
}

impl Default for Ops {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9464)) }
    }
}

/// What to log, to stderr.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// A level, or a list of `target=level`. Default `info`.
    pub level: String,
    /// `text` or `json`. Default `text`.
    pub format: Format,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: Format::Text }
    }
}

/// How the relay stops, on SIGTERM, `GET /drain` or an order.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// Seconds to go on taking connections, until load balancers have noticed. Default 0.
    pub delay_secs: u64,
    /// Seconds that sessions have to end by themselves, for nobody moves them elsewhere. Default 120. Behind it nothing more is
    /// taken, and receivers have five seconds for what was.
    pub timeout_secs: u64,
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay_secs: 0, timeout_secs: 120 }
    }
}

/// Every bound. At a bound a peer gets a status, waits, or is closed; never is another peer harmed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open connections. Default 20 000: what a usual descriptor limit allows.
    pub connections_max: usize,
    /// Connections of one address. Default 4096: a carrier's NAT holds many people.
    pub connections_per_address_max: usize,
    /// Connections that have not taken a seat yet. Default 1024: enough for everybody coming back at once. When all are
    /// taken, the address that has most of them loses its oldest to a newcomer of an address that has fewer.
    pub half_open_max: usize,
    /// Those of one address, an IPv6 address with the 64 bits of its network; one more is closed. Default 64: as many
    /// people behind a carrier's NAT shake hands in the same moment, and one address takes a sixteenth of the places.
    pub half_open_per_address_max: usize,
    /// Connections that one address may open in a second; sixteen seconds' worth may come at once, as when a carrier's
    /// NAT comes back. An IPv6 address counts with the 64 bits of its network. Default 256; 0 is no limit.
    pub connects_per_address_per_sec: u64,
    /// Chunks in a second for each seat of a connection. What comes faster is read later. Default 10 000: a file of
    /// 20 MiB/s in the smallest chunks there are. 0 is no limit.
    pub chunks_per_seat_per_sec: u64,
    /// Octets of MSRP in a second from one connection. What comes faster is read later. Default 128 MiB: a gigabit
    /// line. 0 is no limit.
    pub octets_per_connection_per_sec: u64,
    /// Requests in a second from one connection that are turned down, before it is closed; twenty seconds' worth may
    /// come at once, for a file that is turned down has many chunks on the way. Default 200; 0 is no limit.
    pub refused_per_connection_per_sec: u64,
    /// Seconds from accept until a seat is taken. Default 10: a TLS handshake and one request.
    pub first_request_secs: u64,
    /// Seconds until a connection that the relay opens must stand, its handshake included. Default 10.
    pub dial_secs: u64,
    /// Seconds a connection with a seat may send nothing, not even the answers to chunks. Default 0: any time, for who
    /// only listens in a quiet room does no wrong, and TCP keep-alives find a dead peer in some minutes.
    pub idle_secs: u64,
    /// Seconds a socket may take nothing of what waits for it, whatever it is, before its connection is closed as too
    /// slow. Default 30, as for answers; a slow link takes a little now and then. 0: as long as the other bounds allow.
    pub blocked_secs: u64,
    /// Seconds that what was sent may be unacknowledged by the peer's system, before the connection is over
    /// (`TCP_USER_TIMEOUT`). Default 120: a phone comes back from where no network is. 0: as the system has it.
    pub unacknowledged_secs: u64,
    /// Seconds a seat waits for its participant. Default 60: an INVITE that rings is answered by then.
    pub bind_secs: u64,
    /// Sessions on one connection. Default 64: a device in that many conferences.
    pub sessions_per_connection_max: usize,
    /// Octets that may wait for one connection. Default 16 MiB: a file that comes faster than a phone reads.
    pub outbox_octets_max: usize,
    /// Chunks of one session that a receiver has not answered; others wait in its outbox. Default 16 384: more than a
    /// receiver that reads falls behind by, at 16 octets each, and some 40 more for one that answers out of turn.
    pub unanswered_max: usize,
    /// Seconds a receiver may leave a chunk unanswered that is with the operating system. Default 30 (RFC 4975, 7.1.1);
    /// then its session has failed.
    pub answer_secs: u64,
    /// Octets that may wait in the whole process before connections that are behind are closed. Default 1 GiB.
    pub queued_octets_max: usize,
    /// Octets behind a shard's door before senders pause. Default 64 MiB: a few milliseconds of a fast machine.
    pub door_octets_max: usize,
    /// Octets of the buffer that each shard reads sockets with. Default 128 KiB: eight full TLS records.
    pub read_octets: usize,
    /// Octets of one relayed chunk. Default 64 KiB: between two of them a response can cut in.
    pub piece_octets_max: usize,
    /// Octets of a sealed message with its CPIM headers. Default 96 KiB: 64 KiB of plaintext, and what MLS and CPIM add.
    pub sealed_octets_max: u64,
    /// Octets of a handshake for the focus. Default 4 MiB + 16 KiB: the bundle of a group of thousands and its headers.
    pub handshake_octets_max: u64,
    /// Messages of one seat that are held until they are complete or their epoch comes. Default 4.
    pub held_messages_max: usize,
    /// Handshakes of one seat that the focus has not acknowledged. Default 2: all seats share the 64 MiB of the control
    /// link, and a device makes one commit at a time.
    pub handshakes_waiting_max: usize,
    /// Messages of one seat that come in at once. Default 8: the held ones and a few files.
    pub open_messages_max: usize,
    /// Seconds a message may pause between two chunks. Default 540 (RFC 7701, 6.1: minutes, not seconds).
    pub chunk_timer_secs: u64,
    /// Seconds a complete message waits for its epoch. Default 10: a commit is at most one round trip away.
    pub epoch_wait_secs: u64,
    /// Notices that wait until the focus has them safe, those of charged messages among them: a charged message takes its
    /// place before it begins, and gets 413 where there is none. Default 16 384: some seconds of a large deployment.
    pub notices_waiting_max: usize,
    /// Complete messages of one session that are not answered, because they are not stored yet or their charges are not.
    /// Default 1024; what begins then gets 413. A log takes some ten thousand a second.
    pub messages_unanswered_max: usize,
    /// Seconds a NICKNAME waits for the focus. Default 10; then it gets 408.
    pub nickname_secs: u64,
    /// NICKNAME requests of one session without an answer. Default 4.
    pub nicknames_waiting_max: usize,
    /// Octets that may be on their way to one leg of a one-to-one session before the other leg's connection is not read;
    /// it is read again at a quarter. Default 1 MiB: some milliseconds of a fast network.
    pub pair_octets_max: usize,
    /// Seconds that what one leg sends is held until the other has come. Default 5: it connects before the answer to its
    /// INVITE has gone all the way.
    pub pair_wait_secs: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 20_000,
            connections_per_address_max: 4096,
            half_open_max: 1024,
            half_open_per_address_max: 64,
            connects_per_address_per_sec: 256,
            chunks_per_seat_per_sec: 10_000,
            octets_per_connection_per_sec: 128 * 1024 * 1024,
            refused_per_connection_per_sec: 200,
            first_request_secs: 10,
            dial_secs: 10,
            idle_secs: 0,
            blocked_secs: 30,
            unacknowledged_secs: 120,
            bind_secs: 60,
            sessions_per_connection_max: 64,
            outbox_octets_max: 16 * MIB,
            unanswered_max: 16 * 1024,
            answer_secs: 30,
            queued_octets_max: 1024 * MIB,
            door_octets_max: 64 * MIB,
            read_octets: 128 * KIB,
            piece_octets_max: 64 * KIB,
            sealed_octets_max: 96 * 1024,
            handshake_octets_max: (4 * 1024 + 16) * 1024,
            held_messages_max: 4,
            handshakes_waiting_max: 2,
            open_messages_max: 8,
            chunk_timer_secs: 540,
            epoch_wait_secs: 10,
            notices_waiting_max: 16 * 1024,
            nickname_secs: 10,
            nicknames_waiting_max: 4,
            messages_unanswered_max: 1024,
            pair_octets_max: MIB,
            pair_wait_secs: 5,
        }
    }
}

/// Everybody behind a NAT comes back at once.
const CONNECTS_BURST: Duration = Duration::from_secs(16);

/// Requests of others that one next hop has not answered before their senders pause: at a quarter of a KiB each.
const PASSED_MAX: usize = 1024;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

impl Limits {
    /// The part that a session keeps.
    pub(crate) fn session(&self) -> session::Limits {
        session::Limits {
            sealed_octets_max: self.sealed_octets_max,
            handshake_octets_max: self.handshake_octets_max,
            held_max: self.held_messages_max,
            open_max: self.open_messages_max,
            chunk_timer: Duration::from_secs(self.chunk_timer_secs),
            wait: Duration::from_secs(self.epoch_wait_secs),
        }
    }

    /// How fast a connection may go.
    pub(crate) fn rates(&self) -> Rates {
        Rates::new(
            self.chunks_per_seat_per_sec,
            self.octets_per_connection_per_sec,
            self.refused_per_connection_per_sec,
        )
    }

    /// How often an address may connect.
    pub(crate) fn connects(&self) -> Rate {
        Rate::new(self.connects_per_address_per_sec, CONNECTS_BURST)
    }

    /// The part that an outbox keeps.
    pub(crate) fn outbox(&self) -> outbox::Bounds {
        outbox::Bounds {
            octets_max: self.outbox_octets_max,
            unanswered_max: self.unanswered_max.max(1),
        }
    }

    /// When the senders to one leg pause and go on.
    pub(crate) fn pair_marks(&self) -> Marks {
        let high = self.pair_octets_max.min(self.outbox_octets_max / 4);
        Marks { high, low: high / 4 }
    }

    /// The part that the books about the next hop keep.
    pub(crate) fn ledger(&self) -> forward::Limits {
        let answer = Duration::from_secs(self.answer_secs);
        forward::Limits { unanswered_max: self.unanswered_max.min(PASSED_MAX), answer }
    }

    /// The part that the decoder keeps.
    pub(crate) fn codec(&self) -> msrp::Limits {
        msrp::Limits { piece_octets_max: self.piece_octets_max, ..msrp::Limits::default() }
    }
}

impl Config {
    /// How many shards there are.
    pub fn shard_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let wanted = if self.shards == 0 { cores() } else { self.shards };
        wanted.min(Shards::COUNT_MAX)
    }
}

fn default_name() -> String {
    "mrfp".into()
}

fn default_msrp_listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 2855))
}

fn default_reload_secs() -> u64 {
    60
}

fn default_control_listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 4747))
}

#[cfg(test)]
mod tests;
