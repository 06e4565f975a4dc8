//! The character classes of RFC 4975, section 9, each as one table look-up. It knows characters, not messages.

const ALPHANUM: u8 = 1;
const IDENT: u8 = 4;
const SESSION: u8 = 8;
const TOKEN: u8 = 16;
const AUTHORITY: u8 = 32;

const fn class(c: u8) -> u8 {
    let mut class = 0;
    if c.is_ascii_alphanumeric() {
        class |= ALPHANUM;
    }
    if c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'+' | b'%' | b'=') {
        class |= IDENT;
    }
    // RFC 3986 "unreserved", and what RFC 4975 adds for a session-id.
    if c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~' | b'+' | b'=' | b'/') {
        class |= SESSION;
    }
    if matches!(c, 0x21 | 0x23..=0x27 | 0x2a..=0x2b | 0x2d..=0x2e | 0x30..=0x39 | 0x41..=0x5a | 0x5e..=0x7e)
    {
        class |= TOKEN;
    }
    // RFC 3986 "unreserved", "pct-encoded" and "sub-delims" without the semicolon, which ends an MSRP authority.
    if c.is_ascii_alphanumeric()
        || matches!(c, b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'')
        || matches!(c, b'(' | b')' | b'*' | b'+' | b',' | b'=')
    {
        class |= AUTHORITY;
    }
    class
}

static CLASSES: [u8; 256] = {
    let mut table = [0; 256];
    let mut c = 0u8;
    loop {
        #[expect(clippy::indexing_slicing, reason = "a u8 is a valid index of 256 entries")]
        {
            table[c as usize] = class(c);
        }
        if c == u8::MAX {
            break;
        }
        c += 1;
    }
    table
};

#[inline]
fn is(c: u8, wanted: u8) -> bool {
    CLASSES.get(usize::from(c)).is_some_and(|class| class & wanted != 0)
}

/// Looks at every octet even where an early one decides: a loop without a way out is several times faster.
#[inline]
fn all(text: &[u8], wanted: u8) -> bool {
    let common = text.iter().fold(wanted, |common, &c| {
        common & CLASSES.get(usize::from(c)).copied().unwrap_or_default()
    });
    common != 0 && !text.is_empty()
}

/// How many octets at the front are of this class.
#[inline]
fn front(text: &[u8], wanted: u8) -> usize {
    text.iter().position(|&c| !is(c, wanted)).unwrap_or(text.len())
}

/// The length of the `session-id` that `text` starts with.
pub(crate) fn session_id_len(text: &[u8]) -> usize {
    front(text, SESSION)
}

/// The length of the host, or the userinfo, that `text` starts with.
pub(crate) fn authority_len(text: &[u8]) -> usize {
    front(text, AUTHORITY)
}

/// `ident`: a letter or digit, then 3 to 31 of letters, digits and `. - + % =`.
pub(crate) fn is_ident(text: &[u8]) -> bool {
    (4..=32).contains(&text.len())
        && text.first().is_some_and(|&c| is(c, ALPHANUM))
        && all(text, IDENT)
}

/// `session-id`.
pub(crate) fn is_session_id(text: &[u8]) -> bool {
    all(text, SESSION)
}

/// `token`, the name of a header or parameter.
pub(crate) fn is_token(text: &[u8]) -> bool {
    all(text, TOKEN)
}

/// `1*ALPHANUM`, the transport of a URI.
pub(crate) fn is_alphanumeric(text: &[u8]) -> bool {
    all(text, ALPHANUM)
}

/// What a host name or the userinfo before it may hold.
pub(crate) fn is_authority(text: &[u8]) -> bool {
    all(text, AUTHORITY)
}

/// `1*DIGIT` as a number; `None` when it is something else or does not fit in 63 bits, so that a position and a
/// length can always be added.
pub(crate) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut value = 0u64;
    for &c in digits {
        if !c.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(c - b'0'))?;
    }
    (value <= i64::MAX.unsigned_abs()).then_some(value)
}

/// `text` without the spaces and tabs around it.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let mut text = text;
    while let [b' ' | b'\t', rest @ ..] = text {
        text = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ident_has_4_to_32_characters_of_its_set() {
        for good in ["abcd", "d93kswow", "1-.+", "a%=+", "0123456789abcdef0123456789abcdef"] {
            assert!(is_ident(good.as_bytes()), "{good}");
        }
        for bad in ["", "abc", "-abc", "ab_c", "ab~c", "ab c", "0123456789abcdef0123456789abcdefX"]
        {
            assert!(!is_ident(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_number_fits_in_63_bits() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"9223372036854775807"), Some(i64::MAX.unsigned_abs()));
        assert_eq!(number(b"9223372036854775808"), None);
        assert_eq!(number(b"99999999999999999999"), None);
        assert_eq!(number(b""), None);
        assert_eq!(number(b"+1"), None);
    }
}
