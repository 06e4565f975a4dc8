//! What passes through a relay, and what does not.
use std::collections::HashSet;

use bytes::Bytes;
use msrp::{Body, Flag, Item, MessageId, SendRequest, Status, TransactionId};

use crate::client::text;
use crate::world::World;

#[tokio::test]
async fn m4976_13_a_message_comes_with_the_relays_uri_moved_and_all_else_as_it_was() {
    let mut world = World::new().await;
    let (mut alice, mut bob, paths) = world.pair().await;
    let headers = vec![("X-Colour".to_owned(), "blue".to_owned())];
    let sent = SendRequest { headers, ..text("msg1", "Hello") };

    alice.send(&paths.to_bob, &sent).await;
    let chunk = bob.request().await;

    assert_eq!(chunk.head.to_path().to_wire(), bob.own);
    assert_eq!(chunk.head.from_path().to_wire(), format!("{} {}", paths.relay, alice.own));
    assert_eq!(chunk.head.message_id(), MessageId::parse(b"msg1"));
    assert_eq!(chunk.head.headers().get("X-Colour"), Some(&b"blue"[..]));
    assert_eq!(chunk.head.byte_range().to_string(), "1-5/5");
    assert_eq!((chunk.body.gather(), chunk.end), ("Hello".into(), Some(Flag::End)));
}

#[tokio::test]
async fn m4976_10_the_previous_hop_has_its_200_though_the_next_says_nothing() {
    let mut world = World::new().await;
    let (mut alice, mut bob, paths) = world.pair().await;

    let transaction = alice.send(&paths.to_bob, &text("msg1", "Hello")).await;
    let head = alice.response().await;

    assert_eq!((head.transaction(), head.status()), (transaction, Some(Status::OK)));
    // To the previous hop only.
    assert_eq!((head.to_path().to_wire(), head.from_path().to_wire()), (alice.own, paths.relay));
    assert_eq!(bob.request().await.body.gather(), "Hello");
}

#[tokio::test]
async fn m4976_09_each_hop_has_transaction_ids_of_its_own() {
    let mut world = World::new().await;
    let (mut alice, mut bob, paths) = world.pair().await;
    let mut carol = world.client("carol").await;
    let same = TransactionId::parse(b"same0001").unwrap();

    // Two others use one id, and the relay sends both to alice.
    for (client, name) in [(&mut bob, "bobs1"), (&mut carol, "carols1")] {
        let address =
            msrp::Address::new(&paths.to_alice.parse().unwrap(), &client.own.parse().unwrap());
        let frame = text(name, "x").encode_as(same).unwrap().to(&address);
        client.raw(&frame.to_bytes()).await;
        assert_eq!(client.response().await.transaction(), same);
    }

    let mut seen = HashSet::from([same]);
    for _ in 0..2 {
        assert!(seen.insert(alice.message().await.0.transaction()));
    }
}

#[tokio::test]
async fn m4976_08_a_third_party_reaches_the_owner_of_a_uri_and_nobody_else() {
    let mut world = World::new().await;
    let (mut alice, mut bob, paths) = world.pair().await;
    let mut mallory = world.client("mallory").await;

    // It names bob behind alice's URI.
    mallory.send(&paths.to_bob, &text("evil1", "to bob?")).await;
    assert_eq!(mallory.response().await.status(), Some(Status::OK));
    assert_eq!(alice.message().await.1, "to bob?");
    // It has no URI of its own.
    for to in [bob.own.clone(), format!("{} {}", bob.own, alice.own)] {
        mallory.send(&to, &text("evil2", "x")).await;
        assert_eq!(mallory.response().await.status(), Some(Status::NO_SUCH_SESSION));
    }

    alice.send(&paths.to_bob, &text("good1", "mine")).await;
    assert_eq!(bob.message().await.1, "mine");
}

#[tokio::test]
async fn m4976_08_nobody_is_dialled_for_a_client_unless_the_operator_allows_it() {
    // All but the host is allowed.
    let mut world = World::with(|config| {
        config.msrp.peer_ca_file = Some(config.control.ca_file.clone());
        config.relay.private_next_hops = true;
    })
    .await;
    let (mut alice, uri) = world.member("alice").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let inside = format!("msrps://localhost:{}/x;tcp", listener.local_addr().unwrap().port());

    alice.send(&format!("{uri} {inside}"), &text("scan1", "x")).await;

    assert_eq!(alice.response().await.status(), Some(Status::OK));
    let report = alice.request().await.head;
    assert_eq!(report.report_status().unwrap().status, Status::TIMEOUT);
    let nobody = tokio::time::timeout(std::time::Duration::from_millis(100), listener.accept());
    assert!(nobody.await.is_err(), "somebody has been dialled");
}

#[tokio::test]
async fn m4976_13_what_names_no_uri_of_ours_is_discarded_and_its_sender_told_if_it_wants_to_know() {
    let mut world = World::new().await;
    let (mut alice, _bob, paths) = world.pair().await;
    let unknown = paths.to_bob.replace("localhost", "elsewhere");

    let no = SendRequest { failure_report: msrp::FailureReport::No, ..text("msg1", "x") };
    alice.send(&unknown, &no).await;
    let partial = SendRequest { failure_report: msrp::FailureReport::Partial, ..text("msg2", "x") };
    let partial = alice.send(&unknown, &partial).await;
    let yes = alice.send(&unknown, &text("msg3", "x")).await;

    for transaction in [partial, yes] {
        let head = alice.response().await;
        assert_eq!(head.transaction(), transaction);
        assert_eq!(head.status(), Some(Status::NO_SUCH_SESSION));
    }
    let refused = "mrfp_transit_refusals_total{reason=\"not_ours\"}";
    assert_eq!(world.stage.metric(refused).await, 3.0);
}

#[tokio::test]
async fn m4976_12_a_long_message_passes_in_pieces_that_say_what_they_carry() {
    let mut world = World::new().await;
    let (mut alice, mut bob, paths) = world.pair().await;
    let octets: Vec<u8> = (0..300_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let id = MessageId::parse(b"long1").unwrap();
    let sent = SendRequest::whole(id, "image/png", Body::from(Bytes::from(octets.clone())));

    alice.send(&paths.to_bob, &sent).await;

    let mut got = Vec::new();
    loop {
        let chunk = bob.request().await;
        // The client's decoder cuts a request as the relay's does: only its first piece has the announced start.
        if chunk.first {
            let announced = chunk.head.byte_range();
            assert_eq!(announced.start, u64::try_from(got.len()).unwrap() + 1);
            assert_eq!((announced.end, announced.total), (None, Some(300_000)));
        }
        got.extend_from_slice(&chunk.body.gather());
        if chunk.end.is_some() {
            bob.reply(&chunk.head, Status::OK).await;
        }
        if chunk.end == Some(Flag::End) {
            break;
        }
    }
    assert!(got == octets);
    assert_eq!(alice.response().await.status(), Some(Status::OK));
}

#[tokio::test]
async fn m4976_12_chunks_of_two_messages_are_never_joined() {
    let mut world = World::new().await;
    let (mut alice, mut bob, paths) = world.pair().await;
    let (one, two) = (text("one1", "aaaa"), text("two1", "bbbb"));

    for (send, from, to) in [(&one, 0, 2), (&two, 0, 2), (&one, 2, 4), (&two, 2, 4)] {
        alice.send(&paths.to_bob, &send.chunk(from, to - from).0).await;
    }

    let mut got = Vec::new();
    for _ in 0..4 {
        let chunk = bob.request().await;
        let id = chunk.head.message_id().unwrap().to_string();
        got.push((id, chunk.head.byte_range().to_string(), chunk.body.gather(), chunk.flag()));
        bob.reply(&chunk.head, Status::OK).await;
    }
    let expected = [
        ("one1", "1-2/4", "aa", Flag::More),
        ("two1", "1-2/4", "bb", Flag::More),
        ("one1", "3-4/4", "aa", Flag::End),
        ("two1", "3-4/4", "bb", Flag::End),
    ];
    let expected =
        expected.map(|(id, range, text, flag)| (id.into(), range.into(), text.into(), flag));
    assert_eq!(got, expected);
}

#[tokio::test]
async fn m4976_14_reports_and_methods_that_nobody_knows_pass_too() {
    let mut world = World::new().await;
    let (mut alice, mut bob, paths) = world.pair().await;
    let head = |method: &str, to: &str, from: &str| {
        format!("MSRP aaaa1111 {method}\r\nTo-Path: {to}\r\nFrom-Path: {from}\r\n")
    };

    let report =
        "Message-ID: msg1\r\nByte-Range: 1-5/5\r\nStatus: 000 200 OK\r\n-------aaaa1111$\r\n";
    let path = paths.to_alice.clone();
    let own = bob.own.clone();
    bob.raw(format!("{}{report}", head("REPORT", &path, &own)).as_bytes()).await;
    let foo = "X-Question: why\r\n-------aaaa1111$\r\n";
    let own = alice.own.clone();
    alice.raw(format!("{}{foo}", head("FOO", &paths.to_bob, &own)).as_bytes()).await;

    let got = alice.request().await.head;
    assert_eq!(got.method().unwrap().as_str(), "REPORT");
    assert_eq!(got.from_path().to_wire(), format!("{} {}", paths.relay, bob.own));
    assert_eq!(got.report_status().unwrap().status, Status::OK);
    let got = bob.request().await.head;
    assert_eq!(got.method().unwrap().as_str(), "FOO");
    assert_eq!(got.headers().get("X-Question"), Some(&b"why"[..]));
    // Its far end may answer, and the answer finds the way back.
    bob.reply(&got, Status::UNKNOWN_METHOD).await;
    let answer = alice.response().await;
    assert_eq!(answer.transaction().as_str(), "aaaa1111");
    assert_eq!(answer.status(), Some(Status::UNKNOWN_METHOD));
    assert_eq!(answer.from_path().to_wire(), format!("{} {}", paths.relay, bob.own));
}

#[tokio::test]
async fn m4976_14_a_method_that_nobody_knows_and_that_may_not_pass_has_no_answer() {
    let mut world = World::new().await;
    let (mut alice, _bob, paths) = world.pair().await;
    let unknown = paths.to_bob.replace("localhost", "elsewhere");

    let foo = format!(
        "MSRP aaaa1111 FOO\r\nTo-Path: {unknown}\r\nFrom-Path: {}\r\n-------aaaa1111$\r\n",
        alice.own
    );
    alice.raw(foo.as_bytes()).await;
    let after = alice.send(&unknown, &text("msg1", "x")).await;

    assert_eq!(alice.response().await.transaction(), after);
}

#[tokio::test]
async fn two_clients_of_one_relay_talk_over_both_their_uris() {
    let mut world = World::new().await;
    let (mut alice, at_a) = world.member("alice").await;
    let (mut bob, at_b) = world.member("bob").await;

    // M4976-19: To-Path is the own Use-Path and then the peer's path, which is its Use-Path backwards and then itself.
    let to_bob = format!("{at_a} {at_b} {}", bob.own);
    alice.send(&to_bob, &text("msg1", "Hello")).await;
    let (head, body) = bob.message().await;

    assert_eq!(body, "Hello");
    assert_eq!(head.to_path().to_wire(), bob.own);
    assert_eq!(head.from_path().to_wire(), format!("{at_b} {at_a} {}", alice.own));
    assert_eq!(alice.response().await.status(), Some(Status::OK));
    bob.send(&format!("{at_b} {at_a} {}", alice.own), &text("msg2", "Hi")).await;
    assert_eq!(alice.message().await.1, "Hi");
}

#[tokio::test]
async fn a_message_that_its_sender_leaves_unfinished_is_ended_for_its_receiver() {
    let mut world = World::new().await;
    let (alice, mut bob, paths) = world.pair().await;
    let mut alice = alice;
    alice.send(&paths.to_bob, &text("msg1", "Hello").chunk(0, 2).0).await;
    assert_eq!(bob.request().await.flag(), Flag::More);

    drop(alice);

    let chunk = bob.request().await;
    assert_eq!(
        (chunk.end, chunk.head.message_id()),
        (Some(Flag::Abort), MessageId::parse(b"msg1"))
    );
    assert_eq!(chunk.head.byte_range().start, 3);
}

#[tokio::test]
async fn a_connection_that_only_passes_things_on_is_not_taken_for_an_idle_one() {
    let mut world = World::with(|config| config.limits.first_request_secs = 1).await;
    let (mut alice, mut bob, paths) = world.pair().await;
    let mut idle = world.client("idle").await;

    // The relay looks at who is idle, and ends one of the three.
    assert!(idle.next().await.is_none());

    alice.send(&paths.to_bob, &text("msg1", "Hello")).await;
    assert_eq!(bob.message().await.1, "Hello");
    assert!(matches!(alice.next().await, Some(Item::Response(_))));
}

#[tokio::test]
async fn m4976_16_nothing_passes_to_a_uri_of_tls_that_came_without() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listen = |config: &mut mrfp::Config| {
        config.msrp.protected_listen = Some("127.0.0.1:0".parse().unwrap());
    };
    let mut world = World::with(listen).await;
    let (alice, uri) = world.member("alice").await;
    let there = world.stage.ready.protected.unwrap();
    let mut mallory = tokio::net::TcpStream::connect(there).await.unwrap();

    let request = format!(
        "MSRP tid12345 SEND\r\nTo-Path: {uri} {}\r\nFrom-Path: msrp://m.example:9/m;tcp\r\n\
         Message-ID: msg1\r\nByte-Range: 1-2/2\r\nContent-Type: text/plain\r\n\r\nHi\r\n\
         -------tid12345$\r\n",
        alice.own
    );
    mallory.write_all(request.as_bytes()).await.unwrap();

    let mut answer = [0; 17];
    mallory.read_exact(&mut answer).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "MSRP tid12345 481");
}

#[tokio::test]
async fn m4976_13_a_path_that_is_full_is_refused_here_and_breaks_no_connection_further_on() {
    let mut world = World::new().await;
    let (mut alice, mut bob, paths) = world.pair().await;
    let own = std::mem::take(&mut bob.own);

    for (uris, name) in [(16, "h"), (1, "x".repeat(8130).as_str())] {
        let hop = format!("msrps://hop.example:9/{name};tcp");
        bob.own = vec![hop; uris].join(" ");
        bob.send(&paths.to_alice, &text("msg1", "x")).await;
        assert_eq!(bob.response().await.status(), Some(Status::BAD_REQUEST));
    }
    bob.own = own;
    bob.send(&paths.to_alice, &text("msg2", "Hi")).await;

    assert_eq!(alice.message().await.1, "Hi");
    let refused = "mrfp_transit_refusals_total{reason=\"too_long\"}";
    assert_eq!(world.stage.metric(refused).await, 2.0);
}

#[tokio::test]
async fn m4976_14_an_answer_whose_path_is_full_ends_here_and_who_asked_is_told() {
    let mut world = World::new().await;
    let (mut alice, mut bob, paths) = world.pair().await;

    alice.ask(&paths.to_bob, &[]).await;
    let head = bob.request().await.head;
    let answer = format!(
        "MSRP {} 200 OK\r\nTo-Path: {}\r\nFrom-Path: {}\r\n-------{0}$\r\n",
        head.transaction(),
        head.from_path().to_wire(),
        vec![bob.own.as_str(); 16].join(" "),
    );
    bob.raw(answer.as_bytes()).await;

    assert_eq!(alice.response().await.status(), Some(Status::TIMEOUT));
    alice.send(&paths.to_bob, &text("msg1", "Hi")).await;
    assert_eq!(bob.message().await.1, "Hi");
}

#[tokio::test]
async fn m4976_11_what_one_sender_may_not_go_on_with_another_behind_the_same_relay_may() {
    let mut world = World::new().await;
    let (mut alice, mut hop, paths) = world.pair().await;
    let from = |name: &str| format!("msrps://hop.example:9/h;tcp msrps://{name}.example:9/u;tcp");
    let whole = text("msg1", "Hello, world");
    let (first, _) = whole.chunk(0, 5);

    for (name, status) in [("carol", Status::OK), ("bob", Status::STOP_SENDING)] {
        hop.own = from(name);
        hop.send(&paths.to_alice, &first).await;
        let head = loop {
            let chunk = alice.request().await;
            if chunk.end != Some(Flag::Abort) {
                break chunk.head;
            }
        };
        alice.reply(&head, status).await;
    }
    // Bob's refusal has been told, so it is known.
    while !matches!(hop.next().await, Some(Item::Request(_))) {}
    hop.own = from("carol");
    hop.send(&paths.to_alice, &whole.chunk(5, 100).0).await;

    let rest = loop {
        let chunk = alice.request().await;
        if chunk.end != Some(Flag::Abort) {
            break chunk;
        }
    };
    assert_eq!(rest.body.gather(), ", world");
    assert!(rest.head.from_path().to_wire().ends_with(&from("carol")));
}

#[tokio::test]
async fn both_of_two_senders_behind_one_relay_that_goes_away_are_ended_whatever_they_call_their_message()
 {
    let mut world = World::new().await;
    let (mut alice, mut hop, paths) = world.pair().await;
    for name in ["bob", "carol"] {
        hop.own = format!("msrps://hop.example:9/h;tcp msrps://{name}.example:9/u;tcp");
        hop.send(&paths.to_alice, &text("msg1", "Hello").chunk(0, 2).0).await;
        assert_eq!(alice.request().await.flag(), Flag::More);
    }

    drop(hop);

    let mut ended = HashSet::new();
    for _ in 0..2 {
        let chunk = alice.request().await;
        assert_eq!(chunk.end, Some(Flag::Abort));
        ended.insert(chunk.head.from_path().to_wire());
    }
    assert_eq!(ended.len(), 2);
}
