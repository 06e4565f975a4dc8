//! What the MRFC measures (names and units: `docs`, and `/metrics` itself). No room and no user is ever a label, and
//! nothing a peer wrote becomes one.
use std::time::Duration;

use prometheus::{HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use service::metrics::{Metrics as Registry, SECONDS};
use sip::{Method, Status};

use crate::desk::Figures;

/// The figures of the SIP front and the HTTPS API. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: IntCounterVec,
    responses: IntCounterVec,
    request_duration: HistogramVec,
    logins: IntCounterVec,
    malformed: IntCounterVec,
    /// Open SIP connections.
    pub(crate) connections: IntGauge,
    refused_connections: IntCounterVec,
    /// Dialogs.
    pub(crate) dialogs: IntGauge,
    /// Bindings in the registrar.
    pub(crate) registrations: IntGauge,
    /// People whose bindings have no connection.
    pub(crate) registrations_parked: IntGauge,
    /// Attempts to register that were not noted.
    pub(crate) attempts_lost: IntCounter,
    rooms: IntGauge,
    members: IntGaugeVec,
    commits: IntCounterVec,
    groups: IntCounterVec,
    relays: IntGaugeVec,
    joins: HistogramVec,
    dial_outs: IntCounterVec,
    messages: IntCounterVec,
    mailbox: IntCounterVec,
    /// People for whom something was kept since the start, or before it.
    pub(crate) mailboxes: IntGauge,
    /// Messages whose sender's clock was wrong.
    pub(crate) mailbox_skewed: IntCounter,
    /// Requests turned away because too many were in work.
    pub(crate) overloaded: IntCounter,
    /// Sessions ended because nobody refreshed them.
    pub(crate) sessions_expired: IntCounter,
    /// The HTTPS API.
    pub(crate) http: Http,
}

/// The figures of the HTTPS API.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    requests: IntCounterVec,
    duration: HistogramVec,
    /// Open HTTPS connections.
    pub(crate) connections: IntGauge,
    key_packages: IntCounterVec,
    /// Device certificates issued.
    pub(crate) certificates: IntCounter,
}

impl Metrics {
    /// Makes every figure in this registry; once in a process.
    #[expect(
        clippy::too_many_lines,
        reason = "a list, with nothing to understand between its lines"
    )]
    pub(crate) fn new(registry: &Registry) -> Self {
        Self {
            requests: registry.counters(
                "mrfc_sip_requests_total",
                "SIP requests received.",
                &["method"],
            ),
            responses: registry.counters(
                "mrfc_sip_responses_total",
                "Final SIP responses sent.",
                &["method", "code"],
            ),
            request_duration: registry.histograms(
                "mrfc_sip_request_duration_seconds",
                "From a SIP request to its final response.",
                &["method"],
                SECONDS,
            ),
            logins: registry.counters(
                "mrfc_logins_total",
                "Requests by what became of their proof of identity.",
                &["protocol", "result"],
            ),
            malformed: registry.counters(
                "mrfc_sip_malformed_total",
                "Messages that were none, by the status they deserved.",
                &["code"],
            ),
            connections: registry.gauge("mrfc_sip_connections", "Open SIP connections."),
            refused_connections: registry.counters(
                "mrfc_sip_connections_refused_total",
                "Connections that got no place, or no TLS.",
                &["reason"],
            ),
            dialogs: registry.gauge("mrfc_dialogs", "Dialogs between the focus and devices."),
            registrations: registry.gauge("mrfc_registrations", "Registered contacts."),
            registrations_parked: registry.gauge(
                "mrfc_registrations_parked",
                "People with a registration whose connection is gone.",
            ),
            attempts_lost: registry.counter(
                "mrfc_registration_attempts_lost_total",
                "Attempts to register that the audit had no time for.",
            ),
            rooms: registry.gauge("mrfc_rooms", "Conferences there are."),
            members: registry.gauges(
                "mrfc_members",
                "Devices: participants are on a roster, members have a leaf in a group.",
                &["state"],
            ),
            commits: registry.counters(
                "mrfc_mls_commits_total",
                "Changes of groups by what became of them; limited: a device has entered too often.",
                &["result"],
            ),
            groups: registry.counters(
                "mrfc_mls_groups_total",
                "Groups that began, each an era of its conference, and those given up: nobody could follow them, or the database was an old copy (outdated).",
                &["event"],
            ),
            relays: registry.gauges(
                "mrfc_relays",
                "Relays that are configured, and those that can be reached.",
                &["state"],
            ),
            joins: registry.histograms(
                "mrfc_join_duration_seconds",
                "From an INVITE to its seat at the relay.",
                &["outcome"],
                SECONDS,
            ),
            dial_outs: registry.counters(
                "mrfc_dial_outs_total",
                "Devices called by the focus.",
                &["result"],
            ),
            messages: registry.counters(
                "mrfc_messages_total",
                "Immediate messages by the answer their sender got.",
                &["code"],
            ),
            mailbox: registry.counters(
                "mrfc_mailbox_messages_total",
                "Messages for the mailbox, and out of it, by what became of them.",
                &["result"],
            ),
            mailboxes: registry.gauge("mrfc_mailboxes", "People for whom messages were kept."),
            mailbox_skewed: registry.counter(
                "mrfc_mailbox_clock_skew_total",
                "Messages for the mailbox whose sender's clock was wrong.",
            ),
            overloaded: registry.counter(
                "mrfc_rate_limited_total",
                "Requests answered 503 because a table was full.",
            ),
            sessions_expired: registry.counter(
                "mrfc_sessions_expired_total",
                "Sessions ended because nobody refreshed them (RFC 4028).",
            ),
            http: Http::new(registry),
        }
    }

    pub(crate) fn request(&self, method: &Method) {
        self.requests.with_label_values(&[label(method)]).inc();
    }

    pub(crate) fn response(&self, method: &Method, status: Status, took: Duration) {
        let code = status.code().to_string();
        self.responses.with_label_values(&[label(method), &code]).inc();
        self.request_duration.with_label_values(&[label(method)]).observe(took.as_secs_f64());
    }

    pub(crate) fn login(&self, protocol: &str, result: &str) {
        self.logins.with_label_values(&[protocol, result]).inc();
    }

    pub(crate) fn malformed(&self, status: Status) {
        self.malformed.with_label_values(&[&status.code().to_string()]).inc();
    }

    pub(crate) fn refused_connection(&self, reason: &str) {
        self.refused_connections.with_label_values(&[reason]).inc();
    }

    pub(crate) fn join(&self, outcome: &str, took: Duration) {
        self.joins.with_label_values(&[outcome]).observe(took.as_secs_f64());
    }

    pub(crate) fn rooms(&self, rooms: usize, figures: Figures, (relays, reached): (usize, usize)) {
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.rooms.set(gauge(rooms));
        self.members.with_label_values(&["participant"]).set(gauge(figures.participants));
        self.members.with_label_values(&["member"]).set(gauge(figures.members));
        for (result, count) in [
            ("accepted", figures.commits_accepted),
            ("conflict", figures.commits_conflicting),
            ("refused", figures.commits_refused),
            ("limited", figures.entries_limited),
        ] {
            let counter = self.commits.with_label_values(&[result]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        let groups = [
            ("begun", figures.groups_begun),
            ("given_up", figures.groups_given_up),
            ("outdated", figures.groups_outdated),
        ];
        for (event, count) in groups {
            let counter = self.groups.with_label_values(&[event]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
        self.relays.with_label_values(&["configured"]).set(gauge(relays));
        self.relays.with_label_values(&["reached"]).set(gauge(reached));
    }

    pub(crate) fn dial_out(&self, result: &str) {
        self.dial_outs.with_label_values(&[result]).inc();
    }

    pub(crate) fn mailbox(&self, result: &str) {
        self.mailbox.with_label_values(&[result]).inc();
    }

    pub(crate) fn message(&self, answer: Status) {
        self.messages.with_label_values(&[answer.to_string().as_str()]).inc();
    }
}

impl Http {
    fn new(registry: &Registry) -> Self {
        Self {
            requests: registry.counters(
                "mrfc_http_requests_total",
                "HTTPS requests answered.",
                &["route", "method", "code"],
            ),
            duration: registry.histograms(
                "mrfc_http_request_duration_seconds",
                "From an HTTPS request to its answer.",
                &["route"],
                SECONDS,
            ),
            connections: registry.gauge("mrfc_http_connections", "Open HTTPS connections."),
            key_packages: registry.counters(
                "mrfc_mls_key_packages_total",
                "KeyPackages by what became of them at the HTTPS directory.",
                &["result"],
            ),
            certificates: registry
                .counter("mrfc_device_certificates_total", "Device certificates issued."),
        }
    }

    pub(crate) fn answered(&self, route: &str, method: &str, code: u16, took: Duration) {
        self.requests.with_label_values(&[route, method, &code.to_string()]).inc();
        self.duration.with_label_values(&[route]).observe(took.as_secs_f64());
    }

    pub(crate) fn key_packages(&self, result: &str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.key_packages.with_label_values(&[result]).inc_by(count);
    }
}

/// A method nobody knows could be any text, so all of them share one label.
fn label(method: &Method) -> &str {
    match method {
        Method::Other(_) => "other",
        known => known.as_str(),
    }
}
