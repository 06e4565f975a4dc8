//! One nickname: what it may hold and when two are the same, by the Nickname profile of PRECIS (RFC 8266, which took
//! the place of RFC 7700). Who may have it is for [`super::nicknames`].
//!
//! The profile's class of characters is that of the Unicode version at hand and not of Unicode 6.3, where its registry
//! stopped: the writing and the symbols of the years since are no mistakes. Joiners are refused without regard to their
//! neighbours. Names are compared by full case folding, as RFC 7700 said, so that `ß` is no way around `ss`.
use std::fmt;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_public_assigned;

/// RFC 7701, 7.1: at most 1023 octets.
const OCTETS_MAX: usize = 1023;
/// RFC 8266, 2.3: the rules are applied until nothing changes, which is soon or never.
const ROUNDS_MAX: usize = 4;

/// A nickname that follows the profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nickname {
    shown: String,
    key: Key,
}

/// What nicknames are compared by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(String);

/// It is empty, too long, or has a character that no nickname may have: 424.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the nickname is malformed")]
pub struct BadNickname;

impl Nickname {
    /// Prepares and enforces a nickname.
    ///
    /// # Errors
    /// The profile refuses it.
    pub fn parse(text: &str) -> Result<Self, BadNickname> {
        if text.is_empty() || text.len() > OCTETS_MAX || !text.chars().all(may_be_there) {
            return Err(BadNickname);
        }
        let shown = stable(text, enforced)?;
        let key = stable(&shown, |text| enforced(&folded(text)))?;
        // Compatibility may have made something of a character that may not be there.
        let legal = [&shown, &key].iter().all(|text| text.chars().all(may_be_there));
        let fits = legal && !shown.is_empty() && shown.len() <= OCTETS_MAX && !key.is_empty();
        if fits { Ok(Self { shown, key: Key(key) }) } else { Err(BadNickname) }
    }

    /// As others see it.
    pub fn as_str(&self) -> &str {
        &self.shown
    }

    /// Whether this name is the same one.
    pub(super) fn is_same(&self, name: &str) -> bool {
        Self::parse(name).is_ok_and(|name| name.key == self.key)
    }

    /// What it is compared by.
    pub(super) const fn key(&self) -> &Key {
        &self.key
    }
}

impl fmt::Display for Nickname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn stable(text: &str, rule: impl Fn(&str) -> String) -> Result<String, BadNickname> {
    let mut text = rule(text);
    for _ in 0..ROUNDS_MAX {
        let next = rule(&text);
        if next == text {
            return Ok(text);
        }
        text = next;
    }
    Err(BadNickname)
}

/// RFC 8266, 2.1: every space is the ASCII one, none at the ends, one at a time; then compatibility composition.
fn enforced(text: &str) -> String {
    let words: Vec<&str> = text.split(is_space).filter(|word| !word.is_empty()).collect();
    words.join(" ").nfkc().collect()
}

/// Lower case, by way of upper case, where `ß` and `ς` end.
fn folded(text: &str) -> String {
    text.to_uppercase().to_lowercase()
}

/// General category Zs.
fn is_space(c: char) -> bool {
    matches!(
        c,
        ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}'
    )
}

/// The free-form class of RFC 8264, 4.3: no controls, nothing unassigned or private, nothing that does not show, no old
/// Hangul.
fn may_be_there(c: char) -> bool {
    is_public_assigned(c) && !c.is_control() && !does_not_show(c) && !is_old_hangul(c)
}

/// Default_Ignorable_Code_Point, as far as it is assigned, and the two separators of lines.
fn does_not_show(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

fn is_old_hangul(c: char) -> bool {
    matches!(c, '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97c}' | '\u{d7b0}'..='\u{d7fb}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nickname(text: &str) -> Nickname {
        Nickname::parse(text).unwrap()
    }

    #[test]
    fn m7701_20_equal_names_are_equal_however_they_are_written() {
        let table = [
            ("Alice", "alice"),
            ("Alice", "ＡＬＩＣＥ"),
            ("Blue Jay", "  blue \u{3000}\u{a0}JAY "),
            ("Zoë", "Zoe\u{308}"),
            ("Strasse", "STRAße"),
            ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
            ("ﬁn", "FIN"),
            ("\u{212b}ngstrom", "ångstrom"),
        ];
        for (one, other) in table {
            assert_eq!(nickname(one).key(), nickname(other).key(), "{one} {other}");
        }
        // RFC 7701, 7.1: what merely looks alike is different.
        assert_ne!(nickname("BOY").key(), nickname("B0Y").key());
        assert_ne!(nickname("blue jay").key(), nickname("bluejay").key());
    }

    #[test]
    fn rfc8266_s2_1_what_is_shown_keeps_its_case_and_loses_its_spare_spaces() {
        assert_eq!(nickname("  Guybrush \u{2003} Threepwood ").as_str(), "Guybrush Threepwood");
        assert_eq!(nickname("Ⅳ").as_str(), "IV");
        assert_eq!(nickname("🦊 Jürgen").as_str(), "🦊 Jürgen");
    }

    #[test]
    fn m7701_19_what_no_nickname_may_hold_is_malformed() {
        let long = "a".repeat(OCTETS_MAX + 1);
        let grows = "\u{fdfa}".repeat(200);
        let bad = [
            "",
            "   ",
            "\u{3000}",
            "a\nb",
            "a\u{7f}",
            "a\u{200b}b",
            "a\u{202e}b",
            "a\u{2028}b",
            "a\u{ad}b",
            "\u{e000}",
            "\u{378}",
            "\u{fdd0}",
            "\u{1100}\u{1161}",
            "\u{3131}",
            long.as_str(),
            grows.as_str(),
        ];
        for text in bad {
            assert_eq!(Nickname::parse(text), Err(BadNickname), "{text:?}");
        }
        assert_eq!(nickname(&"a".repeat(OCTETS_MAX)).as_str().len(), OCTETS_MAX);
    }

    proptest::proptest! {
        #[test]
        fn a_nickname_that_is_shown_can_be_taken_again_as_the_same(text in "\\PC{1,40}") {
            if let Ok(nickname) = Nickname::parse(&text) {
                proptest::prop_assert_eq!(Nickname::parse(nickname.as_str()), Ok(nickname));
            }
        }
    }
}
