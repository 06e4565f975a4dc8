//! A ledger as bytes for the journal, and back.
use std::sync::Arc;

use bytes::Bytes;
use ids::{ConferenceId, Epoch, Era};

use super::state::{Pending, State, Winner, load};
use super::{Fixed, Ledger, Refusal};
use crate::codec::{Malformed, Reader, Writer};
use crate::group::group_id;
use crate::identity::{FocusKey, Roots};
use crate::roster::roster;
use crate::storage::Records;
use crate::wire::DeviceName;

/// The format. Another number is another format.
const VERSION: u8 = 2;

pub(super) fn write(fixed: &Fixed, state: &State) -> Bytes {
    let mut to = Writer::default();
    to.u8(VERSION).text(&fixed.conference).u32(fixed.era.0);
    to.u64(state.revision).blob(&state.group_info);
    to.list(&state.pending, |to, pending| {
        pending.name.write(to);
        to.u32(pending.leaf).blob(&pending.key).blob(&pending.proposal);
    });
    to.list(&state.winners, |to, winner| {
        to.u64(winner.made.0).raw(&winner.hash);
    });
    // In their order, so that one state has one encoding.
    to.list(&state.storage.all(), |to, (key, value)| {
        to.blob(key).blob(value);
    });
    to.finish()
}

pub(super) fn read(bytes: &[u8], focus: &FocusKey, roots: &Roots) -> Result<Ledger, Refusal> {
    let what = "ledger";
    let max = usize::MAX;
    let mut from = Reader::new(bytes, max, what)?;
    if from.u8(what)? != VERSION {
        return Err(Refusal::Malformed(Malformed("ledger of another version")));
    }
    let conference: ConferenceId = from.name(what)?;
    let era = Era(from.u32(what)?);
    let revision = from.u64(what)?;
    let group_info = from.blob(max, what)?;
    let pending = from.list(max, what, |from| {
        Ok(Pending {
            name: DeviceName::read(from)?,
            leaf: from.u32(what)?,
            key: from.blob(max, what)?.into(),
            proposal: from.blob(max, what)?,
        })
    })?;
    let winners = from.list(max, what, |from| {
        Ok(Winner { made: Epoch(from.u64(what)?), hash: from.array(what)? })
    })?;
    let values = from.list(max, what, |from| {
        Ok((from.blob(max, what)?.into(), Vec::from(from.blob(max, what)?).into()))
    })?;
    from.end(what)?;

    let storage = Records::loose(values);
    let group = load(&storage, &group_id(&conference, era))?;
    let leaves = roster(group.members())?;
    let exported = std::sync::OnceLock::new();
    let state = State { group, storage, group_info, leaves, pending, winners, revision, exported };
    let fixed = Fixed { conference, era, roots: roots.clone(), focus: focus.clone() };
    Ok(Ledger { fixed: Arc::new(fixed), state })
}
