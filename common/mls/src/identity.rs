//! Who a leaf is: device keys, the certificates that bind them to a person and a device, and the check of both.
//!
//! A device makes a key and a request, the [`Issuer`] answers with one X.509 certificate of at most
//! [`CERTIFICATE_OCTETS_MAX`] octets, and everybody else checks it against [`Roots`]. Algorithms: Ed25519 and
//! nothing else. There are no chains, no revocation lists and no names but the two in the SubjectAltName:
//! the SIP address of record and the `+sip.instance` URN.
mod credential;
mod issuer;
mod key;
mod names;
mod roots;

pub(crate) use credential::{
    credential, leaf_identity, leaf_name, leaf_name_and_end, past_leaf_identity,
};
pub use issuer::{BadRequest, Issuer, request, requested_device};
pub use key::{BadKey, DeviceKey, FocusKey};
pub use roots::{BadCredential, DeviceIdentity, Roots};

/// Largest certificate of a device. It is in every leaf of every tree.
pub const CERTIFICATE_OCTETS_MAX: usize = 600;
