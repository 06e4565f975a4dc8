//! `From`, `To` and `cc`: a display name, perhaps, and a URI. Comparing URIs by the rules of their scheme is the
//! caller's; display names must never be compared at all.

use super::escape::{escape_quoted, resolved};

/// Somebody a message is from or to.
#[derive(Clone, PartialEq, Eq)]
pub struct Address<'a> {
    /// The name to show, with its escapes resolved.
    pub name: Option<String>,
    /// The URI between the brackets, as sent.
    pub uri: &'a str,
}

/// Names of people: only the scheme shows.
impl std::fmt::Debug for Address<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<{}:…>", self.uri.split(':').next().unwrap_or_default())
    }
}

impl<'a> Address<'a> {
    /// Reads `[ Formal-name ] "<" URI ">"` (RFC 3862, sections 4.1 and 4.2).
    pub fn parse(value: &'a [u8]) -> Option<Self> {
        let value = std::str::from_utf8(value).ok()?.trim_matches([' ', '\t']);
        let (name, rest) = match value.strip_prefix('"') {
            Some(quoted) => quoted_name(quoted)?,
            None => value.split_at_checked(value.find('<')?)?,
        };
        let quoted = value.starts_with('"');
        let uri = rest.trim_start_matches([' ', '\t']).strip_prefix('<')?.strip_suffix('>')?;
        let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"');
        if uri.contains(odd) || !has_scheme(uri) {
            return None;
        }
        let name = resolved(if quoted { name } else { name.trim() }).into_owned();
        Some(Self { name: (quoted || !name.is_empty()).then_some(name), uri })
    }

    /// As a header value.
    pub(crate) fn write(name: Option<&str>, uri: &str) -> String {
        let mut out = String::with_capacity(uri.len() + 2);
        if let Some(name) = name {
            out.push('"');
            name.chars().for_each(|c| escape_quoted(&mut out, c));
            out.push_str("\" ");
        }
        // A URI holds none of these, so leaving them out changes none, and lets none break out.
        let odd = |c: &char| !(c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"'));
        out.push('<');
        out.extend(uri.chars().filter(odd));
        out.push('>');
        out
    }
}

/// Splits behind the opening quote: the name as written, and what is behind the closing quote.
fn quoted_name(quoted: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return Some((quoted.get(..at)?, quoted.get(at + 1..)?)),
            _ => {}
        }
    }
    None
}

fn has_scheme(uri: &str) -> bool {
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(inner)
        && !rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(Option<String>, &str)> {
        Address::parse(text.as_bytes()).map(|address| (address.name, address.uri))
    }

    #[test]
    fn a_display_name_may_be_quoted_tokens_or_absent() {
        let uri = "sip:alice@example.net;transport=tls";
        assert_eq!(read(&format!("<{uri}>")), Some((None, uri)));
        assert_eq!(
            read(&format!("Alice  Smith <{uri}>")),
            Some((Some("Alice  Smith".into()), uri))
        );
        assert_eq!(
            read(&format!("\"A \\\"<b:c>\\\" \\u00e9\" <{uri}>")),
            Some((Some("A \"<b:c>\" é".into()), uri))
        );
        assert_eq!(read(&format!("\"\"<{uri}>")), Some((Some(String::new()), uri)));
    }

    #[test]
    fn what_has_no_single_bracketed_uri_is_no_address() {
        for bad in
            ["", "sip:a@b", "<>", "<a>", "<:b>", "<1a:b>", "<sip:a@b", "<sip:a b>", "\"x <sip:a@b>"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(read("<sip:a@b> <sip:c@d>"), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for name in [None, Some("a\"b\\c\n\u{7}"), Some("")] {
            let written = Address::write(name, "sip:a@b");
            assert_eq!(read(&written), Some((name.map(str::to_owned), "sip:a@b")), "{written}");
        }
        assert_eq!(Address::write(None, "sip:a@b>\r\nTo: <c:d"), "<sip:a@bTo:c:d>");
    }
}
