//! People on their own: calling somebody and being called, and messages outside of any session. Media goes from device to
//! device over TLS, each certificate known by what the other side's description says of it (RFC 8122), or through a relay
//! if the MRFC wants that; a device cannot tell, and need not.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ids::{Aor, DeviceId, Epoch};
use service::tls::{ClientAuth, Named, Trust, client_config, server_config};
use sip::Status;
use sip::sdp::{self, BadSdp, MsrpMedia, Setup, Target, Terms, host_and_port};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::filing::{FileOffer, FileRequest, Way};
use super::shelf::Shelf;
use super::sorting::{To, sorted};
use super::unfetched::Unfetched;
use super::{Device, Shared, origin};
use crate::circles::{Coming, Departures, Manner, Sent, Writing};
use crate::connection::{self, Connection};
use crate::event::{Announced, DeviceNews, Error};
use crate::leg::{self, Leg, LegEvents};
use crate::phone::{Arrived, At, Call, Immediate, Paged, Protection, Ringing, Taken};
use crate::profile::Limits;
use crate::session::Pair;
use crate::session::kept::Kept;
use crate::session::parcel::{Letter, Parcel, Receipt};
use endpoint::ends::{self, Place, path};
use endpoint::{First, Setup as Ends};

/// Calls and messages that wait to be looked at.
const INBOX_MAX: usize = 64;
/// How long after the circles were asked for in vain they are asked for again, at first and at most.
const ENTER_AGAIN: Duration = Duration::from_millis(500);
const ENTER_AGAIN_MAX: Duration = Duration::from_secs(30);

/// Calls and messages of people. While nobody has asked for one, a device takes neither.
#[derive(Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
    arrived: mpsc::Receiver<Arrived>,
    shelf: Shelf,
}

/// What people want of a device.
#[derive(Debug)]
pub enum Arrival {
    /// A session; it rings.
    Call(Ring),
    /// A message is here, as servers could read it or as it was sealed by other means than ours.
    Message(Immediate),
    /// A file; it waits to be taken.
    File(FileOffer),
    /// Somebody wants a file of ours.
    Wanted(FileRequest),
    /// A sealed message is here, opened and its author proven.
    Letter(Letter),
    /// A message of ours has arrived. Said once for each person.
    Receipt(Receipt),
    /// Somebody has a sealed file for this person, and this is its key. It is fetched with [`Device::fetch_announced`], or
    /// comes by itself as a [`Arrival::File`].
    Announced(Announced),
    /// A person this device writes to has a device that was not there before, or one that signs with another key.
    Device {
        /// Whose.
        who: Aor,
        /// Which.
        device: DeviceId,
        /// What is new about it.
        news: DeviceNews,
        /// The person was verified: what is written to them is held until somebody accepts it.
        held: bool,
    },
    /// Somebody this device writes to has seen another group than it did: the two were led apart, and neither can know who
    /// read what was written then. Told once.
    Split {
        /// Who.
        who: Aor,
        /// The first epoch in which it differs.
        epoch: Epoch,
    },
    /// Something sealed has come that this device cannot open.
    Unreadable {
        /// Who sent it.
        from: Aor,
        /// Why, for a person.
        why: String,
    },
}

impl Inbox {
    /// Takes no more: what has come is still there, then it ends. Sealed messages that come later wait for the next start, if
    /// the device is kept.
    pub fn close(&mut self) {
        self.arrived.close();
    }

    /// The next thing that somebody wants.
    pub async fn next(&mut self) -> Option<Arrival> {
        loop {
            if let Some(arrival) = self.shelf.next() {
                return Some(arrival);
            }
            let arrived = self.arrived.recv().await?;
            let arrival = self.arrival(arrived);
            self.shelf.put(arrival);
        }
    }

    fn arrival(&self, arrived: Arrived) -> Arrival {
        match arrived {
            Arrived::Call(ringing) => {
                let shared = Arc::clone(&self.shared);
                match super::filing::direction(&ringing) {
                    None => Arrival::Call(Ring { shared, ringing }),
                    Some(Way::Push) => Arrival::File(FileOffer::new(shared, ringing)),
                    Some(Way::Pull) => Arrival::Wanted(FileRequest { shared, ringing }),
                }
            }
            Arrived::Message(message, kept) => {
                kept.into_iter().for_each(Kept::done);
                Arrival::Message(message)
            }
            Arrived::Letter(letter, kept) => {
                kept.done();
                Arrival::Letter(letter)
            }
            Arrived::Receipt(receipt) => Arrival::Receipt(receipt),
            Arrived::Announced(announced, kept) => {
                // First the one, then the other: a device that is killed in between tells it again.
                if announced.from != self.shared.profile.aor {
                    Unfetched::of(self.shared.keyring.records()).keep(&announced);
                }
                kept.done();
                Arrival::Announced(announced)
            }
            Arrived::Device { who, device, news, held } => {
                Arrival::Device { who, device, news, held }
            }
            Arrived::Split { who, epoch } => Arrival::Split { who, epoch },
            Arrived::Unreadable { from, why } => Arrival::Unreadable { from, why },
        }
    }
}

/// A person calls. Dropping it says that this device is busy; other devices of its user ring on.
#[derive(Debug)]
pub struct Ring {
    shared: Arc<Shared>,
    ringing: Box<Ringing>,
}

impl Ring {
    /// Who calls.
    pub fn from(&self) -> &Aor {
        &self.ringing.from
    }

    /// Resolves when the caller has given up.
    pub async fn given_up(&mut self) {
        self.ringing.given_up().await;
    }

    /// Takes the call, and returns once the session stands.
    ///
    /// # Errors
    /// The caller has given up or offers no session that is safe, or no connection came about.
    pub async fn accept(self) -> Result<(Leg, LegEvents), Error> {
        let Self { shared, ringing } = self;
        shared.accept(*ringing).await
    }

    /// Says no, for all devices of the user.
    pub async fn decline(self) {
        self.ringing.refuse(Status::DECLINE).await;
    }
}

impl Device {
    /// Calls a person, and returns once the session stands. Dropped before, the call is given up.
    ///
    /// # Errors
    /// They are not there, do not want to, or offer no session that is safe.
    pub async fn call(&self, who: &Aor) -> Result<(Leg, LegEvents), Error> {
        self.shared.call(who).await
    }

    /// Calls and messages of people, from now on. A second inbox takes the place of the first.
    /// This device enters the circles of its user that it has no keys of, so that it can read what is written there.
    pub fn inbox(&self) -> Inbox {
        let (to, came) = mpsc::channel(INBOX_MAX);
        let (told, arrived) = mpsc::channel(INBOX_MAX);
        let circles = self.shared.circles.clone();
        circles.listen(told.clone());
        self.shared.phone.open_inbox(to);
        let before = self.shared.phone.kept();
        let to =
            To { circles: circles.clone(), shared: Arc::clone(&self.shared), told: told.clone() };
        tokio::spawn(sorted(to, before, came));
        tokio::spawn(async move {
            // What was opened before is told as soon as it is known who is in its circle.
            let mut wait = ENTER_AGAIN;
            while let Err(error) = circles.enter_all().await {
                tracing::debug!(%error, "the circles were not entered");
                tokio::select! {
                    () = told.closed() => return,
                    () = tokio::time::sleep(wait) => wait = (wait * 2).min(ENTER_AGAIN_MAX),
                }
            }
        });
        Inbox { shared: Arc::clone(&self.shared), arrived, shelf: Shelf::default() }
    }

    /// Writes to these people, sealed for them and for nobody else, on every device they have. They may be away, or never
    /// answer. Nothing leaves without a seal, unless `manner` says so for people without keys.
    ///
    /// # Errors
    /// Somebody has no keys ([`Error::NoKeys`]), no device took it, or a server does not pass it on.
    pub async fn write(
        &self,
        to: &[Aor],
        manner: Manner,
        content_type: &str,
        body: Bytes,
    ) -> Result<Sent, Error> {
        self.writing(to, manner, content_type, body).await?.done().await
    }

    /// The same for who wants to know whether it is held: it goes out once that is over, whether or not anybody waits
    /// for it.
    ///
    /// # Errors
    /// These people are too many for one message, or the device has ended.
    pub async fn writing(
        &self,
        to: &[Aor],
        manner: Manner,
        content_type: &str,
        body: Bytes,
    ) -> Result<Writing, Error> {
        self.shared.circles.write(to, manner, (content_type, body)).await
    }

    /// Believes the devices a person has now, so that what is held for them goes out. Says whether any was not believed.
    pub async fn accept(&self, who: &Aor) -> bool {
        let any = self.shared.profile.pins.accept(who);
        self.shared.circles.look().await;
        any
    }

    /// Notes that numbers were compared with this person and are alike, or takes that back. From then on what is written
    /// to them is held as soon as they have a device that nobody has accepted.
    pub async fn verify(&self, who: &Aor, verified: bool) {
        self.shared.profile.pins.verify(who, verified);
        self.shared.circles.look().await;
    }

    /// The number to compare with a person this device writes to, outside of any room.
    ///
    /// # Errors
    /// Nothing was ever written between the two, or the server was not there.
    pub async fn number(&self, with: &Aor) -> Result<Pair, Error> {
        self.shared.circles.number(with).await
    }

    /// Takes a message that has come by another way, as if it had just been sent here. The inbox tells what it was.
    pub async fn take(&self, message: Immediate) {
        if let Some(parcel) = Parcel::read(&message.content_type, &message.body) {
            let coming = Coming { late: message.late, ..Coming::default() };
            self.shared.circles.arrived(message.from, parcel, coming).await;
        }
    }

    /// Listens from now on to the sealed messages that leave, as the servers have them.
    pub fn departures(&self) -> Departures {
        self.shared.circles.departures()
    }

    /// Sends a message to a person, outside of any session (RFC 3428), and how far it was protected. Not sealed: what is
    /// to be is written with [`Device::write`].
    ///
    /// # Errors
    /// They are not there, there is nobody of that name, or a server does not pass it on.
    pub async fn message(
        &self,
        to: &Aor,
        content_type: &str,
        body: Bytes,
    ) -> Result<(Taken, Option<Protection>), Error> {
        self.shared.phone.message(to, content_type, body).await
    }

    /// The same, wrapped (RFC 3862), so that the mailbox and the other side can tell what becomes of it:
    /// [`Immediate::notice`].
    ///
    /// # Errors
    /// Those of [`Device::message`].
    pub async fn page(&self, to: &Aor, content_type: &str, body: Bytes) -> Result<Paged, Error> {
        self.shared.phone.page(to, content_type, body).await
    }

    /// Sends a message to each of these people, who see each other's names (RFC 5365).
    ///
    /// # Errors
    /// One of them cannot be sent messages so, or a server does not pass it on.
    pub async fn message_all(
        &self,
        to: &[Aor],
        content_type: &str,
        body: Bytes,
    ) -> Result<(Taken, Option<Protection>), Error> {
        self.shared.phone.message_all(to, content_type, body).await
    }
}

/// What is known when both sides have described their ends.
pub(super) struct Agreed {
    pub(super) call: Call,
    pub(super) ours: MsrpMedia,
    pub(super) theirs: MsrpMedia,
    pub(super) terms: Terms,
    pub(super) listener: Option<TcpListener>,
}

pub(super) fn unsafe_session(bad: BadSdp) -> Error {
    Error::Answer { what: "the other side's description", why: bad.to_string() }
}

fn broken(error: std::io::Error) -> Error {
    Error::Network { what: "listening for the other side", why: error.to_string() }
}

impl Shared {
    async fn call(&self, who: &Aor) -> Result<(Leg, LegEvents), Error> {
        let (listener, port) = self.listen().await?;
        let ours = self.end(Some(port), Setup::ActPass, true)?;
        let offer = sdp::offer(&origin(&ours.address), &ours);
        let (call, answer) =
            self.phone.ring((who, At::Devices), ours.clone(), ("application/sdp", offer)).await?;
        let theirs = sdp::parse_answer(&answer).map_err(unsafe_session)?;
        let terms = ends::answered(&theirs).map_err(unsafe_session)?;
        self.meet(Agreed { call, ours, theirs, terms, listener: Some(listener) }).await
    }

    async fn accept(&self, ringing: Ringing) -> Result<(Leg, LegEvents), Error> {
        let end = |port, terms: &Terms| self.end(port, terms.setup, terms.cema);
        self.meet(self.agree(ringing, end).await?).await
    }

    /// Takes a call with our end, which is made for what was agreed on and for the port we wait at, if we do. Refuses a
    /// call that is not safe.
    pub(super) async fn agree(
        &self,
        ringing: Ringing,
        end: impl FnOnce(Option<u16>, &Terms) -> Result<MsrpMedia, Error>,
    ) -> Result<Agreed, Error> {
        let theirs = ringing.offer.media().clone();
        let terms = match ends::answering(&theirs) {
            Ok(terms) => terms,
            Err(bad) => {
                ringing.refuse(bad.status()).await;
                return Err(unsafe_session(bad));
            }
        };
        let (listener, port) = match terms.setup {
            Setup::Active => (None, None),
            _ => {
                let (listener, port) = self.listen().await?;
                (Some(listener), Some(port))
            }
        };
        let ours = end(port, &terms)?;
        let answer = ringing.offer.answer(&origin(&ours.address), &ours);
        let call = ringing.accept(ours.clone(), answer).await?;
        Ok(Agreed { call, ours, theirs, terms, listener })
    }

    pub(super) async fn listen(&self) -> Result<(TcpListener, u16), Error> {
        let listener =
            TcpListener::bind((self.phone.address().as_str(), 0)).await.map_err(broken)?;
        let port = listener.local_addr().map_err(broken)?.port();
        Ok((listener, port))
    }

    pub(super) fn end(
        &self,
        port: Option<u16>,
        setup: Setup,
        cema: bool,
    ) -> Result<MsrpMedia, Error> {
        let place = Place {
            address: &self.phone.address(),
            port,
            session: &msrp::random_session_id(&mut rand::rng()),
            fingerprint: &self.identity.fingerprint().to_string(),
            message_octets_max: self.profile.limits.message_octets_max as u64,
        };
        place.media(setup, cema).map_err(unsafe_session)
    }

    /// Connects, or waits for the other side to, and starts the session.
    async fn meet(&self, agreed: Agreed) -> Result<(Leg, LegEvents), Error> {
        let (call, ends, connection) = self.connected(agreed).await?;
        let peer = ends.peer.clone();
        let session = crate::session::leg::Leg::new(ends, &self.profile.limits, &mut rand::rng());
        let Limits { unanswered_max: unsettled_max, request: patience, .. } = self.profile.limits;
        let parts = leg::Parts { peer, call, session, connection, unsettled_max, patience };
        Leg::start(parts).await
    }

    /// Connects, or waits for the other side to: the call, both ends, and what is between them.
    pub(super) async fn connected(
        &self,
        agreed: Agreed,
    ) -> Result<(Call, Ends, Connection), Error> {
        let Agreed { call, ours, theirs, terms, listener } = agreed;
        let ours = MsrpMedia { setup: Some(terms.setup), cema: terms.cema, ..ours };
        call.described(ours.clone(), &theirs);
        let patience = self.profile.limits.request;
        let connecting = self.connect(&theirs, &terms, listener);
        let connected = tokio::time::timeout(patience, connecting).await;
        let connection = connected.map_err(|_elapsed| Error::Late("connecting"))??;
        let first = if terms.dial.is_some() { First::Us } else { First::Peer };
        let ends = Ends {
            me: self.profile.aor.clone(),
            peer: call.conference().clone(),
            own: path(&ours)?,
            to: path(&theirs)?,
            ours,
            theirs,
            first,
            by_session_id: terms.anchored,
            limits: self.profile.limits.of_an_end(),
        };
        Ok((call, ends, connection))
    }

    async fn connect(
        &self,
        theirs: &MsrpMedia,
        terms: &Terms,
        listener: Option<TcpListener>,
    ) -> Result<Connection, Error> {
        let tls = |error: service::tls::TlsError| Error::Network {
            what: "TLS with the other side",
            why: error.to_string(),
        };
        let prints = theirs.identity().map_err(unsafe_session)?;
        let prints: Vec<String> = prints.iter().map(ToString::to_string).collect();
        let known = Named::parse(prints.iter().map(String::as_str))
            .map_err(|_bad| unsafe_session(BadSdp::Fingerprint))?;
        let Some(target) = &terms.dial else {
            let listener = listener.ok_or_else(|| unsafe_session(BadSdp::Setup))?;
            let config = server_config(&self.identity, ClientAuth::Any, &[]).map_err(tls)?;
            return connection::expect(listener, config, known).await;
        };
        let config = client_config(Trust::Named(known), Some(&self.identity), &[]).map_err(tls)?;
        match target {
            Target::Path => connection::connect(path(theirs)?.first(), config).await,
            Target::Line(line) => {
                let (host, port) = host_and_port(line);
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                connection::connect_to(host, port, config).await
            }
        }
    }
}
