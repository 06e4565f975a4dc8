//! Who is on hold (RFC 3264, 8.4) keeps the seat, and nothing that others say is sent there.
use control::Seat;

use crate::common::{Got, aor, cpim, message, seat, text};
use crate::open_room;

#[tokio::test]
async fn r3264_8_4_nothing_of_others_is_sent_to_who_is_on_hold_and_the_next_message_is_after_it() {
    let mut stage = open_room().await;
    let (mut alice, mut bob) = (stage.join(1).await, stage.join(2).await);
    let mut carol = stage.join(3).await;

    stage.seat(Seat { held: true, ..seat(2) }).await;
    assert_eq!(alice.ask(&message("first", text(1, "to carol"))).await.0, 200);
    let long = cpim(1, crate::common::ROOM, "image/png", vec![b'x'; 200_000]);
    assert_eq!(alice.ask(&message("image", long.clone())).await.0, 200);
    let whisper = cpim(1, &aor(2), "text/plain", "for you");
    assert_eq!(alice.ask(&message("whisper", whisper)).await.0, 428);
    // It may still speak, unless it is muted as well.
    assert_eq!(bob.ask(&message("held", text(2, "from hold"))).await.0, 200);
    stage.seat(seat(2)).await;
    assert_eq!(alice.ask(&message("second", text(1, "to both"))).await.0, 200);

    assert_eq!(carol.message().await, text(1, "to carol"));
    assert_eq!(carol.message().await, long);
    assert_eq!(carol.message().await, text(2, "from hold"));
    let Got::Chunk(first) = bob.next().await else { panic!() };
    assert_eq!(first.body, text(1, "to both"));
    let dropped = stage.metric("mrfp_dropped_chunks_total{reason=\"content_type\"}").await;
    assert_eq!(dropped, 0.0);
}
