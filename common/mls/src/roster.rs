//! The leaves of a tree by device. Certificates are parsed here and believed: they were checked when they came in. Of a
//! thousand leaves a commit changes a few, and the others are not parsed again.
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use openmls::prelude::{Credential, CredentialType, Member as TreeMember};
use sha2::{Digest as _, Sha256};

use crate::change::Fault;
use crate::identity::leaf_name_and_end;
use crate::wire::DeviceName;

/// By leaf index.
pub(crate) type Roster = BTreeMap<u32, Leaf>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) name: DeviceName,
    /// The signature key.
    pub(crate) key: Vec<u8>,
    /// When its certificate ends.
    pub(crate) not_after: SystemTime,
    /// SHA-256 of its certificate.
    certificate: [u8; 32],
}

impl Leaf {
    fn of(member: TreeMember) -> Result<Self, Fault> {
        let (name, not_after) = leaf_name_and_end(&member.credential)?;
        let certificate = digest(&member.credential);
        Ok(Self { name, key: member.signature_key, not_after, certificate })
    }

    /// The tree says the same of this member.
    fn is_of(&self, member: &TreeMember) -> bool {
        member.credential.credential_type() == CredentialType::X509
            && self.key == member.signature_key
            && self.certificate == digest(&member.credential)
    }
}

fn digest(credential: &Credential) -> [u8; 32] {
    Sha256::digest(credential.serialized_content()).into()
}

/// The devices of all leaves. Two leaves of one device are refused.
pub(crate) fn roster(members: impl Iterator<Item = TreeMember>) -> Result<Roster, Fault> {
    roster_after(&Roster::new(), members)
}

/// The same of a tree whose leaves were these before.
pub(crate) fn roster_after(
    before: &Roster,
    members: impl Iterator<Item = TreeMember>,
) -> Result<Roster, Fault> {
    let mut leaves = BTreeMap::new();
    for member in members {
        let index = member.index.u32();
        let leaf = match before.get(&index).filter(|leaf| leaf.is_of(&member)) {
            Some(leaf) => leaf.clone(),
            None => Leaf::of(member)?,
        };
        leaves.insert(index, leaf);
    }
    let mut names = BTreeSet::new();
    match leaves.values().find(|leaf| !names.insert(&leaf.name)) {
        Some(twice) => Err(Fault::Duplicate(twice.name.clone())),
        None => Ok(leaves),
    }
}
