//! What people keep here, and how telephone numbers become people. Doc comments of the keys are the configuration page,
//! like those of `config.rs`.
use std::net::SocketAddr;

use serde::Deserialize;

/// How telephone numbers become addresses. The `numbers` of the users file come first.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Numbers {
    /// The domain of ENUM (RFC 6116) that is asked, such as `e164.arpa` or a private one. Default: none is.
    pub enum_domain: Option<String>,
    /// Name servers, `address:port`, to ask in place of the system's; in the file only.
    pub dns_servers: Vec<SocketAddr>,
    /// Seconds a look-up may take. 5: a person waits for it.
    pub lookup_secs: u64,
    /// Look-ups of one person in a minute; above it 429. 30: nobody reads the directory out.
    pub lookups_per_minute_max: u32,
    /// Contacts of one person, and entries of one phonebook. 1 000; above it 409.
    pub contacts_max: usize,
}

impl Default for Numbers {
    fn default() -> Self {
        Self {
            enum_domain: None,
            dns_servers: Vec::new(),
            lookup_secs: 5,
            lookups_per_minute_max: 30,
            contacts_max: 1_000,
        }
    }
}
