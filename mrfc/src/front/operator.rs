//! What the operator asks of the front: who is registered, and that somebody is so no more.
use std::net::SocketAddr;

use ids::{Aor, DeviceId};
use service::clock;
use tokio::sync::oneshot;

use super::{Flow, Front};

/// A question, answered between two requests.
#[derive(Debug)]
pub(crate) enum Question {
    /// Who is registered: everybody, or one person.
    Registrations { of: Option<Aor>, answer: oneshot::Sender<Vec<Registered>> },
    /// Take the bindings of a person away, of all devices or of one. The answer says how many there were.
    Drop { of: Aor, device: Option<DeviceId>, answer: oneshot::Sender<usize> },
}

/// A binding, and how its requests come to us.
#[derive(Clone, Debug)]
pub(crate) struct Registered {
    pub(crate) person: Aor,
    pub(crate) device: Option<DeviceId>,
    pub(crate) contact: String,
    pub(crate) access: Access,
    pub(crate) address: Option<SocketAddr>,
    pub(crate) secs_left: u64,
}

/// What protects a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Access {
    /// TLS with the device.
    #[default]
    Tls,
    /// The network (`sip.protected_listen`).
    Network,
    /// Mutual TLS with the SIP core, which knows the device.
    Core,
}

impl Flow {
    pub(super) const fn access(&self) -> Access {
        match (self.core, self.plain) {
            (true, _) => Access::Core,
            (false, true) => Access::Network,
            (false, false) => Access::Tls,
        }
    }
}

impl Front {
    pub(super) fn question(&mut self, question: Question) {
        // Whoever asked may have gone meanwhile.
        match question {
            Question::Registrations { of, answer } => drop(answer.send(self.registered(of))),
            Question::Drop { of, device, answer } => {
                let flows = self.registrar.take_away(&of, device.as_ref());
                let count = flows.len();
                self.keep(&of);
                for flow in flows {
                    // So that the device learns of it. What others share stays.
                    if !self.is_core(flow) && !self.registrar.is_used(flow) {
                        self.doomed.push(flow);
                    }
                }
                self.gauges();
                answer.send(count).ok();
            }
        }
    }

    fn registered(&self, of: Option<Aor>) -> Vec<Registered> {
        let now = clock::now();
        let all = self.registrar.all(now);
        let all = all.filter(|(person, _)| of.as_ref().is_none_or(|of| of == *person));
        let mut all: Vec<Registered> = all
            .map(|(person, binding)| {
                let flow = self.flows.get(&binding.flow);
                Registered {
                    person: person.clone(),
                    device: binding.device.clone(),
                    contact: binding.uri.clone(),
                    access: flow.map(|flow| flow.access()).unwrap_or_default(),
                    address: flow.and_then(|flow| flow.address),
                    secs_left: binding.secs_left(now),
                }
            })
            .collect();
        all.sort_unstable_by(|a, b| (&a.person, &a.contact).cmp(&(&b.person, &b.contact)));
        all
    }
}
