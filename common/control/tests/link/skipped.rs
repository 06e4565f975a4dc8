//! What a focus learns of keys that the relay has had before.
use control::{FocusLink, Limits};
use ids::Key;

use crate::up;
use crate::world::{broadcast, open, room};

#[test]
fn a_focus_is_told_once_after_each_greeting_how_far_the_keys_of_a_room_have_come() {
    let mut world = up(Limits::default());
    for order in [open(0), broadcast(0, 7, None), broadcast(0, 90, None)] {
        world.focus.order(order).unwrap();
    }
    world.settle();
    assert_eq!(world.skipped, [], "nothing was skipped");

    world.cut(false);
    world.focus = FocusLink::new("focus-0", "focus-run-2", Limits::default());
    for order in [open(0), broadcast(0, 7, None), broadcast(0, 8, None)] {
        world.focus.order(order).unwrap();
    }
    world.connect();
    world.settle();

    assert_eq!(world.skipped, [Key(90)]);
    assert_eq!(world.rooms.broadcasts, [(room(0), Key(7)), (room(0), Key(90))]);
}
