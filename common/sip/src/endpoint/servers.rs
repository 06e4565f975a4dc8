//! The server side of an [`Endpoint`]: requests in, responses of the user out, ACK and CANCEL matched.
use std::fmt;
use std::time::Instant;

use bytes::Bytes;

use super::{Abandoned, Endpoint, Event, FlowId, Output, TransactionKey};
use crate::header::{BadHeader, Name, Via};
use crate::message::{Message, Method, Request, Response, Status};
use crate::transaction::id::{Id, request_id, server_id, to_tag};
use crate::transaction::{Row, ServerAction, ServerInput, invite_server, server};

/// A server transaction.
pub(super) struct Server {
    flow: FlowId,
    id: Id,
    /// Set if merged requests and ACKs are looked for by it.
    request_id: Option<Id>,
    /// Our To tag: random until the user answers with one.
    tag: Box<str>,
    state: State,
    pub(super) timer: Option<Instant>,
    /// What may have to be sent (again) before the end; nothing once a 2xx was sent.
    unfinished: Option<Box<Unfinished>>,
}

struct Unfinished {
    /// What was sent last.
    last: Bytes,
    /// Of an INVITE without final answer: what 100 and 408 are made from.
    answer: Option<Response>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Invite(invite_server::State),
    Other(server::State),
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} on {:?}", self.state, self.flow)
    }
}

impl State {
    fn step(self, input: ServerInput) -> Option<Row<Self, ServerInput, ServerAction>> {
        fn wrap<S, T>(
            row: Row<S, ServerInput, ServerAction>,
            wrap: fn(S) -> T,
        ) -> Row<T, ServerInput, ServerAction> {
            let Row { state, input, next, action, arm } = row;
            Row { state: wrap(state), input, next: wrap(next), action, arm }
        }
        match self {
            Self::Invite(state) => {
                invite_server::step(state, input).map(|row| wrap(row, Self::Invite))
            }
            Self::Other(state) => server::step(state, input).map(|row| wrap(row, Self::Other)),
        }
    }

    fn is_terminated(self) -> bool {
        matches!(
            self,
            Self::Invite(invite_server::State::Terminated) | Self::Other(server::State::Terminated)
        )
    }

    fn awaits_ack(self) -> bool {
        use invite_server::State::{Accepted, Completed};
        matches!(self, Self::Invite(Accepted | Completed))
    }
}

impl Endpoint {
    /// Sends the user's response to a request, with a To tag if it has none. A response that comes too late (second
    /// final one, flow closed, transaction abandoned) is dropped.
    pub fn respond(&mut self, now: Instant, key: TransactionKey, response: Response) {
        let Some(server) = self.servers.get_mut(&key) else { return };
        let response = response.with_to_tag(&server.tag);
        if let Ok(to) = response.headers.to()
            && let Some(tag) = to.tag()
        {
            server.tag = tag.into();
        }
        let input = match response.status {
            status if status.is_provisional() => ServerInput::Provisional,
            status if status.is_success() => ServerInput::Success,
            _ => ServerInput::Failure,
        };
        let flow = server.flow;
        self.server_input(now, key, input, Some((flow, response.into())));
    }

    pub(super) fn receive_request(&mut self, now: Instant, flow: FlowId, mut request: Request) {
        let Ok(ids) = self.stamp(flow, &mut request) else {
            return self.refuse(flow, &request, Status::BAD_REQUEST);
        };
        let known = self.server_ids.get(&ids.server).copied();
        match (&request.method, known) {
            (Method::Ack, Some(key)) => {
                self.server_input(now, key, ServerInput::Ack, Some((flow, request.into())));
            }
            (Method::Ack, None) => self.receive_ack(now, flow, ids.request, request),
            (Method::Cancel, Some(key)) => {
                let tag = self.servers.get(&key).map_or_else(Box::default, |it| it.tag.clone());
                let ok = Response::to(&request, Status::OK).with_to_tag(&tag);
                self.outputs.push_back(Output::Send { flow, bytes: ok.to_bytes() });
                self.server_input(now, key, ServerInput::Cancel, None);
            }
            (Method::Cancel, None) => self.refuse(flow, &request, Status::NO_SUCH_DIALOG),
            (_, Some(key)) => self.server_input(now, key, ServerInput::Request, None),
            (_, None) => self.begin(now, flow, ids, request),
        }
    }

    /// The ids of a request, once its topmost Via says where it came from (18.2.1; RFC 3581, 4).
    fn stamp(&self, flow: FlowId, request: &mut Request) -> Result<Ids, BadHeader> {
        let mut vias = request.headers.vias()?;
        let top = vias.first_mut().ok_or_else(|| BadHeader::missing(Name::Via))?;
        let server = server_id(flow, request, top)?;
        let ids = Ids { server, request: request_id(request)? };
        let Some(flow) = self.flows.get(&flow) else { return Ok(ids) };
        let addresses = &flow.addresses;
        let bare = |host: &str| host.trim_matches(['[', ']']).to_ascii_lowercase();
        let wants_port = top.params.find("rport").is_some_and(|rport| rport.value().is_none());
        if wants_port {
            top.params.set("rport", Some(&addresses.peer_port.to_string()));
        }
        if wants_port || bare(&top.host) != bare(&addresses.peer_host) {
            // RFC 3261, 25.1: `received` is an address without brackets, which `set` would put in quotes if it is IPv6.
            top.params.remove("received");
            let received = format!(";received={}", bare(&addresses.peer_host));
            let rest = vias.iter().skip(1).map(Via::to_string);
            let first = vias.first().map(|top| format!("{top}{received}"));
            let all: Vec<String> = first.into_iter().chain(rest).collect();
            request.headers.set(Name::Via, all.join(", "));
        }
        Ok(ids)
    }

    /// An ACK to a 2xx has a branch of its own and may come on any flow (13.2.2.4); it must know our tag.
    fn receive_ack(&mut self, now: Instant, flow: FlowId, id: Id, ack: Request) {
        let Some(&key) = self.request_ids.get(&id) else { return };
        let Some(server) = self.servers.get(&key) else { return };
        let accepted = server.state == State::Invite(invite_server::State::Accepted);
        if accepted && to_tag(&ack).as_deref() == Some(&*server.tag) {
            self.server_input(now, key, ServerInput::Ack, Some((flow, ack.into())));
        }
    }

    fn begin(&mut self, now: Instant, flow: FlowId, ids: Ids, request: Request) {
        // 8.2.2.2: the same request came by another way and is not answered yet.
        let is_outside_dialogs = to_tag(&request).is_none();
        if is_outside_dialogs && self.request_ids.contains_key(&ids.request) {
            return self.refuse(flow, &request, Status::LOOP_DETECTED);
        }
        if self.flows.get(&flow).is_none_or(|open| self.is_full(open)) {
            return self.refuse(flow, &request, Status::SERVICE_UNAVAILABLE);
        }
        let key = self.next_key();
        let is_invite = request.method == Method::Invite;
        let (state, timer) = match is_invite {
            true => (State::Invite(invite_server::START.0), invite_server::START.1),
            false => (State::Other(server::START.0), server::START.1),
        };
        let free = !self.request_ids.contains_key(&ids.request);
        let request_id = (free && (is_invite || is_outside_dialogs)).then_some(ids.request);
        self.server_ids.insert(ids.server, key);
        if let Some(id) = request_id {
            self.request_ids.insert(id, key);
        }
        if let Some(open) = self.flows.get_mut(&flow) {
            open.transactions.insert(key);
        }
        let (tag, timer) = (self.random_tag(), self.arm(now, key, None, Some(timer)));
        let answer = is_invite.then(|| Response::to(&request, Status::TRYING));
        let unfinished = Some(Box::new(Unfinished { last: Bytes::new(), answer }));
        let id = ids.server;
        self.servers.insert(key, Server { flow, id, request_id, tag, state, timer, unfinished });
        self.tell(Event::Request { key, flow, request });
    }

    pub(super) fn server_input(
        &mut self,
        now: Instant,
        key: TransactionKey,
        input: ServerInput,
        given: Option<(FlowId, Message)>,
    ) {
        let Some(server) = self.servers.get_mut(&key) else { return };
        let Some(row) = server.state.step(input) else { return };
        server.state = row.next;
        let sent = match (row.action, &given) {
            (ServerAction::Send, Some((_, Message::Response(response)))) => response.to_bytes(),
            (ServerAction::SendTrying, _) => server.own_answer(Status::TRYING),
            (ServerAction::SendTimeout, _) => server.own_answer(Status::REQUEST_TIMEOUT),
            (ServerAction::Resend, _) => server.last(),
            _ => Bytes::new(),
        };
        server.remember(&sent);
        let (flow, timer) = (server.flow, server.timer);
        let armed = self.arm(now, key, timer, row.arm);
        if let Some(server) = self.servers.get_mut(&key) {
            server.timer = armed;
        }
        if !sent.is_empty() {
            self.outputs.push_back(Output::Send { flow, bytes: sent });
        }
        self.tell_of(key, &row, given);
        if row.next.is_terminated() {
            self.forget_server(key);
        }
    }

    fn tell_of(
        &mut self,
        key: TransactionKey,
        row: &Row<State, ServerInput, ServerAction>,
        given: Option<(FlowId, Message)>,
    ) {
        let abandoned = |why| Event::Abandoned { key, why };
        let event = match (row.action, given) {
            (ServerAction::DeliverAck, Some((flow, Message::Request(request)))) => {
                Event::Ack { key, flow, request }
            }
            (ServerAction::TellCancelled, _) => Event::Cancelled { key },
            (ServerAction::SendTimeout, _) => abandoned(Abandoned::NotAnswered),
            (ServerAction::Abandon, _) if row.input == ServerInput::FlowClosed => {
                abandoned(Abandoned::FlowClosed)
            }
            (ServerAction::Abandon, _) if row.state.awaits_ack() => {
                abandoned(Abandoned::NotAcknowledged)
            }
            (ServerAction::Abandon, _) => abandoned(Abandoned::NotAnswered),
            _ => return,
        };
        self.tell(event);
    }

    fn forget_server(&mut self, key: TransactionKey) {
        if let Some(server) = self.servers.remove(&key) {
            self.disarm(key, server.timer);
            self.server_ids.remove(&server.id);
            if let Some(id) = server.request_id {
                self.request_ids.remove(&id);
            }
            self.forget_on_flow(server.flow, key);
        }
    }

    /// Answers a request without a transaction. An ACK is never answered.
    fn refuse(&mut self, flow: FlowId, request: &Request, status: Status) {
        if request.method == Method::Ack {
            return;
        }
        let mut response = Response::to(request, status).with_stateless_to_tag();
        if status == Status::SERVICE_UNAVAILABLE {
            response = response.with(Name::RetryAfter, self.limits.retry_after_secs);
        }
        self.outputs.push_back(Output::Send { flow, bytes: response.to_bytes() });
    }
}

impl Server {
    fn own_answer(&self, status: Status) -> Bytes {
        let answer = self.unfinished.as_ref().and_then(|it| it.answer.as_ref());
        let Some(answer) = answer else { return Bytes::new() };
        let headers = answer.headers.clone();
        Response { headers, ..Response::new(status) }.with_to_tag(&self.tag).to_bytes()
    }

    fn last(&self) -> Bytes {
        self.unfinished.as_ref().map(|it| it.last.clone()).unwrap_or_default()
    }

    /// Keeps of what was just sent, in the state that follows, no more than may be needed.
    fn remember(&mut self, sent: &Bytes) {
        if self.state == State::Invite(invite_server::State::Accepted) {
            self.unfinished = None;
        }
        let Some(unfinished) = &mut self.unfinished else { return };
        if !sent.is_empty() {
            unfinished.last = sent.clone();
        }
        if self.state.awaits_ack() {
            unfinished.answer = None;
        }
    }
}

struct Ids {
    server: Id,
    request: Id,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a hash table of std takes for each entry when it has just grown.
    const fn in_hash_map<K, V>() -> usize {
        (size_of::<(K, V)>() + 1) * 16 / 7
    }

    #[test]
    fn an_accepted_invite_takes_512_octets_at_most_until_its_ack() {
        const TAG: usize = 32;
        let maps =
            in_hash_map::<TransactionKey, Server>() + 2 * in_hash_map::<Id, TransactionKey>();
        // A B-tree node is half full at worst.
        let trees = 2 * (size_of::<(Instant, TransactionKey)>() + size_of::<TransactionKey>());

        assert!(maps + trees + TAG <= 512, "{maps} + {trees} + {TAG}");
    }
}
