//! What an operator turns away of what passes in the clear: immediate messages, and whatever else the MRFC carries
//! itself. It may accept or refuse, and changes nothing. What is sealed is judged by nobody: only its type and size show.
//!
//! Content of rooms and sessions does not pass the MRFC. There the relay judges by size and type alone, as the room's
//! order says.
use std::fmt;

use sip::Status;

use crate::config::FilterRule;

/// Content that can be read.
#[derive(Clone, Copy, Debug)]
pub struct Cleartext<'a> {
    /// Its media type without parameters; of `message/cpim` the one that it holds.
    pub media_type: &'a str,
    /// The content, octet for octet.
    pub octets: &'a [u8],
}

/// Judges content that is not sealed.
pub trait Filter: Send + Sync + fmt::Debug {
    /// The status to refuse it with; `None` lets it pass.
    fn refuses(&self, content: Cleartext<'_>) -> Option<Status>;
}

/// The filter that an operator writes as rules in the configuration.
#[derive(Clone, Debug, Default)]
pub struct Rules(Vec<Rule>);

#[derive(Clone, Debug)]
struct Rule {
    types: Vec<String>,
    /// In lower case.
    words: Vec<String>,
    octets_over: Option<usize>,
    status: Status,
}

impl Rules {
    /// The rules of a configuration, in its order: the first that is true of a message counts.
    pub fn new(rules: &[FilterRule]) -> Self {
        let rule = |rule: &FilterRule| Rule {
            types: rule.types.clone(),
            words: rule.words.iter().map(|word| word.to_lowercase()).collect(),
            octets_over: rule.octets_over,
            status: Status::new(rule.status).unwrap_or(Status::FORBIDDEN),
        };
        Self(rules.iter().map(rule).collect())
    }
}

impl Filter for Rules {
    fn refuses(&self, content: Cleartext<'_>) -> Option<Status> {
        if self.0.is_empty() {
            return None;
        }
        let words = self.0.iter().any(|rule| !rule.words.is_empty());
        let text = words.then(|| String::from_utf8_lossy(content.octets).to_lowercase());
        let text = text.unwrap_or_default();
        self.0.iter().find(|rule| rule.is_about(content, &text)).map(|rule| rule.status)
    }
}

impl Rule {
    fn is_about(&self, content: Cleartext<'_>, text: &str) -> bool {
        (self.types.is_empty() || is_one_of(&self.types, content.media_type))
            && (self.words.is_empty() || self.words.iter().any(|word| text.contains(word)))
            && self.octets_over.is_none_or(|octets| content.octets.len() > octets)
    }
}

/// Whether a media type is in a list such as `text/plain image/*`, in any case.
pub(crate) fn is_one_of(list: &[String], media_type: &str) -> bool {
    let essence = media_type.to_ascii_lowercase();
    list.iter().any(|range| match range.strip_suffix('*') {
        Some(kind) => essence.starts_with(&kind.to_ascii_lowercase()),
        None => essence.eq_ignore_ascii_case(range),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(rules: &str, media_type: &str, text: &str) -> Option<u16> {
        #[derive(serde::Deserialize)]
        struct File {
            filters: Vec<FilterRule>,
        }
        let File { filters } = toml::from_str(rules).unwrap();
        let content = Cleartext { media_type, octets: text.as_bytes() };
        Rules::new(&filters).refuses(content).map(Status::code)
    }

    const RULES: &str = "[[filters]]\ntypes = [\"application/x-msdownload\", \"video/*\"]\nstatus = 415\n\
                         [[filters]]\nwords = [\"Lottery\", \"ΚΈΡΔΟΣ\"]\ntypes = [\"text/*\"]\n\
                         [[filters]]\noctets_over = 40\nstatus = 413\n";

    #[test]
    fn s3_37_content_in_the_clear_is_judged_by_type_word_and_size() {
        assert_eq!(refused(RULES, "VIDEO/mp4", ""), Some(415));
        assert_eq!(refused(RULES, "text/plain", "You won the LOTTERY"), Some(403));
        assert_eq!(refused(RULES, "text/plain", "κέρδος"), Some(403));
        assert_eq!(refused(RULES, "image/png", "lottery"), None);
        assert_eq!(refused(RULES, "text/plain", &"x".repeat(41)), Some(413));
        assert_eq!(refused(RULES, "text/plain", "good morning"), None);
    }
}
