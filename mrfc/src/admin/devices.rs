//! The devices of a person: which there are, and taking one back.
use axum::extract::{Path, State};
use mls::wire::DeviceName;

use super::Admin;
use super::shapes::{DeviceList, TakenBack};
use crate::http::{Problem, named, shown_devices, unknown_device};

/// The devices of a person that have a certificate or KeyPackages here, and those that were taken back.
#[utoipa::path(get, path = "/v1/people/{person}/devices",
    params(("person" = String, Path, description = "sip:user@domain")),
    responses((status = 200, body = DeviceList)))]
pub(super) async fn list(
    State(admin): State<Admin>,
    Path(person): Path<String>,
) -> Result<axum::Json<DeviceList>, Problem> {
    shown_devices(&admin.store, &named(&person)?).await.map(axum::Json)
}

/// Takes a device back: it is registered no more, leaves every conference and its group, and gets no certificate again.
/// Answered when the relays have carried it out, or have not said so in time.
#[utoipa::path(delete, path = "/v1/people/{person}/devices/{device}",
    params(("person" = String, Path), ("device" = String, Path, description = "urn:uuid:…")),
    responses((status = 200, body = TakenBack), (status = 404, body = super::document::ProblemBody)))]
pub(super) async fn take_back(
    State(admin): State<Admin>,
    Path((person, device)): Path<(String, String)>,
) -> Result<axum::Json<TakenBack>, Problem> {
    let name = DeviceName { aor: named(&person)?, device: named(&device)? };
    let taken = admin.devices.revoke(name).await.map_err(Problem::unavailable)?;
    let taken = taken.ok_or_else(unknown_device)?;
    let crate::devices::Taken { conferences, registrations } = taken;
    Ok(axum::Json(TakenBack { conferences, registrations }))
}
