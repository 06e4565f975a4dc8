//! A person's profile and what they want of privacy. A change of the latter holds from its answer on.
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use ids::Aor;

use super::{NAME_CHARS_MAX, Owner, full, name, read, to_change, write};
use crate::http::etag::etag;
use crate::http::{Api, Json, Problem, ProblemBody};
use crate::people::shapes::{Contacts, Privacy, Profile};
use crate::people::{CONTACTS, PRIVACY, PROFILE};

/// Characters of a note.
const NOTE_CHARS_MAX: usize = 256;

/// One's profile.
#[utoipa::path(get, path = "/v1/people/{person}/profile", params(("person" = String, Path)),
    responses((status = 200, body = Profile), (status = 403, body = ProblemBody)))]
pub(in crate::http) async fn profile(
    State(api): State<Api>,
    Owner(owner): Owner,
) -> Result<impl IntoResponse, Problem> {
    let (version, profile) = read::<Profile>(&api, &owner, PROFILE).await?;
    Ok((etag(version), axum::Json(profile)))
}

/// Says something else of oneself.
#[utoipa::path(put, path = "/v1/people/{person}/profile", request_body = Profile,
    params(("person" = String, Path), ("If-Match" = String, Header)),
    responses((status = 204), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
pub(in crate::http) async fn put_profile(
    State(api): State<Api>,
    Owner(owner): Owner,
    headers: HeaderMap,
    Json(new): Json<Profile>,
) -> Result<impl IntoResponse, Problem> {
    let (version, _) = to_change::<Profile>(&api, &owner, PROFILE, &headers).await?;
    let profile = Profile {
        display_name: name(new.display_name, NAME_CHARS_MAX)?,
        note: name(new.note, NOTE_CHARS_MAX)?,
    };
    let version = write(&api, &owner, PROFILE, version, &profile).await?;
    Ok((StatusCode::NO_CONTENT, etag(version)))
}

/// What one wants of privacy.
#[utoipa::path(get, path = "/v1/people/{person}/privacy", params(("person" = String, Path)),
    responses((status = 200, body = Privacy), (status = 403, body = ProblemBody)))]
pub(in crate::http) async fn privacy(
    State(api): State<Api>,
    Owner(owner): Owner,
) -> Result<impl IntoResponse, Problem> {
    let (version, privacy) = read::<Privacy>(&api, &owner, PRIVACY).await?;
    Ok((etag(version), axum::Json(privacy)))
}

/// Wants something else of privacy. It holds from the answer on.
#[utoipa::path(put, path = "/v1/people/{person}/privacy", request_body = Privacy,
    params(("person" = String, Path), ("If-Match" = String, Header)),
    responses((status = 204), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
pub(in crate::http) async fn put_privacy(
    State(api): State<Api>,
    Owner(owner): Owner,
    headers: HeaderMap,
    Json(new): Json<Privacy>,
) -> Result<impl IntoResponse, Problem> {
    let (version, _) = to_change::<Privacy>(&api, &owner, PRIVACY, &headers).await?;
    if new.blocked.len() > api.contacts_max {
        return Err(full(api.contacts_max));
    }
    let blocked = new.blocked.iter().map(|who| who.parse::<Aor>().map(|aor| aor.to_string()));
    let blocked = blocked.collect::<Result<_, _>>().map_err(|why| {
        Problem::new(StatusCode::BAD_REQUEST, why, "blocked", "write each as sip:user@domain")
    })?;
    let privacy = Privacy { blocked, ..new };
    let _order = api.changing.lock().await;
    let version = write(&api, &owner, PRIVACY, version, &privacy).await?;
    let (_, contacts) = read::<Contacts>(&api, &owner, CONTACTS).await?;
    api.policies.changed(&owner, &privacy);
    api.policies.contacts_changed(&owner, &contacts);
    Ok((StatusCode::NO_CONTENT, etag(version)))
}
