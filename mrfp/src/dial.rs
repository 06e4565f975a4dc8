//! The relay as the active side of a connection (RFC 4975, 5.4; RFC 6135): finds the peer, connects, checks who it is,
//! and uses a connection that stands for the same peer. What is sent over it is for whoever dials.
//!
//! [`dial`] is called on a shard and gives a connection of that shard. All that goes to one host and port should be
//! dialled on [`Plane::shard_for`] of it, or there will be one connection for each shard.
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use control::{Cause, Transport};
use ids::{ConferenceId, SeatId};
use msrp::{Scheme, Uri};
use rustls::pki_types::ServerName;
use service::clock;
use service::tls::{Named, TlsError, Trust, live_client_config};
use tokio::net::TcpStream;

use crate::accept;
use crate::connection::{self, Connection, Held};
use crate::plane::Plane;
use crate::shard::Shard;
use crate::wire::{Wire, WireError};

/// Whom to connect to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Leads to the peer; its host is the name that the certificate must carry.
    pub(crate) uri: Uri,
    /// `host:port` to connect to instead (RFC 6714).
    pub(crate) to: Option<String>,
    /// What makes the peer the right one.
    pub(crate) peer: Peer,
    /// Where the host may be.
    pub(crate) at: At,
}

/// Where a host may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// Anywhere: the focus has said so.
    Anywhere,
    /// Where `relay.private_next_hops` allows it: a client has said so.
    Allowed,
}

/// What makes a peer the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// One of the certificates that signalling named.
    Named(Arc<Named>),
    /// A certificate for the URI's host, under the roots of `msrp.peer_ca_file`.
    Authority,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("a transport that is not for us to open")]
    Transport,
    #[error("no host and port to connect to")]
    Place,
    #[error("nothing says what certificate the peer must have")]
    Unknown,
    #[error("no address answers: {0}")]
    Unreachable(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("not in time")]
    Late,
    #[error("the peer was not the right one, or hung up")]
    Ended,
    #[error("too many connections")]
    Full,
}

/// What two uses of one connection must agree in.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    transport: Transport,
    host: String,
    /// None: where the records of the service say, or 2855.
    port: Option<u16>,
    /// The name of the peer, in brackets if it is an IPv6 address.
    name: String,
    peer: Peer,
    at: At,
}

impl Key {
    fn of(target: &Target) -> Result<Self, DialError> {
        let uri = &target.uri;
        let transport = match uri.scheme() {
            _ if !uri.transport().eq_ignore_ascii_case("tcp") => return Err(DialError::Transport),
            Scheme::Msrps => Transport::Tls,
            Scheme::Msrp => Transport::Tcp,
        };
        let name = uri.host().to_ascii_lowercase();
        let (host, port) = match &target.to {
            None => (name.clone(), uri.port()),
            Some(to) => {
                let (host, port) = to.rsplit_once(':').ok_or(DialError::Place)?;
                let port = port.parse().map_err(|_| DialError::Place)?;
                (host.to_ascii_lowercase(), Some(port))
            }
        };
        // RFC 4145, 4.1: port 9 is of one who connects, not of one to connect to.
        if host.is_empty() || matches!(port, Some(0 | 9)) {
            return Err(DialError::Place);
        }
        Ok(Self { transport, host, port, name, peer: target.peer.clone(), at: target.at })
    }

    fn wire(&self, plane: &Plane) -> Result<Wire, DialError> {
        if self.transport == Transport::Tcp {
            let allowed = plane.authorities.of(Transport::Tcp).is_some();
            return if allowed { Ok(Wire::plain()) } else { Err(DialError::Transport) };
        }
        let trust = match &self.peer {
            Peer::Named(named) => Trust::Named((**named).clone()),
            Peer::Authority => {
                Trust::Roots(plane.peers.as_ref().ok_or(DialError::Unknown)?.roots())
            }
        };
        let config = live_client_config(trust, &plane.identity, &[])?;
        let name = ServerName::try_from(bare(&self.name).to_owned());
        Ok(Wire::dialled(config, name.map_err(|_| DialError::Place)?)?)
    }
}

/// A host without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// The connections a shard has opened.
#[derive(Default)]
pub(crate) struct Pool {
    /// By host and port.
    open: HashMap<(String, Option<u16>), Vec<Opened>>,
}

type Opened = (Key, Weak<Connection>);

impl Pool {
    /// RFC 4975, 5.4: one that stands, to the same peer by the same proof of who it is.
    fn find(&mut self, key: &Key) -> Option<Rc<Connection>> {
        let place = (key.host.clone(), key.port);
        let here = self.open.get_mut(&place)?;
        here.retain(|(_, known)| known.upgrade().is_some_and(|known| known.is_alive()));
        let found = here.iter().find(|(its, _)| its == key).and_then(|(_, it)| it.upgrade());
        if here.is_empty() {
            self.open.remove(&place);
        }
        found
    }

    fn add(&mut self, key: Key, connection: &Rc<Connection>) {
        let here = self.open.entry((key.host.clone(), key.port)).or_default();
        here.retain(|(_, known)| known.upgrade().is_some());
        here.push((key, Rc::downgrade(connection)));
    }
}

/// A connection to the target: one that stands, or a new one. Its handshake is done when this returns.
pub(crate) async fn dial(shard: &Rc<Shard>, target: &Target) -> Result<Held, DialError> {
    let key = Key::of(target)?;
    let found = shard.dialled.borrow_mut().find(&key);
    let limit = Duration::from_secs(shard.plane.limits.dial_secs);
    let agreed = async {
        let held = match found {
            Some(connection) => connection.hold(),
            None => open(shard, key).await?,
        };
        if held.agreed().await { Ok(held) } else { Err(DialError::Ended) }
    };
    tokio::time::timeout(limit, agreed).await.map_err(|_| DialError::Late)?
}

async fn open(shard: &Rc<Shard>, key: Key) -> Result<Held, DialError> {
    let wire = key.wire(&shard.plane)?;
    let serves = key.transport == Transport::Tls;
    let addresses = shard.plane.resolver.places(bare(&key.host), key.port, serves).await?;
    // The name is looked up once: what is checked is what is dialled.
    let rules = shard.plane.transit.as_ref().map(|transit| &transit.rules);
    let allowed = |address: &SocketAddr| {
        key.at == At::Anywhere || rules.is_some_and(|rules| rules.may_reach(*address))
    };
    let addresses = addresses.into_iter().filter(allowed);
    let each = Duration::from_secs(shard.plane.limits.dial_secs.div_ceil(3));
    let socket = first_of(addresses, each).await?;
    accept::prepare(&socket, &shard.plane.limits)?;
    let wire = (key.transport, wire);
    let held =
        connection::outgoing(shard, socket, wire, clock::now()).map_err(|_| DialError::Full)?;
    shard.dialled.borrow_mut().add(key, &held);
    Ok(held)
}

/// RFC 4975, 6.2: the addresses in their order, until one answers.
async fn first_of(
    addresses: impl Iterator<Item = SocketAddr>,
    each: Duration,
) -> io::Result<TcpStream> {
    let mut last = io::ErrorKind::NotFound.into();
    for address in addresses {
        match tokio::time::timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => return Ok(socket),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// Connects to the participant of a seat, and binds its session. If that fails the seat is lost.
pub(crate) async fn seat(
    shard: Rc<Shard>,
    (conference, seat): (ConferenceId, SeatId),
    to: Option<String>,
) {
    let registry = &shard.plane.registry;
    let wanted = || {
        let ticket = registry.ticket_of(&conference, seat)?;
        let peer = ticket.peer.clone()?;
        Some((ticket, peer))
    };
    let Some((ticket, peer)) = wanted() else { return };
    let proof = ticket.named.map_or(Peer::Authority, Peer::Named);
    let target = Target { uri: peer.first().clone(), to, peer: proof, at: At::Anywhere };
    let dialled = dial(&shard, &target).await;
    // Meanwhile it may have ended by order.
    let Some((ticket, peer)) = wanted() else { return };
    let relay = Arc::clone(&ticket.relay);
    let sat = match dialled {
        Ok(held) => held.sit(&shard, ticket, peer).map_err(|refusal| refusal.label().to_owned()),
        Err(error) => Err(error.to_string()),
    };
    if let Err(error) = sat {
        tracing::debug!(%conference, %seat, error, "not connected");
        relay.unreached(seat, Cause::Disconnected);
        registry.remove_ticket(&relay, &conference, seat);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m4975_23_an_explicit_port_is_used_and_port_9_is_nobody() {
        let key = |uri: &str, to: Option<&str>| {
            let to = to.map(str::to_owned);
            Key::of(&Target {
                uri: uri.parse().unwrap(),
                to,
                peer: Peer::Authority,
                at: At::Anywhere,
            })
            .map(|key| (key.transport, key.host, key.port, key.name))
            .map_err(|error| error.to_string())
        };
        let of = |transport, host: &str, port, name: &str| {
            Ok((transport, host.to_owned(), port, name.to_owned()))
        };

        let (tls, tcp) = (Transport::Tls, Transport::Tcp);
        assert_eq!(key("msrps://A.example/s;tcp", None), of(tls, "a.example", None, "a.example"));
        assert_eq!(key("msrp://[::1]:7/s;tcp", None), of(tcp, "[::1]", Some(7), "[::1]"));
        // RFC 6714, 4.2.2: the connection goes where c= and m= say, and the name stays the path's.
        let sbc = Some("sbc.example:99");
        assert_eq!(
            key("msrps://a.example:1/s;tcp", sbc),
            of(tls, "sbc.example", Some(99), "a.example")
        );
        for (uri, to) in [
            ("msrps://a.example:9/s;tcp", None),
            ("msrps://a.example:1/s;ws", None),
            ("msrps://a.example:1/s;tcp", Some("sbc.example")),
            ("msrps://a.example:1/s;tcp", Some(":7")),
        ] {
            assert!(key(uri, to).is_err(), "{uri}");
        }
    }

    #[tokio::test]
    async fn m4975_23_a_dead_address_is_passed_over() {
        let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let alive = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let alive_at = alive.local_addr().unwrap();

        let socket = first_of([dead, alive_at].into_iter(), Duration::from_secs(20)).await;

        assert_eq!(socket.unwrap().peer_addr().unwrap(), alive_at);
        assert!(first_of([dead].into_iter(), Duration::from_secs(20)).await.is_err());
    }
}
