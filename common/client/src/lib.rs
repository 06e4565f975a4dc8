//! One device of one user: it registers over SIP, gets its credential over HTTPS, joins conferences, and talks in them
//! over MSRP under the group key.
//!
//! | file | what it is |
//! |---|---|
//! | `profile` | who the device is, where its system is, and its bounds |
//! | `device` | the device: start, create, join, be invited; call people and be called by them |
//! | `phone` | its SIP side: registration, calls out and in, REFER, immediate messages |
//! | `vault` | what a device keeps: encrypted, crash-safe, in one folder |
//! | `directory` | its HTTPS side: certificate, KeyPackages, group state |
//! | `circles` | people it writes to under a key of theirs: sealed messages, and private ones in sealed rooms |
//! | `conference` | a seat: the handle a person holds, and the task behind it |
//! | `leg` | one side of a one-to-one session: the handle, and the task behind it |
//! | `roster`, `govern` | who is in a conference, and what a moderator settles |
//! | `own_device` | what the server knows of each device of the user |
//! | `pin_file` | where the pins of other devices' keys are kept |
//! | `connection` | the MSRP connection of a seat or a leg |
//! | `transfer` | a file on its way: the handle, the task behind it, and the folder for what comes |
//! | `sealed_file` | files of any size for a sealed conference |
//! | `preview` | a small picture of an image that is offered |
//! | `session` | the pure part: MSRP, CPIM and the group, told bytes and time; `session::leg` without a group. What any end of a session has is in the crate `endpoint` |
//!
//! ```no_run
//! # async fn example(profile: client::Profile) -> Result<(), client::Error> {
//! use client::{Device, Event, Level};
//! let (device, _invitations) = Device::start(profile).await?;
//! let (conference, mut events) = device.join(&"lobby".parse().expect("a legal id"), Level::Sealed).await?;
//! conference.send("text/plain", "hello".into()).await?;
//! while let Some(event) = events.next().await {
//!     if let Event::Message(message) = event { /* show it */ }
//! }
//! # Ok(()) }
//! ```
//!
//! People call each other without a conference too: [`Device::call`] and [`Device::inbox`]. Nothing but TLS protects what
//! they say then, from device to device or to a relay. What they write with [`Device::write`] is sealed.
//!
//! A file goes from person to person in a session of its own (RFC 5547): [`Device::send_file`] and [`Device::fetch_file`].
//!
//! A device that is opened from a [`Vault`] ([`Device::open`]) keeps its key, its groups and what it has not told yet over
//! restarts. One that is started without keeps nothing, and enters its groups again by external commit.
mod circles;
mod conference;
mod connection;
mod device;
mod directory;
mod event;
mod govern;
mod leg;
mod own_device;
mod phone;
mod pin_file;
mod preview;
mod profile;
mod roster;
mod sealed_file;
pub mod session;
mod transfer;
mod vault;

pub use circles::{Departures, Manner, Sent, Unsealed, Writing};
pub use conference::{Conference, Events, Tap};
pub use device::{
    Arrival, Credential, Device, Disposition, FileOffer, FileRequest, FileToSend, Icon, Inbox,
    Invitations, Leaving, Ring, Unfetched,
};
pub use event::{Announced, DeviceNews, Entry, Error, Event, File, Level, Message, Outgoing};
pub use govern::{Rules, Ruling};
pub use leg::{Leg, LegEvent, LegEvents, Received};
pub use own_device::{LastResort, OwnDevice};
pub use phone::{Calling, Fate, Immediate, Late, Notice, Paged, Protection, Taken, Watch};
pub use pin_file::pins_in;
pub use profile::{Limits, Profile, System, Transport, Waits};
pub use roster::{Person, Roster, Whereabouts};
pub use sealed_file::SealedFile;
pub use session::parcel::{Letter, Receipt};
pub use session::{BadPins, Keep, Numbers, Pair, Pins, Standing};
pub use sip::sdp::{FileHash, FileSelector};
pub use transfer::{Arrived, Broken, FileTransfer, Folder, Incomplete, Progress};
pub use vault::{Vault, VaultError, VaultKey};

/// A time in the form of RFC 3339, as in a CPIM DateTime.
pub(crate) fn date_time(at: std::time::SystemTime) -> String {
    let at = time::OffsetDateTime::from(at);
    // The format has no part that a date of this era could lack.
    at.format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

/// The time that a text in the form of RFC 3339 names, if [`date_time`] has a name for it, too: beside an offset, the
/// form reaches hours past its own last year.
pub(crate) fn time_of(text: &str) -> Option<std::time::SystemTime> {
    let form = &time::format_description::well_known::Rfc3339;
    let at = time::OffsetDateTime::parse(text, form).ok()?;
    at.checked_to_offset(time::UtcOffset::UTC).map(std::time::SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_is_read_can_be_written_again_and_what_cannot_is_not_read() {
        for (text, again) in [
            ("2026-11-21T12:00:05Z", Some("2026-11-21T12:00:05Z")),
            ("2026-11-21T13:00:05.25+01:00", Some("2026-11-21T12:00:05.25Z")),
            ("9999-12-31T23:59:59Z", Some("9999-12-31T23:59:59Z")),
            ("9999-12-31T23:59:59-01:00", None),
            ("0000-01-01T00:00:00Z", Some("0000-01-01T00:00:00Z")),
            ("tomorrow", None),
        ] {
            assert_eq!(time_of(text).map(date_time).as_deref(), again, "{text}");
        }
    }
}
