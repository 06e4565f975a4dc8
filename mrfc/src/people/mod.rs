//! What people keep here: contacts, phonebook, profile, and what they want of privacy. The HTTPS resources change it
//! (`http/people`), the store keeps it, and the front asks [`Policies`] before anything of somebody else gets through.
//!
//! [`policy`] is what one person wants, as a value · [`Policies`] has everybody's at hand · [`shapes`] is the JSON.
pub mod policy;
pub mod shapes;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use ids::Aor;
use serde::de::DeserializeOwned;
use store::Store;

use policy::Policy;
use shapes::{Contacts, Privacy};

/// The kinds of documents.
pub(crate) const CONTACTS: &str = "contacts";
pub(crate) const PHONEBOOK: &str = "phonebook";
pub(crate) const PROFILE: &str = "profile";
pub(crate) const PRIVACY: &str = "privacy";

/// Everybody's policy, at hand. Clones share them. Who never said anything is not in it.
#[derive(Clone, Debug, Default)]
pub struct Policies(Arc<RwLock<HashMap<Aor, Policy>>>);

impl Policies {
    /// What everybody wanted before the start.
    ///
    /// # Errors
    /// The database failed.
    pub async fn load(store: &Store) -> Result<Self, store::Error> {
        let policies = Self::default();
        for (owner, document) in store.documents(PRIVACY).await? {
            let contacts = store.document(&owner, CONTACTS).await?;
            policies.changed(&owner, &parsed::<Privacy>(&document.body));
            policies.contacts_changed(&owner, &parsed::<Contacts>(&contacts.body));
        }
        Ok(policies)
    }

    /// What this person wants.
    pub fn of(&self, who: &Aor) -> Policy {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.get(who).cloned().unwrap_or_default()
    }

    /// Somebody has changed what they want.
    pub(crate) fn changed(&self, who: &Aor, privacy: &Privacy) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(who.clone()).or_default().wish(privacy);
    }

    /// Somebody has other contacts now.
    pub(crate) fn contacts_changed(&self, who: &Aor, contacts: &Contacts) {
        let contacts: BTreeSet<Aor> =
            contacts.contacts.iter().filter_map(|contact| contact.address.parse().ok()).collect();
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Who wants nothing special is asked for nobody.
        if let Some(policy) = all.get_mut(who) {
            policy.knows(contacts);
        }
    }
}

/// A document as we wrote it; what is none is as if it was never written.
pub(crate) fn parsed<T: DeserializeOwned + Default>(body: &str) -> T {
    if body.is_empty() {
        return T::default();
    }
    serde_json::from_str(body).unwrap_or_else(|error| {
        tracing::warn!(%error, "a document in the store is not understood");
        T::default()
    })
}
