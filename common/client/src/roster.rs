//! Who is in a conference, as the focus tells those who watch it (RFC 4575). Pure: documents in, people out.
use sip::conference_info::{ConferenceInfo, Disconnection, Endpoint, State, Status, User};

/// A conference as this device may see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// What it is about.
    pub subject: Option<String>,
    /// Whether nobody new is let in.
    pub locked: bool,
    /// Everybody who belongs to it.
    pub people: Vec<Person>,
    /// It is no more.
    pub over: bool,
}

/// Somebody in a conference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Their address, or the number that stands for it.
    pub address: String,
    /// What they want to be called.
    pub nickname: Option<String>,
    /// Whether they may decide about others.
    pub moderator: bool,
    /// Where they are, on the device that is nearest.
    pub whereabouts: Whereabouts,
    /// Devices that are there.
    pub devices: usize,
}

/// Where somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whereabouts {
    /// There.
    Here,
    /// There, and may not talk.
    Muted,
    /// There, and neither hears nor talks.
    OnHold,
    /// On the way.
    Coming,
    /// Being called.
    Called,
    /// Not there; may come back.
    Away,
}

impl Roster {
    /// What a whole document says.
    pub(crate) fn of(info: &ConferenceInfo) -> Self {
        Self {
            subject: info.subject.clone(),
            locked: info.locked == Some(true),
            people: info.users.iter().filter(is_there).map(person).collect(),
            over: info.state == State::Deleted,
        }
    }
}

/// Also who is away. What is deleted belongs to it no more, and neither does who was put out.
fn is_there(user: &&User) -> bool {
    let booted = |it: &Endpoint| it.disconnection == Some(Disconnection::Booted);
    let is_put_out = !user.endpoints.is_empty() && user.endpoints.iter().all(booted);
    user.state != State::Deleted && !is_put_out
}

fn person(user: &User) -> Person {
    let places: Vec<Whereabouts> =
        user.endpoints.iter().map(|endpoint| whereabouts(endpoint.status)).collect();
    let there = |place: &&Whereabouts| **place <= Whereabouts::OnHold;
    Person {
        address: user.entity.clone(),
        nickname: user.nickname.clone().or_else(|| user.display_text.clone()),
        moderator: user.roles.iter().any(|role| role == "moderator"),
        whereabouts: places.iter().min().copied().unwrap_or(Whereabouts::Away),
        devices: places.iter().filter(there).count(),
    }
}

fn whereabouts(status: Option<Status>) -> Whereabouts {
    match status {
        Some(Status::Connected) => Whereabouts::Here,
        Some(Status::MutedViaFocus) => Whereabouts::Muted,
        Some(Status::OnHold) => Whereabouts::OnHold,
        Some(Status::DialingIn | Status::Pending) => Whereabouts::Coming,
        Some(Status::DialingOut | Status::Alerting) => Whereabouts::Called,
        Some(Status::Disconnected | Status::Disconnecting) | None => Whereabouts::Away,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(entity: &str, statuses: &[Status]) -> User {
        let mut user = User::new(entity);
        user.endpoints = statuses
            .iter()
            .enumerate()
            .map(|(n, status)| Endpoint {
                entity: format!("{entity};gr={n}"),
                status: Some(*status),
                ..Endpoint::default()
            })
            .collect();
        user
    }

    #[test]
    fn somebody_is_where_the_nearest_device_is() {
        let mut info = ConferenceInfo::new("sip:room7@example.net");
        info.locked = Some(true);
        info.users = vec![
            user("sip:alice@example.net", &[Status::Disconnected, Status::Connected]),
            user("sip:bob@example.net", &[Status::Disconnected]),
            user("sip:carol@example.net", &[Status::MutedViaFocus, Status::OnHold]),
            User::deleted("sip:dave@example.net"),
            user("sip:mallory@example.net", &[Status::Disconnected]),
        ];
        // Somebody was put out, and one of somebody's devices.
        for (who, endpoint) in [(0, 0), (4, 0)] {
            info.users[who].endpoints[endpoint].disconnection = Some(Disconnection::Booted);
        }

        let roster = Roster::of(&info);

        let seen: Vec<(Whereabouts, usize)> =
            roster.people.iter().map(|person| (person.whereabouts, person.devices)).collect();
        let expected = [(Whereabouts::Here, 1), (Whereabouts::Away, 0), (Whereabouts::Muted, 2)];
        assert_eq!(seen, expected);
        assert!(roster.locked && !roster.over);
        let gone = ConferenceInfo::deleted("sip:room7@example.net", 3);
        assert!(Roster::of(&gone).over);
    }
}
