//! Whether who dials is the focus: a certificate under our roots is not enough where relays have theirs under the same
//! ones.
use quinn::Connection;
use rustls::pki_types::CertificateDer;
use service::tls::Names;

use crate::config::BadConfig;

/// The names of which a focus proves one. None: everybody who got through the handshake is a focus.
#[derive(Clone, Debug)]
pub(crate) struct FocusNames(Names);

impl FocusNames {
    /// The names an operator wrote.
    pub(crate) fn parse(names: &[String]) -> Result<Self, BadConfig> {
        let bad = |bad: service::tls::BadName| BadConfig {
            key: "control.focus_names",
            why: bad.to_string(),
        };
        Names::parse(names).map(Self).map_err(bad)
    }

    /// Whether the client of this connection has proved one of the names.
    pub(super) fn admit(&self, connection: &Connection) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let identity = connection.peer_identity();
        let chain = identity.and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
        chain.is_some_and(|chain| chain.first().is_some_and(|own| self.0.are_proved_by(own)))
    }
}
