//! The small vocabulary of a message: methods, continuation flags and who wants to hear of failures.

use std::fmt;

use bytes::Bytes;

/// What a request asks for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Method {
    /// Carries a chunk of a message, or nothing, to bind a session or keep it alive.
    Send,
    /// Tells what became of a message. It is never answered.
    Report,
    /// Asks for a nickname (RFC 7701).
    Nickname,
    /// Asks a relay for a URI (RFC 4976).
    Auth,
    /// Any other upper-case word; an endpoint answers 501.
    Other(Bytes),
}

impl Method {
    /// Reads `1*UPALPHA` in `word`, which is a part of `block`.
    pub(crate) fn parse(block: &Bytes, word: &[u8]) -> Option<Self> {
        match word {
            b"SEND" => Some(Self::Send),
            b"REPORT" => Some(Self::Report),
            b"NICKNAME" => Some(Self::Nickname),
            b"AUTH" => Some(Self::Auth),
            other => {
                let upper = !other.is_empty() && other.iter().all(u8::is_ascii_uppercase);
                upper.then(|| Self::Other(block.slice_ref(word)))
            }
        }
    }

    /// The word on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Send => "SEND",
            Self::Report => "REPORT",
            Self::Nickname => "NICKNAME",
            Self::Auth => "AUTH",
            Self::Other(word) => std::str::from_utf8(word).unwrap_or_default(),
        }
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The last character of an end-line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flag {
    /// `$`: the message ends here.
    End,
    /// `+`: more of the message follows in another chunk.
    More,
    /// `#`: the sender gives the message up.
    Abort,
}

impl Flag {
    /// Reads the character.
    pub fn parse(c: u8) -> Option<Self> {
        match c {
            b'$' => Some(Self::End),
            b'+' => Some(Self::More),
            b'#' => Some(Self::Abort),
            _ => None,
        }
    }

    /// The character on the wire.
    pub fn as_byte(self) -> u8 {
        match self {
            Self::End => b'$',
            Self::More => b'+',
            Self::Abort => b'#',
        }
    }
}

/// Which answers the sender of a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FailureReport {
    /// Every answer. The default where the header is absent.
    #[default]
    Yes,
    /// Only answers that tell of a failure.
    Partial,
    /// None.
    No,
}

impl FailureReport {
    /// Reads the header value.
    pub fn parse(value: &[u8]) -> Option<Self> {
        match value {
            b"yes" => Some(Self::Yes),
            b"partial" => Some(Self::Partial),
            b"no" => Some(Self::No),
            _ => None,
        }
    }

    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Partial => "partial",
            Self::No => "no",
        }
    }

    /// RFC 4975, sections 7.1.4 and 7.2: whether an answer of this status is sent at all.
    pub fn wants(self, status: crate::Status) -> bool {
        match self {
            Self::Yes => true,
            Self::Partial => !status.is_success(),
            Self::No => false,
        }
    }
}

/// Whether the sender wants to hear that the message arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SuccessReport {
    /// Reports that cover every octet.
    Yes,
    /// None. The default where the header is absent.
    #[default]
    No,
}

impl SuccessReport {
    /// Reads the header value.
    pub fn parse(value: &[u8]) -> Option<Self> {
        match value {
            b"yes" => Some(Self::Yes),
            b"no" => Some(Self::No),
            _ => None,
        }
    }
}
