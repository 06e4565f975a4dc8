//! A SIP core in front of us: its connections are known by their certificates, and what it asserts about who asks is
//! believed (RFC 3325, 5). From anybody else that header is taken away before it is read.
use ids::Aor;
use sip::Request;
use sip::dialog::DialogId;
use sip::endpoint::FlowId;
use sip::header::{Headers, Name};

use super::Front;

impl Front {
    /// Whether the core is at the other end.
    pub(super) fn is_core(&self, flow: FlowId) -> bool {
        self.flows.get(&flow).is_some_and(|known| known.core)
    }

    /// A connection to the core, if there is one.
    pub(super) fn core(&self) -> Option<FlowId> {
        self.flows.iter().filter(|(_, known)| known.core).map(|(flow, _)| *flow).min()
    }

    /// Who sent this request, if the core says so. In a dialog that came through the core it need not say it again.
    pub(super) fn vouched_by_core(&self, flow: FlowId, request: &Request) -> Option<Aor> {
        if !self.is_core(flow) {
            return None;
        }
        asserted(&request.headers).or_else(|| {
            let id = DialogId::of_request(request)?;
            let call = self.dialogs.find(&id).map(|call| (&call.person, call.flow));
            let (person, flow) = call.or_else(|| self.pairs.person(&id))?;
            self.is_core(flow).then(|| person.clone())
        })
    }

    /// A connection of the core is gone: its dialogs go on over another one. Without another they are lost.
    pub(super) fn move_dialogs(&mut self, from: FlowId) {
        let other = self.flows.iter().find(|(flow, known)| known.core && **flow != from);
        let Some((&other, _)) = other else { return };
        for id in self.dialogs.on(from) {
            self.dialogs.change(&id, |call| call.flow = other);
        }
        self.pairs.move_all(from, other);
        self.move_watchers(from, other);
    }
}

/// The SIP identity in P-Asserted-Identity: one value, or a SIP and a tel URI (RFC 3325, 9.1). More than that, or two
/// of a kind, asserts nothing.
fn asserted(headers: &Headers) -> Option<Aor> {
    let identities = headers.addresses(Name::PAssertedIdentity).ok()?;
    let mut persons = identities.iter().filter(|identity| identity.uri.sip().is_some());
    match (persons.next(), persons.next(), identities.len()) {
        (Some(person), None, 1..=2) => person.uri.aor(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(values: &[&str]) -> Option<String> {
        let mut headers = Headers::new();
        values.iter().for_each(|value| headers.push(Name::PAssertedIdentity, value.to_string()));
        asserted(&headers).map(|aor| aor.to_string())
    }

    #[test]
    fn priv_03_one_sip_identity_and_at_most_one_number_beside_it() {
        let alice = Some(String::from("sip:alice@example.net"));

        assert_eq!(who(&["\"Alice\" <sip:alice@example.net>"]), alice);
        assert_eq!(who(&["<tel:+15551230000>", "<sips:alice@example.net>"]), alice);
        assert_eq!(who(&["<sip:alice@example.net>, <tel:+15551230000>"]), alice);
        assert_eq!(who(&[]), None);
        assert_eq!(who(&["<tel:+15551230000>"]), None);
        assert_eq!(who(&["<sip:alice@example.net>, <sip:bob@example.net>"]), None);
        assert_eq!(who(&["<sip:a@b.c>", "<tel:+1>", "<tel:+2>"]), None);
        assert_eq!(who(&["<sip:alice@"]), None);
    }
}
