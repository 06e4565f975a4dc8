//! F11, sealed: messages outside of rooms that only the people they are for can read, whether or not they are there.
use bytes::Bytes;
use client::{
    Arrival, Departures, Device, Error, Immediate, Inbox, Letter, Manner, Protection, Sent, Taken,
    Unsealed,
};
use ids::Aor;

use crate::{Guest, House, Seat, soon};

/// What is written, so that it can be looked for where it must not be.
const SECRET: &str = "the heron lands at nine";

fn words(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

async fn write(from: &Guest, to: &[&Guest], text: &'static str) -> Result<Sent, Error> {
    let to: Vec<Aor> = to.iter().map(|guest| guest.aor.clone()).collect();
    soon(from.device.write(&to, Manner::default(), "text/plain", words(text))).await
}

async fn letter(inbox: &mut Inbox) -> Letter {
    match soon(inbox.next()).await.unwrap() {
        Arrival::Letter(letter) => letter,
        other => panic!("no letter: {other:?}"),
    }
}

pub(super) async fn unreadable(inbox: &mut Inbox) -> String {
    match soon(inbox.next()).await.unwrap() {
        Arrival::Unreadable { why, .. } => why,
        other => panic!("it was read: {other:?}"),
    }
}

async fn departed(departures: &mut Departures) -> Immediate {
    soon(departures.next()).await.unwrap()
}

/// Nobody was there: the message waits for them, or there is nothing to wait in.
fn away(outcome: Result<Sent, Error>) {
    match outcome {
        Ok(sent) => assert_ne!(sent.taken, Taken::Delivered),
        Err(Error::Refused { status: 480, .. }) => {}
        other => panic!("{other:?}"),
    }
}

/// S3-04.
#[tokio::test]
async fn f11_a_sealed_message_reaches_every_device_of_a_person_who_never_wrote_back() {
    let house = House::open();
    let (alice, bob, tablet) =
        (house.guest("alice").await, house.guest("bob").await, house.guest("bob").await);
    let (mut inbox, mut other) = (bob.device.inbox(), tablet.device.inbox());
    let mut departures = alice.device.departures();

    let sent = write(&alice, &[&bob], SECRET).await.unwrap();

    assert_eq!((sent.taken, sent.protection), (Taken::Delivered, Protection::EndToEnd));
    for inbox in [&mut inbox, &mut other] {
        let letter = letter(inbox).await;
        assert_eq!(
            (&letter.message.from, &letter.message.body[..]),
            (&alice.aor, SECRET.as_bytes())
        );
        assert_eq!(Some(letter.message.id), sent.id);
        assert_eq!(letter.people, [alice.aor.clone(), bob.aor.clone()]);
    }
    let first = departed(&mut departures).await;
    assert!(first.content_type.starts_with("multipart/mixed"), "{}", first.content_type);

    // Later ones are small, and go both ways.
    write(&alice, &[&bob], "and at ten").await.unwrap();
    assert_eq!(letter(&mut inbox).await.message.body, words("and at ten"));
    letter(&mut other).await;
    let later = departed(&mut departures).await;
    assert_eq!(later.content_type, "message/cpim");
    assert!(later.body.len() < 1024, "{} octets", later.body.len());
    assert!(first.body.len() > 4 * later.body.len(), "{} octets", first.body.len());
    for octets in [&first.body, &later.body] {
        let text = String::from_utf8_lossy(octets);
        assert!(!text.contains("heron") && !text.contains("at ten"), "{text}");
    }
    let mut back = alice.device.inbox();
    write(&tablet, &[&alice], "understood").await.unwrap();
    let answer = letter(&mut back).await;
    assert_eq!((&answer.message.from, answer.message.body), (&bob.aor, words("understood")));
}

/// I24, S3-04, S3-05: what the recipient does before it has the message is to have left KeyPackages, long before.
#[tokio::test]
async fn i24_f11_who_is_silent_throughout_reads_it_when_the_bytes_come_by_another_way() {
    let house = House::open();
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let mut departures = alice.device.departures();

    // His program takes no messages: nothing of his has left since he left his KeyPackages.
    away(write(&alice, &[&bob], SECRET).await);
    away(write(&alice, &[&bob], "still there?").await);
    let (first, second) = (departed(&mut departures).await, departed(&mut departures).await);

    let mut inbox = bob.device.inbox();
    bob.device.take(first.clone()).await;
    bob.device.take(second).await;
    assert_eq!(letter(&mut inbox).await.message.body, words(SECRET));
    assert_eq!(letter(&mut inbox).await.message.body, words("still there?"));
    // I15: once more it is nothing new.
    bob.device.take(first).await;
    write(&alice, &[&bob], "now you are").await.unwrap();
    assert_eq!(letter(&mut inbox).await.message.body, words("now you are"));
}

#[tokio::test]
async fn f13_one_sealed_message_for_many_is_for_them_alone() {
    let house = House::open();
    let (alice, bob, carol) =
        (house.guest("alice").await, house.guest("bob").await, house.guest("carol").await);
    let (mut to_bob, mut to_carol) = (bob.device.inbox(), carol.device.inbox());
    let mut departures = alice.device.departures();

    let sent = write(&alice, &[&bob, &carol], SECRET).await.unwrap();

    assert_eq!((sent.taken, sent.protection), (Taken::Accepted, Protection::EndToEnd));
    let all = [alice.aor.clone(), bob.aor.clone(), carol.aor.clone()];
    for inbox in [&mut to_bob, &mut to_carol] {
        let letter = letter(inbox).await;
        assert_eq!((&letter.people[..], &letter.message.body[..]), (&all[..], SECRET.as_bytes()));
    }
    // Carol answers all; what Alice writes to Bob alone is of another circle.
    departed(&mut departures).await;
    let mut back = alice.device.inbox();
    write(&carol, &[&alice, &bob], "noted").await.unwrap();
    assert_eq!(letter(&mut back).await.message.from, carol.aor);
    assert_eq!(letter(&mut to_bob).await.message.from, carol.aor);
    write(&alice, &[&bob], "between us").await.unwrap();
    assert_eq!(letter(&mut to_bob).await.people.len(), 2);

    // With a copy of the very bytes she reads nothing of it.
    let copy = departed(&mut departures).await;
    carol.device.take(copy).await;
    unreadable(&mut to_carol).await;
}

#[tokio::test]
async fn i3_f11_of_two_who_write_first_at_once_each_is_read_by_the_other() {
    let house = House::open();
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let (mut to_alice, mut to_bob) = (alice.device.inbox(), bob.device.inbox());

    let (to, back) = ([&bob], [&alice]);
    let (one, other) =
        tokio::join!(write(&alice, &to, "after you"), write(&bob, &back, "no, after you"));

    one.unwrap();
    other.unwrap();
    assert_eq!(letter(&mut to_bob).await.message.body, words("after you"));
    assert_eq!(letter(&mut to_alice).await.message.body, words("no, after you"));
}

/// S4-14.
#[tokio::test]
async fn f11_a_new_device_and_one_that_lost_everything_read_what_is_written_from_then_on() {
    let house = House::open();
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let mut inbox = bob.device.inbox();
    write(&alice, &[&bob], "before").await.unwrap();
    letter(&mut inbox).await;

    // The circle lets the new one in by its own commit, and the old one starts anew without its keys.
    let tablet = house.guest("bob").await;
    let mut new = tablet.device.inbox();
    let credential = bob.device.credential().clone();
    let profile = bob.profile.clone();
    drop(inbox);
    bob.device.vanish().await;
    let (again, _invitations) = soon(Device::restart(profile, credential)).await.unwrap();
    let mut again_inbox = again.inbox();
    soon(async {
        while alice
            .device
            .write(std::slice::from_ref(&bob.aor), Manner::default(), "text/plain", words("after"))
            .await
            .is_err()
        {
            tokio::task::yield_now().await;
        }
    })
    .await;

    for inbox in [&mut new, &mut again_inbox] {
        let read = async {
            loop {
                // What came before it held the key it cannot read, and says so.
                if let Arrival::Letter(letter) = inbox.next().await.unwrap() {
                    return letter.message.body;
                }
                write(&alice, &[&tablet], "after").await.unwrap();
            }
        };
        assert_eq!(soon(read).await, words("after"));
    }
}

/// I25.
#[tokio::test]
async fn i25_f11_who_has_no_keys_gets_nothing_in_the_clear_unless_their_correspondent_says_so() {
    let house = House::open();
    let alice = house.guest("alice").await;
    let mut departures = alice.device.departures();
    // Bob has an account and no device: he left no KeyPackages.
    let bob: Aor = "sip:bob@localhost".parse().unwrap();
    let to = std::slice::from_ref(&bob);

    let kept = soon(alice.device.write(to, Manner::default(), "text/plain", words(SECRET))).await;
    assert!(matches!(&kept, Err(Error::NoKeys(who)) if *who == bob), "{kept:?}");
    let open = Manner { unsealed: Unsealed::WithoutKeys, ..Manner::default() };
    let sent = soon(alice.device.write(to, open, "text/plain", words("hello"))).await;
    // Nobody is there to take it; but it was sent on its way, without a seal.
    away(sent);

    // With keys the same manner is sealed, whatever else goes wrong.
    let bob = house.guest("bob").await;
    let to = std::slice::from_ref(&bob.aor);
    away(soon(alice.device.write(to, open, "text/plain", words(SECRET))).await);
    let left = departed(&mut departures).await;
    assert!(left.content_type.starts_with("multipart/mixed"), "{}", left.content_type);
    assert!(!String::from_utf8_lossy(&left.body).contains("heron"));
}

#[tokio::test]
async fn f11_that_a_message_has_arrived_is_told_under_the_same_seal() {
    let house = House::open();
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let (mut back, mut inbox) = (alice.device.inbox(), bob.device.inbox());
    let mut departures = bob.device.departures();
    let manner = Manner { receipt: true, ..Manner::default() };
    let to = std::slice::from_ref(&bob.aor);

    let sent = soon(alice.device.write(to, manner, "text/plain", words(SECRET))).await.unwrap();
    letter(&mut inbox).await;

    match soon(back.next()).await.unwrap() {
        Arrival::Receipt(receipt) => {
            assert_eq!((Some(receipt.of), receipt.by), (sent.id.clone(), bob.aor.clone()));
        }
        other => panic!("no receipt: {other:?}"),
    }
    let octets = departed(&mut departures).await.body;
    let text = String::from_utf8_lossy(&octets);
    assert!(!text.contains(&sent.id.unwrap()) && !text.contains("delivered"), "{text}");
}

#[tokio::test]
async fn f6b_in_a_sealed_conference_a_private_message_is_sealed_for_the_two_alone() {
    let house = House::open();
    let (alice, mut chair, bob, mut seat) = crate::two(&house).await;
    let (tablet, carol) = (house.guest("bob").await, house.guest("carol").await);
    let mut second: Seat = tablet.join(&chair.conference).await;
    let mut third = carol.join(&chair.conference).await;
    chair.are(4).await;
    let mut tap = seat.conference.tap();
    tap.drain();

    let id = soon(chair.conference.send_to(&bob.aor, "text/plain", words(SECRET))).await.unwrap();
    // A private message has no place in the room's order: at first contact its key has to be fetched.
    for device in [&mut seat, &mut second] {
        let heard = device.hears(&alice.aor, SECRET).await;
        assert!(heard.private && heard.id == id, "{heard:?}");
    }
    chair.say("for everybody").await;
    for device in [&mut seat, &mut second] {
        assert!(!device.hears(&alice.aor, "for everybody").await.private);
    }
    third.hears(&alice.aor, "for everybody").await;
    // A member of the room with a copy of the bytes cannot open it.
    let circles = |octets: &Bytes| {
        mls::circle::group_of(octets).is_some_and(|group| mls::circle::is_circle(&group.0))
    };
    let private = tap.drain().into_iter().find(circles).expect("it came by");
    assert_eq!(third.conference.try_open(private.clone()).await, None);
    assert!(!String::from_utf8_lossy(&private).contains("heron"));

    soon(seat.conference.send_to(&alice.aor, "text/plain", words("yes?"))).await.unwrap();
    assert!(chair.hears(&bob.aor, "yes?").await.private);
    let dave: Aor = "sip:dave@localhost".parse().unwrap();
    let lost = soon(seat.conference.send_to(&dave, "text/plain", words("hello?"))).await;
    assert!(matches!(lost, Err(Error::NoKeys(_))), "{lost:?}");
}
