//! Header fields: kept as bytes in their order, read as what they mean only when asked.
//!
//! [`Headers`] holds raw values, so a value that is not UTF-8 or not grammatical hurts nobody but who asks for it.
//! The accessors named after a field parse it; every typed value has a `Display` that writes it back.
mod fields;
mod list;
mod name;
mod name_addr;
mod params;
pub(crate) mod scan;
mod session;
mod typed;
mod via;

pub use fields::{
    CSeq, Contacts, Event, MediaType, ReasonValue, SubscriptionState, SubscriptionStatus, Warning,
};
pub use list::{Header, Headers};
pub use name::Name;
pub use name_addr::NameAddr;
pub use params::{Param, Params};
pub use session::{Refresher, SessionExpires};
pub use via::{MAGIC_COOKIE, Via};

/// A header field that was asked for and cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {fault}")]
pub struct BadHeader {
    /// Which field.
    pub name: Name,
    /// What is wrong with it.
    pub fault: HeaderFault,
}

/// What is wrong with a header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderFault {
    /// It is not there.
    #[error("missing")]
    Missing,
    /// It may be there once only.
    #[error("repeated")]
    Repeated,
    /// It does not follow its grammar.
    #[error("malformed")]
    Malformed,
}

impl BadHeader {
    pub(crate) fn missing(name: Name) -> Self {
        Self { name, fault: HeaderFault::Missing }
    }

    pub(crate) fn repeated(name: Name) -> Self {
        Self { name, fault: HeaderFault::Repeated }
    }

    pub(crate) fn malformed(name: Name) -> Self {
        Self { name, fault: HeaderFault::Malformed }
    }
}
