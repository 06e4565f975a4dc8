//! One's own devices: which there are, letting a new one in, and taking one back that was lost.
use std::time::SystemTime;

use anyhow::Context;
use client::OwnDevice;
use ids::DeviceId;

use super::{Table, device};
use crate::terminal::counted;

pub(super) async fn devices(table: &Table<'_>) -> Result<String, String> {
    let devices = table.device.devices().await.map_err(|error| error.to_string())?;
    let now = service::clock::wall();
    let lines = devices.iter().map(|device| line(device, table.device.id(), now));
    Ok(lines.collect::<Vec<_>>().join("\n"))
}

pub(super) async fn take_back(device: &str, table: &Table<'_>) -> Result<String, String> {
    let id: DeviceId = device
        .parse()
        .context("write it as /devices shows it")
        .map_err(|error| format!("{error:#}"))?;
    let taken = table.device.take_back(&id).await.map_err(|error| error.to_string())?;
    let conferences = counted(usize::try_from(taken).unwrap_or(usize::MAX), "conference");
    let told = format!("* {id} is taken back; it was in {conferences}");
    if id != *table.device.id() {
        return Ok(told);
    }
    table.given_up.set(true);
    let told = format!("{told}. It was this one");
    Ok(match &table.kept_in {
        Some(folder) => format!("{told}. {}", device::begin_anew(folder)),
        None => told,
    })
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
