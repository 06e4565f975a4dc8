//! Flow F14 for people who are away, as SIP sees it: what the mailbox answers to whom. With devices and octets it is tested
//! in the root's `tests/`.
use mrfc::Config;
use sip::header::Name;
use sip::sdp::{Direction, Setup};
use sip::{Method, Response, Status};

use crate::pairing::{acknowledge, call, end, send};
use crate::phone::Phone;
use crate::relay::Manner;
use crate::world::{DOMAIN, World};

/// Gives the MRFC a mailbox for files.
fn files(config: &mut Config) {
    let folder = config.users_file.parent().unwrap().to_owned();
    let arriving = folder.join("arriving");
    let settings = format!(
        "[files]\nlisten = '127.0.0.1:0'\narriving = {arriving:?}\nfile_octets_max = 1000\n\
         octets_max = 1500\nsender_files_max = 2\nsessions_max = 3"
    );
    crate::deferring::mailbox(config, &settings);
    let blobs = format!("folder = {:?}", folder.join("blobs"));
    config.blobs = Some(toml::from_str(&blobs).unwrap());
}

async fn world() -> World {
    World::with(Manner::Prompt, files).await
}

/// An offer of a file, or a question for one.
fn file(way: &str, id: &str, selector: &str, more: &str) -> String {
    format!(
        "{}a={way}\r\na=file-selector:{selector}\r\na=file-transfer-id:{id}\r\n{more}",
        end("alice", "actpass")
    )
}

fn sealed(size: u64) -> String {
    let hash = ["5A"; 32].join(":");
    format!("type:application/vnd.conclave.sealed-file size:{size} hash:sha-256:{hash}")
}

async fn asked(from: &mut Phone, to: &str, body: &str) -> Response {
    call(from, to, body).answer.await.unwrap()
}

fn warning(answer: &Response) -> String {
    answer.headers.text(&Name::Warning).map(|text| text.into_owned()).unwrap_or_default()
}

/// S4-16.
#[tokio::test]
async fn f14_the_mailbox_answers_for_who_is_away_and_says_that_it_is_one() {
    let world = world().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;

    let calling = call(&mut alice, "bob", &file("sendonly", "t1", &sealed(1000), ""));
    let answer = calling.answer.await.unwrap();

    assert_eq!(answer.status, Status::OK, "{}", warning(&answer));
    let contact = answer.headers.contact().unwrap();
    assert!(contact.params.has("automata"), "{contact}");
    let kept: Name = "Conclave-Mailbox".parse().unwrap();
    assert!(answer.headers.text(&kept).unwrap().starts_with("stores;until=\""));
    let ours = sip::sdp::parse_answer(&answer.body).unwrap();
    assert_eq!(ours.setup, Some(Setup::Passive));
    assert_eq!(ours.file.as_ref().unwrap().transfer_id, "t1");
    assert!(!ours.fingerprints.is_empty() && ours.path[0].starts_with("msrps://127.0.0.1:"));
    let mut dialog = acknowledge(&alice, &calling.request, &answer, "").await;

    // What is under way is not begun again, under this name or another one.
    for id in ["t1", "t2"] {
        let again = asked(&mut alice, "bob", &file("sendonly", id, &sealed(1000), "")).await;
        assert_eq!(
            again.status.code(),
            480,
            "the quota counts what is coming: {}",
            warning(&again)
        );
        let small = asked(&mut alice, "bob", &file("sendonly", id, &sealed(400), "")).await;
        assert_eq!(small.status, Status::NOT_ACCEPTABLE_HERE);
        assert!(warning(&small).contains("under way"), "{}", warning(&small));
    }
    let bye = dialog.request(Method::Bye).unwrap();
    assert_eq!(send(&alice, bye).answer.await.unwrap().status, Status::OK);
}

/// A file that is too large, one that is not what is said, and octets that are not there.
#[tokio::test]
async fn f14_what_a_mailbox_does_not_take_or_have_is_said_at_once_and_in_words() {
    let world = world().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let range = |range: &str| format!("a=file-range:{range}\r\n");
    let plain = "type:text/plain size:10";
    for (to, body, status, words) in [
        ("bob", file("sendonly", "t1", &sealed(10 << 30), ""), 488, "larger than is kept"),
        ("bob", file("sendonly", "t1", plain, ""), 480, ""),
        ("bob", file("sendonly", "t1", &sealed(100), &range("50-100")), 488, "no such octets"),
        ("bob", file("sendonly", "t1", &sealed(100), &range("1-50")), 488, "no such octets"),
        ("bob", file("sendonly", "t1", &sealed(100), &range("1-101")), 488, "no such octets"),
        ("bob", file("recvonly", "t1", &sealed(100), ""), 480, ""),
        ("alice;mailbox", file("recvonly", "t1", &sealed(100), ""), 488, "no such file"),
        ("bob", format!("{}a=recvonly\r\n", end("alice", "actpass")), 480, ""),
        ("bob", format!("{}a=inactive\r\n", end("alice", "actpass")), 480, ""),
        ("bob", end("alice", "passive"), 488, ""),
        ("bob", file("sendonly", "t1", &sealed(100), "").replace("actpass", "passive"), 488, ""),
        ("nobody", file("sendonly", "t1", &sealed(100), ""), 404, ""),
    ] {
        let (to, at) = (to.replace(";mailbox", ""), to.contains(";mailbox"));
        let uri = format!("sip:{to}@{DOMAIN}{}", if at { ";mailbox" } else { "" });
        let request = alice.request("INVITE", &uri).with_body("application/sdp", body.clone());
        let answer = send(&alice, request).answer.await.unwrap();
        assert_eq!(answer.status.code(), status, "{to}: {body}\n{}", warning(&answer));
        assert!(warning(&answer).contains(words), "{words}: {}", warning(&answer));
    }
}

/// S4-04, S4-05. What the person decided stands, and what a mailbox would not take is answered as it was.
#[tokio::test]
async fn f14_a_file_that_no_device_takes_is_left_and_one_that_is_declined_is_not() {
    let world = World::with(Manner::Prompt, |config| {
        files(config);
        config.limits.ring_secs = 1;
        config.mailbox.as_mut().unwrap().files.as_mut().unwrap().sessions_max = 10;
    })
    .await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;
    let offer = |at: u16| {
        let selector =
            sealed(10).replacen("5A:5A", &format!("{:02X}:{:02X}", at >> 8, at & 255), 1);
        file("sendonly", &format!("t{at}"), &selector, "")
    };
    let mut ended = async |body: &str, status: Option<u16>| {
        let calling = call(&mut alice, "bob", body);
        let (key, invite) = bob.incoming().await;
        match status {
            Some(status) => bob.answer(key, &invite, status).await,
            None => bob.cancelled(key).await,
        }
        calling.answer.await.unwrap()
    };

    for status in [Some(408), Some(480), Some(486), Some(503), Some(600), None] {
        let left = ended(&offer(status.unwrap_or_default()), status).await;
        assert_eq!(left.status, Status::OK, "{status:?} {}", warning(&left));
        assert!(left.headers.contact().unwrap().params.has("automata"));
    }
    for status in [403, 488, 603] {
        assert_eq!(ended(&offer(status), Some(status)).await.status.code(), status);
    }
    let clear = file("sendonly", "clear", "type:text/plain size:10", "");
    assert_eq!(ended(&clear, Some(486)).await.status, Status::BUSY_HERE);
    let question = file("recvonly", "question", &sealed(100), "");
    assert_eq!(ended(&question, Some(486)).await.status, Status::BUSY_HERE);
}

#[tokio::test]
async fn f14_a_file_for_somebody_busy_is_left_by_policy_only() {
    let world = World::with(Manner::Prompt, |config| {
        files(config);
        config.mailbox.as_mut().unwrap().on_busy = false;
    })
    .await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let mut bob = Phone::registered(&world, "bob", 1).await;

    let calling = call(&mut alice, "bob", &file("sendonly", "t1", &sealed(10), ""));
    let (key, invite) = bob.incoming().await;
    bob.answer(key, &invite, 486).await;

    assert_eq!(calling.answer.await.unwrap().status, Status::BUSY_HERE);
}

/// S4-05, S4-16.
#[tokio::test]
async fn f12_a_mailbox_takes_messages_for_who_is_away_and_none_from_who_hides() {
    let world = world().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    for body in [end("alice", "actpass"), format!("{}a=sendonly\r\n", end("alice", "actpass"))] {
        let answer = asked(&mut alice, "bob", &body).await;
        assert_eq!(answer.status, Status::OK, "{}", warning(&answer));
        let contact = answer.headers.contact().unwrap();
        assert!(contact.params.has("automata") && contact.params.has("actor"), "{contact}");
        let ours = sip::sdp::parse_answer(&answer.body).unwrap();
        assert_eq!((ours.setup, ours.direction), (Some(Setup::Passive), Direction::RecvOnly));
        assert_eq!((ours.max_size, ours.file), (Some(16 << 20), None));
    }

    let hidden = alice.request("INVITE", &format!("sip:bob@{DOMAIN}")).with(Name::Privacy, "id");
    let hidden = hidden.with_body("application/sdp", end("alice", "actpass"));
    let answer = send(&alice, hidden).answer.await.unwrap();
    assert_eq!(answer.status, Status::TEMPORARILY_UNAVAILABLE);
}

#[tokio::test]
async fn f14_only_so_many_files_come_at_the_same_time() {
    let world = world().await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let offer = |at: u8| {
        let selector = sealed(10).replace("5A", &format!("{at:02X}"));
        file("sendonly", &format!("t{at}"), &selector, "")
    };
    for at in 0..3 {
        assert_eq!(asked(&mut alice, "bob", &offer(at)).await.status, Status::OK);
    }

    let answer = asked(&mut alice, "bob", &offer(3)).await;

    assert_eq!(answer.status, Status::BUSY_HERE);
}
