//! The mailbox: what is kept for people who cannot be reached, for how long, and under which key. Doc comments of the keys
//! are the configuration page.
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// The mailbox for immediate messages. Without this table nothing is kept, and who is not there gets nothing (480).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mailbox {
    /// The keys of what is kept: a line of 64 hexadecimal digits each (`openssl rand -hex 32`). The first one locks; all
    /// open, so that a new key is put before the old one. Bodies that no server can read are kept as they were sent.
    pub key_file: PathBuf,
    /// Seconds a message waits; its sender may ask for less (`Expires`, RFC 3428). 604 800: a week.
    #[serde(default = "week")]
    pub keep_secs: u64,
    /// Seconds a message stays after the first device has taken it, for the person's other devices. 604 800.
    #[serde(default = "week")]
    pub delivered_keep_secs: u64,
    /// Seconds a message is known after it came, so that it is kept once however often it comes; a message that says it is
    /// older gets 400. 2 592 000: a month, longer than any client should try.
    #[serde(default = "month")]
    pub replay_secs: u64,
    /// Seconds by which a sender's clock may differ before its messages are marked. 300.
    #[serde(default = "minutes")]
    pub skew_secs: u64,
    /// Messages that wait for one person. 1 000; above it 480.
    #[serde(default = "letters")]
    pub letters_max: u32,
    /// The same from one sender. 500: nobody fills a mailbox alone.
    #[serde(default = "sender_letters")]
    pub sender_letters_max: u32,
    /// Octets that wait for one person. 16 MiB; above it 480, and 413 for one message that is larger.
    #[serde(default = "octets")]
    pub octets_max: u64,
    /// Whether a message that every device has answered with *busy* (486, 600) is kept. Default true.
    #[serde(default = "yes")]
    pub on_busy: bool,
    /// Files and large messages, which are kept in the blob store. Default: none are, and who is not there gets none (480).
    #[serde(default)]
    pub files: Option<MailboxFiles>,
}

/// Files and large messages for people who are not there, and how they come and go: MSRP over TLS (RFC 4975, RFC 5547).
/// Needs `[blobs]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailboxFiles {
    /// Where senders and fetchers connect; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The host they are told to connect to. Default: the address of `listen`.
    #[serde(default)]
    pub advertised_host: Option<String>,
    /// The port they are told to connect to. Default: that of `listen`.
    #[serde(default)]
    pub advertised_port: Option<u16>,
    /// A folder of this machine for what is on its way in; it needs room for `sessions_max` files, whatever `[blobs]` is.
    pub arriving: PathBuf,
    /// Octets of one file. 1 GiB; a larger one is refused before it is sent (488).
    #[serde(default = "file_octets")]
    pub file_octets_max: u64,
    /// Octets of one message that comes by a session. 16 MiB, which is what our own client takes; the sender is told before
    /// (`a=max-size`), and a larger one is refused (413).
    #[serde(default = "message_octets")]
    pub message_octets_max: u64,
    /// Octets of all files and large messages in one person's mailbox. 4 GiB; above it 480, and 413 in a session.
    #[serde(default = "files_octets")]
    pub octets_max: u64,
    /// Files in one person's mailbox. 1 000; above it 480.
    #[serde(default = "letters")]
    pub files_max: u32,
    /// The same from one sender. 500: nobody fills a mailbox alone.
    #[serde(default = "sender_letters")]
    pub sender_files_max: u32,
    /// Sessions for files and messages at the same time, in and out. 64; above it 486.
    #[serde(default = "sessions")]
    pub sessions_max: usize,
}

const fn week() -> u64 {
    7 * 24 * 3_600
}

const fn month() -> u64 {
    30 * 24 * 3_600
}

const fn minutes() -> u64 {
    300
}

const fn letters() -> u32 {
    1_000
}

const fn sender_letters() -> u32 {
    500
}

const fn octets() -> u64 {
    16 << 20
}

const fn message_octets() -> u64 {
    16 << 20
}

const fn file_octets() -> u64 {
    1 << 30
}

const fn files_octets() -> u64 {
    4 << 30
}

const fn sessions() -> usize {
    64
}

const fn yes() -> bool {
    true
}
