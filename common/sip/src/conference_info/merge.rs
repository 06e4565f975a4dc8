//! What changed between two states of a conference, and a change put upon an earlier state (RFC 4575, 4.5 and 4.6).
use std::collections::HashMap;

use super::{ConferenceInfo, State, User};

/// A document that does not follow the one before: the whole has to be asked for again (RFC 4575, 4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a notification is missing")]
pub struct Gap;

impl ConferenceInfo {
    /// What has changed since `earlier`, as a partial document with the next version; a person who changed is told
    /// whole. `None` if nothing has changed.
    pub fn since(&self, earlier: &Self) -> Option<Self> {
        let (now, before) = (self.by_entity(), earlier.by_entity());
        let changed = |user: &&User| before.get(user.entity.as_str()) != Some(user);
        let mut users: Vec<User> = self.users.iter().filter(changed).cloned().collect();
        let gone = earlier.users.iter().filter(|user| !now.contains_key(user.entity.as_str()));
        users.extend(gone.map(|user| User::deleted(&user.entity)));
        let version = earlier.version.wrapping_add(1);
        let partial = Self {
            entity: self.entity.clone(),
            version,
            state: State::Partial,
            users,
            subject: differing(&self.subject, &earlier.subject),
            maximum_user_count: differing(&self.maximum_user_count, &earlier.maximum_user_count),
            user_count: differing(&self.user_count, &earlier.user_count),
            active: differing(&self.active, &earlier.active),
            locked: differing(&self.locked, &earlier.locked),
        };
        let nothing = Self { version, state: State::Partial, ..Self::new(&self.entity) };
        (partial != nothing).then_some(partial)
    }

    /// Follows a document of the same conference.
    ///
    /// # Errors
    /// It is partial and not the next one.
    pub fn follow(&mut self, document: Self) -> Result<(), Gap> {
        match document.state {
            State::Full | State::Deleted => {
                *self = document;
                return Ok(());
            }
            State::Partial if document.version == self.version.wrapping_add(1) => {}
            // One that came twice changes nothing.
            State::Partial if document.version == self.version => return Ok(()),
            State::Partial => return Err(Gap),
        }
        self.version = document.version;
        keep(&mut self.subject, document.subject);
        keep(&mut self.maximum_user_count, document.maximum_user_count);
        keep(&mut self.user_count, document.user_count);
        keep(&mut self.active, document.active);
        keep(&mut self.locked, document.locked);
        for user in document.users {
            self.follow_user(user);
        }
        Ok(())
    }

    fn by_entity(&self) -> HashMap<&str, &User> {
        self.users.iter().map(|user| (user.entity.as_str(), user)).collect()
    }

    fn follow_user(&mut self, user: User) {
        let at = self.users.iter().position(|known| known.entity == user.entity);
        let known = at.and_then(|at| self.users.get_mut(at));
        match (user.state, known) {
            (State::Full, Some(known)) => *known = user,
            (State::Full | State::Partial, None) => {
                self.users.push(User { state: State::Full, ..user });
            }
            (State::Partial, Some(known)) => known.follow(user),
            (State::Deleted, Some(_)) => self.users.retain(|known| known.entity != user.entity),
            (State::Deleted, None) => {}
        }
    }
}

impl User {
    fn follow(&mut self, change: Self) {
        keep(&mut self.display_text, change.display_text);
        keep(&mut self.nickname, change.nickname);
        if !change.roles.is_empty() {
            self.roles = change.roles;
        }
        for endpoint in change.endpoints {
            let gone = endpoint.state == State::Deleted;
            self.endpoints.retain(|known| known.entity != endpoint.entity);
            if !gone {
                self.endpoints.push(super::Endpoint { state: State::Full, ..endpoint });
            }
        }
    }
}

fn differing<T: Clone + PartialEq>(now: &Option<T>, before: &Option<T>) -> Option<T> {
    if now == before { None } else { now.clone() }
}

fn keep<T>(known: &mut Option<T>, news: Option<T>) {
    if news.is_some() {
        *known = news;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(people: &[&str]) -> ConferenceInfo {
        let mut info = ConferenceInfo::new("sip:room7@example.net");
        info.users = people.iter().map(|name| User::new(name)).collect();
        info.user_count = u32::try_from(people.len()).ok();
        info
    }

    #[test]
    fn s4_5_a_change_put_upon_the_earlier_state_gives_the_later_one() {
        let mut known = ConferenceInfo { version: 4, ..info(&["sip:a@x", "sip:b@x"]) };
        let mut later = info(&["sip:b@x", "sip:c@x"]);
        later.locked = Some(true);

        let change = later.since(&known).unwrap();

        assert_eq!((change.state, change.version), (State::Partial, 5));
        assert_eq!(change.users, [User::new("sip:c@x"), User::deleted("sip:a@x")]);
        assert_eq!(change.user_count, None);
        known.follow(change).unwrap();
        assert_eq!(known, ConferenceInfo { version: 5, ..later });
    }

    #[test]
    fn nothing_new_is_no_document() {
        let known = ConferenceInfo { version: 4, ..info(&["sip:a@x"]) };

        assert_eq!(info(&["sip:a@x"]).since(&known), None);
    }

    #[test]
    fn s4_6_a_gap_in_the_versions_is_noticed_and_changes_nothing() {
        let mut known = ConferenceInfo { version: 4, ..info(&["sip:a@x"]) };
        let late = ConferenceInfo { version: 6, state: State::Partial, ..info(&["sip:c@x"]) };

        assert_eq!(known.follow(late), Err(Gap));
        assert_eq!(known.version, 4);
        known.follow(ConferenceInfo { version: 9, ..info(&["sip:c@x"]) }).unwrap();
        assert_eq!((known.version, known.users.len()), (9, 1));
    }
}
