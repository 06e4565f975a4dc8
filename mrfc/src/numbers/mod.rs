//! Whose a telephone number is: the users' own numbers first, then ENUM (RFC 6116), where that is configured. The server
//! looks it up; no device has to.
//!
//! [`naptr`] is what the records mean, without any network · [`dns`] asks for them.
mod dns;
pub(crate) mod naptr;

use std::sync::Arc;
use std::time::Duration;

use ids::Aor;
use sip::tel::E164;

use crate::config;
use crate::users::Users;
use dns::Dns;

/// Where numbers are looked up.
pub(crate) struct Numbers {
    users: Arc<Users>,
    dns: Option<Dns>,
    wait: Duration,
}

/// Whom a number names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nobody.
    Nobody,
    /// One person.
    One(Aor),
    /// More than one, so that it is not known who is meant.
    Several,
}

/// The servers that know could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    /// They said something else than an answer.
    #[error("ENUM: {0}")]
    Dns(String),
    /// They said nothing.
    #[error("ENUM: no answer in time")]
    Late,
}

impl Numbers {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// The resolver cannot be made.
    pub(crate) fn new(settings: &config::Numbers, users: Arc<Users>) -> std::io::Result<Self> {
        let dns = settings.enum_domain.as_deref();
        let dns = dns.map(|domain| Dns::new(domain, &settings.dns_servers)).transpose()?;
        Ok(Self { users, dns, wait: Duration::from_secs(settings.lookup_secs) })
    }

    /// Whose number this is.
    ///
    /// # Errors
    /// Nobody here has it, and the servers that might know could not be asked.
    pub(crate) async fn find(&self, number: &E164) -> Result<Found, Unanswered> {
        if let Some(aor) = self.users.with_number(number) {
            return Ok(Found::One(aor.clone()));
        }
        let Some(dns) = &self.dns else { return Ok(Found::Nobody) };
        let rules = tokio::time::timeout(self.wait, dns.rules(number)).await;
        let rules = rules.map_err(|_late| Unanswered::Late)??;
        let mut found = naptr::addresses(&rules, number).into_iter();
        Ok(match (found.next(), found.next()) {
            (None, _) => Found::Nobody,
            (Some(one), None) => Found::One(one),
            (Some(_), Some(_)) => Found::Several,
        })
    }
}
