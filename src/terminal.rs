//! People at a terminal: how they are named on a line, and how what they say is shown. Nothing that a peer says drives the
//! terminal, turns the direction of text round or hides in it. Pure.
use anyhow::Context;
use ids::Aor;

/// Whom somebody means: a user of this domain, or the address of anybody.
pub(crate) fn address(user: &str, domain: &str) -> anyhow::Result<Aor> {
    let text = if user.contains(':') { user.to_owned() } else { format!("sip:{user}@{domain}") };
    text.parse().with_context(|| format!("{user} is nobody's address"))
}

/// How a person is called in a line: as what they say is shown, but for those of other domains.
pub(crate) fn named(who: &Aor, domain: &str) -> String {
    if who.is_pseudonym() || who.host() == domain { plain(who.user()) } else { plain(who.as_str()) }
}

/// A name or a subject as its author wrote it: nothing that does not show, so that no two look alike by that.
pub(crate) fn plain(name: &str) -> String {
    name.chars().filter(|c| !is_hidden(*c) && !is_joining(*c)).map(visible).collect()
}

/// A text, in which a tab may stand.
pub(crate) fn text(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let shown = |c: char| if c == '\t' { c } else { visible(c) };
    text.chars().filter(|c| !is_hidden(*c)).map(shown).collect()
}

/// Lines that are to be shown, whoever wrote what is in them.
pub(crate) fn lines(text: &str) -> String {
    let shown = |c: char| if matches!(c, '\t' | '\n') { c } else { visible(c) };
    text.chars().filter(|c| !is_hidden(*c)).map(shown).collect()
}

/// The content of a message: its text, or what else it is.
pub(crate) fn content(media_type: &str, octets: &[u8]) -> String {
    match media_type.starts_with("text/") {
        true => text(octets),
        false => text(format!("[{media_type}, {} octets]", octets.len()).as_bytes()),
    }
}

/// So many of them.
pub(crate) fn counted(number: usize, one: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {one}s") }
}

/// What moves the cursor, or ends a line, is a space.
fn visible(c: char) -> char {
    if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }
}

/// What shows as nothing: marks and overrides of direction, other invisible formats, tags, and the byte order mark.
fn is_hidden(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

/// What shows only by what it does to its neighbours: texts in many languages, and emoji, need it.
fn is_joining(c: char) -> bool {
    matches!(c, '\u{34f}' | '\u{180b}'..='\u{180d}' | '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
        assert_eq!(lines("a\n\x1b[2Jb\rc"), "a\n [2Jb c");
    }

    #[test]
    fn nothing_turns_the_direction_of_text_round_or_makes_two_names_look_alike() {
        assert_eq!(text("exe\u{202e}fdp.\u{2066}x\u{2069}".as_bytes()), "exefdp.x");
        assert_eq!(plain("al\u{200d}ice\u{feff}\u{200f}"), "alice");
        assert_eq!(
            text("\u{1f469}\u{200d}\u{1f4bb} \u{2764}\u{fe0f}".as_bytes()),
            "\u{1f469}\u{200d}\u{1f4bb} \u{2764}\u{fe0f}"
        );
    }

    #[test]
    fn one_is_one_and_none_are_many() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "device")), ["0 devices", "1 device", "2 devices"]);
    }

    proptest! {
        #[test]
        fn whatever_a_peer_writes_only_what_shows_is_left(raw in any::<Vec<char>>(), spot in 0_u32..0x30) {
            // The characters that matter are rare among all of them.
            let marks = [0x202a, 0x2066, 0x200e, 0x80, 0, 0x2028, 0xfeff, 0xe0001];
            let marks = marks.into_iter().filter_map(|from| char::from_u32(from + spot % 5));
            let raw: String = raw.into_iter().chain(marks).collect();
            let harmless = |c: char| !c.is_control() && !is_hidden(c) && !matches!(c, '\u{2028}' | '\u{2029}');

            prop_assert!(plain(&raw).chars().all(|c| harmless(c) && !is_joining(c)));
            prop_assert!(text(raw.as_bytes()).chars().all(|c| c == '\t' || harmless(c)));
            prop_assert!(lines(&raw).chars().all(|c| matches!(c, '\t' | '\n') || harmless(c)));
            for ordinary in raw.chars().filter(|c| c.is_alphanumeric()) {
                prop_assert!(lines(&raw).contains(ordinary));
            }
        }
    }
}
