//! Paths by hand: A and B are clients of this relay, P is somebody else, R2 another relay.
use super::*;

const A: Hop = Hop { shard: 0, connection: 1 };
const B: Hop = Hop { shard: 1, connection: 1 };
const P: Hop = Hop { shard: 0, connection: 7 };
const R2: Hop = Hop { shard: 1, connection: 9 };
const LIFE: Duration = Duration::from_secs(900);

const UA: &str = "msrps://r.example:2855/aaa;tcp";
const UB: &str = "msrps://r.example:2855/bbb;tcp";
const UX: &str = "msrps://r.example:2855/xxx;tcp";
const ALICE: &str = "msrps://alice.example:9/a;tcp";
const BOB: &str = "msrps://bob.example:9/b;tcp";
const AT_R2: &str = "msrps://r2.example:2855/q;tcp";

struct Scene {
    grants: Grants,
    now: Instant,
}

fn scene() -> Scene {
    let bounds = Bounds { uris_max: 4, per_connection_max: 2, per_user_max: 3 };
    let grants = Grants::new(bounds);
    Scene { grants, now: service::clock::now() }
}

impl Scene {
    fn add(&mut self, uri: &str, owner: Owner, through: Hop) -> Result<(), TooMany> {
        self.add_for(&format!("user{}", through.connection), uri, owner, through)
    }

    fn add_for(&mut self, user: &str, uri: &str, owner: Owner, on: Hop) -> Result<(), TooMany> {
        let asker = Asker { owner, on, user: user.into() };
        self.grants.add(uri.parse().unwrap(), asker, self.now, LIFE)
    }

    fn with_a_and_b() -> Self {
        let mut scene = scene();
        scene.add(UA, Owner::Client(A), A).unwrap();
        scene.add(UB, Owner::Client(B), B).unwrap();
        scene
    }

    fn way(
        &mut self,
        hop: Hop,
        to: &[&str],
        from: &[&str],
    ) -> Result<(String, String, Next), Barred> {
        self.way_of(&Previous { hop, relay: None }, to, from)
    }

    fn way_of(
        &mut self,
        previous: &Previous<'_>,
        to: &[&str],
        from: &[&str],
    ) -> Result<(String, String, Next), Barred> {
        let (to, from): (Path, Path) =
            (to.join(" ").parse().unwrap(), from.join(" ").parse().unwrap());
        let way = self.grants.way((&to, &from), previous, self.now)?;
        Ok((way.to.to_wire(), way.from.to_wire(), way.next))
    }
}

fn dial(uri: &str) -> Next {
    dial_for("user1", uri)
}

fn dial_for(user: &str, uri: &str) -> Next {
    Next::Dial(uri.parse().unwrap(), user.into())
}

#[test]
fn m4976_08_whoever_knows_a_uri_reaches_its_owner_and_nobody_else() {
    let mut scene = Scene::with_a_and_b();

    let way = scene.way(P, &[UA, ALICE], &[BOB]).unwrap();

    assert_eq!(way, (ALICE.into(), format!("{UA} {BOB}"), Next::Hop(A)));
    // Whatever the path says behind the URI, it is the owner's connection.
    assert_eq!(scene.way(P, &[UA, AT_R2], &[BOB]).unwrap().2, Next::Hop(A));
}

#[test]
fn m4976_08_only_the_owner_goes_further_with_a_uri() {
    let mut scene = Scene::with_a_and_b();

    assert_eq!(scene.way(A, &[UA, BOB], &[ALICE]).unwrap().2, dial(BOB));
    // The same path from somebody else leads to the owner.
    assert_eq!(scene.way(P, &[UA, BOB], &[ALICE]).unwrap().2, Next::Hop(A));
    // Another's URI behind the own one leads to its owner; a third one behind that leads nowhere.
    assert_eq!(scene.way(P, &[UA, UB, BOB], &[ALICE]), Err(Barred::NotTheOwners));
    assert_eq!(scene.way(A, &[UA, UB, UA, ALICE], &[ALICE]), Err(Barred::NotTheOwners));
}

#[test]
fn m4976_13_what_names_no_living_uri_of_ours_goes_nowhere() {
    let mut scene = Scene::with_a_and_b();
    let elsewhere = UA.replace("r.example", "s.example");
    let plain = UA.replace("msrps", "msrp");

    for uri in [UX, &elsewhere, &plain, BOB, "msrps://r.example;tcp"] {
        assert_eq!(scene.way(A, &[uri, BOB], &[ALICE]), Err(Barred::NotOurs), "{uri}");
    }
    assert_eq!(scene.way(A, &[UA], &[ALICE]), Err(Barred::EndsHere));
}

#[test]
fn m4976_05_a_uri_dies_when_its_time_is_over() {
    let mut scene = Scene::with_a_and_b();

    scene.now += LIFE.checked_sub(Duration::from_nanos(1)).unwrap();
    assert!(scene.way(P, &[UA, ALICE], &[BOB]).is_ok());
    scene.now += Duration::from_nanos(1);
    assert_eq!(scene.way(P, &[UA, ALICE], &[BOB]), Err(Barred::NotOurs));

    scene.grants.sweep(scene.now);
    assert!(scene.grants.is_empty() && scene.grants.counts.is_empty());
    assert!(scene.grants.peers.is_empty());
}

#[test]
fn m4976_06_a_uri_dies_with_the_connection_of_its_client() {
    let mut scene = Scene::with_a_and_b();

    scene.grants.lose(A);

    assert_eq!(scene.way(P, &[UA, ALICE], &[BOB]), Err(Barred::NotOurs));
    assert_eq!(scene.way(B, &[UB, ALICE], &[BOB]).unwrap().2, dial(ALICE));
}

#[test]
fn two_clients_of_one_relay_reach_each_other_over_both_uris() {
    let mut scene = Scene::with_a_and_b();

    let there = scene.way(A, &[UA, UB, BOB], &[ALICE]).unwrap();
    let back = scene.way(B, &[UB, UA, ALICE], &[BOB]).unwrap();

    assert_eq!(there, (BOB.into(), format!("{UB} {UA} {ALICE}"), Next::Hop(B)));
    assert_eq!(back, (ALICE.into(), format!("{UA} {UB} {BOB}"), Next::Hop(A)));
}

#[test]
fn the_far_side_is_reached_by_the_connection_it_came_on_first_as_long_as_that_lives() {
    let mut scene = Scene::with_a_and_b();
    scene.way(P, &[UA, ALICE], &[BOB]).unwrap();

    // Somebody else claims to be Bob.
    scene.way(R2, &[UA, ALICE], &[BOB]).unwrap();
    assert_eq!(scene.way(A, &[UA, BOB], &[ALICE]).unwrap().2, Next::Hop(P));
    assert!(scene.grants.uses(P) && !scene.grants.uses(R2));

    scene.grants.lose(P);
    assert_eq!(scene.way(A, &[UA, BOB], &[ALICE]).unwrap().2, dial(BOB));
    assert!(!scene.grants.uses(P));
    assert!(scene.way(R2, &[UA, ALICE], &[BOB]).is_ok());
    assert_eq!(scene.way(A, &[UA, BOB], &[ALICE]).unwrap().2, Next::Hop(R2));
}

#[test]
fn s6_3_a_uri_of_a_relay_is_good_on_any_connection_on_which_it_proves_its_name() {
    let mut scene = scene();
    scene.add(UA, Owner::Relay("r2.example".into()), R2).unwrap();
    let proved = |hop| Previous { hop, relay: Some("R2.example") };

    assert_eq!(scene.way_of(&proved(B), &[UA, BOB], &[AT_R2]).unwrap().2, dial_for("user9", BOB));
    assert_eq!(scene.way(P, &[UA, AT_R2, ALICE], &[BOB]).unwrap().2, Next::Hop(R2));
    // Without the proof it is somebody else, and towards another name it is not the way back.
    assert_eq!(scene.way(B, &[UA, BOB], &[AT_R2]), Err(Barred::NotTheOwners));
    assert_eq!(scene.way(P, &[UA, ALICE], &[BOB]), Err(Barred::NotTheOwners));
}

#[test]
fn s6_3_a_uri_of_a_relay_outlives_its_connection_and_finds_the_next() {
    let mut scene = scene();
    scene.add(UA, Owner::Relay("r2.example".into()), R2).unwrap();

    scene.grants.lose(R2);

    assert_eq!(scene.way(P, &[UA, AT_R2, ALICE], &[BOB]).unwrap().2, dial_for("user9", AT_R2));
    let proved = Previous { hop: B, relay: Some("r2.example") };
    scene.way_of(&proved, &[UA, BOB], &[AT_R2]).unwrap();
    assert_eq!(scene.way(P, &[UA, AT_R2, ALICE], &[BOB]).unwrap().2, Next::Hop(B));
}

#[test]
fn there_are_only_so_many_uris_in_all_and_on_one_connection() {
    let mut scene = Scene::with_a_and_b();
    let uri = |n: u64| format!("msrps://r.example:2855/n{n};tcp");

    scene.add(&uri(1), Owner::Client(A), A).unwrap();
    assert_eq!(scene.add(&uri(2), Owner::Client(A), A), Err(TooMany));
    scene.add(&uri(3), Owner::Client(P), P).unwrap();
    assert_eq!(scene.add(&uri(4), Owner::Client(R2), R2), Err(TooMany));
    scene.grants.lose(P);
    scene.add(&uri(5), Owner::Client(R2), R2).unwrap();
    scene.now += LIFE;
    scene.add(&uri(6), Owner::Client(A), A).unwrap();
    assert_eq!(scene.grants.len(), 1);
}

#[test]
fn the_users_behind_one_relay_have_their_own_bounds_and_none_has_more_elsewhere() {
    let mut scene = scene();
    let relay = || Owner::Relay("r2.example".into());
    let uri = |n: u64| format!("msrps://r.example:2855/n{n};tcp");
    for n in 1..=3 {
        scene.add_for("alice", &uri(n), relay(), R2).unwrap();
    }

    assert_eq!(scene.add_for("alice", &uri(4), relay(), R2), Err(TooMany));
    assert_eq!(scene.add_for("alice", &uri(4), Owner::Client(A), A), Err(TooMany));
    // The connection has three already, and it is a relay's.
    scene.add_for("bob", &uri(4), relay(), R2).unwrap();

    scene.now += LIFE;
    scene.grants.sweep(scene.now);
    assert!(scene.grants.users.is_empty() && scene.grants.counts.is_empty());
}

#[test]
fn m4976_13_a_path_that_the_next_hop_would_not_read_goes_nowhere() {
    let mut scene = Scene::with_a_and_b();
    let from = |uris: usize| vec![ALICE; uris];

    assert!(scene.way(A, &[UA, BOB], &from(15)).is_ok());
    assert_eq!(scene.way(A, &[UA, BOB], &from(16)), Err(Barred::TooLong));
    // It passes two URIs of ours.
    assert!(scene.way(A, &[UA, UB, BOB], &from(14)).is_ok());
    assert_eq!(scene.way(A, &[UA, UB, BOB], &from(15)), Err(Barred::TooLong));
    let long = format!("msrps://alice.example:9/{};tcp", "a".repeat(8130));
    assert_eq!(scene.way(P, &[UA, ALICE], &[&long]), Err(Barred::TooLong));
    assert!(!scene.grants.uses(P), "it is remembered for nothing");
}

#[test]
fn a_uri_remembers_only_so_many_peers() {
    let mut scene = Scene::with_a_and_b();

    for n in 0..20 {
        let claimed = format!("msrps://p.example:9/p{n};tcp");
        scene.way(Hop { shard: 0, connection: 100 + n }, &[UA, ALICE], &[&claimed]).unwrap();
    }

    assert_eq!(scene.grants.peers.len(), PEERS_MAX);
}
