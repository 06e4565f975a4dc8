//! Which file: name, type, size and hashes of it (RFC 5547, 5 and 6).
use std::fmt;

use super::{BadFile, is_token_octet, number};

/// Octets of a name.
const NAME_OCTETS_MAX: usize = 1024;
/// Octets of a media type with its parameters.
const TYPE_OCTETS_MAX: usize = 512;
/// Hashes of one file.
const HASHES_MAX: usize = 8;
/// Octets of one hash.
const HASH_OCTETS_MAX: usize = 64;

/// What is known of a file, or asked of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSelector {
    /// Its name, as its author wrote it. Never a path: make it harmless before a file system sees it.
    pub name: Option<String>,
    /// Its media type, with parameters if it has any.
    pub media_type: Option<String>,
    /// Its octets.
    pub size: Option<u64>,
    /// Hashes of all of it.
    pub hashes: Vec<FileHash>,
}

/// A hash of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileHash {
    /// In lower case: `sha-1`, `sha-256`.
    pub algorithm: String,
    /// Its octets.
    pub bytes: Vec<u8>,
}

impl FileHash {
    /// By its name and its octets.
    pub fn new(algorithm: &str, bytes: &[u8]) -> Self {
        Self { algorithm: algorithm.to_ascii_lowercase(), bytes: bytes.to_vec() }
    }
}

impl FileSelector {
    /// Whether nothing is said: then it is no file.
    pub fn is_empty(&self) -> bool {
        self.name.is_none()
            && self.media_type.is_none()
            && self.size.is_none()
            && self.hashes.is_empty()
    }

    /// The hash of this algorithm.
    pub fn hash(&self, algorithm: &str) -> Option<&[u8]> {
        let hash = self.hashes.iter().find(|hash| hash.algorithm == algorithm)?;
        Some(&hash.bytes)
    }

    /// Whether a file of which this is known is one that `asked` describes (RFC 5547, 8.3.2). What is asked for and not
    /// known does not fit, but one hash that fits is enough.
    pub fn fits(&self, asked: &Self) -> bool {
        let same = |ours: &Option<String>, theirs: &Option<String>| {
            theirs.is_none() || ours.as_deref() == theirs.as_deref()
        };
        let same_type = asked.media_type.is_none() || self.essence() == asked.essence();
        let known = |hash: &&FileHash| self.hash(&hash.algorithm).is_some();
        let mut compared = asked.hashes.iter().filter(known).peekable();
        let comparable = asked.hashes.is_empty() || compared.peek().is_some();
        same(&self.name, &asked.name)
            && same_type
            && (asked.size.is_none() || self.size == asked.size)
            && comparable
            && compared.all(|hash| self.hash(&hash.algorithm) == Some(&hash.bytes))
    }

    /// Whether both may be the same file: nothing that both say is different.
    pub fn may_be(&self, other: &Self) -> bool {
        fn agree<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
            one.zip(other).is_none_or(|(one, other)| one == other)
        }
        let hashes = self.hashes.iter().all(|hash| {
            other.hash(&hash.algorithm).is_none_or(|theirs| theirs == hash.bytes.as_slice())
        });
        agree(self.name.as_ref(), other.name.as_ref())
            && agree(self.essence().as_ref(), other.essence().as_ref())
            && agree(self.size.as_ref(), other.size.as_ref())
            && hashes
    }

    fn essence(&self) -> Option<String> {
        let essence = self.media_type.as_ref()?.split(';').next().unwrap_or_default();
        Some(essence.to_ascii_lowercase())
    }

    pub(super) fn parse(text: &str) -> Result<Self, BadFile> {
        let mut selector = Self::default();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (kind, behind) = rest.split_once(':').ok_or(BadFile::Selector)?;
            let (value, behind) = value(behind)?;
            selector.take(kind, value)?;
            rest = behind;
        }
        Ok(selector)
    }

    fn take(&mut self, kind: &str, value: &str) -> Result<(), BadFile> {
        let twice = match kind {
            "name" => {
                let name = value.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
                let name = name.and_then(unescaped).filter(|name| !name.is_empty());
                let name = name.filter(|name| name.len() <= NAME_OCTETS_MAX);
                self.name.replace(name.ok_or(BadFile::Selector)?).is_some()
            }
            "type" => {
                let legal = value.len() <= TYPE_OCTETS_MAX && is_media_type(value);
                let value = legal.then(|| value.to_owned()).ok_or(BadFile::Selector)?;
                self.media_type.replace(value).is_some()
            }
            "size" => self.size.replace(number(value).ok_or(BadFile::Selector)?).is_some(),
            "hash" => {
                let hash = hash(value).ok_or(BadFile::Selector)?;
                let twice = self.hash(&hash.algorithm).is_some();
                self.hashes.push(hash);
                twice || self.hashes.len() > HASHES_MAX
            }
            // What a later document adds says nothing to us.
            _ => false,
        };
        if twice { Err(BadFile::Selector) } else { Ok(()) }
    }
}

impl fmt::Display for FileSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        if let Some(name) = &self.name {
            write!(f, "name:\"{}\"", escaped(name))?;
            between = " ";
        }
        if let Some(media_type) = &self.media_type {
            write!(f, "{between}type:{media_type}")?;
            between = " ";
        }
        if let Some(size) = self.size {
            write!(f, "{between}size:{size}")?;
            between = " ";
        }
        for FileHash { algorithm, bytes } in &self.hashes {
            write!(f, "{between}hash:{algorithm}")?;
            bytes.iter().try_for_each(|octet| write!(f, ":{octet:02X}"))?;
            between = " ";
        }
        Ok(())
    }
}

/// One value, up to the first blank outside of quotes, and what stands behind it.
fn value(text: &str) -> Result<(&str, &str), BadFile> {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ' ' if !quoted => {
                let (value, behind) = text.split_at(at);
                return Ok((value, behind.trim_start()));
            }
            _ => {}
        }
    }
    if quoted { Err(BadFile::Selector) } else { Ok((text, "")) }
}

fn hash(text: &str) -> Option<FileHash> {
    let (algorithm, hex) = text.split_once(':')?;
    let named = !algorithm.is_empty() && algorithm.bytes().all(is_token_octet);
    let octet = |pair: &str| {
        let hex = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        if hex { u8::from_str_radix(pair, 16).ok() } else { None }
    };
    let bytes: Vec<u8> = hex.split(':').map(octet).collect::<Option<_>>()?;
    (named && bytes.len() <= HASH_OCTETS_MAX).then(|| FileHash::new(algorithm, &bytes))
}

/// `type/subtype` and parameters whose values are quoted.
fn is_media_type(text: &str) -> bool {
    let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
    let token = |text: &str| !text.is_empty() && text.bytes().all(is_token_octet);
    let named =
        essence.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype));
    named && !parameters.contains(char::is_control)
}

/// RFC 5547, 6: what the syntax does not allow, and what could be taken for folders, is written in hexadecimal.
fn escaped(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for c in name.chars() {
        if c.is_control() || matches!(c, '"' | '%' | '/' | '\\') {
            let mut octets = [0; 4];
            for octet in c.encode_utf8(&mut octets).bytes() {
                text.push_str(&format!("%{octet:02X}"));
            }
        } else {
            text.push(c);
        }
    }
    text
}

fn unescaped(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet == b'%' {
            let digit = |octet: u8| char::from(octet).to_digit(16);
            let (high, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
            octets.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            octets.push(octet);
        }
    }
    String::from_utf8(octets).ok()
}
