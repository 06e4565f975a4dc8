//! The links to the relays: one task for each relay dials it, keeps its books ([`control::FocusLink`]), dials again
//! after a break and resends what the relay should have. What relays say goes to one receiver, in order.
//!
//! It decides nothing about conferences, and it never waits for one: a relay's notices are bounded by the link
//! itself, which has no more than its limit unacknowledged, so they need no bounded queue behind it.
mod link;
mod logins;
mod overview;
mod receipts;
mod safe;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use control::{Order, RoomNotice, RoomOrder};
use ids::ConferenceId;
use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use logins::Logins;
pub use overview::RelayState;
pub use safe::Done;

/// Orders on their way to one relay's task. A desk waits when there are more.
const ORDERS_MAX: usize = 1024;

/// One relay, as the configuration names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayAt {
    /// Our name for it.
    pub name: String,
    /// Its control address, `host:port`.
    pub control: String,
    /// The name its certificate proves.
    pub server_name: String,
}

/// What the links need.
#[derive(Clone, Debug)]
pub struct RelayParts {
    /// What the relays call us in their logs.
    pub focus: String,
    /// Which run of this focus it is: random.
    pub incarnation: String,
    /// The relays.
    pub relays: Vec<RelayAt>,
    /// Dials over IPv4 and IPv6 with our certificate ([`service::quic::dialler`]).
    pub dialler: quinn::Endpoint,
    /// How much each link may hold back.
    pub limits: control::Limits,
    /// First and longest pause between two attempts to reach a relay.
    pub pauses: (Duration, Duration),
    /// Who may use a relay for a session of two.
    pub logins: Logins,
}

/// The default pauses between attempts: a restarted relay is found at once, a dead one does not fill the log.
pub const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What a relay says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Face {
    /// The authority in the MSRP URIs it hands out, `host:port`.
    pub msrp: String,
    /// The hash of its MSRP certificate, for `a=fingerprint`.
    pub fingerprint: String,
    /// Whether orders reach it now.
    pub up: bool,
}

/// What came from a relay.
#[derive(Debug)]
pub enum Heard {
    /// A notice about a room.
    Notice {
        /// From which relay.
        relay: Arc<str>,
        /// Whose room.
        conference: ConferenceId,
        /// What it says.
        notice: RoomNotice,
        /// To be dropped when what it says is kept.
        done: Done,
    },
    /// The relay has started anew: every session it had is gone.
    Restarted {
        /// Which.
        relay: Arc<str>,
    },
}

/// A handle to all links. Clones share them.
#[derive(Clone)]
pub struct Relays {
    links: Arc<BTreeMap<Arc<str>, Link>>,
    order: Arc<[Arc<str>]>,
    go: Arc<Notify>,
}

/// What a link's task is given, in order.
enum Given {
    Order(Order),
    /// To be answered when everything given before is carried out.
    Receipt(ConferenceId, oneshot::Sender<()>),
}

struct Link {
    orders: mpsc::Sender<Given>,
    face: watch::Receiver<Option<Face>>,
    rooms: watch::Receiver<usize>,
    /// Where it is.
    control: String,
    /// It says that it drains.
    leaving: Arc<AtomicBool>,
    /// The operator wants no new room on it.
    drained: AtomicBool,
}

impl fmt::Debug for Relays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Relays").field(&self.order).finish()
    }
}

/// No such relay is configured, or its task has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such relay")]
pub struct NoSuchRelay;

impl Relays {
    /// Starts a task for each relay. They take orders, and dial only after [`Relays::go`]: a relay ends what the
    /// first full state does not name. The tasks end when the last handle is dropped.
    pub fn start(parts: RelayParts) -> (Self, mpsc::UnboundedReceiver<Heard>) {
        let (heard, hearing) = mpsc::unbounded_channel();
        let go = Arc::new(Notify::new());
        let order: Arc<[Arc<str>]> =
            parts.relays.iter().map(|at| at.name.as_str().into()).collect();
        let mut links = BTreeMap::new();
        for at in parts.relays.iter().cloned() {
            let (orders, incoming) = mpsc::channel(ORDERS_MAX);
            let (show_face, face) = watch::channel(None);
            let (show_rooms, rooms) = watch::channel(0);
            let (name, control): (Arc<str>, _) = (at.name.as_str().into(), at.control.clone());
            let leaving = Arc::<AtomicBool>::default();
            let task = link::LinkTask::new(
                &parts,
                at,
                link::Ends {
                    orders: incoming,
                    heard: heard.clone(),
                    face: show_face,
                    rooms: show_rooms,
                    leaving: Arc::clone(&leaving),
                },
            );
            drop(tokio::spawn(task.run(Arc::clone(&go))));
            let drained = AtomicBool::new(false);
            links.insert(name, Link { orders, face, rooms, control, leaving, drained });
        }
        (Self { links: Arc::new(links), order, go }, hearing)
    }

    /// Every conference is recovered: the relays may be dialled.
    pub fn go(&self) {
        // `notify_waiters` would miss a task that has not come to its wait yet.
        for _ in self.order.iter() {
            self.go.notify_one();
        }
    }

    /// Gives an order for a room. Waits while the relay's task is behind.
    ///
    /// # Errors
    /// There is no such relay.
    pub async fn order(
        &self,
        relay: &str,
        conference: &ConferenceId,
        order: RoomOrder,
    ) -> Result<(), NoSuchRelay> {
        let link = self.links.get(relay).ok_or(NoSuchRelay)?;
        let order = Order::room(conference.clone(), order);
        link.orders.send(Given::Order(order)).await.map_err(|_| NoSuchRelay)
    }

    /// Comes when the relay has carried out everything ordered until now for this conference: also when the link
    /// breaks meanwhile, and the relay learns it by the full resend. It waits as long as that takes.
    ///
    /// # Errors
    /// There is no such relay.
    pub async fn receipt(
        &self,
        relay: &str,
        conference: &ConferenceId,
    ) -> Result<oneshot::Receiver<()>, NoSuchRelay> {
        let link = self.links.get(relay).ok_or(NoSuchRelay)?;
        let (reply, receipt) = oneshot::channel();
        let given = Given::Receipt(conference.clone(), reply);
        link.orders.send(given).await.map_err(|_| NoSuchRelay)?;
        Ok(receipt)
    }

    /// The relay for a new room: of those that can be reached the one with the fewest rooms, the first configured
    /// where two have as many. Where none can be reached, of all; but never one that drains.
    pub fn place(&self) -> Option<String> {
        let choose = |only_up: bool| {
            let links = self.order.iter().filter_map(|name| Some((name, self.links.get(name)?)));
            links
                .filter(|(_, link)| !link.drains())
                .filter(|(_, link)| !only_up || link.face.borrow().as_ref().is_some_and(|f| f.up))
                .min_by_key(|(_, link)| *link.rooms.borrow())
                .map(|(name, _)| name.to_string())
        };
        choose(true).or_else(|| choose(false))
    }

    /// Whether a relay of this name is configured.
    pub fn has(&self, relay: &str) -> bool {
        self.links.contains_key(relay)
    }

    /// What the relay said about itself, once it has been reached.
    pub fn face(&self, relay: &str) -> Option<Face> {
        self.links.get(relay)?.face.borrow().clone()
    }

    /// How many relays are configured, and how many of them can be reached now.
    pub fn reached(&self) -> (usize, usize) {
        let up = |link: &&Link| link.face.borrow().as_ref().is_some_and(|face| face.up);
        (self.links.len(), self.links.values().filter(up).count())
    }
}
