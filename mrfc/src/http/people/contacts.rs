//! A person's contact list. A number gets in only as the address of the one person whose number it is (SEC-2).
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use ids::Aor;
use sip::tel::{E164, Numbered};

use super::{NAME_CHARS_MAX, Owner, full, look_up, name, read, to_change, write};
use crate::http::etag::etag;
use crate::http::{Api, Json, Problem, ProblemBody, named};
use crate::people::CONTACTS;
use crate::people::shapes::{Contact, Contacts, Named, NewContact};

/// What somebody typed as a contact.
enum Typed {
    Address(Aor),
    Number(E164),
}

/// One's contacts.
#[utoipa::path(get, path = "/v1/people/{person}/contacts", params(("person" = String, Path)),
    responses((status = 200, body = Contacts), (status = 403, body = ProblemBody)))]
pub(in crate::http) async fn list(
    State(api): State<Api>,
    Owner(owner): Owner,
) -> Result<impl IntoResponse, Problem> {
    let (version, contacts) = read::<Contacts>(&api, &owner, CONTACTS).await?;
    Ok((etag(version), axum::Json(contacts)))
}

/// Adds somebody: by address, or by a number, which the server looks up. One match is kept, none is 404, several are 409.
#[utoipa::path(post, path = "/v1/people/{person}/contacts", request_body = NewContact,
    params(("person" = String, Path), ("If-Match" = String, Header)),
    responses((status = 201, body = Contact), (status = 200, body = Contact), (status = 404, body = ProblemBody),
        (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 428, body = ProblemBody)))]
pub(in crate::http) async fn add(
    State(api): State<Api>,
    Owner(owner): Owner,
    headers: HeaderMap,
    Json(new): Json<NewContact>,
) -> Result<impl IntoResponse, Problem> {
    // Before anybody is looked up for nothing.
    let (version, _) = to_change::<Contacts>(&api, &owner, CONTACTS, &headers).await?;
    let name = name(new.name, NAME_CHARS_MAX)?;
    let (address, number) = match typed(&new.contact)? {
        Typed::Address(aor) => (known(&api, aor)?, None),
        Typed::Number(number) => (look_up(&api, &owner, &number).await?, Some(number)),
    };
    let contact =
        Contact { address: address.to_string(), name, number: number.map(|it| it.to_string()) };
    let added = contact.clone();
    let max = api.contacts_max;
    let change = |contacts: &mut Vec<Contact>| {
        let former = contacts.len();
        contacts.retain(|contact| contact.address != added.address);
        if contacts.len() >= max {
            return Err(full(max));
        }
        let is_new = contacts.len() == former;
        contacts.push(added);
        contacts.sort_by(|a, b| a.address.cmp(&b.address));
        Ok(if is_new { StatusCode::CREATED } else { StatusCode::OK })
    };
    let (version, status) = changed(&api, &owner, version, change).await?;
    let location = format!("/v1/people/{owner}/contacts/{address}");
    Ok((status, etag(version), [(header::LOCATION, location)], axum::Json(contact)))
}

/// Calls a contact something else.
#[utoipa::path(put, path = "/v1/people/{person}/contacts/{contact}", request_body = Named,
    params(("person" = String, Path), ("contact" = String, Path), ("If-Match" = String, Header)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 412, body = ProblemBody),
        (status = 428, body = ProblemBody)))]
pub(in crate::http) async fn rename(
    State(api): State<Api>,
    Owner(owner): Owner,
    Path((_, contact)): Path<(String, String)>,
    headers: HeaderMap,
    Json(new): Json<Named>,
) -> Result<impl IntoResponse, Problem> {
    let (version, _) = to_change::<Contacts>(&api, &owner, CONTACTS, &headers).await?;
    let (address, name) = (named::<Aor>(&contact)?, name(new.name, NAME_CHARS_MAX)?);
    let change = |contacts: &mut Vec<Contact>| {
        let there = contacts.iter_mut().find(|it| it.address == address.as_str());
        there.map(|there| there.name = name).ok_or_else(missing)
    };
    let (version, ()) = changed(&api, &owner, version, change).await?;
    Ok((StatusCode::NO_CONTENT, etag(version)))
}

/// Takes somebody off one's list.
#[utoipa::path(delete, path = "/v1/people/{person}/contacts/{contact}",
    params(("person" = String, Path), ("contact" = String, Path), ("If-Match" = String, Header)),
    responses((status = 204), (status = 404, body = ProblemBody), (status = 412, body = ProblemBody),
        (status = 428, body = ProblemBody)))]
pub(in crate::http) async fn remove(
    State(api): State<Api>,
    Owner(owner): Owner,
    Path((_, contact)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Problem> {
    let (version, _) = to_change::<Contacts>(&api, &owner, CONTACTS, &headers).await?;
    let address: Aor = named(&contact)?;
    let change = |contacts: &mut Vec<Contact>| {
        let there = contacts.iter().position(|it| it.address == address.as_str());
        there.map(|at| drop(contacts.remove(at))).ok_or_else(missing)
    };
    let (version, ()) = changed(&api, &owner, version, change).await?;
    Ok((StatusCode::NO_CONTENT, etag(version)))
}

/// Changes the list that was seen, and tells the front who is in it now.
async fn changed<T>(
    api: &Api,
    owner: &Aor,
    seen: u64,
    change: impl FnOnce(&mut Vec<Contact>) -> Result<T, Problem>,
) -> Result<(u64, T), Problem> {
    let _order = api.changing.lock().await;
    let (version, mut contacts) = read::<Contacts>(api, owner, CONTACTS).await?;
    if version != seen {
        return Err(crate::http::etag::stale(version));
    }
    let done = change(&mut contacts.contacts)?;
    let version = write(api, owner, CONTACTS, seen, &contacts).await?;
    api.policies.contacts_changed(owner, &contacts);
    Ok((version, done))
}

fn typed(text: &str) -> Result<Typed, Problem> {
    let text = text.trim();
    let bad = |what: &str| {
        let mend = "write sip:user@domain, or tel:+ and the whole number";
        Problem::new(StatusCode::BAD_REQUEST, what, "contact", mend)
    };
    let uri = if text.starts_with('+') { format!("tel:{text}") } else { text.to_owned() };
    let uri: sip::Uri = uri.parse().map_err(|_| bad("this is neither an address nor a number"))?;
    match Numbered::of(&uri) {
        Some(Numbered::Global(number)) => Ok(Typed::Number(number)),
        Some(Numbered::Local) => Err(bad("this number means something in one place only")),
        None => text.parse().map(Typed::Address).map_err(|_| bad("this is no address of a person")),
    }
}

/// Somebody of this domain has to be there; who is elsewhere is not known here.
fn known(api: &Api, aor: Aor) -> Result<Aor, Problem> {
    if aor.host().eq_ignore_ascii_case(&api.domain) && !api.users.knows(&aor) {
        let what = "nobody of this address is known here";
        return Err(Problem::new(StatusCode::NOT_FOUND, what, "contact", "check the address"));
    }
    Ok(aor)
}

fn missing() -> Problem {
    let mend = "GET the list to see who is in it";
    Problem::new(StatusCode::NOT_FOUND, "this is no contact of yours", "the path", mend)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_2_a_number_is_a_number_however_it_is_written() {
        for text in [
            "tel:+15551230001",
            "+15551230001",
            "+1-555-123-0001",
            "sip:+15551230001@example.net;user=phone",
        ] {
            let Ok(Typed::Number(number)) = typed(text) else {
                panic!("{text} is taken for an address")
            };
            assert_eq!(number.as_str(), "+15551230001");
        }
        assert!(matches!(typed("sip:bob@example.net"), Ok(Typed::Address(_))));
        for text in
            ["tel:7042;phone-context=example.net", "bob", "", "mailto:bob@example.net", "tel:+"]
        {
            assert!(typed(text).is_err(), "{text}");
        }
    }
}
