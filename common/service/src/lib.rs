//! What every server of ours needs around its own work: clock, configuration, TLS, QUIC, logs, metrics, stopping.
pub mod clock;
pub mod shutdown;
pub mod tls;
