//! What a session is made of, and where it stands.
use ids::{Aor, ConferenceId, Epoch, Era};
use mls::wire::DeviceName;
use msrp::Path;

use super::pins::Pins;
use crate::event::Level;
use crate::profile::Limits;

/// What a session is about.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The conference.
    pub conference: ConferenceId,
    /// Its URI, as in CPIM To.
    pub uri: String,
    /// Its protection.
    pub level: Level,
    /// The relay's path from the SDP answer.
    pub to_path: Path,
    /// Our own path.
    pub from_path: Path,
    /// Bounds.
    pub limits: Limits,
    /// Whose keys this device has seen.
    pub pins: Pins,
    /// What we are known by, if not by our name.
    pub shown_as: Option<Aor>,
}

/// Where this device stands in the group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The era of the group.
    pub era: Era,
    /// The epoch this device is in.
    pub epoch: Epoch,
    /// Devices in the group; 0 while this device does not hold the group key.
    pub members: usize,
    /// The devices.
    pub roster: Vec<DeviceName>,
    /// What all members of the epoch share and nobody else knows, for comparing (RFC 9420, 8.7).
    pub authenticator: Vec<u8>,
    /// Verified people with devices that nobody has accepted: nothing is said until somebody has.
    pub held: Vec<Aor>,
}
