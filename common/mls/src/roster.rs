//! The leaves of a tree by device. Certificates are parsed here and believed: they were checked when they came in.
use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use openmls::prelude::Member as TreeMember;

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
}

/// The devices of all leaves. Two leaves of one device are refused.
pub(crate) fn roster(members: impl Iterator<Item = TreeMember>) -> Result<Roster, Fault> {
    let mut leaves = BTreeMap::new();
    let mut names = BTreeSet::new();
    for member in members {
        let (name, not_after) = leaf_name_and_end(&member.credential)?;
        if !names.insert(name.clone()) {
            return Err(Fault::Duplicate(name));
        }
        leaves.insert(member.index.u32(), Leaf { name, key: member.signature_key, not_after });
    }
    Ok(leaves)
}
