//! A certificate as an MLS credential (RFC 9420, 5.3), and back.
use std::time::SystemTime;

use openmls::prelude::tls_codec::{Deserialize as _, Serialize as _, VLByteSlice, VLBytes};
use openmls::prelude::{Credential, CredentialType};

use super::roots::named;
use super::{BadCredential, DeviceIdentity, Roots};
use crate::wire::DeviceName;

/// The X.509 credential holding this one certificate.
pub(crate) fn credential(certificate: &[u8]) -> Credential {
    let content = VLByteSlice(certificate).tls_serialize_detached().unwrap_or_default();
    Credential::new(CredentialType::X509, content)
}

/// The device of a leaf: its certificate is ours, valid at `now`, and certifies the key the leaf signs with.
pub(crate) fn leaf_identity(
    roots: &Roots,
    credential: &Credential,
    signature_key: &[u8],
    now: SystemTime,
) -> Result<DeviceIdentity, BadCredential> {
    let identity = roots.check(&certificate(credential)?, now)?;
    if identity.key != signature_key {
        return Err(BadCredential::WrongKey);
    }
    Ok(identity)
}

/// The device of a leaf that was checked when it came in. Its certificate may have ended since.
pub(crate) fn leaf_name(credential: &Credential) -> Result<DeviceName, BadCredential> {
    named(&certificate(credential)?)
}

/// The one certificate of a credential.
fn certificate(credential: &Credential) -> Result<Vec<u8>, BadCredential> {
    if credential.credential_type() != CredentialType::X509 {
        return Err(BadCredential::Malformed);
    }
    let certificate = VLBytes::tls_deserialize_exact(credential.serialized_content())
        .map_err(|_| BadCredential::Malformed)?;
    Ok(certificate.into())
}
