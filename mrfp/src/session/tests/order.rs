//! Chunks out of order, twice, or in contradiction (RFC 4975, 7.3.1).
use super::*;

#[test]
fn m4975_42_a_message_whose_first_chunk_is_missing_is_told_so() {
    let mut scene = Scene::new(Level::Open);
    let send = whole(cpim(ROOM, "text/plain", vec![7; 100]));

    assert_eq!(scene.send(&send.chunk(20, 1000).0), Err(Refusal::Gap));
}

#[test]
fn m4975_42_of_octets_behind_a_gap_the_later_count_too() {
    let mut scene = Scene::new(Level::Sealed);
    let text = |letter: u8| whole(cpim(ROOM, SEALED, vec![letter; 100]));
    let front = text(b'a').content.as_ref().unwrap().1.len() - 100;
    let piece = |letter, start: usize, octets| text(letter).chunk(front + start, octets).0;
    scene.send(&text(b'a').chunk(0, front + 10).0).unwrap();
    for (letter, start, octets) in [(b'b', 40, 60), (b'c', 30, 20), (b'd', 45, 10), (b'e', 90, 10)]
    {
        assert_eq!(scene.send(&piece(letter, start, octets)), Ok(Admitted::Kept));
    }

    let Ok(Admitted::Whole(message)) = scene.send(&piece(b'f', 5, 30)) else { panic!() };

    let text = [(b'a', 5), (b'f', 30), (b'c', 10), (b'd', 10), (b'b', 35), (b'e', 10)];
    let wanted: Vec<u8> = text.iter().flat_map(|(letter, n)| vec![*letter; *n]).collect();
    assert_eq!(message.content().gather(), wanted);
}

#[test]
fn m4975_42_a_streamed_message_is_passed_on_in_the_order_it_comes_and_ended_when_it_is_whole() {
    let mut scene = Scene::new(Level::Open);
    let body = cpim(ROOM, "text/plain", vec![7; 9000]);
    let send = whole(body.clone());
    let octets = body.octets();
    let Ok(Admitted::Relay(first)) = scene.send(&send.chunk(0, 3000).0) else { panic!() };
    let Ok(Admitted::Relay(end)) = scene.send(&send.chunk(6000, 9000).0) else { panic!() };
    assert_eq!((end.flag(), end.range().total), (Flag::More, Some(octets)));
    let Ok(Admitted::Last(middle)) = scene.send(&send.chunk(3000, 3000).0) else { panic!() };

    let closing = middle.closing();

    assert_eq!((first.is_first(), middle.flag(), closing.flag()), (true, Flag::More, Flag::End));
    assert_eq!((closing.range().start, closing.body().len()), (octets + 1, 0));
    assert_eq!(closing.range().total, Some(octets));
    assert!(scene.session.close().is_empty(), "nothing is left open");
}

#[test]
fn m4975_42_chunks_that_contradict_each_other_end_the_message() {
    let send = whole(cpim(ROOM, "text/plain", vec![7; 9000]));
    let ends_at = |start, octets| SendRequest { flag: Flag::End, ..send.chunk(start, octets).0 };
    let mut nothing = send.chunk(7000, 1).0;
    nothing.content.iter_mut().for_each(|(_, body)| *body = Body::new());
    for later in [ends_at(7000, 100), send.chunk(7000, 1000).0, nothing] {
        let mut scene = Scene::new(Level::Open);
        scene.send(&send.chunk(0, 3000).0).unwrap();
        scene.send(&ends_at(6000, 500)).unwrap();

        assert_eq!(scene.send(&later), Err(Refusal::Contradiction));
        assert_eq!(scene.session.take_aborted().len(), 1);
    }
}

#[test]
fn m7701_07_headers_that_were_checked_do_not_come_again_with_another_sender() {
    for level in [Level::Sealed, Level::Open] {
        let mut scene = Scene::new(level);
        let content = if level == Level::Sealed { SEALED } else { "text/plain" };
        let send = whole(cpim(ROOM, content, vec![7; 9000]));
        scene.send(&send.chunk(0, 3000).0).unwrap();

        let forged = scene.send(&send.chunk(0, 10).0);

        assert_eq!(forged, Err(Refusal::Contradiction), "{level:?}");
        assert_eq!(scene.send(&send.chunk(3000, 9000).0), Err(Refusal::Contradiction));
    }
}

#[test]
fn m4975_58_octets_that_come_again_and_again_have_an_end() {
    let mut scene = Scene::new(Level::Sealed);
    let send = whole(cpim(ROOM, SEALED, vec![7; 60_000]));
    scene.send(&send.chunk(0, 3000).0).unwrap();

    let again = (0..100).map(|n| scene.send(&send.chunk(4000 + n, 50_000).0));
    let refused = again.filter(Result::is_err).count();

    assert!(refused > 90, "only {refused} of 100 were refused");
}

#[test]
fn a_message_that_could_not_be_passed_on_is_refused_to_its_end() {
    let mut scene = Scene::new(Level::Open);
    let send = whole(cpim(ROOM, "text/plain", vec![7; 9000]));
    scene.send(&send.chunk(0, 3000).0).unwrap();

    scene.session.turn_down(send.message_id, Refusal::FocusAway);

    assert_eq!(scene.send(&send.chunk(3000, 9000).0), Err(Refusal::FocusAway));
}

#[test]
fn octets_behind_a_gap_cost_no_more_than_some_pieces_however_they_come() {
    let text: Vec<u8> = (0..9000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let send = whole(cpim(ROOM, SEALED, text.clone()));
    let front = send.content.as_ref().unwrap().1.len() - text.len();
    // In order they are one piece.
    let mut scene = Scene::new(Level::Sealed);
    scene.send(&send.chunk(0, front + 10).0).unwrap();
    for at in 100..9000 {
        assert_eq!(scene.send(&send.chunk(front + at, 1).0), Ok(Admitted::Kept), "{at}");
    }
    let Ok(Admitted::Whole(message)) = scene.send(&send.chunk(front + 10, 90).0) else { panic!() };
    assert_eq!(message.content().gather(), text);

    // From the last to the first each is a piece of its own, and nobody sends like that.
    let mut scene = Scene::new(Level::Sealed);
    scene.send(&send.chunk(0, front + 10).0).unwrap();
    let kept = (100..9000)
        .rev()
        .take_while(|at| scene.send(&send.chunk(front + at, 1).0) == Ok(Admitted::Kept));
    assert_eq!(kept.count(), 1024);
}
