//! What is on a sealed message, and what is inside, have to agree.
use mls::wire::DeviceName;

use super::*;

const TEXT: &str = "text/plain";

fn aor(user: &str) -> Aor {
    format!("sip:{user}@x").parse().unwrap()
}

fn circle(people: &[&str]) -> Circle {
    Circle::of(people.iter().map(|user| aor(user))).unwrap()
}

fn device() -> DeviceId {
    "urn:uuid:00000000-0000-4000-8000-000000000001".parse().unwrap()
}

/// What the recipient has of these words, when they were sealed by `author` under `id`.
fn inside(
    words: &Wording,
    author: &str,
    id: &str,
    place: Place<'_>,
) -> Result<Inside, Cow<'static, str>> {
    seen(words, (author, id), place, &mut Witness::default()).map(|(inside, _split)| inside)
}

/// The same for a recipient who has seen this of the group.
fn seen(
    words: &Wording,
    (author, id): (&str, &str),
    place: Place<'_>,
    witness: &mut Witness,
) -> Result<(Inside, Option<Epoch>), Cow<'static, str>> {
    let parts = words.parts((&aor("alice"), &[aor("bob")]), None, Bytes::from_static(b"sealed"));
    let outer = cpim::parse(&parts[0].body).unwrap().unwrap();
    let opened = Opened {
        from: DeviceName { aor: aor(author), device: device() },
        epoch: Epoch(1),
        message_id: id.to_owned(),
        plaintext: words.inner.to_vec(),
    };
    place.check(&outer, opened, witness)
}

fn marks<'a>(id: &'a str, seen: &'a str) -> Marks<'a> {
    Marks { id, date_time: "2026-11-21T12:00:00Z", seen }
}

fn words(place: Place<'_>, receipt: bool) -> Wording {
    let body = Bytes::from_static(b"hello");
    place.words(&aor("alice"), marks("m1", ""), receipt, (TEXT, body))
}

#[test]
fn words_are_read_as_they_were_written_with_everybody_who_can_read_them() {
    let (three, room) = (circle(&["alice", "bob", "carol"]), None);
    let place = Place { circle: &three, room };

    let Inside::Letter(letter, wanted) = inside(&words(place, true), "alice", "m1", place).unwrap()
    else {
        panic!("no letter")
    };

    assert!(wanted && !letter.message.private);
    assert_eq!((letter.message.from, &letter.message.body[..]), (aor("alice"), &b"hello"[..]));
    assert_eq!(letter.people, [aor("alice"), aor("bob"), aor("carol")]);
}

#[test]
fn what_names_another_author_id_circle_or_place_is_not_shown() {
    let (pair, three) = (circle(&["alice", "bob"]), circle(&["alice", "bob", "carol"]));
    let (lobby, other) = ("lobby".parse().unwrap(), "other".parse().unwrap());
    let at = |circle, room| Place { circle, room };
    let outside = at(&pair, None);
    let said = words(outside, false);

    assert!(inside(&said, "alice", "m1", outside).is_ok());
    assert!(inside(&said, "bob", "m1", outside).is_err());
    assert!(inside(&said, "alice", "m2", outside).is_err());
    assert!(inside(&said, "alice", "m1", at(&three, None)).is_err());
    assert!(inside(&said, "alice", "m1", at(&pair, Some(&lobby))).is_err());
    let whispered = words(at(&pair, Some(&lobby)), false);
    assert!(inside(&whispered, "alice", "m1", at(&pair, Some(&lobby))).is_ok());
    assert!(inside(&whispered, "alice", "m1", at(&pair, Some(&other))).is_err());
    assert!(inside(&whispered, "alice", "m1", outside).is_err());
}

#[test]
fn a_receipt_says_outside_that_it_is_one_and_inside_of_what() {
    let pair = circle(&["alice", "bob"]);
    let place = Place { circle: &pair, room: None };
    let mut receipt = place.receipt(&aor("alice"), marks("r1", ""), "m1");

    let Ok(Inside::Receipt(read)) = inside(&receipt, "alice", "r1", place) else { panic!() };
    assert_eq!((read.of.as_str(), read.by, read.device), ("m1", aor("alice"), device()));
    receipt.class = Class::Message;
    assert!(inside(&receipt, "alice", "r1", place).is_err());
    let disguised = Wording { class: Class::Receipt, ..words(place, false) };
    assert!(inside(&disguised, "alice", "m1", place).is_err());
}

#[test]
fn what_is_no_sealed_message_of_a_circle_is_left_to_others() {
    let read = |kind: &str, body: &'static [u8]| Parcel::read(kind, &Bytes::from_static(body));

    assert!(read("text/plain", b"hello").is_none());
    assert!(read("message/mls", b"\0\x01\0\x02").is_none());
    assert!(
        read("message/cpim", b"From: <sip:a@b>\r\n\r\nContent-Type: message/mls\r\n\r\nx")
            .is_none()
    );
    assert!(read("multipart/mixed;boundary=b", b"--b--\r\n").is_none());
    assert!(read("multipart/mixed", b"").is_none());
}

#[test]
fn i4_who_was_led_into_another_group_is_noticed_in_a_circle_by_words_and_by_receipts() {
    let many: Vec<String> =
        (0..mls::circle::PEOPLE_MAX - 2).map(|n| format!("person{n}")).collect();
    let many: Vec<&str> = ["alice", "bob"].into_iter().chain(many.iter().map(|it| &**it)).collect();
    let (circle, me) = (circle(&many), aor("alice"));
    let lobby = "lobby".parse().unwrap();
    let saw = |authenticator: &[u8]| {
        let mut witness = Witness::default();
        witness.note((ids::Era(1), Epoch(2)), authenticator);
        witness
    };
    for room in [None, Some(&lobby)] {
        let place = Place { circle: &circle, room };
        let told = saw(b"another").told();
        let said = place.words(&me, marks("m1", &told), false, (TEXT, Bytes::from_static(b"hi")));
        let receipt = place.receipt(&me, marks("m1", &told), "m0");
        for wording in [said, receipt] {
            let (mut same, mut other) = (saw(b"another"), saw(b"one"));
            let read =
                |witness: &mut Witness| seen(&wording, ("alice", "m1"), place, witness).unwrap().1;

            assert_eq!((read(&mut same), read(&mut other)), (None, Some(Epoch(2))));
            assert_eq!(read(&mut other), None, "it is told once");
        }
    }
}
