//! A device that is called rings over one of its flows, and over the next one when that fails (RFC 5626, 5.3). Whoever has
//! said that it rings has no flow that failed, and any other answer is the device's, whatever flow it comes by.
use service::clock;
use sip::{Name, Status};

use super::Front;
use super::fork::Said;
use super::message::Way;
use super::pairs::{Branch, BranchState};

impl Front {
    /// A device has said no over this flow, or nothing: it is asked over the next, or that was its answer.
    pub(super) fn ring_on(&mut self, branch: Branch, said: Said) {
        let failed = match said.status {
            Status::FLOW_FAILED => true,
            Status::REQUEST_TIMEOUT => !branch.rings,
            _ => false,
        };
        let Branch { asked, mut request, person, others, .. } = branch;
        let caller = self.pairs.rings.get(&asked).map(|ring| ring.flow);
        let good = |way: &Way| {
            self.flows.contains_key(&way.flow)
                && (caller != Some(way.flow) || self.is_core(way.flow))
        };
        let mut others = others.into_iter().filter(good);
        let next = others.next().filter(|_| failed && caller.is_some());
        let Some(way) = next else { return self.branch_ended(asked, said) };
        let others = others.collect();
        request.headers.set(Name::Contact, self.pair_contact(&way.target));
        request.headers.remove(&Name::Route);
        way.path.iter().for_each(|hop| request.headers.push(Name::Route, hop.clone()));
        request.uri = way.target;
        let now = clock::now();
        let sent = self.endpoint.request(now, way.flow, request.clone());
        if let Some(ring) = self.pairs.rings.get_mut(&asked) {
            ring.branches.push(sent);
        }
        let state = BranchState::Ringing;
        let branch = Branch {
            asked,
            request,
            person,
            flow: way.flow,
            others,
            rings: false,
            state,
            since: now,
        };
        self.pairs.branches.insert(sent, branch);
    }
}
