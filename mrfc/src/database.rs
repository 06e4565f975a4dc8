//! The focus's database: where it is, and that of several focuses only one works on it. What is in it is the store's.
//!
//! A focus leads under a lease, and each of its transactions looks whether it still does. One that finds another in its
//! place waits until that one is gone: so a second focus on one PostgreSQL database stands by. Of a file only one process
//! can be the owner, which the lock beside it says at once.
use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use service::clock;
use service::shutdown::Shutdown;
use store::{Error, Lease, Store};
use tokio::task::JoinSet;
use tracing::{error, info, warn};

pub use store::maintenance::{Finding, Force, Restored, Step, Trouble};
pub use store::maintenance::{backup, migrate, pending, restore, verify};
pub use store::{Engine, Location};

use crate::server::StartError;

/// What is led.
const LEASE: &str = "focus";
/// A lease is renewed this often in its time: one lost answer is no lost lease.
const RENEWALS: u32 = 3;
/// How often a focus that stands by looks, and a file whose owner is just ending.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Looks at a locked file: a former process may take a while to be gone.
const LOOKS_MAX: usize = 10;

/// A focus that leads, until it is dropped or another one takes its place.
pub(crate) struct Leading {
    store: Store,
    lease: Arc<Mutex<Lease>>,
    lost: Arc<AtomicBool>,
    renewing: JoinSet<()>,
    /// Held open: the lock goes with it.
    _lock: Option<File>,
}

impl Leading {
    /// Whether another focus has taken this one's place.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Lets the next one begin at once.
    pub(crate) async fn end(mut self) {
        self.renewing.shutdown().await;
        let lease = self.lease.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let (false, Err(why)) = (self.is_lost(), self.store.release_lease(&lease).await) {
            warn!(error = %why, "the next focus has to wait for the end of our lease");
        }
    }
}

/// Opens the database and leads on it; `None` if the shutdown came first. Waits while another focus does.
pub(crate) async fn lead(
    location: &Location,
    time: Duration,
    shutdown: &Shutdown,
) -> Result<Option<(Store, Leading)>, StartError> {
    let wrong = |why| StartError::Store { place: location.to_string(), why };
    let lock = match location.path() {
        Some(path) => lock(path).await?,
        None => None,
    };
    let store = Store::open(location).await.map_err(wrong)?;
    let holder = holder(location.engine());
    let mut waits = false;
    let lease = loop {
        let now = clock::wall();
        match store.take_lease(LEASE, &holder, (now, now + time)).await {
            Ok(lease) => break lease,
            Err(Error::Held { holder, .. }) => {
                if !std::mem::replace(&mut waits, true) {
                    info!(%holder, "another focus leads on this database: standing by");
                }
            }
            Err(why) => return Err(wrong(why)),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_AGAIN) => {}
            () = shutdown.triggered() => return Ok(None),
        }
    };
    info!(term = lease.term, holder = lease.holder, "leading");
    let (lease, lost) = (Arc::new(Mutex::new(lease)), Arc::new(AtomicBool::new(false)));
    let mut renewing = JoinSet::new();
    let renewal = (Arc::clone(&lease), Arc::clone(&lost));
    renewing.spawn(renew(store.clone(), renewal, time, shutdown.clone()));
    let leading = Leading { store: store.clone(), lease, lost, renewing, _lock: lock };
    Ok(Some((store, leading)))
}

async fn renew(
    store: Store,
    (lease, lost): (Arc<Mutex<Lease>>, Arc<AtomicBool>),
    time: Duration,
    shutdown: Shutdown,
) {
    loop {
        tokio::time::sleep(time / RENEWALS).await;
        let known = lease.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match store.renew_lease(&known, clock::wall() + time).await {
            Ok(renewed) => *lease.lock().unwrap_or_else(PoisonError::into_inner) = renewed,
            Err(Error::Fenced) => {
                let by = store.lease(LEASE).await.ok().flatten().map(|it| it.holder);
                let by = by.unwrap_or_default();
                error!(%by, "another focus has taken the lease on the database: this one stops");
                lost.store(true, Ordering::Release);
                return shutdown.trigger();
            }
            // Nothing can be written meanwhile, by us or anybody; so nothing is lost by waiting.
            Err(why) => warn!(error = %why, "the lease on the database could not be renewed"),
        }
    }
}

/// Who we are to another focus. Of a file there is only one process, so it takes over from itself after a crash; of a
/// server's database there may be two on one machine.
fn holder(engine: Engine) -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match engine {
        Engine::Sqlite => host.trim().to_owned(),
        Engine::Postgres => format!("{}:{}", host.trim(), std::process::id()),
    }
}

/// The lock beside a file. Where it cannot be had for another reason than that somebody has it, the lease alone has to do.
async fn lock(database: &Path) -> Result<Option<File>, StartError> {
    let mut name = database.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let path = database.with_file_name(name);
    let Ok(file) = File::options().create(true).truncate(false).write(true).open(&path) else {
        return Ok(None);
    };
    for _ in 0..LOOKS_MAX {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOOK_AGAIN).await,
            Ok(()) | Err(TryLockError::Error(_)) => return Ok(Some(file)),
        }
    }
    Err(StartError::DatabaseInUse { path })
}
