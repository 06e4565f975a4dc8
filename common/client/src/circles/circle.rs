//! The task of one circle: it owns the keys, and does one thing after the other. It writes, and writes again what a change
//! of the circle has overtaken. How it comes by the keys is in `keys`, what it does with what arrives in `reading`.
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ids::{Aor, ConferenceId};
use mls::circle::{Circle, CircleMember};
use mls::member::MemberError;
use mls::wire::Founding;
use msrp::MessageId;
use tokio::sync::{mpsc, oneshot};

use super::keys::{Until, group};
use super::reading::Recent;
use super::witnessing::Split;
use super::writing::{Order, Reply};
use super::{Coming, Manner, Sent, Tools, Unsealed};
use crate::conference::Telling;
use crate::event::Error;
use crate::phone::{Protection, Taken};
use crate::session::freshness::Freshness;
use crate::session::parcel::{Marks, Parcel, Place, Wording};
use crate::session::seen::Seen;
use crate::session::untold::{Messages, Untold};
use crate::session::witness::Witness;
use crate::session::{MESSAGE_OCTETS_MAX, Pair, Whisper};

/// How often something is tried that a change of the circle has overtaken.
pub(super) const TRIES: usize = 5;
/// A founding that is larger than this with its message goes ahead over HTTPS: the focus takes 64 KiB in one.
const BESIDE_OCTETS_MAX: usize = 56 * 1024;

/// What a circle's task is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    /// Hold its keys.
    Enter(Circle),
    /// Write to its people.
    Write(Order),
    /// Open what has come.
    Arrived { from: Aor, parcel: Box<Parcel>, coming: Coming },
    /// Open what was said in private in this room.
    Said { room: ConferenceId, whisper: Box<Whisper>, events: mpsc::Sender<Telling> },
    /// Tell the author of a message that it has arrived.
    Acknowledge { author: Aor, of: String, tries: usize },
    /// Let the own other devices read what was written.
    Copy { words: Wording, tries: usize },
    /// Somebody was accepted, verified, or is not any more.
    Look,
    /// Replace the own leaf if its time is over.
    Tend,
    /// Say when all that came before is done.
    Rest(oneshot::Sender<()>),
    /// The number to compare with this person.
    Number { with: Aor, circle: Circle, reply: Reply<Pair> },
}

/// The task's state.
pub(super) struct Task {
    pub(super) tools: Arc<Tools>,
    pub(super) id: ConferenceId,
    /// Whose it is, once that is known.
    pub(super) circle: Option<Circle>,
    pub(super) member: Option<CircleMember>,
    /// How old the leaf of this device is.
    pub(super) freshness: Freshness,
    /// Goes along until a message has been taken: nobody can read one without it.
    pub(super) founding: Option<Founding>,
    /// Up to where its log is known.
    pub(super) cursor: u64,
    pub(super) seen: Seen,
    /// What this device has seen of the group.
    pub(super) witness: Witness,
    /// Somebody was in another group, and that is not told yet.
    pub(super) split: Option<Split>,
    pub(super) untold: Untold,
    /// What was opened and not told, when the device was stopped or nobody listened.
    pub(super) waiting: Messages,
    pub(super) opened: Recent,
    /// When something last came out of the mailbox.
    pub(super) late_at: Option<Instant>,
    /// What waits until somebody's devices are accepted.
    pub(super) held: VecDeque<Order>,
    pub(super) own: mpsc::WeakSender<Command>,
}

impl Task {
    pub(super) fn new(tools: Arc<Tools>, id: ConferenceId, own: mpsc::WeakSender<Command>) -> Self {
        let seen = Seen::kept(tools.keyring.records(), &id);
        let witness = Witness::kept(tools.keyring.records(), &id);
        let (untold, waiting) = Untold::kept(tools.keyring.records(), &id);
        let (opened, held) = (Recent::default(), VecDeque::new());
        let freshness = Freshness::kept(tools.keyring.records(), &id);
        let (circle, member, founding, cursor) = (None, None, None, 0);
        Self {
            tools,
            id,
            circle,
            member,
            freshness,
            founding,
            cursor,
            seen,
            witness,
            split: None,
            untold,
            waiting,
            opened,
            late_at: None,
            held,
            own,
        }
    }

    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Enter(circle) => {
                    self.circle = Some(circle);
                    self.hold_keys().await;
                    self.tell_untold().await;
                }
                Command::Write(order) => {
                    self.take_on(order).await;
                    self.tend().await;
                }
                Command::Arrived { from, parcel, coming } => {
                    self.arrived(from, *parcel, coming).await;
                }
                Command::Said { room, whisper, events } => {
                    if let Some(telling) = self.said(&room, *whisper).await {
                        let _told = events.send(telling).await;
                    }
                }
                Command::Acknowledge { author, of, tries } => {
                    self.acknowledge(author, of, tries).await;
                }
                Command::Copy { words, tries } => self.copy(words, tries).await,
                Command::Number { with, circle, reply } => {
                    self.circle = Some(circle);
                    // Whoever asked may be gone; then nobody needs the answer.
                    let _asked = reply.send(self.number(&with).await);
                }
                Command::Look => {}
                Command::Tend => self.tend().await,
                Command::Rest(done) => {
                    let _asked = done.send(());
                }
            }
            self.look().await;
        }
    }

    pub(super) async fn write(
        &mut self,
        circle: &Circle,
        manner: Manner,
        (content_type, body): &(String, Bytes),
    ) -> Result<Sent, Error> {
        let to = circle.others(self.tools.me());
        self.circle = Some(circle.clone());
        small_enough(body)?;
        let id = fresh_id();
        let date_time = crate::date_time(service::clock::wall());
        let place = Place { circle, room: None };
        let content = (content_type.as_str(), body.clone());
        let (seen, me) = (self.witness.told(), self.tools.me());
        let marks = Marks { id: &id, date_time: &date_time, seen: &seen };
        let words = place.words(me, marks, manner.receipt, content);
        match self.deliver(&to, &words).await {
            Ok(taken) => Ok(Sent { id: Some(id), taken, protection: Protection::EndToEnd }),
            Err(Error::NoKeys(who)) if manner.unsealed == Unsealed::WithoutKeys => {
                tracing::info!(%who, "written without a seal, as was asked for");
                let phone = &self.tools.phone;
                let (taken, _said) = match to.as_slice() {
                    [one] => phone.message(one, content_type, body.clone()).await?,
                    all => phone.message_all(all, content_type, body.clone()).await?,
                };
                Ok(Sent { id: None, taken, protection: Protection::FirstHop })
            }
            Err(error) => Err(error),
        }
    }

    /// Sends these words, sealed, again and again while changes of the circle overtake them.
    async fn deliver(&mut self, to: &[Aor], words: &Wording) -> Result<Taken, Error> {
        for _try in 0..TRIES {
            self.ready().await?;
            if !self.include().await? {
                continue;
            }
            let Some(sealed) = self.seal(words).await? else { continue };
            if self.is_too_large_with(&sealed) {
                self.order_founding().await?;
                if self.member.is_none() {
                    continue;
                }
            }
            let me = self.tools.me().clone();
            let parts = words.parts((&me, to), self.founding.as_ref(), sealed);
            let sent = self.tools.phone.parcel(to, parts, &self.tools.departures).await;
            match sent {
                Ok(taken) => {
                    self.ordered();
                    self.copy(words.clone(), 0).await;
                    return Ok(taken);
                }
                Err(Error::Refused { status: 412, .. }) => self.overtaken().await?,
                Err(error) => return Err(error),
            }
        }
        Err(Error::Group("the circle changes faster than it can be followed".to_owned()))
    }

    fn is_too_large_with(&self, sealed: &Bytes) -> bool {
        let founding = self.founding.as_ref().map(|founding| founding.to_bytes().len());
        founding.is_some_and(|octets| octets + sealed.len() > BESIDE_OCTETS_MAX)
    }

    /// Seals, if this is the time for it. `None`: something had to be done first, and was.
    pub(super) async fn seal(&mut self, words: &Wording) -> Result<Option<Bytes>, Error> {
        let held = self.recognise().await;
        if !held.is_empty() {
            return Err(Error::Held(held));
        }
        let Some(member) = self.member.as_mut() else { return Ok(None) };
        match member.seal(&words.id, &words.inner) {
            Ok(sealed) => {
                self.freshness.sealed(self.tools.keyring.records());
                // A server gives every device of its author a copy too.
                self.opened.note(&sealed);
                self.tools.keep().await.map(|()| Some(sealed))
            }
            Err(MemberError::Paused) => self.cover().await.map(|()| None),
            Err(MemberError::Committing | MemberError::Entering) => {
                self.catch_up(Until::Now).await.map(|_begun| None)
            }
            Err(MemberError::Removed) => {
                self.leave_behind();
                Ok(None)
            }
            Err(error) => Err(group(&error)),
        }
    }

    pub(super) async fn whisper(
        &mut self,
        circle: &Circle,
        room: &ConferenceId,
        (content_type, body): &(String, Bytes),
    ) -> Result<(String, Bytes), Error> {
        self.circle = Some(circle.clone());
        small_enough(body)?;
        let id = fresh_id();
        let date_time = crate::date_time(service::clock::wall());
        let place = Place { circle, room: Some(room) };
        let content = (content_type.as_str(), body.clone());
        let (seen, me) = (self.witness.told(), self.tools.me());
        let marks = Marks { id: &id, date_time: &date_time, seen: &seen };
        let words = place.words(me, marks, false, content);
        for _try in 0..TRIES {
            // The relay knows nothing of circles, so we look ourselves whether we are up to date.
            if self.member.is_none() || self.founding.is_some() {
                self.ready().await?;
                self.order_founding().await?;
            } else if !self.catch_up(Until::Now).await? {
                self.leave_behind();
                continue;
            }
            if !self.include().await? {
                continue;
            }
            if let Some(sealed) = self.seal(&words).await? {
                return Ok((id, sealed));
            }
        }
        Err(Error::Group("the circle changes faster than it can be followed".to_owned()))
    }
}

fn small_enough(body: &Bytes) -> Result<(), Error> {
    match body.len() {
        octets if octets > MESSAGE_OCTETS_MAX => {
            Err(Error::TooLarge { octets, max: MESSAGE_OCTETS_MAX })
        }
        _ => Ok(()),
    }
}

pub(super) fn fresh_id() -> String {
    MessageId::random(&mut rand::rng()).as_str().to_owned()
}
