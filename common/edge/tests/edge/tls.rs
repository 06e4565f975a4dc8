//! Who is let in, and who is believed.
use std::time::Duration;

use bytes::Bytes;
use edge::{Closed, Dial, EdgeEvent, EdgeLimits, Listen, OpenedBy, Refused, Security, Target};
use rustls::pki_types::ServerName;
use service::tls::{ClientAuth, Trust, client_config, server_config};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{World, any, soon};

#[tokio::test]
async fn a_silent_client_on_the_tls_port_keeps_nobody_out_and_is_ended() {
    let limits = EdgeLimits { handshake: Duration::from_millis(300), ..EdgeLimits::default() };
    let mut world = World::tls(limits).await;
    let mut silent = TcpStream::connect(world.address).await.unwrap();

    world.assert_serves().await;

    assert_eq!(world.refused().await, Refused::Slow);
    assert_eq!(soon(silent.read(&mut [0; 8])).await.unwrap(), 0);
}

#[tokio::test]
async fn silent_clients_that_take_every_place_make_room_for_the_next() {
    let limits = EdgeLimits { half_open_max: 3, ..EdgeLimits::default() };
    let mut world = World::tls(limits).await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(TcpStream::connect(world.address).await.unwrap());
    }

    // The fourth and fifth end the first and second, long before their time is out.
    for _ in 0..2 {
        silent.push(TcpStream::connect(world.address).await.unwrap());
        assert_eq!(world.refused().await, Refused::Slow);
    }
    let client = world.dial().await;

    let refused = world.refused().await;
    let flow = world.opened().await;
    drop(client);
    assert_eq!(refused, Refused::Slow);
    assert_eq!(world.closed().await, (flow, Closed::ByPeer));
}

/// S3-02, S3-09.
#[tokio::test]
async fn rfc5922_a_server_with_another_name_is_not_believed() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let server_name = ServerName::try_from("evil.example.net").unwrap();
    let security = Dial::Tls { config: world.client_tls(), server_name };

    let flow = world.edge.connect(Target { address: world.address, security });

    let (mut dialled, mut accepted) = (None, None);
    while dialled.is_none() || accepted.is_none() {
        match world.event().await {
            EdgeEvent::Closed { flow: closed, why } if closed == flow => dialled = Some(why),
            EdgeEvent::Refused { why, .. } => accepted = Some(why),
            // In TLS 1.3 the server may be through before the client refuses.
            EdgeEvent::Closed { .. } => accepted = Some(Refused::Handshake),
            EdgeEvent::Opened { flow: opened, .. } => assert_ne!(opened, flow),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(dialled, Some(Closed::Handshake));
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_not_connected() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let nobody = tokio::net::TcpListener::bind(any()).await.unwrap().local_addr().unwrap();

    let flow = world.edge.connect(Target { address: nobody, ..world.target() });

    assert_eq!(world.closed().await, (flow, Closed::NotConnected));
}

#[tokio::test]
async fn the_certificate_of_the_client_is_told_if_it_shows_one() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let identity = world.ca.issue(&["core.example.net"]).unwrap();
    let trust = Trust::Roots(world.ca.roots().unwrap());
    let config = client_config(trust, Some(&identity), &[]).unwrap();
    let server_name = ServerName::try_from("sip.example.net").unwrap();

    let flow = world
        .edge
        .connect(Target { address: world.address, security: Dial::Tls { config, server_name } });

    let mut seen = None;
    for _ in 0..2 {
        let EdgeEvent::Opened { flow: opened, peer } = world.event().await else { panic!() };
        match peer.opened_by {
            OpenedBy::Us => assert_eq!(opened, flow),
            OpenedBy::Them => seen = Some(peer.security),
        }
    }
    let certificate = Some(Bytes::copy_from_slice(identity.certificate()));
    assert_eq!(seen, Some(Security::Tls { certificate }));
}

#[tokio::test]
async fn a_client_without_the_certificate_it_needs_is_refused() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let roots = world.ca.roots().unwrap();
    let identity = world.ca.issue(&["sip.example.net"]).unwrap();
    let config = server_config(&identity, ClientAuth::Required(roots), &[]).unwrap();
    world.address = world.edge.listen(any(), Listen::Tls(config)).await.unwrap();

    let mut client = world.dial().await;

    assert_eq!(world.refused().await, Refused::Handshake);
    assert!(soon(client.read(&mut [0; 8])).await.is_err(), "an alert came");
}

/// S0-09, S1-06, S2-NR1, S2-OR1.
#[tokio::test]
async fn plain_text_on_the_tls_port_is_refused() {
    let mut world = World::tls(EdgeLimits::default()).await;
    let mut client = TcpStream::connect(world.address).await.unwrap();

    client.write_all(b"OPTIONS sip:room7@example.net SIP/2.0\r\n\r\n").await.unwrap();

    assert_eq!(world.refused().await, Refused::Handshake);
    world.assert_serves().await;
}
