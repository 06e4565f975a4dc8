//! A SIP device on one TLS connection: raw enough to misbehave.
use std::net::SocketAddr;

use edge::driver::{self, DriverSettings, Sip, SipEvent};
use edge::{Dial, Edge, EdgeLimits, Target};
use ids::{Aor, DeviceId};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rustls::pki_types::ServerName;
use service::tls::{self, Identity, Trust};
use sip::dialog::{Dialog, random_call_id, random_tag};
use sip::digest::Login;
use sip::endpoint::{FlowId, TransactionKey};
use sip::header::{CSeq, Name};
use sip::{Method, Request, Response, Uri};
use tokio::sync::mpsc;

use crate::world::{DOMAIN, World, password};

/// One device of a user.
pub(crate) struct Phone {
    pub(crate) sip: Sip,
    events: mpsc::Receiver<SipEvent>,
    pub(crate) flow: FlowId,
    pub(crate) aor: Aor,
    pub(crate) device: DeviceId,
    login: Login,
    rng: StdRng,
    cseq: u32,
}

/// A dialog of a phone with the focus.
pub(crate) struct Talk {
    pub(crate) dialog: Dialog,
    pub(crate) response: Response,
}

/// An offer to a conference with this media line and these attributes behind `a=path`.
pub(crate) fn offer(proto: &str, scheme: &str, more: &str) -> String {
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
         m=message 9 {proto} *\r\na=path:{scheme}://127.0.0.1:9/ab12cd34;tcp\r\n{more}"
    )
}

/// An offer that a sealed conference takes.
pub(crate) fn good_offer() -> String {
    offer(
        "TCP/TLS/MSRP",
        "msrps",
        "a=setup:active\r\na=accept-types:message/cpim\r\na=accept-wrapped-types:*\r\n",
    )
}

impl Phone {
    /// A connection of this user's device number `n`; nothing is said on it yet.
    pub(crate) async fn connect(world: &World, user: &str, n: u8) -> Self {
        Self::dial(world, world.addresses.sip, None, (user, n)).await
    }

    /// The same at another address, where somebody stands in front of the MRFC.
    pub(crate) async fn connect_to(world: &World, address: SocketAddr, user: &str, n: u8) -> Self {
        Self::dial(world, address, None, (user, n)).await
    }

    /// The same with a certificate of its own.
    pub(crate) async fn connect_as(world: &World, identity: &Identity, user: &str) -> Self {
        Self::dial(world, world.addresses.sip, Some(identity), (user, 1)).await
    }

    /// The same over the plain listener.
    pub(crate) async fn connect_plain(world: &World, user: &str) -> Self {
        let address = world.addresses.sip_protected.unwrap();
        Self::over(Target { address, security: Dial::Protected }, (user, 1)).await
    }

    /// The same with an MRFC that runs as a program.
    pub(crate) async fn at(
        address: SocketAddr,
        roots: std::sync::Arc<rustls::RootCertStore>,
        user: (&str, u8),
    ) -> Self {
        let config = tls::client_config(Trust::Roots(roots), None, &[]).unwrap();
        let server_name = ServerName::try_from(DOMAIN).unwrap();
        Self::over(Target { address, security: Dial::Tls { config, server_name } }, user).await
    }

    async fn dial(
        world: &World,
        address: SocketAddr,
        identity: Option<&Identity>,
        user: (&str, u8),
    ) -> Self {
        let trust = Trust::Roots(world.roots.clone());
        let config = tls::client_config(trust, identity, &[]).unwrap();
        let server_name = ServerName::try_from(DOMAIN).unwrap();
        let security = Dial::Tls { config, server_name };
        Self::over(Target { address, security }, user).await
    }

    async fn over(target: Target, (user, n): (&str, u8)) -> Self {
        let (edge, events) = Edge::new(EdgeLimits::default());
        let (sip, events) = driver::spawn(edge, events, DriverSettings::default()).unwrap();
        let (flow, _) = sip.connect(target).await.unwrap();
        let seed = user.bytes().map(u64::from).sum::<u64>() * 256 + u64::from(n);
        Self {
            sip,
            events,
            flow,
            aor: format!("sip:{user}@{DOMAIN}").parse().unwrap(),
            device: format!("urn:uuid:00000000-0000-4000-8000-{seed:012}").parse().unwrap(),
            login: Login::new(user, &password(user)),
            rng: StdRng::seed_from_u64(seed),
            cseq: 0,
        }
    }

    /// A device that has registered.
    pub(crate) async fn registered(world: &World, user: &str, n: u8) -> Self {
        let mut phone = Self::connect(world, user, n).await;
        let response = phone.register(3_600).await;
        assert_eq!(response.status.code(), 200, "{user} could not register");
        phone
    }

    /// From now on it knows another password.
    pub(crate) fn forget_password(&mut self) {
        self.login = Login::new(self.aor.user(), "guess");
    }

    pub(crate) fn contact(&self) -> String {
        format!(
            "<sip:{}@127.0.0.1:5061;transport=tls>;+sip.instance=\"<{}>\"",
            self.aor.user(),
            self.device
        )
    }

    /// A request outside of a dialog.
    pub(crate) fn request(&mut self, method: &str, uri: &str) -> Request {
        self.cseq += 1;
        let method: Method = method.parse().unwrap();
        let uri: Uri = uri.parse().unwrap();
        let call_id = random_call_id(&mut self.rng);
        Request::new(method.clone(), uri.clone())
            .with(Name::From, format!("<{}>;tag={}", self.aor, random_tag(&mut self.rng)))
            .with(Name::To, format!("<{uri}>"))
            .with(Name::CallId, call_id)
            .with(Name::CSeq, CSeq { number: self.cseq, method })
            .with(Name::Contact, self.contact())
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: Request) -> Response {
        self.sip.request(self.flow, request).await.unwrap()
    }

    /// Sends a request, and once more with a proof if it was challenged.
    pub(crate) async fn ask(&mut self, request: Request) -> Response {
        let response = self.send(request.clone()).await;
        if response.status.code() != 401 {
            return response;
        }
        let again = self.proven(request, &response);
        self.send(again).await
    }

    /// The request with a proof that answers the challenge.
    pub(crate) fn proven(&mut self, mut request: Request, challenge: &Response) -> Request {
        let values: Vec<String> = challenge
            .headers
            .raw(&Name::WwwAuthenticate)
            .map(|value| String::from_utf8(value.to_vec()).unwrap())
            .collect();
        self.login.challenged(values.iter().map(String::as_str), None).unwrap();
        let (method, uri) = (request.method.clone(), request.uri.to_string());
        let proof = self.login.authorize(method.as_str(), &uri, &mut self.rng).unwrap();
        self.cseq = self.cseq.max(request.headers.cseq().unwrap().number) + 1;
        request.headers.set(Name::CSeq, CSeq { number: self.cseq, method }.to_string());
        request.headers.remove(&Name::Via);
        request.with(Name::Authorization, proof)
    }

    pub(crate) async fn register(&mut self, secs: u32) -> Response {
        let contact = format!("{};reg-id=1;expires={secs}", self.contact());
        let mut request = self.request("REGISTER", &format!("sip:{DOMAIN}"));
        request.headers.set(Name::To, format!("<{}>", self.aor));
        request.headers.set(Name::Contact, contact);
        self.ask(request.with(Name::Supported, "path, outbound")).await
    }

    /// INVITE with this body, and ACK to a 2xx.
    pub(crate) async fn invite(&mut self, uri: &str, sdp: &str) -> Result<Talk, Response> {
        let request = self.request("INVITE", uri).with_body("application/sdp", sdp.to_owned());
        let response = self.ask(request.clone()).await;
        if !response.status.is_success() {
            return Err(response);
        }
        // An INVITE that was challenged went out again with a higher number.
        let number = response.headers.cseq().unwrap().number;
        let mut sent = request;
        sent.headers.set(Name::CSeq, CSeq { number, method: Method::Invite }.to_string());
        let dialog = Dialog::uac(&sent, &response).unwrap();
        self.sip.acknowledge(self.flow, dialog.acknowledgement(number)).await;
        Ok(Talk { dialog, response })
    }

    /// The next request that comes in.
    pub(crate) async fn incoming(&mut self) -> (TransactionKey, Request) {
        loop {
            match self.events.recv().await.expect("the phone goes on") {
                SipEvent::Request { key, request, .. } => return (key, request),
                SipEvent::Closed { why, .. } => panic!("the connection is closed: {why}"),
                _ => {}
            }
        }
    }

    /// The ACK to an answer of this phone.
    pub(crate) async fn acknowledged(&mut self) -> Request {
        loop {
            match self.events.recv().await.expect("the phone goes on") {
                SipEvent::Ack { request, .. } => return request,
                SipEvent::Closed { why, .. } => panic!("the connection is closed: {why}"),
                _ => {}
            }
        }
    }

    /// Waits until the caller gives this INVITE up.
    pub(crate) async fn cancelled(&mut self, invite: TransactionKey) {
        loop {
            match self.events.recv().await.expect("the phone goes on") {
                SipEvent::Cancelled { key } if key == invite => return,
                SipEvent::Closed { why, .. } => panic!("the connection is closed: {why}"),
                _ => {}
            }
        }
    }

    /// Waits until the connection is closed.
    pub(crate) async fn closed(&mut self) {
        while let Some(event) = self.events.recv().await {
            if matches!(event, SipEvent::Closed { .. }) {
                return;
            }
        }
    }

    /// Answers a request with this status.
    pub(crate) async fn answer(&self, key: TransactionKey, request: &Request, status: u16) {
        let status = sip::Status::new(status).unwrap();
        let response = Response::to(request, status).with(Name::Contact, self.contact());
        self.sip.respond(key, response).await;
    }
}

/// The user part of the Contact of a 200: the conference's name.
pub(crate) fn conference(response: &Response) -> String {
    let contact = response.headers.contact().unwrap();
    assert!(contact.params.has("isfocus"), "RFC 4579, 4.1: the focus says that it is one");
    contact.uri.sip().unwrap().user().unwrap().into_owned()
}
