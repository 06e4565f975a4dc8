//! Operating a running MRFC over its admin API: what each command asks, and what it prints.
//!
//! [`grammar`] is what can be typed · [`room`] has the commands about conferences and the people in them ·
//! [`profile`] says where the MRFC is · [`line`] asks it · [`show`] and [`table`] make
//! columns of the answers · [`failure`] is what went wrong.
mod failure;
pub(crate) mod grammar;
mod line;
mod profile;
mod room;
mod show;
mod table;

use std::path::Path;
use std::time::Duration;

use hyper::Method;
use mrfc::admin::shapes::{
    AttemptList, AuditList, ConfigCheck, DeviceList, Dropped, RegistrationList, RelayList, Status,
    TakenBack,
};
use serde_json::{Value, json};

pub(crate) use failure::{Failure, Kind};
use grammar::{Config, Device, Operate, Output, Reach, Registration, Relay};
use line::{Answer, Line, segment};

const NO_REGISTRATION: &str = "`conclave registration list` shows who is registered";
const NO_DEVICE: &str = "`conclave device list PERSON` shows the devices there are";
const NO_RELAY: &str = "`conclave relay list` shows the relays there are";

/// What a command has to say, in both ways.
struct Said {
    json: Value,
    text: String,
}

impl Said {
    fn of<T>(answer: &Answer<T>, show: impl FnOnce(&T) -> String) -> Self {
        Self { json: answer.json.clone(), text: show(&answer.value) }
    }

    fn done(json: Value, text: String) -> Self {
        Self { json, text }
    }
}

/// Carries a command out and prints what it has to say.
///
/// # Errors
/// [`Failure`], which says what, where, and how to mend it.
#[expect(clippy::print_stdout, reason = "the answer is what this command prints")]
pub(crate) async fn run(operate: Operate) -> Result<(), Failure> {
    let (reach, said) = match operate {
        Operate::Status(reach) => {
            let answer: Answer<Status> = Line::open(&reach)?.get("/v1/status", "").await?;
            let said = Said::of(&answer, show::status);
            (reach, said)
        }
        Operate::Room { reach, command } => {
            let said = room::room(&Line::open(&reach)?, command).await?;
            (reach, said)
        }
        Operate::Member { reach, command } => {
            let said = room::member(&Line::open(&reach)?, command).await?;
            (reach, said)
        }
        Operate::Registration { reach, command } => {
            let said = registration(&Line::open(&reach)?, command).await?;
            (reach, said)
        }
        Operate::Device { reach, command } => {
            let said = device(&Line::open(&reach)?, command).await?;
            (reach, said)
        }
        Operate::Audit { reach, registrations: true, actor, limit } => {
            let line = Line::open(&reach)?;
            let mut path = format!("/v1/audit/registrations?limit={limit}");
            if let Some(person) = actor {
                let person = line.person(&person).await?;
                path.push_str(&format!("&person={}", segment(&person)));
            }
            let answer: Answer<AttemptList> = line.get(&path, "").await?;
            let said = Said::of(&answer, show::attempts);
            (reach, said)
        }
        Operate::Audit { reach, registrations: false, actor, limit } => {
            let actor =
                actor.map(|actor| format!("&actor={}", segment(&actor))).unwrap_or_default();
            let path = format!("/v1/audit?limit={limit}{actor}");
            let answer: Answer<AuditList> = Line::open(&reach)?.get(&path, "").await?;
            let said = Said::of(&answer, show::audit);
            (reach, said)
        }
        Operate::Relay { reach, command } => {
            let said = relay(&Line::open(&reach)?, command).await?;
            (reach, said)
        }
        Operate::Config { reach, command: Config::Check { file } } => {
            let said = config_check(&reach, file.as_deref()).await?;
            (reach, said)
        }
    };
    match reach.output {
        Output::Table => println!("{}", said.text),
        Output::Json => println!("{:#}", said.json),
    }
    Ok(())
}

async fn registration(line: &Line, command: Registration) -> Result<Said, Failure> {
    match command {
        Registration::List { person, limit } => {
            let mut path = format!("/v1/registrations?limit={limit}");
            if let Some(person) = person {
                let person = line.person(&person).await?;
                path.push_str(&format!("&person={}", segment(&person)));
            }
            let answer: Answer<RegistrationList> = line.get(&path, "").await?;
            Ok(Said::of(&answer, show::registrations))
        }
        Registration::Drop { person, device } => {
            let person = line.person(&person).await?;
            let device = device.map(|device| format!("/{}", segment(&device))).unwrap_or_default();
            let path = format!("/v1/registrations/{}{device}", segment(&person));
            let answer: Answer<Dropped> =
                line.send(Method::DELETE, &path, &json!({}), NO_REGISTRATION).await?;
            let text = |dropped: &Dropped| {
                format!("dropped {} registrations of {person}", dropped.registrations)
            };
            Ok(Said::of(&answer, text))
        }
    }
}

async fn device(line: &Line, command: Device) -> Result<Said, Failure> {
    match command {
        Device::List { person } => {
            let person = line.person(&person).await?;
            let path = format!("/v1/people/{}/devices", segment(&person));
            let answer: Answer<DeviceList> = line.get(&path, "").await?;
            Ok(Said::of(&answer, show::devices))
        }
        Device::Revoke { person, device } => {
            let person = line.person(&person).await?;
            let path = format!("/v1/people/{}/devices/{}", segment(&person), segment(&device));
            let answer: Answer<TakenBack> =
                line.send(Method::DELETE, &path, &json!({}), NO_DEVICE).await?;
            let text = |taken: &TakenBack| {
                format!(
                    "took back {device} of {person}; it was in {} conferences",
                    taken.conferences
                )
            };
            Ok(Said::of(&answer, text))
        }
    }
}

async fn relay(line: &Line, command: Relay) -> Result<Said, Failure> {
    let list = async || line.get::<RelayList>("/v1/relays", "").await;
    let Relay::Drain { relay, undo, wait } = command else {
        return Ok(Said::of(&list().await?, show::relays));
    };
    let path = format!("/v1/relays/{}/drain", segment(&relay));
    let method = if undo { Method::DELETE } else { Method::PUT };
    line.change(method, &path, NO_RELAY).await?;
    let started = service::clock::now();
    let rooms = loop {
        let relays = list().await?.value.relays;
        let rooms = relays.iter().find(|one| one.name == relay).map_or(0, |one| one.rooms);
        let waited = service::clock::now().saturating_duration_since(started);
        match wait {
            Some(secs) if rooms > 0 && waited.as_secs() >= secs => {
                let what = format!("{relay} still has {rooms} rooms after {secs} s");
                let mend = "wait longer, or close them with `conclave room close`";
                return Err(Failure::new(Kind::Failed, what, "the relay", mend));
            }
            Some(_) if rooms > 0 => tokio::time::sleep(Duration::from_millis(500)).await,
            _ => break rooms,
        }
    };
    let text = match (undo, rooms) {
        (true, _) => format!("{relay} gets new rooms again"),
        (false, 0) => format!("{relay} has no room left and gets no new one"),
        (false, rooms) => format!("{relay} gets no new room; {rooms} are left"),
    };
    Ok(Said::done(json!({ "relay": relay, "draining": !undo, "rooms": rooms }), text))
}

async fn config_check(reach: &Reach, file: Option<&Path>) -> Result<Said, Failure> {
    let (json, check) = match file {
        Some(file) => {
            let wrong = mrfc::check_config(file).err().map(|error| error.to_string());
            let (file, good) = (file.display().to_string(), wrong.is_none());
            let check = ConfigCheck { file, good, wrong };
            (json!(check), check)
        }
        None => {
            let line = Line::open(reach)?;
            let here = "check a file here with `conclave config check --file FILE`";
            let answer = line.send(Method::POST, "/v1/config/check", &json!({}), here).await?;
            (answer.json, answer.value)
        }
    };
    let ConfigCheck { file, good, wrong } = check;
    if good {
        return Ok(Said::done(json, format!("{file} is good")));
    }
    let mend = "mend the file, then check it again; the running MRFC is not touched by it";
    Err(Failure::new(Kind::Failed, wrong.unwrap_or_default(), file, mend))
}
