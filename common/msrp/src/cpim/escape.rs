//! Escapes in the headers of CPIM (RFC 3862, section 2.3): control characters, the backslash and, between quotes, the quote.
//! They stand for UTF-16 units, so that a character beyond U+FFFF may come as two of them.
use std::borrow::Cow;
use std::fmt::Write as _;
use std::str::Chars;

/// A value with its escapes resolved. What is escaped and needs none is what it stands for; a backslash at the very end
/// is nothing.
pub(super) fn resolved(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut rest = value.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => out.extend(escaped(&mut rest)),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// What stands behind a backslash, and is taken from `rest`.
fn escaped(rest: &mut Chars<'_>) -> Option<char> {
    Some(match rest.next()? {
        'b' => '\u{8}',
        't' => '\t',
        'n' => '\n',
        'r' => '\r',
        'u' => match unit(rest.as_str()) {
            Some(first) => {
                *rest = skipped(rest, 4);
                whole(first, rest)
            }
            None => 'u',
        },
        other => other,
    })
}

/// The character that begins with this unit; its other half, if it has one, is taken from `rest`.
fn whole(first: u16, rest: &mut Chars<'_>) -> char {
    let second = rest.as_str().strip_prefix("\\u").and_then(unit);
    let units = [Some(first), second].into_iter().flatten();
    match char::decode_utf16(units).next() {
        Some(Ok(c)) => {
            if c.len_utf16() == 2 {
                *rest = skipped(rest, 6);
            }
            c
        }
        _ => char::REPLACEMENT_CHARACTER,
    }
}

/// Exactly four hexadecimal digits.
fn unit(text: &str) -> Option<u16> {
    let digits = text.get(..4)?;
    let all = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u16::from_str_radix(digits, 16).ok().filter(|_| all)
}

fn skipped<'a>(rest: &Chars<'a>, octets: usize) -> Chars<'a> {
    rest.as_str().get(octets..).unwrap_or_default().chars()
}

/// Whether a character may not stand in a header as it is, quoted or not. Others must not be escaped (section 2.3.1).
fn is_escaped(c: char) -> bool {
    c.is_ascii_control() || c == '\\'
}

/// Writes a character of a header.
pub(super) fn escape(out: &mut String, c: char) {
    match c {
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\t' => out.push_str("\\t"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        c if is_escaped(c) => {
            // Writing to memory cannot fail.
            _ = write!(out, "\\u{:04x}", u32::from(c));
        }
        c => out.push(c),
    }
}

/// Writes a character of a string between double quotes.
pub(super) fn escape_quoted(out: &mut String, c: char) {
    if c == '"' {
        out.push('\\');
    }
    escape(out, c);
}
