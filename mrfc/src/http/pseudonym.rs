//! What a device needs to hide in a sealed conference: a certificate of the pseudonym that it has there, and KeyPackages under
//! it. Both are for one conference; nothing that names the person is noted with them.
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use ids::{Aor, ConferenceId};
use mls::identity::requested_device;
use mls::wire::DeviceName;
use service::clock;

use super::Api;
use super::identity::{Body, bad_request, packages, whole};
use super::json::named;
use super::login::Person;
use super::problem::Problem;

/// `POST /v1/conferences/{id}/certificates`: a certificate of a pseudonym that one of the person's devices has there.
pub(super) async fn issue(
    State(api): State<Api>,
    Person(person): Person,
    Path(id): Path<String>,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let request = whole(body)?;
    let mask = requested_device(&request).map_err(bad_request)?;
    own(&api, &named(&id)?, &mask, &person).await?;
    let now = clock::wall();
    let lifetime = Duration::from_secs(u64::from(api.certificate_days) * 24 * 3600);
    let certificate = api.issuer.issue(&request, &mask, now, lifetime).map_err(bad_request)?;
    api.metrics.http.certificates.inc();
    Ok((StatusCode::CREATED, [(header::CONTENT_TYPE, "application/pkix-cert")], certificate))
}

/// `PUT /v1/conferences/{id}/key-packages`: KeyPackages of such a pseudonym. Only the focus hands them out.
pub(super) async fn upload(
    State(api): State<Api>,
    Person(person): Person,
    Path(id): Path<String>,
    body: Body,
) -> Result<StatusCode, Problem> {
    let id: ConferenceId = named(&id)?;
    packages(&api, body, async |device| own(&api, &id, device, &person).await).await
}

/// The pseudonym is one that the person has in this conference now.
async fn own(api: &Api, id: &ConferenceId, mask: &DeviceName, person: &Aor) -> Result<(), Problem> {
    let known = match mask.aor.is_pseudonym() {
        true => api.desks.is_mask(id, mask.clone(), person).await.is_ok(),
        false => false,
    };
    let mend = "join the conference with Privacy: id; the answer says what you are known by";
    let what = "you have no such pseudonym in this conference";
    let other = || Problem::new(StatusCode::FORBIDDEN, what, "the request", mend);
    if known { Ok(()) } else { Err(other()) }
}
