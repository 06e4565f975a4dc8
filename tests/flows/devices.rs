//! A new device of somebody who has one already: let in by the other one, and by nothing else where the focus says so.
use std::time::Duration;

use client::{Device, DeviceNews, Error, Event, LastResort, Limits, Profile, Waits};
use tokio::sync::mpsc;

use super::{House, soon};

/// A new device, and where it shows its code.
fn new_device(
    house: &House,
    user: &str,
    confirm: Duration,
) -> (Profile, mpsc::UnboundedReceiver<String>) {
    let (tell, told) = mpsc::unbounded_channel();
    let waits = Waits::new(move |code| tell.send(code.to_owned()).unwrap());
    let limits = Limits { confirm, ..Limits::default() };
    (Profile { waits, limits, ..house.directions.profile(user).unwrap() }, told)
}

fn strict() -> House {
    House::with(&[("MRFC_ISSUER__NEW_DEVICES", "confirmed")])
}

#[tokio::test]
async fn a_second_device_waits_until_its_code_is_typed_on_the_first() {
    let house = strict();
    // The first device of a person needs nobody, and the others of other people's have no say.
    let (bob, alice) = (house.guest("bob").await, house.guest("alice").await);
    let (profile, mut codes) = new_device(&house, "bob", Duration::from_secs(600));
    let id = profile.device.clone();
    let starting = tokio::spawn(Device::start(profile));
    let code = soon(codes.recv()).await.unwrap();
    assert_eq!(code.chars().filter(char::is_ascii_digit).count(), 20, "{code}");

    let another = soon(bob.device.confirm("00000 00000 00000 00000")).await;
    assert!(matches!(another, Err(Error::WrongCode)), "{another:?}");
    let stranger = soon(alice.device.confirm(&code)).await;
    assert!(stranger.is_err(), "{stranger:?}");
    assert!(!starting.is_finished());
    let confirmed = soon(bob.device.confirm(&code.replace(' ', ""))).await.unwrap();

    assert_eq!(confirmed, id);
    let (tablet, _invitations) = soon(starting).await.unwrap().unwrap();
    let listed = soon(tablet.devices()).await.unwrap();
    assert!(listed.iter().all(|it| it.key_packages == 50), "{listed:?}");
    let devices: Vec<_> =
        listed.iter().map(|it| (&it.device, it.last_resort, it.revoked)).collect();
    assert_eq!(devices.len(), 2);
    assert!(devices.contains(&(&id, LastResort::Fresh, false)), "{devices:?}");
    // Each of them may be taken back by the other, and then has to be confirmed under another name.
    assert_eq!(soon(bob.device.take_back(&id)).await.unwrap(), 0);
    assert!(
        soon(bob.device.devices()).await.unwrap().iter().any(|it| it.device == id && it.revoked)
    );
}

#[tokio::test]
async fn who_has_only_the_password_gets_no_device_beside_those_there_are() {
    let house = strict();
    let bob = house.guest("bob").await;
    let (profile, mut codes) = new_device(&house, "bob", Duration::ZERO);
    // Neither a new device, nor one that there is with another key.
    let pretends = Profile { device: bob.device.id().clone(), ..profile.clone() };

    for thief in [profile, pretends] {
        let started = soon(Device::start(thief)).await;
        assert!(matches!(started, Err(Error::Late(_))), "{started:?}");
        codes.try_recv().unwrap();
    }

    assert_eq!(soon(bob.device.devices()).await.unwrap().len(), 1);
}

/// Where a password suffices, a new device shows to everybody who has seen the person, and to the person.
#[tokio::test]
async fn a_device_that_nobody_confirmed_is_told_of_also_to_its_own_person() {
    let house = House::open();
    let (alice, bob) = (house.guest("alice").await, house.guest("bob").await);
    let mut chair = alice.create().await;
    chair.entered().await;
    let mut phone = bob.join(&chair.conference).await;
    chair.added(&bob.aor).await;
    let thief = house.guest("bob").await;
    let _seat = thief.join(&chair.conference).await;

    for seat in [&mut chair, &mut phone] {
        let (who, device, news) = seat
            .until(|event| match event {
                Event::Device { who, device, news, .. } => Some((who, device, news)),
                _ => None,
            })
            .await;
        assert_eq!((who, &device, news), (bob.aor.clone(), thief.device.id(), DeviceNews::New));
    }
}
