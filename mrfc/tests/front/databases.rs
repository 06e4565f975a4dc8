//! Of several MRFCs on one database one leads: a file is locked, of a server's database the others stand by.
#[path = "../../../common/store/tests/engines/server.rs"]
mod server;

use std::time::Duration;

use mrfc::StartError;
use mrfc::database::Location;
use service::clock;
use store::Store;

use crate::relay::Manner;
use crate::world::World;

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_second_mrfc_on_one_file_is_told_who_has_it() {
    let world = World::start().await;

    let refused = world.another().await.unwrap().unwrap_err();

    assert!(matches!(refused, StartError::DatabaseInUse { .. }), "{refused}");
    assert!(refused.to_string().contains("mrfc.sqlite.lock"), "{refused}");
}

#[tokio::test]
async fn a_second_mrfc_on_one_server_stands_by_and_takes_over() {
    let Some(url) = server::database().await else { return };
    let mut world = World::with(Manner::Prompt, |config| {
        config.store.path = "".into();
        config.store.url = Some(url.clone());
    })
    .await;
    let store = Store::open(&url.parse::<Location>().unwrap()).await.unwrap();
    let first = store.lease("focus").await.unwrap().unwrap();
    // Both are of this process, and so of one name; a focus elsewhere has another.
    let (lease, now) = (first.clone(), clock::wall());
    let elsewhere = store.take_lease("focus", "elsewhere:1", (now, now + HOUR)).await;
    assert!(matches!(elsewhere, Err(store::Error::Held { .. })), "{elsewhere:?}");

    world.stop();
    world.ended().await.unwrap();

    let next = store.take_lease("focus", "elsewhere:1", (now, now + HOUR)).await.unwrap();
    assert_eq!(next.term, lease.term + 1);
    let mut second = world.another();
    let waits = tokio::time::timeout(Duration::from_secs(1), &mut second).await;
    assert!(waits.is_err(), "it stands by");
    store.release_lease(&next).await.unwrap();
    let second = second.await.unwrap().unwrap();
    assert_eq!(store.lease("focus").await.unwrap().unwrap().term, next.term + 1);
    drop(second);
}

#[tokio::test]
async fn an_mrfc_that_has_lost_its_lease_stops_and_says_so() {
    let Some(url) = server::database().await else { return };
    let mut world = World::with(Manner::Prompt, |config| {
        config.store.path = "".into();
        config.store.url = Some(url.clone());
        config.store.lease_secs = 1;
    })
    .await;
    let store = Store::open(&url.parse::<Location>().unwrap()).await.unwrap();

    // Its clock is an hour ahead, so to it our lease is over.
    let now = clock::wall() + HOUR;
    store.take_lease("focus", "elsewhere:1", (now, now + HOUR)).await.unwrap();

    let ended = tokio::time::timeout(Duration::from_secs(60), world.ended()).await.unwrap();
    assert!(matches!(ended, Err(StartError::LeaseLost)), "{ended:?}");
}
