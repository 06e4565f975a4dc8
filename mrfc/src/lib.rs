//! The conference focus.
pub mod config;
mod front;
pub mod registrar;
pub mod users;
