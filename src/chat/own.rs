//! One's own devices: which there are, letting a new one in, and taking one back that was lost.
use std::time::SystemTime;

use client::OwnDevice;
use ids::DeviceId;

use super::Table;
use crate::terminal::counted;

/// How the name of every device begins.
const PREFIX: &str = "urn:uuid:";
/// Letters of a device's name that are enough, if no other one begins so: nobody takes one back by a slip.
const BEGINNING_MIN: usize = 4;

pub(super) async fn devices(table: &Table<'_>) -> Result<String, String> {
    let devices = table.device.devices().await.map_err(|error| error.to_string())?;
    let now = service::clock::wall();
    let lines = devices.iter().map(|device| line(device, table.device.id(), now));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

pub(super) async fn take_back(device: &str, table: &Table<'_>) -> Result<String, String> {
    let devices = table.device.devices().await.map_err(|error| error.to_string())?;
    let id = meant(device, &devices)?;
    let taken = table.device.take_back(&id).await.map_err(|error| error.to_string())?;
    let conferences = counted(usize::try_from(taken).unwrap_or(usize::MAX), "conference");
    let told = format!("* {id} is taken back; it was in {conferences}");
    if id != *table.device.id() {
        return Ok(told);
    }
    // How to go on is said at the end, which is now.
    table.given_up.set(true);
    Ok(format!("{told}. It was this one"))
}

/// The device that is meant, by what `/devices` shows of it or a beginning of that which no other one has.
fn meant(typed: &str, devices: &[OwnDevice]) -> Result<DeviceId, String> {
    let typed = typed.trim_end_matches(':').to_ascii_lowercase();
    let beginning = typed.strip_prefix(PREFIX).unwrap_or(&typed);
    if beginning.len() < BEGINNING_MIN {
        return Err(format!("name at least {BEGINNING_MIN} letters of what /devices shows"));
    }
    let is_meant = |device: &&OwnDevice| {
        let name = device.device.to_string();
        name.strip_prefix(PREFIX).unwrap_or(&name).starts_with(beginning)
    };
    let meant: Vec<&OwnDevice> = devices.iter().filter(is_meant).collect();
    match &*meant {
        [] => Err("none of your devices is called so; /devices shows them".to_owned()),
        [one] if one.revoked => Err(format!("{} is taken back already", one.device)),
        [one] => Ok(one.device.clone()),
        several => Err(format!("{} of your devices begin so; name more of it", several.len())),
    }
}

/// Vouches for the new device that shows this code.
pub(super) async fn confirm(code: &str, table: &Table<'_>) -> Result<String, String> {
    let id = table.device.confirm(code).await.map_err(|error| error.to_string())?;
    Ok(format!("* {id} is yours now"))
}

fn line(device: &OwnDevice, own: &DeviceId, now: SystemTime) -> String {
    let this = if device.device == *own { " (this one)" } else { "" };
    let state = match (device.revoked, device.certificate_ends) {
        (true, _) => String::from("taken back"),
        (false, None) => String::from("no certificate"),
        (false, Some(end)) => match end.duration_since(now) {
            Ok(left) => format!("certificate ends in {} days", left.as_secs() / 86_400),
            Err(_) => String::from("certificate has ended"),
        },
    };
    format!("  {}{this}: {state}", device.device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use client::LastResort;

    #[test]
    fn a_device_is_meant_by_what_is_shown_of_it_or_by_a_beginning_that_no_other_one_has() {
        let device = |name: &str, revoked| OwnDevice {
            device: name.parse().unwrap(),
            certificate_ends: None,
            key_packages: 0,
            last_resort: LastResort::None,
            revoked,
        };
        let names = [
            "urn:uuid:12345678-0000-4000-8000-000000000001",
            "urn:uuid:12345679-0000-4000-8000-000000000002",
            "urn:uuid:abcdef00-0000-4000-8000-000000000003",
        ];
        let devices = [device(names[0], false), device(names[1], false), device(names[2], true)];
        let found = |typed: &str| meant(typed, &devices).map(|id| id.to_string());

        assert_eq!(found(names[0]).as_deref(), Ok(names[0]));
        assert_eq!(found("12345679").as_deref(), Ok(names[1]));
        assert_eq!(found("urn:uuid:12345679-0000:").as_deref(), Ok(names[1]));
        assert!(found("1234").unwrap_err().starts_with("2 of your devices begin so"));
        assert!(found("123").unwrap_err().contains("at least 4 letters"));
        assert!(found("urn:uuid:").is_err());
        assert!(found("ABCD").unwrap_err().ends_with("is taken back already"));
        assert!(found("beef").unwrap_err().contains("none of your devices"));
    }
}
