//! What a Request-URI names here: the factory, a conference, this domain itself, or nothing of ours. Pure.
use ids::ConferenceId;
use sip::Uri;

/// Whom a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The conference factory (RFC 4579, 5.4).
    Factory,
    /// A user part that can name a conference, whether or not there is one.
    Conference(ConferenceId),
    /// The domain: the registrar, or the server itself.
    Domain,
    /// A user part that can name no conference.
    Nobody,
    /// Another domain. We are no proxy.
    Elsewhere,
    /// Not a SIP URI (RFC 3261, 8.2.2.1: 416).
    NotSip,
}

impl Target {
    /// What `uri` names in `domain`, whose factory has the user part `factory`. A dialog's requests come to the
    /// Contact we gave, which has the same host.
    pub(crate) fn of(uri: &Uri, domain: &str, factory: &str) -> Self {
        let Some(uri) = uri.sip() else { return Self::NotSip };
        if !uri.host().eq_ignore_ascii_case(domain) {
            return Self::Elsewhere;
        }
        match uri.user() {
            None => Self::Domain,
            Some(user) if user == factory => Self::Factory,
            Some(user) => user.parse().map_or(Self::Nobody, Self::Conference),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(uri: &str) -> Target {
        Target::of(&uri.parse().unwrap(), "example.net", "conference-factory")
    }

    #[test]
    fn the_user_part_decides_in_our_domain_only() {
        assert_eq!(target("sip:conference-factory@Example.NET:5061"), Target::Factory);
        assert_eq!(target("sips:room7@example.net"), Target::Conference("room7".parse().unwrap()));
        assert_eq!(target("sip:example.net;transport=tls"), Target::Domain);
        assert_eq!(target("sip:No%20Room@example.net"), Target::Nobody);
        assert_eq!(target("sip:room7@example.org"), Target::Elsewhere);
        assert_eq!(target("tel:+15551230000"), Target::NotSip);
    }
}
