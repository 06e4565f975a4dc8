//! The MRFC's HTTPS side: the device's certificate, its KeyPackages, other people's, and the state of a group.
//! Every request is authenticated by digest (RFC 7616). It keeps no connection open and caches nothing.
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use ids::{ConferenceId, DeviceId};
use mls::wire::{GROUP_STATE, GroupState, KEY_PACKAGES, KeyPackageUpload};
use rustls::pki_types::ServerName;
use sip::digest::Login;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::event::Error;
use crate::govern::{Rules, Ruling, Sent};
use crate::own_device::{self, OwnDevices};
use crate::profile::Profile;

/// The most octets an answer may have: a group's state with its tree.
const ANSWER_OCTETS_MAX: usize = 16 << 20;
/// What a certificate request is (RFC 2986).
const PKCS10: &str = "application/pkcs10";

/// The HTTPS resources of one user.
pub(crate) struct Directory {
    profile: Profile,
    tls: TlsConnector,
    login: tokio::sync::Mutex<Login>,
}

/// What is asked for.
pub(crate) struct Asked<'a> {
    pub(crate) what: &'static str,
    pub(crate) method: Method,
    pub(crate) path: &'a str,
    pub(crate) content: Option<(&'static str, Bytes)>,
}

impl Directory {
    /// The resources of `profile`'s user; nothing is asked yet.
    pub(crate) fn new(profile: &Profile, tls: Arc<rustls::ClientConfig>) -> Self {
        let login = Login::new(profile.aor.user(), &profile.password);
        Self { profile: profile.clone(), tls: TlsConnector::from(tls), login: login.into() }
    }

    /// Has a certificate request signed: the device's certificate (DER).
    pub(crate) async fn certify(&self, request: Vec<u8>) -> Result<Bytes, Error> {
        let content = Some((PKCS10, Bytes::from(request)));
        let what = "a device certificate";
        self.ask(&Asked { what, method: Method::POST, path: "/v1/certificates", content }).await
    }

    /// Has the certificate of a pseudonym signed that this user has in a conference.
    pub(crate) async fn certify_in(
        &self,
        id: &ConferenceId,
        request: Vec<u8>,
    ) -> Result<Bytes, Error> {
        let (what, path) = ("a pseudonym", format!("/v1/conferences/{id}/certificates"));
        let content = Some((PKCS10, Bytes::from(request)));
        self.ask(&Asked { what, method: Method::POST, path: &path, content }).await
    }

    /// Leaves KeyPackages under a pseudonym, for the focus.
    pub(crate) async fn publish_in(
        &self,
        id: &ConferenceId,
        upload: &KeyPackageUpload,
    ) -> Result<(), Error> {
        let (what, path) =
            ("KeyPackages of a pseudonym", format!("/v1/conferences/{id}/key-packages"));
        let content = Some((KEY_PACKAGES, upload.to_bytes()));
        self.ask(&Asked { what, method: Method::PUT, path: &path, content }).await.map(drop)
    }

    /// Puts KeyPackages into the directory.
    pub(crate) async fn publish(&self, upload: &KeyPackageUpload) -> Result<(), Error> {
        let content = Some((KEY_PACKAGES, upload.to_bytes()));
        let what = "publishing KeyPackages";
        self.ask(&Asked { what, method: Method::PUT, path: "/v1/key-packages", content }).await?;
        Ok(())
    }

    /// The public state of a conference's group; none if it has no group yet.
    pub(crate) async fn group(&self, id: &ConferenceId) -> Result<Option<GroupState>, Error> {
        let what = "the state of the group";
        let path = format!("/v1/conferences/{id}/group");
        let asked = Asked { what, method: Method::GET, path: &path, content: None };
        let bytes = match self.ask(&asked).await {
            Ok(bytes) => bytes,
            Err(Error::Refused { status: 404, .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let state = GroupState::from_bytes(&bytes);
        state.map(Some).map_err(|error| Error::Answer { what: GROUP_STATE, why: error.to_string() })
    }

    /// The devices of this user that have something at the server.
    pub(crate) async fn devices(&self) -> Result<OwnDevices, Error> {
        let what = "the list of devices";
        let asked = Asked { what, method: Method::GET, path: "/v1/devices", content: None };
        let bytes = self.ask(&asked).await?;
        own_device::read(&bytes)
            .ok_or_else(|| Error::Answer { what, why: "no list of devices".to_owned() })
    }

    /// The devices of this user that wait to be confirmed, with their keys.
    pub(crate) async fn waiting(&self) -> Result<Vec<(DeviceId, [u8; 32])>, Error> {
        let what = "the devices that wait";
        let asked = Asked { what, method: Method::GET, path: "/v1/devices/waiting", content: None };
        let bytes = self.ask(&asked).await?;
        own_device::read_waiting(&bytes)
            .ok_or_else(|| Error::Answer { what, why: "no list of devices".to_owned() })
    }

    /// Gives a device's word for another one.
    pub(crate) async fn vouch(&self, device: &DeviceId, voucher: Bytes) -> Result<(), Error> {
        let (what, path) = ("confirming a device", format!("/v1/devices/{device}/voucher"));
        let content = Some(("application/vnd.conclave.voucher", voucher));
        self.ask(&Asked { what, method: Method::PUT, path: &path, content }).await.map(drop)
    }

    /// Has a device of this user taken back; in how many conferences it was.
    pub(crate) async fn take_back(&self, device: &DeviceId) -> Result<u64, Error> {
        let (what, path) = ("taking a device back", format!("/v1/devices/{device}"));
        let asked = Asked { what, method: Method::DELETE, path: &path, content: None };
        let bytes = self.ask(&asked).await?;
        let taken: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let conferences = taken.get("conferences").and_then(serde_json::Value::as_u64);
        conferences
            .ok_or_else(|| Error::Answer { what, why: "it does not say how many".to_owned() })
    }

    /// What holds in a conference.
    pub(crate) async fn rules(&self, id: &ConferenceId) -> Result<Rules, Error> {
        let (what, path) = ("the rules of the conference", format!("/v1/conferences/{id}"));
        let asked = Asked { what, method: Method::GET, path: &path, content: None };
        let read = Rules::read(&self.ask(&asked).await?);
        read.ok_or_else(|| Error::Answer { what, why: "these are no rules".to_owned() })
    }

    /// Has something settled by a moderator.
    pub(crate) async fn settle(&self, id: &ConferenceId, ruling: &Ruling) -> Result<(), Error> {
        let Sent { method, path, body } = ruling.sent(id);
        let content = body.map(|body| ("application/json", Bytes::from(body.to_string())));
        self.ask(&Asked { what: ruling.what(), method, path: &path, content }).await.map(drop)
    }

    pub(crate) async fn ask(&self, asked: &Asked<'_>) -> Result<Bytes, Error> {
        let late = self.profile.limits.request;
        let answer = tokio::time::timeout(late, self.ask_twice(asked)).await;
        answer.map_err(|_elapsed| Error::Late(asked.what))?
    }

    /// Asks, and once more with an answer to the challenge if the server wants to know who asks.
    async fn ask_twice(&self, asked: &Asked<'_>) -> Result<Bytes, Error> {
        let mut authorization = self.authorization(asked).await;
        for _attempt in 0..2 {
            let (head, body) = self.exchange(asked, authorization.as_deref()).await?.into_parts();
            if head.status != hyper::StatusCode::UNAUTHORIZED {
                return answer(asked.what, head.status.as_u16(), body).await;
            }
            let values: Vec<&str> = head
                .headers
                .get_all(WWW_AUTHENTICATE)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .collect();
            let challenged = self.login.lock().await.challenged(values, authorization.as_deref());
            challenged.map_err(|error| refused(asked.what, 401, error.to_string()))?;
            authorization = self.authorization(asked).await;
        }
        Err(refused(asked.what, 401, "the server keeps asking who we are".to_owned()))
    }

    async fn authorization(&self, asked: &Asked<'_>) -> Option<String> {
        let mut login = self.login.lock().await;
        login.authorize(asked.method.as_str(), asked.path, &mut rand::rng())
    }

    async fn exchange(
        &self,
        asked: &Asked<'_>,
        authorization: Option<&str>,
    ) -> Result<Response<hyper::body::Incoming>, Error> {
        let broken = |why: String| Error::Network { what: asked.what, why };
        let system = &self.profile.system;
        let name = ServerName::try_from(system.server_name.clone())
            .map_err(|error| broken(error.to_string()))?;
        let socket =
            TcpStream::connect(system.https).await.map_err(|error| broken(error.to_string()))?;
        let stream =
            self.tls.connect(name, socket).await.map_err(|error| broken(error.to_string()))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| broken(error.to_string()))?;
        tokio::spawn(connection);
        let mut request = Request::builder()
            .method(asked.method.clone())
            .uri(asked.path)
            .header(HOST, &system.server_name);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
        }
        let mut body = Bytes::new();
        if let Some((content_type, content)) = &asked.content {
            request = request.header(CONTENT_TYPE, *content_type);
            body = content.clone();
        }
        let request = request.body(Full::new(body)).map_err(|error| broken(error.to_string()))?;
        sender.send_request(request).await.map_err(|error| broken(error.to_string()))
    }
}

/// The body of a successful answer, or the server's words.
async fn answer(
    what: &'static str,
    status: u16,
    body: hyper::body::Incoming,
) -> Result<Bytes, Error> {
    let body = Limited::new(body, ANSWER_OCTETS_MAX).collect().await;
    let body = body.map_err(|error| Error::Network { what, why: error.to_string() })?.to_bytes();
    if (200..300).contains(&status) {
        return Ok(body);
    }
    let words: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
    let said = |key: &str| words.get(key).and_then(serde_json::Value::as_str);
    let reason = said("what").unwrap_or("no reason given");
    let mend = said("mend").map(|mend| format!("; {mend}")).unwrap_or_default();
    Err(refused(what, status, format!("{reason}{mend}")))
}

fn refused(what: &'static str, status: u16, reason: String) -> Error {
    Error::Refused { what, status, reason }
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Directory({:?})", self.profile)
    }
}
