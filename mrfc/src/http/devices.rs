//! A person's own devices: which there are, and taking one back that was lost.
use axum::extract::{Path, State};
use axum::http::StatusCode;
use ids::{Aor, DeviceId};
use mls::wire::DeviceName;
use service::clock;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Api;
use super::json::named;
use super::login::{Person, PersonHere};
use super::problem::Problem;
use crate::admin::shapes::{DeviceList, LastResort, OwnedDevice, TakenBack};
use crate::devices::Taken;

/// `GET /v1/devices`: the person's own.
pub(super) async fn list(
    State(api): State<Api>,
    Person(person): Person,
) -> Result<axum::Json<DeviceList>, Problem> {
    let shown = shown(&api.store, &person).await?;
    Ok(axum::Json(DeviceList { waits_secs: api.waits_secs, ..shown }))
}

/// The devices of a person, for that one or for an operator.
pub(crate) async fn shown(store: &store::Store, person: &Aor) -> Result<DeviceList, Problem> {
    let devices = store.devices(person, clock::wall()).await.map_err(Problem::unavailable)?;
    let rfc3339 = |at| OffsetDateTime::from(at).format(&Rfc3339).unwrap_or_default();
    let device = |it: store::Device| OwnedDevice {
        device: it.device.to_string(),
        certificate_ends: it.certificate_ends.map(rfc3339),
        key_packages: it.key_packages,
        last_resort: match it.last_resort {
            store::LastResort::None => LastResort::None,
            store::LastResort::Fresh => LastResort::Fresh,
            store::LastResort::Used => LastResort::Used,
        },
        revoked: it.revoked.map(rfc3339),
    };
    Ok(DeviceList { devices: devices.into_iter().map(device).collect(), waits_secs: None })
}

/// `DELETE /v1/devices/{device}`: takes one back. The certificate of a device does not suffice, or a stolen one would
/// take back all others.
pub(super) async fn take_back(
    State(api): State<Api>,
    PersonHere(aor): PersonHere,
    Path(device): Path<String>,
) -> Result<axum::Json<TakenBack>, Problem> {
    let device: DeviceId = named(&device)?;
    let taken = api.devices.revoke(DeviceName { aor: aor.clone(), device: device.clone() }).await;
    let taken = taken.map_err(Problem::unavailable)?.ok_or_else(unknown)?;
    tracing::info!(%aor, %device, taken.conferences, "a device was taken back by its person");
    let Taken { conferences, registrations } = taken;
    Ok(axum::Json(TakenBack { conferences, registrations }))
}

/// Nothing is known of such a device.
pub(crate) fn unknown() -> Problem {
    let what = "no such device has a certificate or KeyPackages here";
    Problem::new(StatusCode::NOT_FOUND, what, "the path", "look at which there are")
}
