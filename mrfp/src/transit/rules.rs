//! What the operator allows: whose passwords, how long, and which hosts may be dialled for a client. Pure.
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use msrp::{DigestAlgorithm, Scheme, Uri};

use crate::auth::{Expires, NonceLimits, Policy};
use crate::config::{BadConfig, Config, Relay};

/// The part of the configuration that connections ask about.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    /// `host:port` in the URIs handed out.
    pub(crate) authority: String,
    /// Wrong passwords on a connection before it is closed.
    pub(crate) failures_max: u32,
    /// How long an AUTH waits for the focus.
    pub(crate) focus: Duration,
    /// AUTH requests that wait for the focus.
    pub(crate) asked_max: usize,
    /// How long the next hop has to answer.
    pub(crate) answer: Duration,
    host: String,
    policy: Policy,
    next_hops: Vec<Pattern>,
    private: bool,
}

/// Hosts that may be dialled.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Every,
    Exactly(String),
    /// Whatever ends in this, dot and all.
    Below(String),
}

/// Why nobody is dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forbidden {
    /// It is no host that the operator has named.
    Host,
    /// Messages leave a relay over TLS only.
    Scheme,
    /// A port that other services have.
    Port,
}

impl Forbidden {
    /// The label of the metric.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Scheme => "scheme",
            Self::Port => "port",
        }
    }
}

impl Rules {
    /// None where the relay is off.
    pub(super) fn new(config: &Relay, authority: &str) -> Option<Self> {
        if !config.enabled {
            return None;
        }
        let (own_host, port) = authority.rsplit_once(':')?;
        let host = config.host.clone().unwrap_or_else(|| own_host.to_owned());
        let secs = Duration::from_secs;
        let mut offered = vec![DigestAlgorithm::Sha256];
        offered.extend(config.md5.then_some(DigestAlgorithm::Md5));
        Some(Self {
            authority: format!("{host}:{port}"),
            failures_max: config.failures_max,
            focus: secs(config.focus_secs),
            asked_max: config.asked_max,
            answer: secs(config.answer_secs),
            host,
            policy: Policy {
                realm: config.realm.clone(),
                offered,
                expires: Expires {
                    min: config.expires_secs_min,
                    default: config.expires_secs,
                    max: config.expires_secs_max,
                },
                nonces: NonceLimits {
                    lifetime: secs(config.nonce_secs),
                    used_max: config.nonces_max,
                },
            },
            next_hops: config.next_hops.iter().map(|text| Pattern::parse(text)).collect(),
            private: config.private_next_hops,
        })
    }

    /// Checks what the types cannot.
    pub(crate) fn check(config: &Config) -> Result<(), BadConfig> {
        let relay = &config.relay;
        if !relay.enabled {
            return Ok(());
        }
        let bad = |key, why: &str| Err(BadConfig { key, why: why.to_owned() });
        if relay.realm.is_empty() {
            return bad("relay.realm", "must be the MRFC's domain where the relay is enabled");
        }
        let advertised = config.msrp.advertise.as_deref().and_then(|text| text.rsplit_once(':'));
        let host = relay.host.as_deref().or_else(|| advertised.map(|(host, _)| host));
        // RFC 4976, 4.2: a fully qualified domain name, as opposed to an address. A URI with a name needs no port.
        let named = |host: &str| {
            let uri = format!("msrps://{host};tcp").parse::<Uri>();
            uri.is_ok_and(|uri| uri.host() == host && uri.port().is_none())
        };
        if !host.is_some_and(named) {
            return bad("relay.host", "must be a DNS name (or the host of msrp.advertise one)");
        }
        if !relay.next_hops.is_empty() && config.msrp.peer_ca_file.is_none() {
            return bad("msrp.peer_ca_file", "must be there where relay.next_hops names somebody");
        }
        let Relay { expires_secs_min: min, expires_secs, expires_secs_max: max, .. } = *relay;
        if min == 0 || !(min..=max).contains(&expires_secs) {
            return bad("relay.expires_secs", "must lie between its bounds, which are above 0");
        }
        Ok(())
    }

    pub(super) fn policy(&self) -> Policy {
        self.policy.clone()
    }

    /// Whether an AUTH with this URI is for us: our name, or the domain whose SRV record leads to us (RFC 4976, 8).
    pub(crate) fn is_us(&self, uri: &Uri) -> bool {
        [&self.host, &self.policy.realm].iter().any(|name| uri.host().eq_ignore_ascii_case(name))
    }

    /// Whether the host of this URI may be dialled for a client.
    pub(crate) fn may_dial(&self, uri: &Uri) -> Result<(), Forbidden> {
        if uri.scheme() != Scheme::Msrps {
            return Err(Forbidden::Scheme);
        }
        if !self.next_hops.iter().any(|pattern| pattern.has(uri.host())) {
            return Err(Forbidden::Host);
        }
        if uri.port().is_some_and(|port| port < PORT_MIN) {
            return Err(Forbidden::Port);
        }
        Ok(())
    }

    /// Whether a place that such a host has turned out to be at may be dialled. Its name server says where that is, and is
    /// believed no more than the client.
    pub(crate) fn may_reach(&self, place: SocketAddr) -> bool {
        place.port() >= PORT_MIN && (self.private || is_public(place.ip()))
    }
}

/// Below it other services listen, and MSRP has no business there.
const PORT_MIN: u16 = 1024;

impl Pattern {
    fn parse(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        match text.strip_prefix('*') {
            Some("") => Self::Every,
            Some(below) if below.starts_with('.') => Self::Below(below.to_owned()),
            _ => Self::Exactly(text),
        }
    }

    fn has(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        match self {
            Self::Every => true,
            Self::Exactly(name) => host == *name,
            Self::Below(end) => host.len() > end.len() && host.ends_with(end),
        }
    }
}

/// Whether an address is anybody's on the Internet, and not of this machine, its network or a reserved block.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(address) => is_public_v4(address),
            // Global unicast is 2000::/3; of it 2001:db8::/32 is for documents and 2001::/23 for protocols.
            None => {
                let [first, second, ..] = address.segments();
                let protocols = first == 0x2001 && (second < 0x200 || second == 0xdb8);
                (0x2000..0x4000).contains(&first) && !protocols
            }
        },
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, or behind a translator (RFC 6052, RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [first, second, third, ..] = address.segments();
    if let Some(mapped) = address.to_ipv4_mapped() {
        return Some(mapped);
    }
    let [.., a, b, c, d] = address.octets();
    match (first, second) {
        (0x64, 0xff9b) => Some(Ipv4Addr::new(a, b, c, d)),
        (0x2002, _) => Some(Ipv4Addr::from(u32::from(second) << 16 | u32::from(third))),
        _ => None,
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = match (a, b) {
        // This network, private, loopback, and from multicast up.
        (0 | 10 | 127 | 224.., _) => true,
        // Carriers' NAT, link-local, private, benchmarks.
        (100, 64..=127) | (169, 254) | (172, 16..=31) | (192, 168) | (198, 18..=19) => true,
        // Protocol assignments, documents, the old 6to4 relays.
        (192, 0) => c == 0 || c == 2,
        (192, 88) => c == 99,
        (198, 51) => c == 100,
        (203, 0) => c == 113,
        _ => false,
    };
    !reserved
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(next_hops: &[&str]) -> Rules {
        let config = Relay {
            enabled: true,
            realm: "example.net".into(),
            next_hops: next_hops.iter().map(|&text| text.into()).collect(),
            ..Relay::default()
        };
        Rules::new(&config, "relay.example.net:2855").unwrap()
    }

    fn may_dial(rules: &Rules, uri: &str) -> Result<(), Forbidden> {
        rules.may_dial(&uri.parse().unwrap())
    }

    #[test]
    fn nobody_is_dialled_unless_the_operator_says_whom() {
        let uri = "msrps://relay.example.org:2855/s;tcp";

        assert_eq!(may_dial(&rules(&[]), uri), Err(Forbidden::Host));
        assert_eq!(may_dial(&rules(&["RELAY.example.org"]), uri), Ok(()));
        assert_eq!(may_dial(&rules(&["*.example.org"]), uri), Ok(()));
        assert_eq!(may_dial(&rules(&["*"]), uri), Ok(()));
        for other in ["example.org", "*.relay.example.org", "*.xample.org", "*xample.org"] {
            assert_eq!(may_dial(&rules(&[other]), uri), Err(Forbidden::Host), "{other}");
        }
    }

    #[test]
    fn messages_leave_over_tls_and_not_to_the_ports_of_other_services() {
        let rules = rules(&["*"]);

        assert_eq!(may_dial(&rules, "msrp://a.example:2855/s;tcp"), Err(Forbidden::Scheme));
        assert_eq!(may_dial(&rules, "msrps://a.example:22/s;tcp"), Err(Forbidden::Port));
        assert_eq!(may_dial(&rules, "msrps://a.example:1024/s;tcp"), Ok(()));
    }

    #[test]
    fn addresses_that_are_nobodys_on_the_internet_are_not_reached() {
        let private = [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "64:ff9b::a00:1",
            "2002:a00:1::1",
            "::127.0.0.1",
        ];
        let public = [
            "1.1.1.1",
            "100.63.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.1",
            "2606:4700::1",
            "2001:4860::8",
            "::ffff:8.8.8.8",
        ];
        let (rules, mut open) = (rules(&["*"]), rules(&["*"]));
        open.private = true;
        let at = |address: &str, port| SocketAddr::new(address.parse().unwrap(), port);

        for address in private {
            assert!(!rules.may_reach(at(address, 2855)), "{address}");
            assert!(open.may_reach(at(address, 2855)), "{address}");
        }
        for address in public {
            assert!(rules.may_reach(at(address, 2855)), "{address}");
            // What a service record says is no better than what a client does.
            assert!(!open.may_reach(at(address, 443)), "{address}");
        }
    }

    #[test]
    fn an_auth_is_for_us_by_our_name_or_our_domain() {
        let rules = rules(&[]);
        let is_us = |uri: &str| rules.is_us(&uri.parse().unwrap());

        assert!(is_us("msrps://alice@Relay.example.net;tcp") && is_us("msrps://example.net;tcp"));
        assert!(!is_us("msrps://relay.example.org;tcp"));
    }
}
