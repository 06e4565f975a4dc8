//! The binding table (RFC 3261, 10.3; RFC 5626): which devices of a person are reachable over which flow. Pure:
//! time is an argument, and the disk is somebody else's.
//!
//! A binding is known by its device (`+sip.instance` and `reg-id`), or by its Contact URI where the client names
//! no device. The same device on a new connection replaces its old binding.
//!
//! # A binding without its flow
//!
//! A binding is worth no more than its connection: when that is gone, or after a restart, it reaches nobody, vouches for
//! nobody, is listed for nobody and keeps no newcomer out (RFC 5626, 5.3). It is *parked* until it would have expired,
//! for two reasons. The flows of a SIP core belong to no device: what came over one is reachable over the next one that
//! the core opens. And a device that registers again, with the same Call-ID, keeps its temporary GRUUs.
mod parked;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use ids::{Aor, DeviceId};
use sip::endpoint::FlowId;

/// One reachable contact of a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The Contact URI as the client wrote it.
    pub uri: String,
    /// The device, if the client named one.
    pub device: Option<DeviceId>,
    /// Which of the device's flows this is (RFC 5626, 4.2).
    pub reg_id: Option<u32>,
    /// The connection the REGISTER came on; requests to this contact leave by it.
    pub flow: FlowId,
    /// The way back through proxies, first hop first (RFC 3327): Route of requests to this contact.
    pub path: Vec<String>,
    /// What else the Contact says of the device, as parameters: `;+g.oma.sip-im`.
    pub params: String,
    /// Whether the connection is one of the SIP core's.
    pub via_core: bool,
    /// When it ends unless refreshed.
    pub expires_at: Instant,
    /// Call-ID of the last REGISTER.
    pub call_id: String,
    /// `CSeq` of the last REGISTER.
    pub cseq: u32,
    /// What its temporary GRUUs stand for; another one with each Call-ID (RFC 5627, 3.1.2).
    pub number: u64,
    /// Which REGISTER made it, counted over all.
    order: u64,
}

/// A contact as a REGISTER asks for it. `secs` 0 removes it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The Contact URI.
    pub uri: String,
    /// `+sip.instance`.
    pub device: Option<DeviceId>,
    /// `reg-id`; only with a device (RFC 5626, 6).
    pub reg_id: Option<u32>,
    /// Its other parameters.
    pub params: String,
    /// How long, in seconds; absent means the default.
    pub secs: Option<u32>,
}

/// What a REGISTER wants of its person's bindings.
#[derive(Clone, Debug)]
pub enum Change {
    /// No Contact: only tell.
    Fetch,
    /// `Contact: *` with `Expires: 0`.
    RemoveAll,
    /// Add, refresh or remove these.
    Contacts(Vec<Asked>),
}

/// Where a REGISTER came from and its place in the client's own order.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The connection.
    pub flow: FlowId,
    /// Whether that is one of the SIP core's.
    pub via_core: bool,
    /// Path of the REGISTER.
    pub path: Vec<String>,
    /// Call-ID of the REGISTER.
    pub call_id: String,
    /// CSeq number of the REGISTER.
    pub cseq: u32,
}

/// Why a REGISTER changed nothing. Each becomes one status in `front::register`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// RFC 3261, 10.2.8: 423 with Min-Expires.
    #[error("shorter than {0} s")]
    TooBrief(u32),
    /// RFC 3261, 10.3 step 7: an older request of the same call came late.
    #[error("out of order")]
    OutOfOrder,
    /// The person has as many devices as one may have.
    #[error("too many devices")]
    PersonFull,
    /// The table is full.
    #[error("too many bindings")]
    Full,
}

/// The bounds of the table.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bindings of one person.
    pub per_person_max: usize,
    /// Bindings of all.
    pub total_max: usize,
    /// Shortest, default and longest registration, in seconds.
    pub secs: (u32, u32, u32),
}

/// The binding table.
#[derive(Debug)]
pub struct Registrar {
    bounds: Bounds,
    people: HashMap<Aor, Vec<Binding>>,
    flows: HashMap<FlowId, HashSet<Aor>>,
    /// What temporary GRUUs stand for.
    numbers: HashMap<u64, (Aor, DeviceId)>,
    /// Bindings whose connection is gone; their `flow` means nothing.
    parked: HashMap<Aor, Vec<Binding>>,
    total: usize,
    /// REGISTERs, and numbers, so far.
    count: u64,
}

impl Registrar {
    /// An empty table.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            people: HashMap::new(),
            flows: HashMap::new(),
            numbers: HashMap::new(),
            parked: HashMap::new(),
            total: 0,
            count: 0,
        }
    }

    /// Applies a REGISTER, wholly or not at all, and tells the bindings that are left.
    ///
    /// # Errors
    /// Nothing was changed.
    pub fn register(
        &mut self,
        now: Instant,
        aor: &Aor,
        origin: &Origin,
        change: &Change,
    ) -> Result<Vec<Binding>, Refusal> {
        let before = self.bindings(aor, now);
        let after = match change {
            Change::Fetch => return Ok(before),
            Change::RemoveAll => {
                in_order(&before, origin)?;
                Vec::new()
            }
            Change::Contacts(asked) => self.changed(aor, now, before, origin, asked)?,
        };
        let others = self.total - self.people.get(aor).map_or(0, Vec::len);
        if after.len() > self.bounds.per_person_max {
            return Err(Refusal::PersonFull);
        }
        if others + after.len() > self.bounds.total_max {
            return Err(Refusal::Full);
        }
        self.unpark(aor, change);
        self.replace(aor, after.clone());
        Ok(after)
    }

    fn changed(
        &mut self,
        aor: &Aor,
        now: Instant,
        mut bindings: Vec<Binding>,
        origin: &Origin,
        asked: &[Asked],
    ) -> Result<Vec<Binding>, Refusal> {
        let (secs_min, secs_default, secs_max) = self.bounds.secs;
        for contact in asked {
            let secs = contact.secs.unwrap_or(secs_default).min(secs_max);
            if secs > 0 && secs < secs_min {
                return Err(Refusal::TooBrief(secs_min));
            }
            let at = bindings.iter().position(|binding| binding.is(contact));
            let old = match at {
                Some(at) => {
                    in_order(bindings.get(at..=at).unwrap_or_default(), origin)?;
                    Some(bindings.remove(at))
                }
                None => self.parked_as(aor, contact).cloned(),
            };
            if secs > 0 {
                self.count += 1;
                let old = old.filter(|old| old.call_id == origin.call_id);
                bindings.push(Binding {
                    params: contact.params.clone(),
                    via_core: origin.via_core,
                    number: old.map_or(self.count, |old| old.number),
                    order: self.count,
                    uri: contact.uri.clone(),
                    device: contact.device.clone(),
                    reg_id: contact.reg_id,
                    flow: origin.flow,
                    path: origin.path.clone(),
                    expires_at: now + Duration::from_secs(secs.into()),
                    call_id: origin.call_id.clone(),
                    cseq: origin.cseq,
                });
            }
        }
        Ok(bindings)
    }

    /// The live bindings of a person.
    pub fn bindings(&self, aor: &Aor, now: Instant) -> Vec<Binding> {
        let all = self.people.get(aor).into_iter().flatten();
        all.filter(|binding| binding.expires_at > now).cloned().collect()
    }

    /// Whether `aor` registered on this very connection, so that its next requests need no new proof.
    pub fn vouches(&self, flow: FlowId, aor: &Aor, now: Instant) -> bool {
        let all = self.people.get(aor).into_iter().flatten();
        all.into_iter().any(|binding| binding.flow == flow && binding.expires_at > now)
    }

    /// The one person who has registered over this connection; none if several have.
    pub fn person_on(&self, flow: FlowId, now: Instant) -> Option<Aor> {
        let mut people = self.flows.get(&flow)?.iter().filter(|aor| self.vouches(flow, aor, now));
        people.next().filter(|_| people.next().is_none()).cloned()
    }

    /// The device that `aor` registered on this connection, if it named one.
    pub fn device_on(&self, flow: FlowId, aor: &Aor) -> Option<DeviceId> {
        let mut all = self.people.get(aor).into_iter().flatten();
        all.find(|binding| binding.flow == flow).and_then(|binding| binding.device.clone())
    }

    /// The ways to a person, or to one of the person's devices: for each device its flows, the newest first. Only one
    /// of them is tried at a time (RFC 5626, 5.3).
    pub fn ways(&self, aor: &Aor, device: Option<&DeviceId>, now: Instant) -> Vec<Vec<Binding>> {
        let mut ways: BTreeMap<(Option<DeviceId>, Option<String>), Vec<Binding>> = BTreeMap::new();
        for binding in self.bindings(aor, now) {
            if device.is_some() && binding.device.as_ref() != device {
                continue;
            }
            // A contact without a device is a device of its own.
            let uri = binding.device.is_none().then(|| binding.uri.clone());
            ways.entry((binding.device.clone(), uri)).or_default().push(binding);
        }
        let mut ways: Vec<Vec<Binding>> = ways.into_values().collect();
        for way in &mut ways {
            way.sort_unstable_by_key(|binding| std::cmp::Reverse(binding.order));
        }
        ways
    }

    /// The newest flow of each device of a person.
    pub fn newest(&self, aor: &Aor, now: Instant) -> Vec<Binding> {
        self.ways(aor, None, now).into_iter().filter_map(|way| way.into_iter().next()).collect()
    }

    /// Whom a temporary GRUU with this number means.
    pub fn numbered(&self, number: u64) -> Option<&(Aor, DeviceId)> {
        self.numbers.get(&number)
    }

    /// A connection ended: its bindings reach nobody (RFC 5626, 5.3), except those of a core that has another one.
    /// Says whose they were.
    pub fn lost(&mut self, flow: FlowId, other_of_core: Option<FlowId>) -> Vec<Aor> {
        let people: Vec<Aor> = self.flows.get(&flow).into_iter().flatten().cloned().collect();
        for aor in &people {
            let all = self.people.get(aor).cloned().unwrap_or_default();
            let (mut on_it, mut left): (Vec<_>, Vec<_>) =
                all.into_iter().partition(|binding| binding.flow == flow);
            if let Some(other) = other_of_core {
                on_it.iter_mut().for_each(|binding| binding.flow = other);
                left.append(&mut on_it);
            }
            self.replace(aor, left);
            on_it.into_iter().for_each(|binding| self.park(aor, binding));
        }
        people
    }

    /// Drops what has expired; called now and then.
    pub fn expire(&mut self, now: Instant) {
        let stale = |bindings: &Vec<Binding>| bindings.iter().any(|b| b.expires_at <= now);
        let people: Vec<Aor> =
            self.people.iter().filter(|(_, b)| stale(b)).map(|(aor, _)| aor.clone()).collect();
        for aor in people {
            let left = self.bindings(&aor, now);
            self.replace(&aor, left);
        }
        self.expire_parked(now);
    }

    /// Every live binding and whose it is, in no order.
    pub fn all(&self, now: Instant) -> impl Iterator<Item = (&Aor, &Binding)> {
        let each = |(aor, bindings)| std::iter::repeat(aor).zip::<&Vec<Binding>>(bindings);
        self.people.iter().flat_map(each).filter(move |(_, binding)| binding.expires_at > now)
    }

    /// Takes a person's bindings away, of all devices or of one, and says which connections they were on.
    pub fn take_away(&mut self, aor: &Aor, device: Option<&DeviceId>) -> Vec<FlowId> {
        let all = self.people.get(aor).cloned().unwrap_or_default();
        let (gone, left): (Vec<_>, Vec<_>) = all.into_iter().partition(|binding| {
            device.is_none_or(|device| binding.device.as_ref() == Some(device))
        });
        self.parked.remove(aor);
        self.replace(aor, left);
        gone.into_iter().map(|binding| binding.flow).collect()
    }

    /// Whether anybody is registered over this connection.
    pub fn is_used(&self, flow: FlowId) -> bool {
        self.flows.contains_key(&flow)
    }

    /// How many bindings there are.
    pub fn len(&self) -> usize {
        self.total
    }

    /// Whether nobody is registered.
    pub fn is_empty(&self) -> bool {
        self.total == 0
    }

    fn replace(&mut self, aor: &Aor, bindings: Vec<Binding>) {
        let old = self.people.remove(aor).unwrap_or_default();
        self.total = self.total - old.len() + bindings.len();
        for binding in old {
            self.numbers.remove(&binding.number);
            if let Some(people) = self.flows.get_mut(&binding.flow) {
                people.remove(aor);
                if people.is_empty() {
                    self.flows.remove(&binding.flow);
                }
            }
        }
        for binding in &bindings {
            self.flows.entry(binding.flow).or_default().insert(aor.clone());
            if let Some(device) = &binding.device {
                self.numbers.insert(binding.number, (aor.clone(), device.clone()));
            }
        }
        if !bindings.is_empty() {
            self.people.insert(aor.clone(), bindings);
        }
    }
}

impl Binding {
    /// RFC 5626, 6: instance and reg-id decide where both are there, the URI otherwise.
    fn is(&self, asked: &Asked) -> bool {
        match (&self.device, &asked.device) {
            (Some(ours), Some(theirs)) => ours == theirs && self.reg_id == asked.reg_id,
            _ => self.uri == asked.uri,
        }
    }

    /// Whether the Contact is a `sips:` URI.
    pub fn is_secure(&self) -> bool {
        self.uri.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sips:"))
    }

    /// Seconds left, rounded up, as the 200 tells them.
    pub fn secs_left(&self, now: Instant) -> u64 {
        let left = self.expires_at.saturating_duration_since(now);
        left.as_secs() + u64::from(left.subsec_nanos() > 0)
    }
}

/// RFC 3261, 10.3 step 7: within one Call-ID the CSeq must grow.
fn in_order(bindings: &[Binding], origin: &Origin) -> Result<(), Refusal> {
    let late = |b: &Binding| b.call_id == origin.call_id && b.cseq >= origin.cseq;
    if bindings.iter().any(late) { Err(Refusal::OutOfOrder) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
