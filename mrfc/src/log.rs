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
use store::{LogBounds, LogEntry, LogKind, LogPageBounds, Store};
use tokio::sync::{Semaphore, mpsc};
use tracing::{debug, warn};

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
    deposits: mpsc::UnboundedSender<Deposited>,
}

/// A deposit on its way. Unbounded, because bounded at its source: a relay holds its notices back until earlier ones are
/// done.
struct Deposited {
    relay: Arc<str>,
    conference: ConferenceId,
    deposit: Deposit,
    done: Done,
}

impl Logs {
    /// Hears what the relays say before the desks do, who hear the rest of it. It ends with the relays' links.
    pub(crate) fn start(
        (store, relays): (&Store, &Relays),
        (retention, wall): (Retention, fn() -> SystemTime),
        heard: mpsc::UnboundedReceiver<Heard>,
    ) -> (Self, mpsc::UnboundedReceiver<Heard>) {
        let (desks, rest) = mpsc::unbounded_channel();
        let (deposits, deposited) = mpsc::unbounded_channel();
        let (store, relays) = (store.clone(), relays.clone());
        let reads = Arc::new(Semaphore::new(READS_MAX));
        let logs = Self { store, relays, reads, deposits };
        drop(tokio::spawn(keep(logs.store.clone(), logs.relays.clone(), deposited)));
        drop(tokio::spawn(logs.clone().listen(heard, desks, (retention, wall))));
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
        (retention, wall): (Retention, fn() -> SystemTime),
    ) {
        let mut tend = tokio::time::interval(TEND);
        tend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let heard = tokio::select! {
                heard = heard.recv() => heard,
                _ = tend.tick() => {
                    drop(tokio::spawn(let_go(self.store.clone(), retention, wall())));
                    continue;
                }
            };
            let Some(heard) = heard else { return };
            match heard {
                Heard::Notice { relay, conference, notice: RoomNotice::Deposit(deposit), done } => {
                    self.deposits.send(Deposited { relay, conference, deposit, done }).ok();
                }
                Heard::Notice { conference, notice: RoomNotice::Reached(places), done, .. } => {
                    drop(tokio::spawn(move_cursors(self.store.clone(), conference, places, done)));
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

async fn move_cursors(
    store: Store,
    conference: ConferenceId,
    places: Vec<(DeviceId, Number)>,
    done: Done,
) {
    let places =
        places.into_iter().map(|(device, number)| (conference.clone(), device, number)).collect();
    // A cursor that stays behind gives a device what it knows.
    if let Err(error) = store.move_cursors(places).await {
        warn!(%conference, %error, "cursors could not be kept");
    }
    drop(done);
}

async fn keep(store: Store, relays: Relays, mut deposited: mpsc::UnboundedReceiver<Deposited>) {
    let mut batch = Vec::new();
    while deposited.recv_many(&mut batch, TOGETHER).await > 0 {
        let entries = batch.iter().map(entry).collect();
        let there = store.append_log(entries).await.unwrap_or_else(|error| {
            warn!(%error, "messages could not be stored");
            vec![false; batch.len()]
        });
        let mut upto: BTreeMap<(Arc<str>, ConferenceId), Number> = BTreeMap::new();
        for (deposited, there) in batch.iter().zip(there) {
            let Deposited { relay, conference, deposit, .. } = deposited;
            if !there {
                let unstored = RoomOrder::Unstored(deposit.number);
                relays.order(relay, conference, unstored).await.ok();
            }
            upto.insert((Arc::clone(relay), conference.clone()), deposit.number);
        }
        for ((relay, conference), number) in upto {
            relays.order(&relay, &conference, RoomOrder::Stored(number)).await.ok();
        }
        // The relay forgets them now, in this order: what it is told comes before.
        batch.drain(..).for_each(|deposited| drop(deposited.done));
    }
}

fn entry(deposited: &Deposited) -> (ConferenceId, LogEntry) {
    let Deposited { conference, deposit, .. } = deposited;
    let kind = match deposit.kind {
        Logged::Message(_) => LogKind::Message,
        Logged::Commit => LogKind::Commit,
    };
    let entry = LogEntry {
        number: deposit.number,
        kind,
        author: deposit.kind.author().cloned(),
        accepted: SystemTime::UNIX_EPOCH + Duration::from_millis(deposit.at_ms),
        cpim: deposit.cpim.clone(),
    };
    (conference.clone(), entry)
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
