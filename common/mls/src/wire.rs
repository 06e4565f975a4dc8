//! What devices and the focus tell each other about the group: bundles up, requests, results and Welcomes down.
//!
//! Each structure has one encoding and a bound on every part. Nothing here is trusted or checked against a
//! group: that is the ledger's and the member's work. What travels inside (commits, Welcomes, GroupInfos,
//! KeyPackages) is an `MLSMessage` of RFC 9420 and stays opaque here.
mod bundle;
mod circle;
mod directory;
mod notice;
mod report;

use ids::{Aor, DeviceId};

pub use crate::codec::Malformed;
use crate::codec::{Reader, Writer};
pub use bundle::{Bundle, Invitation, Kind};
pub use circle::{
    CIRCLES_MAX, CircleEntry, CircleLog, Founding, LOG_ENTRIES_MAX, circles_from_bytes,
    circles_to_bytes,
};
pub use directory::{
    ClaimedKeyPackage, Filling, KeyPackageUpload, claims_from_bytes, claims_to_bytes,
};
pub use notice::{CommitRequest, CommitResult, GroupState, Reason, WelcomeDelivery};
pub use report::{EpochReport, Finding};

/// A [`Bundle`], device to focus.
pub const BUNDLE: &str = "application/vnd.conclave.mls-bundle";
/// An [`EpochReport`], device to focus.
pub const EPOCH_REPORT: &str = "application/vnd.conclave.epoch-report";
/// A [`CommitRequest`], focus to device.
pub const COMMIT_REQUEST: &str = "application/vnd.conclave.commit-request";
/// A [`CommitResult`], focus to device.
pub const COMMIT_RESULT: &str = "application/vnd.conclave.commit-result";
/// A [`WelcomeDelivery`], focus to device.
pub const WELCOME: &str = "application/vnd.conclave.welcome";
/// An `MLSMessage`: accepted commits, proposals of the focus, application messages.
pub const MLS: &str = "message/mls";
/// A sealed file, in the clear part of a room message.
pub const SEALED_FILE: &str = "application/vnd.conclave.sealed-file";
/// A [`FileDescription`](crate::files::FileDescription), only ever inside a sealed message.
pub const FILE_DESCRIPTION: &str = "application/vnd.conclave.file";
/// The same of a file whose octets do not come by themselves, whatever its size: its author gives it to who asks.
pub const FILE_TO_FETCH: &str = "application/vnd.conclave.file-to-fetch";
/// A [`KeyPackageUpload`], or the list of [`ClaimedKeyPackage`]s, over HTTPS.
pub const KEY_PACKAGES: &str = "application/vnd.conclave.key-packages";
/// A [`GroupState`], over HTTPS.
pub const GROUP_STATE: &str = "application/vnd.conclave.group-state";

/// A [`Founding`], beside the first message of a circle or over HTTPS.
pub const FOUNDING: &str = "application/vnd.conclave.founding";
/// A [`CircleLog`], over HTTPS.
pub const CIRCLE_LOG: &str = "application/vnd.conclave.circle-log";
/// The circles of a person, over HTTPS.
pub const CIRCLES: &str = "application/vnd.conclave.circles";

/// Largest handshake message to the focus.
pub const BUNDLE_OCTETS_MAX: usize = 4 << 20;
/// Most KeyPackages added by one commit. openmls becomes worse than linear above it.
pub const ADDS_MAX: usize = 1000;
/// Largest structure from the focus: a ratchet tree of some thousand leaves with certificates.
pub const STATE_OCTETS_MAX: usize = 16 << 20;
/// Largest KeyPackage: keys, capabilities and a certificate.
pub const KEY_PACKAGE_OCTETS_MAX: usize = 4096;
/// Most KeyPackages uploaded at once.
pub const KEY_PACKAGES_MAX: usize = 100;

/// One device of one person: what a certificate names, and what there is at most one leaf of in a group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName {
    /// The person.
    pub aor: Aor,
    /// The person's device.
    pub device: DeviceId,
}

impl std::fmt::Display for DeviceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.aor, self.device)
    }
}

impl DeviceName {
    pub(crate) fn write(&self, to: &mut Writer) {
        to.text(&self.aor).text(&self.device);
    }

    pub(crate) fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        Ok(Self { aor: from.name("address of record")?, device: from.name("device")? })
    }
}
