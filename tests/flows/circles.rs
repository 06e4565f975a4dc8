//! F11, what is around a sealed message: the own other devices, people who were verified, the mailbox, what comes twice, and
//! sealed files. That it is sealed at all is in `sealed.rs`.
use std::fs;

use bytes::Bytes;
use client::{
    Arrival, Device, FileOffer, Folder, Immediate, Inbox, Letter, Limits, Manner, SealedFile,
    Taken, Vault, VaultError, VaultKey,
};
use ids::Aor;
use sha2::{Digest as _, Sha256};

use crate::{Guest, House, soon};

fn words(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

pub(super) async fn write(from: &Device, to: &Aor, text: &'static str) -> Taken {
    let to = std::slice::from_ref(to);
    let sent = soon(from.write(to, Manner::default(), "text/plain", words(text))).await;
    sent.unwrap().taken
}

pub(super) async fn letter(inbox: &mut Inbox) -> Letter {
    loop {
        match soon(inbox.next()).await.unwrap() {
            Arrival::Letter(letter) => return letter,
            // They take their own way.
            Arrival::Device { .. } | Arrival::Receipt(_) => {}
            other => panic!("no letter: {other:?}"),
        }
    }
}

pub(super) async fn reads(inbox: &mut Inbox, from: &Aor, text: &str) {
    let letter = letter(inbox).await;
    assert_eq!((&letter.message.from, &letter.message.body[..]), (from, text.as_bytes()));
}

#[tokio::test]
async fn f11_what_somebody_writes_is_read_on_their_own_other_devices_and_not_told_to_who_wrote_it()
{
    let house = House::open();
    let (alice, tablet, bob) =
        (house.guest("alice").await, house.guest("alice").await, house.guest("bob").await);
    let (mut own, mut other) = (alice.device.inbox(), tablet.device.inbox());
    let mut his = bob.device.inbox();
    let manner = Manner { receipt: true, ..Manner::default() };
    let to = std::slice::from_ref(&bob.aor);

    let sent = soon(alice.device.write(to, manner, "text/plain", words("from my phone"))).await;

    reads(&mut his, &alice.aor, "from my phone").await;
    let copy = letter(&mut other).await;
    assert_eq!((&copy.message.from, &copy.message.body[..]), (&alice.aor, &b"from my phone"[..]));
    assert_eq!(copy.message.device.as_ref(), Some(alice.device.id()));
    assert_eq!(Some(copy.message.id), sent.unwrap().id);
    // Bob says that he has it, and of her own devices none does: the next thing she hears is what the other one wrote.
    match soon(own.next()).await.unwrap() {
        Arrival::Receipt(receipt) => assert_eq!(receipt.by, bob.aor),
        other => panic!("no receipt: {other:?}"),
    }
    write(&tablet.device, &bob.aor, "from my tablet").await;
    reads(&mut own, &alice.aor, "from my tablet").await;
    reads(&mut his, &alice.aor, "from my tablet").await;
}

/// I20, outside of rooms.
#[tokio::test]
async fn f11_what_is_written_to_who_was_verified_is_held_until_their_new_device_is_accepted() {
    let house = House::open();
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let (mut hers, mut his) = (alice.device.inbox(), bob.device.inbox());
    write(&alice.device, &bob.aor, "before").await;
    reads(&mut his, &alice.aor, "before").await;
    let (one, other) = (soon(alice.device.number(&bob.aor)), soon(bob.device.number(&alice.aor)));
    let (one, other) = (one.await.unwrap(), other.await.unwrap());
    assert_eq!((&one.number, one.devices, one.verified), (&other.number, 1, false));
    alice.device.verify(&bob.aor, true).await;

    // As far as anybody can see it might be somebody else's. It is in the circle before she writes.
    let tablet = house.guest("bob").await;
    let mut new = tablet.device.inbox();
    write(&tablet.device, &alice.aor, "it is me").await;
    reads(&mut his, &bob.aor, "it is me").await;
    match soon(hers.next()).await.unwrap() {
        Arrival::Letter(letter) => assert_eq!(&letter.message.body[..], b"it is me"),
        other => panic!("{other:?}"),
    }
    match soon(hers.next()).await.unwrap() {
        Arrival::Device { who, device, held, .. } => {
            assert_eq!((&who, &device, held), (&bob.aor, tablet.device.id(), true));
        }
        other => panic!("no device: {other:?}"),
    }
    let to = std::slice::from_ref(&bob.aor);
    let writing = alice.device.writing(to, Manner::default(), "text/plain", words("first"));
    let mut first = soon(writing).await.unwrap();
    let writing = alice.device.writing(to, Manner::default(), "text/plain", words("second"));
    let mut second = soon(writing).await.unwrap();
    assert_eq!(soon(first.held()).await, Some(vec![bob.aor.clone()]));
    assert_eq!(soon(second.held()).await, Some(vec![bob.aor.clone()]));
    // Nobody need wait for what is held.
    drop(second);

    assert!(alice.device.accept(&bob.aor).await);

    soon(first.done()).await.unwrap();
    for inbox in [&mut his, &mut new] {
        reads(inbox, &alice.aor, "first").await;
        reads(inbox, &alice.aor, "second").await;
    }
    assert!(!alice.device.accept(&bob.aor).await, "there is nothing left to accept");
}

pub(crate) async fn opened(
    house: &House,
    folder: &tempfile::TempDir,
    user: &str,
) -> (Device, Vault) {
    let vault = vault_in(folder).await;
    let profile = house.directions.profile(user).unwrap();
    let (device, _invitations) = soon(Device::open(profile, vault.clone())).await.unwrap();
    (device, vault)
}

/// The vault in this folder, once nobody uses it.
pub(crate) async fn vault_in(folder: &tempfile::TempDir) -> Vault {
    let (state, key) = (folder.path().join("state"), folder.path().join("key"));
    // What the last device did ends soon after it.
    let open = async {
        loop {
            match Vault::open(&state, &VaultKey::KeyFile(key.clone())) {
                Err(VaultError::InUse { .. }) => tokio::task::yield_now().await,
                opened => return opened.unwrap(),
            }
        }
    };
    soon(open).await
}

/// Somebody whose device has keys in the directory, and is not there.
pub(crate) async fn was_here(house: &House, folder: &tempfile::TempDir, user: &str) {
    let (device, vault) = opened(house, folder, user).await;
    device.stop().await;
    drop(vault);
}

/// S3-04, S3-05, S3-07, S3-08, S3-30, S4-09, S4-14: to a person and not to where they are.
#[tokio::test]
async fn i5_f12_a_sealed_message_waits_as_it_was_sent_and_opens_wherever_its_device_comes_back() {
    let house = House::open();
    let alice = house.guest("alice").await;
    let folder = tempfile::tempdir().unwrap();
    let bob: Aor = "sip:bob@localhost".parse().unwrap();
    was_here(&house, &folder, "bob").await;
    let mut departures = alice.device.departures();
    let config = house.folder.path().join("dev/mrfc.toml");

    for text in ["the heron lands at nine", "another day"] {
        assert_eq!(write(&alice.device, &bob, text).await, Taken::Stored);
        let sent = soon(departures.next()).await.unwrap();
        assert!(!String::from_utf8_lossy(&sent.body).contains(text));
        let kept = mrfc::kept_messages(&config, &bob).await.unwrap();
        let kept = kept.last().unwrap();
        assert_eq!(kept.sha256, hex::encode(Sha256::digest(&sent.body)));
        assert!(!kept.locked, "what is sealed lies there as it was sent");

        // The same device, at another address each time.
        let (device, vault) = opened(&house, &folder, "bob").await;
        let mut inbox = device.inbox();
        let letter = letter(&mut inbox).await;
        assert_eq!((&letter.message.from, &letter.message.body[..]), (&alice.aor, text.as_bytes()));
        assert!(letter.late.is_some(), "it does not say that it is late");
        // S3-08: what comes again is nothing, also after the keys have moved on and the device was started anew.
        device.take(sent.clone()).await;
        device.stop().await;
        drop((inbox, vault));
        let (device, vault) = opened(&house, &folder, "bob").await;
        let mut inbox = device.inbox();
        device.take(sent).await;
        write(&alice.device, &bob, "live").await;
        let live = soon(departures.next()).await.unwrap();
        assert_eq!(live.content_type, "message/cpim");
        reads(&mut inbox, &alice.aor, "live").await;
        device.stop().await;
        drop((inbox, vault));
    }
}

/// The epoch that a message which left was sealed in, as everybody can see.
pub(crate) fn epoch_of(sent: &Immediate) -> ids::Epoch {
    // An MLS PrivateMessage (RFC 9420, 6); behind it comes nothing, or the end of the multipart.
    let at = sent.body.windows(4).position(|octets| octets == b"\0\x01\0\x02").unwrap();
    let rest = sent.body.slice(at..);
    let ends = (0..=rest.len()).rev();
    ends.filter_map(|end| mls::circle::group_of(&rest.slice(..end))).next().unwrap().2
}

/// A leaf is replaced after so many messages, and who was away all the while reads each of them under the key of its epoch.
#[tokio::test]
async fn f12_an_authors_leaf_is_replaced_again_and_again_and_what_waited_is_read_all_the_same() {
    let house = House::open();
    let few = Limits { leaf_messages_max: 4, ..Limits::default() };
    let alice = house.guest_with("alice", few).await;
    let folder = tempfile::tempdir().unwrap();
    let bob: Aor = "sip:bob@localhost".parse().unwrap();
    was_here(&house, &folder, "bob").await;
    let mut departures = alice.device.departures();
    let texts: Vec<String> = (0..90).map(|number| format!("message {number}")).collect();

    let to = std::slice::from_ref(&bob);
    let mut epochs = Vec::new();
    for text in &texts {
        let manner = Manner { receipt: true, ..Manner::default() };
        let body = Bytes::from(text.clone());
        soon(alice.device.write(to, manner, "text/plain", body)).await.unwrap();
        let sent = soon(departures.next()).await.unwrap();
        epochs.push(epoch_of(&sent).0);
    }

    assert!(epochs.is_sorted() && epochs[0] == 1, "{epochs:?}");
    // More than a member remembers behind it.
    let last = *epochs.last().unwrap();
    assert!(last > 20, "the leaf stays as it is: {epochs:?}");
    let (device, _vault) = opened(&house, &folder, "bob").await;
    let mut inbox = device.inbox();
    for text in &texts {
        reads(&mut inbox, &alice.aor, text).await;
    }
    let mut hers = alice.device.inbox();
    write(&device, &alice.aor, "I have read them all").await;
    reads(&mut hers, &bob, "I have read them all").await;
}

/// What is old has the same end: here every leaf is, as soon as somebody writes.
#[tokio::test]
async fn f11_a_leaf_whose_time_is_over_is_replaced_when_its_device_has_written() {
    let house = House::open();
    let short = Limits { leaf_life: std::time::Duration::ZERO, ..Limits::default() };
    let (alice, bob) = (house.guest_with("alice", short).await, house.guest("bob").await);
    let mut departures = alice.device.departures();
    let (mut his, mut hers) = (bob.device.inbox(), alice.device.inbox());

    for (text, epoch) in [("one", 1), ("two", 2), ("three", 3)] {
        write(&alice.device, &bob.aor, text).await;
        reads(&mut his, &alice.aor, text).await;
        assert_eq!(epoch_of(&soon(departures.next()).await.unwrap()).0, epoch);
        write(&bob.device, &alice.aor, "yes").await;
        reads(&mut hers, &bob.aor, "yes").await;
    }
}

/// S3-08: the mailbox has taken what a device took too late to be believed, and brings it once more.
#[tokio::test]
async fn f12_what_comes_twice_under_one_name_is_shown_once() {
    let house = House::open();
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let mut inbox = bob.device.inbox();
    let envelope = |id: &str, text: &str| {
        Bytes::from(format!(
            "From: <sip:alice@localhost>\r\nTo: <sip:bob@localhost>\r\n\
             NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: {id}\r\n\r\n\
             Content-Type: text/plain\r\n\r\n{text}"
        ))
    };

    for (id, text) in [("m1", "one"), ("m1", "one"), ("m2", "two")] {
        let sent = alice.device.message(&bob.aor, "message/cpim", envelope(id, text));
        assert_eq!(soon(sent).await.unwrap().0, Taken::Delivered);
    }

    for text in ["one", "two"] {
        match soon(inbox.next()).await.unwrap() {
            Arrival::Message(Immediate { body, .. }) => assert!(body.ends_with(text.as_bytes())),
            other => panic!("no message: {other:?}"),
        }
    }
}

async fn offer(inbox: &mut Inbox) -> FileOffer {
    loop {
        match soon(inbox.next()).await.unwrap() {
            Arrival::File(offer) => return offer,
            Arrival::Announced(_) => {}
            other => panic!("no file: {other:?}"),
        }
    }
}

async fn open(offer: FileOffer, into: &Folder) -> Vec<u8> {
    let key = offer.sealed().cloned().expect("it is sealed");
    let mut transfer = soon(offer.accept(into)).await.unwrap();
    let arrived = soon(transfer.finished()).await.unwrap();
    assert!(arrived.verified);
    let path = key.open(arrived.path.unwrap(), into).await.unwrap();
    fs::read(path).unwrap()
}

fn downloads(guest: &Guest, within: &tempfile::TempDir) -> Folder {
    Folder::new(within.path().join(guest.aor.user()))
}

/// S3-18.
#[tokio::test]
async fn f14_a_sealed_file_for_one_person_shows_servers_its_sealed_octets_and_no_name() {
    let house = House::with(&[("MRFC_SESSIONS__THROUGH_RELAY", "true")]);
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("the plan.txt");
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(&path, &content).unwrap();
    let sealed = SealedFile::new(&path, "text/plain", temporary.path()).await.unwrap();
    let mut inbox = bob.device.inbox();

    let taking = async {
        let offer = offer(&mut inbox).await;
        let (selector, key) = (offer.selector(), offer.sealed().unwrap());
        assert_eq!((selector.name.as_deref(), key.name.as_str()), (Some("sealed"), "the plan.txt"));
        assert_eq!(selector.media_type.as_deref(), Some("application/vnd.conclave.sealed-file"));
        assert_eq!(key.octets, content.len() as u64);
        // RFC 5547, 6: size and hash are those of what goes over the wire.
        assert!(selector.size.unwrap() > key.octets);
        assert!(!selector.hashes.is_empty());
        open(offer, &downloads(&bob, &temporary)).await
    };
    let sending = async {
        let mut transfer = alice.device.send_sealed(&bob.aor, &sealed).await.unwrap();
        transfer.finished().await.unwrap()
    };
    let (sent, received) = soon(async { tokio::join!(sending, taking) }).await;

    assert!(sent.verified && sent.octets > content.len() as u64);
    assert!(received == content, "it arrived changed");
}

#[tokio::test]
async fn f14_a_sealed_file_rings_until_its_key_is_there_and_somebody_elses_key_is_none() {
    let house = House::open();
    let (alice, bob, carol) =
        (house.guest("alice").await, house.guest("bob").await, house.guest("carol").await);
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("a.txt");
    fs::write(&path, "for bob").unwrap();
    let sealed = SealedFile::new(&path, "text/plain", temporary.path()).await.unwrap();
    let mut inbox = bob.device.inbox();

    // Carol offers what she knows the octets of; that she has no key for him shows in nothing but silence.
    let copied = sealed.to_send();
    let stolen = carol.device.send_file(&bob.aor, &copied);
    let mut sending = Box::pin(async {
        let mut transfer = alice.device.send_file(&bob.aor, &sealed.to_send()).await.unwrap();
        transfer.finished().await.unwrap()
    });
    let announced = async {
        let told = alice.device.announce_to(&bob.aor, &sealed).await.unwrap().done().await;
        told.unwrap()
    };
    let taking = async {
        let offer = offer(&mut inbox).await;
        assert_eq!(*offer.from(), alice.aor);
        open(offer, &downloads(&bob, &temporary)).await
    };
    let received = soon(async {
        tokio::select! {
            theft = stolen => panic!("it was taken: {theft:?}"),
            (_sent, _told, received) = async { tokio::join!(&mut sending, announced, taking) } => received,
        }
    })
    .await;

    assert_eq!(received, b"for bob");
}

/// S3-18, RFC 5547, 8.8, under a seal: who may open an image sees what it is before they fetch it, and no server does.
#[tokio::test]
async fn f14_a_small_picture_of_a_sealed_image_comes_with_its_key_and_not_with_its_offer() {
    let house = House::open();
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("holiday.png");
    fs::write(&path, hex::decode(crate::picture::PNG).unwrap()).unwrap();
    let sealed = SealedFile::new(&path, "image/png", temporary.path()).await.unwrap();
    let (mut inbox, mut departures) = (bob.device.inbox(), alice.device.departures());

    let looking = async {
        let offer = offer(&mut inbox).await;
        let picture = offer.sealed().unwrap().picture().unwrap();
        assert_eq!(picture.media_type, "image/jpeg");
        assert!(picture.content.starts_with(b"\xff\xd8\xff"));
        assert_eq!(offer.icon(), None, "servers see it");
        let left = departures.next().await.unwrap();
        assert!(!left.body.windows(3).any(|octets| octets == b"\xff\xd8\xff"));
        offer.decline().await;
    };
    let sending = alice.device.send_sealed(&bob.aor, &sealed);
    let (declined, ()) = soon(async { tokio::join!(sending, looking) }).await;

    assert!(declined.is_err());
}
