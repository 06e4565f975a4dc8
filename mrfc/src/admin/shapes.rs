//! What the operator's API says and is told, as JSON. The `conclave` command reads the same types.
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the MRFC is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The version of the program.
    pub version: String,
    /// The SIP domain.
    pub domain: String,
    /// Since when it serves (RFC 3339).
    pub since: String,
    /// Conferences there are.
    pub conferences: usize,
    /// Devices in them.
    pub participants: usize,
    /// Leaves of their groups.
    pub members: usize,
    /// Registered contacts.
    pub registrations: usize,
    /// Relays that are configured.
    pub relays: usize,
    /// Relays that can be reached.
    pub relays_reached: usize,
    /// Changes of groups that were accepted, refused, and those that came too late.
    pub commits: Commits,
}

/// Changes of groups since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Commits {
    /// Accepted.
    pub accepted: u64,
    /// Lost their epoch to another one.
    pub conflicting: u64,
    /// Broke a rule.
    pub refused: u64,
}

/// What the relay may see of a conference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Group keys: ciphertext only.
    Sealed,
    /// TLS hop by hop: everything.
    Open,
}

/// Conferences, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConferenceList {
    /// As many as were asked for.
    pub conferences: Vec<ConferenceLine>,
    /// How many there are.
    pub total: usize,
}

/// A conference in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConferenceLine {
    /// Its name: the user part of its URI.
    pub name: String,
    /// Who made it.
    pub creator: String,
    /// What the relay may see.
    pub level: Level,
    /// Devices in it.
    pub participants: usize,
    /// Leaves of its group.
    pub members: usize,
}

/// A conference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Conference {
    /// Its name: the user part of its URI.
    pub name: String,
    /// Its URI.
    pub uri: String,
    /// Who made it.
    pub creator: String,
    /// What the relay may see.
    pub level: Level,
    /// Since when it exists (RFC 3339).
    pub created: String,
    /// The relay that carries its room; empty while nobody is in one that stays.
    pub relay: String,
    /// Whether it stays when nobody is in it.
    #[serde(default)]
    pub standing: bool,
    /// Nobody new is let in, unless called.
    pub locked: bool,
    /// Whether messages to one participant alone pass.
    pub private_messages: bool,
    /// Whether there are nicknames.
    pub nicknames: bool,
    /// What it is about.
    pub subject: Option<String>,
    /// Its group, if it has one.
    pub group: Option<Group>,
    /// People on its roster.
    pub people: usize,
    /// Devices in it.
    pub participants: usize,
    /// Who is kept out until invited again.
    pub barred: Vec<String>,
}

/// Where a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// How often it was made anew.
    pub era: u32,
    /// The generation of its key.
    pub epoch: u64,
}

/// A conference to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewConference {
    /// Its name; none: a random one that nobody guesses.
    #[serde(default)]
    pub name: Option<String>,
    /// Its first moderator, `sip:user@domain`.
    pub creator: String,
    /// What the relay may see; none: what the configuration says.
    #[serde(default)]
    pub level: Option<Level>,
    /// It stays when nobody is in it.
    #[serde(default)]
    pub standing: bool,
}

/// What a conference is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// One line of at most 256 octets; empty: nothing.
    pub subject: String,
}

/// The people of a conference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberList {
    /// Everybody on the roster.
    pub members: Vec<Member>,
}

/// Somebody on the roster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Who.
    pub person: String,
    /// Whether this person may decide about others.
    pub moderator: bool,
    /// Whether this person may not talk.
    pub muted: bool,
    /// What others see in place of the name, if this person is anonymous.
    pub shown_as: Option<String>,
    /// The devices that take part.
    pub devices: Vec<Device>,
}

/// A device that takes part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// Which.
    pub device: String,
    /// Where it is.
    pub presence: Presence,
    /// Whether it has a leaf in the group, and so its key.
    pub holds_key: bool,
    /// What others see in place of its address.
    pub nickname: Option<String>,
}

/// Where a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Presence {
    /// It has no seat; it belongs to the conference all the same.
    Away,
    /// It has a seat and has not connected to it.
    Seated,
    /// It is connected to its seat.
    Connected,
}

/// Registered contacts, by person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RegistrationList {
    /// As many as were asked for.
    pub registrations: Vec<Registration>,
    /// How many there are.
    pub total: usize,
}

/// A registered contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Registration {
    /// Whose.
    pub person: String,
    /// The device, if it said which it is.
    pub device: Option<String>,
    /// Its contact address.
    pub contact: String,
    /// What protects its connection to us.
    pub access: Access,
    /// Where it comes from, as far as we see.
    pub address: Option<String>,
    /// Seconds until it ends unless refreshed.
    pub secs_left: u64,
}

/// The devices of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeviceList {
    /// All that have a certificate or KeyPackages here, and those that were taken back.
    pub devices: Vec<OwnedDevice>,
    /// Seconds that a message waits here for one of them at most: so long a device keeps what opens it. For the person alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_secs: Option<u64>,
}

/// A device of a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OwnedDevice {
    /// `urn:uuid:…`
    pub device: String,
    /// When its newest certificate ends, RFC 3339.
    pub certificate_ends: Option<String>,
    /// KeyPackages it has left to be handed out.
    pub key_packages: usize,
    /// What is handed out when there are none.
    pub last_resort: LastResort,
    /// When it was taken back, RFC 3339.
    pub revoked: Option<String>,
}

/// What a device has for when its KeyPackages are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LastResort {
    /// Nothing.
    None,
    /// One that nobody has got yet.
    Fresh,
    /// One that was handed out, and should be replaced.
    Used,
}

/// What a device was taken out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TakenBack {
    /// Conferences it was in.
    pub conferences: usize,
    /// Contacts it had registered.
    pub registrations: usize,
}

/// What protects a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// TLS with the device.
    Tls,
    /// The network, by other means.
    Network,
    /// Mutual TLS with the SIP core, which knows the device.
    Core,
}

/// How many there were that are gone now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Dropped {
    /// Registered contacts.
    pub registrations: usize,
}

/// The relays, in the order of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RelayList {
    /// All of them.
    pub relays: Vec<Relay>,
}

/// A relay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Relay {
    /// Our name for it.
    pub name: String,
    /// Its control address.
    pub control: String,
    /// The authority of its MSRP URIs, once it has been reached.
    pub msrp: Option<String>,
    /// Whether orders reach it now.
    pub reached: bool,
    /// Whether it gets no new room.
    pub draining: bool,
    /// The rooms it carries.
    pub rooms: usize,
}

/// What is to be thought of the configuration file as it is now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigCheck {
    /// The file.
    pub file: String,
    /// Whether the MRFC would start with it.
    pub good: bool,
    /// What is wrong and how to mend it.
    pub wrong: Option<String>,
}

/// What operators have done, and who asked for what is personal; newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditList {
    /// As many as were asked for.
    pub audit: Vec<AuditLine>,
}

/// One deed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditLine {
    /// When (RFC 3339).
    pub at: String,
    /// Who: an operator by what was proven, or a person.
    pub actor: String,
    /// What was asked for, such as `room close`.
    pub action: String,
    /// Of what.
    pub subject: String,
    /// From which address.
    pub source: String,
    /// What became of it: an HTTP status.
    pub result: String,
}

/// Attempts to register, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptList {
    /// As many as were asked for.
    pub attempts: Vec<AttemptLine>,
}

/// Somebody registered, or tried to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptLine {
    /// When (RFC 3339).
    pub at: String,
    /// Who it was said to be; proven only if the result says so.
    pub person: String,
    /// The device, if it said which it is.
    pub device: Option<String>,
    /// From which address.
    pub source: String,
    /// What protected the connection.
    pub access: String,
    /// The status of the answer.
    pub status: u16,
    /// What became of it, in a word.
    pub result: String,
}

/// What went wrong (RFC 9457), with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrong {
    /// The status.
    pub status: u16,
    /// What is wrong.
    pub what: String,
    /// In which part of the request, or of the server.
    pub r#where: String,
    /// What to do about it.
    pub mend: String,
}
