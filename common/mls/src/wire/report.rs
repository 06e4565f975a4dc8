//! What a member says about the newest epoch: that it is in it, or that it cannot follow the commit that made it. The
//! focus needs to hear it: it holds no secret, so it cannot tell a commit that members can use from one they cannot.
use ids::{Epoch, Era};

use super::Malformed;
use crate::codec::{Reader, Writer};
use bytes::Bytes;

/// What a member says about an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochReport {
    /// The group.
    pub era: Era,
    /// The epoch.
    pub epoch: Epoch,
    /// What it found.
    pub finding: Finding,
}

/// What a member found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is in this epoch.
    Confirmed {
        /// SHA-256 over the epoch's authenticator: the same for all who are in it.
        fingerprint: [u8; 32],
        /// SHA-256 over the public key by which newcomers enter this epoch. Its author has told the focus which it is, and the
        /// focus cannot tell whether that is true.
        entrance: [u8; 32],
    },
    /// It cannot follow the commit that made this epoch.
    Unusable,
}

impl EpochReport {
    /// The encoding.
    pub fn to_bytes(&self) -> Bytes {
        let mut to = Writer::default();
        let finding = match self.finding {
            Finding::Confirmed { .. } => 1,
            Finding::Unusable => 2,
        };
        to.u8(finding).u32(self.era.0).u64(self.epoch.0);
        if let Finding::Confirmed { fingerprint, entrance } = &self.finding {
            to.raw(fingerprint).raw(entrance);
        }
        to.finish()
    }

    /// Reads one whole report.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new(bytes, 128, "epoch report")?;
        let confirmed = match from.u8("finding")? {
            1 => true,
            2 => false,
            _ => return Err(Malformed("finding")),
        };
        let (era, epoch) = (Era(from.u32("era")?), Epoch(from.u64("epoch")?));
        let finding = match confirmed {
            true => Finding::Confirmed {
                fingerprint: from.array("fingerprint")?,
                entrance: from.array("entrance")?,
            },
            false => Finding::Unusable,
        };
        from.end("epoch report")?;
        Ok(Self { era, epoch, finding })
    }
}
