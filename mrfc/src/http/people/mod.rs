//! What a person keeps here: contacts, phonebook, profile, privacy. Only the person gets at it, each access asks for proof
//! of who that is and is noted, and each change says which version it changes.
pub(super) mod contacts;
pub(super) mod personal;
pub(super) mod phonebook;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::{FromRequestParts, MatchedPath, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{get, post, put};
use ids::Aor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use service::clock;
use sip::tel::E164;
use store::Deed;

use super::etag::{may_change, stale};
use super::login::{Guessed, Person};
use super::{Api, Peer, Problem, named};
use crate::numbers::Found;
use crate::people::parsed;

/// Characters of a name.
const NAME_CHARS_MAX: usize = 64;
/// Lines of the audit where no operator says how many.
const AUDIT_MAX: u32 = 100_000;

pub(super) fn router(api: &Api) -> Router<Api> {
    Router::new()
        .route("/v1/people/{person}/contacts", get(contacts::list).post(contacts::add))
        .route(
            "/v1/people/{person}/contacts/{contact}",
            put(contacts::rename).delete(contacts::remove),
        )
        .route("/v1/people/{person}/phonebook", get(phonebook::list))
        .route(
            "/v1/people/{person}/phonebook/{number}",
            get(phonebook::show).put(phonebook::put).delete(phonebook::remove),
        )
        .route("/v1/people/{person}/profile", get(personal::profile).put(personal::put_profile))
        .route("/v1/people/{person}/privacy", get(personal::privacy).put(personal::put_privacy))
        .route("/v1/people/{person}/lookup/{number}", post(phonebook::look_up))
        .layer(from_fn_with_state(api.clone(), noted))
}

/// The person who asks, proven, and the one the path names: both are the same.
pub(super) struct Owner(pub(super) Aor);

impl FromRequestParts<Api> for Owner {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let Person(person) = Person::from_request_parts(parts, api).await?;
        if let Some(Actor(actor)) = parts.extensions.get() {
            actor.set(person.to_string()).ok();
        }
        let params = RawPathParams::from_request_parts(parts, api).await;
        let params = params.map_err(|why| {
            Problem::new(StatusCode::BAD_REQUEST, why, "the path", "write it in UTF-8")
        })?;
        let whose = params.iter().find(|(key, _)| *key == "person").map(|(_, value)| value);
        let whose: Aor = named(whose.unwrap_or_default())?;
        if whose != person {
            let what = "this is somebody else's";
            let mend = "ask for your own, under /v1/people/ and your address";
            return Err(Problem::new(StatusCode::FORBIDDEN, what, "the path", mend));
        }
        Ok(Self(person))
    }
}

/// Who asked, for the audit.
#[derive(Clone, Debug, Default)]
struct Actor(Arc<OnceLock<String>>);

/// Notes each access with what became of it, and each wrong password. The first half of a digest exchange is neither, nor
/// is what proves nothing: strangers could push real lines out.
async fn noted(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let actor = Actor::default();
    let guessed = Guessed::default();
    request.extensions_mut().insert(actor.clone());
    request.extensions_mut().insert(guessed.clone());
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let (action, subject) =
        (format!("{} {route}", request.method()), request.uri().path().to_owned());
    let source = request.extensions().get::<Peer>().map(|peer| peer.address.to_string());
    let response = next.run(request).await;
    let actor = actor.0.get().cloned();
    if actor.is_some() || guessed.is_set() {
        let deed = Deed {
            at: clock::wall(),
            actor: actor.unwrap_or_else(|| String::from("stranger")),
            action,
            subject,
            source: source.unwrap_or_default(),
            result: response.status().as_u16().to_string(),
        };
        if let Err(error) = api.store.note_deed(deed, api.audit_max.unwrap_or(AUDIT_MAX)).await {
            tracing::warn!(%error, "the audit could not be kept");
        }
    }
    response
}

/// A person's document of a kind, with its version.
async fn read<T: DeserializeOwned + Default>(
    api: &Api,
    owner: &Aor,
    kind: &str,
) -> Result<(u64, T), Problem> {
    let document = api.store.document(owner, kind).await.map_err(Problem::unavailable)?;
    Ok((document.version, parsed(&document.body)))
}

/// The same, for whoever says that it is this version that they change.
async fn to_change<T: DeserializeOwned + Default>(
    api: &Api,
    owner: &Aor,
    kind: &str,
    headers: &HeaderMap,
) -> Result<(u64, T), Problem> {
    let (version, value) = read(api, owner, kind).await?;
    may_change(headers, version)?;
    Ok((version, value))
}

/// Puts a document in the place of the version seen, and says its new one.
async fn write(
    api: &Api,
    owner: &Aor,
    kind: &'static str,
    seen: u64,
    value: &impl Serialize,
) -> Result<u64, Problem> {
    let body = serde_json::to_string(value).map_err(Problem::unavailable)?;
    match api.store.put_document(owner, kind, seen, body, clock::wall()).await {
        Ok(version) => Ok(version),
        Err(store::Error::Stale) => Err(stale(seen + 1)),
        Err(error) => Err(Problem::unavailable(error)),
    }
}

/// Whose number this is: one person, or the answer to whoever asks.
async fn look_up(api: &Api, owner: &Aor, number: &E164) -> Result<Aor, Problem> {
    if !api.lookups.take(clock::now(), owner.clone()) {
        return Err(Problem::too_often("you have looked up too many numbers"));
    }
    match api.numbers.find(number).await {
        Ok(Found::One(aor)) => Ok(aor),
        Ok(Found::Nobody) => {
            let mend = "check the number, or add the person by address: sip:user@domain";
            let what = "nobody is known by this number";
            Err(Problem::new(StatusCode::NOT_FOUND, what, "the number", mend))
        }
        Ok(Found::Several) => {
            let mend = "add the person by address: sip:user@domain";
            let what = "several people are known by this number";
            Err(Problem::new(StatusCode::CONFLICT, what, "the number", mend))
        }
        Err(why) => Err(Problem::unavailable(why)),
    }
}

/// A name that people give: one line, not too long, and none if it is empty.
fn name(text: Option<String>, chars_max: usize) -> Result<Option<String>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let text = text.trim();
    if text.chars().count() > chars_max || text.chars().any(char::is_control) {
        let what = format!("a name is one line of at most {chars_max} characters");
        return Err(Problem::new(StatusCode::BAD_REQUEST, what, "the body", "shorten it"));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// A list has as many entries as it may.
fn full(max: usize) -> Problem {
    let what = format!("there are {max} entries, which is as many as there may be");
    Problem::new(StatusCode::CONFLICT, what, "the list", "remove one first")
}
