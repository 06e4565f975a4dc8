//! Status codes of responses, and the `Status` header of reports. What follows from a code is the caller's.

use std::fmt;

use bytes::Bytes;

use crate::token;

/// A three-digit code of the namespace 000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(u16);

impl Status {
    /// The request arrived.
    pub const OK: Self = Self(200);
    /// It could not be understood.
    pub const BAD_REQUEST: Self = Self(400);
    /// AUTH needs credentials.
    pub const UNAUTHORIZED: Self = Self(401);
    /// It is not allowed.
    pub const FORBIDDEN: Self = Self(403);
    /// The recipient of a private message is unknown (RFC 7701).
    pub const NOT_FOUND: Self = Self(404);
    /// The next hop stayed silent.
    pub const TIMEOUT: Self = Self(408);
    /// Send no more of this message.
    pub const STOP_SENDING: Self = Self(413);
    /// The media type is not taken here.
    pub const UNSUPPORTED_TYPE: Self = Self(415);
    /// A parameter is out of bounds (AUTH expiry).
    pub const OUT_OF_BOUNDS: Self = Self(423);
    /// The nickname is malformed (RFC 7701).
    pub const BAD_NICKNAME: Self = Self(424);
    /// The nickname is reserved or in use (RFC 7701).
    pub const NICKNAME_IN_USE: Self = Self(425);
    /// The recipient takes no private messages (RFC 7701).
    pub const NO_PRIVATE_MESSAGES: Self = Self(428);
    /// There is no such session.
    pub const NO_SUCH_SESSION: Self = Self(481);
    /// The method is unknown.
    pub const UNKNOWN_METHOD: Self = Self(501);
    /// The session is bound to another connection.
    pub const BOUND_ELSEWHERE: Self = Self(506);

    /// A code of 0 to 999.
    pub fn new(code: u16) -> Option<Self> {
        (code <= 999).then_some(Self(code))
    }

    /// Reads exactly three digits.
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let code = token::number(digits).filter(|_| digits.len() == 3)?;
        u16::try_from(code).ok().map(Self)
    }

    /// The number.
    pub fn code(self) -> u16 {
        self.0
    }

    /// Whether it says success (2xx).
    pub fn is_success(self) -> bool {
        self.0 / 100 == 2
    }

    /// The comment this codec writes where the caller gives none.
    pub fn comment(self) -> &'static str {
        match self.0 {
            200 => "OK",
            400 => "Bad Request",
            401 => "Unauthorized",
            403 => "Forbidden",
            404 => "Not Found",
            408 => "Request Timeout",
            413 => "Stop Sending",
            415 => "Unsupported Media Type",
            423 => "Interval Out-of-Bounds",
            424 => "Malformed Nickname",
            425 => "Nickname Reserved or Already in Use",
            428 => "Private Messages Not Supported",
            481 => "No Such Session",
            501 => "Not Implemented",
            506 => "Session Already In Use",
            _ => "",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

/// The `Status` header of a REPORT: `000 200 OK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportStatus {
    /// Whose codes these are; 0 is RFC 4975's. Reports of other namespaces are ignored.
    pub namespace: u16,
    /// The code.
    pub status: Status,
    /// The text behind it, as it was sent.
    pub comment: Bytes,
}

impl ReportStatus {
    /// Reads a header value.
    pub fn parse(value: &Bytes) -> Option<Self> {
        let (namespace, rest) = value.split_at_checked(3)?;
        let (code, comment) = rest.strip_prefix(b" ")?.split_at_checked(3)?;
        let comment = match comment {
            [] => Bytes::new(),
            [b' ', comment @ ..] => value.slice_ref(comment),
            _ => return None,
        };
        let namespace = Status::parse(namespace)?.code();
        Some(Self { namespace, status: Status::parse(code)?, comment })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_exactly_three_digits() {
        assert_eq!(Status::parse(b"200"), Some(Status::OK));
        for bad in ["20", "2000", "2x0", "", "+20"] {
            assert_eq!(Status::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Status::new(7).unwrap().to_string(), "007");
    }

    #[test]
    fn a_report_status_has_a_namespace_a_code_and_perhaps_a_comment() {
        let read = |text: &'static str| ReportStatus::parse(&Bytes::from_static(text.as_bytes()));

        let status = read("000 408 too late").unwrap();
        assert_eq!((status.namespace, status.status), (0, Status::TIMEOUT));
        assert_eq!(status.comment, "too late");
        assert_eq!(read("001 200").unwrap().namespace, 1);
        for bad in ["", "000", "000 ", "000 20", "000  200", "0 200", "000 200x"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
