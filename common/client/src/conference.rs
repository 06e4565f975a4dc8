//! A seat in a conference: the handle a person holds, and the task behind it that moves bytes between the connection
//! and the pure session. Everything that waits here has an end or a bound.
mod seat;

use std::sync::Arc;

use bytes::Bytes;
use ids::{Aor, ConferenceId};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use zeroize::Zeroizing;

use crate::circles::{Circles, Writing};
use crate::directory::Directory;
use crate::event::{Error, Event, Level, Outgoing};
use crate::govern::{Rules, Ruling};
use crate::phone::{Call, Calling, Hangup, Watch};
use crate::sealed_file::SealedFile;
use crate::session::{Numbers, Session, Standing};
use seat::Seat;
pub(crate) use seat::{Command, Telling, keep, now};

/// Events that wait for the person.
const EVENTS_MAX: usize = 1024;
/// Commands that wait for the seat's task.
const COMMANDS_MAX: usize = 64;
/// Private messages that are being opened.
const WHISPERS_MAX: usize = 64;
/// Sealed messages that wait for a listener on the wire.
const TAP_MAX: usize = 4096;

/// A seat in a conference. Dropping it makes the device away: it stays a member.
#[derive(Debug)]
pub struct Conference {
    id: ConferenceId,
    level: Level,
    call: Arc<Call>,
    directory: Arc<Directory>,
    circles: Circles,
    commands: mpsc::Sender<Command>,
    standing: watch::Receiver<Standing>,
    tap: broadcast::Sender<Bytes>,
    shown_as: Option<Aor>,
}

/// What happens in a conference, in order. It ends when the seat's task does.
#[derive(Debug)]
pub struct Events(mpsc::Receiver<Telling>);

impl Events {
    /// The next event.
    pub async fn next(&mut self) -> Option<Event> {
        let (event, kept) = self.0.recv().await?;
        if let Some(kept) = kept {
            kept.done();
        }
        Some(event)
    }

    /// Takes no more: what has come is still there, then it ends. Messages that come later wait for the next start, if the
    /// device is kept.
    pub fn close(&mut self) {
        self.0.close();
    }
}

/// A listener on the wire: every sealed octet string that reaches this device, as the relay has it.
#[derive(Debug)]
pub struct Tap(broadcast::Receiver<Bytes>);

impl Tap {
    /// Everything that came by since the last call. A listener that is far behind misses the oldest.
    pub fn drain(&mut self) -> Vec<Bytes> {
        let mut heard = Vec::new();
        loop {
            match self.0.try_recv() {
                Ok(sealed) => heard.push(sealed),
                Err(broadcast::error::TryRecvError::Lagged(_missed)) => {}
                Err(_empty_or_closed) => return heard,
            }
        }
    }
}

/// What a seat is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) id: ConferenceId,
    pub(crate) level: Level,
    pub(crate) call: Call,
    pub(crate) session: Session,
    pub(crate) connection: crate::connection::Connection,
    pub(crate) directory: Arc<Directory>,
    pub(crate) circles: Circles,
    pub(crate) unsettled_max: usize,
    /// Where the device keeps its keys, if it keeps them.
    pub(crate) vault: Option<crate::vault::Vault>,
    /// What we are known by, if not by our name.
    pub(crate) shown_as: Option<Aor>,
    /// How long the relay may take to give us the seat.
    pub(crate) patience: std::time::Duration,
}

impl Conference {
    /// Starts the task of a seat, and waits until the relay has given it to us: from then on we hear everything.
    ///
    /// # Errors
    /// The relay refused the seat, or did not answer.
    pub(crate) async fn start(mut parts: Parts) -> Result<(Self, Events), Error> {
        let (bound, is_bound) = oneshot::channel();
        let patience = parts.patience;
        let (to_events, events) = mpsc::channel(EVENTS_MAX);
        let (commands, from_commands) = mpsc::channel(COMMANDS_MAX);
        let (to_standing, standing) = watch::channel(Standing::default());
        let (tap, _nobody) = broadcast::channel(TAP_MAX);
        let hangup = parts.call.hangup();
        let call = Arc::new(parts.call);
        let seat = Seat {
            id: parts.id.clone(),
            session: parts.session,
            connection: parts.connection,
            directory: Arc::clone(&parts.directory),
            circles: parts.circles.clone(),
            whispers: mpsc::channel(WHISPERS_MAX),
            commands: from_commands,
            events: to_events,
            standing: to_standing,
            tap: tap.clone(),
            unsettled_max: parts.unsettled_max,
            bound: Some(bound),
            vault: parts.vault,
        };
        tokio::spawn(seat.run(hangup));
        let (id, level, directory) = (parts.id, parts.level, parts.directory);
        let (circles, shown_as) = (parts.circles, parts.shown_as);
        let conference =
            Self { id, level, call, directory, circles, commands, standing, tap, shown_as };
        let answered = tokio::time::timeout(patience, is_bound).await;
        let answered = answered.map_err(|_elapsed| Error::Late("the seat"))?;
        answered.map_err(|_gone| Error::Ended("its task is over".to_owned()))??;
        Ok((conference, Events(events)))
    }

    /// The conference.
    pub fn id(&self) -> &ConferenceId {
        &self.id
    }

    /// Its protection.
    pub fn level(&self) -> Level {
        self.level
    }

    /// What the others know this device by, if not by its user's name.
    pub fn shown_as(&self) -> Option<&Aor> {
        self.shown_as.as_ref()
    }

    /// Where this device stands in the group.
    pub fn status(&self) -> Standing {
        self.standing.borrow().clone()
    }

    /// Listens on the wire from now on.
    pub fn tap(&self) -> Tap {
        Tap(self.tap.subscribe())
    }

    /// Waits until what is said is held because somebody who was verified has a device that nobody has accepted. What
    /// was to be sent before goes out once somebody has, whether or not its sender still waits for it.
    pub async fn held(&self) -> Vec<Aor> {
        let mut standing = self.standing.clone();
        let held = standing.wait_for(|standing| !standing.held.is_empty()).await;
        match held.map(|standing| standing.held.clone()) {
            Ok(held) => held,
            Err(_over) => std::future::pending().await,
        }
    }

    /// Says something to everyone, and returns once the relay has accepted its last octet: its `imdn.Message-ID`.
    /// That takes until somebody has accepted the devices of those in [`Standing::held`].
    ///
    /// # Errors
    /// The message was refused or not answered, or the conference is over for this device.
    pub async fn send(&self, content_type: &str, body: Bytes) -> Result<String, Error> {
        self.say(None, content_type, body).await
    }

    /// Says something to one person who is here (RFC 7701, 6.2): the others do not get it. In a sealed room it is sealed for
    /// the two alone, and nobody else could open it; in an open one the relay can read it.
    ///
    /// # Errors
    /// As for [`Conference::send`]. Refused with 404 if that person is not here, with 403 where the conference has no
    /// private messages, with 428 if none of their devices takes any. In a sealed room also if they have no keys.
    pub async fn send_to(
        &self,
        who: &Aor,
        content_type: &str,
        body: Bytes,
    ) -> Result<String, Error> {
        match self.level {
            Level::Open => self.say(Some(who.clone()), content_type, body).await,
            Level::Sealed => self.whisper(who, content_type, body).await?.done().await,
        }
    }

    /// The same in a sealed room, for who wants to know whether it is held: it goes out once that is over, if this seat is
    /// still there, whether or not anybody waits for it.
    ///
    /// # Errors
    /// This is no sealed room, or as for [`Conference::send_to`].
    pub async fn whisper(
        &self,
        who: &Aor,
        content_type: &str,
        body: Bytes,
    ) -> Result<Writing<String>, Error> {
        if self.level == Level::Open {
            return Err(Error::NotSealed(self.id.clone()));
        }
        // The seal of the two would show who they are.
        if self.shown_as.is_some() || who.is_pseudonym() {
            let why = "nobody writes in private to or from a pseudonym in a sealed room";
            return Err(Error::Group(why.to_owned()));
        }
        let sealing = self.circles.whisper(&self.id, who, (content_type, body)).await?;
        let (to, seat) = (who.clone(), self.commands.downgrade());
        let (held, (tell, done)) = (sealing.held, oneshot::channel());
        let sealed = sealing.done;
        tokio::spawn(async move {
            let said = async {
                let (id, sealed) = sealed.await.map_err(|_dropped| over())??;
                let (reply, said) = oneshot::channel();
                let seat = seat.upgrade().ok_or_else(over)?;
                let asked = seat.send(Command::Whisper { to, id, sealed, reply }).await;
                // Who waits for the answer does not keep the seat.
                drop(seat);
                asked.map_err(|_closed| over())?;
                said.await.map_err(|_dropped| over())?
            };
            // Whoever asked may be gone; then nobody needs the answer.
            let _asked = tell.send(said.await);
        });
        Ok(Writing { held, done })
    }

    async fn say(&self, to: Option<Aor>, content_type: &str, body: Bytes) -> Result<String, Error> {
        let content_type = content_type.to_owned();
        self.ask(|reply| Command::Say { to, content_type, body, reply }).await?
    }

    /// Shares a file with everyone, and returns once the relay has accepted its last octet.
    ///
    /// # Errors
    /// As for [`Conference::send`].
    pub async fn send_file(
        &self,
        name: &str,
        content_type: &str,
        content: Bytes,
    ) -> Result<(), Error> {
        let (name, content_type) = (name.to_owned(), content_type.to_owned());
        let file = Outgoing { name, content_type, content };
        self.ask(|reply| Command::Share { file, reply }).await?
    }

    /// Tells the room of a file of any size, with its key: whoever wants it fetches it from us
    /// ([`crate::Device::fetch_announced`]).
    ///
    /// # Errors
    /// As for [`Conference::send`]; also if the room is open, where the key would be no secret.
    pub async fn announce(&self, file: &SealedFile) -> Result<(), Error> {
        if self.level == Level::Open {
            return Err(Error::Group("files are shared in sealed rooms only".to_owned()));
        }
        if self.shown_as.is_some() {
            let why = "whoever fetches the file would see who has it: share it in the room";
            return Err(Error::Group(why.to_owned()));
        }
        self.send(mls::wire::FILE_TO_FETCH, file.description()).await.map(|_id| ())
    }

    /// Asks to be known by a nickname (RFC 7701, 7); an empty one gives up what there is. Only this device has it.
    ///
    /// # Errors
    /// The conference has no nicknames, this one is malformed, reserved or somebody else's, or the focus is away.
    pub async fn nickname(&self, nickname: &str) -> Result<(), Error> {
        // They would become spaces on the way.
        if nickname.contains(char::is_control) {
            let reason = "it has characters that do not show".to_owned();
            return Err(Error::Refused { what: "the nickname", status: 424, reason });
        }
        let nickname = nickname.to_owned();
        self.ask(|reply| Command::Rename { nickname, reply }).await?
    }

    /// Invites a person: the focus calls every registered device of theirs (REFER, RFC 4579, 5.5).
    ///
    /// # Errors
    /// The focus refused, or did not answer.
    pub async fn invite(&self, who: &Aor) -> Result<(), Error> {
        self.call.refer(who, None).await
    }

    /// The same for who wants to know what becomes of it: whether they take the call.
    ///
    /// # Errors
    /// The focus refused, or did not answer.
    pub async fn invite_and_hear(&self, who: &Aor) -> Result<Calling, Error> {
        self.call.refer_and_hear(who).await
    }

    /// Removes a person, all devices, from the conference and from the group (REFER with `method=BYE`, RFC 4579, 5.11).
    ///
    /// # Errors
    /// The focus refused, or did not answer.
    pub async fn kick(&self, who: &Aor) -> Result<(), Error> {
        self.call.refer(who, Some("BYE")).await
    }

    /// Has something settled, as a moderator.
    ///
    /// # Errors
    /// We moderate nothing here, it cannot be so, or the server did not answer.
    pub async fn settle(&self, ruling: &Ruling) -> Result<(), Error> {
        self.directory.settle(&self.id, ruling).await
    }

    /// What holds in it.
    ///
    /// # Errors
    /// We are not in it, or the server did not answer.
    pub async fn rules(&self) -> Result<Rules, Error> {
        self.directory.rules(&self.id).await
    }

    /// Watches who is in it (RFC 4575).
    ///
    /// # Errors
    /// We may not, or the focus did not answer.
    pub async fn watch(&self) -> Result<Watch, Error> {
        self.call.watch().await
    }

    /// The numbers to compare with others, also with this person; none while this device does not hold the group key.
    pub async fn numbers(&self, other: Option<&Aor>) -> Option<Numbers> {
        let other = other.cloned();
        self.ask(|reply| Command::Numbers { other, reply }).await.ok().flatten()
    }

    /// A key for something else than messages, such as other media (RFC 9420, 8.5): all who hold the group key of this epoch and
    /// name this label have the same, and nobody else. None while this device holds no key.
    pub async fn export(&self, label: &str, octets: u16) -> Option<Zeroizing<Vec<u8>>> {
        let label = label.to_owned();
        self.ask(|reply| Command::Export { label, octets, reply }).await.ok().flatten()
    }

    /// Believes the devices a person has now, so that what is held goes out. Says whether any was not believed before.
    ///
    /// # Errors
    /// The conference is over for this device.
    pub async fn accept(&self, who: &Aor) -> Result<bool, Error> {
        let who = who.clone();
        let accepted = self.ask(|reply| Command::Accept { who, reply }).await;
        // What is held outside of this room may go, too.
        self.circles.look().await;
        accepted
    }

    /// Notes that numbers were compared with this person and are alike, or takes that back. From then on what is said
    /// is held as soon as the person has a device that nobody has accepted.
    ///
    /// # Errors
    /// The conference is over for this device.
    pub async fn verify(&self, who: &Aor, verified: bool) -> Result<(), Error> {
        let who = who.clone();
        let noted = self.ask(|reply| Command::Verify { who, verified, reply }).await;
        self.circles.look().await;
        noted
    }

    /// The `imdn.Message-ID` of sealed octets, if they open with the keys this device has, whatever became of its
    /// seat. For proving that they do not.
    pub async fn try_open(&self, sealed: Bytes) -> Option<String> {
        self.ask(|reply| Command::TryOpen { sealed, reply }).await.ok().flatten()
    }

    /// Ends the seat and stays a member.
    pub async fn away(self) {
        self.call.hang_up(Hangup::Away).await;
    }

    /// Ends the seat and leaves the group for good.
    ///
    /// # Errors
    /// The focus did not answer.
    pub async fn leave(self) -> Result<(), Error> {
        self.call.hang_up(Hangup::Leave).await;
        Ok(())
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_closed| over())?;
        answer.await.map_err(|_dropped| over())
    }
}

fn over() -> Error {
    Error::Ended("its task is over".to_owned())
}
