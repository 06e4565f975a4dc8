//! Whether who dials is the focus: a certificate under our roots is not enough where relays have theirs under the same
//! ones. The chain was checked in the handshake; only names are looked at here.
use quinn::Connection;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

use crate::config::BadConfig;

/// The names of which a focus proves one. None: everybody who got through the handshake is a focus.
#[derive(Clone, Debug)]
pub(crate) struct FocusNames(Vec<ServerName<'static>>);

impl FocusNames {
    /// The names an operator wrote.
    pub(crate) fn parse(names: &[String]) -> Result<Self, BadConfig> {
        let parsed = names.iter().map(|name| {
            ServerName::try_from(name.clone()).map_err(|_| BadConfig {
                key: "control.focus_names",
                why: format!("{name:?} is neither a DNS name nor an IP address"),
            })
        });
        Ok(Self(parsed.collect::<Result<_, _>>()?))
    }

    /// Whether the client of this connection has proved one of the names.
    pub(super) fn admit(&self, connection: &Connection) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let identity = connection.peer_identity();
        let chain = identity.and_then(|any| any.downcast::<Vec<CertificateDer<'static>>>().ok());
        chain.is_some_and(|chain| chain.first().is_some_and(|own| self.are_proved_by(own)))
    }

    fn are_proved_by(&self, certificate: &CertificateDer<'_>) -> bool {
        let Ok(certificate) = ParsedCertificate::try_from(certificate) else { return false };
        self.0.iter().any(|name| verify_server_name(&certificate, name).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use service::tls::DevCa;

    use super::*;

    #[test]
    fn one_of_the_names_is_enough_and_a_longer_one_is_another() {
        let ca = DevCa::new("test", service::clock::wall()).unwrap();
        let names = FocusNames::parse(&["mrfc-0".into(), "127.0.0.1".into()]).unwrap();
        let proved = |own: &[&str]| names.are_proved_by(ca.issue(own).unwrap().certificate());

        assert!(proved(&["x.example", "mrfc-0"]));
        assert!(proved(&["127.0.0.1"]));
        assert!(!proved(&["mrfc-0.example", "mrfc-01"]));
        assert_eq!(
            FocusNames::parse(&["not a name".into()]).unwrap_err().key,
            "control.focus_names"
        );
    }
}
