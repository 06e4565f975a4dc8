//! A scene as the document of RFC 4575. Whoever moderates sees who is being called and who could not be reached; others
//! see who is there, or is away (RFC 4575, 8.2). Pure.
use std::time::SystemTime;

use sip::conference_info::{
    ConferenceInfo, Disconnection, Endpoint, Joining, Media, State, Status, User,
};

use crate::conference::{Came, Flow, Place, Scene, Seen, Stand, Why, known_as};

/// Whose view it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Eyes {
    Moderator,
    Other,
}

/// The whole conference.
pub(super) fn document(scene: &Scene, eyes: Eyes) -> ConferenceInfo {
    let people = scene.people.iter().map(|seen| user(seen, eyes));
    let mut users: Vec<User> = people.filter(|user| !user.endpoints.is_empty()).collect();
    // The roster is in the order of names, of which the places of those who hide would tell.
    users.sort_by(|a, b| a.entity.cmp(&b.entity));
    let connected = |endpoint: &Endpoint| {
        use Status::{Alerting, DialingIn, DialingOut, Disconnected};
        let out = [Disconnected, DialingOut, DialingIn, Alerting];
        !endpoint.status.is_some_and(|status| out.contains(&status))
    };
    let there = users.iter().filter(|user| user.endpoints.iter().any(connected)).count();
    ConferenceInfo {
        subject: scene.rules.subject.clone(),
        maximum_user_count: u32::try_from(scene.participants_max).ok(),
        user_count: u32::try_from(there).ok(),
        active: Some(there > 0),
        locked: Some(scene.rules.locked),
        users,
        ..ConferenceInfo::new(&scene.uri)
    }
}

/// How those went who are not in the document any more; a watcher that has seen them hears it once.
pub(super) fn departures(scene: &Scene, eyes: Eyes) -> Vec<User> {
    let gone = scene.gone.iter().map(|seen| user(seen, eyes));
    gone.filter(|user| !user.endpoints.is_empty()).collect()
}

/// What changed for a watcher that was told `earlier`: somebody who was there and has gone is told as disconnected
/// first, and as deleted the next time.
pub(super) fn change(
    earlier: &ConferenceInfo,
    now: &ConferenceInfo,
    departures: &[User],
) -> Option<ConferenceInfo> {
    let mut now = now.clone();
    for gone in departures {
        let seen = earlier.user(&gone.entity).is_some_and(|user| !user.is_gone());
        if seen && now.user(&gone.entity).is_none() {
            now.users.push(gone.clone());
        }
    }
    now.since(earlier)
}

fn user(seen: &Seen, eyes: Eyes) -> User {
    let entity = known_as(&seen.aor, seen.hidden);
    let visible = |stand: &&Stand| eyes == Eyes::Moderator || !is_being_called(stand);
    let stands = seen.devices.iter().filter(visible).enumerate();
    let mut endpoints: Vec<Endpoint> =
        stands.map(|(at, stand)| endpoint(seen, &entity, at, stand)).collect();
    if seen.called && eyes == Eyes::Moderator {
        let status = Some(Status::DialingOut);
        endpoints.push(Endpoint { entity: entity.clone(), status, ..Endpoint::default() });
    }
    let role = if seen.moderator { "moderator" } else { "participant" };
    let nickname = seen.devices.iter().find_map(|stand| stand.nickname.clone());
    User {
        entity,
        state: State::Full,
        display_text: nickname
            .clone()
            .or_else(|| seen.hidden.map(|number| format!("Anonymous {number}"))),
        nickname,
        roles: vec![role.to_owned()],
        endpoints,
    }
}

fn is_being_called(stand: &Stand) -> bool {
    match &stand.place {
        Place::Here { came, arrived, .. } => *came == Came::DialedOut && !arrived,
        Place::Gone { how } => {
            how.is_some_and(|(why, _)| why.did_not_come()) || stand.device.is_none()
        }
    }
}

fn endpoint(seen: &Seen, entity: &str, at: usize, stand: &Stand) -> Endpoint {
    let name = match (&stand.device, seen.hidden) {
        (None, _) => entity.to_owned(),
        // The name of a device is the name of its person, to whoever has met it before.
        (Some(_), Some(_)) => format!("{entity};gr={}", at + 1),
        (Some(device), None) => format!("{entity};gr={device}"),
    };
    let endpoint =
        Endpoint { entity: name, display_text: stand.nickname.clone(), ..Endpoint::default() };
    match &stand.place {
        Place::Here { came, since, alerting, arrived, flow } => Endpoint {
            status: Some(match (arrived, came, flow) {
                (false, ..) if *alerting => Status::Alerting,
                (false, Came::DialedOut, _) => Status::DialingOut,
                (false, Came::DialedIn, _) => Status::DialingIn,
                (true, _, Flow::Inactive) => Status::OnHold,
                (true, ..) if seen.muted => Status::MutedViaFocus,
                (true, ..) => Status::Connected,
            }),
            joining: Some(match came {
                Came::DialedIn => Joining::DialedIn,
                Came::DialedOut => Joining::DialedOut,
            }),
            joined: moment(*since),
            media: arrived.then_some(match flow {
                Flow::SendRecv => Media::SendRecv,
                Flow::SendOnly => Media::SendOnly,
                Flow::RecvOnly => Media::RecvOnly,
                Flow::Inactive => Media::Inactive,
            }),
            ..endpoint
        },
        Place::Gone { how } => Endpoint {
            status: Some(Status::Disconnected),
            disconnection: how.map(|(why, _)| disconnection(why)),
            disconnected: how.and_then(|(_, at)| moment(at)),
            ..endpoint
        },
    }
}

const fn disconnection(why: Why) -> Disconnection {
    match why {
        Why::Away | Why::Left | Why::Ended => Disconnection::Departed,
        Why::Kicked | Why::Revoked => Disconnection::Booted,
        // RFC 4575, 5.7.6: 486 is busy, every other refusal a failure.
        Why::Busy => Disconnection::Busy,
        Why::Disconnected
        | Why::Slow
        | Why::Silent
        | Why::Misbehaved
        | Why::Unusable
        | Why::RelayLost
        | Why::Forgotten
        | Why::Expired
        | Why::Refused
        | Why::Unreachable => Disconnection::Failed,
    }
}

/// RFC 3339, in seconds.
fn moment(at: SystemTime) -> Option<String> {
    let at = time::OffsetDateTime::from(at).replace_nanosecond(0).ok()?;
    at.format(&time::format_description::well_known::Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conference::Rules;

    fn seen(name: &str, place: Place) -> Seen {
        let device = "urn:uuid:00000000-0000-4000-8000-000000000001".parse().ok();
        Seen {
            aor: format!("sip:{name}@example.net").parse().unwrap(),
            behind: None,
            hidden: None,
            moderator: false,
            muted: false,
            called: false,
            devices: vec![Stand { device, nickname: None, place }],
        }
    }

    fn here(came: Came, arrived: bool) -> Place {
        Place::Here {
            came,
            since: SystemTime::UNIX_EPOCH,
            alerting: false,
            arrived,
            flow: Flow::SendRecv,
        }
    }

    fn scene(people: Vec<Seen>, gone: Vec<Seen>) -> Scene {
        Scene {
            uri: "sip:room7@example.net".into(),
            rules: Rules::default(),
            participants_max: 9,
            people,
            gone,
            barred: Vec::new(),
            pseudonyms: None,
        }
    }

    #[test]
    fn cevt_11_only_a_moderator_sees_who_is_being_called() {
        let ringing = seen("bob", here(Came::DialedOut, false));
        let scene = scene(vec![seen("alice", here(Came::DialedIn, true)), ringing], Vec::new());

        let moderator = document(&scene, Eyes::Moderator);
        let other = document(&scene, Eyes::Other);

        let bob = moderator.user("sip:bob@example.net").unwrap();
        assert_eq!(bob.endpoints[0].status, Some(Status::DialingOut));
        assert!(other.user("sip:bob@example.net").is_none());
        assert_eq!((moderator.user_count, other.user_count), (Some(1), Some(1)));
    }

    #[test]
    fn cevt_10_how_each_call_stands_and_went_is_said_as_the_package_has_it() {
        let status = |place: Place| {
            let scene = scene(vec![seen("bob", place)], Vec::new());
            let document = document(&scene, Eyes::Moderator);
            let endpoint = &document.users[0].endpoints[0];
            (endpoint.status, endpoint.disconnection)
        };
        let gone = |why| Place::Gone { how: Some((why, SystemTime::UNIX_EPOCH)) };
        let called = |alerting, arrived| Place::Here {
            came: Came::DialedOut,
            since: SystemTime::UNIX_EPOCH,
            alerting,
            arrived,
            flow: Flow::SendRecv,
        };

        assert_eq!(status(called(false, false)), (Some(Status::DialingOut), None));
        assert_eq!(status(called(true, false)), (Some(Status::Alerting), None));
        assert_eq!(status(called(true, true)), (Some(Status::Connected), None));
        assert_eq!(status(here(Came::DialedIn, false)).0, Some(Status::DialingIn));
        for (why, how) in [
            (Why::Busy, Disconnection::Busy),
            (Why::Refused, Disconnection::Failed),
            (Why::Unreachable, Disconnection::Failed),
            (Why::Disconnected, Disconnection::Failed),
            (Why::Left, Disconnection::Departed),
            (Why::Away, Disconnection::Departed),
            (Why::Kicked, Disconnection::Booted),
        ] {
            assert_eq!(status(gone(why)), (Some(Status::Disconnected), Some(how)), "{why:?}");
        }
    }

    #[test]
    fn cevt_09_a_hidden_person_is_a_number_and_so_is_every_device() {
        let mut hidden = seen("bob", here(Came::DialedIn, true));
        hidden.hidden = Some(3);

        let document = document(&scene(vec![hidden], Vec::new()), Eyes::Moderator);

        let bob = document.user("sip:anonymous-3@anonymous.invalid").unwrap();
        assert_eq!(bob.endpoints[0].entity, "sip:anonymous-3@anonymous.invalid;gr=1");
        let xml = document.to_xml();
        assert!(!xml.contains("bob") && !xml.contains("urn:uuid"));
    }

    #[test]
    fn cevt_09_the_order_of_users_does_not_tell_where_a_name_would_stand() {
        let mut hidden = seen("bob", here(Came::DialedIn, true));
        hidden.hidden = Some(1);
        let named = |name: &str| seen(name, here(Came::DialedIn, true));

        let shown =
            document(&scene(vec![named("alice"), hidden, named("carol")], Vec::new()), Eyes::Other);

        let users: Vec<&str> = shown.users.iter().map(|user| user.entity.as_str()).collect();
        assert_eq!(
            users,
            ["sip:alice@example.net", "sip:anonymous-1@anonymous.invalid", "sip:carol@example.net"]
        );
        let mut late = seen("zoe", here(Came::DialedIn, true));
        late.hidden = Some(2);
        let shown = document(&scene(vec![named("carol"), late], Vec::new()), Eyes::Other);
        assert_eq!(shown.users[0].entity, "sip:anonymous-2@anonymous.invalid");
        assert_eq!(shown.users[0].display_text.as_deref(), Some("Anonymous 2"));
    }

    #[test]
    fn cevt_10_who_was_put_out_is_told_as_booted_first_and_as_deleted_then() {
        let there = scene(vec![seen("bob", here(Came::DialedIn, true))], Vec::new());
        let kicked = Place::Gone { how: Some((Why::Kicked, SystemTime::UNIX_EPOCH)) };
        let after = scene(Vec::new(), vec![seen("bob", kicked)]);
        let mut known = document(&there, Eyes::Other);
        let now = document(&after, Eyes::Other);
        let gone = departures(&after, Eyes::Other);

        let first = change(&known, &now, &gone).unwrap();
        let bob = &first.users[0];
        assert_eq!(bob.endpoints[0].status, Some(Status::Disconnected));
        assert_eq!(bob.endpoints[0].disconnection, Some(Disconnection::Booted));
        known.follow(first).unwrap();

        let second = change(&known, &now, &gone).unwrap();
        assert_eq!(second.users, [User::deleted("sip:bob@example.net")]);
        known.follow(second).unwrap();
        assert_eq!(change(&known, &now, &gone), None);
    }
}
