//! What passes, and how it looks behind the relay.
use bytes::Bytes;
use msrp::{Body, Flag, Item, SendRequest, Status, SuccessReport, TransactionId};
use rand::rngs::StdRng;
use rand::{Rng, RngCore, SeedableRng};

use crate::common::{Stage, id, seat};
use crate::peer::{Peer, pair, session, told};

fn text(name: &str, text: &'static str) -> SendRequest {
    SendRequest::whole(id(name), "text/plain", Body::from(Bytes::from_static(text.as_bytes())))
}

fn noise(octets: usize, seed: u64) -> Bytes {
    let mut noise = vec![0; octets];
    StdRng::seed_from_u64(seed).fill_bytes(&mut noise);
    noise.into()
}

#[tokio::test]
async fn m4976_13_a_message_keeps_its_headers_and_gets_the_paths_of_the_other_leg() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;

    alice
        .says
        .text(
            "MSRP tid1text SEND\r\nPATHS\r\nX-Unknown: one\r\nMessage-ID: message1\r\n\
             Byte-Range: 1-5/5\r\nSuccess-Report: yes\r\nContent-Disposition: render\r\n\
             Content-Type: text/plain;charset=UTF-8\r\n\r\nhello\r\n-------tid1text$\r\n",
        )
        .await;
    let chunk = bob.request().await;

    let headers: Vec<_> = chunk.head.headers().iter().collect();
    let written = |name: &'static str, value: &'static str| (name.as_bytes(), value.as_bytes());
    assert_eq!(
        headers,
        [
            written("Message-ID", "message1"),
            written("Byte-Range", "1-5/5"),
            written("X-Unknown", "one"),
            written("Success-Report", "yes"),
            written("Content-Disposition", "render"),
            written("Content-Type", "text/plain;charset=UTF-8"),
        ]
    );
    assert_eq!(chunk.body, b"hello"[..]);
    assert_eq!(chunk.head.to_path().to_wire(), seat(2).peer_path.unwrap());
    assert_ne!(chunk.head.transaction().as_str(), "tid1text", "M4976-09");
    let own = chunk.head.from_path().first().clone();

    // The answer of the next hop stays on its hop; its REPORT goes the whole way.
    bob.answer(&chunk.head, Status::OK).await;
    bob.says
        .text(
            "MSRP tid2report REPORT\r\nPATHS\r\nMessage-ID: message1\r\nByte-Range: 1-5/5\r\n\
             Status: 000 200 OK\r\n-------tid2report$\r\n",
        )
        .await;
    let Some(Item::Response(answer)) = alice.hears.item().await else { panic!("no answer") };
    assert_eq!((answer.transaction().as_str(), answer.status()), ("tid1text", Some(Status::OK)));
    let report = alice.request().await;
    assert_eq!(told(&report), ("message1".into(), 200, "1-5/5".into()));
    assert_eq!(report.head.to_path().to_wire(), seat(1).peer_path.unwrap());
    assert_ne!(*report.head.from_path().first(), own, "it comes from the leg of who gets it");
}

#[tokio::test]
async fn m4975_42_five_mebibytes_arrive_octet_by_octet_however_they_are_cut() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    let file = noise(5 * 1024 * 1024, 1);

    // One chunk of the whole size, then chunks of any size.
    let whole = SendRequest::whole(id("file1"), "application/octet-stream", file.clone().into());
    let (transaction, (heads, body)) = tokio::join!(alice.says.send(&whole), bob.message());
    assert!(body == file[..], "the whole chunk");
    assert!(heads.iter().all(|head| head.message_id() == Some(id("file1"))));
    assert_eq!(alice.answer_to(transaction).await, 200);

    let cut = SendRequest::whole(id("file2"), "application/octet-stream", file.clone().into());
    let mut sizes = StdRng::seed_from_u64(2);
    let sending = async {
        let mut next = Some(0);
        while let Some(start) = next {
            let octets = *[1, 100, 2048, 5000, 200_000].get(sizes.random_range(0..5)).unwrap();
            let (chunk, following) = cut.chunk(start, octets);
            alice.says.send(&chunk).await;
            next = following;
        }
    };
    let ((), (heads, body)) = tokio::join!(sending, bob.message());
    assert!(body == file[..], "the cut message");
    let mut next = 1;
    for head in heads {
        assert_eq!(head.byte_range().start, next, "M4976-12: each says what it really carries");
        next = head.byte_range().end.map_or(next, |end| end + 1);
        if head.byte_range().end.is_none() {
            break;
        }
    }
}

#[tokio::test]
async fn both_legs_send_at_once_and_nothing_is_mixed_up() {
    let mut stage = Stage::new().await;
    let (alice, bob) = session(&mut stage, false).await;
    let files = [noise(3 * 1024 * 1024, 3), noise(3 * 1024 * 1024, 4)];
    let send =
        |n: usize| SendRequest::whole(id(&format!("file{n}")), "a/b", Body::from(files[n].clone()));
    let (
        Peer { hears: mut hears_a, says: mut says_a },
        Peer { hears: mut hears_b, says: mut says_b },
    ) = (alice, bob);

    // Nobody answers, for one half of a connection knows nothing of the other.
    let gather = async |hears: &mut crate::peer::Hears| {
        let mut body = Body::new();
        loop {
            if let Some(Item::Request(chunk)) = hears.item().await {
                body.append(&chunk.body);
                if chunk.end == Some(Flag::End) {
                    return body;
                }
            }
        }
    };
    let (to_b, to_a) = (send(0), send(1));
    let (_, _, at_a, at_b) = tokio::join!(
        says_a.send(&to_b),
        says_b.send(&to_a),
        gather(&mut hears_a),
        gather(&mut hears_b)
    );

    assert!(at_b == files[0][..] && at_a == files[1][..]);
}

#[tokio::test]
async fn m4975_27_an_abort_passes_in_either_direction() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    for turn in 0..2 {
        let (from, to) = if turn == 0 { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
        let file = SendRequest::whole(id("file1"), "a/b", Body::from(noise(9000, 5)));
        let (first, next) = file.chunk(0, 4096);
        let (rest, _) = file.chunk(next.unwrap(), 4096);

        from.send(&first).await;
        from.send(&SendRequest { flag: Flag::Abort, ..rest }).await;

        assert_eq!(to.request().await.end, Some(Flag::More));
        let end = to.request().await;
        assert_eq!((end.end, end.range.start), (Some(Flag::Abort), 4097));
        // The same id may begin again, and the rest of what was aborted means nothing.
        from.send(&SendRequest { flag: Flag::Abort, ..file.chunk(8192, 4096).0 }).await;
        assert!(to.rest().await.iter().all(|item| matches!(item, Item::Response(_))));
    }
}

#[tokio::test]
async fn a_sender_that_hangs_up_ends_what_it_had_begun() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    let file = SendRequest::whole(id("file1"), "a/b", Body::from(noise(9000, 6)));
    alice.send(&file.chunk(0, 4096).0).await;
    assert_eq!(bob.request().await.end, Some(Flag::More));

    drop(alice);

    let end = bob.request().await;
    assert_eq!((end.end, end.head.message_id()), (Some(Flag::Abort), Some(id("file1"))));
    assert_eq!(stage.lost(1).await, control::Cause::Disconnected);
}

#[tokio::test]
async fn a_send_without_a_body_is_answered_and_not_passed_on() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;

    assert_eq!(alice.ask(&SendRequest::bodiless(id("alive"))).await, 200);
    alice.send(&text("message1", "hello")).await;

    assert_eq!(bob.request().await.head.message_id(), Some(id("message1")));
}

#[tokio::test]
async fn m4976_14_an_unknown_method_passes_and_its_answer_comes_back() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;

    alice.says.text("MSRP tid1ping PING\r\nPATHS\r\nX-Mine: 1\r\n-------tid1ping$\r\n").await;
    let ping = bob.request().await;
    bob.answer(&ping.head, Status::UNKNOWN_METHOD).await;

    assert_eq!(ping.head.method().map(msrp::Method::as_str), Some("PING"));
    assert_eq!(ping.head.headers().get("X-Mine"), Some(&b"1"[..]));
    let Some(Item::Response(answer)) = alice.hears.item().await else { panic!("no answer") };
    assert_eq!(answer.transaction().as_str(), "tid1ping");
    assert_eq!(answer.status(), Some(Status::UNKNOWN_METHOD));
}

#[tokio::test]
async fn s7701_7_1_a_one_to_one_session_has_no_nicknames() {
    let mut stage = Stage::new().await;
    let (mut alice, _bob) = session(&mut stage, false).await;

    alice
        .says
        .text("MSRP tid1nick NICKNAME\r\nPATHS\r\nUse-Nickname: \"ali\"\r\n-------tid1nick$\r\n")
        .await;

    let Some(Item::Response(answer)) = alice.hears.item().await else { panic!("no answer") };
    assert_eq!(answer.status(), Some(Status::FORBIDDEN));
}

#[tokio::test]
async fn m4975_10_and_11_another_connection_gets_506_and_an_unknown_session_481() {
    let mut stage = Stage::new().await;
    stage.order(pair(false)).await;
    let path = stage.seat(seat(1)).await;
    let peer = seat(1).peer_path.unwrap();
    let mut first = Peer::connect(&stage, &path, &peer).await;
    let mut second = Peer::connect(&stage, &path, &peer).await;
    let mut lost = Peer::connect(&stage, "msrps://127.0.0.1:2855/nobody;tcp", &peer).await;

    assert_eq!(first.ask(&SendRequest::bodiless(id("bind1"))).await, 200);
    assert_eq!(second.ask(&SendRequest::bodiless(id("bind2"))).await, 506);
    assert_eq!(lost.ask(&SendRequest::bodiless(id("bind3"))).await, 481);
}

#[tokio::test]
async fn a_third_leg_is_turned_down() {
    let mut stage = Stage::new().await;
    let (_alice, _bob) = session(&mut stage, false).await;

    stage.order(control::RoomOrder::Seat(seat(3))).await;

    assert_eq!(stage.lost(3).await, control::Cause::Misbehaved);
}

#[tokio::test]
async fn p13_what_comes_before_the_other_leg_is_held_and_keeps_its_order() {
    let mut stage = Stage::new().await;
    stage.order(pair(false)).await;
    let mut alice = Peer::join(&mut stage, 1).await;
    let path = stage.seat(seat(2)).await;

    assert_eq!(alice.ask(&text("message1", "first")).await, 200);
    assert_eq!(alice.ask(&text("message2", "second")).await, 200);
    let mut bob = Peer::take(&mut stage, 2, &path).await;
    alice.send(&text("message3", "third")).await;

    for expected in [&b"first"[..], b"second", b"third"] {
        assert_eq!(bob.message().await.1, *expected);
    }
}

#[tokio::test]
async fn a_head_that_the_other_side_would_not_read_gets_400_and_the_session_lives_on() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    let many = "X-Many: 1\r\n".repeat(60);
    let long = format!("X-Long: {}\r\n", "x".repeat(4000)).repeat(3);

    for (n, more) in [(1, &many), (2, &long)] {
        let send = format!(
            "MSRP tid{n}text SEND\r\nPATHS\r\nMessage-ID: message{n}\r\n{more}\
             Content-Type: text/plain\r\n\r\nhello\r\n-------tid{n}text$\r\n"
        );
        alice.says.text(&send).await;
        let transaction = TransactionId::parse(format!("tid{n}text").as_bytes()).unwrap();
        assert_eq!(alice.answer_to(transaction).await, 400);
    }
    // A REPORT has no answer; it goes no further either.
    let report = format!(
        "MSRP tid3text REPORT\r\nPATHS\r\nMessage-ID: message9\r\nByte-Range: 1-5/5\r\n{long}\
         Status: 000 200 OK\r\n-------tid3text$\r\n"
    );
    alice.says.text(&report).await;

    alice.send(&text("message3", "short")).await;
    assert_eq!(bob.message().await.1, b"short"[..]);
}

#[tokio::test]
async fn m4975_13_a_message_that_is_sent_again_is_acknowledged_and_not_passed_on() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    let message = SendRequest { success_report: SuccessReport::Yes, ..text("message1", "hello") };
    let transaction = alice.send(&message).await;
    bob.message().await;
    assert_eq!(alice.answer_to(transaction).await, 200);

    assert_eq!(alice.ask(&message).await, 200);
    alice.send(&text("message2", "other")).await;

    assert_eq!(bob.message().await.1, b"other"[..]);
}

#[tokio::test]
async fn s7_1_2_success_that_was_reported_is_reported_again_when_the_message_comes_again() {
    let mut stage = Stage::new().await;
    let (mut alice, mut bob) = session(&mut stage, false).await;
    let wants =
        |name: &str| SendRequest { success_report: SuccessReport::Yes, ..text(name, "hello") };
    let report = |name: &str, range: &str| {
        format!(
            "MSRP repo1234 REPORT\r\nPATHS\r\nMessage-ID: {name}\r\nByte-Range: {range}\r\n\
             Status: 000 200 OK\r\n-------repo1234$\r\n"
        )
    };
    for (name, range) in [("message1", "1-5/5"), ("message2", "1-3/5")] {
        alice.send(&wants(name)).await;
        bob.message().await;
        bob.says.text(&report(name, range)).await;
        assert_eq!(alice.report().await, (name.into(), 200, range.into()));
    }

    // Its connection broke before it heard of it.
    let whole = wants("message1");
    alice.send(&whole.chunk(0, 3).0).await;
    alice.send(&whole.chunk(3, 2).0).await;
    assert_eq!(alice.report().await, ("message1".into(), 200, "1-5/5".into()));
    // Of the other one nobody has said that all of it arrived, and who wants no report has none.
    for repeated in [wants("message2"), text("message1", "hello")] {
        assert_eq!(alice.ask(&repeated).await, 200);
    }
    assert!(alice.rest().await.is_empty() && bob.rest().await.is_empty());
}
