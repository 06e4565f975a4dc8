//! What a participant does not take is not sent there (RFC 7701, 6.1; RFC 4975, 8.6).
use control::Seat;

use crate::common::{Got, Person, ROOM, Stage, aor, cpim, message, seat, text};
use crate::open_room;

/// A participant whose SDP lists these wrapped types.
async fn join_taking(stage: &mut Stage, n: u64, types: &[&str]) -> Person {
    let accept_wrapped_types = types.iter().map(|one| (*one).to_owned()).collect();
    stage.join_as(Seat { accept_wrapped_types, ..seat(n) }).await
}

#[tokio::test]
async fn m7701_09_content_that_one_does_not_take_goes_to_the_others_and_is_counted() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let mut bob = join_taking(&mut stage, 2, &["text/plain", "application/*"]).await;
    let mut carol = stage.join(3).await;
    let picture = cpim(1, ROOM, "image/png", "pixels");
    let typing = cpim(1, ROOM, "Application/im-iscomposing+xml", "<xml/>");

    assert_eq!(alice.ask(&message("image", picture.clone())).await.0, 200);
    assert_eq!(alice.ask(&message("typing", typing.clone())).await.0, 200);
    let utf8 = cpim(1, ROOM, "TEXT/plain;charset=utf-8", "hello");
    assert_eq!(alice.ask(&message("hello", utf8.clone())).await.0, 200);

    assert_eq!(carol.message().await, picture);
    assert_eq!(bob.message().await, typing, "the picture was not for bob");
    assert_eq!(bob.message().await, utf8);
    let dropped = stage.metric("mrfp_dropped_chunks_total{reason=\"content_type\"}").await;
    assert_eq!(dropped, 1.0);
}

#[tokio::test]
async fn m4975_51_no_chunk_of_a_long_message_goes_to_who_does_not_take_it() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let mut bob = join_taking(&mut stage, 2, &["text/plain"]).await;
    let mut carol = stage.join(3).await;
    let picture = cpim(1, ROOM, "image/png", vec![b'x'; 200_000]);

    assert_eq!(alice.ask(&message("image", picture.clone())).await.0, 200);
    assert_eq!(alice.ask(&message("after", text(1, "after"))).await.0, 200);

    assert_eq!(carol.message().await, picture);
    let Got::Chunk(first) = bob.next().await else { panic!() };
    assert_eq!(first.body, text(1, "after"));
}

#[tokio::test]
async fn m7701_09_what_somebody_takes_may_change_while_they_sit() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let mut bob = join_taking(&mut stage, 2, &["text/plain"]).await;
    let picture = cpim(1, ROOM, "image/png", "pixels");
    assert_eq!(alice.ask(&message("image1", picture.clone())).await.0, 200);

    stage.seat(Seat { accept_wrapped_types: vec!["*".into()], ..seat(2) }).await;
    assert_eq!(alice.ask(&message("image2", picture.clone())).await.0, 200);

    assert_eq!(bob.message().await, picture);
    let next = alice.ask(&message("after", text(1, "after"))).await;
    assert_eq!(next.0, 200);
    assert_eq!(bob.message().await, text(1, "after"), "the first picture was not kept for later");
}

#[tokio::test]
async fn m7701_09_a_private_message_that_no_session_of_its_recipient_takes_gets_415() {
    let mut stage = open_room().await;
    let mut alice = stage.join(1).await;
    let mut bob = join_taking(&mut stage, 2, &["text/plain"]).await;
    let picture = cpim(1, &aor(2), "image/png", "pixels");
    assert_eq!(alice.ask(&message("image1", picture.clone())).await.0, 415);

    let tablet = Seat { aor: seat(2).aor, ..seat(12) };
    let mut tablet = stage.join_as(tablet).await;
    assert_eq!(alice.ask(&message("image2", picture.clone())).await.0, 200);
    assert_eq!(alice.ask(&message("after", text(1, "after"))).await.0, 200);

    assert_eq!(tablet.message().await, picture);
    assert_eq!(bob.message().await, text(1, "after"));
    let refused = stage.metric("mrfp_refusals_total{reason=\"recipient_type\"}").await;
    assert_eq!(refused, 1.0);
}
