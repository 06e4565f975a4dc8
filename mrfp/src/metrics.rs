//! What the relay counts, by the names operators know. No room and no user ever goes into a label; what a number
//! means is its help text.
use control::Transport;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};
use service::metrics::{Metrics as Registry, SECONDS};

use crate::wire;

/// Handles for the hot path: looked up once, here.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) rooms: IntGauge,
    pub(crate) seats: IntGauge,
    pub(crate) sessions: ByTransport<IntGauge>,
    pub(crate) connections: ByTransport<IntGauge>,
    pub(crate) sessions_opened: ByTransport<IntCounter>,
    pub(crate) sessions_closed: IntCounterVec,
    pub(crate) misrouted: IntCounter,
    pub(crate) connections_refused: IntCounterVec,
    pub(crate) rate_limited: IntCounterVec,
    pub(crate) traffic: ByTransport<Traffic<IntCounter>>,
    pub(crate) messages_in: IntCounter,
    pub(crate) repeated: IntCounter,
    pub(crate) relay_seconds: Histogram,
    pub(crate) writes: IntCounter,
    pub(crate) queued_octets: IntGauge,
    pub(crate) slow_consumers: IntGauge,
    pub(crate) fallen_behind: IntCounter,
    pub(crate) slow_disconnects: IntCounterVec,
    pub(crate) dropped_chunks: IntCounterVec,
    pub(crate) refusals: IntCounterVec,
    pub(crate) parse_errors: IntCounterVec,
    pub(crate) tls_failures: IntCounter,
    pub(crate) identity_failures: IntCounter,
    pub(crate) receiver_failures: IntCounterVec,
    pub(crate) silent_sessions: IntCounter,
    pub(crate) stray_answers: IntCounter,
    pub(crate) auth_requests: IntCounterVec,
    pub(crate) transit_refusals: IntCounterVec,
    pub(crate) transit_uris: IntGauge,
    pub(crate) control_up: IntGauge,
    pub(crate) notices_waiting: IntGauge,
    pub(crate) drain_state: IntGauge,
    pub(crate) drain_sessions: IntGauge,
}

impl Metrics {
    /// Makes every metric, so that each is there from the start.
    #[expect(
        clippy::too_many_lines,
        reason = "a list, with nothing to understand between its lines"
    )]
    pub(crate) fn new(registry: &Registry) -> Self {
        let r = registry;
        Self {
            rooms: r.gauge("mrfp_rooms", "Open rooms."),
            seats: r.gauge("mrfp_seats", "Seats, taken or waiting for their participant."),
            sessions: gauges(
                r,
                "mrfp_sessions",
                "Seats that are in use on a connection, by its transport.",
            ),
            connections: gauges(
                r,
                "mrfp_connections",
                "Open MSRP connections, by transport.",
            ),
            sessions_opened: {
                let name = "mrfp_sessions_opened_total";
                let counters = r.counters(name, "Seats taken into use.", &["transport"]);
                ByTransport::each(|label| counters.with_label_values(&[label]))
            },
            sessions_closed: r.counters(
                "mrfp_sessions_closed_total",
                "Sessions ended, by what ended them.",
                &["reason"],
            ),
            misrouted: r.counter(
                "mrfp_misrouted_sessions_total",
                "First requests for a session of another host or port: a load balancer sends them to the wrong relay.",
            ),
            connections_refused: r.counters(
                "mrfp_connections_refused_total",
                "Connections closed before they were served, by the bound they met.",
                &["bound"],
            ),
            rate_limited: r.counters(
                "mrfp_rate_limited_total",
                "Times that a connection was over a rate: not read for a while, or closed for bad requests.",
                &["bound"],
            ),
            traffic: traffic(r),
            messages_in: r.counter("mrfp_relayed_messages_total", "Complete messages relayed."),
            relay_seconds: r
                .histograms(
                    "mrfp_relay_duration_seconds",
                    "From a chunk's last octet to the end of its writes on one shard.",
                    &["path"],
                    SECONDS,
                )
                .with_label_values(&["client"]),
            repeated: r.counter(
                "mrfp_repeated_messages_total",
                "Messages that came again under their id: acknowledged, and given to nobody twice.",
            ),
            writes: r.counter("mrfp_writes_total", "Writes to sockets."),
            queued_octets: r.gauge("mrfp_write_queue_bytes", "Octets that wait in outboxes."),
            slow_consumers: r.gauge("mrfp_slow_consumers", "Connections that are behind."),
            fallen_behind: r.counter(
                "mrfp_fallen_behind_total",
                "Times that a seat went over to the log because it read too slowly or was on hold.",
            ),
            slow_disconnects: r.counters(
                "mrfp_slow_consumer_disconnects_total",
                "Connections closed because they read too slowly, by the bound they met.",
                &["reason"],
            ),
            dropped_chunks: r.counters(
                "mrfp_dropped_chunks_total",
                "Chunks a receiver did not get, by why.",
                &["reason"],
            ),
            refusals: r.counters(
                "mrfp_refusals_total",
                "Requests turned down, by why.",
                &["reason"],
            ),
            parse_errors: r.counters(
                "mrfp_parse_errors_total",
                "Messages that break the grammar: answered with 400, or fatal to their connection.",
                &["kind"],
            ),
            identity_failures: r.counter(
                "mrfp_identity_failures_total",
                "Connections closed because their certificate was not one that signalling named.",
            ),
            tls_failures: r.counter("mrfp_tls_failures_total", "Connections that failed in TLS."),
            receiver_failures: r.counters(
                "mrfp_receiver_failures_total",
                "Responses of receivers other than success, by status class.",
                &["class"],
            ),
            silent_sessions: r.counter(
                "mrfp_silent_sessions_total",
                "Sessions ended because their receiver did not answer a chunk in time.",
            ),
            stray_answers: r
                .counter("mrfp_stray_answers_total", "Responses to no chunk that waits for one."),
            auth_requests: r.counters(
                "mrfp_auth_requests_total",
                "AUTH requests for this relay, by what became of them.",
                &["result"],
            ),
            transit_refusals: r.counters(
                "mrfp_transit_refusals_total",
                "Requests that may not pass through, by why.",
                &["reason"],
            ),
            transit_uris: r.gauge("mrfp_transit_uris", "URIs handed out for AUTH and alive."),
            control_up: r.gauge("mrfp_control_up", "Whether the link to the focus stands."),
            notices_waiting: r
                .gauge("mrfp_control_notices", "Notices that are not yet safe with the focus."),
            drain_state: r.gauge("mrfp_drain_state", "1 while the relay drains."),
            drain_sessions: r
                .gauge("mrfp_drain_sessions_remaining", "Sessions that a drain still waits for."),
        }
    }
}

/// One for each transport.
#[derive(Debug, Default)]
pub(crate) struct ByTransport<T> {
    tls: T,
    websocket: T,
    tcp: T,
}

impl<T> ByTransport<T> {
    /// Made from the label of each.
    fn each(of: impl Fn(&'static str) -> T) -> Self {
        Self {
            tls: of(wire::label(Transport::Tls)),
            websocket: of(wire::label(Transport::WebSocket)),
            tcp: of(wire::label(Transport::Tcp)),
        }
    }

    /// The one of a transport.
    pub(crate) fn of(&self, transport: Transport) -> &T {
        match transport {
            Transport::Tls => &self.tls,
            Transport::WebSocket => &self.websocket,
            Transport::Tcp => &self.tcp,
        }
    }

    /// All of them, each beside the same transport's of another.
    pub(crate) fn beside<'a, U>(&'a self, other: &'a ByTransport<U>) -> [(&'a T, &'a U); 3] {
        let Self { tls, websocket, tcp } = self;
        [(tls, &other.tls), (websocket, &other.websocket), (tcp, &other.tcp)]
    }
}

impl ByTransport<IntGauge> {
    /// All together.
    pub(crate) fn sum(&self) -> i64 {
        self.tls.get() + self.websocket.get() + self.tcp.get()
    }
}

/// What comes and goes on connections.
#[derive(Debug, Default)]
pub(crate) struct Traffic<T> {
    pub(crate) chunks_in: T,
    pub(crate) chunks_out: T,
    pub(crate) octets_in: T,
    pub(crate) octets_out: T,
}

fn gauges(registry: &Registry, name: &str, help: &str) -> ByTransport<IntGauge> {
    let gauges = registry.gauges(name, help, &["transport"]);
    ByTransport::each(|label| gauges.with_label_values(&[label]))
}

fn traffic(registry: &Registry) -> ByTransport<Traffic<IntCounter>> {
    let labels = ["direction", "transport"];
    let chunks = registry.counters(
        "mrfp_relayed_chunks_total",
        "MSRP chunks, received from senders or queued for receivers.",
        &labels,
    );
    let octets = registry.counters(
        "mrfp_relayed_bytes_total",
        "Octets of MSRP, received from connections or written to them, before TLS.",
        &labels,
    );
    ByTransport::each(|label| Traffic {
        chunks_in: chunks.with_label_values(&["in", label]),
        chunks_out: chunks.with_label_values(&["out", label]),
        octets_in: octets.with_label_values(&["in", label]),
        octets_out: octets.with_label_values(&["out", label]),
    })
}
