//! What every group of ours has in common: its id, its suite, its settings and its extensions.
//!
//! Ledger and member both build on this, so that they cannot disagree.
use ids::{ConferenceId, Era};
use openmls::prelude::{
    BasicCredential, Capabilities, Ciphersuite, CredentialType, Extension, ExtensionType,
    Extensions, ExternalSender, GroupContext, GroupId, InvalidExtensionError, MlsGroupJoinConfig,
    PURE_PLAINTEXT_WIRE_FORMAT_POLICY, RequiredCapabilitiesExtension, SenderRatchetConfiguration,
    WireFormatPolicy,
};

use crate::circle::is_circle;

/// The one suite of this round. A group names its own, so that an era can change it.
pub(crate) const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;

/// How many epochs back a member of a conference still opens application messages: what is on the way while it changes.
const PAST_EPOCHS: usize = 2;
/// The same in a circle, whose messages wait in a mailbox. Each key opens one message and is gone then, so what is kept are
/// the keys of what never came; circles are small.
const CIRCLE_PAST_EPOCHS: usize = 16;

/// How many epochs back a member still opens application messages.
pub(crate) fn past_epochs(conference: &ConferenceId) -> usize {
    if is_circle(conference) { CIRCLE_PAST_EPOCHS } else { PAST_EPOCHS }
}

/// `conference#era`, readable in the clear prefix of every message of the group.
pub(crate) fn group_id(conference: &ConferenceId, era: Era) -> GroupId {
    GroupId::from_slice(format!("{conference}#{era}").as_bytes())
}

/// What our leaves can do. Everything a group of ours may ask for, and no more.
///
/// RFC 9420, 13.3: only credentials of types that all members support may be used in a group. The focus, as external
/// sender, has a basic one, so every leaf lists that type too; no leaf may *have* one (see [`crate::identity`]).
pub(crate) fn capabilities() -> Capabilities {
    Capabilities::new(
        None,
        Some(&[SUITE]),
        Some(&[ExtensionType::LastResort]),
        None,
        Some(&[CredentialType::X509, CredentialType::Basic]),
    )
}

/// The GroupContext extensions of every group: X.509 leaves only, and the focus as the one external sender.
pub(crate) fn context_extensions(
    focus_key: &[u8; 32],
) -> Result<Extensions<GroupContext>, InvalidExtensionError> {
    let required = RequiredCapabilitiesExtension::new(&[], &[], &[CredentialType::X509]);
    let focus = BasicCredential::new(FOCUS.to_vec());
    let sender = ExternalSender::new(focus_key.to_vec().into(), focus.into());
    Extensions::from_vec(vec![
        Extension::RequiredCapabilities(required),
        Extension::ExternalSenders(vec![sender]),
    ])
}

/// The name of the focus among the external senders. Its key is what counts.
const FOCUS: &[u8] = b"focus";

/// Local settings. openmls does not take them over from the creator, so joiners set the same.
pub(crate) fn settings(conference: &ConferenceId, padding: usize) -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(POLICY)
        .padding_size(padding)
        .max_past_epochs(past_epochs(conference))
        .sender_ratchet_configuration(ratchet())
        .use_ratchet_tree_extension(false)
        .build()
}

/// How far messages of one sender may overtake each other, and how many may be missing.
pub(crate) fn ratchet() -> SenderRatchetConfiguration {
    SenderRatchetConfiguration::new(100, 2000)
}

/// Handshakes in the clear to the focus (which has to check them), application messages sealed.
pub(crate) const POLICY: WireFormatPolicy = PURE_PLAINTEXT_WIRE_FORMAT_POLICY;
