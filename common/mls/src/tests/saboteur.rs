//! A member whose commits are well signed and tagged, and which others cannot follow all the same: with a false
//! confirmation tag, or with path secrets that are bad for some. Nobody without the group's secrets can tell.
use ids::{Epoch, Era};
use openmls::prelude::tls_codec::SecretVLBytes;
use openmls::prelude::{
    AeadType, Ciphersuite, CryptoError, ExporterSecret, HashType, HpkeCiphertext, HpkeConfig,
    HpkeKeyPair, KemOutput, SignatureScheme,
};
use openmls_rust_crypto::RustCrypto;
use openmls_traits::crypto::OpenMlsCrypto;

use super::attacks::openmls_package;
use super::support::{Room, claim, join, name, room7};
use crate::ledger::Verdict;
use crate::member::{Member, MemberError, Processed};
use crate::wire::{Bundle, EpochReport, Finding};

/// What is false in the commit.
enum Spoils {
    /// The confirmation tag (RFC 9420, 8.1). Membership tag and GroupInfo are made for it, as they should be.
    Confirmation,
    /// The ciphertext for the holder of this key does not open.
    Ciphertext(Vec<u8>),
    /// What the holder of this key opens is not the secret of the path.
    PathSecret(Vec<u8>),
}

/// openmls's cryptography, but for one thing.
struct Saboteur(RustCrypto, Spoils);

impl Saboteur {
    fn new(spoils: Spoils) -> Self {
        Self(RustCrypto::default(), spoils)
    }
}

fn flipped(octets: &[u8]) -> Vec<u8> {
    let mut octets = octets.to_vec();
    octets[0] ^= 1;
    octets
}

type Made<T> = Result<T, CryptoError>;

impl OpenMlsCrypto for Saboteur {
    fn hmac(&self, hash: HashType, key: &[u8], message: &[u8]) -> Made<SecretVLBytes> {
        let tag = self.0.hmac(hash, key, message)?;
        // What is confirmed is one hash; what a membership tag is for is longer.
        let is_confirmation = message.len() == 32;
        let spoilt = matches!(self.1, Spoils::Confirmation) && is_confirmation;
        Ok(if spoilt { flipped(tag.as_slice()).into() } else { tag })
    }

    fn hpke_seal(
        &self,
        config: HpkeConfig,
        to: &[u8],
        info: &[u8],
        aad: &[u8],
        plaintext: &[u8],
    ) -> Made<HpkeCiphertext> {
        match &self.1 {
            Spoils::PathSecret(victim) if victim == to => {
                self.0.hpke_seal(config, to, info, aad, &flipped(plaintext))
            }
            Spoils::Ciphertext(victim) if victim == to => {
                let mut sealed = self.0.hpke_seal(config, to, info, aad, plaintext)?;
                sealed.ciphertext = flipped(sealed.ciphertext.as_slice()).into();
                Ok(sealed)
            }
            _ => self.0.hpke_seal(config, to, info, aad, plaintext),
        }
    }

    fn supports(&self, suite: Ciphersuite) -> Made<()> {
        self.0.supports(suite)
    }

    fn supported_ciphersuites(&self) -> Vec<Ciphersuite> {
        self.0.supported_ciphersuites()
    }

    fn hkdf_extract(&self, hash: HashType, salt: &[u8], ikm: &[u8]) -> Made<SecretVLBytes> {
        self.0.hkdf_extract(hash, salt, ikm)
    }

    fn hkdf_expand(
        &self,
        hash: HashType,
        prk: &[u8],
        info: &[u8],
        octets: usize,
    ) -> Made<SecretVLBytes> {
        self.0.hkdf_expand(hash, prk, info, octets)
    }

    fn hash(&self, hash: HashType, data: &[u8]) -> Made<Vec<u8>> {
        self.0.hash(hash, data)
    }

    fn aead_encrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        data: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Made<Vec<u8>> {
        self.0.aead_encrypt(alg, key, data, nonce, aad)
    }

    fn aead_decrypt(
        &self,
        alg: AeadType,
        key: &[u8],
        sealed: &[u8],
        nonce: &[u8],
        aad: &[u8],
    ) -> Made<Vec<u8>> {
        self.0.aead_decrypt(alg, key, sealed, nonce, aad)
    }

    fn signature_key_gen(&self, alg: SignatureScheme) -> Made<(Vec<u8>, Vec<u8>)> {
        self.0.signature_key_gen(alg)
    }

    fn verify_signature(
        &self,
        alg: SignatureScheme,
        data: &[u8],
        key: &[u8],
        signature: &[u8],
    ) -> Made<()> {
        self.0.verify_signature(alg, data, key, signature)
    }

    fn sign(&self, alg: SignatureScheme, data: &[u8], key: &[u8]) -> Made<Vec<u8>> {
        self.0.sign(alg, data, key)
    }

    fn hpke_open(
        &self,
        config: HpkeConfig,
        input: &HpkeCiphertext,
        key: &[u8],
        info: &[u8],
        aad: &[u8],
    ) -> Made<Vec<u8>> {
        self.0.hpke_open(config, input, key, info, aad)
    }

    fn hpke_setup_sender_and_export(
        &self,
        config: HpkeConfig,
        to: &[u8],
        info: &[u8],
        context: &[u8],
        octets: usize,
    ) -> Made<(KemOutput, ExporterSecret)> {
        self.0.hpke_setup_sender_and_export(config, to, info, context, octets)
    }

    fn hpke_setup_receiver_and_export(
        &self,
        config: HpkeConfig,
        enc: &[u8],
        key: &[u8],
        info: &[u8],
        context: &[u8],
        octets: usize,
    ) -> Made<ExporterSecret> {
        self.0.hpke_setup_receiver_and_export(config, enc, key, info, context, octets)
    }

    fn derive_hpke_keypair(&self, config: HpkeConfig, ikm: &[u8]) -> Made<HpkeKeyPair> {
        self.0.derive_hpke_keypair(config, ikm)
    }
}

/// What this member says of a commit that it cannot follow.
fn complaint(member: &Member) -> EpochReport {
    let report = member.report_unusable();
    assert_eq!((report.era, report.epoch), (Era(1), Epoch(2)));
    assert_eq!(report.finding, Finding::Unusable);
    report
}

/// bob's commit that lets erin in, with a false confirmation tag and everything else as it should be.
fn unconfirmed(room: &mut Room, erin: &crate::member::Keyring) -> Bundle {
    let package = openmls_package(&claim(erin).key_package);
    let crypto = Saboteur::new(Spoils::Confirmation);
    let reference = package.hash_ref(&crypto).unwrap().as_slice().to_vec();
    let invited = vec![(erin.device().clone(), reference)];
    room.members[1].forge_with(&crypto, invited, |b| b.propose_adds([package]))
}

#[test]
fn a_commit_with_a_false_confirmation_tag_is_followed_by_nobody_and_everybody_says_so() {
    let mut room = Room::with(31, &[("bob", 1), ("carol", 1)]);
    let erin = room.realm.device("erin", 1);
    let bundle = unconfirmed(&mut room, &erin);
    let now = room.realm.now;

    // The ledger has no secret to check it with.
    assert!(matches!(room.check(&name("bob", 1), &bundle), Ok(Verdict::New(_))));
    for at in [0, 2] {
        let before = room.members[at].authenticator();
        let refused = room.members[at].process(&bundle.commit, now);
        assert_eq!(refused, Err(MemberError::Unreadable));
        assert_eq!(room.members[at].authenticator(), before, "it stays where it is");
        complaint(&room.members[at]);
    }

    // Nothing was accepted: the group goes on without it.
    room.members[1].abandon().unwrap();
    room.add(0, &[erin]);
    assert_eq!(room.say(1, "m", b"still here").len(), 3);
}

#[test]
fn a_newcomer_does_not_join_an_epoch_whose_confirmation_tag_is_false() {
    let mut room = Room::with(32, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let bundle = unconfirmed(&mut room, &erin);
    let accepted = room.accept(&name("bob", 1), &bundle);

    let joined = Member::join(&erin, &room7(), &accepted.welcomes[0].1, room.realm.now);

    assert!(joined.is_err(), "{joined:?}");
}

#[test]
fn a_commit_whose_path_is_bad_for_some_shuts_out_only_those_and_they_come_back() {
    for (seed, forgery) in [(33, Spoils::Ciphertext as fn(_) -> _), (34, Spoils::PathSecret)] {
        let mut room = Room::with(seed, &[("bob", 1), ("carol", 1), ("dave", 1)]);
        let dave = room.members[3].keyring();
        let key = dave.device().clone();
        let leaf =
            room.members[1].group().members().find(|m| m.signature_key == dave.signer().public());
        let crypto = Saboteur::new(forgery(leaf.unwrap().encryption_key));
        let bundle = room.members[1].forge_with(&crypto, vec![], |b| b.force_self_update(true));
        let commit = room.accept(&name("bob", 1), &bundle).commit.unwrap();
        let now = room.realm.now;

        for at in 0..3 {
            let followed = room.members[at].process(&commit, now);
            assert!(matches!(followed, Ok(Processed::Commit(_))), "{followed:?}");
        }
        assert_eq!(room.members[3].process(&commit, now), Err(MemberError::Unreadable));
        complaint(&room.members[3]);
        let meanwhile = room.members[0].seal("m1", b"without dave").unwrap();
        let early = room.members[3].process(&meanwhile, now);
        assert_eq!(early, Ok(Processed::Future { epoch: Epoch(2) }));

        room.members.pop();
        let accepted = room.enter(&dave);
        assert_eq!((accepted.added, accepted.removed), (vec![key.clone()], vec![key]));
        assert_eq!(room.say(3, "m2", b"back").len(), 3);
    }
}

/// A last resort is handed out again and again. Who replays the Welcome of a group that the device has left gets it
/// into nothing.
#[test]
fn a_replayed_welcome_for_a_last_resort_does_not_lead_back_into_a_group_that_was_left() {
    let mut room = Room::with(35, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let upload = erin.key_packages(0, true, room.realm.now, 30 * super::support::DAY).unwrap();
    let package =
        crate::wire::ClaimedKeyPackage { key_package: upload.last_resort.unwrap(), ..claim(&erin) };
    let bundle = room.members[0].add(&[package], room.realm.now).unwrap();
    let accepted = room.accept(&name("alice", 1), &bundle);
    let (commit, delivery) = (accepted.commit.unwrap(), &accepted.welcomes[0].1);
    room.broadcast(&commit);
    join(&erin, delivery, room.realm.now).forget();

    let replayed = Member::join(&erin, &room7(), delivery, room.realm.now);

    assert_eq!(replayed.unwrap_err(), MemberError::NotForUs);
    assert!(Member::load(&erin, &room7()).unwrap().is_none());
}
