//! openmls's storage on [`Records`]: values in postcard, keys by group.
//!
//! One value is CBOR: the settings of a group have a field that openmls reads by looking at what is there, which a format
//! without types in it cannot offer.
use openmls::prelude::OpenMlsProvider;
use openmls_rust_crypto::RustCrypto;
use openmls_traits::storage::{CURRENT_VERSION as V, StorageProvider, traits};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Octets, Records, area};

/// What openmls needs of a device.
#[derive(Default)]
pub(crate) struct Provider {
    crypto: RustCrypto,
    records: Records,
}

impl Provider {
    pub(crate) fn new(records: Records) -> Self {
        Self { crypto: RustCrypto::default(), records }
    }

    pub(crate) const fn records(&self) -> &Records {
        &self.records
    }
}

impl OpenMlsProvider for Provider {
    type CryptoProvider = RustCrypto;
    type RandProvider = RustCrypto;
    type StorageProvider = Records;

    fn storage(&self) -> &Records {
        &self.records
    }

    fn crypto(&self) -> &RustCrypto {
        &self.crypto
    }

    fn rand(&self) -> &RustCrypto {
        &self.crypto
    }
}

/// A record that cannot be read, or a value that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a record of the group's state is not what it should be")]
pub struct BadRecord;

/// What a record is, within its group or among the keys.
mod label {
    pub(super) const CONFIG: &[u8] = b"c";
    pub(super) const CONFIRMATION_TAG: &[u8] = b"t";
    pub(super) const CONTEXT: &[u8] = b"x";
    pub(super) const EPOCH_KEY_PAIRS: &[u8] = b"e";
    pub(super) const EPOCH_SECRETS: &[u8] = b"E";
    pub(super) const GROUP_STATE: &[u8] = b"s";
    pub(super) const HPKE_KEY_PAIR: &[u8] = b"h";
    pub(super) const KEY_PACKAGE: &[u8] = b"p";
    pub(super) const MESSAGE_SECRETS: &[u8] = b"m";
    pub(super) const OWN_LEAF_INDEX: &[u8] = b"i";
    pub(super) const OWN_LEAF_NODES: &[u8] = b"l";
    pub(super) const PROPOSAL: &[u8] = b"q";
    pub(super) const PSK: &[u8] = b"k";
    pub(super) const RESUMPTION: &[u8] = b"r";
    pub(super) const SIGNATURE_KEY: &[u8] = b"S";
    pub(super) const TRANSCRIPT: &[u8] = b"T";
    pub(super) const TREE: &[u8] = b"y";
}

fn encode(value: &impl Serialize) -> Result<Octets, BadRecord> {
    postcard::to_allocvec(value).map(Octets::from).map_err(|_| BadRecord)
}

pub(super) fn decode<E: DeserializeOwned>(octets: &Octets) -> Result<E, BadRecord> {
    postcard::from_bytes(octets).map_err(|_| BadRecord)
}

/// A group's part of its records' keys. It says how long it is, so that none begins like another.
pub(super) fn group_part(group: &impl Serialize) -> Result<Vec<u8>, BadRecord> {
    postcard::to_allocvec(group).map_err(|_| BadRecord)
}

fn of_group(group: &impl Serialize, label: &[u8]) -> Result<Vec<u8>, BadRecord> {
    Ok([&[area::GROUP], &*group_part(group)?, label].concat())
}

fn of_keys(name: &impl Serialize, label: &[u8]) -> Result<Vec<u8>, BadRecord> {
    Ok([&[area::KEYS], label, &*group_part(name)?].concat())
}

impl Records {
    fn write(&self, key: Vec<u8>, value: &impl Serialize) -> Result<(), BadRecord> {
        let value = encode(value)?;
        self.state().put(key, value);
        Ok(())
    }

    fn read<E: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<E>, BadRecord> {
        let value = self.state().values.get(key).cloned();
        value.map(|value| decode(&value)).transpose()
    }

    fn drop_record(&self, key: &[u8]) -> Result<(), BadRecord> {
        self.state().remove(key);
        Ok(())
    }

    /// A message of this group is about to be sealed.
    pub(crate) fn sealing(&self, group: &impl Serialize) {
        if let Ok(group) = group_part(group) {
            self.state().sealing(&group);
        }
    }

    /// A message of this group is about to be opened.
    pub(crate) fn opening(&self, group: &impl Serialize) {
        if let Ok(group) = group_part(group) {
            self.state().opening(&group);
        }
    }

    /// A message of this author was opened. True: the secrets of the group are to be written.
    pub(crate) fn opened_of(&self, group: &impl Serialize, author: u32) -> bool {
        group_part(group).is_ok_and(|group| self.state().opened_of(&group, author))
    }

    /// A reserved generation of this group is about to be burnt.
    pub(crate) fn skipping(&self, group: &impl Serialize) {
        if let Ok(group) = group_part(group) {
            self.state().skipping(&group);
        }
    }

    /// It is sealed, or opened, or neither.
    pub(crate) fn done(&self, group: &impl Serialize) {
        if let Ok(group) = group_part(group) {
            self.state().done(&group);
        }
    }

    /// How many generations of this group are to be burnt.
    pub(crate) fn resume(&self, group: &impl Serialize) -> u32 {
        group_part(group).map(|group| self.state().resume(&group)).unwrap_or_default()
    }

    /// Forgets everything openmls has kept of a group.
    pub(crate) fn forget_group(&self, group: &impl Serialize) {
        let Ok(group) = group_part(group) else { return };
        let state = &mut *self.state();
        state.remove_under(&[&[area::GROUP], &*group].concat());
        state.positions.remove(&group);
    }
}

/// Records that are written, read and forgotten: how each is named, of what, under which label, and the three functions.
/// openmls names the type of what it is of, `K`, before or after that of the value, `E`.
macro_rules! each_record {
    ($($named:ident($of:ident, $label:ident) $value:ident:
        $write:ident<$w1:ident, $w2:ident>, $read:ident<$r1:ident, $r2:ident>, $delete:ident;
    )*) => {$(
        fn $write<$w1, $w2>(&self, of: &K, value: &E) -> Result<(), BadRecord>
        where
            K: traits::$of<V>,
            E: traits::$value<V>,
        {
            self.write($named(of, label::$label)?, value)
        }

        fn $read<$r1, $r2>(&self, of: &K) -> Result<Option<E>, BadRecord>
        where
            K: traits::$of<V>,
            E: traits::$value<V>,
        {
            self.read(&$named(of, label::$label)?)
        }

        fn $delete<K: traits::$of<V>>(&self, of: &K) -> Result<(), BadRecord> {
            self.drop_record(&$named(of, label::$label)?)
        }
    )*};
}

impl StorageProvider<V> for Records {
    type Error = BadRecord;

    each_record! {
        of_group(GroupId, TREE) TreeSync: write_tree<K, E>, tree<K, E>, delete_tree;
        of_group(GroupId, CONTEXT) GroupContext: write_context<K, E>, group_context<K, E>, delete_context;
        of_group(GroupId, TRANSCRIPT) InterimTranscriptHash:
            write_interim_transcript_hash<K, E>, interim_transcript_hash<K, E>, delete_interim_transcript_hash;
        of_group(GroupId, CONFIRMATION_TAG) ConfirmationTag:
            write_confirmation_tag<K, E>, confirmation_tag<K, E>, delete_confirmation_tag;
        of_group(GroupId, RESUMPTION) ResumptionPskStore:
            write_resumption_psk_store<K, E>, resumption_psk_store<K, E>, delete_all_resumption_psk_secrets;
        of_group(GroupId, OWN_LEAF_INDEX) LeafNodeIndex:
            write_own_leaf_index<K, E>, own_leaf_index<K, E>, delete_own_leaf_index;
        of_group(GroupId, EPOCH_SECRETS) GroupEpochSecrets:
            write_group_epoch_secrets<K, E>, group_epoch_secrets<K, E>, delete_group_epoch_secrets;
        of_group(GroupId, GROUP_STATE) GroupState:
            write_group_state<E, K>, group_state<E, K>, delete_group_state;
        of_keys(SignaturePublicKey, SIGNATURE_KEY) SignatureKeyPair:
            write_signature_key_pair<K, E>, signature_key_pair<K, E>, delete_signature_key_pair;
        of_keys(HashReference, KEY_PACKAGE) KeyPackage:
            write_key_package<K, E>, key_package<K, E>, delete_key_package;
        of_keys(EncryptionKey, HPKE_KEY_PAIR) HpkeKeyPair:
            write_encryption_key_pair<K, E>, encryption_key_pair<E, K>, delete_encryption_key_pair;
        of_keys(PskId, PSK) PskBundle: write_psk<K, E>, psk<E, K>, delete_psk;
    }

    /// Left out while a message is sealed or opened, unless the ratchets are too far ahead of what was written.
    fn write_message_secrets<G: traits::GroupId<V>, E: traits::MessageSecrets<V>>(
        &self,
        group: &G,
        secrets: &E,
    ) -> Result<(), BadRecord> {
        let part = group_part(group)?;
        if self.state().skips(&part) {
            return Ok(());
        }
        self.write(of_group(group, label::MESSAGE_SECRETS)?, secrets)?;
        self.state().written(&part);
        Ok(())
    }

    fn message_secrets<G: traits::GroupId<V>, E: traits::MessageSecrets<V>>(
        &self,
        group: &G,
    ) -> Result<Option<E>, BadRecord> {
        self.read(&of_group(group, label::MESSAGE_SECRETS)?)
    }

    fn delete_message_secrets<G: traits::GroupId<V>>(&self, group: &G) -> Result<(), BadRecord> {
        self.drop_record(&of_group(group, label::MESSAGE_SECRETS)?)
    }

    fn write_mls_join_config<G: traits::GroupId<V>, E: traits::MlsGroupJoinConfig<V>>(
        &self,
        group: &G,
        config: &E,
    ) -> Result<(), BadRecord> {
        let mut octets = Octets::default();
        ciborium::into_writer(config, &mut *octets).map_err(|_| BadRecord)?;
        self.state().put(of_group(group, label::CONFIG)?, octets);
        Ok(())
    }

    fn mls_group_join_config<G: traits::GroupId<V>, E: traits::MlsGroupJoinConfig<V>>(
        &self,
        group: &G,
    ) -> Result<Option<E>, BadRecord> {
        let octets = self.state().values.get(&of_group(group, label::CONFIG)?).cloned();
        let read = |octets: Octets| ciborium::from_reader(octets.as_slice()).map_err(|_| BadRecord);
        octets.map(read).transpose()
    }

    fn delete_group_config<G: traits::GroupId<V>>(&self, group: &G) -> Result<(), BadRecord> {
        self.drop_record(&of_group(group, label::CONFIG)?)
    }

    fn append_own_leaf_node<G: traits::GroupId<V>, E: traits::LeafNode<V>>(
        &self,
        group: &G,
        leaf: &E,
    ) -> Result<(), BadRecord> {
        let key = of_group(group, label::OWN_LEAF_NODES)?;
        let mut all: Vec<Vec<u8>> = self.read(&key)?.unwrap_or_default();
        all.push(encode(leaf)?.to_vec());
        self.write(key, &all)
    }

    fn own_leaf_nodes<G: traits::GroupId<V>, E: traits::LeafNode<V>>(
        &self,
        group: &G,
    ) -> Result<Vec<E>, BadRecord> {
        let all: Option<Vec<Vec<u8>>> = self.read(&of_group(group, label::OWN_LEAF_NODES)?)?;
        all.unwrap_or_default().into_iter().map(|leaf| decode(&leaf.into())).collect()
    }

    fn delete_own_leaf_nodes<G: traits::GroupId<V>>(&self, group: &G) -> Result<(), BadRecord> {
        self.drop_record(&of_group(group, label::OWN_LEAF_NODES)?)
    }

    fn queue_proposal<
        G: traits::GroupId<V>,
        R: traits::ProposalRef<V>,
        E: traits::QueuedProposal<V>,
    >(
        &self,
        group: &G,
        reference: &R,
        proposal: &E,
    ) -> Result<(), BadRecord> {
        let key = of_group(group, label::PROPOSAL)?;
        let mut all: Proposals = self.read(&key)?.unwrap_or_default();
        let reference = encode(reference)?.to_vec();
        all.retain(|(known, _proposal)| *known != reference);
        all.push((reference, encode(proposal)?.to_vec()));
        self.write(key, &all)
    }

    fn queued_proposal_refs<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(
        &self,
        group: &G,
    ) -> Result<Vec<R>, BadRecord> {
        let all: Option<Proposals> = self.read(&of_group(group, label::PROPOSAL)?)?;
        let references = all.unwrap_or_default().into_iter();
        references.map(|(reference, _proposal)| decode(&reference.into())).collect()
    }

    fn queued_proposals<
        G: traits::GroupId<V>,
        R: traits::ProposalRef<V>,
        E: traits::QueuedProposal<V>,
    >(
        &self,
        group: &G,
    ) -> Result<Vec<(R, E)>, BadRecord> {
        let all: Option<Proposals> = self.read(&of_group(group, label::PROPOSAL)?)?;
        let both = |(reference, proposal): (Vec<u8>, Vec<u8>)| {
            Ok((decode(&reference.into())?, decode(&proposal.into())?))
        };
        all.unwrap_or_default().into_iter().map(both).collect()
    }

    fn remove_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(
        &self,
        group: &G,
        reference: &R,
    ) -> Result<(), BadRecord> {
        let key = of_group(group, label::PROPOSAL)?;
        let mut all: Proposals = self.read(&key)?.unwrap_or_default();
        let reference = encode(reference)?;
        all.retain(|(known, _proposal)| *known != *reference);
        self.write(key, &all)
    }

    fn clear_proposal_queue<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(
        &self,
        group: &G,
    ) -> Result<(), BadRecord> {
        self.drop_record(&of_group(group, label::PROPOSAL)?)
    }

    fn write_encryption_epoch_key_pairs<
        G: traits::GroupId<V>,
        K: traits::EpochKey<V>,
        E: traits::HpkeKeyPair<V>,
    >(
        &self,
        group: &G,
        epoch: &K,
        leaf: u32,
        pairs: &[E],
    ) -> Result<(), BadRecord> {
        self.write(epoch_key_pairs(group, epoch, leaf)?, &pairs)
    }

    fn encryption_epoch_key_pairs<
        G: traits::GroupId<V>,
        K: traits::EpochKey<V>,
        E: traits::HpkeKeyPair<V>,
    >(
        &self,
        group: &G,
        epoch: &K,
        leaf: u32,
    ) -> Result<Vec<E>, BadRecord> {
        Ok(self.read(&epoch_key_pairs(group, epoch, leaf)?)?.unwrap_or_default())
    }

    fn delete_encryption_epoch_key_pairs<G: traits::GroupId<V>, K: traits::EpochKey<V>>(
        &self,
        group: &G,
        epoch: &K,
        leaf: u32,
    ) -> Result<(), BadRecord> {
        self.drop_record(&epoch_key_pairs(group, epoch, leaf)?)
    }
}

/// Proposals that wait, each with its reference.
type Proposals = Vec<(Vec<u8>, Vec<u8>)>;

fn epoch_key_pairs(
    group: &impl Serialize,
    epoch: &impl Serialize,
    leaf: u32,
) -> Result<Vec<u8>, BadRecord> {
    let label = [label::EPOCH_KEY_PAIRS, &*group_part(epoch)?, &leaf.to_be_bytes()].concat();
    of_group(group, &label)
}
