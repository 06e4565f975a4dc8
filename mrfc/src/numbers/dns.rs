//! Asks name servers for the records of a number. What the records mean, [`super::naptr`] says.
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use sip::tel::E164;

use super::Unanswered;
use super::naptr::{Rule, domain};

/// One question to a name server, of which it has two attempts.
const ANSWER: Duration = Duration::from_secs(2);

/// Name servers, and the domain under which numbers are.
pub(super) struct Dns {
    resolver: TokioResolver,
    root: String,
}

impl Dns {
    /// Asks these servers, or those of the system.
    pub(super) fn new(root: &str, servers: &[SocketAddr]) -> io::Result<Self> {
        let mut builder = if servers.is_empty() {
            TokioResolver::builder_tokio().map_err(io::Error::other)?
        } else {
            let servers = servers.iter().map(|server| asking(*server)).collect();
            let config = ResolverConfig::from_name_servers(servers);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        (options.timeout, options.attempts) = (ANSWER, 2);
        let resolver = builder.build().map_err(io::Error::other)?;
        Ok(Self { resolver, root: root.to_owned() })
    }

    /// The records of a number; none where there is no such name.
    pub(super) async fn rules(&self, number: &E164) -> Result<Vec<Rule>, Unanswered> {
        let name = domain(number, &self.root);
        let found = match self.resolver.lookup(name, RecordType::NAPTR).await {
            Ok(found) => found,
            Err(error) if error.is_no_records_found() => return Ok(Vec::new()),
            Err(error) => return Err(Unanswered::Dns(error.to_string())),
        };
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        let rules = found.answers().iter().filter_map(|record| match &record.data {
            RData::NAPTR(record) => Some(Rule {
                order: record.order,
                flags: text(&record.flags),
                services: text(&record.services),
                regexp: text(&record.regexp),
            }),
            _ => None,
        });
        Ok(rules.collect())
    }
}

fn asking(server: SocketAddr) -> NameServerConfig {
    let ways = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut way| {
        way.port = server.port();
        way
    });
    NameServerConfig::new(server.ip(), true, ways.into())
}
