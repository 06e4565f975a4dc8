//! What a room hands to its shards: in which order, and with which bytes.
use bytes::BytesMut;
use control::{Level, RelayName};
use ids::{Epoch, Era, Term};
use msrp::cpim::Builder;
use msrp::{Address, Decoder, Item};
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::session::{Admitted, SEALED, Session, Surroundings};

const ROOM: &str = "sip:room7@example.net";

struct Scene {
    relay: Relay,
    doors: Arc<Doors>,
    rng: StdRng,
    now: Instant,
}

fn scene() -> Scene {
    let now = service::clock::now();
    let mut rng = StdRng::seed_from_u64(1);
    let name = RelayName {
        name: "relay".into(),
        incarnation: String::new(),
        msrp: "r.example:2855".into(),
        fingerprint: String::new(),
    };
    let gate = Gate { era: Era(0), epoch: Epoch(1), shut: false, grace: false };
    let order = control::Room {
        uri: ROOM.into(),
        term: Term(1),
        level: Level::Sealed,
        gate: Some(gate),
        message_octets_max: 1_000_000,
        charge: false,
        stored: None,
    };
    let doors = Arc::new(Doors::new(2, usize::MAX));
    let focus = Arc::new(Focus::new(name, 16_384, &mut rng));
    let metrics = Arc::new(Metrics::new(&service::metrics::Metrics::new()));
    let room = Room::new("room7".parse().unwrap(), &order, now);
    let relay = Relay::new(room, &doors, &focus, &metrics, &Limits::default());
    for n in 1..=3_u64 {
        let aor = format!("sip:user{n}@example.net").parse().unwrap();
        let device = format!("urn:uuid:00000000-0000-4000-8000-{n:012}").parse().unwrap();
        let seat = control::Seat::new(SeatId(n), aor, device);
        relay.seat(&seat, now);
        relay.bind(SeatId(n), usize::try_from(n % 2).unwrap(), n).unwrap();
    }
    Scene { relay, doors, rng, now }
}

/// A sealed message of user 1, as a session admits it from the octets of `input`.
fn admitted(scene: &mut Scene) -> (Message, Bytes) {
    let mls = [&[0, 1, 0, 2, 7][..], b"room7#0", &1_u64.to_be_bytes(), &[1], &[7; 5000]].concat();
    let body = Builder::new("sip:user1@example.net", ROOM).content(SEALED, Bytes::from(mls));
    let send = SendRequest::whole(MessageId::random(&mut scene.rng), "message/cpim", body);
    let paths = ("msrps://r/a;tcp".parse().unwrap(), "msrps://u/b;tcp".parse().unwrap());
    let octets = send.encode(&mut scene.rng).to(&Address::new(&paths.0, &paths.1)).to_bytes();
    let mut input = BytesMut::from(&octets[..]);
    let whole = input.clone().freeze();
    let base = input.as_ptr();
    let Ok(Some(Item::Request(chunk))) = Decoder::default().next(&mut input) else { panic!() };
    // The body is a slice of what came in: nothing was copied up to here.
    let first = chunk.body.slices().next().unwrap().as_ptr();
    assert!((first.addr() - base.addr()) < whole.len());

    let roster = Arc::clone(scene.relay.lock().roster());
    let limits = Limits::default().session();
    let around =
        Surroundings { seat: SeatId(1), roster: &roster, seen: &Seen::default(), limits: &limits };
    let mut session = Session::new(SeatId(1));
    match session.admit(scene.now, &chunk, &around, &mut scene.rng) {
        Ok(Admitted::Whole(message)) => {
            let slice = chunk.body.slices().next().unwrap().clone();
            (message, slice)
        }
        other => panic!("{other:?}"),
    }
}

fn parcels(door: usize, doors: &Doors) -> Vec<Arc<Parcel>> {
    let mut errands = Vec::new();
    doors.door(door).unwrap().take(&mut errands);
    let parcel = |errand| match errand {
        Errand::Relay(parcel) => Some(parcel),
        _ => None,
    };
    errands.into_iter().filter_map(parcel).collect()
}

#[test]
fn a_body_is_not_copied_between_the_decoder_and_the_seal() {
    let mut scene = scene();
    let (message, came_in) = admitted(&mut scene);

    scene.relay.message((&message, None), scene.now, &mut scene.rng).unwrap();

    for door in 0..2 {
        let parcels = parcels(door, &scene.doors);
        let [parcel] = &parcels[..] else { panic!("one hand-over for each shard") };
        // What the writer gathers for any receiver are these very octets.
        let address = Address::default();
        let frame = parcel.payload.to(&address);
        assert!(frame.slices().any(|slice| slice.as_ptr() == came_in.as_ptr()));
        assert_eq!(parcel.payload.body().slices().next().unwrap().as_ptr(), came_in.as_ptr());
        let another = parcel.payload.under(msrp::TransactionId::random(&mut scene.rng));
        assert_eq!(another.body().slices().next().unwrap().as_ptr(), came_in.as_ptr());
    }
}

#[test]
fn every_shard_sees_messages_and_commits_in_one_order() {
    let mut scene = scene();
    for n in 0..10_u64 {
        let (message, _) = admitted(&mut scene);
        scene.relay.message((&message, None), scene.now, &mut scene.rng).unwrap();
        let commit = Bytes::from(format!("commit {n}"));
        scene.relay.broadcast((Key(n), commit, None), scene.now, &mut scene.rng);
    }

    let ids = |door| -> Vec<_> {
        let parcels = parcels(door, &scene.doors);
        parcels.iter().map(|parcel| parcel.payload.transaction()).collect()
    };

    let first = ids(0);
    assert_eq!(first.len(), 20);
    assert_eq!(first, ids(1));
    assert_eq!(scene.relay.lock().number().n, 21);
}

#[test]
fn after_a_kick_not_even_a_message_that_was_admitted_before_is_relayed() {
    let mut scene = scene();
    let (message, _) = admitted(&mut scene);
    scene.relay.unseat(SeatId(1));

    let passed = scene.relay.message((&message, None), scene.now, &mut scene.rng);

    assert_eq!(passed, Err(Refusal::NoSession));
    assert!(parcels(0, &scene.doors).is_empty() && parcels(1, &scene.doors).is_empty());
}
