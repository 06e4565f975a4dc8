//! The logs of conferences: what the relays deposit is stored, and they are told when it is; devices' cursors follow their
//! answers; who was away or too slow is given what it missed, in pages; what nobody needs any more goes. What is in a
//! message is octets here, and who may be given what again is the relay's business: it knows who has which seat.
//!
//! ```text
//!  relay ── Deposit ──► store ──► Stored      many together: one transaction, one answer for each conference
//!        ── Reached ──► store
//!        ── ReplayAsked ──► store ──► Page
//! ```
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use control::{Deposit, Logged, Page, ReplayAsked, RoomNotice, RoomOrder};
use ids::{ConferenceId, DeviceId, Number};
use service::clock;
use store::{LogBounds, LogEntry, LogKind, LogPageBounds, Store};
use tokio::sync::{Semaphore, mpsc};
use tracing::{debug, warn};

use crate::config::Conferences;
use crate::relays::{Done, Heard, Relays};

/// Deposits stored in one transaction: what comes together while the one before is on its way to the disk.
const TOGETHER: usize = 256;
/// One page: far below a frame of the control link, and what a phone takes in a second or two.
const PAGE: LogPageBounds = LogPageBounds { entries_max: 256, octets_max: 1024 * 1024 };
/// Pages read at once; further ones wait. The store has few connections for reading.
const READS_MAX: usize = 4;
/// Between two looks for what nobody needs any more.
const TEND: Duration = Duration::from_secs(60);

/// How much of each conference is kept for devices that are away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// For how long.
    pub(crate) age: Duration,
    /// Octets of messages.
    pub(crate) octets_max: u64,
    /// Messages.
    pub(crate) messages_max: u32,
}

/// The logs. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    store: Store,
    relays: Relays,
    reads: Arc<Semaphore>,
    kept: mpsc::UnboundedSender<Kept>,
}

/// What a relay says is to be kept, on its way. Unbounded, because bounded at its source: a relay holds its notices back
/// until earlier ones are done.
struct Kept {
    relay: Arc<str>,
    conference: ConferenceId,
    what: What,
    done: Done,
}

enum What {
    Deposit(Deposit),
    Reached(Vec<(DeviceId, Number)>),
}

impl Logs {
    /// Hears what the relays say before the desks do, who hear the rest of it. It ends with the relays' links.
    pub(crate) fn start(
        (store, relays): (&Store, &Relays),
        config: &Conferences,
        heard: mpsc::UnboundedReceiver<Heard>,
    ) -> (Self, mpsc::UnboundedReceiver<Heard>) {
        let (desks, rest) = mpsc::unbounded_channel();
        let (kept, keeping) = mpsc::unbounded_channel();
        let (store, relays) = (store.clone(), relays.clone());
        let reads = Arc::new(Semaphore::new(READS_MAX));
        let logs = Self { store, relays, reads, kept };
        drop(tokio::spawn(keep(logs.store.clone(), logs.relays.clone(), keeping)));
        drop(tokio::spawn(logs.clone().listen(heard, desks, config.retention())));
        (logs, rest)
    }

    /// Up to where a device has what was said. Where that cannot be read, it is given everything: it knows what it has.
    pub(crate) async fn cursor(
        &self,
        conference: &ConferenceId,
        device: &DeviceId,
    ) -> Option<Number> {
        self.store.cursor(conference, device).await.unwrap_or_else(|error| {
            warn!(%conference, %error, "no cursor");
            Some(Number::default())
        })
    }

    async fn listen(
        self,
        mut heard: mpsc::UnboundedReceiver<Heard>,
        desks: mpsc::UnboundedSender<Heard>,
        retention: Retention,
    ) {
        let mut tend = tokio::time::interval(TEND);
        tend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let heard = tokio::select! {
                heard = heard.recv() => heard,
                // A task that outlived the desks would hold the relays, and hear what is for the next focus.
                () = desks.closed() => None,
                _ = tend.tick() => {
                    drop(tokio::spawn(let_go(self.store.clone(), retention, clock::wall())));
                    continue;
                }
            };
            let Some(heard) = heard else { return };
            match heard {
                Heard::Notice { relay, conference, notice: RoomNotice::Deposit(deposit), done } => {
                    let what = What::Deposit(deposit);
                    self.kept.send(Kept { relay, conference, what, done }).ok();
                }
                Heard::Notice { relay, conference, notice: RoomNotice::Reached(places), done } => {
                    let what = What::Reached(places);
                    self.kept.send(Kept { relay, conference, what, done }).ok();
                }
                Heard::Notice {
                    relay,
                    conference,
                    notice: RoomNotice::ReplayAsked(asked),
                    done,
                } => {
                    drop(tokio::spawn(self.clone().give(relay, conference, asked)));
                    // What is lost is asked for again.
                    drop(done);
                }
                other => {
                    desks.send(other).ok();
                }
            }
        }
    }

    /// Reads a page for a seat.
    async fn give(self, relay: Arc<str>, conference: ConferenceId, asked: ReplayAsked) {
        let Ok(_turn) = self.reads.acquire().await else { return };
        let ReplayAsked { seat, device, after } = asked;
        match self.store.read_log(&conference, (after, &device), PAGE).await {
            Ok(store::LogPage { entries, complete }) => {
                debug!(%conference, %seat, %after, entries = entries.len(), complete, "replay");
                let page = RoomOrder::Page(Page { seat, after, entries, complete });
                self.relays.order(&relay, &conference, page).await.ok();
            }
            // It is asked for again.
            Err(error) => warn!(%conference, %error, "the log could not be read"),
        }
    }
}

async fn keep(store: Store, relays: Relays, mut keeping: mpsc::UnboundedReceiver<Kept>) {
    let mut batch = Vec::new();
    while keeping.recv_many(&mut batch, TOGETHER).await > 0 {
        let (mut places, mut entries) = (Vec::new(), Vec::new());
        for Kept { conference, what, .. } in &batch {
            match what {
                What::Deposit(deposit) => entries.push((conference.clone(), entry(deposit))),
                What::Reached(reached) => {
                    let place = |(device, number): &(DeviceId, Number)| {
                        (conference.clone(), device.clone(), *number)
                    };
                    places.extend(reached.iter().map(place));
                }
            }
        }
        // Cursors first, mostly in the same transaction: nothing is kept of which a new device has no cursor before it.
        let ((), there) = tokio::join!(move_cursors(&store, places), append(&store, entries));
        let mut upto: BTreeMap<(Arc<str>, ConferenceId), Number> = BTreeMap::new();
        let deposits = batch.iter().filter_map(|Kept { relay, conference, what, .. }| match what {
            What::Deposit(deposit) => Some((relay, conference, deposit.number)),
            What::Reached(_) => None,
        });
        for ((relay, conference, number), there) in deposits.zip(there) {
            if !there {
                let unstored = RoomOrder::Unstored(number);
                relays.order(relay, conference, unstored).await.ok();
            }
            upto.insert((Arc::clone(relay), conference.clone()), number);
        }
        for ((relay, conference), number) in upto {
            relays.order(&relay, &conference, RoomOrder::Stored(number)).await.ok();
        }
        // The relay forgets them now, in this order: what it is told comes before.
        batch.drain(..).for_each(|kept| drop(kept.done));
    }
}

async fn move_cursors(store: &Store, places: Vec<(ConferenceId, DeviceId, Number)>) {
    if places.is_empty() {
        return;
    }
    // A cursor that stays behind gives a device what it knows.
    if let Err(error) = store.move_cursors(places).await {
        warn!(%error, "cursors could not be kept");
    }
}

/// Of each entry, whether it is there.
async fn append(store: &Store, entries: Vec<(ConferenceId, LogEntry)>) -> Vec<bool> {
    if entries.is_empty() {
        return Vec::new();
    }
    let count = entries.len();
    store.append_log(entries).await.unwrap_or_else(|error| {
        warn!(%error, "messages could not be stored");
        vec![false; count]
    })
}

fn entry(deposit: &Deposit) -> LogEntry {
    let kind = match deposit.kind {
        Logged::Message(_) => LogKind::Message,
        Logged::Commit => LogKind::Commit,
    };
    LogEntry {
        number: deposit.number,
        kind,
        author: deposit.kind.author().cloned(),
        accepted: SystemTime::UNIX_EPOCH + Duration::from_millis(deposit.at_ms),
        cpim: deposit.cpim.clone(),
    }
}

/// Lets go what everybody has, what is too much, and what is left of conferences that are over.
async fn let_go(store: Store, retention: Retention, now: SystemTime) {
    let bounds = LogBounds {
        since: now.checked_sub(retention.age).unwrap_or(SystemTime::UNIX_EPOCH),
        octets_max: retention.octets_max,
        entries_max: retention.messages_max,
    };
    let let_go = async {
        // In this order: what is logged had a journal before.
        let logged = store.logged_conferences().await?;
        let there: HashSet<ConferenceId> = store.conferences().await?.into_iter().collect();
        for conference in logged {
            if there.contains(&conference) {
                let gone = store.trim_log(conference.clone(), bounds).await?;
                debug!(%conference, gone, "the log was trimmed");
            } else {
                store.forget_log(&conference).await?;
            }
        }
        Ok::<(), store::Error>(())
    };
    if let Err(error) = let_go.await {
        warn!(%error, "logs could not be trimmed");
    }
}
