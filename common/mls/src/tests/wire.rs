//! The structures on the wire: read back as written, and refused when they are not whole.
use bytes::Bytes;
use ids::{Epoch, Era};
use proptest::prelude::*;

use super::support::name;
use crate::wire::{
    Bundle, ClaimedKeyPackage, CommitRequest, CommitResult, EpochReport, Filling, Finding,
    GroupState, Invitation, KeyPackageUpload, Kind, Malformed, Reason, WelcomeDelivery,
    claims_from_bytes, claims_to_bytes,
};

fn bundle() -> Bundle {
    Bundle {
        kind: Kind::Commit,
        era: Era(3),
        commit: Bytes::from_static(b"commit"),
        welcomes: vec![Invitation { to: name("bob", 1), welcome: Bytes::from_static(b"welcome") }],
        group_info: Bytes::from_static(b"info"),
        tree: Bytes::new(),
    }
}

fn claimed() -> ClaimedKeyPackage {
    let device = name("bob", 1);
    let key_package = Bytes::from_static(b"package");
    ClaimedKeyPackage { aor: device.aor, device: device.device, key_package }
}

/// Whole it reads back; cut or prolonged anywhere it does not.
fn only_whole<T: PartialEq + std::fmt::Debug>(
    value: &T,
    bytes: &[u8],
    read: impl Fn(&[u8]) -> Result<T, Malformed>,
) {
    assert_eq!(read(bytes).as_ref(), Ok(value));
    for cut in 0..bytes.len() {
        assert!(read(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    assert!(read(&[bytes, &[0]].concat()).is_err(), "prolonged");
}

#[test]
fn a_bundle_is_read_only_whole() {
    let value = bundle();
    only_whole(&value, &value.to_bytes(), Bundle::from_bytes);
}

#[test]
fn a_commit_request_is_read_only_whole() {
    for reason in [Reason::Create, Reason::Add, Reason::Remove, Reason::Enter, Reason::Confirm] {
        let (add, remove) = (vec![claimed()], vec![name("dave", 1), name("dave", 2)]);
        let value = CommitRequest { reason, era: Era(1), add, remove };
        only_whole(&value, &value.to_bytes(), CommitRequest::from_bytes);
    }
}

#[test]
fn an_epoch_report_is_read_only_whole() {
    for finding in
        [Finding::Confirmed { fingerprint: [7; 32], entrance: [8; 32] }, Finding::Unusable]
    {
        let value = EpochReport { era: Era(1), epoch: Epoch(7), finding };
        only_whole(&value, &value.to_bytes(), EpochReport::from_bytes);
    }
}

#[test]
fn a_commit_result_is_read_only_whole() {
    let (era, epoch) = (Era(1), Epoch(7));
    for value in [
        CommitResult::Accepted { era, epoch },
        CommitResult::Lost { era, epoch, winner: [7; 32] },
        CommitResult::Refused { why: "because".to_owned() },
    ] {
        only_whole(&value, &value.to_bytes(), CommitResult::from_bytes);
    }
}

#[test]
fn what_the_directory_takes_and_gives_is_read_only_whole() {
    let packages = vec![Bytes::from_static(b"one"), Bytes::from_static(b"two")];
    let last_resort = Some(Bytes::from_static(b"last"));
    let value = KeyPackageUpload { filling: Filling::Add, packages, last_resort };
    for value in [value.clone(), value.clone().replacing()] {
        only_whole(&value, &value.to_bytes(), KeyPackageUpload::from_bytes);
    }
    let unknown = [&[2], &value.to_bytes()[1..]].concat();
    assert!(KeyPackageUpload::from_bytes(&unknown).is_err());
    let claims = vec![claimed(), claimed()];
    only_whole(&claims, &claims_to_bytes(&claims), claims_from_bytes);
}

#[test]
fn what_a_newcomer_gets_is_read_only_whole() {
    let (welcome, tree) = (Bytes::from_static(b"welcome"), Bytes::from_static(b"tree"));
    let value = WelcomeDelivery { era: Era(1), welcome, tree: tree.clone() };
    only_whole(&value, &value.to_bytes(), WelcomeDelivery::from_bytes);
    let group_info = Bytes::from_static(b"info");
    let value = GroupState { era: Era(1), epoch: Epoch(2), group_info, tree };
    only_whole(&value, &value.to_bytes(), GroupState::from_bytes);
}

#[test]
fn a_bundle_above_4_mib_is_refused() {
    let mut value = bundle();
    value.commit = vec![0; 4 << 20].into();

    assert_eq!(Bundle::from_bytes(&value.to_bytes()), Err(Malformed("bundle")));
}

#[test]
fn a_reason_of_any_length_can_be_told() {
    let told = CommitResult::Refused { why: "ä".repeat(5000) };

    assert!(CommitResult::from_bytes(&told.to_bytes()).is_ok());
}

#[test]
fn a_name_that_is_no_name_is_refused() {
    let mut bytes = bundle().to_bytes().to_vec();
    let at = bytes.windows(4).position(|w| w == b"sip:").unwrap();
    bytes[at] = b'x';

    assert_eq!(Bundle::from_bytes(&bytes), Err(Malformed("address of record")));
}

proptest! {
    #[test]
    fn any_octets_are_read_or_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(Bundle::from_bytes(&bytes));
        drop(KeyPackageUpload::from_bytes(&bytes));
        drop(claims_from_bytes(&bytes));
        drop(CommitRequest::from_bytes(&bytes));
        drop(CommitResult::from_bytes(&bytes));
        drop(WelcomeDelivery::from_bytes(&bytes));
        drop(GroupState::from_bytes(&bytes));
        drop(crate::files::FileDescription::from_bytes(&bytes));
        drop(crate::welcome::Parts::parse(&bytes));
    }

    #[test]
    fn a_bundle_with_any_octet_changed_is_read_or_refused_without_panic(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut bytes = bundle().to_bytes().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = value;
        drop(Bundle::from_bytes(&bytes));
    }
}
