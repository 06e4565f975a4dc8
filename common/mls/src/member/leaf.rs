//! The own leaf: which one it is, how old, and whether it says what the keyring does. When it has to go is for whoever has
//! the clock.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use openmls::prelude::LeafNode;
use openmls::prelude::tls_codec::Serialize as _;
use openmls::treesync::LeafNodeSource;
use sha2::{Digest as _, Sha256};

use super::Member;
use crate::key_packages::MARGIN;

/// The leaf a device has at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnLeaf {
    /// Another one for every leaf, so that a new one shows.
    pub id: [u8; 32],
    /// When its KeyPackage was made, if it is from one: then its keys have lain about since. A leaf from a commit is as
    /// old as that.
    pub made: Option<SystemTime>,
}

impl Member {
    /// Whether the leaf of this device still carries another certificate than the keyring.
    pub fn is_outdated(&self) -> bool {
        let own = self.group.own_leaf_node().map(LeafNode::credential);
        own.is_some_and(|credential| *credential != self.keyring.credential().credential)
    }

    /// The leaf of this device; none when it is out.
    pub fn own_leaf(&self) -> Option<OwnLeaf> {
        let leaf = self.group.own_leaf_node()?;
        let id = Sha256::digest(leaf.tls_serialize_detached().ok()?).into();
        let made = match leaf.leaf_node_source() {
            // A KeyPackage's life starts a little before it is made.
            LeafNodeSource::KeyPackage(life) => UNIX_EPOCH
                .checked_add(Duration::from_secs(life.not_before()).saturating_add(MARGIN)),
            LeafNodeSource::Update | LeafNodeSource::Commit(_) => None,
        };
        Some(OwnLeaf { id, made })
    }
}
