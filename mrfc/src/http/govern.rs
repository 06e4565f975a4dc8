//! What a moderator does over HTTPS with their own conference, where SIP has no word for it: rules, roles, who may talk
//! and who is kept out. Calling and removing people are REFER's (RFC 4579). The desk decides who may; nothing here does.
use axum::Json as Answer;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use ids::{Aor, ConferenceId};
use serde::{Deserialize, Serialize};

use super::Api;
use super::json::{Json, named};
use super::login::Person;
use super::problem::Problem;
use crate::conference::{Rules, Ruling, known_as};
use crate::config::Level;
use crate::desk::{NewConference, Refusal, Standing};
use crate::front::refused_with;

/// What holds in a conference.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    uri: String,
    locked: bool,
    private_messages: bool,
    nicknames: bool,
    subject: Option<String>,
    moderators: Vec<String>,
    muted: Vec<String>,
    banned: Vec<String>,
}

/// What is to change; what is not named stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    locked: Option<bool>,
    private_messages: Option<bool>,
    nicknames: Option<bool>,
    subject: Option<String>,
}

/// A list of people that a moderator keeps.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum List {
    Moderators,
    Muted,
    Banned,
}

impl List {
    fn put(self, who: Aor) -> Ruling {
        match self {
            Self::Moderators => Ruling::Appoint(who),
            Self::Muted => Ruling::Mute(who),
            Self::Banned => Ruling::Ban(who),
        }
    }

    fn take(self, who: Aor) -> Ruling {
        match self {
            Self::Moderators => Ruling::Dismiss(who),
            Self::Muted => Ruling::Unmute(who),
            Self::Banned => Ruling::Unban(who),
        }
    }
}

impl Change {
    fn rulings(self) -> Vec<Ruling> {
        let rulings = [
            self.locked.map(Ruling::Lock),
            self.private_messages.map(Ruling::PrivateMessages),
            self.nicknames.map(Ruling::Nicknames),
            self.subject.map(Ruling::Subject),
        ];
        rulings.into_iter().flatten().collect()
    }
}

/// `GET /v1/conferences/{id}`: for whom the roster names. Who is kept out is shown to moderators.
pub(super) async fn show(
    State(api): State<Api>,
    Person(person): Person,
    Path(id): Path<String>,
) -> Result<Answer<Shown>, Problem> {
    let scene =
        api.desks.glance(&named::<ConferenceId>(&id)?).await.map_err(|why| problem(&why))?;
    scene.admits(&person, false).map_err(|why| problem(&why))?;
    let moderates = scene.is_moderator(&person);
    let (mut moderators, mut muted) = (Vec::new(), Vec::new());
    for seen in &scene.people {
        let known = || known_as(&seen.aor, seen.hidden);
        moderators.extend(seen.moderator.then(known));
        muted.extend(seen.muted.then(known));
    }
    let Rules { locked, private_messages, nicknames, subject } = scene.rules.clone();
    let barred = scene.barred.iter().filter(|_| moderates);
    let banned = barred.map(|(aor, hidden)| scene.shown(aor, *hidden)).collect();
    let uri = scene.uri;
    Ok(Answer(Shown {
        uri,
        locked,
        private_messages,
        nicknames,
        subject,
        moderators,
        muted,
        banned,
    }))
}

/// A conference to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct New {
    level: Option<Level>,
    subject: Option<String>,
    #[serde(default)]
    moderators: Vec<Aor>,
}

/// `PUT /v1/conferences/{id}`: makes a conference that stays also when nobody is in it, for who may (`conferences.makers`).
pub(super) async fn make(
    State(api): State<Api>,
    Person(person): Person,
    Path(id): Path<String>,
    Json(new): Json<New>,
) -> Result<StatusCode, Problem> {
    let id: ConferenceId = named(&id)?;
    if !api.conferences.makes(&person) {
        let mend = "ask the operator (conferences.makers)";
        let what = "you may not make conferences that stay";
        return Err(Problem::new(StatusCode::FORBIDDEN, what, "you", mend));
    }
    if id.as_str() == api.conferences.factory {
        let what = "this name is the factory's";
        return Err(Problem::new(StatusCode::CONFLICT, what, "the path", "choose another name"));
    }
    let New { level, subject, moderators } = new;
    let made = api.desks.create(NewConference {
        id: Some(id),
        creator: person,
        level: level.unwrap_or(api.conferences.level),
        standing: Some(Standing { moderators, subject }),
    });
    made.await.map(|_| StatusCode::CREATED).map_err(|why| problem(&why))
}

/// `PATCH /v1/conferences/{id}`: each change by itself, in the order of the fields; the first that is refused ends it.
pub(super) async fn change(
    State(api): State<Api>,
    Person(person): Person,
    Path(id): Path<String>,
    Json(change): Json<Change>,
) -> Result<StatusCode, Problem> {
    let id: ConferenceId = named(&id)?;
    for ruling in change.rulings() {
        settle(&api, &id, &person, ruling).await?;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// `PUT /v1/conferences/{id}/{list}/{person}`
pub(super) async fn put(
    State(api): State<Api>,
    Person(person): Person,
    Path((id, list, who)): Path<(String, List, String)>,
) -> Result<StatusCode, Problem> {
    settle(&api, &named(&id)?, &person, list.put(named(&who)?)).await
}

/// `DELETE /v1/conferences/{id}/{list}/{person}`
pub(super) async fn take(
    State(api): State<Api>,
    Person(person): Person,
    Path((id, list, who)): Path<(String, List, String)>,
) -> Result<StatusCode, Problem> {
    settle(&api, &named(&id)?, &person, list.take(named(&who)?)).await
}

/// `DELETE /v1/conferences/{id}`: ends it for everybody (RFC 4579, 5.12).
pub(super) async fn delete(
    State(api): State<Api>,
    Person(person): Person,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let ended = api.desks.delete(&named(&id)?, person).await;
    ended.map(|()| StatusCode::NO_CONTENT).map_err(|why| problem(&why))
}

async fn settle(
    api: &Api,
    id: &ConferenceId,
    by: &Aor,
    ruling: Ruling,
) -> Result<StatusCode, Problem> {
    let settled = api.desks.rule(id, Some(by.clone()), ruling).await;
    settled.map(|()| StatusCode::NO_CONTENT).map_err(|why| problem(&why))
}

fn problem(refusal: &Refusal) -> Problem {
    let (status, r#where, mend) = match refused_with(refusal).code() {
        404 | 481 => {
            (StatusCode::NOT_FOUND, "the path", "name a conference you are in, and who is in it")
        }
        410 => (StatusCode::GONE, "the path", "make another conference"),
        403 => {
            let mend = match refusal {
                Refusal::Founder => "ask the founder",
                Refusal::LastModerator => "make somebody else a moderator before",
                _ => "ask a moderator of it",
            };
            (StatusCode::FORBIDDEN, "the conference", mend)
        }
        503 => return Problem::unavailable(refusal),
        504 => (
            StatusCode::GATEWAY_TIMEOUT,
            "the relay",
            "what was changed stands, and the relay learns it when it is reached",
        ),
        _ => (StatusCode::CONFLICT, "the conference", "look at how the conference is now"),
    };
    Problem::new(status, refusal, r#where, mend)
}
