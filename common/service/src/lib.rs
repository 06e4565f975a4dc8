//! What every server of ours needs around its own work: clock, configuration, TLS, QUIC, logs, metrics, stopping.
//!
//! It knows nothing of conferences. A server's `run` puts the pieces together in this order:
//!
//! 1. [`telemetry::init`], [`tls::install_provider`], [`secret::keep_out_of_core_files`] in `main`;
//! 2. [`config::load`] into a struct with `serde(deny_unknown_fields)`;
//! 3. a [`Shutdown`](shutdown::Shutdown), told by signals and, for a child, by the end of stdin;
//! 4. listeners, with [`tls::server_config`] or [`quic::listen`];
//! 5. [`ops::serve`] with [`metrics::Metrics`] and an [`ops::Health`];
//! 6. [`ready::announce`], then [`Health::ready`](ops::Health::ready), then work until the shutdown.
//!
//! ```
//! use service::{metrics::Metrics, ops::{self, Health}, shutdown::Shutdown};
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let (shutdown, health) = (Shutdown::new(), Health::new());
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let ops = tokio::spawn(ops::serve(listener, Metrics::new(), health.clone(), shutdown.clone()));
//!
//! health.ready();
//! // … the server's own work …
//! shutdown.trigger();
//! ops.await?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
pub mod clock;
pub mod command;
pub mod config;
pub mod metrics;
pub mod ops;
pub mod quic;
pub mod ready;
pub mod secret;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod waiting;
pub mod websocket;
