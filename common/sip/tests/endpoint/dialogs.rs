//! Dialogs (RFC 3261, 12 to 15), of both sides.
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use sip::dialog::{BadDialog, Dialog, DialogId, DialogState, Glare, Refusal};
use sip::{Method, Name, Request, Response, Status};

use crate::bench::{incoming, outgoing, uri, with};

/// The dialog of an INVITE from alice that we accepted.
fn uas() -> Dialog {
    let invite = incoming(&Method::Invite, 10, "b1");
    Dialog::uas(&invite, &accepted(&invite)).unwrap()
}

fn accepted(request: &Request) -> Response {
    Response::to(request, Status::OK)
        .with_to_tag("f1")
        .with(Name::Contact, "<sip:room7@focus.example.net:5061>;isfocus")
}

fn inside(method: &Method, number: u32) -> Request {
    let to = "<sip:room7@focus.example.net>;tag=f1";
    with(incoming(method, number, &format!("d{number}")), Name::To, to)
}

/// The dialog of an INVITE of ours that bob accepted.
fn uac() -> (Dialog, Request) {
    let invite = outgoing(&Method::Invite).with(Name::Via, "SIP/2.0/TLS focus;branch=z9hG4bKu");
    let dialog = Dialog::uac(&invite, &from_bob(&invite, Status::OK)).unwrap();
    (dialog, invite)
}

fn from_bob(request: &Request, status: Status) -> Response {
    Response::to(request, status).with_to_tag("bob1").with(Name::Contact, "<sip:bob@192.0.2.8:9>")
}

#[test]
fn s12_1_1_the_uas_takes_target_routes_and_tags_from_the_request() {
    let invite = incoming(&Method::Invite, 10, "b1")
        .with(Name::RecordRoute, "<sip:p2.example.net;lr>, <sip:p1.example.net;lr>");
    let mut dialog = Dialog::uas(&invite, &accepted(&invite)).unwrap();

    let bye = dialog.request(Method::Bye).unwrap();

    assert_eq!(bye.uri, uri("sip:alice@192.0.2.7;transport=tcp"));
    let routes: Vec<String> =
        bye.headers.routes().unwrap().iter().map(|it| it.to_string()).collect();
    assert_eq!(routes, ["<sip:p2.example.net;lr>", "<sip:p1.example.net;lr>"]);
    assert_eq!(bye.headers.from().unwrap().tag(), Some("f1"));
    assert_eq!(bye.headers.to().unwrap().tag(), Some("a1"));
    assert_eq!(bye.headers.call_id().unwrap(), "call-1");
}

#[test]
fn s12_1_2_the_uac_turns_the_routes_round_and_counts_on() {
    let (_, invite) = uac();
    let ok = from_bob(&invite, Status::OK)
        .with(Name::RecordRoute, "<sip:p2.example.net;lr>")
        .with(Name::RecordRoute, "<sip:p1.example.net;lr>");
    let mut dialog = Dialog::uac(&invite, &ok).unwrap();

    let bye = dialog.request(Method::Bye).unwrap();

    let routes: Vec<String> =
        bye.headers.routes().unwrap().iter().map(|it| it.to_string()).collect();
    assert_eq!(routes, ["<sip:p1.example.net;lr>", "<sip:p2.example.net;lr>"]);
    assert_eq!(bye.uri, uri("sip:bob@192.0.2.8:9"));
    assert_eq!(bye.headers.cseq().unwrap().to_string(), "2 BYE");
}

#[test]
fn s12_2_1_1_a_strict_router_takes_the_place_of_the_target() {
    let invite = incoming(&Method::Invite, 10, "b1")
        .with(Name::RecordRoute, "<sip:strict.example.net>, <sip:loose.example.net;lr>");
    let mut dialog = Dialog::uas(&invite, &accepted(&invite)).unwrap();

    let bye = dialog.request(Method::Bye).unwrap();

    assert_eq!(bye.uri, uri("sip:strict.example.net"));
    let routes: Vec<String> =
        bye.headers.routes().unwrap().iter().map(|it| it.to_string()).collect();
    assert_eq!(routes, ["<sip:loose.example.net;lr>", "<sip:alice@192.0.2.7;transport=tcp>"]);
}

#[test]
fn s13_2_2_4_the_ack_has_the_cseq_number_of_its_invite() {
    let (mut dialog, _) = uac();
    dialog.request(Method::Message).unwrap();

    let ack = dialog.acknowledgement(1);

    assert_eq!(ack.headers.cseq().unwrap().to_string(), "1 ACK");
    assert_eq!(ack.uri, uri("sip:bob@192.0.2.8:9"));
    assert_eq!(ack.headers.to().unwrap().tag(), Some("bob1"));
    assert!(!ack.headers.has(&Name::Contact));
}

#[test]
fn s12_2_2_a_lower_cseq_is_answered_500_and_a_gap_is_legal() {
    let mut dialog = uas();

    assert_eq!(dialog.receive(&inside(&Method::Message, 14)), Ok(()), "11 to 13 never came");
    assert_eq!(dialog.receive(&inside(&Method::Message, 12)), Err(Refusal::OutOfOrder));
    assert_eq!(dialog.receive(&inside(&Method::Message, 14)), Err(Refusal::OutOfOrder));
    assert_eq!(dialog.receive(&inside(&Method::Message, 15)), Ok(()));
    assert_eq!(Refusal::OutOfOrder.status(), Status::SERVER_INTERNAL_ERROR);
}

#[test]
fn s12_2_2_an_ack_has_an_old_cseq_and_is_in_order() {
    let mut dialog = uas();
    dialog.receive(&inside(&Method::Message, 11)).unwrap();

    assert_eq!(dialog.receive(&inside(&Method::Ack, 10)), Ok(()));
}

#[test]
fn s12_2_2_a_request_with_another_tag_is_not_in_this_dialog() {
    let mut dialog = uas();
    let stranger = with(inside(&Method::Bye, 11), Name::From, "<sip:mallory@example.net>;tag=m");

    assert_eq!(dialog.receive(&stranger), Err(Refusal::NoDialog));
    assert_eq!(Refusal::NoDialog.status(), Status::NO_SUCH_DIALOG);
    assert_eq!(dialog.state(), DialogState::Confirmed);
    assert_eq!(DialogId::of_request(&inside(&Method::Bye, 11)).as_ref(), Some(dialog.id()));
    assert_eq!(DialogId::of_request(&incoming(&Method::Invite, 1, "b")), None);
}

#[test]
fn a_bye_while_another_request_is_handled_ends_the_dialog() {
    let mut dialog = uas();
    let message = inside(&Method::Message, 11);
    dialog.receive(&message).unwrap();

    assert_eq!(dialog.receive(&inside(&Method::Bye, 12)), Ok(()));

    assert!(dialog.is_over());
    assert_eq!(dialog.receive(&inside(&Method::Message, 13)), Err(Refusal::NoDialog));
    dialog.responded(&message, &Response::to(&message, Status::OK));
    assert!(dialog.is_over());
}

#[test]
fn s14_2_a_reinvite_that_crosses_ours_is_answered_491() {
    let mut dialog = uas();
    let ours = dialog.request(Method::Invite).unwrap();
    let theirs = inside(&Method::Invite, 11);

    let refusal = dialog.receive(&theirs).unwrap_err();

    assert_eq!((refusal, refusal.status()), (Refusal::Glare, Status::REQUEST_PENDING));
    dialog.answered(&Response::to(&ours, Status::REQUEST_PENDING));
    assert_eq!(dialog.state(), DialogState::Confirmed, "14.1: a failed re-INVITE changes nothing");
    assert_eq!(dialog.receive(&inside(&Method::Invite, 12)), Ok(()), "ours is over");
}

#[test]
fn s14_2_a_second_invite_before_the_first_is_answered_gets_500_with_retry_after() {
    let mut dialog = uas();
    let first = inside(&Method::Invite, 11);
    dialog.receive(&first).unwrap();
    let second = inside(&Method::Invite, 12);

    let refusal = dialog.receive(&second).unwrap_err();

    let response = refusal.response(&second, &mut StdRng::from_seed([1; 32]));
    assert_eq!(response.status, Status::SERVER_INTERNAL_ERROR);
    let after: u32 = response.headers.text(&Name::RetryAfter).unwrap().parse().unwrap();
    assert!(after <= 10);
    assert_eq!(dialog.request(Method::Invite).err(), Some(Glare), "14.1");
    dialog.responded(&first, &accepted(&first));
    assert!(dialog.request(Method::Invite).is_ok());
}

/// An UPDATE of the peer, with an offer or without.
fn update(number: u32, offer: &'static str) -> Request {
    inside(&Method::Update, number).with_body("application/sdp", offer)
}

#[test]
fn r3311_5_2_an_update_with_an_offer_that_crosses_one_of_ours_is_491() {
    for cross in [Method::Invite, Method::Update] {
        let mut dialog = uas();
        let ours = match cross {
            Method::Invite => dialog.request(Method::Invite).unwrap(),
            _ => dialog.update().unwrap(),
        };

        assert_eq!(dialog.receive(&update(11, "v=0")), Err(Refusal::Glare), "{cross}");
        assert_eq!(dialog.receive(&inside(&Method::Invite, 12)), Err(Refusal::Glare), "{cross}");
        assert_eq!(dialog.receive(&update(13, "")), Ok(()), "without an offer nothing crosses");
        assert_eq!(dialog.update().err(), Some(Glare));

        dialog.answered(&Response::to(&ours, Status::REQUEST_PENDING));
        dialog.responded(&update(13, ""), &accepted(&update(13, "")));
        assert_eq!(dialog.receive(&update(14, "v=0")), Ok(()), "{cross}");
    }
}

#[test]
fn r3311_5_2_a_second_update_before_the_answer_to_the_first_gets_500_with_retry_after() {
    let mut dialog = uas();
    let first = update(11, "");
    dialog.receive(&first).unwrap();

    let refusal = dialog.receive(&update(12, "")).unwrap_err();

    let response = refusal.response(&update(12, ""), &mut StdRng::from_seed([1; 32]));
    assert_eq!(response.status, Status::SERVER_INTERNAL_ERROR);
    assert!(response.headers.has(&Name::RetryAfter));
    dialog.responded(&first, &accepted(&first));
    assert_eq!(dialog.receive(&update(13, "")), Ok(()));
}

#[test]
fn r3311_5_2_an_update_moves_the_target_when_it_succeeds() {
    let mut dialog = uas();
    let moved = with(update(11, ""), Name::Contact, "<sip:alice@192.0.2.98>");

    dialog.receive(&moved).unwrap();
    dialog.responded(&moved, &accepted(&moved));

    assert_eq!(dialog.target(), &uri("sip:alice@192.0.2.98"));
    assert!(dialog.request(Method::Update).unwrap().headers.has(&Name::Contact));
}

#[test]
fn s14_1_who_made_the_call_id_waits_longer_after_a_glare() {
    let mut rng = StdRng::from_seed([1; 32]);
    for _ in 0..100 {
        let (owner, other) = (uac().0.glare_wait(&mut rng), uas().glare_wait(&mut rng));
        assert!((Duration::from_millis(2_100)..=Duration::from_secs(4)).contains(&owner));
        assert!(other <= Duration::from_secs(2));
    }
}

#[test]
fn s12_2_a_target_refresh_moves_the_target_when_it_succeeds() {
    let mut dialog = uas();
    let refresh = |number| {
        let request = inside(&Method::Invite, number);
        with(request, Name::Contact, "<sip:alice@192.0.2.99>")
    };
    let failed = refresh(11);
    dialog.receive(&failed).unwrap();
    dialog.responded(&failed, &Response::to(&failed, Status::NOT_ACCEPTABLE_HERE));
    assert_eq!(dialog.target(), &uri("sip:alice@192.0.2.7;transport=tcp"));

    let good = refresh(12);
    dialog.receive(&good).unwrap();
    dialog.responded(&good, &accepted(&good));

    assert_eq!(dialog.target(), &uri("sip:alice@192.0.2.99"));
}

#[test]
fn a_target_refresh_of_ours_carries_our_contact_so_that_isfocus_stays() {
    let mut dialog = uas();

    let invite = dialog.request(Method::Invite).unwrap();

    assert!(invite.headers.contact().unwrap().params.has("isfocus"));
    assert!(!dialog.request(Method::Bye).unwrap().headers.has(&Name::Contact));
}

#[test]
fn s12_1_an_early_dialog_is_confirmed_or_ended_by_the_final_answer() {
    let (_, invite) = uac();
    let early = || Dialog::uac(&invite, &from_bob(&invite, Status::RINGING)).unwrap();
    let (mut good, mut bad) = (early(), early());
    assert_eq!(good.state(), DialogState::Early);

    good.answered(
        &from_bob(&invite, Status::OK).with(Name::RecordRoute, "<sip:p1.example.net;lr>"),
    );
    bad.answered(&from_bob(&invite, Status::BUSY_HERE));

    assert_eq!(good.state(), DialogState::Confirmed);
    assert_eq!(good.acknowledgement(1).headers.routes().unwrap().len(), 1, "13.2.2.4");
    assert!(bad.is_over());
}

#[test]
fn an_early_dialog_of_the_uas_is_confirmed_by_its_own_2xx() {
    let invite = incoming(&Method::Invite, 10, "b1");
    let ringing = Response::to(&invite, Status::RINGING).with_to_tag("f1");
    let mut dialog = Dialog::uas(&invite, &ringing).unwrap();
    assert_eq!(dialog.state(), DialogState::Early);
    assert_eq!(dialog.receive(&inside(&Method::Invite, 11)), Err(Refusal::Busy));

    dialog.responded(&invite, &accepted(&invite));

    assert_eq!(dialog.state(), DialogState::Confirmed);
    assert_eq!(dialog.receive(&inside(&Method::Invite, 12)), Ok(()));
}

#[test]
fn s12_2_1_2_a_peer_that_knows_nothing_of_the_dialog_ends_it() {
    for status in [Status::NO_SUCH_DIALOG, Status::REQUEST_TIMEOUT] {
        let (mut dialog, _) = uac();
        let message = dialog.request(Method::Message).unwrap();

        dialog.answered(&Response::to(&message, status));

        assert!(dialog.is_over());
    }
}

#[test]
fn rfc5057_a_subscription_outlives_the_call() {
    let mut dialog = uas();
    let refer = inside(&Method::Refer, 11);
    dialog.receive(&refer).unwrap();
    dialog.subscription_begun();

    dialog.receive(&inside(&Method::Bye, 12)).unwrap();

    assert_eq!((dialog.state(), dialog.is_over()), (DialogState::Terminated, false));
    let notify = dialog.request(Method::Notify).unwrap();
    assert!(notify.headers.has(&Name::Contact));
    assert_eq!(dialog.receive(&inside(&Method::Subscribe, 13)), Ok(()));
    assert_eq!(dialog.receive(&inside(&Method::Message, 14)), Err(Refusal::NoDialog));
    dialog.subscription_ended();
    assert!(dialog.is_over());
}

#[test]
fn what_makes_no_dialog_is_said_so() {
    let invite = incoming(&Method::Invite, 10, "b1");
    let mut without_contact = invite.clone();
    without_contact.headers.remove(&Name::Contact);
    let busy = Response::to(&invite, Status::BUSY_HERE).with_to_tag("f1");

    assert_eq!(Dialog::uas(&invite, &busy).err(), Some(BadDialog::NoDialog));
    let untagged = Response::to(&invite, Status::OK);
    assert_eq!(Dialog::uas(&invite, &untagged).err(), Some(BadDialog::NoDialog));
    let error = Dialog::uas(&without_contact, &accepted(&invite)).unwrap_err();
    assert_eq!(error.header(), Some(&Name::Contact));
}

#[test]
fn s4538_4_a_dialog_is_named_by_call_id_and_both_tags_or_not_at_all() {
    let named = |value: &str| {
        let uri: sip::Uri = "sip:room7@example.net".parse().unwrap();
        DialogId::of_target(&Request::new(Method::Refer, uri).with(Name::TargetDialog, value))
    };

    let id = named("c1@192.0.2.10 ; local-tag=f1;Remote-Tag = a1;other=x").unwrap();
    assert_eq!((&*id.call_id, &*id.local_tag, &*id.remote_tag), ("c1@192.0.2.10", "f1", "a1"));
    for value in ["c1;local-tag=f1", "c1;remote-tag=a1", "c1", ";local-tag=f1;remote-tag=a1"] {
        assert_eq!(named(value), None, "{value}");
    }
}
