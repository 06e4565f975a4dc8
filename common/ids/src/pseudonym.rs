//! What somebody who hides is known by in one conference, and in no other: an address that says which conference and
//! which of those who hide there, and nothing of the person.
use std::fmt::Write as _;

use crate::{Aor, ConferenceId};

const USER: &str = "anonymous-";
/// RFC 3323, 4.1.1.3: nobody is reached below `.invalid`.
const DOMAIN: &str = "anonymous.invalid";
/// What a name that is no host name is spelt behind.
const SPELT: &str = "x-";

impl Aor {
    /// The address of somebody who hides in this conference.
    pub fn pseudonym(conference: &ConferenceId, number: u32) -> Self {
        let address = format!("sip:{USER}{number}@{}.{DOMAIN}", host(conference.as_str()));
        address.parse().expect("the host has letters, digits, hyphens and dots")
    }

    /// Whether this is the address of somebody who hides in some conference.
    pub fn is_pseudonym(&self) -> bool {
        self.host().strip_suffix(DOMAIN).is_some_and(|before| before.ends_with('.'))
    }

    /// Which of those who hide in this conference it is, if it is one of them.
    pub fn number_in(&self, conference: &ConferenceId) -> Option<u32> {
        let number = self.user().strip_prefix(USER)?.parse().ok()?;
        (*self == Self::pseudonym(conference, number)).then_some(number)
    }
}

/// The conference as a host name: as it is where it is one, otherwise its octets in hexadecimal. No two are alike.
fn host(conference: &str) -> String {
    let label = |label: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        !label.is_empty()
            && label.chars().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if conference.split('.').all(label) && !conference.starts_with(SPELT) {
        return conference.to_owned();
    }
    conference.bytes().fold(SPELT.to_owned(), |mut spelt, octet| {
        // Writing to a string does not fail.
        write!(spelt, "{octet:02x}").ok();
        spelt
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conference(name: &str) -> ConferenceId {
        name.parse().unwrap()
    }

    #[test]
    fn a_pseudonym_belongs_to_one_conference_and_reads_back() {
        let (room, other) = (conference("room7"), conference("room8"));
        let bob = Aor::pseudonym(&room, 3);

        assert_eq!(bob.as_str(), "sip:anonymous-3@room7.anonymous.invalid");
        assert!(bob.is_pseudonym());
        assert_eq!((bob.number_in(&room), bob.number_in(&other)), (Some(3), None));
        assert_eq!(bob.as_str().parse::<Aor>().unwrap(), bob);
    }

    #[test]
    fn no_two_conferences_share_a_domain_whatever_they_are_called() {
        let names = ["a_b", "a-b", "a.b", "a..b", "a-", "x-615f62", "x-612e2e62", "a.-b"];
        let mut hosts: Vec<_> = names
            .iter()
            .map(|name| Aor::pseudonym(&conference(name), 1).host().to_owned())
            .collect();
        hosts.sort();
        hosts.dedup();

        assert_eq!(hosts.len(), names.len(), "{hosts:?}");
        assert!(hosts.iter().all(|host| !host.contains("..") && !host.contains('_')), "{hosts:?}");
        let longest = Aor::pseudonym(&conference(&"_".repeat(64).replacen('_', "a", 1)), u32::MAX);
        assert!(longest.is_pseudonym());
    }

    #[test]
    fn an_address_of_a_person_is_no_pseudonym() {
        for text in [
            "sip:anonymous-1@example.net",
            "sip:anonymous-1@anonymous.invalid",
            "sip:anonymous-1@notanonymous.invalid",
            "sip:anonymous-01@room7.anonymous.invalid",
        ] {
            let aor: Aor = text.parse().unwrap();
            assert_eq!(aor.number_in(&conference("room7")), None, "{text}");
        }
    }
}
