//! Who a leaf is: device keys, the certificates that bind them to a person and a device, and the check of both.
//!
//! A device makes a key and a request, the [`Issuer`] answers with one X.509 certificate of at most
//! [`CERTIFICATE_OCTETS_MAX`] octets, and everybody else checks it against [`Roots`]. Devices sign with Ed25519 and
//! nothing else. There are no chains, no revocation lists and no names but the two in the SubjectAltName:
//! the SIP address of record and the `+sip.instance` URN. An operator may have other authorities believed beside the issuer
//! ([`Roots::trust`]); who is believed is one question, who may be in a group another.
mod authority;
mod credential;
mod issuer;
mod key;
mod names;
mod roots;
mod voucher;

pub use crate::number::device_code;
pub(crate) use credential::{
    credential, leaf_identity, leaf_name, leaf_name_and_end, past_leaf_identity,
};
pub use issuer::{BadRequest, Issuer, request, requested_device, requested_key};
pub use key::{BadKey, DeviceKey, FocusKey};
pub use roots::{BadCredential, DeviceIdentity, Issued, Roots};
pub use voucher::{BadVoucher, VOUCHER_LIFE, Voucher};

/// Largest certificate of a device that the issuer makes. It is in every leaf of every tree.
pub const CERTIFICATE_OCTETS_MAX: usize = 600;
/// Largest that is taken of another authority, which says more in its own. Still in every leaf.
pub const EXTERNAL_CERTIFICATE_OCTETS_MAX: usize = 1200;
