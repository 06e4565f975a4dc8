//! What we say of our end of a one-to-one session, and what follows from what the peer says of theirs: who connects, and
//! where to (RFC 4975, 8; RFC 6135; RFC 6714). The certificate is known by its fingerprint (RFC 8122); without TLS, or
//! without a fingerprint, there is no session.
use msrp::{Path, Uri};
use sip::sdp::{
    Agreement, BadSdp, Fingerprint, MsrpMedia, Proto, Setup, Target, Terms, answer_terms,
    host_and_port, offer_terms,
};

/// The port of a side that does not listen (RFC 4145, 4.1).
const DISCARD: u16 = 9;
/// What may be sent to us: anything, and plain text rather than other things.
const TAKEN: [&str; 3] = ["text/plain", "message/cpim", "*"];

/// Our end, before anything is said of who connects.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// Our address.
    pub address: &'a str,
    /// Where we listen, if we do.
    pub port: Option<u16>,
    /// Names the session. It is a secret.
    pub session: &'a str,
    /// Of our certificate, in the form of SDP.
    pub fingerprint: &'a str,
    /// Octets of a message that we take.
    pub message_octets_max: u64,
}

impl Place<'_> {
    /// As our description has it.
    ///
    /// # Errors
    /// The fingerprint is none.
    pub fn media(&self, setup: Setup, cema: bool) -> Result<MsrpMedia, BadSdp> {
        let port = self.port.unwrap_or(DISCARD);
        let host = match self.address.contains(':') {
            true => format!("[{}]", self.address),
            false => self.address.to_owned(),
        };
        let own = format!("msrps://{host}:{port}/{};tcp", self.session);
        let mut media = MsrpMedia::new(self.address, port, vec![own]);
        media.setup = Some(setup);
        media.cema = cema;
        media.accept_types = TAKEN.map(str::to_owned).to_vec();
        media.accept_wrapped_types = vec!["*".to_owned()];
        media.max_size = Some(self.message_octets_max);
        let fingerprint: Fingerprint =
            self.fingerprint.parse().map_err(|_bad| BadSdp::Fingerprint)?;
        media.fingerprints = vec![fingerprint];
        Ok(media)
    }
}

/// What we do about an offer. RFC 6135, 4.2.2: we connect where we may, for who calls has shown that it can listen, and
/// from behind a translator of addresses nobody can come to us.
///
/// # Errors
/// Nobody is left to connect, or the peer's certificate would prove nothing.
pub fn answering(offer: &MsrpMedia) -> Result<Terms, BadSdp> {
    secured(offer)?;
    let first = offer.path.first().map_or(DISCARD, |path| host_and_port(path).1);
    let reachable = offer.port != DISCARD && (offer.cema || first != DISCARD);
    if offer.setup != Some(Setup::ActPass) || !reachable {
        return answer_terms(offer);
    }
    let anchored = offer.cema && offer.agreement() != Agreement::Same;
    // RFC 6714, 4.3: whoever changed the address of the media line wants the connection.
    let dial = match anchored {
        true => Target::Line(line(offer)),
        false => Target::Path,
    };
    Ok(Terms { setup: Setup::Active, cema: offer.cema, anchored, dial: Some(dial) })
}

/// What we do about an offer where we have a listener that everybody can come to.
///
/// # Errors
/// The caller waits to be connected to, or the peer's certificate would prove nothing.
pub fn waiting(offer: &MsrpMedia) -> Result<Terms, BadSdp> {
    secured(offer)?;
    let terms = answer_terms(offer)?;
    if terms.dial.is_some() { Err(BadSdp::Setup) } else { Ok(terms) }
}

/// What we do after the answer to our offer, which was `actpass` with RFC 6714.
///
/// # Errors
/// As for [`answering`].
pub fn answered(answer: &MsrpMedia) -> Result<Terms, BadSdp> {
    secured(answer)?;
    offer_terms(answer)
}

fn secured(media: &MsrpMedia) -> Result<(), BadSdp> {
    if media.proto != Proto::TcpTlsMsrp {
        return Err(BadSdp::Transport);
    }
    if media.identity()?.is_empty() { Err(BadSdp::Fingerprint) } else { Ok(()) }
}

fn line(media: &MsrpMedia) -> String {
    let address = media.address.trim_start_matches('[').trim_end_matches(']');
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    format!("{host}:{}", media.port)
}

/// A path that is none, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an MSRP path: {0}")]
pub struct BadPath(pub String);

/// The path of a description.
///
/// # Errors
/// It is empty, or holds something else than MSRP URIs.
pub fn path(media: &MsrpMedia) -> Result<Path, BadPath> {
    let bad = BadPath;
    let uris: Result<Vec<Uri>, _> =
        media.path.iter().map(|uri| Uri::parse(uri.clone().into_bytes().into())).collect();
    let mut uris = uris.map_err(|error| bad(error.to_string()))?.into_iter();
    let first = uris.next().ok_or_else(|| bad("it is empty".to_owned()))?;
    Ok(Path::new(first, uris.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn media(setup: Setup, port: Option<u16>) -> MsrpMedia {
        let fingerprint = format!("SHA-256 {}", ["AB"; 32].join(":"));
        let place = Place {
            address: "192.0.2.1",
            port,
            session: "s1234",
            fingerprint: &fingerprint,
            message_octets_max: 1000,
        };
        place.media(setup, true).unwrap()
    }

    #[test]
    fn s4_2_2_rfc6135_who_is_called_connects_where_it_may() {
        let offer = media(Setup::ActPass, Some(7394));
        let terms = answering(&offer).unwrap();
        assert_eq!((terms.setup, terms.dial), (Setup::Active, Some(Target::Path)));

        // Who cannot be reached connects itself.
        let hidden = media(Setup::ActPass, None);
        assert_eq!(answering(&hidden).unwrap().setup, Setup::Passive);
        let active = media(Setup::Active, None);
        assert_eq!(answering(&active).unwrap().setup, Setup::Passive);
        // RFC 4975, 5.4: who knows nothing of `setup` and calls is who connects.
        let old = MsrpMedia { setup: None, ..media(Setup::ActPass, Some(7394)) };
        assert_eq!(answering(&old).unwrap().setup, Setup::Passive);
    }

    #[test]
    fn s4_3_rfc6714_a_media_line_that_somebody_changed_is_where_we_connect() {
        let offer = MsrpMedia {
            address: String::from("198.51.100.7"),
            port: 12_000,
            ..media(Setup::ActPass, Some(7394))
        };

        let terms = answering(&offer).unwrap();

        assert!(terms.anchored && terms.cema);
        assert_eq!(terms.dial, Some(Target::Line(String::from("198.51.100.7:12000"))));
    }

    /// IMDN-11: notifications are among what is taken.
    #[test]
    fn an_end_takes_every_type_in_a_wrapper() {
        let ours = media(Setup::ActPass, Some(7394));

        assert_eq!(ours.accept_wrapped_types, ["*"]);
        assert!(ours.accept_types.iter().any(|kind| kind == msrp::cpim::MEDIA_TYPE));
    }

    #[test]
    fn s5_rfc8122_without_tls_or_a_good_fingerprint_there_is_no_session() {
        let good = media(Setup::ActPass, Some(7394));
        let mut nameless = good.clone();
        nameless.fingerprints.clear();
        let mut weak = good.clone();
        weak.fingerprints = vec![Fingerprint { hash: "sha-1".to_owned(), bytes: vec![1; 20] }];
        let plain = MsrpMedia { proto: Proto::TcpMsrp, ..good };

        for (bad, why) in [
            (nameless, BadSdp::Fingerprint),
            (weak, BadSdp::Fingerprint),
            (plain, BadSdp::Transport),
        ] {
            assert_eq!(answering(&bad), Err(why));
            assert_eq!(answered(&bad), Err(why));
        }
    }
}
