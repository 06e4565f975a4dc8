//! Commits that openmls does not build: written octet by octet and signed by a member, or larger than anybody needs.
use openmls::prelude::tls_codec::{Deserialize as _, Serialize as _};
use openmls::prelude::{
    Capabilities, CredentialType, Extension, ExtensionType, Extensions, KeyPackage, LeafNode,
    LeafNodeParameters, MlsMessageBodyIn, MlsMessageIn, MlsMessageOut, UnknownExtension,
};
use openmls_traits::signatures::Signer as _;

use super::attacks::{openmls_package, refused_by_members};
use super::support::{Room, claim, name, room7};
use crate::change::Fault;
use crate::group::SUITE;
use crate::ledger::{Ledger, Policy, Refusal};
use crate::member::{Keyring, Member};
use crate::wire::Bundle;

/// What follows the content of a commit: a signature, a confirmation tag and a membership tag, each behind its length.
const TAIL: usize = (2 + 64) + (1 + 32) + (1 + 32);
/// Version and wire format of an `MLSMessage`, which are signed too.
const HEAD: usize = 4;

/// bob's commit with another KeyPackage of the same length in it, signed anew. Its tags need secrets of the group that the
/// ledger does not have: it cannot tell.
fn with_another_package(room: &Room, bundle: Bundle, old: &[u8], new: &[u8]) -> Bundle {
    let (old, new) = (&old[HEAD..], &new[HEAD..]);
    assert_eq!(old.len(), new.len());
    let mut commit = bundle.commit.to_vec();
    let at = commit.windows(old.len()).position(|part| part == old).unwrap();
    commit[at..at + old.len()].copy_from_slice(new);

    let signed = commit.len() - TAIL;
    let context = context(room);
    let content = [&commit[..signed], &context].concat();
    let label = b"MLS 1.0 FramedContentTBS".as_slice();
    let labelled =
        [&label.tls_serialize_detached().unwrap()[..], &content.tls_serialize_detached().unwrap()];
    let signature = room.members[1].keyring().signer().sign(&labelled.concat()).unwrap();
    commit[signed + 2..signed + 2 + 64].copy_from_slice(&signature);
    Bundle { commit: commit.into(), ..bundle }
}

/// What a member signs of the group beside its commit.
fn context(room: &Room) -> Vec<u8> {
    let info = MlsMessageIn::tls_deserialize_exact(room.ledger.group_state().group_info);
    let MlsMessageBodyIn::GroupInfo(info) = info.unwrap().extract() else { panic!("no GroupInfo") };
    info.group_context().tls_serialize_detached().unwrap()
}

/// A KeyPackage as long as this one.
fn as_long(octets: usize, mut make: impl FnMut() -> Keyring) -> bytes::Bytes {
    let made = std::iter::repeat_with(|| claim(&make()).key_package).take(100);
    made.into_iter().find(|package| package.len() == octets).unwrap()
}

#[test]
fn two_added_leaves_of_one_key_are_refused_though_their_names_differ() {
    for same_key in [false, true] {
        let mut room = Room::with(41, &[("bob", 1)]);
        let (one, two) = (room.realm.device("erin", 1), room.realm.device("erin", 2));
        let (one_claimed, two_claimed) = (claim(&one).key_package, claim(&two).key_package);
        let packages = [&one_claimed, &two_claimed].map(|bytes| openmls_package(bytes));
        let honest = room.members[1].forge(vec![], |b| b.propose_adds(packages));
        let twin = as_long(two_claimed.len(), || {
            let key = if same_key { one.signer().clone() } else { room.realm.key() };
            let certificate = room.realm.certificate(&key, two.device());
            Keyring::unchecked(two.device(), key, &certificate, room.realm.issuer.roots())
        });
        let bundle = with_another_package(&room, honest, &two_claimed, &twin);

        let refusal = room.refusal(&name("bob", 1), &bundle);

        // Without the twin what was written so far is good, and the ledger goes on to the Welcomes.
        let missing = Refusal::Welcomes("one is missing");
        assert_eq!(refusal, if same_key { Refusal::Invalid } else { missing });
    }
}

const UNKNOWN: u16 = 0xff01;

/// What a leaf can do, and a type of extension that nobody knows.
fn with_unknown() -> Capabilities {
    Capabilities::new(
        None,
        Some(&[SUITE]),
        Some(&[ExtensionType::LastResort, ExtensionType::Unknown(UNKNOWN)]),
        None,
        Some(&[CredentialType::X509, CredentialType::Basic]),
    )
}

fn of_this_size(octets: usize) -> Extensions<LeafNode> {
    Extensions::single(Extension::Unknown(UNKNOWN, UnknownExtension(vec![0; octets]))).unwrap()
}

#[test]
fn a_leaf_that_would_swell_the_tree_is_not_brought_in_by_its_own_update() {
    let mut room = Room::with(42, &[("bob", 1)]);
    let leaf = |octets| {
        let leaf = LeafNodeParameters::builder().with_capabilities(with_unknown());
        leaf.with_extensions(of_this_size(octets)).build()
    };
    let small = room.members[1]
        .forge(vec![], |b| b.force_self_update(true).leaf_node_parameters(leaf(1000)));
    assert!(room.check(&name("bob", 1), &small).is_ok());
    room.members[1].abandon().unwrap();
    let large = room.members[1]
        .forge(vec![], |b| b.force_self_update(true).leaf_node_parameters(leaf(1 << 16)));

    let refusal = room.refusal(&name("bob", 1), &large);

    assert_eq!(refusal, Refusal::Forbidden("bring in a leaf that large"));
    refused_by_members(&mut room, &large, &Fault::Forbidden("bring in a leaf that large"));
}

#[test]
fn a_leaf_that_would_swell_the_tree_is_not_added() {
    let mut room = Room::with(43, &[("bob", 1)]);
    let erin = room.realm.device("erin", 1);
    let package = KeyPackage::builder()
        .leaf_node_capabilities(with_unknown())
        .leaf_node_extensions(of_this_size(1 << 16))
        .build(SUITE, erin.openmls(), erin.signer(), erin.credential_with_key())
        .unwrap();
    let package = MlsMessageOut::from(package.key_package().clone()).to_bytes().unwrap();
    let package = openmls_package(&package);
    let bundle = room.members[1].forge(vec![], |b| b.propose_adds([package]));

    let refusal = room.refusal(&name("bob", 1), &bundle);

    assert_eq!(refusal, Refusal::Forbidden("bring in a leaf that large"));
    refused_by_members(&mut room, &bundle, &Fault::Forbidden("bring in a leaf that large"));
}

/// A node that is blank takes one octet on its way and hundreds in memory.
#[test]
fn a_group_does_not_begin_with_a_tree_of_millions_of_nodes() {
    let mut room = Room::new(44);
    let erin = room.realm.device("erin", 1);
    let (_, honest) = Member::create(&erin, &room7(), ids::Era(1), room.realm.now).unwrap();
    let policy = Policy { by: erin.device(), on_roster: &|_| true, now: room.realm.now };
    let (focus, roots) = (room.realm.issuer.focus_key(), room.realm.issuer.roots());
    let begin = |bundle: &Bundle| {
        Ledger::create(&room7(), ids::Era(1), bundle, &focus, roots, &policy).map(drop)
    };
    assert_eq!(begin(&honest), Ok(()));
    // Behind the length of the list.
    let leaf = &honest.tree[2..];
    let nodes = [&vec![0; 3 << 20], leaf].concat();
    let tree = nodes.tls_serialize_detached().unwrap().into();

    let refused = begin(&Bundle { tree, ..honest });

    assert_eq!(refused, Err(Refusal::Malformed(crate::codec::Malformed("ratchet tree"))));
}
