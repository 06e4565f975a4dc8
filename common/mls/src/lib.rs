//! Group keys (MLS, RFC 9420): who a device is, which commit wins, and what only members can read.
//!
//! This is the only crate that names openmls. It is pure: time is an argument, randomness too (openmls draws its
//! own, and compares the lifetimes of KeyPackages with the system clock: the one exception).
//!
//! | module | who uses it | what it does |
//! |---|---|---|
//! | [`identity`] | issuer, everybody | device keys, certificates, and the check of both |
//! | [`key_packages`] | directory, members | is this KeyPackage good, and whose is it? |
//! | [`wire`] | everybody | what devices and the focus tell each other |
//! | [`ledger`] | focus | which change of the group is next; holds no secret |
//! | [`member`] | device | joins, commits, seals and opens |
//! | [`circle`] | device, focus | the group of people who write to each other outside of a room |
//! | [`files`] | device | sealed files of any size |
//! | [`storage`] | device | what it keeps of its groups, and when that has to be on disk |
//!
//! **Names.** A group's id is `conference#era`; the era grows when a group is made anew. A *device* is a person and
//! a device id, and has at most one leaf. One suite: X25519, AES-128-GCM, SHA-256, Ed25519. Handshakes travel as
//! PublicMessages, because the focus has to check them; application messages as PrivateMessages.
//!
//! **Where rules live.** What openmls checks is not repeated. What everybody must check is in `change`, used by
//! ledger and member alike. What only the server can know (sender, roster, pending Removes, completeness of a
//! bundle) is in `ledger::rules` and its neighbours.
//!
//! ```
//! # #[expect(clippy::disallowed_methods, reason = "openmls reads this clock, the example has to agree with it")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use ids::{ConferenceId, DeviceId, Era};
//! use mls::identity::{DeviceKey, Issuer, request};
//! use mls::ledger::{Ledger, Policy, Verdict};
//! use mls::member::{Keyring, Member, Processed};
//! use mls::wire::{ClaimedKeyPackage, DeviceName};
//! use rand::SeedableRng as _;
//!
//! let mut rng = rand::rngs::StdRng::seed_from_u64(1);
//! let now = std::time::SystemTime::now();
//! let day = Duration::from_secs(24 * 3600);
//!
//! // An authority, and two devices with certificates.
//! let issuer = Issuer::generate(&mut rng, "example.net devices", now, 365 * day)?;
//! let mut enrol = |person: &str| -> Result<Keyring, Box<dyn std::error::Error>> {
//!     let name = DeviceName { aor: person.parse()?, device: DeviceId::random(&mut rng) };
//!     let key = DeviceKey::generate(&mut rng);
//!     let certificate = issuer.issue(&request(&key, &name)?, &name, now, 30 * day)?;
//!     Ok(Keyring::new(key, &certificate, issuer.roots(), now)?)
//! };
//! let (alice, bob) = (enrol("sip:alice@example.net")?, enrol("sip:bob@example.net")?);
//!
//! // alice creates the group; the focus keeps a ledger of it.
//! let room: ConferenceId = "room7".parse()?;
//! let (mut a, bundle) = Member::create(&alice, &room, Era(1), now)?;
//! let policy = Policy { by: alice.device(), on_roster: &|_| true, now };
//! let created = Ledger::create(&room, Era(1), &bundle, &issuer.focus_key(), issuer.roots(), &policy)?;
//! let (mut ledger, _) = created.into_ledger();
//!
//! // alice adds bob. The commit counts once the focus has accepted it and it comes back.
//! let key_package = bob.key_packages(1, false, now, 30 * day)?.packages.remove(0);
//! let DeviceName { aor, device } = bob.device().clone();
//! let bundle = a.add(&[ClaimedKeyPackage { aor, device, key_package }], now)?;
//! let Verdict::New(checked) = ledger.check(&bundle, &policy)? else { panic!("seen before") };
//! let accepted = ledger.apply(*checked)?;
//! let (_, welcome) = accepted.welcomes.first().ok_or("no Welcome")?;
//! let mut b = Member::join(&bob, &room, welcome, now)?;
//! a.process(&accepted.commit.ok_or("no commit")?, now)?;
//! assert_eq!(a.authenticator(), b.authenticator());
//!
//! let sealed = a.seal("message-1", b"hello bob")?;
//! let Processed::Message(opened) = b.process(&sealed, now)? else { panic!("no message") };
//! assert_eq!((opened.from, opened.plaintext), (alice.device().clone(), b"hello bob".to_vec()));
//! # Ok(())
//! # }
//! ```
pub mod circle;
pub mod files;
pub mod identity;
pub mod key_packages;
pub mod ledger;
pub mod member;
pub mod storage;
pub mod wire;

mod change;
mod codec;
mod group;
mod number;
mod roster;
mod welcome;

pub use change::Fault;

#[cfg(test)]
mod tests;
