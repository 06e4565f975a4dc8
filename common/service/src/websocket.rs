//! What a WebSocket server of ours does before the first message, whatever it speaks then (RFC 6455, 4.2): it answers
//! the upgrade request. The framing behind it is tungstenite's, over memory ([`Pipe`]); sockets and TLS belong to
//! whoever has the connection.
use std::io::{self, Read, Write};

use bytes::{Buf, BytesMut};
use tungstenite::handshake::machine::TryParse;
use tungstenite::handshake::server::{Request, create_response, write_response};
use tungstenite::http::{HeaderValue, Response, StatusCode, header};

/// Octets of the upgrade request.
const UPGRADE_OCTETS_MAX: usize = 8 * 1024;

/// What the framing takes for a socket: octets that came, and octets that are to leave.
#[derive(Debug, Default)]
pub struct Pipe {
    /// Out of TLS, and not framed yet.
    pub input: BytesMut,
    /// Framed, and not in TLS yet.
    pub output: Vec<u8>,
}

/// Why a connection becomes no WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadUpgrade {
    /// It asks for no WebSocket, or asks badly.
    #[error("no WebSocket upgrade")]
    Request,
    /// It does not offer to speak what is spoken here.
    #[error("the sub-protocol is not offered")]
    Subprotocol,
    /// A page of an origin that is not allowed.
    #[error("the origin is not allowed")]
    Origin,
}

impl BadUpgrade {
    fn response(self) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = match self {
            Self::Origin => StatusCode::FORBIDDEN,
            Self::Request | Self::Subprotocol => StatusCode::BAD_REQUEST,
        };
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        response
    }
}

impl Pipe {
    /// Answers the upgrade request, once it is complete; false until then. The answer, a refusal too, is in `output`.
    /// A page may connect if its origin is among `origins`; without any, every page may.
    pub fn upgrade(
        &mut self,
        subprotocol: &'static str,
        origins: &[String],
    ) -> Result<bool, BadUpgrade> {
        let parsed = Request::try_parse(&self.input).map_err(|_| BadUpgrade::Request);
        let answer = match parsed {
            Ok(None) if self.input.len() <= UPGRADE_OCTETS_MAX => return Ok(false),
            Ok(None) => Err(BadUpgrade::Request),
            Ok(Some((octets, request))) => {
                self.input.advance(octets);
                answer(&request, subprotocol, origins)
            }
            Err(bad) => Err(bad),
        };
        let written = match &answer {
            Ok(response) => write_response(&mut self.output, response),
            Err(bad) => write_response(&mut self.output, &bad.response()),
        };
        // Writing to memory cannot fail.
        drop(written);
        answer.map(|_| true)
    }
}

/// The answer to an upgrade request.
fn answer(
    request: &Request,
    subprotocol: &'static str,
    origins: &[String],
) -> Result<Response<()>, BadUpgrade> {
    let mut response = create_response(request).map_err(|_| BadUpgrade::Request)?;
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let offers = |value: &HeaderValue| {
        let list = value.to_str().unwrap_or_default();
        list.split(',').any(|name| name.trim() == subprotocol)
    };
    if !offered.iter().any(offers) {
        return Err(BadUpgrade::Subprotocol);
    }
    // RFC 7977, 7: only a browser says where its page is from, and it does not lie.
    let origin = request.headers().get(header::ORIGIN).map(|origin| origin.to_str());
    let allowed = |origin: &str| origins.iter().any(|own| own.eq_ignore_ascii_case(origin));
    if !origins.is_empty() && origin.is_some_and(|origin| !origin.is_ok_and(allowed)) {
        return Err(BadUpgrade::Origin);
    }
    let chosen = HeaderValue::from_static(subprotocol);
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);
    Ok(response)
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.input.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let octets = buffer.len().min(self.input.len());
        self.input.copy_to_slice(buffer.get_mut(..octets).unwrap_or_default());
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        Ok(octets)
    }
}

impl Write for Pipe {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.output.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(more: &str) -> Result<Response<()>, BadUpgrade> {
        let text = format!(
            "GET / HTTP/1.1\r\nHost: r.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{more}\r\n"
        );
        let (_, request) = Request::try_parse(text.as_bytes()).unwrap().unwrap();
        answer(&request, "msrp", &["https://chat.example".to_owned()])
    }

    #[test]
    fn m7977_01_the_sub_protocol_must_be_offered_and_is_echoed() {
        let chosen = request("Sec-WebSocket-Protocol: chat, msrp\r\n").unwrap();

        assert_eq!(chosen.headers().get("sec-websocket-protocol").unwrap(), "msrp");
        assert_eq!(chosen.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(request("").unwrap_err(), BadUpgrade::Subprotocol);
        let other = request("Sec-WebSocket-Protocol: msrpx\r\n");
        assert_eq!(other.unwrap_err(), BadUpgrade::Subprotocol);
    }

    #[test]
    fn m7977_08_a_page_of_another_origin_may_not_connect() {
        let from = |origin: &str| {
            request(&format!("Sec-WebSocket-Protocol: msrp\r\nOrigin: {origin}\r\n"))
        };

        assert!(from("https://chat.example").is_ok());
        assert_eq!(from("https://evil.example").unwrap_err(), BadUpgrade::Origin);
        assert_eq!(BadUpgrade::Origin.response().status(), StatusCode::FORBIDDEN);
    }

    #[test]
    fn an_upgrade_request_without_an_end_is_refused_at_8_kibibytes() {
        let mut pipe = Pipe::default();
        pipe.input.extend_from_slice(b"GET / HTTP/1.1\r\nHost: ");
        assert_eq!(pipe.upgrade("sip", &[]), Ok(false));

        pipe.input.extend_from_slice(&[b'x'; UPGRADE_OCTETS_MAX]);

        assert_eq!(pipe.upgrade("sip", &[]), Err(BadUpgrade::Request));
        assert!(pipe.output.starts_with(b"HTTP/1.1 400"));
    }
}
