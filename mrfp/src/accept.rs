//! Takes connections and hands each to the shard that has fewest. It reads nothing from them: a peer that says nothing
//! costs a socket and its place in the count, for some seconds.
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use control::Transport;
use service::clock;
use service::shutdown::Shutdown;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};

use crate::config::Limits;
use crate::doors::{Errand, Newcomer};
use crate::pair::Spot;
use crate::places::Taking;
use crate::plane::Plane;

/// A quiet connection is probed this often: NAT bindings stay alive.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// A probe without an answer is repeated this soon. A dead peer is found with the ninth, or when
/// `limits.unacknowledged_secs` have passed.
const PROBE: Duration = Duration::from_secs(15);

/// Accepts until `shutdown`.
pub(crate) async fn accept(
    (transport, listener): (Transport, TcpListener),
    plane: Arc<Plane>,
    shutdown: Shutdown,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.triggered() => return,
        };
        match accepted {
            Ok((socket, peer)) => {
                if let Err(bound) = hand_over(socket, peer, transport, &plane) {
                    plane.metrics.connections_refused.with_label_values(&[bound]).inc();
                }
            }
            Err(error) => {
                // Out of descriptors, most likely: others must end first.
                tracing::warn!(%error, "accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// The bound that was met, or nothing.
fn hand_over(
    socket: TcpStream,
    peer: SocketAddr,
    transport: Transport,
    plane: &Plane,
) -> Result<(), &'static str> {
    let address = peer.ip();
    let network = network(address);
    if !plane.may_connect(network, clock::now()) {
        return Err("address_rate");
    }
    let per_address = plane.limits.connections_per_address_max;
    let slot = plane.registry.slot(network, per_address).ok_or("address")?;
    prepare(&socket, &plane.limits).map_err(|_| "socket")?;
    let socket = socket.into_std().map_err(|_| "socket")?;
    let shard = plane.place().ok_or("connections")?;
    let Taking { place: half_open, evicted } =
        plane.places.take(network).inspect_err(|_| plane.leave(shard))?;
    let newcomer = Newcomer { socket, address, transport, slot, half_open };
    plane.doors.push(shard, Errand::Serve(newcomer));
    if let Some(evicted) = evicted {
        // It has met the bound in the newcomer's stead.
        plane.metrics.connections_refused.with_label_values(&["half_open"]).inc();
        if let Some(Spot { shard, connection }) = evicted {
            plane.doors.push(shard, Errand::Displaced { connection });
        }
    }
    Ok(())
}

/// Whom the bounds of one address count: of IPv6 the network's 64 bits, for who has one of its addresses has them all.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(prefix))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Sets up a connection, whichever end opened it.
pub(crate) fn prepare(socket: &TcpStream, limits: &Limits) -> std::io::Result<()> {
    // Everything that belongs together is written together, so there is nothing to wait for.
    socket.set_nodelay(true)?;
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(PROBE);
    let socket = SockRef::from(socket);
    socket.set_tcp_keepalive(&keep_alive)?;
    // A peer that is gone is found also where something is on its way to it, and where its window is shut (RFC 5482).
    match limits.unacknowledged_secs {
        0 => Ok(()),
        secs => socket.set_tcp_user_timeout(Some(Duration::from_secs(secs))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_peer_that_acknowledges_nothing_has_as_long_as_the_configuration_says() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let timeout = || SockRef::from(&socket).tcp_user_timeout().unwrap();

        prepare(&socket, &Limits { unacknowledged_secs: 0, ..Limits::default() }).unwrap();
        assert_eq!(timeout(), None);
        prepare(&socket, &Limits { unacknowledged_secs: 90, ..Limits::default() }).unwrap();
        assert_eq!(timeout(), Some(Duration::from_secs(90)));
        assert!(SockRef::from(&socket).keepalive().unwrap() && socket.nodelay().unwrap());
    }

    #[test]
    fn the_addresses_of_an_ipv6_network_count_as_one_and_those_of_ipv4_each() {
        let same = |a: &str, b: &str| network(a.parse().unwrap()) == network(b.parse().unwrap());

        assert!(same("2001:db8:0:7::1", "2001:db8:0:7:ffff::9"));
        assert!(!same("2001:db8:0:7::1", "2001:db8:0:8::1"));
        assert!(!same("192.0.2.1", "192.0.2.2"));
        assert!(same("192.0.2.1", "::ffff:192.0.2.1"));
    }
}
