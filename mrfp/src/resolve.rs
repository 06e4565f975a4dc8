//! Where the host of an MSRP URI is: its addresses, and where the URI names no port the servers that its domain names
//! for the service (RFC 4975, 6.2; RFC 4976, 8). Nothing is connected to from here; whether an address may be is for
//! `transit/rules`, and what proves the peer for `dial`: its certificate, whatever a name server says.
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolverConfig,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, rdata::SRV};
use rand::{Rng, RngCore};

/// RFC 4975, 15.4.
pub(crate) const PORT: u16 = 2855;

/// Addresses of one host that are tried.
pub(crate) const ADDRESSES_MAX: usize = 8;

/// One question to a name server, of which it has two attempts.
const ANSWER: Duration = Duration::from_secs(2);

/// Asks name servers.
pub(crate) struct Resolver {
    dns: TokioResolver,
}

impl std::fmt::Debug for Resolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

impl Resolver {
    /// Asks this server, or those of the system. Without any there are the names that the system's hosts file has.
    pub(crate) fn new(nameserver: Option<SocketAddr>) -> io::Result<Self> {
        let runtime = TokioRuntimeProvider::default();
        let of = |config| TokioResolver::builder_with_config(config, runtime.clone());
        let mut builder = match nameserver {
            Some(server) => of(asking(server)),
            None => TokioResolver::builder_tokio().unwrap_or_else(|error| {
                tracing::warn!(%error, "the system names no name server");
                of(ResolverConfig::default())
            }),
        };
        let options = builder.options_mut();
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        (options.timeout, options.attempts) = (ANSWER, 2);
        Ok(Self { dns: builder.build().map_err(io::Error::other)? })
    }

    /// The addresses of a host, to be tried one after the other. Without a port, and where there may be a record of the
    /// service, those of the servers that it names.
    pub(crate) async fn places(
        &self,
        host: &str,
        port: Option<u16>,
        serves: bool,
    ) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port.unwrap_or(PORT))]);
        }
        if port.is_none() && serves {
            let servers = self.servers(host).await;
            if !servers.is_empty() {
                return Ok(self.of_servers(&servers).await);
            }
        }
        self.of_host(host, port.unwrap_or(PORT)).await
    }

    async fn of_host(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        let found = self.dns.lookup_ip(host).await.map_err(io::Error::other)?;
        Ok(found.iter().map(|address| SocketAddr::new(address, port)).take(ADDRESSES_MAX).collect())
    }

    /// RFC 4976, 8: no record is no error, for then the host itself is asked.
    async fn servers(&self, domain: &str) -> Vec<SRV> {
        let name = format!("_msrps._tcp.{}.", domain.trim_end_matches('.'));
        let Ok(found) = self.dns.srv_lookup(name).await else { return Vec::new() };
        let records = found.answers().iter().filter_map(|record| match &record.data {
            RData::SRV(server) => Some(server.clone()),
            _ => None,
        });
        in_turn(records.collect(), &mut crate::plane::random())
    }

    async fn of_servers(&self, servers: &[SRV]) -> Vec<SocketAddr> {
        let mut places = Vec::new();
        for server in servers.iter().take(ADDRESSES_MAX) {
            // RFC 2782: a target of "." says that the service is not there. RFC 4145, 4.1: nobody listens on port 9.
            if server.target.is_root() || matches!(server.port, 0 | 9) {
                continue;
            }
            if let Ok(found) = self.of_host(&server.target.to_utf8(), server.port).await {
                places.extend(found);
            }
            if places.len() >= ADDRESSES_MAX {
                break;
            }
        }
        places.truncate(ADDRESSES_MAX);
        places
    }
}

fn asking(server: SocketAddr) -> ResolverConfig {
    let ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut way| {
        way.port = server.port();
        way
    });
    let server = NameServerConfig::new(server.ip(), true, ways.into());
    ResolverConfig::from_name_servers(vec![server])
}

/// RFC 2782: the lowest priority first, and among equals by chance, each as often as its weight says.
fn in_turn(mut servers: Vec<SRV>, rng: &mut impl RngCore) -> Vec<SRV> {
    servers.sort_by_key(|server| (server.priority, server.weight));
    let mut turn = Vec::with_capacity(servers.len());
    while let Some(priority) = servers.first().map(|server| server.priority) {
        let equals = servers.iter().take_while(|server| server.priority == priority);
        let sum: u64 = equals.map(|server| u64::from(server.weight)).sum();
        let mut left = rng.random_range(0..=sum);
        let at = servers.iter().position(|server| {
            let weight = u64::from(server.weight);
            let chosen = weight >= left;
            left = left.saturating_sub(weight);
            chosen
        });
        turn.push(servers.remove(at.unwrap_or_default()));
    }
    turn
}

#[cfg(test)]
#[path = "../tests/common/dns.rs"]
mod dns;

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::dns::{Dns, Record};
    use super::*;

    fn server(priority: u16, weight: u16, port: u16) -> SRV {
        SRV::new(priority, weight, port, "a.test.".parse().unwrap())
    }

    #[test]
    fn m4976_16_a_lower_priority_comes_first_and_a_greater_weight_more_often() {
        let mut rng = StdRng::seed_from_u64(1);
        let (mut firsts, all) = ([0; 3], [server(1, 90, 0), server(0, 10, 1), server(0, 30, 2)]);

        for _ in 0..1000 {
            let turn = in_turn(all.to_vec(), &mut rng);
            assert_eq!((turn.len(), turn[2].port), (3, 0));
            firsts[usize::from(turn[0].port)] += 1;
        }

        assert_eq!(firsts[0], 0);
        assert!((600..900).contains(&firsts[2]), "{firsts:?}");
    }

    #[tokio::test]
    async fn m4976_16_without_a_port_the_records_of_the_service_count_and_without_any_2855() {
        let dns = Dns::new(vec![
            ("_msrps._tcp.served.test", Record::Srv(0, 9000, "a.test")),
            ("_msrps._tcp.gone.test", Record::Srv(0, 9000, "")),
            ("_msrps._tcp.gone.test", Record::Srv(1, 9, "a.test")),
            ("served.test", Record::Address("192.0.2.1".parse().unwrap())),
            ("a.test", Record::Address("192.0.2.2".parse().unwrap())),
            ("a.test", Record::Address("2001:db8::2".parse().unwrap())),
        ])
        .await;
        let resolver = Resolver::new(Some(dns.address)).unwrap();
        let places = async |host, port, serves| {
            let found = resolver.places(host, port, serves).await.unwrap();
            found.iter().map(ToString::to_string).collect::<Vec<_>>()
        };

        let of_service = ["192.0.2.2:9000", "[2001:db8::2]:9000"];
        assert_eq!(places("served.test", None, true).await, of_service);
        assert_eq!(places("served.test", Some(7), true).await, ["192.0.2.1:7"]);
        assert_eq!(places("served.test", None, false).await, ["192.0.2.1:2855"]);
        let of_host = ["192.0.2.2:2855", "[2001:db8::2]:2855"];
        assert_eq!(places("a.test", None, true).await, of_host);
        assert_eq!(places("gone.test", None, true).await, [""; 0]);
        assert_eq!(places("::1", None, true).await, ["[::1]:2855"]);
        assert!(resolver.places("nobody.test", Some(7), true).await.is_err());
    }
}
