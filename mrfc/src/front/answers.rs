//! Requests that still want their final answer, and how each gets it: once, counted, and told to its dialog.
use std::sync::Arc;
use std::time::Instant;

use service::clock;
use sip::dialog::DialogId;
use sip::endpoint::{FlowId, TransactionKey};
use sip::header::Name;
use sip::{Request, Response, Status};

use super::Front;

/// A request without a final answer.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) request: Arc<Request>,
    pub(crate) flow: FlowId,
    since: Instant,
}

impl Front {
    /// A request came: from now on it wants an answer.
    pub(super) fn opened(&mut self, key: TransactionKey, flow: FlowId, request: Request) -> Open {
        self.metrics.request(&request.method);
        let open = Open { request: Arc::new(request), flow, since: clock::now() };
        self.open.insert(key, open.clone());
        if let Some(flow) = self.flows.get_mut(&flow) {
            flow.open += 1;
        }
        open
    }

    /// Nobody wants an answer any more.
    pub(super) fn forget(&mut self, key: TransactionKey) -> Option<Open> {
        let open = self.open.remove(&key)?;
        if let Some(flow) = self.flows.get_mut(&open.flow) {
            flow.open = flow.open.saturating_sub(1);
        }
        Some(open)
    }

    /// Whether this connection has as many requests in work as one may have.
    pub(super) fn is_busy(&self, flow: FlowId) -> bool {
        self.flows
            .get(&flow)
            .is_none_or(|known| !known.core && known.open > self.limits().calls_per_connection_max)
    }

    /// The request behind a key, while it is open.
    pub(super) fn request(&self, key: TransactionKey) -> Option<Arc<Request>> {
        self.open.get(&key).map(|open| open.request.clone())
    }

    /// Answers with a status alone.
    pub(super) fn answer(&mut self, key: TransactionKey, status: Status) {
        if let Some(request) = self.request(key) {
            self.respond(key, Response::to(&request, status));
        }
    }

    /// Answers. A final answer closes the request; a second one is dropped.
    pub(super) fn respond(&mut self, key: TransactionKey, response: Response) {
        if response.status.is_provisional() {
            self.endpoint.respond(clock::now(), key, response);
            return;
        }
        let Some(open) = self.forget(key) else { return };
        let (now, request) = (clock::now(), &open.request);
        self.metrics.response(&request.method, response.status, now - open.since);
        if response.status == Status::SERVICE_UNAVAILABLE {
            self.metrics.overloaded.inc();
        }
        tracing::debug!(method = %request.method, status = %response.status, "answered");
        if let Some(id) = DialogId::of_request(request)
            && let Some(dialog) = self.dialogs.dialog(&id)
        {
            dialog.responded(request, &response);
        }
        self.pairs.responded(request, &response);
        let response = response.with(Name::Server, "conclave");
        self.repeats.answered(now, key, request, &response);
        self.endpoint.respond(now, key, response);
    }
}

/// 503, with when to come again.
pub(super) fn overloaded(request: &Request) -> Response {
    Response::to(request, Status::SERVICE_UNAVAILABLE).with(Name::RetryAfter, 5)
}
