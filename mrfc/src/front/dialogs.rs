//! The table of dialogs: which dialog is whose place in which conference, over which connection. Pure bookkeeping;
//! it forgets a dialog under all its names at once.
use std::collections::{BTreeMap, HashMap, HashSet};

use bytes::Bytes;
use ids::{Aor, ConferenceId, DeviceId, SeatId};
use sip::dialog::{Dialog, DialogId};
use sip::endpoint::{FlowId, TransactionKey};

use crate::config::Level;
use crate::desk::End;

/// One dialog between the focus and a device.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// Tags, `CSeq` and targets.
    pub(crate) dialog: Dialog,
    /// Which conference it belongs to.
    pub(crate) conference: ConferenceId,
    /// What that conference lets the relay see.
    pub(crate) level: Level,
    /// The participant's place at the relay.
    pub(crate) seat: SeatId,
    /// Whose device.
    pub(crate) person: Aor,
    /// Which device.
    pub(crate) device: DeviceId,
    /// What others see in place of the name, if this person hides.
    pub(crate) shown_as: Option<String>,
    /// The device that others see in place of this one.
    pub(crate) mask: Option<DeviceId>,
    /// The connection it is spoken on.
    pub(crate) flow: FlowId,
    /// What the peer last said about its end; `None` while the answer to our offer is to come with the ACK.
    pub(crate) peer_path: Option<String>,
    /// What else it said.
    pub(crate) end: End,
    /// What we last said about ours, for a re-INVITE that changes nothing.
    pub(crate) description: Bytes,
    /// Session and version of its `o=` line.
    pub(crate) origin: (u64, u64),
    /// Our INVITE answer that waits for its ACK.
    pub(crate) unacknowledged: Option<TransactionKey>,
}

/// Every dialog, by each of its names.
#[derive(Debug, Default)]
pub(crate) struct Dialogs {
    calls: HashMap<DialogId, Call>,
    seats: BTreeMap<(ConferenceId, SeatId), DialogId>,
    devices: HashMap<(ConferenceId, Aor, DeviceId), DialogId>,
    flows: HashMap<FlowId, HashSet<DialogId>>,
    unacknowledged: HashMap<TransactionKey, DialogId>,
}

impl Dialogs {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// How many there are on one connection.
    pub(crate) fn len_on(&self, flow: FlowId) -> usize {
        self.flows.get(&flow).map_or(0, HashSet::len)
    }

    /// Keeps a dialog; one of the same name is replaced.
    pub(crate) fn insert(&mut self, call: Call) {
        let id = call.dialog.id().clone();
        self.remove(&id);
        self.index(&id, &call);
        self.calls.insert(id, call);
    }

    /// The dialog of this name.
    pub(crate) fn find(&self, id: &DialogId) -> Option<&Call> {
        self.calls.get(id)
    }

    /// Its tags and counters, to be moved on.
    pub(crate) fn dialog(&mut self, id: &DialogId) -> Option<&mut Dialog> {
        self.calls.get_mut(id).map(|call| &mut call.dialog)
    }

    /// Changes a dialog's place; the indices follow.
    pub(crate) fn change(&mut self, id: &DialogId, change: impl FnOnce(&mut Call)) {
        if let Some(mut call) = self.remove(id) {
            change(&mut call);
            self.index(id, &call);
            self.calls.insert(id.clone(), call);
        }
    }

    /// Whose dialog the ACK to this answer belongs to.
    pub(crate) fn awaiting(&self, key: TransactionKey) -> Option<DialogId> {
        self.unacknowledged.get(&key).cloned()
    }

    /// The dialog of this seat.
    pub(crate) fn seated(&self, conference: &ConferenceId, seat: SeatId) -> Option<DialogId> {
        self.seats.get(&(conference.clone(), seat)).cloned()
    }

    /// The dialog of this device in this conference. It has one at most: a newer one takes the place.
    pub(crate) fn of(
        &self,
        conference: &ConferenceId,
        who: &Aor,
        device: &DeviceId,
    ) -> Option<DialogId> {
        self.devices.get(&(conference.clone(), who.clone(), device.clone())).cloned()
    }

    /// The dialogs of a conference.
    pub(crate) fn in_conference(&self, conference: &ConferenceId) -> Vec<DialogId> {
        let seat = |n| (conference.clone(), SeatId(n));
        self.seats.range(seat(0)..=seat(u64::MAX)).map(|(_, id)| id.clone()).collect()
    }

    /// What others see of somebody who is in a conference and hides.
    pub(crate) fn shown_as(&self, conference: &ConferenceId, who: &Aor) -> Option<&str> {
        let seat = |n| (conference.clone(), SeatId(n));
        let calls = self.seats.range(seat(0)..=seat(u64::MAX)).filter_map(|(_, id)| self.find(id));
        calls.filter(|call| call.person == *who).find_map(|call| call.shown_as.as_deref())
    }

    /// The dialogs on a connection.
    pub(crate) fn on(&self, flow: FlowId) -> Vec<DialogId> {
        self.flows.get(&flow).into_iter().flatten().cloned().collect()
    }

    /// Forgets a dialog.
    pub(crate) fn remove(&mut self, id: &DialogId) -> Option<Call> {
        let call = self.calls.remove(id)?;
        let seat = (call.conference.clone(), call.seat);
        if self.seats.get(&seat) == Some(id) {
            self.seats.remove(&seat);
        }
        let device = (call.conference.clone(), call.person.clone(), call.device.clone());
        if self.devices.get(&device) == Some(id) {
            self.devices.remove(&device);
        }
        if let Some(key) = call.unacknowledged {
            self.unacknowledged.remove(&key);
        }
        if let Some(on_flow) = self.flows.get_mut(&call.flow) {
            on_flow.remove(id);
            if on_flow.is_empty() {
                self.flows.remove(&call.flow);
            }
        }
        Some(call)
    }

    fn index(&mut self, id: &DialogId, call: &Call) {
        self.seats.insert((call.conference.clone(), call.seat), id.clone());
        let device = (call.conference.clone(), call.person.clone(), call.device.clone());
        self.devices.insert(device, id.clone());
        self.flows.entry(call.flow).or_default().insert(id.clone());
        if let Some(key) = call.unacknowledged {
            self.unacknowledged.insert(key, id.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::header::Name;
    use sip::{Method, Request, Response, Status, Uri};

    fn call(call_id: &str, seat: u64, flow: u64) -> Call {
        let request = Request::new(Method::Invite, "sip:room7@example.net".parse::<Uri>().unwrap())
            .with(Name::From, "<sip:alice@example.net>;tag=a")
            .with(Name::To, "<sip:room7@example.net>")
            .with(Name::CallId, call_id)
            .with(Name::CSeq, "1 INVITE")
            .with(Name::Contact, "<sip:alice@192.0.2.1>");
        let response = Response::to(&request, Status::OK).with_to_tag("f");
        Call {
            dialog: Dialog::uas(&request, &response).unwrap(),
            conference: "room7".parse().unwrap(),
            level: Level::Sealed,
            seat: SeatId(seat),
            person: "sip:alice@example.net".parse().unwrap(),
            device: "urn:uuid:00000000-0000-4000-8000-000000000001".parse().unwrap(),
            shown_as: None,
            mask: None,
            flow: FlowId(flow),
            peer_path: None,
            end: End::default(),
            description: Bytes::new(),
            origin: (seat, 1),
            unacknowledged: None,
        }
    }

    #[test]
    fn a_forgotten_dialog_leaves_nothing_behind() {
        let mut dialogs = Dialogs::default();
        dialogs.insert(call("c1", 1, 1));
        dialogs.insert(call("c2", 2, 1));

        for id in dialogs.on(FlowId(1)) {
            dialogs.remove(&id);
        }

        assert_eq!(dialogs.len(), 0);
        assert!(dialogs.seats.is_empty() && dialogs.flows.is_empty() && dialogs.devices.is_empty());
    }

    #[test]
    fn a_changed_seat_is_found_by_its_new_number_only() {
        let mut dialogs = Dialogs::default();
        let first = call("c1", 1, 1);
        let (id, conference) = (first.dialog.id().clone(), first.conference.clone());
        dialogs.insert(first);

        dialogs.change(&id, |call| call.seat = SeatId(2));

        assert_eq!(dialogs.seated(&conference, SeatId(1)), None);
        assert_eq!(dialogs.seated(&conference, SeatId(2)), Some(id));
    }

    #[test]
    fn a_seat_taken_over_by_another_dialog_stays_with_it() {
        let mut dialogs = Dialogs::default();
        let (old, new) = (call("c1", 1, 1), call("c2", 1, 2));
        let (old_id, new_id) = (old.dialog.id().clone(), new.dialog.id().clone());
        let conference = old.conference.clone();
        dialogs.insert(old);
        dialogs.insert(new);

        dialogs.remove(&old_id);

        assert_eq!(dialogs.seated(&conference, SeatId(1)), Some(new_id));
    }
}
