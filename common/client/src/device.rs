//! A device: started once, in as many conferences as its user likes. It gets its credential, fills the directory,
//! registers, and takes calls from conferences that invite it. Calls between people are in `calling`,
//! files between them in `filing`.
mod admission;
mod brought;
mod calling;
mod filing;
mod hiding;
mod kept;
mod leaving;
mod shelf;
mod sorting;
mod unfetched;
mod upkeep;

use std::sync::{Arc, Mutex};

use ids::{Aor, ConferenceId, DeviceId};
use mls::identity::{DeviceKey, Roots};
use mls::member::Keyring;
use mls::wire::{self, DeviceName};
use service::tls::{Identity, Trust, client_config};
use sip::sdp::{self, MsrpMedia, Origin, Setup as Side};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::circles::Circles;
use crate::conference::{Conference, Events, Parts};
use crate::connection;
use crate::directory::Directory;
use crate::event::{Error, Level, Shown};
use crate::own_device::OwnDevice;
use crate::phone::{Call, Incoming, Phone, Post};
use crate::profile::Profile;
use crate::session::{Session, Setup};
use crate::vault::Vault;
pub use calling::{Arrival, Inbox, Ring};
use endpoint::ends::path;
pub(crate) use filing::readable;
pub use filing::{Disposition, FileOffer, FileRequest, FileToSend, Icon};
pub use leaving::Leaving;
pub use unfetched::Unfetched;

/// The port of an end that does the connecting itself (RFC 4145, 4.1).
const NO_PORT: u16 = 9;
/// Conferences joined by invitation that wait to be looked at.
const INVITATIONS_MAX: usize = 16;

/// What proves a device: its signature key and the certificate for it. Kept, it makes the device the same one after a
/// restart.
#[derive(Clone)]
pub struct Credential {
    /// The private key (PKCS#8).
    pub key: Zeroizing<Vec<u8>>,
    /// The certificate (DER).
    pub certificate: Vec<u8>,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credential({} octets of certificate)", self.certificate.len())
    }
}

/// A registered device.
#[derive(Debug)]
pub struct Device {
    shared: Arc<Shared>,
    listening: tokio::task::AbortHandle,
    /// What it does by itself.
    caring: tokio::task::AbortHandle,
}

#[derive(Debug)]
struct Shared {
    profile: Profile,
    phone: Phone,
    directory: Arc<Directory>,
    keyring: Keyring,
    circles: Circles,
    credential: Credential,
    vault: Option<Vault>,
    /// The pseudonyms of this device, each with its keys.
    masks: Mutex<Vec<(ConferenceId, Keyring)>>,
    tls: Arc<rustls::ClientConfig>,
    /// Who we are to other devices, as our descriptions say.
    identity: Identity,
}

/// Conferences that invited this device, already joined.
#[derive(Debug)]
pub struct Invitations(mpsc::Receiver<(Conference, Events)>);

impl Invitations {
    /// The next one.
    pub async fn next(&mut self) -> Option<(Conference, Events)> {
        self.0.recv().await
    }
}

impl Device {
    /// Starts a new device: makes its key, has it certified, fills the directory and registers.
    ///
    /// # Errors
    /// A server refused or was not there.
    pub async fn start(profile: Profile) -> Result<(Self, Invitations), Error> {
        Self::begin(profile, None, None).await
    }

    /// Starts a device that was started before. Its groups' keys are gone: it enters them again by external commit.
    ///
    /// # Errors
    /// As for [`Device::start`]; also if the credential is no good any more.
    pub async fn restart(
        profile: Profile,
        credential: Credential,
    ) -> Result<(Self, Invitations), Error> {
        Self::begin(profile, Some(credential), None).await
    }

    /// Starts the device that lives in a vault, or a new one there: it is the same one each time, whatever
    /// `profile.device` says, and goes on in its groups where it was.
    ///
    /// # Errors
    /// As for [`Device::start`]; also if the vault keeps a device of somebody else or one that was taken back, or does not
    /// take what has to be kept.
    pub async fn open(mut profile: Profile, vault: Vault) -> Result<(Self, Invitations), Error> {
        if let Some(owner) = kept::somebody_else(vault.records(), &profile) {
            return Err(Error::SomebodyElses(owner));
        }
        let known = kept::read(vault.records(), &profile);
        if known.is_none() {
            kept::begin_anew(vault.records());
        }
        let credential = known.map(|(device, credential)| {
            profile.device = device;
            credential
        });
        let asked = profile.clone();
        match Self::begin(profile, credential, Some(vault)).await {
            Err(error) => Err(admission::refused(&asked, error).await),
            begun => begun,
        }
    }

    async fn begin(
        profile: Profile,
        known: Option<Credential>,
        vault: Option<Vault>,
    ) -> Result<(Self, Invitations), Error> {
        let trust = Trust::Roots(Arc::clone(&profile.system.roots));
        let tls =
            client_config(trust, None, &[]).map_err(|error| Error::Group(error.to_string()))?;
        let directory = Arc::new(Directory::new(&profile, Arc::clone(&tls)));
        let (keyring, credential) = certified(&profile, &directory, known, vault.as_ref()).await?;
        let now = service::clock::wall();
        let upload =
            kept::key_packages(&keyring, profile.limits.key_packages, now).map_err(group)?;
        if let Some(vault) = &vault {
            kept::write(vault.records(), &profile, &credential);
            vault.commit().await?;
        }
        if let Some(upload) = upload {
            directory.publish(&upload).await?;
            kept::published(&keyring, &upload, now);
        }
        if let Some(vault) = &vault {
            vault.commit().await?;
        }
        let (phone, incoming) =
            Phone::connect(&profile, Arc::clone(&tls), Post::open(vault.as_ref())).await?;
        phone.register().await?;
        let identity = Identity::self_signed(service::clock::wall())
            .map_err(|error| Error::Group(error.to_string()))?;
        let circles = Circles::new(
            keyring.clone(),
            phone.clone(),
            Arc::clone(&directory),
            vault.clone(),
            &profile,
        );
        let shared = Shared {
            profile,
            phone,
            directory,
            keyring,
            circles,
            credential,
            vault,
            masks: Mutex::default(),
            tls,
            identity,
        };
        let shared = Arc::new(shared);
        let (to, invitations) = mpsc::channel(INVITATIONS_MAX);
        let listening = tokio::spawn(answer(Arc::clone(&shared), incoming, to)).abort_handle();
        let (keys, circles) = (Arc::downgrade(&shared), Arc::downgrade(&shared));
        let care = async { tokio::join!(upkeep::look_after(keys), upkeep::tend_circles(circles)) };
        let caring = tokio::spawn(care).abort_handle();
        Ok((Self { shared, listening, caring }, Invitations(invitations)))
    }

    /// What proves this device now, to be kept in a safe place. Its certificate is renewed now and then.
    pub fn credential(&self) -> Credential {
        let key = self.shared.credential.key.clone();
        Credential { key, certificate: self.shared.keyring.certificate() }
    }

    /// Takes a new certificate (DER) for this device and its key, from an authority of the operator's. One of the focus's is
    /// renewed without that. Its leaf in each group follows by itself.
    ///
    /// # Errors
    /// It is of another device or key, ended, or of nobody who is believed.
    pub fn take_certificate(&self, certificate: &[u8]) -> Result<(), Error> {
        self.shared.keyring.renew(certificate, service::clock::wall()).map_err(group)
    }

    /// Creates a conference (RFC 4579, 5.4). Its creator may invite and kick.
    ///
    /// # Errors
    /// The focus refused, or the room has another level than asked for.
    pub async fn create(&self, level: Level) -> Result<(Conference, Events), Error> {
        self.create_with(level, &[]).await
    }

    /// Creates a conference that calls these people as soon as it is made (RFC 5366). What becomes of each call the
    /// answer does not say.
    ///
    /// # Errors
    /// As for [`Device::create`]; also if one of them cannot be called so.
    pub async fn create_with(
        &self,
        level: Level,
        guests: &[Aor],
    ) -> Result<(Conference, Events), Error> {
        self.shared.join("conference-factory", level, (guests, Shown::Named)).await
    }

    /// Joins a conference.
    ///
    /// # Errors
    /// The focus refused, or the room has another level than asked for.
    pub async fn join(
        &self,
        id: &ConferenceId,
        level: Level,
    ) -> Result<(Conference, Events), Error> {
        self.shared.join(id.as_str(), level, (&[], Shown::Named)).await
    }

    /// Which device this is.
    pub fn id(&self) -> &DeviceId {
        &self.shared.profile.device
    }

    /// The devices of this user that have a certificate or KeyPackages at the server, and those taken back.
    ///
    /// # Errors
    /// The server refused or was not there.
    pub async fn devices(&self) -> Result<Vec<OwnDevice>, Error> {
        self.shared.directory.devices().await.map(|own| own.devices)
    }

    /// Whether there is such a person, as far as the focus says: none if it does not. They do not hear of it.
    pub async fn knows(&self, who: &Aor) -> Option<bool> {
        self.shared.phone.knows(who).await
    }

    /// Takes back a device of this user that was lost, or this one: it leaves every conference and its group, and can
    /// never come back. Says in how many conferences it was.
    ///
    /// # Errors
    /// Nothing is known of such a device, or the server was not there.
    pub async fn take_back(&self, device: &DeviceId) -> Result<u64, Error> {
        self.shared.directory.take_back(device).await
    }

    /// Unregisters and ends.
    pub async fn stop(self) {
        self.listening.abort();
        self.caring.abort();
        self.shared.phone.unregister().await;
        self.shared.circles.rest().await;
        if let Some(vault) = &self.shared.vault {
            vault.settle().await;
        }
    }

    /// Ends without a word, as a device does that loses its power.
    pub async fn vanish(self) {
        self.listening.abort();
        self.caring.abort();
        self.shared.phone.vanish();
    }
}

/// The device's credential, issued now if it has none.
async fn certified(
    profile: &Profile,
    directory: &Directory,
    known: Option<Credential>,
    vault: Option<&Vault>,
) -> Result<(Keyring, Credential), Error> {
    let bad = |error: &dyn std::fmt::Display| Error::Group(error.to_string());
    let mut roots = Roots::from_der(&profile.system.issuer).map_err(|error| bad(&error))?;
    for authority in &profile.system.authorities {
        roots.trust(authority).map_err(|error| bad(&error))?;
    }
    let name = DeviceName { aor: profile.aor.clone(), device: profile.device.clone() };
    let now = service::clock::wall();
    let (key, certificate) = match known {
        Some(known) => {
            let key = DeviceKey::from_pkcs8(&known.key).map_err(|error| bad(&error))?;
            // The same device, with the same key, gets a new one when it has ended.
            let is_good = roots.check(&known.certificate, now).is_ok();
            (key, is_good.then_some(known.certificate))
        }
        None => (DeviceKey::generate(&mut rand::rng()), None),
    };
    let certificate = match certificate {
        Some(certificate) => certificate,
        None => admission::certify(profile, directory, (&name, &key)).await?,
    };
    let kept =
        Credential { key: key.to_pkcs8().map_err(|error| bad(&error))?, certificate: Vec::new() };
    let records = vault.map(|vault| vault.records().clone()).unwrap_or_default();
    // It may have been issued a moment ago.
    let now = service::clock::wall();
    let keyring = Keyring::with_records(key, &certificate, &roots, now, records).map_err(group)?;
    if keyring.renew_at() <= now {
        upkeep::renew(&keyring, directory).await?;
    }
    Ok((keyring.clone(), Credential { certificate: keyring.certificate(), ..kept }))
}

/// Takes every call of a conference. A conference whose room is not sealed is declined.
async fn answer(
    shared: Arc<Shared>,
    mut incoming: mpsc::Receiver<Incoming>,
    to: mpsc::Sender<(Conference, Events)>,
) {
    while let Some(call) = incoming.recv().await {
        match shared.take(call).await {
            Ok(joined) => {
                if to.send(joined).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!(%error, "an invitation came to nothing"),
        }
    }
}

impl Shared {
    async fn join(
        &self,
        user: &str,
        level: Level,
        (guests, shown): (&[Aor], Shown),
    ) -> Result<(Conference, Events), Error> {
        let target: Aor = format!("sip:{user}@{}", self.profile.system.domain).parse().map_err(
            |error: ids::BadId| Error::Answer { what: "a conference", why: error.to_string() },
        )?;
        let media = self.media(level)?;
        let offer = sdp::offer(&origin(&media.address), &media);
        let (call, answer) =
            self.phone.call(&target, media.clone(), offer, (guests, shown)).await?;
        let theirs = sdp::parse_answer(&answer).map_err(|error| Error::Answer {
            what: "joining the conference",
            why: error.to_string(),
        })?;
        self.seat(call, (&media, &theirs), level, shown).await
    }

    async fn take(&self, call: Incoming) -> Result<(Conference, Events), Error> {
        let media = self.media(Level::Sealed)?;
        let theirs = call.offer.media().clone();
        let id = conference_id(&call.conference)?;
        if level_of(&theirs) != Level::Sealed {
            return Err(Error::NotSealed(id));
        }
        let answer = call.offer.answer(&origin(&media.address), &media);
        let call = call.accept(media.clone(), answer).await?;
        self.seat(call, (&media, &theirs), Level::Sealed, Shown::Named).await
    }

    /// Connects to the relay and takes the seat.
    async fn seat(
        &self,
        call: Call,
        (ours, theirs): (&MsrpMedia, &MsrpMedia),
        level: Level,
        wanted: Shown,
    ) -> Result<(Conference, Events), Error> {
        let id = conference_id(call.conference())?;
        if level == Level::Sealed && level_of(theirs) != Level::Sealed {
            return Err(Error::NotSealed(id));
        }
        let face = Box::pin(self.face(&id, (level, wanted), call.shown_as())).await?;
        let to_path = path(theirs)?;
        let late = self.profile.limits.request;
        let connecting = connection::connect(to_path.first(), Arc::clone(&self.tls));
        let connected = tokio::time::timeout(late, connecting).await;
        let connection = connected.map_err(|_elapsed| Error::Late("connecting to the relay"))??;
        let setup = Setup {
            conference: id.clone(),
            uri: call.conference().to_string(),
            level,
            to_path,
            from_path: path(ours)?,
            limits: self.profile.limits,
            pins: self.profile.pins.clone(),
            shown_as: face.shown_as.clone(),
        };
        // What a pseudonym has is not kept: it ends with this seat.
        let is_own = face.keyring.device() == self.keyring.device();
        let session = Session::new(&setup, face.keyring, &mut rand::rng());
        let directory = Arc::clone(&self.directory);
        let unsettled_max = self.profile.limits.unanswered_max;
        let parts = Parts {
            id,
            level,
            call,
            session,
            connection,
            directory,
            circles: self.circles.clone(),
            unsettled_max,
            vault: self.vault.clone().filter(|_| is_own),
            shown_as: face.shown_as,
            patience: late,
        };
        Conference::start(parts).await
    }

    /// Our end of a session: we connect, so nobody connects to us. In an open room it takes whatever people say.
    fn media(&self, level: Level) -> Result<MsrpMedia, Error> {
        let address = self.phone.address();
        let session = msrp::random_session_id(&mut rand::rng());
        let host = if address.contains(':') { format!("[{address}]") } else { address.clone() };
        let transport = self.profile.transport.of_uri();
        let own = format!("msrps://{host}:{NO_PORT}/{session};{transport}");
        let mut media = MsrpMedia::new(&address, NO_PORT, vec![own]);
        media.setup = Some(Side::Active);
        media.accept_types = vec!["message/cpim".to_owned()];
        let sealed = [
            wire::MLS,
            wire::WELCOME,
            wire::COMMIT_REQUEST,
            wire::COMMIT_RESULT,
            wire::SEALED_FILE,
            "text/plain",
        ];
        media.accept_wrapped_types = match level {
            Level::Sealed => sealed.map(str::to_owned).to_vec(),
            Level::Open => vec!["*".to_owned()],
        };
        media.chatroom = Some(vec!["nickname".to_owned(), "private-messages".to_owned()]);
        media.max_size = u64::try_from(self.profile.limits.message_octets_max).ok();
        Ok(media)
    }
}

/// A room that takes text as it is has no seal.
fn level_of(media: &MsrpMedia) -> Level {
    let cleartext = media.accepts_wrapped("text/plain");
    if cleartext || !media.accepts_wrapped(wire::MLS) { Level::Open } else { Level::Sealed }
}

fn conference_id(aor: &Aor) -> Result<ConferenceId, Error> {
    let bad = |why: String| Error::Answer { what: "a conference", why };
    let id = aor.user().parse().map_err(|error: ids::BadId| bad(error.to_string()))?;
    // A room of this name would take the place of the circle's keys.
    if mls::circle::is_circle(&id) {
        Err(bad("it is named like a circle".to_owned()))
    } else {
        Ok(id)
    }
}

/// The origin of a session description of ours; sessions are told apart by time.
pub(crate) fn origin(address: &str) -> Origin {
    let since = service::clock::wall().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Origin {
        username: "-".to_owned(),
        session: since.as_secs(),
        version: since.as_secs(),
        address: address.to_owned(),
    }
}

fn group(error: mls::member::MemberError) -> Error {
    Error::Group(error.to_string())
}
