//! People at a terminal: how they are named on a line, and how what they say is shown. Nothing that a peer says drives the
//! terminal. Pure.
use anyhow::Context;
use ids::Aor;

/// Whom somebody means: a user of this domain, or the address of anybody.
pub(crate) fn address(user: &str, domain: &str) -> anyhow::Result<Aor> {
    let text = if user.contains(':') { user.to_owned() } else { format!("sip:{user}@{domain}") };
    text.parse().with_context(|| format!("{user} is nobody's address"))
}

/// A name or a subject as its author wrote it.
pub(crate) fn plain(name: &str) -> String {
    name.replace(char::is_control, " ")
}

/// A text, in which a tab may stand.
pub(crate) fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).replace(|c: char| c.is_control() && c != '\t', " ")
}

/// The content of a message: its text, or what else it is.
pub(crate) fn content(media_type: &str, octets: &[u8]) -> String {
    match media_type.starts_with("text/") {
        true => text(octets),
        false => text(format!("[{media_type}, {} octets]", octets.len()).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_is_a_user_of_our_domain() {
        assert_eq!(address("bob", "example.net").unwrap().as_str(), "sip:bob@example.net");
        assert_eq!(
            address("sip:bob@other.net", "example.net").unwrap().as_str(),
            "sip:bob@other.net"
        );
        assert!(address("b b", "example.net").is_err());
    }

    #[test]
    fn neither_a_text_nor_its_type_nor_a_name_drives_the_terminal() {
        assert_eq!(content("text/plain", b"a\tb\x1b[2J"), "a\tb [2J");
        assert_eq!(content("image/\x1bpng", b"\x1b[2J"), "[image/ png, 4 octets]");
        assert_eq!(plain("a\tb\n"), "a b ");
    }
}
