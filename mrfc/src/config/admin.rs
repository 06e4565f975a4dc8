//! The operator's listener, and what proves that it is the operator who asks.
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// The operator's API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// HTTP/1.1 over TLS; port 0 lets the system choose. Default 127.0.0.1:9443: name an address to serve others.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Certificate chain, PEM.
    pub certificate_file: PathBuf,
    /// Private key, PEM.
    pub key_file: PathBuf,
    /// A file with the secret that opens the API as a bearer token (RFC 6750), 16 characters or more. Default: none does.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// The CA of the operators, PEM: whoever shows a certificate under it is one. Default: no certificate counts.
    #[serde(default)]
    pub client_ca_file: Option<PathBuf>,
    /// Lines of the audit that are kept; the oldest go first. 100 000: some 20 MB.
    #[serde(default = "default_audit_max")]
    pub audit_max: u32,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9443))
}

const fn default_audit_max() -> u32 {
    100_000
}
