//! Certificates and KeyPackages of devices. What they must be is checked by `mls`; here it is settled whose they are.
use std::collections::BTreeSet;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use ids::Aor;
use mls::identity::{BadRequest, requested_device, requested_key};
use mls::key_packages::{BadKeyPackage, CheckedKeyPackage, named_device};
use mls::wire::{
    ClaimedKeyPackage, DeviceName, Filling, KEY_PACKAGES, KeyPackageUpload, claims_to_bytes,
};
use service::clock;
use sha2::{Digest, Sha256};
use store::{Certificate, NewKeyPackage};

use super::Api;
use super::admission::admit;
use super::login::{Person, PersonHere};
use super::problem::Problem;

/// The whole body, or why there is none.
pub(super) type Body = Result<Bytes, BytesRejection>;

/// `POST /v1/certificates`: a certificate for one of the person's devices.
pub(super) async fn issue(
    State(api): State<Api>,
    PersonHere(person): PersonHere,
    body: Body,
) -> Result<impl IntoResponse, Problem> {
    let request = whole(body)?;
    let device = requested_device(&request).map_err(bad_request)?;
    if device.aor != person {
        return Err(bad_request(BadRequest::SomebodyElse));
    }
    if api.users.is_revoked(&device.aor, &device.device) {
        return Err(taken_back());
    }
    let key = requested_key(&request).map_err(bad_request)?;
    admit(&api, &device, key).await?;
    let now = clock::wall();
    let lifetime = Duration::from_secs(u64::from(api.certificate_days) * 24 * 3600);
    let certificate = api.issuer.issue(&request, &device, now, lifetime).map_err(bad_request)?;
    let serial = hex::encode(Sha256::digest(&certificate));
    let DeviceName { aor, device } = device;
    let noted = Certificate { serial, aor, device, issued: now, expires: now + lifetime };
    api.store.note_certificate(noted).await.map_err(Problem::unavailable)?;
    api.metrics.http.certificates.inc();
    let kind = [(header::CONTENT_TYPE, "application/pkix-cert")];
    Ok((StatusCode::CREATED, kind, certificate))
}

/// `GET /v1/ca`: the authority devices are checked against. It is public, and also known out of band.
pub(super) async fn authority(State(api): State<Api>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/pkix-cert")], api.issuer.certificate().to_vec())
}

/// `PUT /v1/key-packages`: KeyPackages of one of the person's devices, beside what it has left or in its place; all
/// are taken, or none.
pub(super) async fn upload(
    State(api): State<Api>,
    Person(person): Person,
    body: Body,
) -> Result<StatusCode, Problem> {
    packages(&api, body, async |device| match device.aor == person {
        true => Ok(()),
        false => Err(bad_key_package(BadKeyPackage::SomebodyElse)),
    })
    .await
}

/// Takes KeyPackages of a device that is theirs who brings them, as `own` says.
pub(super) async fn packages(
    api: &Api,
    body: Body,
    own: impl AsyncFnOnce(&DeviceName) -> Result<(), Problem>,
) -> Result<StatusCode, Problem> {
    let body = whole(body)?;
    let checker = api.clone();
    // Some hundred signatures: too long for a thread that others share.
    let checked = tokio::task::spawn_blocking(move || checked(&checker, &body));
    let checked = checked.await.map_err(|_| Problem::unavailable("the check failed"))?;
    let refused = |_: &Problem| api.metrics.http.key_packages("refused", 1);
    let Checked { filling, device, packages, last_resort } = checked.inspect_err(refused)?;
    own(&device).await.inspect_err(refused)?;
    if api.users.is_revoked(&device.aor, &device.device) {
        return Err(taken_back());
    }
    let count = packages.len() + usize::from(last_resort.is_some());
    let bounds = (api.limits.key_packages_max, clock::wall());
    let DeviceName { aor, device } = &device;
    let kept = match filling {
        Filling::Add => {
            api.store.put_key_packages(aor, device, packages, last_resort, bounds).await
        }
        Filling::Replace => {
            api.store.replace_key_packages(aor, device, packages, last_resort, bounds).await
        }
    };
    kept.map_err(not_kept)?;
    api.metrics.http.key_packages("uploaded", count);
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /v1/key-packages/{aor}`: one KeyPackage of each device of a person. Each is handed out once.
pub(super) async fn claim(
    State(api): State<Api>,
    Person(person): Person,
    Path(aor): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let nobody = || {
        let what = "nobody of this address has KeyPackages here";
        Problem::new(StatusCode::NOT_FOUND, what, "the path", "ask for sip:user@domain")
    };
    let aor: Aor = aor.parse().map_err(|_| nobody())?;
    // Those are for the conference of the pseudonym, and the focus hands them out.
    if aor.is_pseudonym() {
        return Err(nobody());
    }
    if !api.claims.take(clock::now(), (person, aor.clone())) {
        return Err(Problem::too_often("you have claimed this person's KeyPackages too often"));
    }
    let now = clock::wall();
    let until = now + Duration::from_secs(u64::from(api.limits.key_package_days_min) * 24 * 3600);
    let claimed = api.store.claim_key_packages(&aor, (now, until)).await;
    let claimed = claimed.map_err(Problem::unavailable)?;
    if claimed.is_empty() {
        return Err(nobody());
    }
    api.desks.handed_out(claimed.iter().map(|one| (&aor, one)));
    let last_resorts = claimed.iter().filter(|claimed| claimed.last_resort).count();
    api.metrics.http.key_packages("claimed", claimed.len() - last_resorts);
    api.metrics.http.key_packages("claimed_last_resort", last_resorts);
    let claim = |claimed: store::Claimed| ClaimedKeyPackage {
        aor: aor.clone(),
        device: claimed.device,
        key_package: claimed.package,
    };
    let claims: Vec<ClaimedKeyPackage> = claimed.into_iter().map(claim).collect();
    Ok(([(header::CONTENT_TYPE, KEY_PACKAGES)], claims_to_bytes(&claims)))
}

fn taken_back() -> Problem {
    let mend = "start as a new device, with an id of its own";
    Problem::new(StatusCode::FORBIDDEN, "this device was taken back", "the device", mend)
}

pub(super) fn whole(body: Body) -> Result<Bytes, Problem> {
    body.map_err(|rejection| {
        Problem::new(
            rejection.status(),
            "the body is too large, or broke off",
            "the body",
            "send less",
        )
    })
}

struct Checked {
    filling: Filling,
    device: DeviceName,
    packages: Vec<NewKeyPackage>,
    last_resort: Option<NewKeyPackage>,
}

/// Every package of the upload is good now, of one device, and there once.
fn checked(api: &Api, body: &[u8]) -> Result<Checked, Problem> {
    let malformed = |what: &dyn ToString| {
        let mend = "send a KeyPackageUpload with at least one KeyPackage, each once";
        Problem::new(StatusCode::BAD_REQUEST, what.to_string(), "the body", mend)
    };
    let upload = KeyPackageUpload::from_bytes(body).map_err(|error| malformed(&error))?;
    let first = upload.packages.first().or(upload.last_resort.as_ref());
    let first = first.ok_or_else(|| malformed(&"there is no KeyPackage in it"))?;
    let device = named_device(first).map_err(bad_key_package)?;
    let mut seen = BTreeSet::new();
    let mut check = |package: &Bytes, is_last_resort: bool| {
        let now = clock::wall();
        let checked = CheckedKeyPackage::check(package, &device, api.issuer.roots(), now)
            .map_err(bad_key_package)?;
        if checked.is_last_resort() != is_last_resort {
            return Err(malformed(&"a KeyPackage and its place disagree about last resort"));
        }
        let reference = checked.reference();
        if !seen.insert(reference) {
            return Err(malformed(&"a KeyPackage, or the key of one, is in it twice"));
        }
        let (reference, package) = (Bytes::copy_from_slice(&reference), package.clone());
        Ok(NewKeyPackage { reference, package, expires: checked.expiry() })
    };
    let packages = upload.packages.iter().map(|package| check(package, false));
    let packages = packages.collect::<Result<_, _>>()?;
    let last_resort =
        upload.last_resort.as_ref().map(|package| check(package, true)).transpose()?;
    Ok(Checked { filling: upload.filling, device, packages, last_resort })
}

pub(super) fn bad_request(bad: BadRequest) -> Problem {
    let (status, mend) = match bad {
        BadRequest::SomebodyElse => {
            (StatusCode::FORBIDDEN, "ask for a certificate of your own address")
        }
        BadRequest::Malformed | BadRequest::NoPossession | BadRequest::TooLong => {
            (StatusCode::BAD_REQUEST, "send a PKCS#10 request in DER, signed with its Ed25519 key")
        }
    };
    Problem::new(status, bad, "the certificate request", mend)
}

fn bad_key_package(bad: BadKeyPackage) -> Problem {
    let (status, mend) = match bad {
        BadKeyPackage::SomebodyElse => {
            (StatusCode::FORBIDDEN, "upload KeyPackages of one device of your own")
        }
        BadKeyPackage::Expired | BadKeyPackage::NotYetValid | BadKeyPackage::LivesTooLong => (
            StatusCode::BAD_REQUEST,
            "make a new KeyPackage that is valid from now for 84 days at most",
        ),
        BadKeyPackage::Credential(_) => {
            (StatusCode::BAD_REQUEST, "fetch a new certificate and make new KeyPackages with it")
        }
        BadKeyPackage::Malformed => (StatusCode::BAD_REQUEST, "make a new KeyPackage"),
    };
    Problem::new(status, bad, "the KeyPackages", mend)
}

fn not_kept(error: store::Error) -> Problem {
    let refused = |mend| Problem::new(StatusCode::BAD_REQUEST, &error, "the KeyPackages", mend);
    match &error {
        store::Error::Duplicate => refused("make a new KeyPackage; one is good for one use"),
        store::Error::TooMany { .. } => refused("upload more when some have been used"),
        store::Error::TakenBack => taken_back(),
        _ => {
            tracing::warn!(%error, "KeyPackages could not be kept");
            Problem::unavailable("the KeyPackages could not be kept")
        }
    }
}
