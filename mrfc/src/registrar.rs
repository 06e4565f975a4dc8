//! The binding table (RFC 3261, 10.3; RFC 5626): which devices of a person are reachable over which flow. Pure:
//! time is an argument, and nothing is stored on disk, since a binding is worth no more than its connection.
//!
//! A binding is known by its device (`+sip.instance` and `reg-id`), or by its Contact URI where the client names
//! no device. The same device on a new connection replaces its old binding.
use std::collections::{HashMap, HashSet};
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
    /// When it ends unless refreshed.
    pub expires_at: Instant,
    call_id: String,
    cseq: u32,
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
    total: usize,
}

impl Registrar {
    /// An empty table.
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, people: HashMap::new(), flows: HashMap::new(), total: 0 }
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
            Change::Contacts(asked) => self.changed(now, before, origin, asked)?,
        };
        let others = self.total - self.people.get(aor).map_or(0, Vec::len);
        if after.len() > self.bounds.per_person_max {
            return Err(Refusal::PersonFull);
        }
        if others + after.len() > self.bounds.total_max {
            return Err(Refusal::Full);
        }
        self.replace(aor, after.clone());
        Ok(after)
    }

    fn changed(
        &self,
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
            let old = bindings.iter().position(|binding| binding.is(contact));
            if let Some(at) = old {
                in_order(bindings.get(at..=at).unwrap_or_default(), origin)?;
                bindings.remove(at);
            }
            if secs > 0 {
                bindings.push(Binding {
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

    /// A connection ended: its bindings are worth nothing (RFC 5626, 5.3).
    pub fn lost(&mut self, flow: FlowId) {
        for aor in self.flows.get(&flow).cloned().unwrap_or_default() {
            let mut left = self.people.get(&aor).cloned().unwrap_or_default();
            left.retain(|binding| binding.flow != flow);
            self.replace(&aor, left);
        }
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
            if let Some(people) = self.flows.get_mut(&binding.flow) {
                people.remove(aor);
                if people.is_empty() {
                    self.flows.remove(&binding.flow);
                }
            }
        }
        for binding in &bindings {
            self.flows.entry(binding.flow).or_default().insert(aor.clone());
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
mod tests {
    use super::*;
    use service::clock;

    const BOUNDS: Bounds = Bounds { per_person_max: 2, total_max: 3, secs: (60, 3_600, 7_200) };

    fn alice() -> Aor {
        "sip:alice@example.net".parse().unwrap()
    }

    fn device(n: u8) -> DeviceId {
        format!("urn:uuid:00000000-0000-4000-8000-0000000000{n:02}").parse().unwrap()
    }

    fn asked(n: u8, secs: u32) -> Asked {
        Asked {
            uri: format!("sip:alice@192.0.2.{n}"),
            device: Some(device(n)),
            reg_id: Some(1),
            secs: Some(secs),
        }
    }

    fn on(flow: u64, cseq: u32) -> Origin {
        Origin { flow: FlowId(flow), path: Vec::new(), call_id: format!("call-{flow}"), cseq }
    }

    fn contacts(asked: Asked) -> Change {
        Change::Contacts(vec![asked])
    }

    #[test]
    fn two_devices_are_two_bindings_and_each_200_lists_both() {
        let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());

        registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 3_600))).unwrap();
        let both =
            registrar.register(now, &alice(), &on(2, 1), &contacts(asked(2, 3_600))).unwrap();

        assert_eq!(both.len(), 2);
        assert!(registrar.vouches(FlowId(2), &alice(), now));
        assert_eq!(registrar.device_on(FlowId(2), &alice()), Some(device(2)));
    }

    #[test]
    fn a_device_on_a_new_connection_replaces_itself() {
        let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
        registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 3_600))).unwrap();

        let left =
            registrar.register(now, &alice(), &on(2, 1), &contacts(asked(1, 3_600))).unwrap();

        assert_eq!(left.iter().map(|b| b.flow).collect::<Vec<_>>(), [FlowId(2)]);
        assert!(!registrar.vouches(FlowId(1), &alice(), now));
        assert_eq!(registrar.flows.len(), 1);
    }

    #[test]
    fn a_closed_connection_takes_its_bindings_with_it_and_no_others() {
        let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
        registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 3_600))).unwrap();
        registrar.register(now, &alice(), &on(2, 1), &contacts(asked(2, 3_600))).unwrap();

        registrar.lost(FlowId(1));

        assert_eq!(registrar.bindings(&alice(), now).len(), 1);
        registrar.lost(FlowId(2));
        assert!(registrar.is_empty() && registrar.people.is_empty() && registrar.flows.is_empty());
    }

    #[test]
    fn a_binding_ends_with_its_time() {
        let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
        registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 60))).unwrap();

        let later = now + Duration::from_secs(60);

        assert!(registrar.bindings(&alice(), later).is_empty());
        assert!(!registrar.vouches(FlowId(1), &alice(), later));
        registrar.expire(later);
        assert!(registrar.is_empty());
    }

    #[test]
    fn too_brief_is_refused_and_too_long_is_cut() {
        let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());

        let brief = registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 59)));
        let long =
            registrar.register(now, &alice(), &on(1, 2), &contacts(asked(1, 99_999))).unwrap();

        assert_eq!(brief, Err(Refusal::TooBrief(60)));
        assert_eq!(long[0].secs_left(now), 7_200);
    }

    #[test]
    fn an_older_register_of_the_same_call_changes_nothing() {
        let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
        registrar.register(now, &alice(), &on(1, 2), &contacts(asked(1, 3_600))).unwrap();

        let late = registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 0)));

        assert_eq!(late, Err(Refusal::OutOfOrder));
        assert_eq!(registrar.len(), 1);
    }

    #[test]
    fn zero_seconds_and_the_star_unregister() {
        let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
        registrar.register(now, &alice(), &on(1, 1), &contacts(asked(1, 3_600))).unwrap();
        registrar.register(now, &alice(), &on(2, 1), &contacts(asked(2, 3_600))).unwrap();

        let one = registrar.register(now, &alice(), &on(1, 2), &contacts(asked(1, 0))).unwrap();
        let none = registrar.register(now, &alice(), &on(2, 2), &Change::RemoveAll).unwrap();

        assert_eq!((one.len(), none.len()), (1, 0));
        assert!(registrar.is_empty());
    }

    #[test]
    fn a_full_table_refuses_newcomers_and_still_lets_the_old_refresh() {
        let (mut registrar, now) = (Registrar::new(BOUNDS), clock::now());
        for n in 1..=2 {
            registrar.register(now, &alice(), &on(n.into(), 1), &contacts(asked(n, 600))).unwrap();
        }
        let bob: Aor = "sip:bob@example.net".parse().unwrap();
        let carol: Aor = "sip:carol@example.net".parse().unwrap();
        registrar.register(now, &bob, &on(3, 1), &contacts(asked(3, 600))).unwrap();

        let third = registrar.register(now, &alice(), &on(4, 1), &contacts(asked(4, 600)));
        let fourth = registrar.register(now, &carol, &on(5, 1), &contacts(asked(5, 600)));
        let refresh = registrar.register(now, &bob, &on(3, 2), &contacts(asked(3, 600)));

        assert_eq!((third, fourth), (Err(Refusal::PersonFull), Err(Refusal::Full)));
        assert_eq!(refresh.map(|left| left.len()), Ok(1));
    }
}
