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
    certifies(roots.check(&certificate(credential)?, now)?, signature_key)
}

/// The same for a leaf that the focus let in before: its certificate may have ended meanwhile.
pub(crate) fn past_leaf_identity(
    roots: &Roots,
    credential: &Credential,
    signature_key: &[u8],
    now: SystemTime,
) -> Result<DeviceIdentity, BadCredential> {
    certifies(roots.check_past(&certificate(credential)?, now)?, signature_key)
}

fn certifies(identity: DeviceIdentity, key: &[u8]) -> Result<DeviceIdentity, BadCredential> {
    if identity.key == key { Ok(identity) } else { Err(BadCredential::WrongKey) }
}

/// The device of a leaf that was checked when it came in. Its certificate may have ended since.
pub(crate) fn leaf_name(credential: &Credential) -> Result<DeviceName, BadCredential> {
    leaf_name_and_end(credential).map(|(name, _)| name)
}

/// The same, and when its certificate ends.
pub(crate) fn leaf_name_and_end(
    credential: &Credential,
) -> Result<(DeviceName, SystemTime), BadCredential> {
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
