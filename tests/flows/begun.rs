//! A device that is cut off from its servers in the middle of something: it dies when it has begun a circle and nobody has
//! heard of that, and finds its way into the one that others have begun meanwhile; or it cannot look up what a message needs.
use std::net::SocketAddr;

use client::{Device, Manner, Profile, Vault, VaultKey};
use ids::Aor;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::circles::{letter, opened, reads, write};
use crate::{House, soon};

/// What stands between a device and its server, and lets nothing more through to that once it is shut.
pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    pub(crate) shut: watch::Sender<bool>,
    /// Something came to the gate that was shut.
    pub(crate) held: mpsc::UnboundedReceiver<()>,
}

impl Gate {
    pub(crate) async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shut, is_shut) = watch::channel(false);
        let (holds, held) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((client, _from)) = listener.accept().await {
                let server = TcpStream::connect(server).await.unwrap();
                tokio::spawn(pass(client, server, is_shut.clone(), holds.clone()));
            }
        });
        Self { address, shut, held }
    }
}

async fn pass(
    client: TcpStream,
    server: TcpStream,
    is_shut: watch::Receiver<bool>,
    holds: mpsc::UnboundedSender<()>,
) {
    let ((mut asks, mut told), (mut answers, mut hears)) =
        (client.into_split(), server.into_split());
    let back = tokio::spawn(async move { tokio::io::copy(&mut answers, &mut told).await });
    let mut octets = vec![0; 16 * 1024];
    while let Ok(count) = asks.read(&mut octets).await {
        if *is_shut.borrow() {
            holds.send(()).unwrap();
            break;
        }
        if count == 0 || hears.write_all(octets.get(..count).unwrap()).await.is_err() {
            break;
        }
    }
    back.abort();
}

#[tokio::test]
async fn f11_who_dies_with_a_circle_begun_that_nobody_has_heard_of_comes_into_the_one_of_others() {
    let house = House::open();
    let (bob, alice) = (house.guest("bob").await, "sip:alice@localhost".parse::<Aor>().unwrap());
    let mut his = bob.device.inbox();
    let mut gate = Gate::before(house.directions.sip).await;
    let folder = tempfile::tempdir().unwrap();
    let key = VaultKey::KeyFile(folder.path().join("key"));
    let vault = Vault::open(&folder.path().join("state"), &key).unwrap();
    let mut profile: Profile = house.directions.profile("alice").unwrap();
    profile.system.sip = gate.address;
    let (device, _invitations) = soon(Device::open(profile, vault.clone())).await.unwrap();

    gate.shut.send_replace(true);
    let to = std::slice::from_ref(&bob.aor);
    tokio::select! {
        sent = device.write(to, Manner::default(), "text/plain", "lost with its device".into()) => {
            panic!("nobody can have taken it: {sent:?}")
        }
        held = soon(gate.held.recv()) => held.unwrap(),
    }
    device.vanish().await;
    drop(vault);
    write(&bob.device, &alice, "I have begun").await;

    let (device, _vault) = opened(&house, &folder, "alice").await;
    let mut hers = device.inbox();
    assert_eq!(&letter(&mut hers).await.message.body[..], b"I have begun");
    write(&device, &bob.aor, "and I have come").await;
    assert_eq!(&letter(&mut his).await.message.body[..], b"and I have come");
}

/// It comes over one connection, and what is needed to read it over another, which is away for a while.
#[tokio::test]
async fn f11_what_cannot_be_read_for_now_is_read_when_it_can_be_and_not_at_the_next_start() {
    let house = House::open();
    let alice = house.guest("alice").await;
    let mut gate = Gate::before(house.directions.https).await;
    let mut profile: Profile = house.directions.profile("bob").unwrap();
    profile.system.https = gate.address;
    let bob = profile.aor.clone();
    let (device, _invitations) = soon(Device::start(profile)).await.unwrap();
    let mut his = device.inbox();
    write(&alice.device, &bob, "one").await;
    reads(&mut his, &alice.aor, "one").await;

    gate.shut.send_replace(true);
    // It enters the circle by itself, so that what it writes is of an epoch that bob has not seen.
    let tablet = house.guest("alice").await;
    write(&tablet.device, &bob, "two").await;
    soon(gate.held.recv()).await.unwrap();
    gate.shut.send_replace(false);

    reads(&mut his, &alice.aor, "two").await;
}
