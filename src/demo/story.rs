//! The story of the demo, scene by scene: a sealed conference is created, talked in, left by force and joined late.
//! Each scene drives real devices and notes what must follow from it; the judging is in `report`.
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use bytes::Bytes;
use client::{Entry, Event, Level, Tap};
use ids::ConferenceId;
use rand::RngCore;
use sha2::{Digest, Sha256};

use super::away::Away;
use super::cast::{Actor, Log};
use super::report::{CaughtUp, FileWay, Tally};
use super::{Plant, Stage};

const TEXT_OCTETS: usize = 48 * 1024;
const IMAGE_OCTETS: usize = 200 * 1024;
const FILE_OCTETS: usize = 5 * 1024 * 1024;
/// Rounds in which everyone talks on after a kick was accepted.
const ROUNDS_AFTER_KICK: usize = 5;

/// The conference of the story and everyone in it.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) actors: Vec<Actor>,
    pub(crate) tally: Mutex<Tally>,
    pub(crate) image: FileWay,
    pub(crate) file: FileWay,
    pub(crate) removed_read: u64,
    pub(crate) newcomer_read: u64,
    /// Who is away.
    pub(super) away: Option<Away>,
    pub(crate) caught_up: CaughtUp,
    /// Devices that left the stage, and what they were shown while they were on it.
    pub(crate) past: Vec<(String, Log)>,
    /// Members that should be none: a planted breach leaves one.
    ghosts: usize,
    id: ConferenceId,
    canary: String,
    tap: Tap,
}

impl Story {
    /// Alice creates the conference and invites Bob, who has two devices, and Carol. Dave joins by himself.
    ///
    /// # Errors
    /// A server refused, or somebody did not get the group key.
    pub(crate) async fn open(stage: &Stage) -> anyhow::Result<Self> {
        let mut actors = Vec::new();
        for (name, user) in [
            ("alice", "alice"),
            ("bob/1", "bob"),
            ("bob/2", "bob"),
            ("carol", "carol"),
            ("dave", "dave"),
        ] {
            actors.push(
                Actor::enter(name, stage.system.directions().profile(user)?, &stage.bell).await?,
            );
        }
        let level = if stage.plant == Some(Plant::OpenRoom) { Level::Open } else { Level::Sealed };
        let [alice, bob, bob_again, carol, dave] = actors.as_mut_slice() else {
            unreachable!("five actors entered above")
        };
        let created = alice.device.create(level).await.context("alice creates the conference")?;
        let id = created.0.id().clone();
        let tap = created.0.tap();
        alice.seat(created.0, created.1);
        if level == Level::Sealed {
            for who in [&bob.profile.aor, &carol.profile.aor] {
                let asked = alice.conference()?.invite(who).await;
                asked.with_context(|| format!("alice invites {who}"))?;
            }
        }
        for actor in [bob, bob_again, carol] {
            if level == Level::Sealed {
                actor.answer().await?;
                continue;
            }
            // Nobody is called into an open room: a device declines.
            let joined = actor.device.join(&id, level).await;
            let (conference, events) = joined.with_context(|| actor.name.clone())?;
            actor.seat(conference, events);
        }
        let (conference, events) = dave.device.join(&id, level).await.context("dave joins")?;
        dave.seat(conference, events);
        for actor in actors.iter().filter(|_| level == Level::Sealed) {
            actor.log.entered().await.with_context(|| actor.name.clone())?;
        }
        let story = Self {
            actors,
            tally: Mutex::default(),
            image: FileWay::default(),
            file: FileWay::default(),
            removed_read: 0,
            newcomer_read: 0,
            away: None,
            caught_up: CaughtUp::default(),
            past: Vec::new(),
            ghosts: 0,
            id,
            canary: stage.canary.clone(),
            tap,
        };
        story.agree().await?;
        Ok(story)
    }

    /// The epoch that the first member is in.
    pub(crate) fn epoch(&self) -> u64 {
        let conference = self.actors.first().and_then(|actor| actor.conference.as_ref());
        conference.map_or(0, |conference| conference.status().epoch.0)
    }

    /// Everyone talks: short text, a long text in many chunks, UTF-8 and random octets.
    ///
    /// # Errors
    /// A message was not accepted.
    pub(crate) async fn talk(&self) -> anyhow::Result<()> {
        let everyone = self.names();
        let long: String = self.canary.chars().cycle().take(TEXT_OCTETS).collect();
        let mut noise = vec![0_u8; 4096];
        rand::rng().fill_bytes(&mut noise);
        for actor in &self.actors {
            let short = format!("hello from {}: {}", actor.name, self.canary);
            let utf8 = format!("grüße, 你好, 🔑 {}", self.canary);
            for (content_type, body) in [
                ("text/plain", Bytes::from(short)),
                ("text/plain;charset=utf-8", Bytes::from(utf8)),
                ("text/plain", Bytes::from(long.clone())),
                ("application/octet-stream", Bytes::from(noise.clone())),
            ] {
                actor.say(content_type, body, &everyone, &self.tally).await?;
            }
        }
        Ok(())
    }

    /// Bob shares an image and Carol a large file.
    ///
    /// # Errors
    /// A file was not accepted or did not arrive.
    pub(crate) async fn share(&mut self) -> anyhow::Result<()> {
        self.image = self.share_one(1, "holiday.jpg", "image/jpeg", IMAGE_OCTETS).await?;
        self.file = self.share_one(3, "minutes.pdf", "application/pdf", FILE_OCTETS).await?;
        Ok(())
    }

    async fn share_one(
        &self,
        from: usize,
        name: &str,
        content_type: &str,
        octets: usize,
    ) -> anyhow::Result<FileWay> {
        let mut content = self.canary.clone().into_bytes();
        content.resize(octets, 0);
        let random =
            content.get_mut(self.canary.len()..).context("the file is longer than the canary")?;
        rand::rng().fill_bytes(random);
        let sent = hex::encode(Sha256::digest(&content));
        let sender = self.actors.get(from).context("the sender is on stage")?;
        let content = Bytes::from(content);
        sender
            .conference()?
            .send_file(name, content_type, content)
            .await
            .with_context(|| format!("sending {name}"))?;
        let mut received = BTreeSet::new();
        let mut receivers = 0;
        for actor in self.actors.iter().filter(|actor| actor.name != sender.name) {
            let has = |event: &Event| matches!(event, Event::File(file) if file.name == name);
            actor
                .log
                .until(&format!("{} getting {name}", actor.name), |events| events.iter().any(has))
                .await?;
            for event in actor.log.events() {
                if let Event::File(file) = event
                    && file.name == name
                {
                    received.insert(hex::encode(Sha256::digest(&file.content)));
                    receivers += 1;
                }
            }
        }
        let sha256_received = received.into_iter().collect::<Vec<_>>().join(" ");
        Ok(FileWay { bytes: octets as u64, sha256_sent: sent, sha256_received, receivers })
    }

    /// Dave is kicked while the others go on talking. Whatever anybody begins to send once the kick was accepted, Dave
    /// must neither be shown nor be able to open, given every octet that was relayed.
    ///
    /// # Errors
    /// The kick was refused, a message was not accepted, or Dave is still there.
    pub(crate) async fn kick(&mut self, plant: Option<Plant>) -> anyhow::Result<()> {
        let dave = self.actors.pop().context("dave is on stage")?;
        self.ghosts = usize::from(plant == Some(Plant::NoKick));
        self.tap.drain();
        let accepted = AtomicBool::new(false);
        let kick = async {
            if plant != Some(Plant::NoKick) {
                let alice = self.actors.first().context("alice is on stage")?;
                let kicked = alice.conference()?.kick(&dave.profile.aor).await;
                kicked.context("alice kicks dave")?;
            }
            accepted.store(true, Ordering::SeqCst);
            anyhow::Ok(())
        };
        let (later, kicked) = tokio::join!(self.talk_on(&accepted), kick);
        let later = later?;
        kicked?;
        if plant != Some(Plant::NoKick) {
            let ended = |event: &Event| matches!(event, Event::Ended { .. });
            dave.log.until("dave losing his seat", |events| events.iter().any(ended)).await?;
        }
        self.agree().await?;
        self.heard().await?;
        let relayed = self.tap.drain();
        // Nothing to hold up to his keys would prove nothing.
        self.removed_read = u64::from(relayed.is_empty());
        for sealed in relayed {
            let opened = dave.conference()?.try_open(sealed).await;
            self.removed_read += u64::from(opened.is_some_and(|id| later.contains(&id)));
        }
        let shown = dave.log.events();
        let shown = shown.iter().filter_map(message_id).filter(|id| later.contains(*id));
        self.removed_read += shown.count() as u64;
        self.past.push((dave.name.clone(), dave.log.clone()));
        Ok(())
    }

    /// Everyone on stage talks until the kick is accepted, and for some rounds more: the ids of what was begun then.
    async fn talk_on(&self, accepted: &AtomicBool) -> anyhow::Result<BTreeSet<String>> {
        let staying = self.names();
        let (mut later, mut rounds) = (BTreeSet::new(), 0);
        while rounds < ROUNDS_AFTER_KICK {
            for actor in &self.actors {
                let is_later = accepted.load(Ordering::SeqCst);
                let body = format!("{} while dave goes: {}", actor.name, self.canary);
                let id = actor.say("text/plain", Bytes::from(body), &staying, &self.tally).await?;
                if is_later {
                    later.insert(id);
                }
            }
            rounds += usize::from(accepted.load(Ordering::SeqCst));
        }
        Ok(later)
    }

    /// Carol loses her group state and comes back by an external commit.
    ///
    /// # Errors
    /// She did not get the group key again, or not that way.
    pub(crate) async fn rejoin(&mut self, stage: &Stage) -> anyhow::Result<()> {
        let carol = self.actors.pop().context("carol is on stage")?;
        let (profile, credential) = (carol.profile.clone(), carol.device.credential().clone());
        self.past.push((carol.name.clone(), carol.log.clone()));
        carol.device.vanish().await;
        let mut carol =
            Actor::enter_again("carol, again", profile, credential, &stage.bell).await?;
        let (conference, events) =
            carol.device.join(&self.id, self.level()).await.context("carol joins again")?;
        carol.seat(conference, events);
        if self.level() == Level::Sealed {
            let external =
                |event: &Event| matches!(event, Event::Entered { by: Entry::External, .. });
            carol
                .log
                .until("carol's external commit", |events| events.iter().any(external))
                .await?;
        }
        self.actors.push(carol);
        self.agree().await
    }

    /// Erin joins late; then everything relayed before is held up to her keys.
    ///
    /// # Errors
    /// She did not get the group key.
    pub(crate) async fn join_late(&mut self, stage: &Stage) -> anyhow::Result<()> {
        self.tap.drain();
        let staying = self.names();
        for actor in &self.actors {
            let body = format!("before erin: {}", self.canary);
            actor.say("text/plain", Bytes::from(body), &staying, &self.tally).await?;
        }
        self.heard().await?;
        let earlier = self.tap.drain();
        let mut erin =
            Actor::enter("erin", stage.system.directions().profile("erin")?, &stage.bell).await?;
        let (conference, events) =
            erin.device.join(&self.id, self.level()).await.context("erin joins")?;
        erin.seat(conference, events);
        if self.level() == Level::Sealed {
            erin.log.entered().await.context("erin")?;
        }
        self.newcomer_read = u64::from(earlier.is_empty());
        for sealed in earlier {
            let opened = erin.conference()?.try_open(sealed).await;
            self.newcomer_read += u64::from(opened.is_some());
        }
        self.actors.push(erin);
        self.agree().await
    }

    /// Waits until everyone was shown what they must be shown, and counts it.
    ///
    /// # Errors
    /// Never for what is missing: that is counted as lost by the tally.
    pub(crate) async fn heard(&self) -> anyhow::Result<()> {
        for actor in &self.actors {
            let awaited = self.awaited(&actor.name);
            let seen = |events: &[Event]| {
                let shown: BTreeSet<&str> = events.iter().filter_map(message_id).collect();
                awaited.iter().all(|id| shown.contains(id.as_str()))
            };
            if let Err(missing) = actor.log.until("hearing everything", seen).await {
                tracing::warn!("{}: {missing}", actor.name);
            }
        }
        Ok(())
    }

    pub(super) fn awaited(&self, name: &str) -> Vec<String> {
        self.tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner).awaited(name)
    }

    /// Waits until all members are in one epoch with one authenticator; in an open room there is none.
    pub(crate) async fn agree(&self) -> anyhow::Result<()> {
        for actor in &self.actors {
            let target = self.actors.first().context("somebody is on stage")?.conference()?;
            let (mine, target) = (actor.conference()?, target);
            let same = |_events: &[Event]| {
                let (mine, target) = (mine.status(), target.status());
                (mine.epoch, mine.members) == (target.epoch, self.devices())
                    && mine.authenticator == target.authenticator
            };
            if self.level() == Level::Sealed {
                actor.log.until(&format!("{} agreeing with alice", actor.name), same).await?;
            }
        }
        Ok(())
    }

    /// Whether all members are in one epoch with one authenticator now.
    pub(crate) fn agreed(&self) -> bool {
        let statuses: Vec<_> = self
            .actors
            .iter()
            .filter_map(|actor| actor.conference.as_ref())
            .map(client::Conference::status)
            .collect();
        let first = statuses.first();
        statuses.len() == self.actors.len()
            && statuses.iter().all(|status| {
                first.is_some_and(|first| {
                    (first.epoch, &first.authenticator) == (status.epoch, &status.authenticator)
                })
            })
    }

    /// Devices in the group, there or not.
    fn devices(&self) -> usize {
        self.actors.len() + usize::from(self.away.is_some()) + self.ghosts
    }

    pub(super) const fn id(&self) -> &ConferenceId {
        &self.id
    }

    pub(super) fn level(&self) -> Level {
        let conference = self.actors.first().and_then(|actor| actor.conference.as_ref());
        conference.map_or(Level::Sealed, client::Conference::level)
    }

    fn names(&self) -> BTreeSet<String> {
        let there = self.actors.iter().map(|actor| actor.name.as_str());
        there.chain(self.away.iter().map(Away::name)).map(str::to_owned).collect()
    }
}

/// The id of a message event.
pub(crate) fn message_id(event: &Event) -> Option<&str> {
    match event {
        Event::Message(message) => Some(&message.id),
        _ => None,
    }
}
