//! Anonymous participants: what `Privacy` asks of a conference (RFC 3323, RFC 3325), and that nothing but the operator's
//! audit says who somebody is.
use mrfc::config::{Anonymous, Level};
use serde_json::{Value, json};
use sip::header::Name;
use sip::{Method, Request, Response, Status};

use crate::operator::{admin, get};
use crate::people::call;
use crate::phone::{Phone, Talk, good_offer};
use crate::referring::made;
use crate::relay::Manner;
use crate::watching::watch;
use crate::web::ask;
use crate::world::{DOMAIN, World};

const FIRST: &str = "sip:anonymous-1@anonymous.invalid";

async fn world(level: Level, anonymous: Anonymous) -> World {
    World::with(Manner::Prompt, |config| {
        let folder = config.https.certificate_file.parent().unwrap().to_owned();
        config.admin = Some(admin(&folder));
        config.conferences.level = level;
        config.conferences.anonymous = anonymous;
        config.conferences.notify_secs = 0;
    })
    .await
}

/// Alice's open conference; Bob has a phone.
struct Room {
    world: World,
    alice: Phone,
    bob: Phone,
    talk: Talk,
    uri: String,
    path: String,
}

async fn room() -> Room {
    let mut world = world(Level::Open, Anonymous::Participants).await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let bob = Phone::registered(&world, "bob", 1).await;
    let (talk, uri) = made(&mut world, &mut alice).await;
    let name = uri.trim_start_matches("sip:").split('@').next().unwrap();
    let path = format!("/v1/conferences/{name}");
    Room { world, alice, bob, talk, uri, path }
}

fn invite(phone: &mut Phone, uri: &str) -> Request {
    phone.request("INVITE", uri).with_body("application/sdp", good_offer())
}

/// Joins with this wish, as itself or from nobody in particular.
async fn join(phone: &mut Phone, uri: &str, privacy: &str) -> Result<Talk, Response> {
    let request = invite(phone, uri);
    let request = match privacy {
        "" => request,
        _ => request.with(Name::Privacy, privacy),
    };
    accepted(phone, request).await
}

pub(crate) async fn accepted(phone: &Phone, request: Request) -> Result<Talk, Response> {
    let response = phone.send(request.clone()).await;
    if !response.status.is_success() {
        return Err(response);
    }
    let dialog = sip::dialog::Dialog::uac(&request, &response).unwrap();
    let number = request.headers.cseq().unwrap().number;
    phone.sip.acknowledge(phone.flow, dialog.acknowledgement(number)).await;
    Ok(Talk { dialog, response })
}

fn shown_as(response: &Response) -> Option<String> {
    let name = Name::parse(b"Conclave-Shown-As").unwrap();
    Some(response.headers.text(&name)?.into_owned())
}

fn about(who: &str) -> String {
    format!("sip:{who}@{DOMAIN}")
}

/// S0-10, M7701-03.
#[tokio::test]
async fn s0_10_cevt_09_an_anonymous_participant_is_a_number_to_everybody_but_the_operator() {
    let mut room = room().await;

    let joined = join(&mut room.bob, &room.uri, "id").await.ok().unwrap();

    assert_eq!(shown_as(&joined.response), Some(format!("<{FIRST}>")));
    let seat = room.world.relay.seat().await;
    assert_eq!((seat.aor.as_str(), seat.identities.as_slice()), (FIRST, &[FIRST.to_owned()][..]));
    assert_ne!(seat.device, room.bob.device, "the relay would know the device again");
    let watch = watch(&mut room.alice, &room.uri).await;
    let xml = watch.info.to_xml();
    assert!(xml.contains(FIRST) && xml.contains("Anonymous 1"), "{xml}");
    assert!(!xml.contains("bob") && !xml.contains(&room.bob.device.to_string()), "{xml}");

    let members = get(&room.world, &format!("{}/members", room.path)).await;
    let bob = &members["members"][1];
    assert_eq!((&bob["person"], &bob["shown_as"]), (&json!(about("bob")), &json!(FIRST)));
    let line = noted(&room.world, &about("bob")).await;
    assert_eq!(line["action"], "INVITE anonymously", "{line}");
    assert_eq!(line["subject"], format!("{} {FIRST}", room.path));
    assert_eq!(line["source"], "127.0.0.1");
}

/// The last line of the audit about somebody, which is written behind the answer's back.
async fn noted(world: &World, actor: &str) -> Value {
    loop {
        let audit = get(world, &format!("/v1/audit?actor={actor}")).await;
        if let Some(line) = audit["audit"].get(0) {
            return line.clone();
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn priv_05_a_from_that_names_nobody_hides_and_none_does_not() {
    let mut room = room().await;
    let mut carol = Phone::registered(&room.world, "carol", 1).await;
    let nobody = "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=a";
    let from_nobody = |phone: &mut Phone| {
        let mut request = invite(phone, &room.uri);
        request.headers.set(Name::From, nobody);
        request
    };

    let request = from_nobody(&mut room.bob);
    let hidden = accepted(&room.bob, request).await.ok().unwrap();
    let request = from_nobody(&mut carol).with(Name::Privacy, "none");
    let named = accepted(&carol, request).await.ok().unwrap();

    assert_eq!(shown_as(&hidden.response), Some(format!("<{FIRST}>")));
    assert_eq!(shown_as(&named.response), None);
    room.world.relay.seat().await;
    assert_eq!(room.world.relay.seat().await.aor, carol.aor);
}

#[tokio::test]
async fn priv_06_where_nobody_is_anonymous_a_critical_wish_fails_as_rfc_3323_says() {
    for level in [Level::Sealed, Level::Open] {
        let mut world = world(level, Anonymous::Nobody).await;
        let mut alice = Phone::registered(&world, "alice", 1).await;
        let mut bob = Phone::registered(&world, "bob", 1).await;
        let (_talk, uri) = made(&mut world, &mut alice).await;

        for privacy in ["id", "user;header"] {
            let refused = join(&mut bob, &uri, privacy).await.err().unwrap();
            assert_eq!(refused.status, Status::ANONYMITY_DISALLOWED, "{privacy}");
            let warning = refused.headers.text(&Name::Warning).unwrap();
            assert!(warning.contains("nobody is anonymous here"), "{warning}");
        }
        let failed = join(&mut bob, &uri, "id;critical").await.err().unwrap();
        assert_eq!(failed.status, Status::SERVER_INTERNAL_ERROR);
        assert_eq!(failed.reason, "Privacy Failure: id Not Supported");
        assert!(failed.headers.has(&Name::Warning));
        let unknown = join(&mut bob, &uri, "history;critical").await.err().unwrap();
        assert_eq!(unknown.reason, "Privacy Failure: history Not Supported");
        // The media of everybody comes from the relay anyway, and so do the headers from the focus.
        assert!(join(&mut bob, &uri, "session;header;critical").await.is_ok());
    }
}

#[tokio::test]
async fn who_makes_a_conference_hides_only_where_the_configuration_says_so() {
    let factory = format!("sip:conference-factory@{DOMAIN}");
    let cases = [
        (Anonymous::Nobody, Some("nobody is anonymous here")),
        (Anonymous::Participants, Some("whoever makes a conference is known by name")),
        (Anonymous::Everybody, None),
    ];
    for (allowed, refusal) in cases {
        let world = world(Level::Open, allowed).await;
        let mut alice = Phone::registered(&world, "alice", 1).await;

        let made = join(&mut alice, &factory, "user").await;

        let warning = made.as_ref().err().map(|response| {
            assert_eq!(response.status, Status::ANONYMITY_DISALLOWED);
            response.headers.text(&Name::Warning).unwrap().into_owned()
        });
        assert_eq!(warning.is_some(), refusal.is_some(), "{allowed:?}");
        assert!(warning.unwrap_or_default().contains(refusal.unwrap_or_default()), "{allowed:?}");
    }
}

#[tokio::test]
async fn f8_an_anonymous_participant_is_put_out_by_number_and_no_answer_tells_the_name() {
    let mut room = room().await;
    join(&mut room.bob, &room.uri, "id").await.ok().unwrap();
    room.world.relay.seat().await;

    // The name of somebody who hides is the name of nobody who is here.
    for who in ["bob", "carol"] {
        let muted = format!("{}/muted/{}", room.path, about(who));
        let answer = ask(&room.world, "alice", "PUT", &muted, b"").await;
        assert_eq!(
            (answer.status, answer.what()),
            (404, format!("{} is not on the roster", about(who)))
        );
        let out = refer(&mut room.alice, &room.uri, &format!("<{};method=BYE>", about(who)));
        assert_eq!(room.alice.send(out).await.status, Status::NOT_FOUND, "{who}");
        let call = refer(&mut room.alice, &room.uri, &format!("<{}>", about(who)));
        assert_eq!(room.alice.send(call).await.status, Status::OK, "{who}");
    }
    let mute = format!("{}/muted/{FIRST}", room.path);
    assert_eq!(ask(&room.world, "alice", "PUT", &mute, b"").await.status, 204);
    assert!(room.world.relay.seat().await.muted);
    let shown = ask(&room.world, "alice", "GET", &room.path, b"").await.json();
    assert_eq!(shown["muted"], json!([FIRST]));

    let out = refer(&mut room.alice, &room.uri, &format!("<{FIRST};method=BYE>"));
    assert_eq!(room.alice.send(out).await.status, Status::OK);
    let (key, bye) = room.bob.incoming().await;
    assert_eq!(bye.method, Method::Bye);
    room.bob.answer(key, &bye, 200).await;

    let shown = ask(&room.world, "alice", "GET", &room.path, b"").await.json();
    assert_eq!(shown["banned"], json!([FIRST]), "{shown}");
    let again = join(&mut room.bob, &room.uri, "none").await.err().unwrap();
    assert_eq!(again.status, Status::FORBIDDEN);
    let banned = format!("{}/banned/{FIRST}", room.path);
    assert_eq!(ask(&room.world, "alice", "DELETE", &banned, b"").await.status, 204);
    assert!(join(&mut room.bob, &room.uri, "none").await.is_ok());
}

fn refer(phone: &mut Phone, uri: &str, to: &str) -> Request {
    let request = phone.request("REFER", uri).with(Name::ReferSub, "false");
    request.with(Name::ReferTo, to)
}

#[tokio::test]
async fn priv_02_who_has_somebody_called_and_hides_is_not_named_to_them() {
    let mut room = room().await;
    let mut carol = Phone::registered(&room.world, "carol", 1).await;
    join(&mut room.bob, &room.uri, "id").await.ok().unwrap();
    let bob = format!("{}/moderators/{FIRST}", room.path);
    assert_eq!(ask(&room.world, "alice", "PUT", &bob, b"").await.status, 204);

    // Anonymous in the conference, and by name in it but not to whom is called.
    let by_bob = refer(&mut room.bob, &room.uri, &format!("<{}>", carol.aor));
    assert_eq!(room.bob.send(by_bob).await.status, Status::OK);
    let (key, invite) = carol.incoming().await;
    let by = invite.headers.text(&Name::ReferredBy).unwrap().into_owned();
    assert_eq!(by, format!("<{FIRST}>"));
    assert!(!String::from_utf8_lossy(&invite.to_bytes()).contains("bob"));
    carol.answer(key, &invite, 486).await;

    let by_alice = refer(&mut room.alice, &room.uri, &format!("<{}>", carol.aor));
    let by_alice = by_alice.with(Name::Privacy, "id");
    assert_eq!(room.alice.send(by_alice).await.status, Status::OK);
    let (key, invite) = carol.incoming().await;
    assert!(!String::from_utf8_lossy(&invite.to_bytes()).contains("alice"), "{invite:?}");
    carol.answer(key, &invite, 486).await;
}

#[tokio::test]
async fn what_an_anonymous_participant_writes_in_the_dialog_names_nobody() {
    let mut room = room().await;
    let mut joined = join(&mut room.bob, &room.uri, "id").await.ok().unwrap();
    let cpim = format!(
        "From: <{}>\r\nTo: <{}>\r\n\r\nContent-Type: text/plain\r\n\r\nhello",
        about("bob"),
        room.uri
    );
    let message = joined.dialog.request(Method::Message).unwrap().with_body("message/cpim", cpim);

    assert_eq!(room.bob.send(message).await.status, Status::ACCEPTED);

    let (key, copy) = room.alice.incoming().await;
    room.alice.answer(key, &copy, 200).await;
    let text = String::from_utf8_lossy(&copy.to_bytes()).into_owned();
    assert!(!text.contains("bob") && text.contains("hello"), "{text}");
    assert!(!copy.headers.has(&Name::PAssertedIdentity));
    drop(room.talk);
}

#[tokio::test]
async fn who_never_wants_to_be_named_is_not_and_whoever_is_called_is_told_the_number() {
    let mut room = room().await;
    let path = format!("/v1/people/{}/privacy", about("bob"));
    let wishes = json!({ "hide_identity": true });
    let saved = call(&room.world, "bob", ("PUT", &path), Some(0), &wishes).await;
    assert_eq!(saved.status, 204);

    let call = refer(&mut room.alice, &room.uri, &format!("<{}>", about("bob")));
    assert_eq!(room.alice.send(call).await.status, Status::OK);
    let (key, invite) = room.bob.incoming().await;
    let name = Name::parse(b"Conclave-Shown-As").unwrap();
    assert_eq!(invite.headers.text(&name).unwrap(), format!("<{FIRST}>"));
    room.bob.answer(key, &invite, 486).await;

    let joined = join(&mut room.bob, &room.uri, "").await.ok().unwrap();
    assert!(shown_as(&joined.response).is_some());
}
