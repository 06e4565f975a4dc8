//! A device's two names as an X.509 SubjectAltName, and the small parts of X.509 that requests and certificates share.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ids::{Aor, DeviceId};
use x509_cert::der::asn1::GeneralizedTime;
use x509_cert::der::asn1::{Ia5String, ObjectIdentifier, UtcTime};
use x509_cert::der::oid::AssociatedOid as _;
use x509_cert::der::{self, Decode as _};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::{AsExtension as _, Extension};
use x509_cert::name::Name;
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};
use x509_cert::time::Time;

use crate::wire::DeviceName;

/// RFC 8410, 3: the algorithm of Ed25519 keys and signatures, without parameters.
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

pub(super) fn ed25519() -> AlgorithmIdentifierOwned {
    AlgorithmIdentifierOwned { oid: ED25519, parameters: None }
}

/// The key in a SubjectPublicKeyInfo, if it is an Ed25519 key.
pub(super) fn key_of(info: &SubjectPublicKeyInfoOwned) -> Option<[u8; 32]> {
    if info.algorithm.oid != ED25519 || info.algorithm.parameters.is_some() {
        return None;
    }
    info.subject_public_key.as_bytes()?.try_into().ok()
}

/// The extension naming a device. Critical, because the subject is empty (RFC 5280, 4.2.1.6).
pub(super) fn extension(name: &DeviceName) -> der::Result<Extension> {
    let uri = |text: &str| Ia5String::new(text).map(GeneralName::UniformResourceIdentifier);
    let names = SubjectAltName(vec![uri(name.aor.as_str())?, uri(name.device.as_str())?]);
    names.to_extension(&Name::default(), &[])
}

/// The device a SubjectAltName names: exactly the two URIs, each in its one spelling.
pub(super) fn device(extensions: &[Extension]) -> Option<DeviceName> {
    let mut names = extensions.iter().filter(|e| e.extn_id == SubjectAltName::OID);
    let (extension, None) = (names.next()?, names.next()) else {
        return None;
    };
    let names = SubjectAltName::from_der(extension.extn_value.as_bytes()).ok()?;
    let [
        GeneralName::UniformResourceIdentifier(aor),
        GeneralName::UniformResourceIdentifier(device),
    ] = names.0.as_slice()
    else {
        return None;
    };
    let name =
        DeviceName { aor: aor.as_str().parse().ok()?, device: device.as_str().parse().ok()? };
    let canonical = name.aor.as_str() == aor.as_str() && name.device.as_str() == device.as_str();
    canonical.then_some(name)
}

/// The device that a SubjectAltName of another authority names: one SIP address and one `+sip.instance` URN, each in its one
/// spelling, wherever they stand. Other names are not looked at.
pub(super) fn device_among(extensions: &[Extension]) -> Option<DeviceName> {
    let mut names = extensions.iter().filter(|e| e.extn_id == SubjectAltName::OID);
    let (extension, None) = (names.next()?, names.next()) else {
        return None;
    };
    let names = SubjectAltName::from_der(extension.extn_value.as_bytes()).ok()?;
    let uris = || {
        names.0.iter().filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
            _ => None,
        })
    };
    let mut people = uris().filter_map(|uri| Some((uri, uri.parse::<Aor>().ok()?)));
    let mut devices = uris().filter_map(|uri| Some((uri, uri.parse::<DeviceId>().ok()?)));
    let (person, device) = (people.next()?, devices.next()?);
    let alone = people.next().is_none() && devices.next().is_none();
    let canonical = person.1.as_str() == person.0 && device.1.as_str() == device.0;
    (alone && canonical).then_some(DeviceName { aor: person.1, device: device.1 })
}

/// A time as RFC 5280, 4.1.2.5 wants it: UTCTime through 2049.
pub(super) fn time(at: SystemTime) -> der::Result<Time> {
    let since = at.duration_since(UNIX_EPOCH).map_err(|_| der::ErrorKind::DateTime)?;
    let seconds = Duration::from_secs(since.as_secs());
    match UtcTime::from_unix_duration(seconds) {
        Ok(time) => Ok(Time::UtcTime(time)),
        Err(_) => GeneralizedTime::from_unix_duration(seconds).map(Time::GeneralTime),
    }
}

pub(super) fn system_time(time: Time) -> SystemTime {
    UNIX_EPOCH + time.to_unix_duration()
}
