//! The header fields of one message, in order, as bytes.
use std::borrow::Cow;

use bytes::Bytes;

use super::name::Name;
use super::scan::split_commas;
use super::{BadHeader, HeaderFault};

/// One header field line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: Name,
    value: Bytes,
}

impl Header {
    /// The value as it came: white space around it removed, folds joined. It has no line breaks.
    pub fn value(&self) -> &[u8] {
        &self.value
    }
}

/// Header fields in the order of the message. Lists written with commas and lists written as several lines are the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<Header>);

impl Headers {
    /// No fields.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every line, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Header> {
        self.0.iter()
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is a line of this name.
    pub fn has(&self, name: &Name) -> bool {
        self.raw(name).next().is_some()
    }

    /// The values of the lines of this name, as bytes.
    pub fn raw<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = &'a Bytes> {
        self.0.iter().filter(move |header| header.name == *name).map(|header| &header.value)
    }

    /// The first value of this name as text; what is not UTF-8 shows as U+FFFD.
    pub fn text<'a>(&'a self, name: &'a Name) -> Option<Cow<'a, str>> {
        self.raw(name).next().map(|value| String::from_utf8_lossy(value))
    }

    /// The one value of this name: an error if there is none or more than one.
    pub fn only<'a>(&'a self, name: &'a Name) -> Result<Cow<'a, str>, BadHeader> {
        let mut values = self.raw(name);
        let first = values.next().ok_or_else(|| BadHeader::missing(name.clone()))?;
        match values.next() {
            None => Ok(String::from_utf8_lossy(first)),
            Some(_) => Err(BadHeader::repeated(name.clone())),
        }
    }

    /// The one value of this name, or `None`.
    pub fn at_most_one<'a>(&'a self, name: &'a Name) -> Result<Option<Cow<'a, str>>, BadHeader> {
        match self.only(name) {
            Ok(value) => Ok(Some(value)),
            Err(BadHeader { fault: HeaderFault::Missing, .. }) => Ok(None),
            Err(bad) => Err(bad),
        }
    }

    /// Every element of the comma-separated list of this name, over all its lines, empty ones left out. Not for
    /// fields whose values have commas of their own (Date, WWW-Authenticate, Authorization).
    pub fn elements<'a>(&'a self, name: &'a Name) -> impl Iterator<Item = String> + 'a {
        self.raw(name).flat_map(|value| {
            let text = String::from_utf8_lossy(value);
            let parts = split_commas(&text).filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect::<Vec<_>>()
        })
    }

    /// Whether the list of this name (Supported, Require, Allow, ..) has this element, in any case.
    pub fn lists(&self, name: &Name, element: &str) -> bool {
        self.raw(name).any(|value| {
            let text = String::from_utf8_lossy(value);
            split_commas(&text).any(|part| part.eq_ignore_ascii_case(element))
        })
    }

    /// Adds a line behind the others. Line breaks in `value` become spaces, so that a value stays one value.
    pub fn push(&mut self, name: Name, value: impl Into<Bytes>) {
        self.0.push(Header { name, value: one_line(value.into()) });
    }

    /// Adds a line in front of the others, as Via and Record-Route need.
    pub fn push_front(&mut self, name: Name, value: impl Into<Bytes>) {
        self.0.insert(0, Header { name, value: one_line(value.into()) });
    }

    /// Puts one line in the place of all lines of this name.
    pub fn set(&mut self, name: Name, value: impl Into<Bytes>) {
        let value = one_line(value.into());
        let Some(first) = self.0.iter().position(|header| header.name == name) else {
            self.0.push(Header { name, value });
            return;
        };
        let mut at = 0..;
        self.0.retain_mut(|header| {
            let is_first = at.next() == Some(first);
            if is_first {
                header.value = value.clone();
            }
            is_first || header.name != name
        });
    }

    /// Takes all lines of this name away.
    pub fn remove(&mut self, name: &Name) {
        self.0.retain(|header| header.name != *name);
    }

    /// Copies all lines of this name from `other`, behind the lines that are here.
    pub fn copy(&mut self, name: &Name, other: &Self) {
        self.0.extend(other.0.iter().filter(|header| header.name == *name).cloned());
    }

    /// For the decoder, whose values have no line breaks.
    pub(crate) fn push_clean(&mut self, name: Name, value: Bytes) {
        self.0.push(Header { name, value });
    }
}

fn one_line(value: Bytes) -> Bytes {
    let breaks = |byte: &u8| matches!(byte, b'\r' | b'\n');
    let value = match value.iter().any(breaks) {
        true => value.iter().map(|byte| if breaks(byte) { b' ' } else { *byte }).collect(),
        false => value,
    };
    let trimmed = value.trim_ascii();
    if trimmed.len() == value.len() { value.clone() } else { value.slice_ref(trimmed) }
}
