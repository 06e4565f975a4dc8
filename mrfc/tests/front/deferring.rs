//! Flow F12: what reaches nobody waits in the mailbox, and goes to each device of its owner once, in order and as it was
//! sent. What its sender is told, what is refused, and what lies on disk.
use mrfc::Config;
use serde_json::json;
use sip::header::Name;
use sip::multipart::Part;
use sip::{Request, Response, Status};

use crate::listing::{entry, list};
use crate::messaging::{message, send};
use crate::people::{at, call};
use crate::phone::Phone;
use crate::relay::Manner;
use crate::world::{DOMAIN, World};

/// Gives the MRFC a mailbox with these settings.
pub(crate) fn mailbox(config: &mut Config, settings: &str) {
    let key = config.users_file.parent().unwrap().join("mailbox.key");
    if !key.exists() {
        std::fs::write(&key, "5a".repeat(32)).unwrap();
    }
    let text = format!("key_file = {key:?}\n{settings}");
    config.mailbox = Some(toml::from_str(&text).unwrap());
}

pub(crate) async fn world(settings: &str) -> World {
    World::with(Manner::Prompt, |config| mailbox(config, settings)).await
}

fn said() -> Name {
    "Conclave-Mailbox".parse().unwrap()
}

/// A message with a name, a time, and what its sender wants to be told.
pub(crate) fn letter(from: &mut Phone, to: &str, id: &str, wanted: &str, text: &str) -> Request {
    let time = time::OffsetDateTime::from(service::clock::wall());
    let time = time.format(&time::format_description::well_known::Rfc3339).unwrap();
    written(from, to, (id, wanted, &time), text)
}

fn written(
    from: &mut Phone,
    to: &str,
    (id, wanted, time): (&str, &str, &str),
    text: &str,
) -> Request {
    let body = format!(
        "From: <{}>\r\nTo: <sip:{to}@{DOMAIN}>\r\nDateTime: {time}\r\n\
         NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: {id}\r\n\
         imdn.Disposition-Notification: {wanted}\r\n\r\nContent-Type: text/plain\r\n\r\n{text}",
        from.aor
    );
    message(from, to, "message/cpim", body.as_bytes())
}

/// The next request of a phone; it answers with this.
pub(crate) async fn got(phone: &mut Phone, status: u16) -> Request {
    let (key, copy) = phone.incoming().await;
    phone.answer(key, &copy, status).await;
    copy
}

pub(crate) fn text(copy: &Request) -> String {
    String::from_utf8(copy.body.to_vec()).unwrap()
}

fn warning(response: &Response) -> String {
    response.headers.text(&Name::Warning).unwrap().into_owned()
}

/// Says something to a phone that is there, so that whatever else had to come has come before.
async fn nothing_but_this(from: &mut Phone, to: &mut Phone) {
    let user = to.aor.user().to_owned();
    let live = message(from, &user, "text/plain", b"live");
    let asked = send(from, live);
    assert_eq!(got(to, 200).await.body, &b"live"[..]);
    assert_eq!(asked.await.unwrap().status, Status::OK);
}

/// S1-13, S3-28, S3-29, S4-02, S4-03, S4-09, S4-16, MSG-03, MSG-07.
#[tokio::test]
async fn f12_what_waits_goes_to_each_device_once_in_order_and_as_it_was_sent() {
    let world = world("").await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let body: Vec<u8> = (0..=255).cycle().take(1_300).collect();
    let first = message(&mut alice, "bob", "application/x-any;v=1", &body)
        .with(Name::Subject, "hello")
        .with(said(), "deferred;accepted=\"2000-01-01T00:00:00Z\"")
        .with(Name::Date, "Sat, 21 Nov 2026 11:00:00 GMT");
    let call_id = first.headers.call_id().unwrap().into_owned();
    let second = message(&mut alice, "bob", "text/plain", b"");

    for request in [first, second] {
        let answer = alice.send(request).await;
        assert_eq!(answer.status, Status::ACCEPTED);
        assert!(answer.headers.text(&said()).unwrap().starts_with("stored;until=\""));
        assert!(answer.body.is_empty() && !answer.headers.has(&Name::Contact));
    }

    for device in [1, 2] {
        let mut bob = Phone::registered(&world, "bob", device).await;
        let (key, copy) = bob.incoming().await;
        // A refresh in between asks for nothing twice; the next one waits for this one's answer.
        assert_eq!(bob.register(3_600).await.status, Status::OK);
        bob.answer(key, &copy, 200).await;
        assert_eq!(copy.body, body);
        assert_eq!(copy.headers.text(&Name::ContentType).unwrap(), "application/x-any;v=1");
        assert_eq!(copy.headers.text(&Name::Subject).unwrap(), "hello");
        assert_eq!(copy.headers.text(&Name::Date).unwrap(), "Sat, 21 Nov 2026 11:00:00 GMT");
        assert_eq!(copy.headers.from().unwrap().uri.aor().unwrap(), alice.aor);
        let asserted = copy.headers.text(&Name::PAssertedIdentity).unwrap();
        assert_eq!(asserted, format!("<{}>", alice.aor));
        assert_ne!(copy.headers.call_id().unwrap(), call_id);
        // Its sender's word on when it came is not ours.
        let said = said();
        let deferred = copy.headers.only(&said).unwrap();
        assert!(deferred.starts_with("deferred;accepted=\"20") && !deferred.contains("2000"));
        let empty = got(&mut bob, 200).await;
        assert!(empty.body.is_empty() && empty.headers.has(&Name::Date));
        nothing_but_this(&mut alice, &mut bob).await;
        assert_eq!(bob.register(0).await.status, Status::OK);
    }
    while world.metric("mrfc_mailbox_messages_total{result=\"delivered\"}").await < 4 {
        tokio::task::yield_now().await;
    }
}

/// S4-04, S4-05.
#[tokio::test]
async fn f12_no_answer_busy_and_unavailable_wait_and_what_the_person_decided_does_not() {
    let world = World::with(Manner::Prompt, |config| {
        mailbox(config, "");
        config.messages.answer_secs = 1;
    })
    .await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    for status in [408, 480, 486, 503, 600] {
        let request = message(&mut alice, "bob", "text/plain", status.to_string().as_bytes());
        let asked = send(&alice, request);
        got(&mut bob, status).await;
        assert_eq!(asked.await.unwrap().status, Status::ACCEPTED, "{status}");
    }
    let request = message(&mut alice, "bob", "text/plain", b"late");
    let asked = send(&alice, request);
    bob.incoming().await;
    assert_eq!(asked.await.unwrap().status, Status::ACCEPTED, "no answer");
    for status in [403, 415, 603] {
        let request = message(&mut alice, "bob", "text/plain", b"no");
        let asked = send(&alice, request);
        got(&mut bob, status).await;
        assert_eq!(asked.await.unwrap().status.code(), status);
    }

    assert_eq!(bob.register(3_600).await.status, Status::OK);

    for expected in ["408", "480", "486", "503", "600", "late"] {
        assert_eq!(text(&got(&mut bob, 200).await), expected);
    }
}

#[tokio::test]
async fn f12_busy_waits_by_policy_only() {
    let world = world("on_busy = false").await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;

    let request = message(&mut alice, "bob", "text/plain", b"?");
    let asked = send(&alice, request);
    got(&mut bob, 486).await;

    assert_eq!(asked.await.unwrap().status, Status::BUSY_HERE);
    let unknown = message(&mut alice, "nobody", "text/plain", b"?");
    assert_eq!(alice.send(unknown).await.status, Status::NOT_FOUND);
    // Nobody is to see tomorrow that somebody was typing today.
    let typing = message(&mut alice, "carol", "application/im-iscomposing+xml", b"<isComposing/>");
    assert_eq!(alice.send(typing).await.status, Status::TEMPORARILY_UNAVAILABLE);
}

/// S4-06, S4-16.
#[tokio::test]
async fn f12_a_mailbox_can_be_addressed_and_says_what_it_is() {
    let world = world("").await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let uri = format!("sip:bob@{DOMAIN};mailbox");
    let mut request = message(&mut alice, "bob", "text/plain", b"read it when you like");
    request.uri = uri.parse().unwrap();

    assert_eq!(alice.send(request).await.status, Status::ACCEPTED);

    nothing_but_this(&mut alice, &mut bob).await;
    assert_eq!(bob.register(3_600).await.status, Status::OK);
    assert_eq!(text(&got(&mut bob, 200).await), "read it when you like");
    let able = alice.request("OPTIONS", &uri);
    let able = alice.send(able).await;
    let contact = able.headers.text(&Name::Contact).unwrap();
    assert!(contact.contains(";automata;actor=\"msg-taker\""), "{contact}");
}

/// S3-29.
#[tokio::test]
async fn f12_a_person_may_want_everything_to_wait_or_nothing() {
    let world = world("").await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let wish = async |version, wish: &str| {
        let (path, wish) = (at("bob", "privacy"), json!({ "mailbox": wish }));
        assert_eq!(call(&world, "bob", ("PUT", &path), Some(version), &wish).await.status, 204);
    };

    wish(0, "always").await;
    let request = message(&mut alice, "bob", "text/plain", b"not now");
    assert_eq!(alice.send(request).await.status, Status::ACCEPTED);
    wish(1, "never").await;
    nothing_but_this(&mut alice, &mut bob).await;
    bob.register(3_600).await;
    assert_eq!(text(&got(&mut bob, 200).await), "not now");
    bob.register(0).await;

    let request = message(&mut alice, "bob", "text/plain", b"gone");
    assert_eq!(alice.send(request).await.status, Status::TEMPORARILY_UNAVAILABLE);
}

/// S3-08, S4-11.
#[tokio::test]
async fn f12_a_message_that_comes_again_is_kept_once_also_after_it_was_delivered() {
    let world = world("replay_secs = 7200").await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    for _ in 0..3 {
        let again = letter(&mut alice, "bob", "m1", "", "once");
        assert_eq!(alice.send(again).await.status, Status::ACCEPTED);
    }
    // Somebody else's message may have the same name.
    let mut carol = Phone::registered(&world, "carol", 1).await;
    let hers = letter(&mut carol, "bob", "m1", "", "hers");
    assert_eq!(carol.send(hers).await.status, Status::ACCEPTED);

    let mut bob = Phone::registered(&world, "bob", 1).await;
    assert!(text(&got(&mut bob, 200).await).ends_with("once"));
    assert!(text(&got(&mut bob, 200).await).ends_with("hers"));
    bob.register(0).await;
    let again = letter(&mut alice, "bob", "m1", "", "once");
    assert_eq!(alice.send(again).await.status, Status::ACCEPTED);
    bob.register(3_600).await;
    nothing_but_this(&mut alice, &mut bob).await;
    assert_eq!(world.metric("mrfc_mailbox_messages_total{result=\"replayed\"}").await, 3);

    // What is older than all that is remembered could be anything.
    let old = ("m0", "", "2020-01-01T00:00:00Z");
    let stale = written(&mut alice, "carol", old, "old");
    carol.register(0).await;
    let answer = alice.send(stale).await;
    assert_eq!(answer.status, Status::BAD_REQUEST);
    assert!(warning(&answer).contains("too old"));
    assert_eq!(world.metric("mrfc_mailbox_messages_total{result=\"stale\"}").await, 1);
}

/// S3-08.
#[tokio::test]
async fn f12_a_wrong_clock_is_marked_and_counted() {
    let world = world("").await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let wrong = time::OffsetDateTime::from(service::clock::wall()) - time::Duration::hours(2);
    let wrong = wrong.format(&time::format_description::well_known::Rfc3339).unwrap();
    let request = written(&mut alice, "bob", ("m1", "", &wrong), "when?");

    assert_eq!(alice.send(request).await.status, Status::ACCEPTED);

    let mut bob = Phone::registered(&world, "bob", 1).await;
    let late = got(&mut bob, 200).await;
    assert!(late.headers.text(&said()).unwrap().ends_with(";skewed"));
    assert!(text(&late).contains(&wrong), "its own time stays");
    assert_eq!(world.metric("mrfc_mailbox_clock_skew_total").await, 1);
}

#[tokio::test]
async fn f12_a_full_mailbox_says_so_and_nobody_fills_it_alone() {
    let world = world("letters_max = 3\nsender_letters_max = 2\noctets_max = 100").await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut carol = Phone::registered(&world, "carol", 1).await;
    let large = message(&mut alice, "bob", "text/plain", &[b'x'; 101]);
    assert_eq!(alice.send(large).await.status, Status::REQUEST_ENTITY_TOO_LARGE);
    for _ in 0..2 {
        let fits = message(&mut alice, "bob", "text/plain", b"fits");
        assert_eq!(alice.send(fits).await.status, Status::ACCEPTED);
    }

    let third = message(&mut alice, "bob", "text/plain", b"third");
    let refused = alice.send(third).await;
    assert_eq!(refused.status, Status::TEMPORARILY_UNAVAILABLE);
    assert!(warning(&refused).contains("as many of your messages"), "{refused:?}");
    let octets = message(&mut carol, "bob", "text/plain", &[b'x'; 93]);
    let full = carol.send(octets).await;
    assert!(warning(&full).contains("the mailbox is full"));
    let hers = message(&mut carol, "bob", "text/plain", b"hers");
    assert_eq!(carol.send(hers).await.status, Status::ACCEPTED);
    let fourth = message(&mut carol, "bob", "text/plain", b"4");
    assert_eq!(carol.send(fourth).await.status, Status::TEMPORARILY_UNAVAILABLE);

    // What was fetched makes room.
    let mut bob = Phone::registered(&world, "bob", 1).await;
    for expected in ["fits", "fits", "hers"] {
        assert_eq!(text(&got(&mut bob, 200).await), expected);
    }
    bob.register(0).await;
    let again = message(&mut alice, "bob", "text/plain", b"again");
    assert_eq!(alice.send(again).await.status, Status::ACCEPTED);
}

/// IMDN-02, IMDN-06, IMDN-08, IMDN-09.
#[tokio::test]
async fn f12_its_sender_is_told_what_was_asked_for_once_and_nobody_of_a_notification() {
    let world = world("").await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let all = "processing, negative-delivery, positive-delivery";
    for (id, wanted) in [("silent", ""), ("refused", all), ("over", all)] {
        let mut request = letter(&mut alice, "bob", id, wanted, "hi");
        if id == "over" {
            request = request.with(Name::Expires, 2);
        }
        let asked = send(&alice, request);
        if !wanted.is_empty() {
            // Whoever is registered is told at once.
            let stored = got(&mut alice, 200).await;
            assert!(text(&stored).contains("<stored/>"), "{stored:?}");
            assert!(text(&stored).contains(&format!("<message-id>{id}</message-id>")));
            assert!(stored.headers.from().unwrap().uri.to_string().starts_with("sip:mailbox@"));
        }
        assert_eq!(asked.await.unwrap().status, Status::ACCEPTED);
    }
    // She is away when the third one's time is over, and is told all the same.
    alice.register(0).await;
    while world.metric("mrfc_mailbox_messages_total{result=\"expired\"}").await == 0 {
        tokio::task::yield_now().await;
    }
    alice.register(3_600).await;
    let expired = text(&got(&mut alice, 200).await);
    assert!(expired.contains("<failed/><expired") && expired.contains(">over<"), "{expired}");

    let (mut phone, mut tablet) =
        (Phone::registered(&world, "bob", 1).await, Phone::connect(&world, "bob", 2).await);
    assert!(text(&got(&mut phone, 200).await).contains("silent"));
    assert!(text(&got(&mut phone, 415).await).contains("refused"));
    let failed = text(&got(&mut alice, 200).await);
    assert!(failed.contains("<status><failed/></status>") && failed.contains(">refused<"));
    // Another device takes it; that it is delivered is for the device to say.
    tablet.register(3_600).await;
    assert!(text(&got(&mut tablet, 200).await).contains("silent"));
    assert!(text(&got(&mut tablet, 415).await).contains("refused"));
    nothing_but_this(&mut tablet, &mut alice).await;

    let imdn = "Content-Disposition: notification\r\nContent-Type: message/imdn+xml";
    let body = text(&letter(&mut alice, "carol", "n1", all, "<imdn/>"));
    let body = body.replace("Content-Type: text/plain", imdn);
    let notification = message(&mut alice, "carol", "message/cpim", body.as_bytes());
    assert_eq!(alice.send(notification).await.status, Status::ACCEPTED);
    nothing_but_this(&mut tablet, &mut alice).await;
}

/// S4-08.
#[tokio::test]
async fn f12_on_disk_clear_text_is_locked_and_what_is_sealed_lies_as_it_was_sent() {
    let mut world = world("").await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let clear = message(&mut alice, "bob", "text/plain", b"meet me at the old mill")
        .with(Name::Subject, "a rendezvous");
    let sealed: Vec<u8> = (0..=255).rev().collect();
    let request = message(&mut alice, "bob", "message/mls", &sealed);
    assert_eq!(alice.send(clear).await.status, Status::ACCEPTED);
    assert_eq!(alice.send(request).await.status, Status::ACCEPTED);

    let disk = world.octets_on_disk();

    let on_disk = |what: &[u8]| disk.windows(what.len()).any(|octets| octets == what);
    assert!(!on_disk(b"old mill") && !on_disk(b"rendezvous"));
    assert!(on_disk(&sealed));
    // Without its key a message is not delivered, and not lost either.
    let key = world.folder().join("mailbox.key");
    std::fs::write(&key, "77".repeat(32)).unwrap();
    world.restart().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    nothing_but_this(&mut alice, &mut bob).await;
    std::fs::write(&key, format!("{}\n{}\n", "77".repeat(32), "5a".repeat(32))).unwrap();
    world.restart().await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    assert_eq!(text(&got(&mut bob, 200).await), "meet me at the old mill");
    assert_eq!(got(&mut bob, 200).await.body, sealed);
}

/// S4-11.
#[tokio::test]
async fn f12_only_its_owner_gets_it() {
    let world = world("").await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let request = message(&mut alice, "bob", "text/plain", b"for bob");
    assert_eq!(alice.send(request).await.status, Status::ACCEPTED);
    let mut mallory = Phone::registered(&world, "mallory", 1).await;
    let mut stolen = mallory.request("REGISTER", &format!("sip:{DOMAIN}"));
    stolen.headers.set(Name::To, format!("<sip:bob@{DOMAIN}>"));

    assert_eq!(mallory.ask(stolen).await.status, Status::FORBIDDEN);

    nothing_but_this(&mut alice, &mut mallory).await;
    let mut guess = Phone::connect(&world, "bob", 1).await;
    guess.forget_password();
    assert_eq!(guess.register(3_600).await.status, Status::UNAUTHORIZED);
    let mut bob = Phone::registered(&world, "bob", 1).await;
    assert_eq!(text(&got(&mut bob, 200).await), "for bob");
}

#[tokio::test]
async fn f12_a_device_that_takes_nothing_now_is_asked_again_without_registering() {
    let world = world("").await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let request = message(&mut alice, "bob", "text/plain", b"again");
    assert_eq!(alice.send(request).await.status, Status::ACCEPTED);
    let mut bob = Phone::registered(&world, "bob", 1).await;

    assert_eq!(text(&got(&mut bob, 480).await), "again");

    assert_eq!(text(&got(&mut bob, 200).await), "again");
}

#[tokio::test]
async fn f12_f13_of_a_message_for_many_the_copy_of_who_is_not_there_waits() {
    let world = world("").await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let entries = [entry("bob", ""), entry("carol", "")].concat();
    let parts = [Part::new("text/plain", "to both"), list(&entries)];
    let (content_type, body) = sip::multipart::write(&parts, 9);
    let request = message(&mut alice, "list", &content_type, &body)
        .with(Name::Require, "recipient-list-message");

    assert_eq!(alice.send(request).await.status, Status::ACCEPTED);

    assert_eq!(text(&got(&mut bob, 200).await), "to both");
    while world.metric("mrfc_mailbox_messages_total{result=\"stored\"}").await == 0 {
        tokio::task::yield_now().await;
    }
    let mut carol = Phone::registered(&world, "carol", 1).await;
    assert_eq!(text(&got(&mut carol, 200).await), "to both");
}

#[tokio::test]
async fn f12_who_wants_to_be_hidden_stays_hidden_while_the_message_waits() {
    let world = world("").await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let request = letter(&mut alice, "bob", "m1", "", "guess who")
        .with(Name::Privacy, "user;id")
        .with(Name::Subject, "from alice");
    assert_eq!(alice.send(request).await.status, Status::ACCEPTED);

    let mut bob = Phone::registered(&world, "bob", 1).await;
    let late = got(&mut bob, 200).await;

    let wire = String::from_utf8(late.to_bytes().to_vec()).unwrap();
    assert!(!wire.contains("alice") && wire.ends_with("guess who"), "{wire}");
    assert!(wire.contains("anonymous@anonymous.invalid"), "{wire}");
}

/// S3-29.
#[tokio::test]
async fn f12_an_accepted_message_survives_the_death_of_the_program() {
    let files = crate::world::Files::make("127.0.0.1:9".parse().unwrap());
    let key = files.path("mailbox.key");
    std::fs::write(&key, "5a".repeat(32)).unwrap();
    let mut config = std::fs::read_to_string(files.config()).unwrap();
    config.push_str(&format!("[mailbox]\nkey_file = {key:?}\n"));
    std::fs::write(files.config(), config).unwrap();
    let roots = service::tls::load_roots(&files.path("ca.pem")).unwrap();
    let body: Vec<u8> = (0..=255).cycle().take(10_000).collect();

    for round in 0..3_u8 {
        let (mut child, sip) = crate::process::started(&files);
        let mut alice = Phone::at(sip, roots.clone(), ("alice", round)).await;
        assert_eq!(alice.register(3_600).await.status, Status::OK);
        let request = message(&mut alice, "bob", "application/octet-stream", &body)
            .with(Name::Subject, round);
        assert_eq!(alice.send(request).await.status, Status::ACCEPTED);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    let (mut child, sip) = crate::process::started(&files);
    let mut bob = Phone::at(sip, roots, ("bob", 1)).await;
    assert_eq!(bob.register(3_600).await.status, Status::OK);
    for round in 0..3 {
        let late = got(&mut bob, 200).await;
        assert_eq!(late.body, body);
        assert_eq!(late.headers.text(&Name::Subject).unwrap(), round.to_string());
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}
