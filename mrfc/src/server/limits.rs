//! The bounds of the configuration as those they are for take them. Their defaults, and reasons, are with the configuration.
use std::time::Duration;

use edge::EdgeLimits;

use crate::conference::Bounds;
use crate::config::{Config, Limits};
use crate::desk::DeskLimits;

/// What the desks allow.
pub(super) fn desk_limits(config: &Config) -> DeskLimits {
    let (defaults, limits) = (DeskLimits::default(), &config.limits);
    DeskLimits {
        conferences_max: limits.conferences_max,
        conferences_per_person_max: limits.conferences_per_person_max,
        conference: Bounds {
            participants_max: limits.participants_max,
            message_octets_max: limits.message_bytes_max,
            entries_per_day_max: limits.entries_per_day_max,
            life: config.conferences.life(),
            acknowledge: config.conferences.acknowledge.into(),
            ..defaults.conference
        },
        circles: crate::circles::Bounds {
            log: Duration::from_secs(u64::from(limits.circle_log_days) * 24 * 3600),
            log_entries_max: limits.circle_log_entries_max,
            per_person_max: limits.circles_per_person_max,
        },
        remembered: Duration::from_secs(config.conferences.gone_secs),
        ..defaults
    }
}

/// What the sockets allow.
pub(super) fn edge_limits(limits: &Limits) -> EdgeLimits {
    let defaults = EdgeLimits::default();
    EdgeLimits {
        connections_max: limits.sip_connections_max,
        half_open_max: defaults.half_open_max.min(limits.sip_connections_max),
        handshake: Duration::from_secs(limits.sip_handshake_secs),
        idle: Duration::from_secs(limits.sip_idle_secs),
        queue_bytes_max: limits.sip_queue_bytes_max,
        message_limits: sip::Limits {
            head_bytes_max: limits.sip_head_bytes_max,
            body_bytes_max: limits.sip_body_bytes_max,
            ..defaults.message_limits
        },
        ..defaults
    }
}
