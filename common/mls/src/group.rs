//! What every group of ours has in common: its id, its suite, its settings and its extensions.
//!
//! Ledger and member both build on this, so that they cannot disagree.
use ids::{ConferenceId, Epoch, Era};
use openmls::prelude::{
    BasicCredential, Capabilities, Ciphersuite, CredentialType, Extension, ExtensionType,
    Extensions, ExternalSender, GroupContext, GroupId, MlsGroupJoinConfig,
    PURE_PLAINTEXT_WIRE_FORMAT_POLICY, RequiredCapabilitiesExtension,
    SenderRatchetConfiguration, WireFormatPolicy,
};

/// The one suite of this round. A group names its own, so that an era can change it.
pub(crate) const SUITE: Ciphersuite = Ciphersuite::MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519;

/// How many epochs back a member still opens application messages.
pub(crate) const PAST_EPOCHS: usize = 2;

/// `conference#era`, readable in the clear prefix of every message of the group.
pub(crate) fn group_id(conference: &ConferenceId, era: Era) -> GroupId {
    GroupId::from_slice(format!("{conference}#{era}").as_bytes())
}

/// What our leaves can do. Everything a group of ours may ask for, and no more.
pub(crate) fn capabilities() -> Capabilities {
    Capabilities::new(
        None,
        Some(&[SUITE]),
        Some(&[ExtensionType::LastResort]),
        None,
        Some(&[CredentialType::X509]),
    )
}
