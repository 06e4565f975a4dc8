//! For tests only: what a member with openmls in its hands could send instead of what [`Member`] sends.
use openmls::prelude::{
    CommitBuilder, CommitMessageBundle, Initial, MlsGroup, OpenMlsProvider as _,
};
use openmls_rust_crypto::RustCrypto;
use openmls_traits::crypto::OpenMlsCrypto;

use super::{Keyring, Member};
use crate::identity::{DeviceKey, Roots};
use crate::storage::{Provider, Records};
use crate::wire::{Bundle, DeviceName};

impl Member {
    /// A commit of any shape, in an honest bundle.
    pub(crate) fn forge(
        &mut self,
        invited: Vec<(DeviceName, Vec<u8>)>,
        shape: impl for<'a> FnOnce(CommitBuilder<'a, Initial>) -> CommitBuilder<'a, Initial>,
    ) -> Bundle {
        self.forge_with(&RustCrypto::default(), invited, shape)
    }

    /// The same with cryptography that need not be what it should be.
    pub(crate) fn forge_with(
        &mut self,
        crypto: &impl OpenMlsCrypto,
        invited: Vec<(DeviceName, Vec<u8>)>,
        shape: impl for<'a> FnOnce(CommitBuilder<'a, Initial>) -> CommitBuilder<'a, Initial>,
    ) -> Bundle {
        let keyring = self.keyring.clone();
        let provider = keyring.provider();
        let messages: CommitMessageBundle = shape(self.group.commit_builder())
            .load_psks(provider.storage())
            .unwrap()
            .create_group_info(true)
            .build(provider.rand(), crypto, keyring.key(), |_| true)
            .unwrap()
            .stage_commit(provider)
            .unwrap();
        let (names, references): (Vec<_>, Vec<_>) = invited.into_iter().unzip();
        self.bundle(messages, names, &references).unwrap()
    }

    pub(crate) fn group(&mut self) -> &mut MlsGroup {
        &mut self.group
    }

    pub(crate) fn keyring(&self) -> Keyring {
        self.keyring.clone()
    }
}

impl Keyring {
    /// Keys whose certificate nobody has checked.
    pub(crate) fn unchecked(
        name: &DeviceName,
        key: DeviceKey,
        certificate: &[u8],
        roots: &Roots,
    ) -> Self {
        let far = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1 << 33);
        Self::with(name.clone(), key, certificate, far, roots, Records::default())
    }

    /// The same device with other records, as after a restart.
    pub(crate) fn restarted(&self, records: Records) -> Self {
        let key = DeviceKey::from_pkcs8(&self.key().to_pkcs8().unwrap()).unwrap();
        let (name, until) = (self.device().clone(), self.not_after());
        Self::with(name, key, &self.certificate(), until, self.roots(), records)
    }

    pub(crate) fn openmls(&self) -> &Provider {
        self.provider()
    }

    pub(crate) fn signer(&self) -> &DeviceKey {
        self.key()
    }

    pub(crate) fn credential_with_key(&self) -> openmls::prelude::CredentialWithKey {
        self.credential()
    }
}
