//! A person's phonebook: numbers, which are no contacts. Asked for one of them, the server looks up whom to call, so that
//! a session starts from it without a question to anybody (SEC-2).
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use sip::tel::E164;

use super::{NAME_CHARS_MAX, Owner, full, name, read, to_change, write};
use crate::http::etag::etag;
use crate::http::{Api, Json, Problem, ProblemBody};
use crate::people::PHONEBOOK;
use crate::people::shapes::{Callable, Entry, Named, Phonebook};

/// One's phonebook.
#[utoipa::path(get, path = "/v1/people/{person}/phonebook", params(("person" = String, Path)),
    responses((status = 200, body = Phonebook), (status = 403, body = ProblemBody)))]
pub(in crate::http) async fn list(
    State(api): State<Api>,
    Owner(owner): Owner,
) -> Result<impl IntoResponse, Problem> {
    let (version, phonebook) = read::<Phonebook>(&api, &owner, PHONEBOOK).await?;
    Ok((etag(version), axum::Json(phonebook)))
}

/// An entry with the address to call, which the server looks up now.
#[utoipa::path(get, path = "/v1/people/{person}/phonebook/{number}",
    params(("person" = String, Path), ("number" = String, Path)),
    responses((status = 200, body = Callable), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(in crate::http) async fn show(
    State(api): State<Api>,
    Owner(owner): Owner,
    Path((_, number)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let number = e164(&number)?;
    let (version, phonebook) = read::<Phonebook>(&api, &owner, PHONEBOOK).await?;
    let entry = phonebook.entries.into_iter().find(|entry| entry.number == number.as_str());
    let Entry { number: written, name } = entry.ok_or_else(missing)?;
    let address = super::look_up(&api, &owner, &number).await?.to_string();
    Ok((etag(version), axum::Json(Callable { number: written, name, address })))
}

/// Looks a number up that is in no phonebook, for a client that keeps its own.
#[utoipa::path(post, path = "/v1/people/{person}/lookup/{number}",
    params(("person" = String, Path), ("number" = String, Path)),
    responses((status = 200, body = Callable), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
pub(in crate::http) async fn look_up(
    State(api): State<Api>,
    Owner(owner): Owner,
    Path((_, number)): Path<(String, String)>,
) -> Result<impl IntoResponse, Problem> {
    let number = e164(&number)?;
    let address = super::look_up(&api, &owner, &number).await?.to_string();
    Ok(axum::Json(Callable { number: number.to_string(), name: None, address }))
}

/// Writes an entry, new or again.
#[utoipa::path(put, path = "/v1/people/{person}/phonebook/{number}", request_body = Named,
    params(("person" = String, Path), ("number" = String, Path), ("If-Match" = String, Header)),
    responses((status = 204), (status = 409, body = ProblemBody), (status = 412, body = ProblemBody),
        (status = 428, body = ProblemBody)))]
pub(in crate::http) async fn put(
    State(api): State<Api>,
    Owner(owner): Owner,
    Path((_, number)): Path<(String, String)>,
    headers: HeaderMap,
    Json(new): Json<Named>,
) -> Result<impl IntoResponse, Problem> {
    let (version, mut phonebook) =
        to_change::<Phonebook>(&api, &owner, PHONEBOOK, &headers).await?;
    let (number, name) = (e164(&number)?.to_string(), name(new.name, NAME_CHARS_MAX)?);
    let entries = &mut phonebook.entries;
    entries.retain(|entry| entry.number != number);
    if entries.len() >= api.contacts_max {
        return Err(full(api.contacts_max));
    }
    entries.push(Entry { number, name });
    entries.sort_by(|a, b| a.number.cmp(&b.number));
    let version = write(&api, &owner, PHONEBOOK, version, &phonebook).await?;
    Ok((StatusCode::NO_CONTENT, etag(version)))
}

/// Takes an entry out.
#[utoipa::path(delete, path = "/v1/people/{person}/phonebook/{number}",
    params(("person" = String, Path), ("number" = String, Path), ("If-Match" = String, Header)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 412, body = ProblemBody),
        (status = 428, body = ProblemBody)))]
pub(in crate::http) async fn remove(
    State(api): State<Api>,
    Owner(owner): Owner,
    Path((_, number)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let (version, mut phonebook) =
        to_change::<Phonebook>(&api, &owner, PHONEBOOK, &headers).await?;
    let number = e164(&number)?;
    let before = phonebook.entries.len();
    phonebook.entries.retain(|entry| entry.number != number.as_str());
    if phonebook.entries.len() == before {
        return Err(missing());
    }
    let version = write(&api, &owner, PHONEBOOK, version, &phonebook).await?;
    Ok((StatusCode::NO_CONTENT, etag(version)))
}

fn e164(text: &str) -> Result<E164, Problem> {
    let text = text.strip_prefix("tel:").unwrap_or(text);
    text.parse().map_err(|why: sip::tel::NotE164| {
        let mend = "write + and the whole number with its country";
        Problem::new(StatusCode::BAD_REQUEST, why, "the path", mend)
    })
}

fn missing() -> Problem {
    let mend = "GET the phonebook to see what is in it";
    Problem::new(StatusCode::NOT_FOUND, "this number is not in it", "the path", mend)
}
