//! The octets of a vault: a header with the key to the rest, and sealed transactions.
//!
//! ```text
//! header       "conclave vault 1" | kind of key, memory, passes | salt | nonce | data key, sealed | checksum
//! transaction  length | length, inverted | nonce | (key, value or none)*, sealed with its place in the file
//! ```
//!
//! The data key is made anew with each file, so a transaction of one file opens in no other. The length stands twice so that
//! a damaged one is not taken for a transaction that was cut short.
use std::collections::BTreeMap;
use std::io;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use mls::storage::{Change, Octets, Records};
use rand::{CryptoRng, RngCore};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::VaultError;
use super::disk::Disk;
use super::key::{Cost, KEY_OCTETS, Key, SALT_OCTETS, VaultKey};

const MAGIC: &[u8; 16] = b"conclave vault 1";
const NONCE_OCTETS: usize = 12;
const TAG_OCTETS: usize = 16;
const SUM_OCTETS: usize = 8;
/// Magic, kind, memory, passes, salt.
const BEFORE_NONCE: usize = 16 + 1 + 4 + 4 + SALT_OCTETS;
const BEFORE_SUM: usize = BEFORE_NONCE + NONCE_OCTETS + KEY_OCTETS + TAG_OCTETS;
const HEADER: usize = BEFORE_SUM + SUM_OCTETS;
/// The two lengths of a transaction.
const LENGTHS: usize = 8;
/// The file is written anew when it has this much more than what counts, and twice as much.
const SLACK: usize = 8 << 20;

/// What went wrong.
#[derive(Debug)]
pub(super) enum Fault {
    Disk(&'static str, io::Error),
    Damaged { at: usize, what: &'static str },
    WrongKey,
    OtherKind { made_with: &'static str },
    Key(Box<VaultError>),
    Closed,
}

/// A log that is open for writing.
pub(super) struct Log<D> {
    disk: D,
    kind: u8,
    cost: Cost,
    salt: [u8; SALT_OCTETS],
    /// What the key in the header is sealed with.
    outer: Key,
    data: Key,
    octets: usize,
    /// What the file had when it was last written anew.
    fresh: usize,
    /// How much more it may have before it is written anew.
    pub(super) slack: usize,
    broken: bool,
}

/// Records by their keys.
type Values = BTreeMap<Vec<u8>, Octets>;

/// What was found.
pub(super) struct Opened<D> {
    pub(super) log: Log<D>,
    pub(super) values: Values,
    /// Octets of an interrupted write that were cut off.
    pub(super) cut: usize,
    /// Something that others may depend on was cut off.
    pub(super) in_doubt: bool,
}

impl<D: Disk> Log<D> {
    pub(super) fn open(
        mut disk: D,
        key: &VaultKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Opened<D>, Fault> {
        let octets = disk.read().map_err(|why| Fault::Disk("reading", why))?;
        if octets.is_empty() {
            return Self::begin(disk, key, rng);
        }
        let header = Header::read(&octets)?;
        if header.kind != key.kind() {
            return Err(Fault::OtherKind { made_with: VaultKey::kind_in_words(header.kind) });
        }
        let outer =
            key.derive(&header.salt, header.cost, None).map_err(|e| Fault::Key(e.into()))?;
        let data = header.data_key(&octets, &outer)?;
        let (values, end, in_doubt) = replay(&octets, &data)?;
        let cut = octets.len() - end;
        if cut > 0 {
            let keep = u64::try_from(end).unwrap_or(u64::MAX);
            disk.cut(keep).map_err(|why| Fault::Disk("cutting", why))?;
        }
        let Header { kind, cost, salt } = header;
        let fresh = values.iter().map(|(key, value)| key.len() + value.len()).sum();
        let log = Self {
            disk,
            kind,
            cost,
            salt,
            outer,
            data,
            octets: end,
            fresh,
            slack: SLACK,
            broken: false,
        };
        Ok(Opened { log, values, cut, in_doubt })
    }

    fn begin(disk: D, key: &VaultKey, rng: &mut impl CryptoRng) -> Result<Opened<D>, Fault> {
        let mut salt = [0; SALT_OCTETS];
        rng.fill_bytes(&mut salt);
        let cost = key.cost();
        let outer = key.derive(&salt, cost, Some(rng)).map_err(|e| Fault::Key(e.into()))?;
        let (kind, data) = (key.kind(), Key::default());
        let mut log = Self {
            disk,
            kind,
            cost,
            salt,
            outer,
            data,
            octets: 0,
            fresh: 0,
            slack: SLACK,
            broken: false,
        };
        log.write_anew(&[], rng)?;
        Ok(Opened { log, values: Default::default(), cut: 0, in_doubt: false })
    }

    /// Takes what has changed to the disk.
    pub(super) fn commit(
        &mut self,
        records: &Records,
        rng: &mut impl CryptoRng,
    ) -> Result<(), Fault> {
        if self.broken {
            return Err(Fault::Closed);
        }
        let changes = records.drain();
        if changes.is_empty() {
            return Ok(());
        }
        self.broken = true;
        let sealed = transaction(&changes, &self.data, self.octets, rng);
        self.disk.append(&sealed).map_err(|why| Fault::Disk("writing", why))?;
        self.octets += sealed.len();
        if self.octets > 2 * self.fresh + self.slack {
            self.write_anew(&records.snapshot(), rng)?;
        }
        self.broken = false;
        Ok(())
    }

    /// Whether a write has failed, or was left: nobody knows how much of it is there.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// A new file with a new key and these records.
    fn write_anew(&mut self, records: &[Change], rng: &mut impl CryptoRng) -> Result<(), Fault> {
        rng.fill_bytes(&mut *self.data);
        let mut file = self.header(rng);
        if !records.is_empty() {
            file.extend(transaction(records, &self.data, file.len(), rng));
        }
        self.disk.replace(&file).map_err(|why| Fault::Disk("writing anew", why))?;
        (self.octets, self.fresh) = (file.len(), file.len());
        Ok(())
    }

    fn header(&self, rng: &mut impl RngCore) -> Vec<u8> {
        let mut header = Vec::with_capacity(HEADER);
        header.extend_from_slice(MAGIC);
        header.push(self.kind);
        header.extend_from_slice(&self.cost.memory_kib.to_be_bytes());
        header.extend_from_slice(&self.cost.passes.to_be_bytes());
        header.extend_from_slice(&self.salt);
        let sealed = seal(&self.outer, &header, &*self.data, rng);
        header.extend(sealed);
        let sum = Sha256::digest(&header);
        header.extend_from_slice(sum.get(..SUM_OCTETS).unwrap_or_default());
        header
    }
}

struct Header {
    kind: u8,
    cost: Cost,
    salt: [u8; SALT_OCTETS],
}

impl Header {
    fn read(file: &[u8]) -> Result<Self, Fault> {
        let damaged = |what| Fault::Damaged { at: 0, what };
        if !file.starts_with(MAGIC) {
            return Err(damaged("it does not begin as a vault of this version"));
        }
        let sum = file.get(..BEFORE_SUM).map(Sha256::digest);
        let read = || -> Option<Self> {
            let mut rest = file.get(MAGIC.len()..)?;
            let [kind] = take(&mut rest)?;
            let memory_kib = u32::from_be_bytes(take(&mut rest)?);
            let passes = u32::from_be_bytes(take(&mut rest)?);
            Some(Self { kind, cost: Cost { memory_kib, passes }, salt: take(&mut rest)? })
        };
        let is_whole = sum.is_some_and(|sum| file.get(BEFORE_SUM..HEADER) == sum.get(..SUM_OCTETS));
        let header = read().filter(|header| is_whole && header.cost.is_bearable());
        header.ok_or_else(|| damaged("its header is not what was written"))
    }

    fn data_key(&self, file: &[u8], outer: &Key) -> Result<Key, Fault> {
        let parts = file.get(..BEFORE_NONCE).zip(file.get(BEFORE_NONCE..BEFORE_SUM));
        let opened = parts.and_then(|(header, sealed)| open(outer, header, sealed));
        let mut key = Key::default();
        match opened {
            Some(data) if data.len() == KEY_OCTETS => key.copy_from_slice(&data),
            _ => return Err(Fault::WrongKey),
        }
        Ok(key)
    }
}

/// Follows the transactions: what the records are, where the last good one ends, and whether what is behind it may have
/// been relied on.
fn replay(file: &[u8], data: &Key) -> Result<(Values, usize, bool), Fault> {
    let (mut values, mut at) = (Values::new(), HEADER);
    loop {
        let rest = file.get(at..).unwrap_or_default();
        if rest.len() < LENGTHS {
            return Ok((values, at, false));
        }
        // A file may have grown without its content: the machine stopped, not the program.
        if rest.iter().all(|octet| *octet == 0) {
            return Ok((values, at, true));
        }
        let mut lengths = rest;
        let both = take(&mut lengths).zip(take(&mut lengths));
        let length = both.map(|(a, b)| (u32::from_be_bytes(a), u32::from_be_bytes(b)));
        let Some(length) = length.filter(|(a, b)| *a == !*b).map(|(a, _)| a as usize) else {
            return Err(Fault::Damaged { at, what: "the length of a transaction" });
        };
        let Some(sealed) = lengths.get(..length) else { return Ok((values, at, false)) };
        let place = u64::try_from(at).unwrap_or(u64::MAX).to_be_bytes();
        let is_last = lengths.len() == length;
        match open(data, &place, sealed).and_then(|changes| apply(&mut values, &changes)) {
            Some(()) => at += LENGTHS + length,
            None if is_last => return Ok((values, at, true)),
            None => return Err(Fault::Damaged { at, what: "a transaction does not open" }),
        }
    }
}

fn transaction(changes: &[Change], data: &Key, at: usize, rng: &mut impl RngCore) -> Vec<u8> {
    let mut plain = Zeroizing::new(Vec::with_capacity(
        changes.iter().map(|c| c.key.len() + c.value.as_ref().map_or(0, |v| v.len()) + 9).sum(),
    ));
    let mut part = |octets: &[u8]| {
        plain.extend_from_slice(&u32::try_from(octets.len()).unwrap_or(u32::MAX).to_be_bytes());
        plain.extend_from_slice(octets);
    };
    for change in changes {
        part(&change.key);
        match &change.value {
            Some(value) => {
                part(&[1]);
                part(value);
            }
            None => part(&[0]),
        }
    }
    let place = u64::try_from(at).unwrap_or(u64::MAX).to_be_bytes();
    let sealed = seal(data, &place, &plain, rng);
    let length = u32::try_from(sealed.len()).unwrap_or(u32::MAX);
    let mut file = Vec::with_capacity(LENGTHS + sealed.len());
    file.extend_from_slice(&length.to_be_bytes());
    file.extend_from_slice(&(!length).to_be_bytes());
    file.extend(sealed);
    file
}

fn apply(values: &mut Values, mut changes: &[u8]) -> Option<()> {
    let mut part = || -> Option<Option<Vec<u8>>> {
        if changes.is_empty() {
            return Some(None);
        }
        let length = u32::from_be_bytes(take(&mut changes)?) as usize;
        let (part, rest) = changes.split_at_checked(length)?;
        changes = rest;
        Some(Some(part.to_vec()))
    };
    while let Some(key) = part()? {
        match part()??.as_slice() {
            [1] => drop(values.insert(key, part()??.into())),
            [0] => drop(values.remove(&key)),
            _ => return None,
        }
    }
    Some(())
}

/// Seals behind a random nonce.
fn seal(key: &Key, context: &[u8], plain: &[u8], rng: &mut impl RngCore) -> Vec<u8> {
    let mut nonce = [0; NONCE_OCTETS];
    rng.fill_bytes(&mut nonce);
    let payload = Payload { msg: plain, aad: context };
    let sealed = Aes256Gcm::new((&**key).into()).encrypt(Nonce::from_slice(&nonce), payload);
    let sealed = sealed.expect("AES-GCM seals up to 64 GiB");
    [nonce.as_slice(), &sealed].concat()
}

fn open(key: &Key, context: &[u8], sealed: &[u8]) -> Option<Octets> {
    let (nonce, sealed) = sealed.split_at_checked(NONCE_OCTETS)?;
    let payload = Payload { msg: sealed, aad: context };
    let opened = Aes256Gcm::new((&**key).into()).decrypt(Nonce::from_slice(nonce), payload);
    opened.ok().map(Octets::from)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, behind) = rest.split_first_chunk()?;
    *rest = behind;
    Some(*taken)
}
