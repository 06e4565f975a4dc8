//! Group keys: the only crate that names openmls.
//!
//! [`identity`] says who a leaf is, [`wire`] what devices and the focus tell each other about the group.
pub mod identity;
pub mod wire;

mod codec;
