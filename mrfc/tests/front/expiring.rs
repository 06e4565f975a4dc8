//! Flow F12: what is told of a message that nobody came for, where it is not like every other one.
use sip::Status;
use sip::header::Name;
use sip::multipart::Part;

use crate::deferring::{got, letter, text, world};
use crate::messaging::message;
use crate::phone::Phone;

/// IMDN-06: at first contact something stands beside what is sealed, and its sender is told all the same.
#[tokio::test]
async fn f12_the_sender_of_what_is_sealed_is_told_that_its_time_is_over() {
    let world = world("").await;
    let mut alice = Phone::registered(&world, "alice", 1).await;
    let sealed = text(&letter(&mut alice, "bob", "m1", "negative-delivery", "sealed"));
    let sealed = sealed.replace("Content-Type: text/plain", "Content-Type: message/mls");
    let founding = Part::new("application/vnd.conclave.founding", "founding");
    let parts = [founding, Part::new("message/cpim", sealed)];
    let (content_type, body) = sip::multipart::write(&parts, 9);
    let request = message(&mut alice, "bob", &content_type, &body).with(Name::Expires, 1);

    assert_eq!(alice.send(request).await.status, Status::ACCEPTED);

    let expired = text(&got(&mut alice, 200).await);
    assert!(expired.contains("<failed/><expired") && expired.contains(">m1<"), "{expired}");
}
