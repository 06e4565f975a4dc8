//! What went wrong while operating: what it is, where, and how to mend it; and the exit code that tells scripts the kind.
use std::fmt;

/// A command that did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// What is wrong.
    pub(crate) what: String,
    /// Where: a file, an address, a part of the request.
    pub(crate) place: String,
    /// What to do about it.
    pub(crate) mend: String,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It could not be done.
    Failed,
    /// What was named is not there.
    NotFound,
    /// The MRFC does not let us.
    Denied,
    /// The MRFC cannot be reached, or not so.
    Unreachable,
}

impl Failure {
    pub(crate) fn new(
        kind: Kind,
        what: impl ToString,
        place: impl ToString,
        mend: impl ToString,
    ) -> Self {
        Self { kind, what: what.to_string(), place: place.to_string(), mend: mend.to_string() }
    }

    /// For `main`: 2 is the grammar's.
    pub(crate) const fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Failed => 1,
            Kind::NotFound => 3,
            Kind::Denied => 4,
            Kind::Unreachable => 5,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  where  {}\n  mend   {}", self.what, self.place, self.mend)
    }
}

impl std::error::Error for Failure {}
