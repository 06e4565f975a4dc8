//! A description on its way through a relay of ours: everything about the session stays as its author wrote it (types,
//! sizes, files), and everything about where the author is becomes the relay's place. Other media do not pass.
use bytes::Bytes;
use sdp_types::{Attribute, Media, Session};

use super::exchange::{BadSdp, Offer, host_and_port};
use super::media::{MsrpMedia, Proto, Setup, connection};

/// A description with an MSRP line we can take apart.
#[derive(Clone, Debug)]
pub struct Through {
    session: Session,
    index: usize,
    media: MsrpMedia,
}

/// The end that stands in the place of the author's.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// The MSRP URI of it.
    pub path: &'a str,
    /// `SHA-256 AB:CD:…` of its certificate.
    pub fingerprint: &'a str,
    /// Who connects.
    pub setup: Setup,
    /// `a=msrp-cema`.
    pub cema: bool,
}

/// Attributes that say where somebody is and how they are reached.
const OF_THE_PLACE: [&str; 5] = ["path", "setup", "connection", "msrp-cema", "fingerprint"];

impl Through {
    /// Reads a description, and takes the first MSRP line in it that is good.
    ///
    /// # Errors
    /// There is none.
    pub fn parse(sdp: &[u8]) -> Result<Self, BadSdp> {
        let Offer { session, index, media } = Offer::parse(sdp)?;
        Ok(Self { session, index, media })
    }

    /// What its author says.
    pub fn media(&self) -> &MsrpMedia {
        &self.media
    }

    /// The description with another end. Who wrote it, and from where, is not in it.
    pub fn write(&self, end: &Ends<'_>) -> Bytes {
        let (host, port) = host_and_port(end.path);
        let place = connection(host);
        let mut session = self.session.clone();
        session.origin.username = Some(String::from("-"));
        session.origin.nettype = place.nettype.clone();
        session.origin.addrtype = place.addrtype.clone();
        session.origin.unicast_address = place.connection_address.clone();
        session.connection = Some(place.clone());
        session.session_description = None;
        session.uri = None;
        session.emails.clear();
        session.phones.clear();
        session.attributes.retain(|attribute| !is_of_the_place(attribute));
        for (at, media) in session.medias.iter_mut().enumerate() {
            if at == self.index {
                replace(media, end, port);
                media.connections = vec![place.clone()];
            } else {
                media.port = 0;
                media.attributes.clear();
                media.connections.clear();
            }
        }
        let mut sdp = Vec::new();
        session.write(&mut sdp).expect("a Vec takes everything");
        Bytes::from(sdp)
    }
}

fn is_of_the_place(attribute: &Attribute) -> bool {
    OF_THE_PLACE.iter().any(|name| attribute.attribute.eq_ignore_ascii_case(name))
}

fn replace(media: &mut Media, end: &Ends<'_>, port: u16) {
    let secure = end.path.to_ascii_lowercase().starts_with("msrps:");
    let proto = if secure { Proto::TcpTlsMsrp } else { Proto::TcpMsrp };
    media.port = port;
    media.proto = proto.as_str().to_owned();
    media.attributes.retain(|attribute| !is_of_the_place(attribute));
    let mut place = vec![
        Attribute::with_value("path", end.path),
        Attribute::with_value("setup", end.setup.as_str()),
    ];
    if end.cema {
        place.push(Attribute::new("msrp-cema"));
    }
    if secure && !end.fingerprint.is_empty() {
        place.push(Attribute::with_value("fingerprint", end.fingerprint));
    }
    media.attributes.splice(0..0, place);
}
