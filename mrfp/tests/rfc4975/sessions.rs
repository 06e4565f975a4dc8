//! Which session a request belongs to, and what the relay makes of odd but legal requests.
use control::{Level, Match, RoomOrder, Seat};
use msrp::{ByteRange, Flag, Path, SendRequest};

use crate::common::{Got, Person, ROOM, Stage, cpim, id, message, seat, text};
use crate::open_room;

/// Asks for the session at `to`, as `from`.
async fn ask_at(person: &mut Person, to: &str, from: &str) -> u16 {
    person.aim(to, from);
    person.ask(&SendRequest::bodiless(id("probe"))).await.0
}

#[tokio::test]
async fn m4975_22_paths_are_compared_as_uris_and_session_ids_to_the_letter() {
    let mut stage = open_room().await;
    let path = stage.seat(seat(1)).await;
    let peer = seat(1).peer_path.unwrap();
    let mut person = Person::connect(&stage.ca, stage.msrp).await;
    let id_at = path.rfind('/').unwrap() + 1;
    let other_case: String = path
        .char_indices()
        .map(|(at, c)| match c {
            c if at < id_at => c,
            c if c.is_ascii_lowercase() => c.to_ascii_uppercase(),
            c => c.to_ascii_lowercase(),
        })
        .collect();

    assert_eq!(ask_at(&mut person, &other_case, &peer).await, 481);
    assert_eq!(ask_at(&mut person, &path.replace("msrps:", "msrp:"), &peer).await, 481);
    assert_eq!(ask_at(&mut person, &path.replace("127.0.0.1", "127.0.0.2"), &peer).await, 481);
    let spelled = path.replace("msrps://", "MSRPS://me@").replace(";tcp", ";TCP;x=y");
    assert_eq!(
        ask_at(&mut person, &spelled, &peer.to_uppercase().replace("/U1", "/u1")).await,
        200
    );
}

#[tokio::test]
async fn m4975_22_an_ipv6_authority_is_compared_as_an_address() {
    let mut stage =
        Stage::with(|config| config.msrp.advertise = Some("[2001:db8::1]:2855".into())).await;
    stage.open(Level::Open, None).await;
    let ipv6 = Seat { peer_path: Some("msrps://[2001:DB8:0:0::9]:9/u1;tcp".into()), ..seat(1) };
    let path = stage.seat(ipv6).await;
    assert!(path.starts_with("msrps://[2001:db8::1]:2855/"));
    let mut person = Person::connect(&stage.ca, stage.msrp).await;

    let long = path.replace("2001:db8::1", "2001:DB8:0:0:0:0:0:1");
    assert_eq!(ask_at(&mut person, &long, "msrps://[2001:db8::8]:9/u1;tcp").await, 481);
    assert_eq!(ask_at(&mut person, &long, "msrps://[2001:db8::9]:9/u1;tcp").await, 200);
}

#[tokio::test]
async fn m4975_41_a_session_is_used_on_its_own_connection_only() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let (of_alice, of_bob) = (alice.paths().clone(), bob.paths().clone());
    let wire = |(to, from): &(Path, Path)| (to.to_wire(), from.to_wire());
    let ((to_a, from_a), (to_b, from_b)) = (wire(&of_alice), wire(&of_bob));

    assert_eq!(ask_at(&mut alice, &to_b, &from_b).await, 506);
    assert_eq!(ask_at(&mut bob, &to_a, &from_a).await, 506);
    assert_eq!(ask_at(&mut alice, &to_a, &from_b).await, 481, "somebody else's From-Path");
    let through = format!("{to_a} msrps://beyond.example:1/x;tcp");
    assert_eq!(ask_at(&mut alice, &through, &from_a).await, 481, "more than one To-Path URI");
    assert_eq!(ask_at(&mut alice, &to_a, &from_a).await, 200);
}

#[tokio::test]
async fn p14_where_paths_are_rewritten_the_session_id_alone_finds_the_session() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let path = stage.seat(Seat { matching: Match::SessionId, ..seat(2) }).await;
    let session = path.rsplit('/').next().unwrap().to_owned();
    // What a border controller told the participant, and what the participant calls itself.
    let (told, own) =
        (format!("msrps://sbc.example:7000/{session}"), "msrps://10.0.0.7:9/mine;tcp".to_owned());
    let mut bob = Person::connect(&stage.ca, stage.msrp).await;
    assert_eq!(
        ask_at(&mut bob, &told.replace("7000/", "7000/x"), &own).await,
        481,
        "another session-id"
    );
    bob.aim(&told, &own);
    bob.bind().await;

    let mut thief = Person::connect(&stage.ca, stage.msrp).await;
    assert_eq!(ask_at(&mut thief, &told, &own).await, 506, "still bound to one connection");
    assert_eq!(ask_at(&mut thief, &path, &seat(2).peer_path.unwrap()).await, 506);
    assert_eq!(bob.ask(&message("from2", text(2, "hello"))).await.0, 200);
    assert_eq!(alice.message().await, text(2, "hello"));
    assert_eq!(alice.ask(&message("from1", text(1, "hello back"))).await.0, 200);

    let Got::Chunk(chunk) = bob.next().await else { panic!() };
    assert_eq!(chunk.head.to_path().to_wire(), own, "each end is called what it knows");
    assert_eq!(chunk.head.from_path().to_wire(), told);
}

#[tokio::test]
async fn m4975_26_a_body_that_is_too_long_for_its_method_gets_400_and_a_report_nothing() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let (to, from) = alice.paths().clone();
    let paths = format!("To-Path: {}\r\nFrom-Path: {}\r\n", to.to_wire(), from.to_wire());
    let request = |id: &str, method: &str, more: &str, octets: usize| {
        let body = "x".repeat(octets);
        format!(
            "MSRP {id} {method}\r\n{paths}{more}Content-Type: text/plain\r\n\r\n{body}\r\n-------{id}$\r\n"
        )
    };
    let report = "Message-ID: mmmm\r\nByte-Range: 1-1/1\r\nStatus: 000 200 OK\r\n";

    alice.raw(request("report01", "REPORT", report, 10_241).as_bytes()).await;
    alice.raw(request("nickname", "NICKNAME", "Use-Nickname: \"x\"\r\n", 10_241).as_bytes()).await;

    let Got::Response(transaction, status, _) = alice.next().await else { panic!() };
    assert_eq!((transaction.as_str(), status), ("nickname", 400));
    assert_eq!(alice.ask(&SendRequest::bodiless(id("alive"))).await.0, 200);
}

#[tokio::test]
async fn m4975_45_reports_of_other_namespaces_and_of_unknown_messages_change_nothing() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let (to, from) = bob.paths().clone();
    let paths = format!("To-Path: {}\r\nFrom-Path: {}\r\n", to.to_wire(), from.to_wire());
    for (id, status) in
        [("report01", "001 408"), ("report02", "000 408 late"), ("report03", "000 999")]
    {
        let report = format!(
            "MSRP {id} REPORT\r\n{paths}Message-ID: never-seen\r\nByte-Range: 1-9/9\r\nStatus: {status}\r\n-------{id}$\r\n"
        );
        bob.raw(report.as_bytes()).await;
    }

    assert_eq!(alice.ask(&message("hello", text(1, "hello"))).await.0, 200);
    assert_eq!(bob.message().await, text(1, "hello"));
}

#[tokio::test]
async fn m4975_38_the_real_length_of_a_chunk_counts_whatever_its_range_says() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let body = text(1, "hello");
    let octets = body.octets();
    let mut send = message("short", body.clone());
    send.success_report = msrp::SuccessReport::Yes;
    send.range = ByteRange { start: 1, end: Some(octets + 500), total: Some(octets + 500) };

    alice.send(&send).await;

    assert_eq!(bob.message().await, body);
    assert!(matches!(alice.next().await, Got::Response(_, 200, _)));
    let Got::Report(_, 200, range) = alice.next().await else { panic!() };
    assert_eq!(range, format!("1-{octets}/{octets}"));
}

#[tokio::test]
async fn m4975_53_a_message_that_grows_over_the_rooms_limit_ends_with_413_and_an_abort() {
    let mut stage = Stage::new().await;
    let room = control::Room {
        uri: ROOM.into(),
        term: ids::Term(1),
        level: Level::Open,
        gate: None,
        message_octets_max: 8000,
        charge: false,
        stored: None,
    };
    stage.order(RoomOrder::Open(room)).await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let mut long = message("long1", cpim(1, ROOM, "text/plain", vec![b'x'; 20_000]));
    long.range = ByteRange { start: 1, end: None, total: None };
    let chunk = |start, octets| {
        let (chunk, _) = long.chunk(start, octets);
        SendRequest { range: ByteRange { total: None, ..chunk.range }, ..chunk }
    };

    assert_eq!(alice.ask(&chunk(0, 4000)).await.0, 200);
    assert_eq!(alice.ask(&chunk(4000, 8000)).await.0, 413);
    assert_eq!(alice.ask(&chunk(12_000, 2000)).await.0, 413, "whoever goes on hears it again");

    let Got::Chunk(first) = bob.next().await else { panic!() };
    let Got::Chunk(last) = bob.next().await else { panic!() };
    assert_eq!((first.end, last.end), (Some(Flag::More), Some(Flag::Abort)));
    assert_eq!(alice.ask(&message("next1", text(1, "next"))).await.0, 200);
    assert_eq!(bob.message().await, text(1, "next"));
}

#[tokio::test]
async fn m4975_54_an_unknown_header_is_ignored_and_stays_behind() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let send = SendRequest {
        headers: vec![
            ("X-Foo".into(), "bar".into()),
            ("Content-Disposition".into(), "render".into()),
        ],
        ..message("odd01", text(1, "hello"))
    };

    assert_eq!(alice.ask(&send).await.0, 200);

    assert_eq!(bob.message().await, text(1, "hello"));
}

#[tokio::test]
async fn m4975_58_a_range_that_cannot_be_gets_400_or_413_and_costs_nothing() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let (to, from) = alice.paths().clone();
    let paths = format!("To-Path: {}\r\nFrom-Path: {}\r\n", to.to_wire(), from.to_wire());
    let ranges = [
        ("1-9999999999999/9999999999999", 413),
        ("0-9/10", 400),
        ("11-20/10", 400),
        ("99999999999999999999-*/*", 400),
        ("9223372036854775807-*/*", 400),
        ("5000000-*/*", 400),
        ("1-10", 400),
        ("-1-10/10", 400),
    ];
    for (n, (range, status)) in ranges.into_iter().enumerate() {
        let body = String::from_utf8(text(1, "x").gather().to_vec()).unwrap();
        let request = format!(
            "MSRP range{n:03} SEND\r\n{paths}Message-ID: range{n:03}\r\nByte-Range: {range}\r\n\
             Content-Type: message/cpim\r\n\r\n{body}\r\n-------range{n:03}$\r\n"
        );
        alice.raw(request.as_bytes()).await;
        let Got::Response(_, got, _) = alice.next().await else { panic!() };
        assert_eq!(got, status, "{range}");
    }
    assert_eq!(alice.ask(&message("good1", text(1, "fine"))).await.0, 200);
}

#[tokio::test]
async fn m4975_42_chunks_out_of_order_reach_the_others_and_are_reported_once_whole() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let body = cpim(
        1,
        ROOM,
        "text/plain",
        (0..9000).map(|n| b"abcdefghijklmnopqrstuvwxyz"[n % 26]).collect::<Vec<_>>(),
    );
    let octets = body.octets();
    let long =
        SendRequest { success_report: msrp::SuccessReport::Yes, ..message("mixed", body.clone()) };
    let chunk = |start, octets| long.chunk(start, octets).0;

    for part in [chunk(0, 3000), chunk(6000, 9000), chunk(5000, 2000), chunk(3000, 2000)] {
        assert_eq!(alice.ask(&part).await.0, 200);
    }

    let Got::Report(_, 200, range) = alice.next().await else { panic!() };
    assert_eq!(range, format!("1-{octets}/{octets}"));
    let mut whole = msrp::Reassembly::default();
    let got = loop {
        let Got::Chunk(chunk) = bob.next().await else { panic!() };
        let now = service::clock::now();
        match whole.add(now, &chunk).unwrap() {
            msrp::Outcome::Whole(got) => break got.body,
            msrp::Outcome::Open => {}
            msrp::Outcome::Aborted(_) => panic!(),
        }
    };
    assert_eq!(got, body);
    assert_eq!(alice.ask(&message("next1", text(1, "next"))).await.0, 200);
    while bob.message().await != text(1, "next") {}
}

#[tokio::test]
async fn m4975_44_a_message_of_several_parts_passes_an_open_room_as_it_is() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    for kind in ["mixed", "alternative"] {
        let parts = "--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\n\
                     Content-Type: text/html\r\n\r\n<p>hello</p>\r\n--b--\r\n";
        let body = cpim(1, ROOM, &format!("multipart/{kind};boundary=b"), parts);

        assert_eq!(alice.ask(&message(kind, body.clone())).await.0, 200);

        assert_eq!(bob.message().await, body);
    }
}

#[tokio::test]
async fn a_session_of_another_relay_is_told_from_one_that_is_gone() {
    let mut stage = open_room().await;
    let path = stage.seat(seat(1)).await;
    let peer = seat(1).peer_path.unwrap();
    let gone = path.replace(';', "x;");
    let misrouted = "mrfp_misrouted_sessions_total";
    let mut person = Person::connect(&stage.ca, stage.msrp).await;

    assert_eq!(ask_at(&mut person, &gone, &peer).await, 481);
    assert_eq!(stage.metric(misrouted).await, 0.0);
    for other in
        [gone.replace("127.0.0.1:", "relay2.example:"), gone.replace("127.0.0.1:", "127.0.0.2:")]
    {
        assert_eq!(ask_at(&mut person, &other, &peer).await, 481, "{other}");
    }
    assert_eq!(stage.metric(misrouted).await, 2.0);
    assert_eq!(ask_at(&mut person, &path, &peer).await, 200);
}
