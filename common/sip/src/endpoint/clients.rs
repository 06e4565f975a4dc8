//! The client side of an [`Endpoint`]: requests of the user out, responses in, ACK to failures and CANCEL.
use std::fmt;
use std::time::Instant;

use super::{Endpoint, Event, Failure, FlowId, Output, TransactionKey};
use crate::header::{CSeq, Headers, Name};
use crate::message::{Method, Request, Response};
use crate::transaction::id::{Branch, only_via};
use crate::transaction::{ClientAction, ClientInput, Row, client, invite_client};

/// A client transaction.
pub(super) struct Client {
    flow: FlowId,
    branch: Branch,
    method: Method,
    state: State,
    pub(super) timer: Option<Instant>,
    /// Of an INVITE without final answer: what ACK and CANCEL are made from, without the body.
    invite: Option<Box<Request>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Invite(invite_client::State),
    Other(client::State),
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} on {:?}", self.method, self.state, self.flow)
    }
}

impl State {
    fn step(self, input: ClientInput) -> Option<Row<Self, ClientInput, ClientAction>> {
        fn wrap<S, T>(
            row: Row<S, ClientInput, ClientAction>,
            wrap: fn(S) -> T,
        ) -> Row<T, ClientInput, ClientAction> {
            let Row { state, input, next, action, arm } = row;
            Row { state: wrap(state), input, next: wrap(next), action, arm }
        }
        match self {
            Self::Invite(state) => {
                invite_client::step(state, input).map(|row| wrap(row, Self::Invite))
            }
            Self::Other(state) => client::step(state, input).map(|row| wrap(row, Self::Other)),
        }
    }

    fn is_terminated(self) -> bool {
        matches!(
            self,
            Self::Invite(invite_client::State::Terminated) | Self::Other(client::State::Terminated)
        )
    }
}

impl Endpoint {
    /// Sends a request, with a Via of ours on top and Max-Forwards if it has none. The answer is an
    /// [`Event::Response`] or an [`Event::Failed`] with the key given here. An ACK is for [`Endpoint::acknowledge`].
    pub fn request(&mut self, now: Instant, flow: FlowId, mut request: Request) -> TransactionKey {
        let key = self.next_key();
        let Some(open) = self.flows.get(&flow) else {
            self.tell(Event::Failed { key, why: Failure::FlowClosed });
            return key;
        };
        if self.is_full(open) {
            self.tell(Event::Failed { key, why: Failure::Busy });
            return key;
        }
        let branch = self.route(flow, &mut request);
        self.outputs.push_back(Output::Send { flow, bytes: request.to_bytes() });
        let is_invite = request.method == Method::Invite;
        let (state, timer) = match is_invite {
            true => (State::Invite(invite_client::START.0), invite_client::START.1),
            false => (State::Other(client::START.0), client::START.1),
        };
        let method = request.method.clone();
        let invite = is_invite.then(|| {
            request.body.clear();
            Box::new(request)
        });
        let timer = self.arm(now, key, None, Some(timer));
        self.branches.insert(branch, key);
        self.clients.insert(key, Client { flow, branch, method, state, timer, invite });
        if let Some(open) = self.flows.get_mut(&flow) {
            open.transactions.insert(key);
        }
        key
    }

    /// Sends the ACK to a 2xx, which is no transaction (13.2.2.4), with a Via of ours on top. On a closed flow it is
    /// dropped: the dialog will end for want of it.
    pub fn acknowledge(&mut self, flow: FlowId, mut ack: Request) {
        if self.is_open(flow) {
            self.route(flow, &mut ack);
            self.outputs.push_back(Output::Send { flow, bytes: ack.to_bytes() });
        }
    }

    /// Gives an INVITE up: CANCEL leaves as soon as it may (9.1). A final response still comes, perhaps a 2xx that was
    /// faster, which the user must acknowledge and end with BYE.
    pub fn cancel(&mut self, now: Instant, key: TransactionKey) {
        self.client_input(now, key, ClientInput::Cancel, None);
    }

    /// Puts our Via and Max-Forwards on a request for an open flow.
    fn route(&mut self, flow: FlowId, request: &mut Request) -> Branch {
        let branch = Branch::random(&mut self.rng);
        if let Some(open) = self.flows.get(&flow) {
            request.headers.push_front(Name::Via, open.addresses.via(branch).to_string());
        }
        if !request.headers.has(&Name::MaxForwards) {
            request.headers.push(Name::MaxForwards, "70");
        }
        branch
    }

    /// A response that does not match a transaction of ours, on its flow, is dropped (17.1.3, 18.1.2; RFC 6026, 7.2).
    pub(super) fn receive_response(&mut self, now: Instant, flow: FlowId, response: Response) {
        let Some(via) = only_via(&response.headers) else { return };
        let Some(key) = Branch::of(&via).and_then(|branch| self.branches.get(&branch)) else {
            return;
        };
        let (key, Some(client), Some(open)) = (*key, self.clients.get(key), self.flows.get(&flow))
        else {
            return;
        };
        let for_it = response.headers.cseq().is_ok_and(|cseq| cseq.method == client.method);
        if client.flow != flow || !for_it || !open.addresses.sent(&via) {
            return;
        }
        let input = match response.status {
            status if status.is_provisional() => ClientInput::Provisional,
            status if status.is_success() => ClientInput::Success,
            _ => ClientInput::Failure,
        };
        self.client_input(now, key, input, Some(response));
    }

    pub(super) fn client_input(
        &mut self,
        now: Instant,
        key: TransactionKey,
        input: ClientInput,
        response: Option<Response>,
    ) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        let Some(row) = client.state.step(input) else { return };
        client.state = row.next;
        let (flow, timer) = (client.flow, client.timer);
        let sent = match (row.action, &client.invite, &response) {
            (ClientAction::AckAndDeliver, Some(invite), Some(response)) => {
                Some(ack_to_failure(invite, response))
            }
            (ClientAction::SendCancel | ClientAction::CancelAndDeliver, Some(invite), _) => {
                Some(cancel(invite))
            }
            _ => None,
        };
        if row.next == State::Invite(invite_client::State::Accepted) {
            client.invite = None;
        }
        let armed = self.arm(now, key, timer, row.arm);
        if let Some(client) = self.clients.get_mut(&key) {
            client.timer = armed;
        }
        if let Some(request) = sent {
            self.outputs.push_back(Output::Send { flow, bytes: request.to_bytes() });
        }
        match row.action {
            ClientAction::Nothing | ClientAction::SendCancel => {}
            ClientAction::Deliver
            | ClientAction::AckAndDeliver
            | ClientAction::CancelAndDeliver => {
                if let Some(response) = response {
                    self.tell(Event::Response { key, response });
                }
            }
            ClientAction::Fail if input == ClientInput::FlowClosed => {
                self.tell(Event::Failed { key, why: Failure::FlowClosed });
            }
            ClientAction::Fail => self.tell(Event::Failed { key, why: Failure::Timeout }),
        }
        if row.next.is_terminated() {
            self.forget_client(key);
        }
    }

    fn forget_client(&mut self, key: TransactionKey) {
        if let Some(client) = self.clients.remove(&key) {
            self.disarm(key, client.timer);
            self.branches.remove(&client.branch);
            self.forget_on_flow(client.flow, key);
        }
    }
}

/// 17.1.1.3: of the INVITE, but To with the tag of the answer.
fn ack_to_failure(invite: &Request, response: &Response) -> Request {
    let mut ack = same_way(invite, Method::Ack);
    ack.headers.copy(&Name::To, &response.headers);
    ack
}

/// 9.1: of the INVITE, To too.
fn cancel(invite: &Request) -> Request {
    let mut cancel = same_way(invite, Method::Cancel);
    cancel.headers.copy(&Name::To, &invite.headers);
    cancel
}

fn same_way(invite: &Request, method: Method) -> Request {
    let mut headers = Headers::new();
    let via = invite.headers.raw(&Name::Via).next().cloned().unwrap_or_default();
    headers.push(Name::Via, via);
    for name in [Name::MaxForwards, Name::Route, Name::From, Name::CallId] {
        headers.copy(&name, &invite.headers);
    }
    let number = invite.headers.cseq().map_or(1, |cseq| cseq.number);
    headers.push(Name::CSeq, CSeq { number, method: method.clone() }.to_string());
    Request { headers, ..Request::new(method, invite.uri.clone()) }
}
