//! A device that runs mls-rs: its keys and certificate are of our kind, everything else is another's work.
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use ids::Era;
use mls::identity::{BadCredential, DeviceKey, Roots, request};
use mls::wire::{
    Bundle, ClaimedKeyPackage, DeviceName, GroupState, Invitation, Kind, WelcomeDelivery,
};
use mls_rs::client_builder::MlsConfig;
use mls_rs::error::{IntoAnyError, MlsError};
use mls_rs::group::{CommitEffect, CommitOutput, ExportedTree, Group, ReceivedMessage};
use mls_rs::identity::x509::CertificateChain;
use mls_rs::identity::{Credential, CredentialType, SigningIdentity};
use mls_rs::mls_rules::{CommitOptions, DefaultMlsRules, EncryptionOptions};
use mls_rs::time::MlsTime;
use mls_rs::{
    CipherSuite, Client, CryptoProvider as _, ExtensionList, IdentityProvider, MlsMessage,
};
use mls_rs_core::identity::MemberValidationContext;
use rand::RngCore as _;

use super::room::{DAY, Realm};

/// The message id's place in the additional data (see `mls::member`): a format octet, then the id.
const AAD_VERSION: u8 = 1;

/// The certificates this member believes are ours; what MLS does with them is mls-rs's business.
#[derive(Clone)]
pub(crate) struct Authority {
    roots: Roots,
    now: SystemTime,
}

#[derive(Debug)]
pub(crate) struct Unbelieved(&'static str);

impl IntoAnyError for Unbelieved {
    fn into_dyn_error(self) -> Result<Box<dyn std::error::Error + Send + Sync>, Self> {
        Ok(self.0.into())
    }
}

impl From<BadCredential> for Unbelieved {
    fn from(_: BadCredential) -> Self {
        Self("no device of this system")
    }
}

impl Authority {
    fn name_of(&self, who: &SigningIdentity) -> Result<DeviceName, Unbelieved> {
        let Credential::X509(chain) = &who.credential else { return Err(Unbelieved("no X.509")) };
        let [certificate] = chain.as_slice() else { return Err(Unbelieved("not one certificate")) };
        let identity = self.roots.check(certificate, self.now)?;
        if identity.key != *who.signature_key.as_bytes() {
            return Err(Unbelieved("another key"));
        }
        Ok(identity.name)
    }
}

impl IdentityProvider for Authority {
    type Error = Unbelieved;

    fn validate_member(
        &self,
        who: &SigningIdentity,
        _at: Option<MlsTime>,
        _context: MemberValidationContext<'_>,
    ) -> Result<(), Unbelieved> {
        self.name_of(who).map(|_| ())
    }

    fn validate_external_sender(
        &self,
        who: &SigningIdentity,
        _at: Option<MlsTime>,
        _extensions: Option<&ExtensionList>,
    ) -> Result<(), Unbelieved> {
        let ours = *who.signature_key.as_bytes() == self.roots.focus_key();
        if ours { Ok(()) } else { Err(Unbelieved("not the focus")) }
    }

    fn identity(&self, who: &SigningIdentity, _: &ExtensionList) -> Result<Vec<u8>, Unbelieved> {
        Ok(self.name_of(who)?.to_string().into_bytes())
    }

    fn valid_successor(
        &self,
        before: &SigningIdentity,
        after: &SigningIdentity,
        _: &ExtensionList,
    ) -> Result<bool, Unbelieved> {
        Ok(self.name_of(before)? == self.name_of(after)?)
    }

    fn supported_types(&self) -> Vec<CredentialType> {
        vec![CredentialType::X509, CredentialType::BASIC]
    }
}

/// A device in one group, by mls-rs.
pub(crate) struct Guest<C: MlsConfig> {
    pub(crate) name: DeviceName,
    client: Client<C>,
    pub(crate) group: Option<Group<C>>,
}

/// What a guest made of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Epoch(u64),
    Removed,
    Proposal,
    Text { id: String, text: Vec<u8> },
}

/// A new device of a person, enrolled like every other.
pub(crate) fn guest(realm: &mut Realm, name: &DeviceName) -> Guest<impl MlsConfig + use<>> {
    let mut seed = [0; 32];
    realm.rng.fill_bytes(&mut seed);
    let signing = SigningKey::from_bytes(&seed);
    let key = DeviceKey::from_pkcs8(signing.to_pkcs8_der().unwrap().as_bytes()).unwrap();
    let begins = realm.now - Duration::from_secs(60);
    let csr = request(&key, name).unwrap();
    let certificate = realm.issuer.issue(&csr, name, begins, 30 * DAY).unwrap();
    let chain = CertificateChain::from(vec![certificate]);
    let identity = SigningIdentity::new(chain.into_credential(), key.public().to_vec().into());
    let client = Client::builder()
        .crypto_provider(mls_rs_crypto_rustcrypto::RustCryptoProvider::default())
        .identity_provider(Authority { roots: realm.issuer.roots().clone(), now: realm.now })
        .mls_rules(rules())
        .key_package_lifetime(20 * DAY)
        .signing_identity(
            identity,
            signing.to_keypair_bytes().to_vec().into(),
            CipherSuite::CURVE25519_AES128,
        )
        .build();
    Guest { name: name.clone(), client, group: None }
}

/// The profile of our groups, in mls-rs's words: handshakes in the clear, the tree beside, a Welcome for each.
fn rules() -> DefaultMlsRules {
    let commits = CommitOptions::new()
        .with_ratchet_tree_extension(false)
        .with_allow_external_commit(true)
        .with_single_welcome_message(false);
    let mut encryption = EncryptionOptions::default();
    encryption.encrypt_control_messages = false;
    DefaultMlsRules::new().with_commit_options(commits).with_encryption_options(encryption)
}

fn message(bytes: &[u8]) -> MlsMessage {
    MlsMessage::from_bytes(bytes).unwrap()
}

fn bytes(message: &MlsMessage) -> Bytes {
    message.to_bytes().unwrap().into()
}

fn bundle(
    kind: Kind,
    commit: &MlsMessage,
    welcomes: Vec<Invitation>,
    group_info: &MlsMessage,
) -> Bundle {
    let (commit, group_info) = (bytes(commit), bytes(group_info));
    Bundle { kind, era: Era(1), commit, welcomes, group_info, tree: Bytes::new() }
}

impl<C: MlsConfig> Guest<C> {
    /// A KeyPackage as the directory would hand it out.
    pub(crate) fn claim(&self, now: SystemTime) -> ClaimedKeyPackage {
        // A clock that is a little behind, as ours allows for.
        let now = now.duration_since(UNIX_EPOCH).unwrap() - Duration::from_secs(60);
        let at = MlsTime::from_duration_since_epoch(now);
        let package = self
            .client
            .generate_key_package_message(ExtensionList::new(), ExtensionList::new(), Some(at))
            .unwrap();
        let DeviceName { aor, device } = self.name.clone();
        ClaimedKeyPackage { aor, device, key_package: bytes(&package) }
    }

    pub(crate) fn join(&mut self, delivery: &WelcomeDelivery) -> Result<(), MlsError> {
        let tree = ExportedTree::from_bytes(&delivery.tree)?;
        let (group, _) = self.client.join_group(Some(tree), &message(&delivery.welcome), None)?;
        self.group = Some(group);
        Ok(())
    }

    /// Enters by external commit, in place of the leaf this device may have already.
    pub(crate) fn enter(&mut self, state: &GroupState) -> Result<Bundle, MlsError> {
        let tree = ExportedTree::from_bytes(&state.tree)?;
        let me = self.client.signing_identity()?.0.signature_key.clone();
        let mut members = tree.roster().members().into_iter();
        let old = members.find(|member| member.signing_identity.signature_key == me);
        let mut builder = self.client.external_commit_builder()?;
        if let Some(old) = old {
            builder = builder.with_removal(old.index);
        }
        let (group, commit) = builder.with_tree_data(tree).build(message(&state.group_info))?;
        let group_info = group.group_info_message_allowing_ext_commit(false)?;
        self.group = Some(group);
        Ok(bundle(Kind::External, &commit, Vec::new(), &group_info))
    }

    /// A commit that lets these in, removes those, and covers what is pending; with new keys of its own if asked for.
    pub(crate) fn commit(
        &mut self,
        add: &[ClaimedKeyPackage],
        remove: &[DeviceName],
    ) -> Result<Bundle, MlsError> {
        let leaves: Vec<u32> = remove.iter().map(|name| self.leaf_of(name)).collect();
        let group = self.group.as_mut().unwrap();
        let mut builder = group.commit_builder();
        for claim in add {
            builder = builder.add_member(message(&claim.key_package))?;
        }
        for leaf in leaves {
            builder = builder.remove_member(leaf)?;
        }
        let output = builder.build()?;
        Ok(self.bundle_of(&output, add))
    }

    fn bundle_of(&self, output: &CommitOutput, add: &[ClaimedKeyPackage]) -> Bundle {
        let suite = mls_rs_crypto_rustcrypto::RustCryptoProvider::default()
            .cipher_suite_provider(CipherSuite::CURVE25519_AES128)
            .unwrap();
        let invitation = |claim: &ClaimedKeyPackage| {
            let reference = message(&claim.key_package).key_package_reference(&suite).unwrap();
            let reference = reference.unwrap();
            let meant = |welcome: &&MlsMessage| {
                welcome.welcome_key_package_references().contains(&&reference)
            };
            let welcome = output.welcome_messages().iter().find(meant).unwrap();
            let to = DeviceName { aor: claim.aor.clone(), device: claim.device.clone() };
            Invitation { to, welcome: bytes(welcome) }
        };
        let welcomes = add.iter().map(invitation).collect();
        let group_info = output.external_commit_group_info().unwrap();
        bundle(Kind::Commit, output.commit_message(), welcomes, group_info)
    }

    /// The focus has refused the own commit.
    pub(crate) fn abandon(&mut self) {
        self.group.as_mut().unwrap().clear_pending_commit();
    }

    /// One message of the group. An own commit takes effect when it comes back.
    pub(crate) fn hear(&mut self, bytes: &[u8]) -> Result<Heard, MlsError> {
        let group = self.group.as_mut().unwrap();
        Ok(match group.process_incoming_message(message(bytes))? {
            ReceivedMessage::Commit(commit) => match commit.effect {
                CommitEffect::NewEpoch(_) => Heard::Epoch(group.current_epoch()),
                CommitEffect::Removed { .. } => Heard::Removed,
                CommitEffect::ReInit(_) => panic!("nobody re-creates a group"),
            },
            ReceivedMessage::Proposal(_) => Heard::Proposal,
            ReceivedMessage::ApplicationMessage(said) => {
                let (version, id) = said.authenticated_data.split_first().unwrap();
                assert_eq!(*version, AAD_VERSION);
                let id = String::from_utf8(id.to_vec()).unwrap();
                Heard::Text { id, text: said.data().to_vec() }
            }
            other => panic!("not a message of a group: {other:?}"),
        })
    }

    pub(crate) fn say(&mut self, id: &str, text: &[u8]) -> Result<Bytes, MlsError> {
        let aad = [&[AAD_VERSION], id.as_bytes()].concat();
        let group = self.group.as_mut().unwrap();
        Ok(bytes(&group.encrypt_application_message(text, aad)?))
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.group.as_ref().unwrap().current_epoch()
    }

    pub(crate) fn authenticator(&self) -> Vec<u8> {
        self.group.as_ref().unwrap().epoch_authenticator().unwrap().as_bytes().to_vec()
    }

    pub(crate) fn export(&self, label: &str, context: &[u8], octets: usize) -> Vec<u8> {
        let group = self.group.as_ref().unwrap();
        group.export_secret(label.as_bytes(), context, octets).unwrap().as_bytes().to_vec()
    }

    /// The devices it sees in the group, in the order of the leaves.
    pub(crate) fn roster(&self, realm: &Realm) -> Vec<DeviceName> {
        let authority = Authority { roots: realm.issuer.roots().clone(), now: realm.now };
        let members = self.group.as_ref().unwrap().roster().members();
        members.iter().map(|m| authority.name_of(&m.signing_identity).unwrap()).collect()
    }

    /// The certificate that it sees in the leaf of this device.
    pub(crate) fn certificate_of(&self, name: &DeviceName) -> Vec<u8> {
        let members = self.group.as_ref().unwrap().roster().members();
        let leaf = self.leaf_of(name);
        let member = members.iter().find(|member| member.index == leaf).unwrap();
        let Credential::X509(chain) = &member.signing_identity.credential else {
            panic!("no X.509")
        };
        chain.first().unwrap().as_ref().to_vec()
    }

    fn leaf_of(&self, name: &DeviceName) -> u32 {
        let provider = self.client.identity_provider();
        let members = self.group.as_ref().unwrap().roster().members();
        let found = members.iter().find(|member| {
            let identity = provider.identity(&member.signing_identity, &ExtensionList::new());
            identity.unwrap_or_default() == name.to_string().into_bytes()
        });
        found.unwrap().index
    }

    pub(crate) fn group_id(&self) -> String {
        String::from_utf8(self.group.as_ref().unwrap().group_id().to_vec()).unwrap()
    }
}
