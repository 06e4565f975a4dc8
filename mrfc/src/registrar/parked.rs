//! Bindings whose connection is gone: kept until they would have expired, for a core that comes back and for the GRUUs
//! of a device that does. They count for nothing, and the oldest make room.
use std::time::Instant;

use ids::Aor;
use sip::endpoint::FlowId;

use super::{Asked, Binding, Change, Registrar};

impl Registrar {
    /// Keeps a binding without a connection.
    pub fn park(&mut self, aor: &Aor, mut binding: Binding) {
        if binding.number == 0 {
            // It comes from the disk, where numbers mean nothing.
            self.count += 1;
            binding.number = self.count;
        }
        let full = self.parked.len() >= self.bounds.total_max && !self.parked.contains_key(aor);
        if full {
            return;
        }
        let parked = self.parked.entry(aor.clone()).or_default();
        parked.retain(|old| !old.is_again(&binding));
        if parked.len() >= self.bounds.per_person_max {
            parked.remove(0);
        }
        parked.push(binding);
    }

    /// The core opened a connection: what came over it before can be reached over this one. Says whose that is.
    pub fn core_is_back(&mut self, flow: FlowId, now: Instant) -> Vec<Aor> {
        let via_core = |binding: &Binding| binding.via_core && binding.expires_at > now;
        let people = self.parked.iter().filter(|(_, parked)| parked.iter().any(via_core));
        let people: Vec<Aor> = people.map(|(aor, _)| aor.clone()).collect();
        for aor in &people {
            let mut bindings = self.bindings(aor, now);
            let parked = self.parked.get_mut(aor).map(std::mem::take).unwrap_or_default();
            let (back, rest): (Vec<_>, Vec<_>) = parked.into_iter().partition(via_core);
            for mut binding in back {
                let room = bindings.len() < self.bounds.per_person_max
                    && self.total < self.bounds.total_max;
                if room && !bindings.iter().any(|live| live.is_again(&binding)) {
                    binding.flow = flow;
                    bindings.push(binding);
                }
            }
            self.replace(aor, bindings);
            self.parked.insert(aor.clone(), rest);
        }
        self.parked.retain(|_, parked| !parked.is_empty());
        people
    }

    /// Every binding of a person that is still good, with a connection or without: what outlives a restart.
    pub fn lasting(&self, aor: &Aor, now: Instant) -> Vec<Binding> {
        let parked = self.parked.get(aor).into_iter().flatten();
        let parked = parked.filter(|binding| binding.expires_at > now).cloned();
        self.bindings(aor, now).into_iter().chain(parked).collect()
    }

    /// How many people have a binding without a connection.
    pub fn parked(&self) -> usize {
        self.parked.len()
    }

    pub(super) fn parked_as(&self, aor: &Aor, asked: &Asked) -> Option<&Binding> {
        self.parked.get(aor)?.iter().find(|binding| binding.is(asked))
    }

    /// What a REGISTER replaces or removes is not parked any more.
    pub(super) fn unpark(&mut self, aor: &Aor, change: &Change) {
        let Some(parked) = self.parked.get_mut(aor) else { return };
        match change {
            Change::Fetch => {}
            Change::RemoveAll => parked.clear(),
            Change::Contacts(asked) => {
                parked.retain(|binding| !asked.iter().any(|asked| binding.is(asked)));
            }
        }
        if parked.is_empty() {
            self.parked.remove(aor);
        }
    }

    pub(super) fn expire_parked(&mut self, now: Instant) {
        self.parked.retain(|_, parked| {
            parked.retain(|binding| binding.expires_at > now);
            !parked.is_empty()
        });
    }
}

impl Binding {
    /// What it is known by.
    pub fn slot(&self) -> String {
        match (&self.device, self.reg_id) {
            (Some(device), Some(reg_id)) => format!("{device} {reg_id}"),
            (Some(device), None) => device.to_string(),
            (None, _) => self.uri.clone(),
        }
    }

    fn is_again(&self, other: &Self) -> bool {
        self.slot() == other.slot()
    }

    /// A binding from the disk: whose connection it had, nobody knows.
    pub fn kept(kept: &store::Registration, expires_at: Instant) -> Self {
        Self {
            uri: kept.contact.clone(),
            device: kept.device.clone(),
            reg_id: kept.reg_id,
            flow: FlowId(0),
            path: serde_json::from_str(&kept.path).unwrap_or_default(),
            params: String::new(),
            via_core: kept.via_core,
            expires_at,
            call_id: kept.call_id.clone(),
            cseq: kept.cseq,
            number: 0,
            order: 0,
        }
    }
}
