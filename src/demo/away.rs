//! The scene of a member who is away: Bob's second device hangs up, stays a member, and misses nothing of what is said and
//! of how the key changes until it is back.
use anyhow::Context;
use client::Event;
use sha2::{Digest, Sha256};

use super::cast::Actor;
use super::report::CaughtUp;
use super::story::{Story, message_id};

/// Who goes away.
const AWAY: &str = "bob/2";

/// Somebody who is away, and where everything stood then.
#[derive(Debug)]
pub(crate) struct Away {
    actor: Actor,
    epoch: u64,
    /// Events that it was shown, and that who stays was.
    shown: (usize, usize),
    /// Messages that it had to get.
    awaited: usize,
}

impl Away {
    pub(crate) fn name(&self) -> &str {
        &self.actor.name
    }
}

impl Story {
    /// Bob's second device hangs up and stays a member.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) async fn go_away(&mut self) -> anyhow::Result<()> {
        self.heard().await?;
        let at = self.actors.iter().position(|actor| actor.name == AWAY);
        let mut actor = self.actors.remove(at.context("bob/2 is on stage")?);
        let conference = actor.conference.take().context("bob/2 is in the conference")?;
        conference.away().await;
        let stays = self.actors.first().context("somebody stays")?;
        let shown = (actor.log.events().len(), stays.log.events().len());
        let (epoch, awaited) = (self.epoch(), self.awaited(AWAY).len());
        self.away = Some(Away { actor, epoch, shown, awaited });
        Ok(())
    }

    /// It comes back and is told what it missed. That is held up to what was shown meanwhile to somebody who stayed.
    ///
    /// # Errors
    /// It does not get its seat, or does not follow the group.
    pub(crate) async fn come_back(&mut self) -> anyhow::Result<()> {
        let away = self.away.take().context("somebody is away")?;
        let Away { mut actor, epoch, shown: (before, stayed_before), awaited } = away;
        let joining = actor.device.join(self.id(), self.level()).await;
        let (conference, events) = joining.context("bob/2 comes back")?;
        actor.seat(conference, events);
        let log = actor.log.clone();
        self.actors.push(actor);
        self.agree().await?;
        self.heard().await?;

        let stays = self.actors.first().context("somebody stays")?;
        let others = |event: &&Event| match event {
            Event::Message(message) => message.from != stays.profile.aor,
            _ => false,
        };
        let owed = self.awaited(AWAY);
        let shown = log.events();
        let has = |id: &&String| shown.iter().any(|event| message_id(event) == Some(id.as_str()));
        self.caught_up = CaughtUp {
            epochs: self.epoch() - epoch,
            messages: (owed.len() - awaited) as u64,
            missed: owed.iter().filter(|id| !has(id)).count() as u64,
            sha256_there: of_all(stays.log.events().iter().skip(stayed_before).filter(others)),
            sha256_back: of_all(shown.iter().skip(before).filter(others)),
        };
        Ok(())
    }
}

/// The hash of these messages one after the other.
fn of_all<'a>(messages: impl Iterator<Item = &'a Event>) -> String {
    let mut hash = Sha256::new();
    for event in messages {
        if let Event::Message(message) = event {
            hash.update(message.id.as_bytes());
            hash.update(&message.body);
        }
    }
    hex::encode(hash.finalize())
}
