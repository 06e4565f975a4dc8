//! `Digest name=value, name="quoted value", …`: the parts of a digest header by name. What they mean is not known here.
use super::BadCredentials;

/// Names in lower case and values without their quotes, none twice.
pub(super) struct Fields(Vec<(String, String)>);

/// More than any of the three headers can have.
const FIELDS_MAX: usize = 24;

impl Fields {
    /// Reads what stands behind the scheme `Digest`.
    pub(super) fn parse(value: &[u8]) -> Result<Self, BadCredentials> {
        let (scheme, rest) = value.split_at_checked(6).ok_or(BadCredentials::Scheme)?;
        let spaced = rest.first().is_none_or(|c| *c == b' ' || *c == b'\t');
        if !scheme.eq_ignore_ascii_case(b"Digest") || !spaced {
            return Err(BadCredentials::Scheme);
        }
        Self::parse_bare(rest)
    }

    /// Reads a list without a scheme.
    pub(super) fn parse_bare(value: &[u8]) -> Result<Self, BadCredentials> {
        let mut rest = std::str::from_utf8(value).map_err(|_| BadCredentials::Malformed)?;
        let mut fields = Self(Vec::new());
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return Ok(fields);
            }
            rest = fields.field(rest).ok_or(BadCredentials::Malformed)?;
        }
    }

    /// Takes one `name=value` from the front.
    fn field<'a>(&mut self, text: &'a str) -> Option<&'a str> {
        let (name, rest) = text.split_once('=')?;
        let name = name.trim_end_matches([' ', '\t']).to_ascii_lowercase();
        let rest = rest.trim_start_matches([' ', '\t']);
        let (value, rest) = match rest.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find([',', ' ', '\t', '"']).unwrap_or(rest.len());
                let (value, rest) = rest.split_at(end);
                (value.to_owned(), rest)
            }
        };
        let rest = rest.trim_start_matches([' ', '\t']);
        let ended = rest.is_empty() || rest.starts_with(',');
        let plain = !name.is_empty() && name.bytes().all(|c| c.is_ascii_graphic() && c != b',');
        let twice = self.0.iter().any(|(known, _)| *known == name);
        if !ended || !plain || twice || self.0.len() == FIELDS_MAX {
            return None;
        }
        self.0.push((name, value));
        Some(rest)
    }

    /// The value of this name, which is a lower-case one.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1)
    }
}

/// What is between the quote that has been taken and the next one, and what is behind that.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => value.push(chars.next()?.1),
            _ => value.push(c),
        }
    }
    None
}

/// A quoted string.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
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
    fn a_value_may_hold_what_separates_values() {
        let mut fields = Fields::parse(b"digest  a=\"x, y=\\\"z\" ,B=1,, c=\"\"").ok().unwrap();

        assert_eq!(fields.take("a").as_deref(), Some("x, y=\"z"));
        assert_eq!(fields.take("b").as_deref(), Some("1"));
        assert_eq!(fields.take("c").as_deref(), Some(""));
    }

    #[test]
    fn what_follows_no_grammar_is_malformed() {
        for bad in ["a", "a=\"x", "a=1, A=2", "a=\"x\"y", "=1", "a=1 b=2", "a\u{1}=1"] {
            let value = format!("Digest {bad}");
            assert_eq!(
                Fields::parse(value.as_bytes()).err(),
                Some(BadCredentials::Malformed),
                "{bad}"
            );
        }
        for other in ["Basic QWxhZGRpbg==", "", "Digestive a=1"] {
            assert_eq!(Fields::parse(other.as_bytes()).err(), Some(BadCredentials::Scheme));
        }
    }
}
