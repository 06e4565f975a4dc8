//! What one person wants of others: who may send messages, who may invite, and whether the person is shown. Pure.
use std::collections::BTreeSet;

use ids::Aor;

use super::shapes::{From, MailboxUse, Privacy};

/// What a person wants. Who never said anything takes messages and invitations from everybody, and is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    messages_from: From,
    invitations_from: From,
    blocked: BTreeSet<Aor>,
    contacts: BTreeSet<Aor>,
    hidden: bool,
    mailbox: MailboxUse,
}

impl Policy {
    pub(super) fn wish(&mut self, privacy: &Privacy) {
        self.messages_from = privacy.messages_from;
        self.invitations_from = privacy.invitations_from;
        self.blocked = privacy.blocked.iter().filter_map(|who| who.parse().ok()).collect();
        self.hidden = privacy.hide_identity;
        self.mailbox = privacy.mailbox;
    }

    pub(super) fn knows(&mut self, contacts: BTreeSet<Aor>) {
        self.contacts = contacts;
    }

    /// Whether a message of this person gets through.
    #[must_use]
    pub fn takes_message(&self, from: &Aor) -> bool {
        self.takes(self.messages_from, from)
    }

    /// Whether an invitation by this person gets through.
    #[must_use]
    pub fn takes_invitation(&self, from: &Aor) -> bool {
        self.takes(self.invitations_from, from)
    }

    /// Whether the person's own requests hide who it is, where they say nothing about it (RFC 3323).
    #[must_use]
    pub const fn hides(&self) -> bool {
        self.hidden
    }

    /// When messages wait for the person in the mailbox.
    #[must_use]
    pub const fn mailbox(&self) -> MailboxUse {
        self.mailbox
    }

    fn takes(&self, whose: From, from: &Aor) -> bool {
        let of_those = match whose {
            From::Everybody => true,
            From::Contacts => self.contacts.contains(from),
            From::Nobody => false,
        };
        of_those && !self.blocked.contains(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aor(name: &str) -> Aor {
        format!("sip:{name}@example.net").parse().unwrap()
    }

    #[test]
    fn who_never_said_anything_takes_everything() {
        let policy = Policy::default();

        assert!(policy.takes_message(&aor("bob")) && policy.takes_invitation(&aor("bob")));
        assert!(!policy.hides());
    }

    #[test]
    fn contacts_means_contacts_and_who_is_blocked_is_so_even_then() {
        let mut policy = Policy::default();
        policy.knows(BTreeSet::from([aor("bob"), aor("eve")]));
        policy.wish(&Privacy {
            messages_from: From::Contacts,
            invitations_from: From::Nobody,
            blocked: vec![aor("eve").to_string()],
            hide_identity: true,
            mailbox: MailboxUse::Never,
        });

        assert!(policy.takes_message(&aor("bob")) && policy.hides());
        assert_eq!(policy.mailbox(), MailboxUse::Never);
        assert!(!policy.takes_message(&aor("carol")) && !policy.takes_message(&aor("eve")));
        assert!(!policy.takes_invitation(&aor("bob")));
    }
}
