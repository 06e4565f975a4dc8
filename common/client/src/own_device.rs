//! What the server knows of each device of the user, read from what it says of them.
use std::time::{Duration, SystemTime};

use ids::DeviceId;
use serde_json::Value;

/// A device of the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnDevice {
    /// Which.
    pub device: DeviceId,
    /// When its certificate ends, if it has one.
    pub certificate_ends: Option<SystemTime>,
    /// KeyPackages that wait to be claimed.
    pub key_packages: u64,
    /// What is claimed when there are none.
    pub last_resort: LastResort,
    /// It was taken back.
    pub revoked: bool,
}

/// What a device has for when its KeyPackages are used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastResort {
    /// Nothing.
    None,
    /// One that nobody has got yet.
    Fresh,
    /// One that somebody has got.
    Used,
}

/// What the server says of the devices of the user.
#[derive(Debug)]
pub(crate) struct OwnDevices {
    pub(crate) devices: Vec<OwnDevice>,
    /// How long a message waits there for one of them, if any does.
    pub(crate) waits: Option<Duration>,
}

/// Reads the list; none if it is not one.
pub(crate) fn read(octets: &[u8]) -> Option<OwnDevices> {
    let list: Value = serde_json::from_slice(octets).ok()?;
    let devices = list.get("devices")?.as_array()?.iter().map(device).collect::<Option<_>>()?;
    let waits = list.get("waits_secs").and_then(Value::as_u64).map(Duration::from_secs);
    Some(OwnDevices { devices, waits })
}

/// Reads the list of devices that wait to be confirmed, with their keys; none if it is not one.
pub(crate) fn read_waiting(octets: &[u8]) -> Option<Vec<(DeviceId, [u8; 32])>> {
    let list: Value = serde_json::from_slice(octets).ok()?;
    let waits = |of: &Value| {
        let key = hex::decode(of.get("key")?.as_str()?).ok()?;
        Some((of.get("device")?.as_str()?.parse().ok()?, key.try_into().ok()?))
    };
    list.get("waiting")?.as_array()?.iter().map(waits).collect()
}

fn device(of: &Value) -> Option<OwnDevice> {
    Some(OwnDevice {
        device: of.get("device")?.as_str()?.parse().ok()?,
        certificate_ends: of.get("certificate_ends")?.as_str().and_then(crate::time_of),
        key_packages: of.get("key_packages")?.as_u64()?,
        last_resort: match of.get("last_resort")?.as_str()? {
            "fresh" => LastResort::Fresh,
            "used" => LastResort::Used,
            _ => LastResort::None,
        },
        revoked: !of.get("revoked")?.is_null(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_anything_else_is_none() {
        let list = br#"{"devices":[{"device":"urn:uuid:00000000-0000-4000-8000-000000000001",
            "certificate_ends":"2026-11-21T12:00:00Z","key_packages":3,"last_resort":"used",
            "revoked":null}],"waits_secs":86400}"#;

        let OwnDevices { devices: read_one, waits } = read(list).unwrap();

        assert_eq!(read_one.len(), 1);
        assert_eq!((read_one[0].key_packages, read_one[0].last_resort), (3, LastResort::Used));
        assert!(read_one[0].certificate_ends.is_some() && !read_one[0].revoked);
        assert_eq!(waits, Some(Duration::from_secs(24 * 3600)));
        assert!(read(b"[]").is_none());
        assert_eq!(read(br#"{"devices":[]}"#).unwrap().waits, None);
    }
}
