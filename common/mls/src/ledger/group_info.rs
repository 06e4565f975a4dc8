//! The GroupInfo of a bundle: does it describe the state the change leads to, and did the committer sign it?
//!
//! Its external public key cannot be checked without the group's secrets: members say which it should be
//! ([`entrance`], [`crate::wire::Finding`]).
use openmls::messages::group_info::VerifiableGroupInfo;
use openmls::prelude::tls_codec::{Deserialize as _, Serialize as _};
use openmls::prelude::{
    ExtensionType, LeafNodeIndex, MlsMessageBodyIn, MlsMessageIn, OpenMlsSignaturePublicKey,
    PublicGroup, SignatureScheme, Verifiable as _,
};
use openmls_rust_crypto::RustCrypto;
use sha2::{Digest as _, Sha256};

use super::Refusal;

pub(super) fn parse(bytes: &[u8]) -> Result<VerifiableGroupInfo, Refusal> {
    let message =
        MlsMessageIn::tls_deserialize_exact(bytes).map_err(|_| Refusal::GroupInfo("unreadable"))?;
    let MlsMessageBodyIn::GroupInfo(info) = message.extract() else {
        return Err(Refusal::GroupInfo("another kind of message"));
    };
    let extensions: Vec<_> = info.extensions().iter().map(|e| e.extension_type()).collect();
    if extensions != [ExtensionType::ExternalPub] {
        return Err(Refusal::GroupInfo("it carries the external key and nothing else"));
    }
    Ok(info)
}

/// What stands for the key by which newcomers enter, the same for all who derive the same.
pub(crate) fn entrance(bytes: &[u8]) -> Result<[u8; 32], Refusal> {
    let info = parse(bytes)?;
    let key = info.extensions().external_pub().ok_or(Refusal::GroupInfo("no external key"))?;
    let digest = Sha256::new_with_prefix(b"conclave entrance\0");
    Ok(digest.chain_update(key.external_pub().as_slice()).finalize().into())
}

/// Checks a GroupInfo against the state after the change.
pub(super) fn check(
    bytes: &[u8],
    group: &PublicGroup,
    signer: LeafNodeIndex,
) -> Result<(), Refusal> {
    let info = parse(bytes)?;
    if info.group_context() != group.group_context() {
        return Err(Refusal::GroupInfo("another group, epoch, tree or transcript"));
    }
    if tag_and_signer(&info)? != expected_tag_and_signer(group, signer)? {
        return Err(Refusal::GroupInfo("another confirmation tag or signer"));
    }
    let leaf = group.leaf(signer).ok_or(Refusal::GroupInfo("signed by nobody"))?;
    let key = OpenMlsSignaturePublicKey::from_signature_key(
        leaf.signature_key().clone(),
        SignatureScheme::ED25519,
    );
    info.verify(&RustCrypto::default(), &key)
        .map(|_| ())
        .map_err(|_| Refusal::GroupInfo("bad signature"))
}

/// `confirmation_tag` and `signer` as they are on the wire (RFC 9420, 12.4.3); openmls keeps them to itself.
fn tag_and_signer(info: &VerifiableGroupInfo) -> Result<Vec<u8>, Refusal> {
    let unreadable = |_| Refusal::GroupInfo("unreadable");
    let whole = info.tls_serialize_detached().map_err(unreadable)?;
    let context = info.group_context().tls_serialize_detached().map_err(unreadable)?;
    let extensions = info.extensions().tls_serialize_detached().map_err(unreadable)?;
    let signature = info.signature().tls_serialize_detached().map_err(unreadable)?;
    let ends = whole.len().saturating_sub(signature.len());
    let part = whole.get(context.len() + extensions.len()..ends);
    part.map(<[u8]>::to_vec).ok_or(Refusal::GroupInfo("unreadable"))
}

fn expected_tag_and_signer(group: &PublicGroup, signer: LeafNodeIndex) -> Result<Vec<u8>, Refusal> {
    let unreadable = |_| Refusal::GroupInfo("unreadable");
    let mut expected = group.confirmation_tag().tls_serialize_detached().map_err(unreadable)?;
    expected.extend_from_slice(&signer.u32().to_be_bytes());
    Ok(expected)
}
