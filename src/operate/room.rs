//! The commands about conferences and the people in them.
use hyper::Method;
use mrfc::admin::shapes::{Conference, ConferenceList, Level, MemberList, NewConference, Subject};
use serde_json::json;

use super::failure::Failure;
use super::grammar::{self, Member, Room, Switch};
use super::line::{Answer, Line, segment};
use super::{Said, show};

const NO_ROOM: &str = "`conclave room list` shows the conferences there are";
const NO_PERSON: &str =
    "`conclave member list ROOM` shows who is in it, `conclave room list` what there is";

pub(super) async fn room(line: &Line, command: Room) -> Result<Said, Failure> {
    match command {
        Room::List { limit } => {
            let path = format!("/v1/conferences?limit={limit}");
            let answer: Answer<ConferenceList> = line.get(&path, "").await?;
            Ok(Said::of(&answer, show::rooms))
        }
        Room::Get { room } => {
            let path = format!("/v1/conferences/{}", segment(&room));
            let answer: Answer<Conference> = line.get(&path, NO_ROOM).await?;
            Ok(Said::of(&answer, show::room))
        }
        Room::Create { room, creator, level, standing } => {
            let level = level.map(|level| match level {
                grammar::Level::Sealed => Level::Sealed,
                grammar::Level::Open => Level::Open,
            });
            let creator = line.person(&creator).await?;
            let new = NewConference { name: room, creator, level, standing };
            let answer: Answer<Conference> =
                line.send(Method::POST, "/v1/conferences", &new, "").await?;
            Ok(Said::of(&answer, show::room))
        }
        Room::Close { room } => {
            let path = format!("/v1/conferences/{}", segment(&room));
            line.change(Method::DELETE, &path, NO_ROOM).await?;
            Ok(Said::done(json!({ "closed": room }), format!("closed {room}")))
        }
        Room::Purge { room } => {
            let path = format!("/v1/conferences/{}/log", segment(&room));
            line.change(Method::DELETE, &path, NO_ROOM).await?;
            let text = format!("nothing of what was said in {room} is kept");
            Ok(Said::done(json!({ "purged": room }), text))
        }
        Room::Lock { room } => {
            switched(line, &room, "lock", Switch::On).await?;
            let text = format!("{room} is locked: nobody new is let in unless called");
            Ok(Said::done(json!({ "room": room, "locked": true }), text))
        }
        Room::Unlock { room } => {
            switched(line, &room, "lock", Switch::Off).await?;
            Ok(Said::done(
                json!({ "room": room, "locked": false }),
                format!("{room} is not locked"),
            ))
        }
        Room::PrivateMessages { room, switch } => {
            switched(line, &room, "private-messages", switch).await?;
            let on = switch == Switch::On;
            let text =
                format!("private messages {} in {room}", if on { "pass" } else { "do not pass" });
            Ok(Said::done(json!({ "room": room, "private_messages": on }), text))
        }
        Room::Nicknames { room, switch } => {
            switched(line, &room, "nicknames", switch).await?;
            let on = switch == Switch::On;
            let text =
                format!("there are {} in {room}", if on { "nicknames" } else { "no nicknames" });
            Ok(Said::done(json!({ "room": room, "nicknames": on }), text))
        }
        Room::Subject { room, subject } => about(line, room, subject).await,
    }
}

async fn about(line: &Line, room: String, subject: String) -> Result<Said, Failure> {
    let path = format!("/v1/conferences/{}/subject", segment(&room));
    let about = Subject { subject };
    line.change_to(Method::PUT, &path, &about, NO_ROOM).await?;
    let Subject { subject } = about;
    let text = match subject.is_empty() {
        true => format!("{room} has no subject"),
        false => format!("{room} is about {subject}"),
    };
    Ok(Said::done(json!({ "room": room, "subject": subject }), text))
}

/// Pulls a lever of a conference.
async fn switched(line: &Line, room: &str, lever: &str, to: Switch) -> Result<(), Failure> {
    let method = if to == Switch::On { Method::PUT } else { Method::DELETE };
    line.change(method, &format!("/v1/conferences/{}/{lever}", segment(room)), NO_ROOM).await
}

pub(super) async fn member(line: &Line, command: Member) -> Result<Said, Failure> {
    let (room, person, method, list, done, told) = match command {
        Member::List { room } => {
            let path = format!("/v1/conferences/{}/members", segment(&room));
            let answer: Answer<MemberList> = line.get(&path, NO_ROOM).await?;
            return Ok(Said::of(&answer, show::members));
        }
        Member::Invite { room, person } => {
            (room, person, Method::PUT, "members", "invited", "is being called into")
        }
        Member::Kick { room, person } => {
            (room, person, Method::DELETE, "members", "kicked", "is out of")
        }
        Member::Ban { room, person } => {
            (room, person, Method::PUT, "banned", "banned", "is kept out of")
        }
        Member::Unban { room, person } => {
            (room, person, Method::DELETE, "banned", "unbanned", "may come to")
        }
        Member::Mute { room, person } => {
            (room, person, Method::PUT, "muted", "muted", "may not talk in")
        }
        Member::Unmute { room, person } => {
            (room, person, Method::DELETE, "muted", "unmuted", "may talk in")
        }
        Member::Appoint { room, person } => {
            (room, person, Method::PUT, "moderators", "appointed", "moderates")
        }
        Member::Dismiss { room, person } => {
            (room, person, Method::DELETE, "moderators", "dismissed", "does not moderate")
        }
    };
    let person = line.person(&person).await?;
    let path = format!("/v1/conferences/{}/{list}/{}", segment(&room), segment(&person));
    line.change(method, &path, NO_PERSON).await?;
    let json = json!({ done: person, "room": room });
    Ok(Said::done(json, format!("{person} {told} {room}")))
}
