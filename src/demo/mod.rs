//! `conclave demo`: the main job, end to end, on loopback. It starts both servers as child processes, plays the story
//! with real devices, searches the servers for plaintext, and says what happened and whether a promise was broken.
//! It measures nothing: that is the load test's work.
mod absent;
mod away;
mod cast;
mod report;
mod story;

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use anyhow::Context;
use client::{Event, Level};
use rand::RngCore;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use conclave::system::{Plan, System};

use crate::{canary, cli};
use report::{Report, Step};
use story::Story;

/// A breach planted on purpose, so that a test sees the demo fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Plant {
    /// The conference is created open: the servers see what is said.
    OpenRoom,
    /// Dave is said to be kicked and is not.
    NoKick,
}

/// What the story is played on.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) system: System,
    pub(crate) canary: String,
    pub(crate) plant: Option<Plant>,
    pub(crate) bell: Arc<Notify>,
}

/// Plays the demo, telling the story line by line, and reports what was seen.
///
/// # Errors
/// The system could not be started, or the story could not go on. A broken promise is no error: it is in the report.
pub(crate) async fn play(
    options: &cli::Demo,
    tell: &mut dyn FnMut(&str),
) -> anyhow::Result<Report> {
    let start = service::clock::now();
    let plant = options.plant;
    let level = if plant == Some(Plant::OpenRoom) { Level::Open } else { Level::Sealed };
    let mut plan = Plan { level, named: false, stored: true, ..Plan::default() };
    plan.users.push(absent::ABSENT.to_owned());
    let system = match &options.folder {
        Some(folder) => System::start_at(&plan, folder).await?,
        None => System::start(&plan).await?,
    };
    let mut secret = [0_u8; 16];
    rand::rng().fill_bytes(&mut secret);
    let canary = format!("canary-{}", hex::encode(secret));
    let stage = Stage { system, canary, plant, bell: Arc::default() };
    let mut report = Report::default();
    let mut scenes = Scenes { report: &mut report, tell, since: start };
    scenes.done("MRFC and MRFP run as processes of their own", 0);
    let story = scenes.play(&stage).await?;
    drop(story);
    report.elapsed_ms = millis(start);
    report.judge();
    stage.system.stop().await?;
    Ok(report)
}

/// Plays the scenes and keeps the report.
struct Scenes<'a> {
    report: &'a mut Report,
    tell: &'a mut dyn FnMut(&str),
    since: Instant,
}

impl Scenes<'_> {
    async fn play(&mut self, stage: &Stage) -> anyhow::Result<Story> {
        let mut story = Story::open(stage).await?;
        self.done(
            "alice creates a sealed conference; bob (two devices), carol and dave are in",
            story.epoch(),
        );
        story.talk().await?;
        story.heard().await?;
        self.done("everyone talks: short, 48 KiB in chunks, UTF-8, random octets", story.epoch());
        if stage.plant == Some(Plant::OpenRoom) {
            // What follows needs a group; the breach is there already.
            self.count(stage, &story)?;
            return Ok(story);
        }
        if let Some(alice) = story.actors.first() {
            (self.report.deferred, self.report.deferred_sealed) =
                absent::play(stage, alice).await?;
        }
        self.done(
            "alice's messages to frank, who is not there, wait for him: one of them sealed, and he reads it",
            story.epoch(),
        );
        story.share().await?;
        self.done("bob shares a 200 KiB image, carol a 5 MiB file, both sealed", story.epoch());
        story.kick(stage.plant).await?;
        self.done(
            "dave is kicked while the others talk; his keys open nothing sent since",
            story.epoch(),
        );
        story.rejoin(stage).await?;
        self.done("carol lost her group state and comes back by an external commit", story.epoch());
        story.go_away().await?;
        story.join_late(stage).await?;
        self.done("erin joins late; her keys open nothing sent before", story.epoch());
        story.talk().await?;
        story.come_back().await?;
        self.done(
            "bob's second device was away for that and for what everyone said then; it has caught up",
            story.epoch(),
        );
        story.talk().await?;
        story.heard().await?;
        self.done("everyone talks again", story.epoch());
        self.count(stage, &story)?;
        self.done("memory and files of both servers searched for what was said", story.epoch());
        Ok(story)
    }

    fn count(&mut self, stage: &Stage, story: &Story) -> anyhow::Result<()> {
        let mut tally = story.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let present = story.actors.iter().map(|actor| (&actor.name, &actor.log));
        for (name, log) in present.chain(story.past.iter().map(|(name, log)| (name, log))) {
            for event in log.events() {
                if let Event::Message(message) = event {
                    tally.arrived(&message.id, name, &Sha256::digest(&message.body));
                }
            }
        }
        self.report.messages = tally.messages();
        self.report.members = story.actors.len() as u64;
        self.report.epochs = story.epoch() + 1;
        self.report.members_agree = story.agreed();
        self.report.image = story.image.clone();
        self.report.file = story.file.clone();
        self.report.caught_up = story.caught_up.clone();
        self.report.removed_member_read_after_removal = story.removed_read;
        self.report.newcomer_read_before_joining = story.newcomer_read;
        let mut scan = canary::files(stage.system.folder(), stage.canary.as_bytes())?;
        for server in stage.system.servers() {
            let memory = canary::memory(server.id()?, stage.canary.as_bytes());
            scan = scan.and(memory.context("searching a server's memory")?);
        }
        self.report.server_saw_plaintext = scan.found > 0;
        self.report.searched_octets = scan.octets;
        Ok(())
    }

    fn done(&mut self, what: &str, epoch: u64) {
        let ms = millis(self.since);
        self.since = service::clock::now();
        (self.tell)(&format!("{ms:>7} ms  epoch {epoch:>2}  {what}"));
        self.report.steps.push(Step { what: what.to_owned(), epoch, ms });
    }
}

/// The report in words, for the end of the story.
pub(crate) fn verdict(report: &Report) -> String {
    let messages = report.messages;
    let mut lines = vec![
        String::new(),
        format!(
            "{} messages sent, {} arrivals, {} lost, {} shown twice",
            messages.sent, messages.delivered, messages.lost, messages.duplicated
        ),
        format!("{} devices agree on epoch {}", report.members, report.epochs.saturating_sub(1)),
        format!("{} MiB of memory and files searched", report.searched_octets >> 20),
    ];
    if report.broken.is_empty() {
        lines.push(format!("every promise was kept, in {} ms", report.elapsed_ms));
    }
    lines.extend(report.broken.iter().map(|promise| format!("BROKEN: {promise}")));
    lines.join("\n")
}

fn millis(since: Instant) -> u64 {
    let elapsed = service::clock::now().saturating_duration_since(since);
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}
