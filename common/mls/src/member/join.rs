//! The three ways into a group: make it, be welcomed, or enter by external commit.
use std::collections::BTreeMap;
use std::time::SystemTime;

use bytes::Bytes;
use ids::{ConferenceId, Epoch, Era};
use openmls::messages::group_info::VerifiableGroupInfo;
use openmls::prelude::tls_codec::{Deserialize as _, Serialize as _};
use openmls::prelude::{
    GroupContext, LeafNodeParameters, Member as TreeMember, MlsGroup, MlsMessageBodyIn,
    MlsMessageIn, OpenMlsProvider as _, RatchetTreeIn, StagedWelcome, Welcome,
};
use sha2::{Digest as _, Sha256};

use super::{Entering, Keyring, Member, MemberError};
use crate::change::Fault;
use crate::codec::Malformed;
use crate::group::{
    POLICY, SUITE, capabilities, context_extensions, group_id, past_epochs, ratchet, settings,
};
use crate::identity::{BadCredential, Roots, past_leaf_identity};
use crate::key_packages::LIFETIME_MAX;
use crate::roster::{Roster, roster};
use crate::wire::{Bundle, GroupState, Kind, WelcomeDelivery};

impl Member {
    /// Makes a group with this device alone in it. It exists for others once the focus accepts the bundle.
    pub fn create(
        keyring: &Keyring,
        conference: &ConferenceId,
        era: Era,
        now: SystemTime,
    ) -> Result<(Self, Bundle), MemberError> {
        let failed = MemberError::Failed("creating a group");
        let extensions =
            context_extensions(&keyring.roots().focus_key()).map_err(|_| failed.clone())?;
        keyring.records().forget_group(&group_id(conference, era));
        let group = MlsGroup::builder()
            .with_group_id(group_id(conference, era))
            .replace_old_group()
            .ciphersuite(SUITE)
            .with_capabilities(capabilities())
            .with_wire_format_policy(POLICY)
            .max_past_epochs(past_epochs(conference))
            .sender_ratchet_configuration(ratchet())
            .use_ratchet_tree_extension(false)
            .with_group_context_extensions(extensions)
            .lifetime(keyring.lifetime(now, LIFETIME_MAX)?)
            .build(keyring.provider(), keyring.key(), keyring.credential())
            .map_err(|_| failed.clone())?;
        let group_info = group
            .export_group_info(keyring.provider().crypto(), keyring.key(), false)
            .map_err(|_| failed.clone())?;
        let tree = group.export_ratchet_tree().tls_serialize_detached();
        let bundle = Bundle {
            kind: Kind::Create,
            era,
            commit: Bytes::new(),
            welcomes: Vec::new(),
            group_info: group_info.to_bytes().map_err(|_| failed.clone())?.into(),
            tree: tree.map_err(|_| failed)?.into(),
        };
        let roster = roster(group.members())?;
        Ok((Self::new(keyring, conference, era, group, roster, None), bundle))
    }

    /// Joins by Welcome. The KeyPackage it is for is used up, also when the Welcome turns out to be bad.
    pub fn join(
        keyring: &Keyring,
        conference: &ConferenceId,
        delivery: &WelcomeDelivery,
        now: SystemTime,
    ) -> Result<Self, MemberError> {
        let welcome = parse_welcome(&delivery.welcome)?;
        let tree = parse_tree(&delivery.tree)?;
        if !keyring.use_welcome(&delivery.welcome) {
            return Err(MemberError::NotForUs);
        }
        let settings = settings(conference, 0);
        // Lifetimes of leaves that joined long ago do not matter. Their certificates are checked below.
        let staged = StagedWelcome::build_from_welcome(keyring.provider(), &settings, welcome)
            .map_err(|_| MemberError::NotForUs)?
            .with_ratchet_tree(tree)
            .skip_lifetime_validation()
            .replace_old_group()
            .build()
            .map_err(|_| MemberError::Fault(Fault::Invalid))?;
        check_settings(staged.group_context(), conference, delivery.era, keyring.roots())?;
        let roster = check_leaves(staged.members(), keyring, now)?;
        let own = roster.get(&staged.own_leaf_index().u32());
        if own.is_none_or(|leaf| leaf.name != *keyring.device()) {
            return Err(MemberError::NotForUs);
        }
        keyring.records().forget_group(staged.group_context().group_id());
        let group =
            staged.into_group(keyring.provider()).map_err(|_| MemberError::Failed("joining"))?;
        let member = Self::new(keyring, conference, delivery.era, group, roster, None);
        member.keep();
        Ok(member)
    }

    /// Enters by external commit: with nobody there to welcome this device, or after losing its state. An old leaf
    /// of this device with the same key is replaced. `known` is what the device has seen of the conference before:
    /// an older state is refused.
    pub fn join_externally(
        keyring: &Keyring,
        conference: &ConferenceId,
        state: &GroupState,
        known: Option<(Era, Epoch)>,
        now: SystemTime,
    ) -> Result<(Self, Bundle), MemberError> {
        let info = parse_group_info(&state.group_info)?;
        check_settings(info.group_context(), conference, state.era, keyring.roots())?;
        let made_in = Epoch(info.epoch().as_u64());
        if let Some((era, epoch)) = known.filter(|known| *known > (state.era, made_in)) {
            let known = if era > state.era { Epoch(0) } else { epoch };
            return Err(MemberError::Rollback { known });
        }
        let (group, bundle) = enter(keyring, conference, state, info)?;
        let checked = check_leaves(group.members(), keyring, now);
        let roster = match checked {
            Ok(roster) => roster,
            Err(fault) => {
                keyring.records().forget_group(group.group_id());
                return Err(fault.into());
            }
        };
        let hash = Sha256::digest(&bundle.commit).into();
        let key = keyring.key().public();
        let returning = state.tree.windows(key.len()).any(|octets| octets == key);
        let entering = Some(Entering { hash, made_in, returning });
        let member = Self::new(keyring, conference, state.era, group, roster, entering);
        member.keep();
        Ok((member, bundle))
    }

    fn new(
        keyring: &Keyring,
        conference: &ConferenceId,
        era: Era,
        group: MlsGroup,
        roster: Roster,
        entering: Option<Entering>,
    ) -> Self {
        Self {
            keyring: keyring.clone(),
            conference: conference.clone(),
            era,
            since: Epoch(group.epoch().as_u64()),
            group,
            roster,
            departed: BTreeMap::new(),
            entering,
        }
    }
}

fn enter(
    keyring: &Keyring,
    conference: &ConferenceId,
    state: &GroupState,
    info: VerifiableGroupInfo,
) -> Result<(MlsGroup, Bundle), MemberError> {
    let failed = MemberError::Failed("entering");
    let provider = keyring.provider();
    let leaf = LeafNodeParameters::builder().with_capabilities(capabilities()).build();
    let id = info.group_context().group_id().clone();
    let builder = MlsGroup::external_commit_builder()
        .with_ratchet_tree(parse_tree(&state.tree)?)
        .with_config(settings(conference, 0))
        .skip_lifetime_validation()
        .build_group(provider, info, keyring.credential())
        .map_err(|_| MemberError::Fault(Fault::Invalid))?
        .leaf_node_parameters(leaf)
        .load_psks(provider.storage())
        .map_err(|_| failed.clone())?
        .create_group_info(true)
        .build(provider.rand(), provider.crypto(), keyring.key(), |_| true)
        .map_err(|_| MemberError::Fault(Fault::Invalid))?;
    // What was kept of it before (proposals that wait, keys) is of another leaf.
    keyring.records().forget_group(&id);
    let (group, messages) = builder.finalize(provider).map_err(|_| failed.clone())?;
    let (commit, _, group_info) = messages.into_messages();
    let group_info = group_info.ok_or_else(|| failed.clone())?;
    let bundle = Bundle {
        kind: Kind::External,
        era: state.era,
        commit: commit.to_bytes().map_err(|_| failed.clone())?.into(),
        welcomes: Vec::new(),
        group_info: group_info.to_bytes().map_err(|_| failed)?.into(),
        tree: Bytes::new(),
    };
    Ok((group, bundle))
}

/// The group is the one meant and set up as agreed: above all, nobody but the focus may propose from outside.
fn check_settings(
    context: &GroupContext,
    conference: &ConferenceId,
    era: Era,
    roots: &Roots,
) -> Result<(), MemberError> {
    let expected =
        context_extensions(&roots.focus_key()).map_err(|_| MemberError::OtherSettings)?;
    let as_agreed = context.ciphersuite() == SUITE
        && *context.group_id() == group_id(conference, era)
        && *context.extensions() == expected;
    if as_agreed { Ok(()) } else { Err(MemberError::OtherSettings) }
}

/// Every leaf is a device of ours, the own certificate is good now, and no device has two leaves.
///
/// Others' certificates may have ended. RFC 9420, 5.3.1 has every credential of the tree checked on the way in and
/// leaves it to the application what the end of one means. Here it means that the focus removes the leaf, which
/// takes a commit, perhaps of the very device that is just entering; were newcomers to wait for it, one forgotten
/// device would close a conference to everybody. It lets nobody in: a leaf gets into the tree only by a commit that
/// the ledger and every member checked against the time it was made at.
fn check_leaves(
    members: impl Iterator<Item = TreeMember>,
    keyring: &Keyring,
    now: SystemTime,
) -> Result<Roster, Fault> {
    let members: Vec<TreeMember> = members.collect();
    for member in &members {
        let (credential, key) = (&member.credential, &member.signature_key);
        let leaf = past_leaf_identity(keyring.roots(), credential, key, now)?;
        if leaf.name == *keyring.device() && now >= leaf.not_after {
            return Err(BadCredential::Expired.into());
        }
    }
    roster(members.into_iter())
}

fn parse_welcome(bytes: &[u8]) -> Result<Welcome, MemberError> {
    match MlsMessageIn::tls_deserialize_exact(bytes).map(MlsMessageIn::extract) {
        Ok(MlsMessageBodyIn::Welcome(welcome)) => Ok(welcome),
        _ => Err(Malformed("Welcome").into()),
    }
}

fn parse_group_info(bytes: &[u8]) -> Result<VerifiableGroupInfo, MemberError> {
    match MlsMessageIn::tls_deserialize_exact(bytes).map(MlsMessageIn::extract) {
        Ok(MlsMessageBodyIn::GroupInfo(info)) => Ok(info),
        _ => Err(Malformed("GroupInfo").into()),
    }
}

fn parse_tree(bytes: &[u8]) -> Result<RatchetTreeIn, MemberError> {
    RatchetTreeIn::tls_deserialize_exact(bytes).map_err(|_| Malformed("ratchet tree").into())
}
