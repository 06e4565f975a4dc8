//! What is written to a circle: it goes out at once, or is held while somebody who was verified has a device there that
//! nobody has accepted, like what is said in a conference. What is held waits for a person, not for a time.
use bytes::Bytes;
use ids::{Aor, ConferenceId};
use mls::circle::Circle;
use tokio::sync::oneshot;

use super::circle::Task;
use super::{Manner, Sent};
use crate::event::Error;

/// What is held for one circle; who writes more is told so.
const HELD_MAX: usize = 64;

pub(super) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// Something on its way into a seal. Dropping it takes nothing back.
#[derive(Debug)]
pub struct Writing<T = Sent> {
    pub(crate) held: Option<oneshot::Receiver<Vec<Aor>>>,
    pub(crate) done: oneshot::Receiver<Result<T, Error>>,
}

impl<T> Writing<T> {
    /// Who holds it: verified people with a device that nobody has accepted. None if it has gone out, or has failed.
    /// Said once.
    pub async fn held(&mut self) -> Option<Vec<Aor>> {
        self.held.take()?.await.ok()
    }

    /// What became of it. While it is held that waits for somebody to accept what holds it.
    ///
    /// # Errors
    /// Nothing was sent, or no device took it.
    pub async fn done(self) -> Result<T, Error> {
        self.done.await.map_err(|_dropped| super::over())?
    }
}

/// What is to be done with the words.
#[derive(Debug)]
pub(super) enum Asked {
    /// Send them to everybody in the circle.
    Write { manner: Manner, reply: Reply<Sent> },
    /// Seal them for the one other in it, who is in this room.
    Whisper { room: ConferenceId, reply: Reply<(String, Bytes)> },
}

/// Words for a circle.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) circle: Circle,
    pub(super) content: (String, Bytes),
    pub(super) asked: Asked,
    /// Who wants to know that it is held.
    pub(super) held: Option<oneshot::Sender<Vec<Aor>>>,
}

impl Task {
    /// Writes these words, or holds them behind what is held already.
    pub(super) async fn take_on(&mut self, order: Order) {
        let Order { circle, content, asked, mut held } = order;
        let behind = !self.held.is_empty();
        let asked = match asked {
            Asked::Write { manner, reply } => {
                let outcome = match behind {
                    true => Err(Error::Held(self.recognise().await)),
                    false => self.write(&circle, manner, &content).await,
                };
                self.answered(reply, outcome).map(|reply| Asked::Write { manner, reply })
            }
            Asked::Whisper { room, reply } => {
                let outcome = match behind {
                    true => Err(Error::Held(self.recognise().await)),
                    false => self.whisper(&circle, &room, &content).await,
                };
                self.answered(reply, outcome).map(|reply| Asked::Whisper { room, reply })
            }
        };
        let Some(asked) = asked else { return };
        if let Some(tell) = held.take() {
            // Whoever asked may be gone; it is held all the same.
            let _told = tell.send(self.recognise().await);
        }
        self.held.push_back(Order { circle, content, asked, held });
    }

    /// Answers, unless it is held: then nothing is to be said yet.
    fn answered<T>(&self, reply: Reply<T>, outcome: Result<T, Error>) -> Option<Reply<T>> {
        match outcome {
            Err(Error::Held(_)) if self.held.len() < HELD_MAX => Some(reply),
            outcome => {
                // Whoever asked may be gone; then nobody needs the answer.
                let _asked = reply.send(outcome);
                None
            }
        }
    }

    /// Looks at the devices of the circle; what was held goes out, in its order, once nothing holds it any more.
    pub(super) async fn look(&mut self) {
        if self.recognise().await.is_empty() {
            for order in std::mem::take(&mut self.held) {
                self.take_on(order).await;
            }
        }
    }

    /// Whose devices are in the circle's group: what is new about them is told. Those who hold what is written.
    pub(super) async fn recognise(&self) -> Vec<Aor> {
        let Some(member) = &self.member else { return Vec::new() };
        let (pins, group) = (&self.tools.pins, member.group());
        let sightings = pins.see(group.me(), group.keys());
        let held = pins.held(group.keys());
        for sighting in sightings {
            self.tools.tell(sighting.into()).await;
        }
        self.tools.keep_pins();
        held
    }
}
