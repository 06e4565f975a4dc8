//! Keys for something else than messages: what the group key of a conference gives to other media.
use crate::{House, two};

/// S3-17, RFC 9420, 8.5.
#[tokio::test]
async fn s3_17_members_export_one_key_for_other_media_and_each_epoch_has_another() {
    let house = House::open();
    let (_alice, mut chair, _bob, seat) = two(&house).await;
    let key = chair.conference.export("audio", 32).await.unwrap();
    assert_eq!(*key, *seat.conference.export("audio", 32).await.unwrap());
    assert_ne!(*key, *seat.conference.export("video", 32).await.unwrap());

    let carol = house.guest("carol").await;
    let third = carol.join(&chair.conference).await;
    chair.are(3).await;

    let next = chair.conference.export("audio", 32).await.unwrap();
    assert_eq!(*next, *third.conference.export("audio", 32).await.unwrap());
    assert_ne!(*next, *key);
}
