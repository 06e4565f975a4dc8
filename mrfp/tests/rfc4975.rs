//! RFC 4975 over real sockets: which rules of it fall to the relay. Each test is named by its section.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]
mod common;
#[path = "rfc4975/receivers.rs"]
mod receivers;
#[path = "rfc4975/sessions.rs"]
mod sessions;
#[path = "rfc4975/sharing.rs"]
mod sharing;

use common::{Got, Person, Stage, id, message, seat, text};
use control::{Level, RoomNotice};
use ids::SeatId;
use msrp::{Body, ByteRange, FailureReport, Flag, SendRequest, SuccessReport};

async fn open_room() -> Stage {
    let mut stage = Stage::new().await;
    stage.open(Level::Open, None).await;
    stage
}

#[tokio::test]
async fn s5_4_the_first_request_takes_the_seat_and_a_second_connection_gets_506() {
    let mut stage = open_room().await;
    let path = stage.seat(seat(1)).await;
    let peer = seat(1).peer_path.unwrap();
    let mut first = Person::connect(&stage.ca, stage.msrp).await;
    first.aim(&path, &peer);
    let mut second = Person::connect(&stage.ca, stage.msrp).await;
    second.aim(&path, &peer);

    assert_eq!(first.ask(&SendRequest::bodiless(id("bind1"))).await.0, 200);
    stage.notice(|notice| *notice == RoomNotice::Bound { seat: SeatId(1) }).await;

    assert_eq!(second.ask(&SendRequest::bodiless(id("bind2"))).await.0, 506);
    assert_eq!(first.ask(&SendRequest::bodiless(id("alive"))).await.0, 200);
}

/// S2-NS5, S2-OS14, S3-31.
#[tokio::test]
async fn s5_4_an_unknown_to_path_gets_481_and_so_does_somebody_elses_from_path() {
    let mut stage = open_room().await;
    let path = stage.seat(seat(1)).await;
    let mut person = Person::connect(&stage.ca, stage.msrp).await;
    let peer = seat(1).peer_path.unwrap();

    person.aim("msrps://127.0.0.1:2855/nobody;tcp", &peer);
    assert_eq!(person.ask(&SendRequest::bodiless(id("bind1"))).await.0, 481);
    person.aim(&path, "msrps://ua9.example:9/u9;tcp");
    assert_eq!(person.ask(&SendRequest::bodiless(id("bind2"))).await.0, 481);
    person.aim(&path.replace(";tcp", ";ws"), &peer);
    assert_eq!(person.ask(&SendRequest::bodiless(id("bind3"))).await.0, 481);

    // None of that took the seat: whom it belongs to takes it on another connection.
    let mut owner = Person::connect(&stage.ca, stage.msrp).await;
    owner.aim(&path, &peer);
    assert_eq!(owner.ask(&SendRequest::bodiless(id("bind4"))).await.0, 200);
}

#[tokio::test]
async fn s5_4_a_lost_connection_fails_its_session_for_good() {
    let mut stage = open_room().await;
    let alice = stage.join(1).await;
    let (to, from) = alice.paths().clone();
    alice.hang_up();
    assert_eq!(stage.lost(1).await, control::Cause::Disconnected);

    let mut again = Person::connect(&stage.ca, stage.msrp).await;
    again.aim(&to.to_wire(), &from.to_wire());

    assert_eq!(again.ask(&SendRequest::bodiless(id("bind1"))).await.0, 481);
}

#[tokio::test]
async fn s5_4_two_sessions_share_a_connection_and_each_gets_its_copy() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let mut bob = stage.join(2).await;
    let mut carol = seat(3);
    carol.peer_path = Some("msrps://ua2.example:9/u3;tcp".into());
    let path = stage.seat(carol.clone()).await;
    let bobs = bob.paths().clone();
    bob.aim(&path, &carol.peer_path.unwrap());
    bob.bind().await;

    alice.ask(&message("message1", text(1, "hello"))).await;

    let mut seats = Vec::new();
    while seats.len() < 2 {
        if let Got::Chunk(chunk) = bob.next().await {
            assert_eq!(chunk.body, text(1, "hello"));
            seats.push((chunk.head.transaction(), chunk.head.from_path().to_wire()));
        }
    }
    assert_ne!(seats[0].0, seats[1].0, "each needs a transaction id of its own");
    assert!(seats.iter().any(|(_, from)| *from == bobs.0.to_wire()));
    assert!(seats.iter().any(|(_, from)| *from == path));
}

#[tokio::test]
async fn s7_1_1_and_7_1_4_the_matrix_of_failure_report_and_success_report() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let failure = [FailureReport::Yes, FailureReport::Partial, FailureReport::No];
    for (n, failure_report) in failure.into_iter().enumerate() {
        for success_report in [SuccessReport::Yes, SuccessReport::No] {
            let name = format!("m{n}{success_report:?}");
            let good = message(&format!("good{name}"), text(1, "hi"));
            let good = SendRequest { failure_report, success_report, ..good };
            let bad = message(&format!("bad{name}"), text(2, "not mine"));
            let bad = SendRequest { failure_report, success_report, ..bad };

            alice.send(&good).await;
            alice.send(&bad).await;
            let marker = alice.send(&SendRequest::bodiless(id("marker"))).await;

            let (mut ok, mut refused, mut reports) = (0, 0, 0);
            loop {
                match alice.next().await {
                    Got::Response(transaction, ..) if transaction == marker => break,
                    Got::Response(_, 200, _) => ok += 1,
                    Got::Response(_, 403, _) => refused += 1,
                    Got::Report(of, 200, range) => {
                        assert_eq!(of, good.message_id);
                        let octets = text(1, "hi").octets();
                        assert_eq!(range, format!("1-{octets}/{octets}"));
                        reports += 1;
                    }
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(ok == 1, failure_report == FailureReport::Yes, "{name}");
            assert_eq!(refused == 1, failure_report != FailureReport::No, "{name}");
            assert_eq!(reports == 1, success_report == SuccessReport::Yes, "{name}");
        }
    }
}

#[tokio::test]
async fn s7_1_1_a_bodiless_send_is_answered_and_never_relayed() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);

    assert_eq!(alice.ask(&SendRequest::bodiless(id("alive"))).await.0, 200);
    assert_eq!(alice.ask(&message("message1", text(1, "hello"))).await.0, 200);

    assert_eq!(bob.message().await, text(1, "hello"));
}

#[tokio::test]
async fn s7_1_1_chunks_over_2048_octets_are_relayed_interruptible_and_with_true_ranges() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let body = common::cpim(1, common::ROOM, "application/octet-stream", vec![b'-'; 300_000]);
    let send = message("big1", body.clone());

    alice.send(&send).await;

    let mut octets = 0;
    let got = loop {
        let Got::Chunk(chunk) = bob.next().await else { panic!() };
        assert_eq!(chunk.range.start, octets + 1);
        octets += chunk.body.octets();
        if chunk.first && chunk.body.octets() > ByteRange::UNINTERRUPTIBLE_OCTETS_MAX {
            assert_eq!(chunk.head.byte_range().end, None, "a long chunk has `*` as its end");
        }
        if let Some(body) = bob.gather(&chunk) {
            break body;
        }
    };
    assert_eq!(got, body);
}

#[tokio::test]
async fn s7_1_1_an_abort_is_passed_on() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let send = message("big1", common::cpim(1, common::ROOM, "text/plain", vec![b'x'; 5000]));
    let (first, _) = send.chunk(0, 3000);
    assert_eq!(alice.ask(&first).await.0, 200);

    let abort = SendRequest { flag: Flag::Abort, ..SendRequest::bodiless(send.message_id) };
    alice.send(&abort).await;

    let Got::Chunk(first) = bob.next().await else { panic!() };
    let Got::Chunk(last) = bob.next().await else { panic!() };
    assert_eq!((first.end, last.end), (Some(Flag::More), Some(Flag::Abort)));
    assert_eq!(first.head.message_id(), last.head.message_id());
}

#[tokio::test]
async fn s7_1_1_when_the_sender_is_lost_its_receivers_get_an_abort() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let send = message("big1", common::cpim(1, common::ROOM, "text/plain", vec![b'x'; 5000]));
    assert_eq!(alice.ask(&send.chunk(0, 3000).0).await.0, 200);

    alice.hang_up();

    let Got::Chunk(first) = bob.next().await else { panic!() };
    let Got::Chunk(last) = bob.next().await else { panic!() };
    assert_eq!((first.end, last.end), (Some(Flag::More), Some(Flag::Abort)));
}

#[tokio::test]
async fn s7_1_1_the_switch_is_a_new_sender() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let send = SendRequest {
        success_report: SuccessReport::Yes,
        headers: vec![("X-Private".into(), "42".into())],
        ..message("message1", text(1, "hello"))
    };
    let transaction = alice.send(&send).await;

    let Got::Chunk(chunk) = bob.next().await else { panic!() };

    assert_ne!(chunk.head.transaction(), transaction);
    assert_ne!(chunk.head.message_id(), Some(send.message_id));
    assert_eq!(chunk.head.success_report(), SuccessReport::No);
    assert_eq!(chunk.head.failure_report(), FailureReport::Yes);
    assert_eq!(chunk.head.headers().get("X-Private"), None);
    let last = chunk.head.headers().iter().last().unwrap();
    assert_eq!(last.0, b"Content-Type");
    assert_eq!(chunk.head.to_path().to_wire(), seat(2).peer_path.unwrap());
}

/// S3-08.
#[tokio::test]
async fn s5_4_a_repeated_message_id_is_acknowledged_and_relayed_once_even_on_a_new_seat() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let send = message("message1", text(1, "once"));
    assert_eq!(alice.ask(&send).await.0, 200);
    assert_eq!(alice.ask(&send).await.0, 200);
    alice.hang_up();
    stage.lost(1).await;
    let mut again = seat(11);
    (again.aor, again.device) = (seat(1).aor, seat(1).device);
    let mut alice = stage.join_as(again).await;

    let with_report = SendRequest { success_report: SuccessReport::Yes, ..send };
    let transaction = alice.send(&with_report).await;
    assert_eq!(alice.answer(transaction).await.0, 200);
    assert!(matches!(alice.next().await, Got::Report(_, 200, _)));
    assert_eq!(alice.ask(&message("message2", text(1, "twice"))).await.0, 200);

    assert_eq!(bob.message().await, text(1, "once"));
    assert_eq!(bob.message().await, text(1, "twice"));
    assert_eq!(stage.metric("mrfp_repeated_messages_total").await, 2.0);
}

#[tokio::test]
async fn s12_an_unknown_method_gets_501_and_a_report_gets_nothing() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let (to, from) = alice.paths().clone();
    let (to, from) = (to.to_wire(), from.to_wire());
    let paths = format!("To-Path: {to}\r\nFrom-Path: {from}\r\n");
    let report = format!(
        "MSRP report01 REPORT\r\n{paths}Message-ID: mmmm\r\nByte-Range: 1-1/1\r\nStatus: 000 200 OK\r\n-------report01$\r\n"
    );
    let other = format!("MSRP strange1 DANCE\r\n{paths}-------strange1$\r\n");

    alice.raw(report.as_bytes()).await;
    alice.raw(other.as_bytes()).await;

    let Got::Response(transaction, status, _) = alice.next().await else { panic!() };
    assert_eq!((transaction.as_str(), status), ("strange1", 501));
}

#[tokio::test]
async fn s7_3_1_a_message_of_octets_sent_one_by_one_arrives_whole() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let body = text(1, "\r\n-------\r\n");
    let send = message("slow1", body.clone());
    let (to, from) = alice.paths().clone();
    let frame = send.encode(&mut alice.rng).to(&msrp::Address::new(&to, &from));

    for octet in frame.to_bytes() {
        alice.raw(&[octet]).await;
    }

    assert_eq!(bob.message().await, body);
}

#[tokio::test]
async fn s10_a_message_over_the_rooms_limit_gets_413() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let mut send = message("huge1", text(1, "x"));
    send.range = ByteRange { start: 1, end: None, total: Some(200 * 1024 * 1024) };

    assert_eq!(alice.ask(&send).await.0, 413);
}

#[tokio::test]
async fn s7_1_1_small_messages_of_many_people_all_arrive_in_one_order() {
    let mut stage = open_room().await;
    let mut people = Vec::new();
    for n in 1..=6 {
        people.push(stage.join(n).await);
    }
    for (n, person) in (1..).zip(&mut people) {
        for k in 0..20 {
            person.send(&message(&format!("p{n}k{k:02}"), text(n, &format!("{n} {k}")))).await;
        }
    }
    let mut orders: Vec<Vec<Body>> = Vec::new();
    for person in &mut people {
        let mut order = Vec::new();
        while order.len() < 100 {
            order.push(person.message().await);
        }
        orders.push(order);
    }

    // Each misses its own; what two have in common is in one order.
    for (a, b) in orders.iter().zip(orders.iter().skip(1)) {
        let common_of_a: Vec<&Body> = a.iter().filter(|body| b.contains(body)).collect();
        let common_of_b: Vec<&Body> = b.iter().filter(|body| a.contains(body)).collect();
        assert_eq!(common_of_a, common_of_b);
        assert_eq!(common_of_a.len(), 80);
    }
    assert_eq!(stage.metric("mrfp_relayed_messages_total").await, 120.0);
}

#[tokio::test]
async fn what_one_read_brings_leaves_in_one_write_for_each_connection() {
    // Another shard would start to write as soon as it hears of the first chunk.
    let mut stage = Stage::with(|config| config.shards = 1).await;
    stage.open(Level::Open, None).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let (to, from) = alice.paths().clone();
    let address = msrp::Address::new(&to, &from);
    let mut batch = Vec::new();
    for n in 0..16 {
        let send = message(&format!("batch{n:02}"), text(1, "hello"));
        batch.extend_from_slice(&send.encode(&mut alice.rng).to(&address).to_bytes());
    }
    // A shard tells its writes together with the octets that led to them.
    let octets_in = "mrfp_relayed_bytes_total{direction=\"in\",transport=\"tls\"}";
    let octets = stage.metric(octets_in).await + f64::from(u32::try_from(batch.len()).unwrap());
    let before = stage.metric("mrfp_writes_total").await;

    alice.raw(&batch).await;
    for _ in 0..16 {
        bob.message().await;
        assert!(matches!(alice.next().await, Got::Response(_, 200, _)));
    }

    // Sixteen chunks for bob and sixteen 200s for alice: one write each, and as many more if the kernel cut the batch. Of
    // what was written before, some may be told late.
    stage.until(octets_in, |told| told >= octets).await;
    let writes = stage.metric("mrfp_writes_total").await - before;
    assert!(writes <= 8.0, "{writes} writes");
}
