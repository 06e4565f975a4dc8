//! Session descriptions of the focus: what an offer must have to get a seat, and what we say about our end. Pure.
//!
//! The relay listens, so our end answers `passive` wherever the peer can connect; an offer of ours leaves the choice
//! (RFC 6135, 4.2). Where it is the peer that waits, the relay is told to connect.
use bytes::Bytes;
use mls::wire;
use sip::header::{Name, Warning};
use sip::sdp::{
    self, BadSdp, Fingerprint, MsrpMedia, Offer, Origin, Proto, Setup, Terms, host_and_port,
};
use sip::{Request, Response, Status};

use super::end::House;
use crate::config::Level;
use crate::desk::End;

/// Why an INVITE's body gets no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unacceptable {
    /// Not a description at all, or one without a usable MSRP line.
    #[error(transparent)]
    Sdp(#[from] BadSdp),
    /// A body of a type that is no session description.
    #[error("only application/sdp is taken")]
    NotSdp,
    /// A sealed room is reached over TLS only.
    #[error("this conference is sealed: TCP/TLS/MSRP is needed")]
    Unprotected,
}

impl Unacceptable {
    /// The answer to the INVITE.
    pub(crate) fn response(self, request: &Request, agent: &str) -> Response {
        let (status, code) = match self {
            Self::Sdp(bad) => (bad.status(), bad.warning_code()),
            Self::NotSdp => (Status::UNSUPPORTED_MEDIA_TYPE, 305),
            Self::Unprotected => (Status::NOT_ACCEPTABLE_HERE, 302),
        };
        Response::to(request, status)
            .with(Name::Warning, Warning::new(code, agent, &self.to_string()))
            .with(Name::Accept, "application/sdp")
    }
}

/// What a body of an INVITE or an ACK holds.
pub(crate) fn body_of(request: &Request) -> Result<Option<&Bytes>, Unacceptable> {
    if request.body.is_empty() {
        return Ok(None);
    }
    match request.headers.content_type() {
        Ok(Some(kind)) if kind.is("application/sdp") => Ok(Some(&request.body)),
        _ => Err(Unacceptable::NotSdp),
    }
}

/// An offer that can be answered.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    /// What the peer said.
    pub(crate) offer: Offer,
    /// What our side does about it.
    pub(crate) terms: Terms,
    /// What the relay must know of the peer's end.
    pub(crate) end: End,
}

/// An answer to an offer of ours.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    /// `a=path`.
    pub(crate) path: String,
    /// What else the relay must know.
    pub(crate) end: End,
}

/// The offer of an INVITE, if it has one.
pub(crate) fn offer_of(
    request: &Request,
    level: Level,
    house: &House,
) -> Result<Option<Offered>, Unacceptable> {
    let Some(body) = body_of(request)? else { return Ok(None) };
    let offer = Offer::parse_conference(body)?;
    check(offer.media(), level)?;
    let terms = sdp::answer_terms(offer.media())?;
    let end = house.end(offer.media(), &terms)?;
    Ok(Some(Offered { offer, terms, end }))
}

/// The answer to an offer of ours: in a 2xx, or in the ACK of an INVITE that had no offer.
pub(crate) fn answer_of(
    body: &[u8],
    level: Level,
    house: &House,
) -> Result<Answered, Unacceptable> {
    let media = sdp::parse_answer(body)?;
    if !media.accepts("message/cpim") {
        return Err(BadSdp::NoCpim.into());
    }
    check(&media, level)?;
    let terms = sdp::offer_terms(&media)?;
    Ok(Answered { path: peer_path(&media), end: house.end(&media, &terms)? })
}

fn check(media: &MsrpMedia, level: Level) -> Result<(), Unacceptable> {
    if level == Level::Sealed && media.proto == Proto::TcpMsrp {
        return Err(Unacceptable::Unprotected);
    }
    Ok(())
}

/// Where our end is, read back from what we said of it: the path, and the relay's certificate.
pub(crate) fn place_of(description: &[u8]) -> Option<(String, String)> {
    let said = Offer::parse(description).ok()?;
    let media = said.media();
    let fingerprint = media.fingerprints.first().map(Fingerprint::to_string).unwrap_or_default();
    Some((media.path.first()?.clone(), fingerprint))
}

/// What we said of our end, as an offer: one version on if that changes it (RFC 3264, 8), and never `passive`
/// (RFC 6135, 4.2). None if the lines of the session would not be those of before.
pub(crate) fn again(
    description: &[u8],
    (session, version): (u64, u64),
) -> Option<(Bytes, (u64, u64))> {
    let mut media = sdp::parse_answer(description).ok()?;
    let is_offer = media.setup == Some(Setup::ActPass) && media.cema;
    (media.setup, media.cema) = (Some(Setup::ActPass), true);
    let origin = (session, if is_offer { version } else { version + 1 });
    let said = Origin {
        username: String::from("focus"),
        session: origin.0,
        version: origin.1,
        address: media.address.clone(),
    };
    Some((sdp::offer(&said, &media), origin))
}

/// The URI a peer's messages come from: the last of its path is its own (RFC 4975, 8.2).
pub(crate) fn peer_path(media: &MsrpMedia) -> String {
    media.path.join(" ")
}

/// Our end of a session: a seat at a relay.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The MSRP URI of the seat.
    pub(crate) path: &'a str,
    /// The relay's certificate, `SHA-256 AB:CD:…`.
    pub(crate) fingerprint: &'a str,
    /// Session and version of `o=`.
    pub(crate) origin: (u64, u64),
    /// What the room lets the relay see: a sealed one says so by taking nothing in the clear.
    pub(crate) level: Level,
    /// What conferences of ours allow.
    pub(crate) house: House,
}

impl Place<'_> {
    /// The answer to this offer; none if the relay's place is not of the transport that was offered.
    pub(crate) fn answer(&self, Offered { offer, terms, .. }: &Offered) -> Option<Bytes> {
        let mut media = self.media();
        if media.proto != offer.media().proto {
            return None;
        }
        media.direction = offer.media().direction.reversed();
        media.setup = Some(terms.setup);
        media.cema = terms.cema;
        Some(offer.answer(&self.origin(&media), &media))
    }

    /// An offer of ours (RFC 6135, 4.2.2; RFC 6714, 4.2).
    pub(crate) fn offer(&self) -> Bytes {
        let mut media = self.media();
        media.setup = Some(Setup::ActPass);
        media.cema = true;
        sdp::offer(&self.origin(&media), &media)
    }

    fn media(&self) -> MsrpMedia {
        let (host, port) = host_and_port(self.path);
        let types = |types: &[&str]| types.iter().map(|name| (*name).to_owned()).collect();
        let mut media = MsrpMedia::new(host, port, vec![self.path.to_owned()]);
        media.accept_types = types(&["message/cpim"]);
        media.accept_wrapped_types = match self.level {
            Level::Sealed => {
                types(&[wire::MLS, wire::SEALED_FILE, wire::BUNDLE, wire::EPOCH_REPORT])
            }
            Level::Open => types(&["*"]),
        };
        media.chatroom = Some(self.house.chatroom());
        media.max_size = Some(self.house.message_octets_max);
        media.fingerprints = self.fingerprint.parse::<Fingerprint>().into_iter().collect();
        media
    }

    fn origin(&self, media: &MsrpMedia) -> Origin {
        Origin {
            username: String::from("focus"),
            session: self.origin.0,
            version: self.origin.1,
            address: media.address.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_room_takes_nothing_in_the_clear() {
        let sealed = sdp::parse_answer(&PLACE.offer()).unwrap();
        let open = sdp::parse_answer(&Place { level: Level::Open, ..PLACE }.offer()).unwrap();

        assert!(sealed.accepts_wrapped("message/mls") && !sealed.accepts_wrapped("text/plain"));
        assert!(open.accepts_wrapped("text/plain"));
    }

    const PLACE: Place<'static> = Place {
        path: "msrps://relay.example.net:2855/s3cret;tcp",
        fingerprint: "SHA-256 AB:CD",
        origin: (7, 1),
        level: Level::Sealed,
        house: HOUSE,
    };

    const HOUSE: House = House {
        nicknames: true,
        private_messages: true,
        session_match: crate::config::SessionMatch::Strict,
        message_octets_max: 5000,
    };

    fn offer_of(request: &Request, level: Level) -> Result<Option<Offered>, Unacceptable> {
        super::offer_of(request, level, &HOUSE)
    }

    fn invite(media: &str) -> Request {
        let sdp = format!(
            "v=0\r\no=alice 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n{media}"
        );
        let uri: sip::Uri = "sip:room7@example.net".parse().unwrap();
        Request::new(sip::Method::Invite, uri).with_body("application/sdp", sdp)
    }

    fn message(proto: &str, scheme: &str, more: &str) -> String {
        format!(
            "m=message 9 {proto} *\r\na=path:{scheme}://192.0.2.10:9/ab12;tcp\r\na=setup:active\r\n{more}"
        )
    }

    const CPIM: &str = "a=accept-types:message/CPIM\r\na=accept-wrapped-types:*\r\n";

    #[test]
    fn a_good_offer_is_answered_passive_with_the_seat_and_the_certificate() {
        let offer = offer_of(&invite(&message("TCP/TLS/MSRP", "msrps", CPIM)), Level::Sealed);

        let answer = PLACE.answer(&offer.unwrap().unwrap()).unwrap();

        let media = sdp::parse_answer(&answer).unwrap();
        assert_eq!((media.setup, media.port), (Some(Setup::Passive), 2855));
        assert_eq!(media.path, [PLACE.path]);
        assert_eq!(media.fingerprints.len(), 1);
        assert_eq!(media.address, "relay.example.net");
        assert_eq!(media.max_size, Some(5000));
        assert!(media.chatroom_has("nickname") && media.chatroom_has("private-messages"));
    }

    #[test]
    fn acm_02_an_offer_of_ours_leaves_the_choice_and_an_answer_never_does() {
        let ours = sdp::parse_answer(&PLACE.offer()).unwrap();
        assert_eq!((ours.setup, ours.cema), (Some(Setup::ActPass), true));

        let text = message("TCP/TLS/MSRP", "msrps", CPIM).replace("setup:active", "setup:actpass");
        let offer = offer_of(&invite(&text), Level::Sealed).unwrap().unwrap();
        let answer = sdp::parse_answer(&PLACE.answer(&offer).unwrap()).unwrap();

        assert_eq!((answer.setup, answer.cema), (Some(Setup::Passive), false));
    }

    #[test]
    fn acm_02_a_peer_that_waits_is_answered_active_and_dialled_unless_it_cannot_be_reached() {
        let waits = message("TCP/TLS/MSRP", "msrps", CPIM).replace("setup:active", "setup:passive");
        let listens = waits.replace("message 9", "message 7000").replace(":9/", ":7000/");

        let offer = offer_of(&invite(&listens), Level::Sealed).unwrap().unwrap();

        let answer = sdp::parse_answer(&PLACE.answer(&offer).unwrap()).unwrap();
        assert_eq!(answer.setup, Some(Setup::Active));
        assert_eq!(offer.end.dial, Some(crate::desk::Dial { to: None }));
        let why = offer_of(&invite(&waits), Level::Sealed).unwrap_err();
        assert_eq!(why, Unacceptable::Sdp(BadSdp::Setup));
    }

    #[test]
    fn m4975_47_an_answer_has_the_transport_that_was_offered_or_there_is_none() {
        let plain = invite(&message("TCP/MSRP", "msrp", CPIM));
        let offer = offer_of(&plain, Level::Open).unwrap().unwrap();

        assert_eq!(PLACE.answer(&offer), None);
        let plain = Place { path: "msrp://10.0.0.1:2855/s3cret;tcp", ..PLACE };
        let answer = sdp::parse_answer(&plain.answer(&offer).unwrap()).unwrap();
        assert_eq!(answer.proto, Proto::TcpMsrp);
    }

    #[test]
    fn what_cannot_be_seated_is_488_with_a_warning() {
        let rtp = invite("m=audio 4000 RTP/AVP 0\r\n");
        let no_cpim = invite(&message("TCP/TLS/MSRP", "msrps", "a=accept-types:text/plain\r\n"));
        let plain = invite(&message("TCP/MSRP", "msrp", CPIM));
        let tls = message("TCP/TLS/MSRP", "msrps", CPIM);
        let passive = invite(&tls.replace("setup:active", "setup:passive"));
        for request in [rtp, no_cpim, plain, passive] {
            let why = offer_of(&request, Level::Sealed).unwrap_err();

            let response = why.response(&request, "example.net");
            assert_eq!(response.status, Status::NOT_ACCEPTABLE_HERE, "{why}");
            assert_eq!(response.headers.warnings().unwrap().len(), 1);
        }
    }

    #[test]
    fn r3264_8_what_we_said_is_offered_again_one_version_on_only_if_that_changes_it() {
        let text = message("TCP/TLS/MSRP", "msrps", CPIM);
        let offered = offer_of(&invite(&text), Level::Sealed).unwrap().unwrap();
        let answer = PLACE.answer(&offered).unwrap();

        let (offer, origin) = again(&answer, PLACE.origin).unwrap();
        assert_eq!((origin, &offer), ((7, 2), &Place { origin, ..PLACE }.offer()));
        assert_eq!(again(&offer, origin), Some((offer.clone(), origin)));
        assert_eq!(place_of(&answer).unwrap(), (PLACE.path.into(), "sha-256 AB:CD".into()));

        let two = invite(&format!("{text}m=audio 4000 RTP/AVP 0\r\n"));
        let offered = offer_of(&two, Level::Sealed).unwrap().unwrap();
        assert_eq!(again(&PLACE.answer(&offered).unwrap(), PLACE.origin), None);
    }

    #[test]
    fn r3264_6_1_who_holds_is_answered_the_other_way_round() {
        for (theirs, ours) in [
            ("sendonly", sdp::Direction::RecvOnly),
            ("recvonly", sdp::Direction::SendOnly),
            ("inactive", sdp::Direction::Inactive),
        ] {
            let text = message("TCP/TLS/MSRP", "msrps", CPIM) + &format!("a={theirs}\r\n");
            let offered = offer_of(&invite(&text), Level::Sealed).unwrap().unwrap();

            let answer = sdp::parse_answer(&PLACE.answer(&offered).unwrap()).unwrap();

            assert_eq!(answer.direction, ours);
        }
    }

    #[test]
    fn plain_tcp_is_good_enough_for_an_open_room() {
        let plain = invite(&message("TCP/MSRP", "msrp", CPIM));

        assert!(offer_of(&plain, Level::Open).unwrap().is_some());
    }

    #[test]
    fn no_body_is_no_offer_and_another_type_is_415() {
        let uri: sip::Uri = "sip:room7@example.net".parse().unwrap();
        let empty = Request::new(sip::Method::Invite, uri);
        let text = empty.clone().with_body("text/plain", "hello");

        assert!(offer_of(&empty, Level::Sealed).unwrap().is_none());
        let why = offer_of(&text, Level::Sealed).unwrap_err();
        assert_eq!(why.response(&text, "a").status, Status::UNSUPPORTED_MEDIA_TYPE);
    }

    #[test]
    fn the_authority_of_a_path_may_be_an_ipv6_address() {
        assert_eq!(host_and_port("msrps://[2001:db8::1]:9/x;tcp"), ("[2001:db8::1]", 9));
        assert_eq!(host_and_port("msrps://[2001:db8::1]/x;tcp"), ("[2001:db8::1]", 2855));
    }
}
