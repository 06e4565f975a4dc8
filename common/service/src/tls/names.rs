//! Names that a peer's certificate must carry one of. A chain under our roots is not enough where others have theirs
//! under the same ones. The chain was checked in the handshake; only names are looked at here.
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

/// DNS names and IP addresses, of which a peer proves one.
#[derive(Clone, Debug, Default)]
pub struct Names(Vec<ServerName<'static>>);

/// What an operator wrote is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a DNS name nor an IP address")]
pub struct BadName(pub String);

impl Names {
    /// The names an operator wrote.
    ///
    /// # Errors
    /// The first that is none.
    pub fn parse(names: &[String]) -> Result<Self, BadName> {
        let parse =
            |name: &String| ServerName::try_from(name.clone()).map_err(|_| BadName(name.clone()));
        Ok(Self(names.iter().map(parse).collect::<Result<_, _>>()?))
    }

    /// Whether no name is asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this certificate (DER) carries one of them.
    pub fn are_proved_by(&self, certificate: &[u8]) -> bool {
        let certificate = CertificateDer::from(certificate);
        let Ok(certificate) = ParsedCertificate::try_from(&certificate) else { return false };
        self.0.iter().any(|name| verify_server_name(&certificate, name).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::DevCa;

    #[test]
    fn one_of_the_names_is_enough_and_a_longer_one_is_another() {
        let ca = DevCa::new("test", crate::clock::wall()).unwrap();
        let names = Names::parse(&["mrfc-0".into(), "127.0.0.1".into()]).unwrap();
        let proved = |own: &[&str]| names.are_proved_by(ca.issue(own).unwrap().certificate());

        assert!(proved(&["x.example", "mrfc-0"]));
        assert!(proved(&["127.0.0.1"]));
        assert!(!proved(&["mrfc-0.example", "mrfc-01"]));
        assert!(!names.are_proved_by(b"no certificate"));
        assert!(!Names::default().are_proved_by(ca.issue(&["mrfc-0"]).unwrap().certificate()));
        assert_eq!(Names::parse(&["not a name".into()]).unwrap_err().0, "not a name");
    }
}
