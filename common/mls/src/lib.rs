//! Group keys: the only crate that names openmls.
//!
//! [`identity`] says who a leaf is, [`wire`] what devices and the focus tell each other about the group.
pub mod files;
pub mod identity;
pub mod key_packages;
pub mod ledger;
pub mod member;
pub mod wire;

mod change;
mod codec;
mod group;
mod roster;
mod welcome;

pub use change::Fault;

#[cfg(test)]
mod tests;
