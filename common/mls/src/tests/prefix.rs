//! What the relay reads of a message without any key is what the group says it is.
use control::gate::{Content, Kind, read};
use ids::{Epoch, Era};

use super::support::{Room, room7};

#[test]
fn the_clear_prefix_of_every_kind_of_message_names_its_group_and_epoch() {
    let mut room = Room::with(1, &[("bob", 1), ("dave", 1)]);
    let sealed = room.members[0].seal("an id", b"hello").unwrap();
    room.kick("dave");
    let proposal = room.ledger.pending_proposals()[0].clone();
    let bundle = room.members[0].commit_pending(room.realm.now).unwrap();

    let private = read(&sealed).unwrap();
    assert_eq!((private.kind, private.content), (Kind::Private, Some(Content::Application)));
    for message in [&sealed, &proposal, &bundle.commit] {
        let prefix = read(message).unwrap();
        assert_eq!((prefix.conference, prefix.era), (room7(), Era(1)));
        assert_eq!(prefix.epoch, Epoch(1));
    }
    assert_eq!(read(&proposal).unwrap().kind, Kind::Public);
    assert_eq!(read(&bundle.commit).unwrap().kind, Kind::Public);
}

#[test]
fn a_group_info_names_no_epoch_to_the_relay() {
    let room = Room::with(2, &[("bob", 1)]);

    assert!(read(&room.ledger.group_state().group_info).is_err());
}
