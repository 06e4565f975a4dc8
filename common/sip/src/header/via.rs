//! `Via`: the way a response takes back.
use std::fmt;
use std::str::FromStr;

use super::params::Params;
use super::scan::{Broken, Scan};
use crate::uri::parse_hostport;

/// One hop: `SIP/2.0/TLS host:port;branch=..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// `TLS`, `TCP`, `WSS`, ..: as written.
    pub transport: String,
    /// The host of sent-by; IPv6 addresses have their brackets.
    pub host: String,
    /// The port of sent-by, if written.
    pub port: Option<u16>,
    /// The parameters: `branch`, `received`, `rport`, ...
    pub params: Params,
}

/// What a branch starts with if it is unique, as RFC 3261, 8.1.1.7 asks.
pub const MAGIC_COOKIE: &str = "z9hG4bK";

impl Via {
    /// A hop of ours.
    pub fn new(transport: &str, host: &str, port: Option<u16>, branch: &str) -> Self {
        let (transport, host) = (transport.to_owned(), host.to_owned());
        let mut params = Params::default();
        params.set("branch", Some(branch));
        Self { transport, host, port, params }
    }

    /// The branch, if there is one.
    pub fn branch(&self) -> Option<&str> {
        self.params.value("branch")
    }

    /// Whether the branch has the magic cookie, and something behind it, and so identifies the transaction alone.
    pub fn has_unique_branch(&self) -> bool {
        let Some(branch) = self.branch() else { return false };
        let (cookie, rest) = branch.split_at_checked(MAGIC_COOKIE.len()).unwrap_or_default();
        cookie.eq_ignore_ascii_case(MAGIC_COOKIE) && !rest.is_empty()
    }

    /// `host:port` as written, the other half of a transaction's identity.
    pub fn sent_by(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Broken> {
        let mut scan = Scan::new(text);
        let protocol = scan.space().token()?;
        scan.expect('/')?;
        let version = scan.token()?;
        scan.expect('/')?;
        let transport = scan.token()?.to_owned();
        if !protocol.eq_ignore_ascii_case("SIP") || version != "2.0" {
            return Err(Broken);
        }
        let before = scan.rest().len();
        if scan.space().rest().len() == before {
            return Err(Broken);
        }
        let host = match scan.rest().starts_with('[') {
            true => scan.through(']')?,
            false => {
                scan.run(|byte| byte.is_ascii_graphic() && !matches!(byte, b':' | b';' | b','))
            }
        };
        let port = match scan.eat(':') {
            true => Some(u16::try_from(scan.number()?).map_err(|_| Broken)?),
            false => None,
        };
        let (host, _) = parse_hostport(host).ok_or(Broken)?;
        let params = scan.params()?;
        scan.end()?;
        Ok(Self { transport, host: host.to_owned(), port, params })
    }
}

impl FromStr for Via {
    type Err = super::BadHeader;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).map_err(|_| super::BadHeader::malformed(super::Name::Via))
    }
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0/{} {}", self.transport, self.host)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        self.params.fmt(f)
    }
}
