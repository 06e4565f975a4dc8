//! The conference event package: who may watch, and what a watcher is told.
use sip::conference_info::{ConferenceInfo, Disconnection, Joining, State, Status as Where};
use sip::dialog::Dialog;
use sip::header::{Name, SubscriptionState, SubscriptionStatus};
use sip::{Method, Request, Response, Status};

use crate::phone::{Phone, good_offer};
use crate::referring::made;
use crate::relay::Manner;
use crate::world::{DOMAIN, World};

/// A world whose watchers hear of a change as soon as it was seen.
pub(crate) async fn quick() -> World {
    World::with(Manner::Prompt, |config| config.conferences.notify_secs = 0).await
}

pub(crate) fn subscription(phone: &mut Phone, uri: &str) -> Request {
    phone.request("SUBSCRIBE", uri).with(Name::Event, "conference")
}

/// A subscription that was granted, and what was told at once.
pub(crate) struct Watch {
    dialog: Dialog,
    pub(crate) info: ConferenceInfo,
}

/// Subscribes and takes the first notification.
pub(crate) async fn watch(phone: &mut Phone, uri: &str) -> Watch {
    let request = subscription(phone, uri);
    let response = phone.send(request.clone()).await;
    assert_eq!(response.status, Status::OK);
    assert!(response.headers.expires().unwrap().unwrap() > 0);
    let dialog = Dialog::uac(&request, &response).unwrap();
    let (state, info) = told(phone).await;
    assert_eq!(state.status, SubscriptionStatus::Active);
    Watch { dialog, info: info.unwrap() }
}

/// The next notification of the package; it is answered.
pub(crate) async fn told(phone: &mut Phone) -> (SubscriptionState, Option<ConferenceInfo>) {
    let (key, notify) = phone.incoming().await;
    assert_eq!(notify.method, Method::Notify, "{notify:?}");
    assert_eq!(notify.headers.event().unwrap().package, "conference");
    phone.answer(key, &notify, 200).await;
    let info = (!notify.body.is_empty()).then(|| {
        let kind = notify.headers.content_type().unwrap().unwrap();
        assert!(kind.is("application/conference-info+xml"));
        ConferenceInfo::from_xml(&notify.body).unwrap()
    });
    (notify.headers.subscription_state().unwrap(), info)
}

impl Watch {
    /// Follows notifications until this is so.
    pub(crate) async fn until(&mut self, phone: &mut Phone, is: impl Fn(&ConferenceInfo) -> bool) {
        while !is(&self.info) {
            let (_, change) = told(phone).await;
            self.info.follow(change.unwrap()).expect("no version is missing");
        }
    }
}

pub(crate) fn status(info: &ConferenceInfo, person: &str) -> Option<Where> {
    let user = info.user(&format!("sip:{person}@{DOMAIN}"))?;
    user.endpoints.first()?.status
}

#[tokio::test]
async fn f1_who_subscribes_is_told_everything_at_once() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;

    let watch = watch(&mut alice, &uri).await;

    assert_eq!((watch.info.state, watch.info.version), (State::Full, 1));
    assert_eq!(watch.info.entity, uri);
    assert_eq!((watch.info.user_count, watch.info.active), (Some(1), Some(true)));
    let user = watch.info.user(alice.aor.as_str()).unwrap();
    assert_eq!(user.roles, ["moderator"]);
    let endpoint = &user.endpoints[0];
    assert_eq!(endpoint.entity, format!("{};gr={}", alice.aor, alice.device));
    assert_eq!(endpoint.status, Some(Where::Connected));
    assert_eq!(endpoint.joining, Some(Joining::DialedIn));
    assert!(endpoint.joined.is_some());
}

#[tokio::test]
async fn f2_f7_a_watcher_is_told_who_comes_and_who_goes_in_the_order_of_versions() {
    let mut world = quick().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    let mut watch = watch(&mut alice, &uri).await;

    let mut joined = bob.invite(&uri, &good_offer()).await.ok().unwrap();
    watch.until(&mut alice, |info| status(info, "bob") == Some(Where::Connected)).await;
    assert_eq!(watch.info.user_count, Some(2));

    let leave = joined.dialog.request(Method::Bye).unwrap();
    let leave = leave.with(Name::Reason, "conclave;cause=1;text=\"leave\"");
    assert_eq!(bob.send(leave).await.status, Status::OK);

    watch.until(&mut alice, |info| status(info, "bob") == Some(Where::Disconnected)).await;
    let gone = &watch.info.user(bob.aor.as_str()).unwrap().endpoints[0];
    assert_eq!(gone.disconnection, Some(Disconnection::Departed));
    watch.until(&mut alice, |info| info.user(bob.aor.as_str()).is_none()).await;
    assert_eq!(watch.info.user_count, Some(1));
}

#[tokio::test]
async fn cevt_04_a_burst_of_changes_is_one_notification_and_not_before_its_time() {
    const PACE: std::time::Duration = std::time::Duration::from_secs(2);
    let paced = |config: &mut mrfc::Config| config.conferences.notify_secs = PACE.as_secs();
    let mut world = World::with(Manner::Prompt, paced).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut others = Vec::new();
    for name in ["bob", "carol", "mallory"] {
        others.push(Phone::registered(&world, name, 1).await);
    }
    let (_talk, uri) = made(&mut world, &mut alice).await;
    let mut watch = watch(&mut alice, &uri).await;
    let since = service::clock::now();

    for phone in &mut others {
        phone.invite(&uri, &good_offer()).await.ok().unwrap();
    }

    // The first notification after the burst tells of everybody.
    let (_, change) = told(&mut alice).await;
    assert!(service::clock::now() - since >= PACE);
    watch.info.follow(change.unwrap()).unwrap();
    assert_eq!((watch.info.user_count, watch.info.version), (Some(4), 2));
}

#[tokio::test]
async fn two_devices_of_a_person_are_one_user_with_two_endpoints() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut tablet = Phone::registered(&world, "alice", 2).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    tablet.invite(&uri, &good_offer()).await.ok().unwrap();

    let watch = watch(&mut alice, &uri).await;

    assert_eq!((watch.info.users.len(), watch.info.user_count), (1, Some(1)));
    assert_eq!(watch.info.users[0].endpoints.len(), 2);
}

#[tokio::test]
async fn f8_who_is_put_out_watches_no_more_and_the_others_see_why() {
    let mut world = quick().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    bob.invite(&uri, &good_offer()).await.ok().unwrap();
    let mut by_alice = watch(&mut alice, &uri).await;
    watch(&mut bob, &uri).await;

    let kick = alice.request("REFER", &uri);
    let kick = kick
        .with(Name::ReferTo, format!("<sip:bob@{DOMAIN};method=BYE>"))
        .with(Name::ReferSub, "false");
    assert_eq!(alice.send(kick).await.status, Status::OK);

    let (key, bye) = bob.incoming().await;
    assert_eq!(bye.method, Method::Bye);
    bob.answer(key, &bye, 200).await;
    let (state, info) = told(&mut bob).await;
    assert_eq!(state.status, SubscriptionStatus::Terminated);
    assert_eq!((state.params.value("reason"), info), (Some("rejected"), None));
    by_alice.until(&mut alice, |info| status(info, "bob") == Some(Where::Disconnected)).await;
    let gone = &by_alice.info.user(bob.aor.as_str()).unwrap().endpoints[0];
    assert_eq!(gone.disconnection, Some(Disconnection::Booted));
    // And may not begin again.
    let again = subscription(&mut bob, &uri);
    assert_eq!(bob.send(again).await.status, Status::FORBIDDEN);
}

#[tokio::test]
async fn f10_the_end_of_a_conference_is_told_and_ends_every_subscription() {
    let mut world = quick().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let (mut talk, uri) = made(&mut world, &mut alice).await;
    watch(&mut alice, &uri).await;

    let leave = talk.dialog.request(Method::Bye).unwrap();
    let leave = leave.with(Name::Reason, "conclave;cause=1;text=\"leave\"");
    assert_eq!(alice.send(leave).await.status, Status::OK);

    loop {
        let (state, info) = told(&mut alice).await;
        if state.status == SubscriptionStatus::Terminated {
            assert_eq!(state.params.value("reason"), Some("noresource"));
            assert_eq!(info.unwrap().state, State::Deleted);
            break;
        }
    }
    let again = subscription(&mut alice, &uri);
    assert_eq!(alice.send(again).await.status, Status::GONE);
}

#[tokio::test]
async fn expires_0_fetches_once_and_in_a_dialog_ends_it() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;

    let fetch = subscription(&mut alice, &uri).with(Name::Expires, 0);
    assert_eq!(alice.send(fetch).await.status, Status::OK);
    let (state, info) = told(&mut alice).await;
    assert_eq!(state.status, SubscriptionStatus::Terminated);
    assert_eq!(info.unwrap().state, State::Full);

    let mut watch = watch(&mut alice, &uri).await;
    let end = watch.dialog.request(Method::Subscribe).unwrap();
    let end = end.with(Name::Event, "conference").with(Name::Expires, 0);
    assert_eq!(alice.send(end).await.status, Status::OK);
    assert_eq!(told(&mut alice).await.0.status, SubscriptionStatus::Terminated);
    let late = watch.dialog.request(Method::Subscribe).unwrap().with(Name::Event, "conference");
    assert_eq!(alice.send(late).await.status, Status::NO_SUCH_DIALOG);
}

#[tokio::test]
async fn a_refresh_is_answered_and_told_everything_with_the_next_version() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    let mut watch = watch(&mut alice, &uri).await;

    let refresh = watch.dialog.request(Method::Subscribe).unwrap();
    let refresh = refresh.with(Name::Event, "conference").with(Name::Expires, 600);
    let response = alice.send(refresh).await;

    assert_eq!(response.headers.expires().unwrap(), Some(600));
    let (state, info) = told(&mut alice).await;
    assert!(state.params.value("expires").unwrap().parse::<u32>().unwrap() <= 600);
    let info = info.unwrap();
    assert_eq!((info.state, info.version), (State::Full, 2));
}

#[tokio::test]
async fn s4_2_1_what_cannot_be_told_is_refused_each_in_its_way() {
    let mut world = World::start().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut mallory = Phone::registered(&world, "mallory", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;

    let presence = alice.request("SUBSCRIBE", &uri).with(Name::Event, "presence");
    let response = alice.send(presence).await;
    assert_eq!(response.status, Status::BAD_EVENT);
    assert!(response.headers.lists(&Name::AllowEvents, "conference"));

    let other = subscription(&mut alice, &uri).with(Name::Accept, "application/pidf+xml");
    assert_eq!(alice.send(other).await.status, Status::NOT_ACCEPTABLE);

    let brief = subscription(&mut alice, &uri).with(Name::Expires, 5);
    let response: Response = alice.send(brief).await;
    assert_eq!(response.status, Status::INTERVAL_TOO_BRIEF);
    assert_eq!(response.headers.text(&Name::MinExpires).unwrap(), "60");

    let stranger = subscription(&mut mallory, &uri);
    assert_eq!(mallory.send(stranger).await.status, Status::FORBIDDEN);
    let nowhere = subscription(&mut alice, &format!("sip:nowhere@{DOMAIN}"));
    assert_eq!(alice.send(nowhere).await.status, Status::NOT_FOUND);
}

#[tokio::test]
async fn ref_08_who_does_not_take_a_notification_has_no_subscription() {
    let mut world = quick().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    let request = subscription(&mut alice, &uri);
    let response = alice.send(request.clone()).await;
    let mut dialog = Dialog::uac(&request, &response).unwrap();

    let (key, notify) = alice.incoming().await;
    alice.answer(key, &notify, 481).await;

    let refresh = dialog.request(Method::Subscribe).unwrap().with(Name::Event, "conference");
    assert_eq!(alice.send(refresh).await.status, Status::NO_SUCH_DIALOG);
}

#[tokio::test]
async fn everybody_may_watch_where_the_policy_says_so() {
    let open = |config: &mut mrfc::Config| {
        config.conferences.watchers = mrfc::config::Watchers::Everybody;
    };
    let mut world = World::with(Manner::Prompt, open).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut mallory = Phone::registered(&world, "mallory", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;

    assert_eq!(watch(&mut mallory, &uri).await.info.user_count, Some(1));
}

#[tokio::test]
async fn a_subscription_is_its_own_persons_and_counts_on_its_connection() {
    let one = |config: &mut mrfc::Config| config.limits.subscriptions_per_connection_max = 1;
    let mut world = World::with(Manner::Prompt, one).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mallory = Phone::registered(&world, "mallory", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    let mut watch = watch(&mut alice, &uri).await;

    let mut theirs = watch.dialog.request(Method::Subscribe).unwrap();
    let tag = theirs.headers.from().unwrap().tag().unwrap().to_owned();
    theirs.headers.set(Name::From, format!("<{}>;tag={tag}", mallory.aor));
    let theirs = theirs.with(Name::Event, "conference").with(Name::Expires, 0);
    assert_eq!(mallory.send(theirs).await.status, Status::NO_SUCH_DIALOG);
    let second = subscription(&mut alice, &uri);
    assert_eq!(alice.send(second).await.status, Status::SERVICE_UNAVAILABLE);

    let refresh = watch.dialog.request(Method::Subscribe).unwrap();
    let refresh = refresh.with(Name::Event, "conference");
    assert_eq!(alice.send(refresh).await.status, Status::OK);
}

#[tokio::test]
async fn rfc6665_s4_2_2_a_subscription_that_runs_out_is_ended_with_a_word() {
    let brief = |config: &mut mrfc::Config| config.limits.subscribe_secs_min = 1;
    let mut world = World::with(Manner::Prompt, brief).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let (_talk, uri) = made(&mut world, &mut alice).await;
    let request = subscription(&mut alice, &uri).with(Name::Expires, 1);
    assert_eq!(alice.send(request).await.headers.expires().unwrap(), Some(1));
    told(&mut alice).await;

    let (state, _) = told(&mut alice).await;

    assert_eq!(state.status, SubscriptionStatus::Terminated);
    assert_eq!(state.params.value("reason"), Some("timeout"));
}
