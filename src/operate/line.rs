//! The line to the MRFC's admin API: one request on one connection, and its answer or a [`Failure`] in plain words.
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use mrfc::admin::shapes::{Status, Wrong};
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::failure::{Failure, Kind};
use super::grammar::Reach;
use super::profile::Target;

/// The most octets of an answer: 20 000 registrations.
const ANSWER_OCTETS_MAX: usize = 32 << 20;

/// Where to ask, and as whom.
pub(super) struct Line {
    target: Target,
    patience: Duration,
}

/// An answer: as it came, and as what it means.
pub(super) struct Answer<T> {
    pub(super) json: serde_json::Value,
    pub(super) value: T,
}

impl Line {
    /// Finds out where to ask; nothing is asked yet.
    ///
    /// # Errors
    /// Something is missing for it.
    pub(super) fn open(reach: &Reach) -> Result<Self, Failure> {
        let patience = Duration::from_secs(reach.timeout);
        Target::find(reach).map(|target| Self { target, patience })
    }

    /// Reads something. `elsewhere` says where to look when it is not there.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        elsewhere: &str,
    ) -> Result<Answer<T>, Failure> {
        let body = self.ask(Method::GET, path, Bytes::new(), elsewhere).await?;
        self.read(path, &body)
    }

    /// Changes something, and reads what is said about it.
    pub(super) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        what: &impl Serialize,
        elsewhere: &str,
    ) -> Result<Answer<T>, Failure> {
        let what = serde_json::to_vec(what).unwrap_or_default().into();
        let body = self.ask(method, path, what, elsewhere).await?;
        self.read(path, &body)
    }

    /// Changes something about which there is nothing more to say.
    pub(super) async fn change(
        &self,
        method: Method,
        path: &str,
        elsewhere: &str,
    ) -> Result<(), Failure> {
        self.ask(method, path, Bytes::new(), elsewhere).await.map(drop)
    }

    /// The same, with something to be said.
    pub(super) async fn change_to(
        &self,
        method: Method,
        path: &str,
        what: &impl Serialize,
        elsewhere: &str,
    ) -> Result<(), Failure> {
        let what = serde_json::to_vec(what).unwrap_or_default().into();
        self.ask(method, path, what, elsewhere).await.map(drop)
    }

    /// A person as typed: `alice` is somebody of the MRFC's own domain.
    pub(super) async fn person(&self, typed: &str) -> Result<String, Failure> {
        if typed.contains('@') {
            let scheme = if typed.starts_with("sip") && typed.contains(':') { "" } else { "sip:" };
            return Ok(format!("{scheme}{typed}"));
        }
        let status: Answer<Status> = self.get("/v1/status", "").await?;
        Ok(format!("sip:{}@{}", typed.trim_start_matches("sip:"), status.value.domain))
    }

    fn read<T: DeserializeOwned>(&self, path: &str, body: &[u8]) -> Result<Answer<T>, Failure> {
        let read = || {
            let json: serde_json::Value = serde_json::from_slice(body)?;
            let value = T::deserialize(&json)?;
            Ok(Answer { json, value })
        };
        read().map_err(|error: serde_json::Error| {
            let what = format!("the answer is not understood: {error}");
            let mend = "use the `conclave` of the same version as the MRFC";
            Failure::new(Kind::Failed, what, self.place(path), mend)
        })
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        elsewhere: &str,
    ) -> Result<Bytes, Failure> {
        let asked = tokio::time::timeout(self.patience, self.exchange(method, path, body)).await;
        let (status, body) = asked.unwrap_or_else(|_late| {
            let what = format!("no answer within {} s", self.patience.as_secs());
            let mend = "look at the log of the MRFC, or wait longer with --timeout";
            Err(Failure::new(Kind::Unreachable, what, self.place(path), mend))
        })?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        Err(self.refused(status, path, &body, elsewhere))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(u16, Bytes), Failure> {
        let Target { server, name, tls, token, said } = &self.target;
        let down = |error: std::io::Error| {
            let what = format!("the MRFC cannot be reached: {error}");
            let mend =
                format!("is it running? start it, or name another one; the address is from {said}");
            Failure::new(Kind::Unreachable, what, format!("https://{server}"), mend)
        };
        let untrusted = |why: String| {
            let what = format!("no TLS with the MRFC: {why}");
            let mend =
                format!("check ca_file, server_name and your certificate; they are from {said}");
            Failure::new(Kind::Unreachable, what, format!("https://{server}"), mend)
        };
        let broken = |error: hyper::Error| untrusted(error.to_string());
        let socket = TcpStream::connect(server).await.map_err(down)?;
        let name =
            ServerName::try_from(name.clone()).map_err(|error| untrusted(error.to_string()))?;
        let stream = TlsConnector::from(std::sync::Arc::clone(tls)).connect(name, socket).await;
        let stream = stream.map_err(|error| untrusted(error.to_string()))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(broken)?;
        drop(tokio::spawn(connection));
        let mut request = Request::builder().method(method).uri(path).header(HOST, server);
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request =
            request.body(Full::new(body)).map_err(|error| untrusted(error.to_string()))?;
        let (head, body) = sender.send_request(request).await.map_err(broken)?.into_parts();
        let body = Limited::new(body, ANSWER_OCTETS_MAX).collect().await;
        let body = body.map_err(|error| untrusted(error.to_string()))?;
        Ok((head.status.as_u16(), body.to_bytes()))
    }

    fn refused(&self, status: u16, path: &str, body: &[u8], elsewhere: &str) -> Failure {
        let wrong: Option<Wrong> = serde_json::from_slice(body).ok();
        let kind = match status {
            404 => Kind::NotFound,
            401 | 403 => Kind::Denied,
            _ => Kind::Failed,
        };
        let Some(Wrong { what, r#where, mend, .. }) = wrong else {
            let what = format!("HTTP status {status} without a word");
            return Failure::new(
                kind,
                what,
                self.place(path),
                "is this the MRFC's admin listener?",
            );
        };
        let mend = match kind {
            Kind::NotFound if !elsewhere.is_empty() => elsewhere.to_owned(),
            Kind::Denied => format!("{mend}; yours is from {}", self.target.said),
            _ => mend,
        };
        Failure::new(kind, what, format!("{where}, {}", self.place(path)), mend)
    }

    fn place(&self, path: &str) -> String {
        format!("https://{}{path}", self.target.server)
    }
}

/// A name as a segment of a path (RFC 3986, 3.3).
pub(super) fn segment(name: &str) -> String {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"-._~:@!$&'()*+,;=".contains(&octet);
    let octets = name.bytes().map(|octet| match plain(octet) {
        true => char::from(octet).to_string(),
        false => format!("%{octet:02X}"),
    });
    octets.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_cannot_leave_its_place() {
        assert_eq!(segment("sip:alice@example.net"), "sip:alice@example.net");
        assert_eq!(segment("../a?b#c%d e"), "..%2Fa%3Fb%23c%25d%20e");
    }
}
