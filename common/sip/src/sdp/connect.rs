//! Who connects to whom, and where to: `a=setup` (RFC 4145, RFC 6135), the address of the media line against that of
//! `a=path` (RFC 6714), and which certificates are good (RFC 8122). Nothing is resolved here: where a name stands against
//! an address, whoever asks is told so.
use core::net::IpAddr;

use super::exchange::BadSdp;
use super::media::{Fingerprint, MsrpMedia, Proto, Setup};
use super::path::PathUri;

/// How the address of the `c=` and `m=` lines and those of `a=path` agree (RFC 6714, 4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Agreement {
    /// They are one.
    Same,
    /// They are different: somebody between us has changed the description.
    Different,
    /// It depends on these names: one of them has to resolve to the address, or the address is itself a name that has
    /// to resolve to theirs. The port is that of both.
    Names {
        /// The address of the `c=` line.
        address: String,
        /// The hosts in `a=path`, without brackets.
        hosts: Vec<String>,
        /// The port of both.
        port: u16,
    },
}

/// What our side of a session does, once both descriptions are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// What our description says: `active` or `passive`.
    pub setup: Setup,
    /// Whether RFC 6714 is in force.
    pub cema: bool,
    /// Whether somebody stands between us who has changed the addresses.
    pub anchored: bool,
    /// Where we connect to, if we are the active side.
    pub dial: Option<Target>,
}

/// Where the active side connects to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The first URI of the peer's path (RFC 4975, 5.4).
    Path,
    /// The address of the peer's media line, `host:port` (RFC 6714, 4.2 and 4.3).
    Line(String),
}

/// The port of a side that does not listen (RFC 4145, 4.1). Nobody ever connects to it.
const DISCARD: u16 = 9;

/// Our side as the answerer, which may be either.
///
/// # Errors
/// The descriptions leave nobody to connect, or somebody has changed the offer without RFC 6714.
pub fn answer_terms(offer: &MsrpMedia) -> Result<Terms, BadSdp> {
    let agreement = offer.agreement();
    let different = agreement == Agreement::Different;
    if different && !offer.cema {
        return Err(BadSdp::Address);
    }
    // RFC 6714 offers with a name that is to be found nowhere (3GPP TS 24.247, 8.3.1) go by the line.
    let anchored = offer.cema && agreement != Agreement::Same;
    let through_relay = offer.path.len() > 1;
    let reachable = offer.port != DISCARD;
    let active = |target| Terms { setup: Setup::Active, cema: offer.cema, anchored, dial: target };
    match offer.setup {
        // RFC 6135, 4.2.2: it never stands in an offer; taken at its word, it leaves the connecting to us.
        Some(Setup::Passive) if reachable && offer.cema => Ok(active(Some(offer.line()))),
        Some(Setup::Passive) if reachable && !offer.names_discard() => {
            Ok(active(Some(Target::Path)))
        }
        Some(Setup::Passive) => Err(BadSdp::Setup),
        // RFC 6714, 4.1: a relay that connects for the offerer goes by the path, past whoever stands between us.
        Some(Setup::ActPass) if through_relay && anchored && reachable => {
            Ok(active(Some(offer.line())))
        }
        // RFC 6714, 4.3, 2: an offerer behind a relay becomes active, so it is not in force.
        Some(Setup::Active | Setup::ActPass) | None => Ok(Terms {
            setup: Setup::Passive,
            cema: offer.cema && !through_relay,
            anchored,
            dial: None,
        }),
    }
}

/// Our side as the offerer of `actpass` with RFC 6714, after the answer.
///
/// # Errors
/// The answer leaves nobody to connect, or somebody has changed it without RFC 6714 (4.2: a new offer would be needed).
pub fn offer_terms(answer: &MsrpMedia) -> Result<Terms, BadSdp> {
    let agreement = answer.agreement();
    if agreement == Agreement::Different && !answer.cema {
        return Err(BadSdp::Address);
    }
    let anchored = answer.cema && agreement != Agreement::Same;
    let reachable = answer.port != DISCARD && (answer.cema || !answer.names_discard());
    let terms = |setup, dial| Terms { setup, cema: answer.cema, anchored, dial };
    match answer.setup {
        Some(Setup::Active) => Ok(terms(Setup::Passive, None)),
        Some(Setup::ActPass) => Err(BadSdp::Setup),
        Some(Setup::Passive) if !reachable => Err(BadSdp::Setup),
        // RFC 4975, 5.4: who knows nothing of `setup` waits for the offerer, unless it cannot be reached.
        None if !reachable => Ok(terms(Setup::Passive, None)),
        Some(Setup::Passive) | None => {
            let target = if answer.cema { answer.line() } else { Target::Path };
            Ok(terms(Setup::Active, Some(target)))
        }
    }
}

impl MsrpMedia {
    /// How the address of the media line and the path agree.
    pub fn agreement(&self) -> Agreement {
        let uris: Vec<PathUri> = self.path.iter().filter_map(|uri| PathUri::parse(uri)).collect();
        let mut hosts = Vec::new();
        for uri in uris.iter().filter(|uri| uri.port == self.port) {
            match (address(&self.address), address(&uri.host)) {
                (Some(line), Some(path)) if line == path => return Agreement::Same,
                (None, None) if self.address.eq_ignore_ascii_case(&uri.host) => {
                    return Agreement::Same;
                }
                (Some(_), Some(_)) => {}
                (Some(_), None) | (None, _) => hosts.push(bare(&uri.host).to_owned()),
            }
        }
        if hosts.is_empty() {
            return Agreement::Different;
        }
        Agreement::Names { address: self.address.clone(), hosts, port: self.port }
    }

    /// The fingerprints to compare the peer's certificate with: of those that name a hash good enough the ones of the
    /// most usual (RFC 8122, 5). None: the peer says nothing of its certificate.
    ///
    /// # Errors
    /// It says so with hashes only that prove nothing any more.
    pub fn identity(&self) -> Result<Vec<&Fingerprint>, BadSdp> {
        if self.fingerprints.is_empty() || self.proto == Proto::TcpMsrp {
            return Ok(Vec::new());
        }
        let of = |hash: &str, octets: usize| -> Vec<&Fingerprint> {
            let good = |print: &&Fingerprint| print.hash == hash && print.bytes.len() == octets;
            self.fingerprints.iter().filter(good).collect()
        };
        let usual = [("sha-256", 32), ("sha-384", 48), ("sha-512", 64)];
        let found = usual.into_iter().map(|(hash, octets)| of(hash, octets));
        found.into_iter().find(|prints| !prints.is_empty()).ok_or(BadSdp::Fingerprint)
    }

    /// What may be inside of message/cpim, as one list; empty: anything. A type that is taken by itself is taken inside
    /// too (RFC 4975, 8.6). Who takes message/cpim and says nothing of what may be in it is not known to refuse anything.
    pub fn wrapped_types(&self) -> Vec<String> {
        let all = || self.accept_wrapped_types.iter().chain(&self.accept_types);
        if all().any(|one| one == "*") {
            return Vec::new();
        }
        let inside = all().filter(|one| !one.eq_ignore_ascii_case("message/cpim"));
        inside.take(WRAPPED_TYPES_MAX).cloned().collect()
    }

    fn line(&self) -> Target {
        let address = self.address.trim_start_matches('[').trim_end_matches(']');
        let colons = address.contains(':');
        let host = if colons { format!("[{address}]") } else { address.to_owned() };
        Target::Line(format!("{host}:{}", self.port))
    }

    /// Whether the first URI of the path names nobody who listens.
    fn names_discard(&self) -> bool {
        let first = self.path.first().and_then(|uri| PathUri::parse(uri));
        first.is_none_or(|uri| uri.port == DISCARD)
    }
}

/// More types than anybody has.
const WRAPPED_TYPES_MAX: usize = 128;

fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// RFC 6714, 4.4: addresses are compared as addresses.
fn address(host: &str) -> Option<IpAddr> {
    bare(host).parse().ok()
}
