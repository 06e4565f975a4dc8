//! Ed25519 keys: a device's and the focus's. Private octets are zeroized and never printed.
use std::fmt;

use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use ed25519_dalek::{Signer as _, SigningKey};
use openmls::prelude::SignatureScheme;
use openmls_traits::signatures::{Signer, SignerError};
use zeroize::Zeroizing;

/// These octets are no Ed25519 key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an Ed25519 private key in PKCS#8")]
pub struct BadKey;

/// The signature key of a device. It signs the device's requests, KeyPackages, commits and messages.
#[derive(Clone)]
pub struct DeviceKey(pub(super) SigningKey);

/// The key the focus signs its Remove proposals with. Members know it from the group's external senders.
#[derive(Clone)]
pub struct FocusKey(SigningKey);

impl DeviceKey {
    /// A new key.
    pub fn generate(rng: &mut impl rand::CryptoRng) -> Self {
        Self(generate(rng))
    }

    /// Reads a key that was stored.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, BadKey> {
        SigningKey::from_pkcs8_der(der).map(Self).map_err(|_| BadKey)
    }

    /// The key to be stored.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, BadKey> {
        to_pkcs8(&self.0)
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }
}

impl FocusKey {
    pub(super) const fn new(key: SigningKey) -> Self {
        Self(key)
    }

    /// A new key that belongs to no issuer, for tests and one-off groups.
    pub fn generate(rng: &mut impl rand::CryptoRng) -> Self {
        Self(generate(rng))
    }

    /// The public half.
    pub fn public(&self) -> [u8; 32] {
        self.0.verifying_key().to_bytes()
    }
}

pub(super) fn generate(rng: &mut impl rand::CryptoRng) -> SigningKey {
    let mut seed = Zeroizing::new([0_u8; 32]);
    rng.fill_bytes(seed.as_mut_slice());
    SigningKey::from_bytes(&seed)
}

pub(super) fn to_pkcs8(key: &SigningKey) -> Result<Zeroizing<Vec<u8>>, BadKey> {
    let document = key.to_pkcs8_der().map_err(|_| BadKey)?;
    Ok(Zeroizing::new(document.as_bytes().to_vec()))
}

macro_rules! signs {
    ($name:ident) => {
        impl Signer for $name {
            fn sign(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError> {
                Ok(self.0.sign(payload).to_bytes().to_vec())
            }

            fn signature_scheme(&self) -> SignatureScheme {
                SignatureScheme::ED25519
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

signs!(DeviceKey);
signs!(FocusKey);
