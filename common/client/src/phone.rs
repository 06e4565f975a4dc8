//! The SIP side of a device: one TLS flow to the MRFC, on which it registers, calls conferences and is called by them.
//! It answers every challenge, comes back by itself when its flow is lost, and what a call is about is decided by `device`.
mod asking;
mod call;
mod giving_up;
mod incoming;
mod late;
mod notices;
mod pager;
mod post;
mod receipts;
mod recovery;
mod referring;
mod ringing;
mod turns;
mod watching;

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use edge::driver::{self, DriverSettings, Sip};
use edge::{Dial, Edge, EdgeLimits, Target};
use ids::Aor;
use rustls::pki_types::ServerName;
use sip::dialog::{DialogId, random_call_id, random_tag};
use sip::digest::Login;
use sip::endpoint::{Failure, FlowId, TransactionKey};
use sip::header::CSeq;
use sip::{Method, Name, NameAddr, Request, Response, SipUri, Status, Uri};
use tokio::sync::{Notify, mpsc};

use crate::event::Error;
use crate::profile::Profile;
pub(crate) use call::{At, Call, Hangup, ShownAs};
pub(crate) use incoming::Incoming;
pub use late::Late;
pub use notices::{Fate, Notice, Paged};
pub(crate) use pager::{Brings, NotKept, name_of};
pub use pager::{Immediate, Protection, Taken};
pub(crate) use post::Post;
pub use referring::Calling;
pub(crate) use ringing::{Arrived, Ringing};
pub use watching::Watch;

/// How long a registration is asked for, in seconds.
const REGISTER_SECS: u32 = 3600;
/// The least a refresh is tried after one that failed, doubled, in seconds.
const REFRESH_SECS_MIN: u32 = 10;
/// Calls that wait to be answered.
const INCOMING_MAX: usize = 16;

/// The SIP side of a device. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Phone {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    profile: Profile,
    sip: Sip,
    tls: Arc<rustls::ClientConfig>,
    line: Mutex<Wire>,
    /// Its user wants no flow any more.
    gone: AtomicBool,
    /// Flows in a row that could not be opened, or not registered.
    failures: AtomicU32,
    login: tokio::sync::Mutex<Login>,
    calls: Mutex<HashMap<DialogId, call::Line>>,
    /// Who takes calls and messages of people, if anybody does.
    inbox: Mutex<Option<mpsc::Sender<Arrived>>>,
    post: Post,
    /// Calls of people that ring here, and whom to tell that they were given up.
    ringing: Mutex<HashMap<TransactionKey, ringing::Unanswered>>,
    /// Files that were offered to us, by who offers and the name of the transfer.
    transfers: Mutex<VecDeque<(Aor, String)>>,
    /// INVITEs of ours that we gave up, for a 2xx that comes all the same.
    given_up: Mutex<HashMap<TransactionKey, Request>>,
    /// Where what is told of a conference goes, by the Call-ID of the subscription.
    watches: Mutex<HashMap<String, mpsc::Sender<watching::Notified>>>,
    /// Where what becomes of a REFER goes, by its Call-ID.
    referrals: Mutex<HashMap<String, mpsc::Sender<Status>>>,
    registration: Registration,
    /// Of messages to one address one is on its way at a time.
    turns: turns::Turns,
    /// The server says that few KeyPackages are left.
    low: Notify,
}

/// The flow, and what is known by it.
#[derive(Clone, Debug)]
struct Wire {
    flow: FlowId,
    contact: NameAddr,
    address: String,
}

/// What stays the same in every REGISTER (RFC 3261, 10.2).
#[derive(Debug)]
struct Registration {
    call_id: String,
    tag: String,
    /// Refreshes the registration until the phone is gone.
    refresh: Mutex<Option<tokio::task::AbortHandle>>,
}

impl Phone {
    /// Connects to the MRFC; calls that come in are handed to the receiver. It is not registered yet.
    pub(crate) async fn connect(
        profile: &Profile,
        tls: Arc<rustls::ClientConfig>,
        post: Post,
    ) -> Result<(Self, mpsc::Receiver<Incoming>), Error> {
        let broken = |why: String| Error::Network { what: "connecting to the focus", why };
        let (edge, edge_events) = Edge::new(EdgeLimits::default());
        let started = driver::spawn(edge, edge_events, DriverSettings::default());
        let (sip, events) = started.map_err(|error| broken(error.to_string()))?;
        let line = Mutex::new(dial(&sip, profile, &tls).await?);
        let login = Login::new(profile.aor.user(), &profile.password).into();
        let registration = Registration {
            call_id: random_call_id(&mut rand::rng()),
            tag: random_tag(&mut rand::rng()),
            refresh: Mutex::default(),
        };
        let profile = profile.clone();
        let gone = AtomicBool::new(false);
        let failures = AtomicU32::new(0);
        let shared = Shared {
            profile,
            sip,
            tls,
            line,
            gone,
            failures,
            login,
            calls: Mutex::default(),
            inbox: Mutex::default(),
            post,
            ringing: Mutex::default(),
            transfers: Mutex::default(),
            given_up: Mutex::default(),
            watches: Mutex::default(),
            referrals: Mutex::default(),
            registration,
            turns: turns::Turns::new(turns::WAIT_MAX),
            low: Notify::new(),
        };
        let phone = Self { shared: Arc::new(shared) };
        let (to, incoming) = mpsc::channel(INCOMING_MAX);
        tokio::spawn(incoming::listen(phone.clone(), events, to));
        Ok((phone, incoming))
    }

    /// The next time the server says that few KeyPackages are left.
    pub(crate) async fn low(&self) {
        self.shared.low.notified().await;
    }

    /// Our address on the flow.
    pub(crate) fn address(&self) -> String {
        self.wire().address
    }

    /// Registers this device, and keeps it registered (RFC 3261, 10.2).
    pub(crate) async fn register(&self) -> Result<(), Error> {
        let secs = self.register_for(REGISTER_SECS).await?;
        let weak = Arc::downgrade(&self.shared);
        let refresh = tokio::spawn(async move {
            let mut secs = secs;
            loop {
                tokio::time::sleep(Duration::from_secs(u64::from(secs / 2).max(1))).await;
                let Some(shared) = weak.upgrade() else { return };
                match (Self { shared }).register_for(REGISTER_SECS).await {
                    Ok(granted) => secs = granted,
                    Err(error) => {
                        tracing::warn!(%error, "the registration was not refreshed");
                        secs = (secs / 2).max(REFRESH_SECS_MIN);
                    }
                }
            }
        });
        let refresh = Some(refresh.abort_handle());
        *self.shared.registration.refresh.lock().unwrap_or_else(PoisonError::into_inner) = refresh;
        Ok(())
    }

    /// Ends the registration and the flow.
    pub(crate) async fn unregister(&self) {
        self.stop_refreshing();
        if let Err(error) = self.register_for(0).await {
            tracing::debug!(%error, "not unregistered");
        }
        self.vanish();
    }

    /// Closes the flow without a word.
    pub(crate) fn vanish(&self) {
        self.stop_refreshing();
        self.shared.gone.store(true, Ordering::Relaxed);
        self.shared.sip.close(self.flow());
        self.shared.sip.edge().shutdown();
    }

    fn stop_refreshing(&self) {
        let mut refresh =
            self.shared.registration.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        refresh.take().into_iter().for_each(|task| task.abort());
    }

    /// Asks for a registration of so many seconds; how many were granted.
    async fn register_for(&self, secs: u32) -> Result<u32, Error> {
        let what = "registering";
        let shared = &*self.shared;
        let registrar = uri(&format!("sip:{}", shared.profile.system.domain))?;
        let address = NameAddr::new(uri(shared.profile.aor.as_str())?);
        let contact = self.contact().with_param("expires", Some(&secs.to_string()));
        let request = Request::new(Method::Register, registrar)
            .with(Name::From, address.clone().with_tag(&shared.registration.tag))
            .with(Name::To, address)
            .with(Name::CallId, &shared.registration.call_id)
            .with(Name::Contact, contact)
            .with(Name::Supported, "path, outbound");
        let (_request, response) = self.send(what, request).await?;
        let own = response.headers.addresses(Name::Contact).unwrap_or_default();
        let own =
            own.iter().find(|contact| contact.instance().as_ref() == Some(&shared.profile.device));
        Ok(own.and_then(NameAddr::expires).unwrap_or(secs))
    }

    /// A request outside of any dialog, from this user.
    fn request(&self, method: Method, target: Uri, to: &Aor) -> Result<Request, Error> {
        let from = NameAddr::new(uri(self.shared.profile.aor.as_str())?);
        Ok(Request::new(method, target)
            .with(Name::From, from.with_tag(&random_tag(&mut rand::rng())))
            .with(Name::To, NameAddr::new(uri(to.as_str())?))
            .with(Name::CallId, random_call_id(&mut rand::rng()))
            .with(Name::Contact, self.contact()))
    }

    /// Sends a request and answers a challenge: what was sent last, and the 2xx it got.
    async fn send(
        &self,
        what: &'static str,
        request: Request,
    ) -> Result<(Request, Response), Error> {
        self.send_within(what, request, self.shared.profile.limits.request).await
    }

    async fn send_within(
        &self,
        what: &'static str,
        mut request: Request,
        patience: Duration,
    ) -> Result<(Request, Response), Error> {
        request.headers.set(Name::MaxForwards, "70");
        let number = request.headers.cseq().map_or(1, |cseq| cseq.number);
        let mut sent = None;
        for attempt in 0..2 {
            let cseq = CSeq { number: number + attempt, method: request.method.clone() };
            request.headers.set(Name::CSeq, cseq.to_string());
            let authorization = self.authorize(&request).await;
            if let Some(value) = &authorization {
                request.headers.set(Name::Authorization, value.clone());
            }
            let response = tokio::time::timeout(patience, self.exchange(request.clone())).await;
            let response = response.map_err(|_elapsed| Error::Late(what))?;
            let response = response.map_err(|failure| failed(what, failure))?;
            if response.status != Status::UNAUTHORIZED {
                sent = Some(response);
                break;
            }
            let values: Vec<String> = response
                .headers
                .raw(&Name::WwwAuthenticate)
                .map(|value| String::from_utf8_lossy(value).into_owned())
                .collect();
            let values = values.iter().map(String::as_str);
            let challenged =
                self.shared.login.lock().await.challenged(values, authorization.as_deref());
            let reason = |why: &dyn std::fmt::Display| why.to_string();
            challenged.map_err(|why| Error::Refused { what, status: 401, reason: reason(&why) })?;
        }
        let response = sent.ok_or_else(|| Error::Refused {
            what,
            status: 401,
            reason: "the server keeps asking who we are".to_owned(),
        })?;
        if !response.status.is_success() {
            let (status, reason) = (response.status.code(), words(&response));
            return Err(Error::Refused { what, status, reason });
        }
        Ok((request, response))
    }

    async fn authorize(&self, request: &Request) -> Option<String> {
        let (method, uri) = (request.method.as_str(), request.uri.to_string());
        self.shared.login.lock().await.authorize(method, &uri, &mut rand::rng())
    }

    fn wire(&self) -> Wire {
        self.shared.line.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn flow(&self) -> FlowId {
        self.wire().flow
    }

    fn contact(&self) -> NameAddr {
        self.wire().contact
    }

    fn watches(
        &self,
    ) -> std::sync::MutexGuard<'_, HashMap<String, mpsc::Sender<watching::Notified>>> {
        self.shared.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn referrals(&self) -> std::sync::MutexGuard<'_, HashMap<String, mpsc::Sender<Status>>> {
        self.shared.referrals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, HashMap<DialogId, call::Line>> {
        self.shared.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a server refused: what it says beside its status, or the phrase of that.
fn words(response: &Response) -> String {
    let warning = response.headers.text(&Name::Warning);
    let quoted = warning.as_deref().and_then(|text| text.split_once('"')?.1.rsplit_once('"'));
    let said = quoted.map(|(text, _)| unquoted(text)).filter(|text| !text.is_empty());
    let said = said.unwrap_or_else(|| response.reason.to_string());
    said.replace(char::is_control, " ")
}

/// RFC 3261, 25.1: in a quoted string a backslash stands before what is meant.
fn unquoted(text: &str) -> String {
    let mut rest = text.chars();
    std::iter::from_fn(|| match rest.next()? {
        '\\' => rest.next(),
        other => Some(other),
    })
    .collect()
}

/// Opens a flow to the MRFC.
async fn dial(
    sip: &Sip,
    profile: &Profile,
    tls: &Arc<rustls::ClientConfig>,
) -> Result<Wire, Error> {
    let broken = |why: String| Error::Network { what: "connecting to the focus", why };
    let name = profile.system.server_name.clone();
    let server_name = ServerName::try_from(name).map_err(|error| broken(error.to_string()))?;
    let security = Dial::Tls { config: Arc::clone(tls), server_name };
    let target = Target { address: profile.system.sip, security };
    let (flow, peer) = sip.connect(target).await.map_err(|why| broken(why.to_string()))?;
    let contact = contact(profile, &peer.local).map_err(|error| broken(error.to_string()))?;
    Ok(Wire { flow, contact, address: peer.local.ip().to_string() })
}

/// Where this device is reached: over the flow it opened (RFC 5626).
fn contact(profile: &Profile, local: &std::net::SocketAddr) -> Result<NameAddr, sip::BadUri> {
    let host = match local {
        std::net::SocketAddr::V4(address) => address.ip().to_string(),
        std::net::SocketAddr::V6(address) => format!("[{}]", address.ip()),
    };
    let uri = SipUri::new(Some(profile.aor.user()), &host)?
        .with_port(Some(local.port()))
        .with_param("transport", Some("tls"));
    let instance = format!("\"<{}>\"", profile.device);
    Ok(NameAddr::new(uri)
        .with_param("+sip.instance", Some(&instance))
        .with_param("reg-id", Some("1")))
}

fn uri(text: &str) -> Result<Uri, Error> {
    text.parse()
        .map_err(|error: sip::BadUri| Error::Answer { what: "a URI", why: error.to_string() })
}

fn failed(what: &'static str, failure: Failure) -> Error {
    match failure {
        Failure::Timeout => Error::Late(what),
        Failure::FlowClosed | Failure::Busy => Error::Network { what, why: failure.to_string() },
    }
}
