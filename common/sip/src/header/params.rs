//! Parameters, `;name=value`, of URIs and of header fields. Values are kept as written, quotes included.
use std::borrow::Cow;
use std::fmt;

use super::scan::{quote, unquote};

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    pub(crate) name: Box<str>,
    pub(crate) value: Option<Box<str>>,
}

impl Param {
    /// The name as written; it is compared without regard to case.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value as written, with its quotes if it has them; `None` without a `=`.
    pub fn value(&self) -> Option<&str> {
        self.value.as_deref()
    }
}

/// Parameters in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params(Vec<Param>);

impl Params {
    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Param> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The parameter of this name.
    pub fn find(&self, name: &str) -> Option<&Param> {
        self.0.iter().find(|param| param.name.eq_ignore_ascii_case(name))
    }

    /// Whether there is a parameter of this name, with or without a value.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The value of this name as written, with its quotes.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.find(name)?.value()
    }

    /// The value of this name as text: quotes taken off, escapes undone.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        self.value(name).map(unquote)
    }

    /// Sets `name` to `value` (nothing after the name if `None`), in place of an older value. A value that is no token
    /// is written in quotes; line breaks and other control characters become spaces.
    pub fn set(&mut self, name: &str, value: Option<&str>) {
        let value = value.map(|value| quote(value).into());
        match self.0.iter_mut().find(|param| param.name.eq_ignore_ascii_case(name)) {
            Some(param) => param.value = value,
            None => self.0.push(Param { name: name.into(), value }),
        }
    }

    /// Takes the parameter of this name away.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|param| !param.name.eq_ignore_ascii_case(name));
    }

    pub(crate) fn push_raw(&mut self, name: &str, value: Option<&str>) {
        self.0.push(Param { name: name.into(), value: value.map(Into::into) });
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for param in &self.0 {
            write!(f, ";{}", param.name)?;
            if let Some(value) = &param.value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}
