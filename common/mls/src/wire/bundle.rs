//! What a committer sends up: the commit with everything the focus needs to accept it as a whole.
//!
//! It does not carry the tree of an ordinary commit: the focus computes that itself.
use bytes::Bytes;
use ids::Era;

use super::{ADDS_MAX, BUNDLE_OCTETS_MAX, DeviceName, Malformed};
use crate::codec::{Reader, Writer};

/// Which way the group changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A group with its creator alone; no commit.
    Create,
    /// A member's commit.
    Commit,
    /// A newcomer's external commit (RFC 9420, 12.4.3.2).
    External,
}

/// A change of the group, complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Which way the group changes.
    pub kind: Kind,
    /// The group it is for.
    pub era: Era,
    /// The commit, a PublicMessage. Empty when the group is created.
    pub commit: Bytes,
    /// One Welcome for each device the commit adds.
    pub welcomes: Vec<Invitation>,
    /// The GroupInfo after the change, without the tree.
    pub group_info: Bytes,
    /// The ratchet tree when the group is created; empty otherwise.
    pub tree: Bytes,
}

/// The Welcome for one added device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Whom it lets in.
    pub to: DeviceName,
    /// The Welcome, holding one encrypted group secret.
    pub welcome: Bytes,
}

impl Bundle {
    /// The encoding.
    pub fn to_bytes(&self) -> Bytes {
        let mut to = Writer::default();
        to.u8(match self.kind {
            Kind::Create => 1,
            Kind::Commit => 2,
            Kind::External => 3,
        });
        to.u32(self.era.0).blob(&self.commit);
        to.list(&self.welcomes, |to, invitation| {
            invitation.to.write(to);
            to.blob(&invitation.welcome);
        });
        to.blob(&self.group_info).blob(&self.tree).finish()
    }

    /// Reads one whole bundle.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let max = BUNDLE_OCTETS_MAX;
        let mut from = Reader::new(bytes, max, "bundle")?;
        let bundle = Self {
            kind: match from.u8("bundle kind")? {
                1 => Kind::Create,
                2 => Kind::Commit,
                3 => Kind::External,
                _ => return Err(Malformed("bundle kind")),
            },
            era: Era(from.u32("era")?),
            commit: from.blob(max, "commit")?,
            welcomes: from.list(ADDS_MAX, "Welcomes", |from| {
                Ok(Invitation { to: DeviceName::read(from)?, welcome: from.blob(max, "Welcome")? })
            })?,
            group_info: from.blob(max, "GroupInfo")?,
            tree: from.blob(max, "ratchet tree")?,
        };
        from.end("bundle")?;
        Ok(bundle)
    }
}
