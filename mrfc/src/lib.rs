//! The conference focus.
pub mod config;
mod front;
mod metrics;
pub mod registrar;
pub mod users;

pub mod conference;
pub mod desk;
mod perform;
pub mod relays;
