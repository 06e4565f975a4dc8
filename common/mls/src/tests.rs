//! Tests that need several parts of the crate: devices with certificates, a ledger, and members around it.
mod attacks;
mod circle;
mod creation;
mod files;
mod identity;
mod intruders;
mod keeping;
mod key_packages;
mod ledger;
mod member;
mod prefix;
mod renewal;
mod saboteur;
mod scenario;
mod support;
mod wire;
