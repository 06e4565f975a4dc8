//! How a device comes by the keys of a circle, and keeps up: it founds the circle if nobody has, comes into it by Welcome or
//! by itself, and follows its log. What is not in the log any more, or does not open, is left behind by entering anew.
use ids::{Aor, Epoch, Era};
use mls::circle::CircleMember;
use mls::member::{MemberError, Processed};
use mls::wire::{Bundle, CircleEntry, CommitResult, Founding};

use super::circle::{TRIES, Task};
use crate::event::Error;

/// Where foundings are noted that may not have been ordered.
const BEGUN: &[u8] = b"begun/";

/// How far the log is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// To its end.
    Now,
    /// Until this device holds keys.
    Keys,
    /// Until it is in this epoch.
    Epoch(Era, Epoch),
}

impl Task {
    /// Somebody has to go before anybody may write: has it committed.
    pub(super) async fn cover(&mut self) -> Result<(), Error> {
        let now = service::clock::wall();
        let Some(member) = self.member.as_mut() else { return Ok(()) };
        let made = member.commit_pending(now);
        self.change(made).await
    }

    /// Replaces the own leaf if its time is over. While anything else is under way its turn comes again.
    pub(super) async fn tend(&mut self) {
        let is_busy = self.founding.is_some() || self.is_reading();
        let Some(member) = self.member.as_mut().filter(|_| !is_busy) else { return };
        let (records, now) = (self.tools.keyring.records(), service::clock::wall());
        if !self.freshness.is_due(records, member.group(), &self.tools.limits, now) {
            return;
        }
        let made = member.refresh();
        if let Err(error) = self.change(made).await {
            self.freshness.refused(now);
            tracing::warn!(%error, circle = %self.id, "the leaf in a circle was not replaced");
        }
    }

    /// Has a change of ours ordered, and follows what became of it.
    async fn change(&mut self, made: Result<Bundle, MemberError>) -> Result<(), Error> {
        match made {
            Ok(bundle) => {
                if let CommitResult::Refused { why } = self.submit(&bundle).await? {
                    if let Some(member) = self.member.as_mut() {
                        member.abandon().map_err(|error| group(&error))?;
                    }
                    return Err(Error::Group(why));
                }
            }
            // What became of the one before is in the log.
            Err(MemberError::Committing | MemberError::Entering) => {}
            Err(MemberError::Removed) => self.leave_behind(),
            Err(error) => return Err(group(&error)),
        }
        self.catch_up(Until::Now).await?;
        self.tools.keep().await
    }

    /// Takes up the keys that were kept, or comes by some.
    pub(super) async fn hold_keys(&mut self) {
        self.resume();
        let held = match self.order_founding().await {
            Ok(()) if self.member.is_none() => self.catch_up(Until::Keys).await.map(drop),
            ordered => ordered,
        };
        if let Err(error) = held {
            tracing::warn!(%error, circle = %self.id, "a circle was not entered");
        }
    }

    /// Holds keys: comes into the circle, or begins it.
    pub(super) async fn ready(&mut self) -> Result<(), Error> {
        self.resume();
        if self.member.is_some() || self.catch_up(Until::Now).await? {
            return Ok(());
        }
        self.found().await
    }

    /// Begins the circle, with every device of its people that has keys.
    async fn found(&mut self) -> Result<(), Error> {
        let circle = self.circle.clone().ok_or_else(unknown)?;
        let mut claims = Vec::new();
        for person in circle.people() {
            let theirs = self.tools.directory.claim(person).await?;
            if theirs.is_empty() && person != self.tools.me() {
                return Err(match self.tools.phone.knows(person).await {
                    Some(false) => Error::Nobody(person.clone()),
                    _ => Error::NoKeys(person.clone()),
                });
            }
            claims.extend(theirs);
        }
        let (now, records) = (service::clock::wall(), self.tools.keyring.records());
        let (member, founding) = loop {
            match CircleMember::found(&self.tools.keyring, &circle, &claims, now) {
                Ok(founded) => break founded,
                // One bad KeyPackage keeps one device out, and nobody else.
                Err(MemberError::KeyPackage { who, why }) => {
                    tracing::warn!(%who, %why, "a device is left out");
                    claims.retain(|it| it.aor != who.aor || it.device != who.device);
                    let left = claims.iter().any(|it| it.aor == who.aor);
                    if !left && who.aor != *self.tools.me() {
                        return Err(Error::NoKeys(who.aor));
                    }
                }
                Err(error) => return Err(group(&error)),
            }
        };
        // Its keys are kept from now on; whether anybody has heard of it is asked again after a crash.
        records.note(&self.begun(), founding.to_bytes());
        (self.member, self.founding, self.cursor) = (Some(member), Some(founding), 0);
        Ok(())
    }

    /// Has a device of everybody let in who has none in the group: what is sealed before that nobody reads for them. Whether
    /// all had one.
    pub(super) async fn include(&mut self) -> Result<bool, Error> {
        let (Some(member), Some(circle)) = (&self.member, &self.circle) else { return Ok(false) };
        // A founding takes in whoever has keys.
        if self.founding.is_some() {
            return Ok(true);
        }
        let is_in = |person: &Aor| member.group().roster().any(|device| device.aor == *person);
        let out: Vec<Aor> = circle.people().filter(|person| !is_in(person)).cloned().collect();
        if out.is_empty() {
            return Ok(true);
        }
        let mut claims = Vec::new();
        for person in out {
            match self.tools.directory.claim(&person).await? {
                theirs if theirs.is_empty() => return Err(Error::NoKeys(person)),
                theirs => claims.extend(theirs),
            }
        }
        let Some(member) = self.member.as_mut() else { return Ok(false) };
        let made = member.add(&claims, service::clock::wall());
        self.change(made).await.map(|()| false)
    }

    /// Has the own founding ordered over HTTPS; if another one was first, it is as if it had never been.
    pub(super) async fn order_founding(&mut self) -> Result<(), Error> {
        let Some(founding) = &self.founding else { return Ok(()) };
        match self.tools.directory.circle_found(founding).await? {
            CommitResult::Accepted { .. } => self.ordered(),
            CommitResult::Lost { .. } => self.leave_behind(),
            CommitResult::Refused { why } => {
                self.leave_behind();
                return Err(Error::Group(why));
            }
        }
        Ok(())
    }

    /// The circle has begun with the own founding, if there is one.
    pub(super) fn ordered(&mut self) {
        if self.founding.take().is_some() {
            self.tools.keyring.records().forget_lazily(&self.begun());
            self.witness();
        }
    }

    /// Where the own founding is noted until it is ordered.
    fn begun(&self) -> Vec<u8> {
        [BEGUN, self.id.as_str().as_bytes()].concat()
    }

    pub(super) fn leave_behind(&mut self) {
        self.founding = None;
        self.tools.keyring.records().forget_lazily(&self.begun());
        if let Some(member) = self.member.take() {
            member.forget();
        }
    }

    /// What we wrote was not taken: the circle is in another epoch, or begun otherwise.
    pub(super) async fn overtaken(&mut self) -> Result<(), Error> {
        self.order_founding().await?;
        if !self.catch_up(Until::Now).await? {
            self.leave_behind();
        }
        Ok(())
    }

    /// Follows the log, and enters where it does not lead there. Whether the circle has begun.
    pub(super) async fn catch_up(&mut self, until: Until) -> Result<bool, Error> {
        let device = self.tools.keyring.device().device.clone();
        let mut tries = 0;
        loop {
            let log = self.tools.directory.circle_log(&self.id, &device, self.cursor).await?;
            let Some(log) = log.filter(|log| *log.people.id() == self.id) else {
                return Ok(false);
            };
            self.circle = Some(log.people);
            self.resume();
            self.order_founding().await?;
            for entry in log.entries {
                if self.is_there(until) {
                    return Ok(true);
                }
                self.cursor = entry.seq;
                self.follow(&entry);
            }
            if self.is_there(until) {
                return Ok(true);
            }
            if log.more {
                continue;
            }
            // What changed after the log was read is for the next time; but a Welcome in it is a better way in than our own.
            let at = (log.era, log.epoch);
            if !self.is_there(Until::Epoch(log.era, log.epoch)) && !self.enter(at).await? {
                tries += 1;
                if tries < TRIES {
                    continue;
                }
                let why = "the circle changes faster than it can be entered";
                return Err(Error::Group(why.to_owned()));
            }
            return self.settle((log.era, log.epoch)).map(|()| true);
        }
    }

    fn is_there(&self, until: Until) -> bool {
        let Some(member) = self.member.as_ref().filter(|it| !it.group().is_entering()) else {
            return false;
        };
        match until {
            Until::Now => false,
            Until::Keys => true,
            Until::Epoch(era, epoch) => member.generation() >= (era, epoch),
        }
    }

    /// A change of ours that the log does not tell of, though it was read after whatever became of it, was not taken.
    fn settle(&mut self, generation: (Era, Epoch)) -> Result<(), Error> {
        match self.member.as_mut() {
            Some(member) if member.group().is_committing() && member.generation() == generation => {
                member.abandon().map_err(|error| group(&error))
            }
            _ => Ok(()),
        }
    }

    /// Takes up the keys that this device has kept.
    pub(super) fn resume(&mut self) {
        let Some(circle) = self.circle.as_ref().filter(|_| self.member.is_none()) else { return };
        match CircleMember::load(&self.tools.keyring, circle) {
            Ok(member) => {
                let begun = self.tools.keyring.records().noted(&self.begun());
                let begun = begun.filter(|_| member.is_some());
                self.founding = begun.and_then(|note| Founding::from_bytes(&note).ok());
                self.member = member;
            }
            Err(error) => tracing::warn!(%error, "the keys of a circle that were kept"),
        }
    }

    fn follow(&mut self, entry: &CircleEntry) {
        let now = service::clock::wall();
        let Some(member) = self.member.as_mut() else {
            if let (Some(welcome), Some(circle)) = (&entry.welcome, &self.circle) {
                match CircleMember::join(&self.tools.keyring, circle, welcome, now) {
                    Ok(member) => {
                        self.member = Some(member);
                        self.witness();
                    }
                    Err(error) => tracing::debug!(%error, "a Welcome to a circle does not open"),
                }
            }
            return;
        };
        match member.process(&entry.message, now) {
            Ok(Processed::Commit(commit)) if commit.removed_self => self.leave_behind(),
            Ok(Processed::Commit(_)) => self.witness(),
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "a change of a circle does not open"),
        }
    }

    /// Enters by itself, if the circle is still as it was when its log was read: what has come since may hold a Welcome.
    async fn enter(&mut self, at: (Era, Epoch)) -> Result<bool, Error> {
        let circle = self.circle.clone().ok_or_else(unknown)?;
        let state = self.tools.directory.circle_group(&self.id).await?;
        if (state.era, state.epoch) != at {
            return Ok(false);
        }
        let known = self.member.take().map(|member| member.generation());
        let (keyring, now) = (&self.tools.keyring, service::clock::wall());
        let entered = CircleMember::enter(keyring, &circle, &state, known, now);
        let (mut member, bundle) = entered.map_err(|error| group(&error))?;
        let result = self.submit(&bundle).await;
        if let Ok(CommitResult::Accepted { .. }) = result {
            member.process(&bundle.commit, now).map_err(|error| group(&error))?;
            self.member = Some(member);
            self.witness();
            return Ok(true);
        }
        member.forget();
        match result? {
            CommitResult::Refused { why } => Err(Error::Group(why)),
            CommitResult::Accepted { .. } | CommitResult::Lost { .. } => Ok(false),
        }
    }

    async fn submit(&self, bundle: &Bundle) -> Result<CommitResult, Error> {
        let device = &self.tools.keyring.device().device;
        self.tools.directory.circle_commit(&self.id, device, bundle).await
    }
}

pub(super) fn group(error: &MemberError) -> Error {
    Error::Group(error.to_string())
}

fn unknown() -> Error {
    Error::Group("it is not known whose circle it is".to_owned())
}
