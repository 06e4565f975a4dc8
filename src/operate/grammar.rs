//! What can be typed to operate a running MRFC. Only the grammar.
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// How the MRFC is reached and how answers look; the same for every command.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Reach {
    /// How answers look
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub(crate) output: Output,
    /// The MRFC's admin listener, host:port
    #[arg(long, global = true, env = "CONCLAVE_SERVER", help_heading = "Reaching the MRFC")]
    pub(crate) server: Option<String>,
    /// The name in its certificate [default: the host of --server]
    #[arg(long, global = true, env = "CONCLAVE_SERVER_NAME", help_heading = "Reaching the MRFC")]
    pub(crate) server_name: Option<String>,
    /// The CA of its certificate, PEM
    #[arg(long, global = true, env = "CONCLAVE_CA_FILE", help_heading = "Reaching the MRFC")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The file with the token
    #[arg(long, global = true, env = "CONCLAVE_TOKEN_FILE", help_heading = "Reaching the MRFC")]
    pub(crate) token_file: Option<PathBuf>,
    /// Your client certificate, PEM, in place of a token
    #[arg(long, global = true, env = "CONCLAVE_CERTIFICATE_FILE", requires = "key_file")]
    #[arg(help_heading = "Reaching the MRFC")]
    pub(crate) certificate_file: Option<PathBuf>,
    /// Its key, PEM
    #[arg(long, global = true, env = "CONCLAVE_KEY_FILE", requires = "certificate_file")]
    #[arg(help_heading = "Reaching the MRFC")]
    pub(crate) key_file: Option<PathBuf>,
    /// A TOML file with any of these: server, server_name, ca_file, token_file, certificate_file, key_file
    /// [default: conclave-dev/operator.toml if it is there, else ~/.config/conclave/operator.toml]
    #[arg(long, global = true, env = "CONCLAVE_PROFILE", help_heading = "Reaching the MRFC")]
    pub(crate) profile: Option<PathBuf>,
    /// Seconds to wait for an answer
    #[arg(long, global = true, default_value_t = 10, help_heading = "Reaching the MRFC")]
    pub(crate) timeout: u64,
}

/// How answers look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Columns, for people
    #[default]
    Table,
    /// What the API says, for programs
    Json,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Operate {
    /// Show how a running system is
    Status(Reach),
    /// Look at conferences, make them, lock them, close them
    Room {
        #[command(flatten)]
        reach: Reach,
        #[command(subcommand)]
        command: Room,
    },
    /// Look at the people of a conference, put them out, keep them from talking
    Member {
        #[command(flatten)]
        reach: Reach,
        #[command(subcommand)]
        command: Member,
    },
    /// Look at who is registered, end registrations
    Registration {
        #[command(flatten)]
        reach: Reach,
        #[command(subcommand)]
        command: Registration,
    },
    /// Look at the devices of a person, take one back that was lost
    Device {
        #[command(flatten)]
        reach: Reach,
        #[command(subcommand)]
        command: Device,
    },
    /// Show who has changed what, newest first
    Audit {
        #[command(flatten)]
        reach: Reach,
        /// Show who has registered, or tried to, in place of what was changed
        #[arg(long)]
        registrations: bool,
        /// Only what this one did: a person, `token`, or `certificate` and its hash
        #[arg(long)]
        actor: Option<String>,
        /// At most so many lines
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Look at relays, keep new rooms off one
    Relay {
        #[command(flatten)]
        reach: Reach,
        #[command(subcommand)]
        command: Relay,
    },
    /// Check configuration files
    Config {
        #[command(flatten)]
        reach: Reach,
        #[command(subcommand)]
        command: Config,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Room {
    /// List conferences
    List {
        /// At most so many
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// Show one conference
    Get {
        /// Its name: the user part of its URI
        room: String,
    },
    /// Make a conference; it ends after a minute if nobody comes, unless it is to stay
    Create {
        /// Its name; without one it gets a name that nobody guesses
        room: Option<String>,
        /// Its first moderator: alice, or sip:alice@example.net
        #[arg(long)]
        creator: String,
        /// What the relay may see [default: as conferences.level says]
        #[arg(long, value_enum)]
        level: Option<Level>,
        /// It stays when nobody is in it
        #[arg(long)]
        standing: bool,
    },
    /// End a conference for everybody in it
    Close {
        /// Its name
        room: String,
    },
    /// Delete what is kept of it for members that are away: they hear that they missed something
    Purge {
        /// Its name
        room: String,
    },
    /// Let nobody new in, unless a moderator calls them
    Lock {
        /// Its name
        room: String,
    },
    /// Let people in again
    Unlock {
        /// Its name
        room: String,
    },
    /// Let messages to one participant alone pass, or not
    PrivateMessages {
        /// Its name
        room: String,
        /// Whether they pass
        #[arg(value_enum)]
        switch: Switch,
    },
    /// Allow nicknames, or take them all
    Nicknames {
        /// Its name
        room: String,
        /// Whether there are any
        #[arg(value_enum)]
        switch: Switch,
    },
    /// Say what a conference is about
    Subject {
        /// Its name
        room: String,
        /// One line; empty takes it away
        subject: String,
    },
}

/// On or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// From now on
    On,
    /// No more
    Off,
}

/// What the relay may see of a conference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Ciphertext: the members hold the key
    Sealed,
    /// Everything: for plain MSRP clients
    Open,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Member {
    /// List the people of a conference with their devices
    List {
        /// The conference
        room: String,
    },
    /// Have the conference call somebody on every registered device
    Invite {
        /// The conference
        room: String,
        /// Whom: alice, or sip:alice@example.net
        person: String,
    },
    /// Put somebody out with all devices; only an invitation lets them in again
    Kick {
        /// The conference
        room: String,
        /// Whom: alice, or sip:alice@example.net
        person: String,
    },
    /// Keep somebody out, whether they are in or not
    Ban {
        /// The conference
        room: String,
        /// Whom: alice, or sip:alice@example.net
        person: String,
    },
    /// Let somebody come again
    Unban {
        /// The conference
        room: String,
        /// Whom: alice, or sip:alice@example.net
        person: String,
    },
    /// Keep somebody who is in from talking
    Mute {
        /// The conference
        room: String,
        /// Whom: alice, or sip:alice@example.net
        person: String,
    },
    /// Let somebody talk again
    Unmute {
        /// The conference
        room: String,
        /// Whom: alice, or sip:alice@example.net
        person: String,
    },
    /// Make somebody who is in a moderator
    Appoint {
        /// The conference
        room: String,
        /// Whom: alice, or sip:alice@example.net
        person: String,
    },
    /// Take the role from a moderator; the last one keeps it
    Dismiss {
        /// The conference
        room: String,
        /// Whom: alice, or sip:alice@example.net
        person: String,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Registration {
    /// List registered contacts
    List {
        /// Only of this person: alice, or sip:alice@example.net
        person: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 1000)]
        limit: usize,
    },
    /// End somebody's registrations and the connections they are on
    Drop {
        /// Whose: alice, or sip:alice@example.net
        person: String,
        /// Only of this device, urn:uuid:…
        #[arg(long)]
        device: Option<String>,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Device {
    /// List the devices of a person
    List {
        /// Whose: alice, or sip:alice@example.net
        person: String,
    },
    /// Take a device back: it leaves every conference and its group, and cannot come back
    Revoke {
        /// Whose: alice, or sip:alice@example.net
        person: String,
        /// Which, urn:uuid:…
        device: String,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Relay {
    /// List relays
    List,
    /// Give a relay no new rooms; those it has stay until they end
    Drain {
        /// Its name, as `relays.name` in the MRFC's configuration
        relay: String,
        /// Give it rooms again
        #[arg(long, conflicts_with = "wait")]
        undo: bool,
        /// Wait so many seconds until it has no room left
        #[arg(long)]
        wait: Option<u64>,
    },
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Config {
    /// Say whether the MRFC would start with its configuration file as it is now
    Check {
        /// Check this file here in place of the one of the running MRFC
        #[arg(long)]
        file: Option<PathBuf>,
    },
}
