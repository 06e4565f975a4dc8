//! What a participant's description means for the relay: what may be sent there, who connects, whose certificate is
//! shown. Pure, but for names that stand against addresses, which [`Names::agree`] resolves.
use std::net::IpAddr;

use sip::sdp::{Agreement, BadSdp, Direction, Fingerprint, MsrpMedia, Proto, Target, Terms};

use crate::config::{Config, SessionMatch};
use crate::desk::{Dial, End, Flow, Transport};

/// What every conference of this focus allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct House {
    /// Nicknames (RFC 7701, 7).
    pub(crate) nicknames: bool,
    /// Private messages (RFC 7701, 6.2).
    pub(crate) private_messages: bool,
    /// How requests are found to belong to a session.
    pub(crate) session_match: SessionMatch,
    /// Octets of a message: `a=max-size`.
    pub(crate) message_octets_max: u64,
}

impl House {
    pub(crate) const fn of(config: &Config) -> Self {
        Self {
            nicknames: config.conferences.nicknames,
            private_messages: config.conferences.private_messages,
            session_match: config.conferences.session_match,
            message_octets_max: config.limits.message_bytes_max,
        }
    }

    /// The tokens of `a=chatroom`: what a participant may ask for (RFC 7701, 8).
    pub(crate) fn chatroom(&self) -> Vec<String> {
        let tokens = [("nickname", self.nicknames), ("private-messages", self.private_messages)];
        tokens.into_iter().filter(|(_, on)| *on).map(|(token, _)| token.to_owned()).collect()
    }

    /// The end that this description is of.
    pub(crate) fn end(&self, media: &MsrpMedia, terms: &Terms) -> Result<End, BadSdp> {
        let private_messages = self.private_messages && media.chatroom_has("private-messages");
        let dial = terms.dial.as_ref().map(|target| Dial {
            to: match target {
                Target::Path => None,
                Target::Line(line) => Some(line.clone()),
            },
        });
        // Who rewrites addresses in SDP may rewrite paths too, and the requests know nothing of it.
        let by_session_id = self.session_match == SessionMatch::SessionId || terms.anchored;
        Ok(End {
            private_messages,
            accept_wrapped_types: media.wrapped_types(),
            by_session_id,
            fingerprints: media.identity()?.into_iter().map(upper).collect(),
            dial,
            transport: transport(media),
            flow: flow(media.direction),
        })
    }
}

const fn flow(direction: Direction) -> Flow {
    match direction {
        Direction::SendRecv => Flow::SendRecv,
        Direction::SendOnly => Flow::SendOnly,
        Direction::RecvOnly => Flow::RecvOnly,
        Direction::Inactive => Flow::Inactive,
    }
}

/// `SHA-256 AB:CD:…`, as relays write theirs.
fn upper(print: &Fingerprint) -> String {
    print.to_string().to_ascii_uppercase()
}

/// What the peer's own URI and the media line say about the connection (RFC 4975, 8.1; RFC 7977, 5).
fn transport(media: &MsrpMedia) -> Transport {
    let own = media.path.last().map(String::as_str).unwrap_or_default();
    let named = own.split(';').nth(1).unwrap_or_default();
    match media.proto {
        _ if named.eq_ignore_ascii_case("ws") => Transport::WebSocket,
        Proto::TcpMsrp => Transport::Tcp,
        Proto::TcpTlsMsrp => Transport::Tls,
    }
}

/// Names in a description of which one has to lead to the other address (RFC 6714, 4.4).
#[derive(Clone, Debug)]
pub(crate) struct Names {
    address: String,
    hosts: Vec<String>,
    port: u16,
}

impl Names {
    /// What has to be resolved before this description is believed. With RFC 6714 nothing has: its names may lead
    /// nowhere, on purpose.
    pub(crate) fn of(media: &MsrpMedia) -> Option<Self> {
        match media.agreement() {
            Agreement::Names { address, hosts, port } if !media.cema => {
                Some(Self { address, hosts, port })
            }
            _ => None,
        }
    }

    /// Whether one of the names leads to the address.
    pub(crate) async fn agree(self) -> bool {
        let line = lookup(&self.address, self.port).await;
        for host in &self.hosts {
            if lookup(host, self.port).await.iter().any(|address| line.contains(address)) {
                return true;
            }
        }
        false
    }
}

async fn lookup(host: &str, port: u16) -> Vec<IpAddr> {
    let found = tokio::net::lookup_host((host, port)).await;
    found.map(|addresses| addresses.map(|address| address.ip()).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use sip::sdp::{Setup, answer_terms};

    use super::*;

    const HOUSE: House = House {
        nicknames: true,
        private_messages: true,
        session_match: SessionMatch::Strict,
        message_octets_max: 1000,
    };

    fn offer(address: &str, path: &str) -> MsrpMedia {
        let port = path.rsplit(':').next().and_then(|rest| rest.split('/').next()?.parse().ok());
        MsrpMedia {
            accept_types: vec!["message/cpim".into()],
            accept_wrapped_types: vec!["text/plain".into()],
            chatroom: Some(vec!["private-messages".into()]),
            setup: Some(Setup::ActPass),
            ..MsrpMedia::new(address, port.unwrap(), vec![path.to_owned()])
        }
    }

    fn end(house: &House, media: &MsrpMedia) -> End {
        house.end(media, &answer_terms(media).unwrap()).unwrap()
    }

    #[test]
    fn m7701_04_the_relay_learns_what_the_description_says() {
        let mut media = offer("192.0.2.1", "msrps://192.0.2.1:7000/s1;tcp");
        media.fingerprints = vec![
            Fingerprint { hash: "sha-1".into(), bytes: vec![1; 20] },
            Fingerprint::sha256([7; 32]),
        ];

        let end = end(&HOUSE, &media);

        assert!(end.private_messages && !end.by_session_id && end.dial.is_none());
        assert_eq!(end.accept_wrapped_types, ["text/plain"]);
        assert_eq!(end.transport, Transport::Tls);
        assert_eq!(end.fingerprints.len(), 1);
        assert!(end.fingerprints[0].starts_with("SHA-256 07:07:"), "{:?}", end.fingerprints);
    }

    #[test]
    fn m7701_28_what_the_house_does_not_allow_no_participant_has() {
        let closed = House { nicknames: false, private_messages: false, ..HOUSE };

        assert!(
            !end(&closed, &offer("192.0.2.1", "msrps://192.0.2.1:7000/s1;tcp")).private_messages
        );
        assert!(closed.chatroom().is_empty());
        assert_eq!(HOUSE.chatroom(), ["nickname", "private-messages"]);
    }

    #[test]
    fn m6714_03_an_anchored_peer_that_is_passive_is_dialled_at_its_line() {
        let mut media = offer("198.51.100.7", "msrps://ue.invalid:7000/s1;tcp");
        (media.cema, media.setup) = (true, Some(Setup::Passive));

        let end = end(&HOUSE, &media);

        assert_eq!(end.dial, Some(Dial { to: Some("198.51.100.7:7000".into()) }));
        assert!(end.by_session_id);
    }

    #[test]
    fn the_transport_is_that_of_the_path_and_the_media_line() {
        let of = |path| transport(&offer("192.0.2.1", path));

        assert_eq!(of("msrps://192.0.2.1:9/s;ws"), Transport::WebSocket);
        assert_eq!(of("msrps://192.0.2.1:9/s;tcp"), Transport::Tls);
        assert_eq!(of("msrp://192.0.2.1:9/s;tcp"), Transport::Tcp);
    }

    #[tokio::test]
    async fn m6714_06_a_name_in_the_path_is_resolved_before_it_is_compared() {
        let names = |address, path| Names::of(&offer(address, path)).unwrap();

        assert!(names("127.0.0.1", "msrps://localhost:7000/s;tcp").agree().await);
        assert!(!names("192.0.2.1", "msrps://localhost:7000/s;tcp").agree().await);
        assert!(names("localhost", "msrps://127.0.0.1:7000/s;tcp").agree().await);
        assert!(Names::of(&offer("192.0.2.1", "msrps://192.0.2.1:7000/s;tcp")).is_none());
        let cema = MsrpMedia { cema: true, ..offer("192.0.2.1", "msrps://x.invalid:7000/s;tcp") };
        assert!(Names::of(&cema).is_none());
    }
}
