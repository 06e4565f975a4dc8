//! The quoted string of `Use-Nickname` (RFC 7701, section 7). Which nicknames a room allows is the focus's business.

/// The value is not quoted, too long, no UTF-8, or has a character a nickname may not have: 424.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the nickname is malformed")]
pub struct BadNickname;

/// RFC 7701, section 7.1: at most 1023 octets.
const OCTETS_MAX: usize = 1023;

/// Reads the quoted string. An empty one asks to remove the nickname (section 7.3).
pub(crate) fn parse(value: &[u8]) -> Result<String, BadNickname> {
    let inner = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).ok_or(BadNickname)?;
    let mut name = Vec::with_capacity(inner.len());
    let mut rest = inner.iter();
    while let Some(&c) = rest.next() {
        match c {
            b'\\' => match rest.next() {
                Some(&escaped @ (b'\\' | b'"')) => name.push(escaped),
                _ => return Err(BadNickname),
            },
            b'"' => return Err(BadNickname),
            _ => name.push(c),
        }
    }
    let name = String::from_utf8(name).map_err(|_| BadNickname)?;
    if name.len() > OCTETS_MAX || name.chars().any(char::is_control) {
        return Err(BadNickname);
    }
    Ok(name)
}

/// The header value that asks for `name`.
pub(crate) fn quote(name: &str) -> String {
    let mut quoted = String::with_capacity(name.len() + 2);
    quoted.push('"');
    for c in name.chars() {
        if matches!(c, '\\' | '"') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_read_back() {
        for name in ["", "Blue Jay", "a\"b\\c", "Jürgen 🐦"] {
            assert_eq!(parse(quote(name).as_bytes()).as_deref(), Ok(name));
        }
    }

    #[test]
    fn malformed_nicknames_are_refused() {
        let long = quote(&"a".repeat(1024));
        let bad: [&[u8]; 8] = [
            b"Alice",
            b"\"Alice",
            b"\"",
            b"\"a\"b\"",
            b"\"a\\b\"",
            b"\"a\\\"",
            b"\"\xff\"",
            long.as_bytes(),
        ];
        for value in bad {
            assert_eq!(parse(value), Err(BadNickname), "{value:?}");
        }
    }
}
