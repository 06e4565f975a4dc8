//! Offers and answers as whole session descriptions (RFC 3264).
use bytes::Bytes;
use sdp_types::{Media, Session, Time};

use super::connect::Agreement;
use super::file::{BadFile, FileMedia, goes_back};
use super::media::{MsrpMedia, Proto, connection};
use super::path::PathUri;
use crate::message::Status;

/// The `o=` line: which session this is, and its version. The version grows by one with each change
/// (RFC 3264, 8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The user name, `-` if empty.
    pub username: String,
    /// Unique together with the rest.
    pub session: u64,
    /// Counts changes.
    pub version: u64,
    /// An address or host name of ours.
    pub address: String,
}

/// A session description that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSdp {
    /// It is not SDP.
    #[error("malformed SDP")]
    Malformed,
    /// No media line of kind `message`, such as a call with sound only.
    #[error("no m=message line")]
    NoMessage,
    /// A message line over something else than TCP/MSRP or TCP/TLS/MSRP.
    #[error("m=message is neither TCP/MSRP nor TCP/TLS/MSRP")]
    Transport,
    /// The media line has port zero.
    #[error("the MSRP line is refused: port 0")]
    Refused,
    /// `a=path` is missing, or has something else than MSRP URIs with ports.
    #[error("no a=path, or one that is not MSRP URIs with explicit ports")]
    Path,
    /// The scheme of the endpoint's URI says the opposite of the media line about TLS.
    #[error("a=path and the media line disagree about TLS")]
    Scheme,
    /// Address and path differ, and RFC 6714 is not used: somebody between us changed the description.
    #[error("the port of the media line is in no URI of a=path")]
    Port,
    /// The host of the media line is in no URI of `a=path` (RFC 6714, 4.3).
    #[error("the address of the c= line is in no URI of a=path, and msrp-cema is not used")]
    Address,
    /// Nobody is left to connect: both wait, or the one to connect to does not listen (RFC 6135, 4.2).
    #[error("a=setup leaves nobody to connect")]
    Setup,
    /// The certificate is named by hashes only that prove nothing any more (RFC 8122, 5).
    #[error("no a=fingerprint with SHA-256 or better")]
    Fingerprint,
    /// No message/cpim among the accepted types, without which nobody can say in a room who speaks.
    #[error("accept-types lacks message/cpim")]
    NoCpim,
    /// The answer has other media lines than the offer (RFC 3264, 6).
    #[error("the answer has other media lines than the offer")]
    Lines,
    /// It is for a file and does not say which (RFC 5547, 6).
    #[error("the description of the file: {0}")]
    File(#[from] BadFile),
}

impl BadSdp {
    /// The status that such an offer deserves.
    pub fn status(self) -> Status {
        match self {
            Self::Malformed => Status::BAD_REQUEST,
            Self::NoMessage
            | Self::Transport
            | Self::Refused
            | Self::Path
            | Self::Scheme
            | Self::Port
            | Self::Address
            | Self::Setup
            | Self::Fingerprint
            | Self::NoCpim
            | Self::Lines
            | Self::File(_) => Status::NOT_ACCEPTABLE_HERE,
        }
    }

    /// The code for a Warning field (RFC 3261, 20.43); the words are those of `Display`.
    pub fn warning_code(self) -> u16 {
        match self {
            Self::Transport | Self::Scheme => 302,
            Self::NoMessage | Self::Refused => 304,
            Self::NoCpim => 305,
            Self::Path | Self::Port | Self::Address => 306,
            Self::Malformed | Self::Lines | Self::Setup | Self::Fingerprint | Self::File(_) => 399,
        }
    }
}

/// An offer that has an MSRP line we can talk about.
#[derive(Clone, Debug)]
pub struct Offer {
    pub(super) session: Session,
    pub(super) index: usize,
    pub(super) media: MsrpMedia,
}

impl Offer {
    /// Reads an offer, and takes the first MSRP line in it that is good.
    pub fn parse(sdp: &[u8]) -> Result<Self, BadSdp> {
        let session = Session::parse(sdp).map_err(|_| BadSdp::Malformed)?;
        let mut worst = BadSdp::NoMessage;
        for (index, media) in session.medias.iter().enumerate() {
            match read_media(&session, media) {
                Ok(media) => return Ok(Self { index, media, session }),
                Err(BadSdp::NoMessage) => {}
                Err(bad) => worst = bad,
            }
        }
        Err(worst)
    }

    /// Reads an offer to a conference: its MSRP line must accept message/cpim (RFC 7701, 5.2).
    pub fn parse_conference(sdp: &[u8]) -> Result<Self, BadSdp> {
        let offer = Self::parse(sdp)?;
        if offer.media.accepts("message/cpim") { Ok(offer) } else { Err(BadSdp::NoCpim) }
    }

    /// What the peer says about its end.
    pub fn media(&self) -> &MsrpMedia {
        &self.media
    }

    /// Our answer: `media` in the place of the line we took, every other line refused with port zero.
    pub fn answer(&self, origin: &Origin, media: &MsrpMedia) -> Bytes {
        let refused = |offered: &Media| Media {
            port: 0,
            num_ports: None,
            attributes: offered.attributes.iter().filter(|one| goes_back(one)).cloned().collect(),
            connections: Vec::new(),
            bandwidths: Vec::new(),
            media_title: None,
            key: None,
            ..offered.clone()
        };
        let lines = self.session.medias.iter().enumerate();
        let medias = lines
            .map(|(at, line)| if at == self.index { media.write() } else { refused(line) })
            .collect();
        // RFC 3264, 6: the times are those of the offer.
        write(origin, &media.address, self.session.times.clone(), medias)
    }

    /// Our answer when no line is wanted: every line with port zero.
    pub fn refuse(&self, origin: &Origin) -> Bytes {
        // RFC 5547, 8.3: what goes back of a file says which it was.
        let selected = |file: &FileMedia| FileMedia { range: None, ..file.mirrored() };
        let file = self.media.file.as_deref().map(selected).map(Box::new);
        let nothing = MsrpMedia { port: 0, file, ..self.media.clone() };
        self.answer(origin, &nothing)
    }
}

/// An offer of ours with one MSRP line.
pub fn offer(origin: &Origin, media: &MsrpMedia) -> Bytes {
    write(origin, &media.address, vec![Time::new(0, 0)], vec![media.write()])
}

/// Reads the answer to an [`offer`] of ours: one line, MSRP, not refused.
pub fn parse_answer(sdp: &[u8]) -> Result<MsrpMedia, BadSdp> {
    let session = Session::parse(sdp).map_err(|_| BadSdp::Malformed)?;
    match session.medias.as_slice() {
        [media] => read_media(&session, media),
        _ => Err(BadSdp::Lines),
    }
}

/// The file of a line with port zero: its transfer is refused, over, or given up (RFC 5547, 8.4).
pub fn closed_file(sdp: &[u8]) -> Option<FileMedia> {
    let session = Session::parse(sdp).ok()?;
    let closed = session.medias.iter().filter(|media| media.port == 0);
    let file = closed.filter_map(|media| FileMedia::read(media).ok().flatten());
    file.into_iter().find(|file| !file.is_capability())
}

fn read_media(session: &Session, media: &Media) -> Result<MsrpMedia, BadSdp> {
    if !media.media.eq_ignore_ascii_case("message") {
        return Err(BadSdp::NoMessage);
    }
    let proto = Proto::parse(&media.proto).ok_or(BadSdp::Transport)?;
    if media.port == 0 {
        return Err(BadSdp::Refused);
    }
    let file = FileMedia::read(media)?.map(Box::new);
    let media = MsrpMedia { file, ..MsrpMedia::read(session, media, proto) };
    // RFC 8866, 5.7: a c= line for the session or for each media line.
    if media.address.is_empty() {
        return Err(BadSdp::Malformed);
    }
    let path: Option<Vec<_>> = media.path.iter().map(|uri| PathUri::parse(uri)).collect();
    let path = path.ok_or(BadSdp::Path)?;
    let endpoint = path.last().filter(|uri| uri.has_session).ok_or(BadSdp::Path)?;
    if endpoint.secure != (proto == Proto::TcpTlsMsrp) {
        return Err(BadSdp::Scheme);
    }
    // RFC 4975, 8.1, and RFC 6714, 4.3.
    if !media.cema && path.iter().all(|uri| uri.port != media.port) {
        return Err(BadSdp::Port);
    }
    if !media.cema && media.agreement() == Agreement::Different {
        return Err(BadSdp::Address);
    }
    Ok(media)
}

fn write(origin: &Origin, address: &str, times: Vec<Time>, medias: Vec<Media>) -> Bytes {
    let place = connection(&origin.address);
    let username = if origin.username.is_empty() { "-" } else { &origin.username };
    let session = Session {
        connection: Some(connection(address)),
        times,
        medias,
        ..Session::new(
            sdp_types::Origin {
                username: Some(username.replace(char::is_whitespace, "")),
                sess_id: origin.session.to_string(),
                sess_version: origin.version,
                nettype: place.nettype,
                addrtype: place.addrtype,
                unicast_address: place.connection_address,
            },
            "-",
        )
    };
    let mut sdp = Vec::new();
    session.write(&mut sdp).expect("a Vec takes everything");
    Bytes::from(sdp)
}

/// The authority of an MSRP URI; 2855 where no port is written (RFC 4975, 15.5).
pub fn host_and_port(path: &str) -> (&str, u16) {
    let rest = path.split_once("://").map_or(path, |(_, rest)| rest);
    let authority = rest.split(['/', ';']).next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(2855)),
        _ => (authority, 2855),
    }
}
