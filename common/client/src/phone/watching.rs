//! A subscription to who is in a conference (RFC 6665, RFC 4575): it is refreshed, made whole again when a notification is
//! missing, and ended when nobody watches any more.
use std::time::Duration;

use bytes::Bytes;
use ids::Aor;
use sip::conference_info::{ConferenceInfo, MEDIA_TYPE};
use sip::dialog::Dialog;
use sip::header::{Event, SubscriptionStatus};
use sip::{Method, Name, Request, Response, Status};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Phone, uri};
use crate::event::Error;
use crate::roster::Roster;

/// How long a subscription is asked for, in seconds.
const SUBSCRIBE_SECS: u32 = 3600;
/// Notifications that wait; where more come, one is missing, and everything is asked for again.
const NOTIFIED_MAX: usize = 32;
/// Those who want to know how it is this moment.
const ASKED_MAX: usize = 8;

/// A notification.
#[derive(Debug)]
pub(super) struct Notified {
    body: Bytes,
    /// It is the last one, and this is why.
    over: bool,
}

/// Who is in a conference, followed from the focus. It ends with the subscription.
#[derive(Debug)]
pub struct Watch {
    told: watch::Receiver<Roster>,
    ask: mpsc::Sender<oneshot::Sender<()>>,
    patience: Duration,
}

impl Watch {
    /// The roster as it was told last. The focus tells of changes now and then, not of each at once.
    pub fn roster(&self) -> Roster {
        self.told.borrow().clone()
    }

    /// The roster as it is now, for which the focus is asked.
    ///
    /// # Errors
    /// It did not answer in time, or tells nothing any more.
    pub async fn look(&self) -> Result<Roster, Error> {
        let late = || Error::Late("who is in the conference");
        let (tell, told) = oneshot::channel();
        self.ask.try_send(tell).map_err(|_gone| late())?;
        let told = tokio::time::timeout(self.patience, told).await;
        told.map_err(|_elapsed| late())?.map_err(|_gone| late())?;
        Ok(self.roster())
    }

    /// The roster after the next change; none when nothing more will be told.
    pub async fn next(&mut self) -> Option<Roster> {
        self.told.changed().await.ok()?;
        Some(self.told.borrow_and_update().clone())
    }
}

/// What a document means for what was known.
#[derive(Debug, PartialEq, Eq)]
enum Followed {
    /// A change.
    Known,
    /// Everything.
    Whole,
    /// Something is missing.
    Gap,
}

/// What comes behind a notification.
#[derive(Debug, PartialEq, Eq)]
enum Goes {
    /// Nothing: it was the last one.
    Over,
    /// More.
    On,
    /// More, and everything is known as it is now.
    Whole,
}

/// What has been told so far.
#[derive(Debug, Default)]
struct Told(Option<ConferenceInfo>);

impl Told {
    fn follow(&mut self, body: &[u8]) -> Followed {
        let Ok(document) = ConferenceInfo::from_xml(body) else { return Followed::Gap };
        let is_change = document.state == sip::conference_info::State::Partial;
        let followed = if is_change { Followed::Known } else { Followed::Whole };
        match &mut self.0 {
            Some(known) => match known.follow(document) {
                Ok(()) => followed,
                Err(_gap) => Followed::Gap,
            },
            None if is_change => Followed::Gap,
            None => {
                self.0 = Some(document);
                followed
            }
        }
    }

    fn roster(&self) -> Roster {
        self.0.as_ref().map(Roster::of).unwrap_or_default()
    }
}

impl Phone {
    /// Watches a conference. The first roster comes with the answer.
    pub(crate) async fn watch(&self, conference: &Aor) -> Result<Watch, Error> {
        let what = "watching the conference";
        let request = self
            .request(Method::Subscribe, uri(conference.as_str())?, conference)?
            .with(Name::Event, Event::new("conference"))
            .with(Name::Accept, MEDIA_TYPE)
            .with(Name::Expires, SUBSCRIBE_SECS);
        let call_id = request.headers.call_id().map(|id| id.into_owned()).unwrap_or_default();
        // Before it is asked: a notification may be quicker than the answer.
        let (to, from) = mpsc::channel(NOTIFIED_MAX);
        self.watches().insert(call_id.clone(), to);
        let subscribed = self.send(what, request).await;
        let (request, response) =
            subscribed.inspect_err(|_| drop(self.watches().remove(&call_id)))?;
        let bad = |why: String| Error::Answer { what, why };
        let dialog = Dialog::uac(&request, &response).map_err(|error| {
            self.watches().remove(&call_id);
            bad(error.to_string())
        })?;
        let secs = response.headers.expires().ok().flatten().unwrap_or(SUBSCRIBE_SECS);
        let (ask, asked) = mpsc::channel(ASKED_MAX);
        let (phone, told, askers) = (self.clone(), Told::default(), Vec::new());
        let mut following = Following { phone, dialog, call_id, from, told, askers };
        let patience = self.shared.profile.limits.request;
        let first = tokio::time::timeout(patience, following.notified()).await;
        if !matches!(first, Ok(Goes::On | Goes::Whole)) {
            following.end().await;
            return Err(Error::Late("who is in the conference"));
        }
        let (to, told) = watch::channel(following.told.roster());
        tokio::spawn(following.run(to, asked, secs));
        Ok(Watch { told, ask, patience })
    }

    /// A NOTIFY in a subscription of ours: its answer.
    pub(super) fn notified(&self, request: &Request) -> Option<Response> {
        let event = request.headers.event().ok()?;
        if event.package != "conference" {
            return None;
        }
        let call_id = request.headers.call_id().ok()?.into_owned();
        let mut watches = self.watches();
        let to = watches.get(&call_id)?;
        let state = request.headers.subscription_state();
        let over = state.is_ok_and(|state| state.status == SubscriptionStatus::Terminated);
        let sent = to.try_send(Notified { body: request.body.clone(), over });
        if over || matches!(sent, Err(mpsc::error::TrySendError::Closed(_))) {
            watches.remove(&call_id);
        }
        Some(super::incoming::answer(request, Status::OK))
    }
}

/// A subscription that is followed.
struct Following {
    phone: Phone,
    dialog: Dialog,
    call_id: String,
    from: mpsc::Receiver<Notified>,
    told: Told,
    /// Those who wait for the next whole document.
    askers: Vec<oneshot::Sender<()>>,
}

impl Following {
    async fn run(
        mut self,
        to: watch::Sender<Roster>,
        mut asked: mpsc::Receiver<oneshot::Sender<()>>,
        mut secs: u32,
    ) {
        loop {
            let refresh = tokio::time::sleep(Duration::from_secs(u64::from(secs / 2).max(1)));
            tokio::select! {
                () = to.closed() => break,
                goes_on = self.notified() => {
                    to.send_replace(self.told.roster());
                    match goes_on {
                        Goes::Over => return,
                        Goes::On => {}
                        // Whoever asked may be gone.
                        Goes::Whole => {
                            for asker in self.askers.drain(..) {
                                let _there = asker.send(());
                            }
                        }
                    }
                }
                Some(asker) = asked.recv() => {
                    self.askers.push(asker);
                    // RFC 6665, 4.2.1.2: the answer to a refresh is followed by everything, at once.
                    if self.ask(SUBSCRIBE_SECS).await.is_err() {
                        self.askers.clear();
                    }
                }
                () = refresh => match self.subscribe(SUBSCRIBE_SECS).await {
                    Some(granted) => secs = granted,
                    None => return,
                },
            }
        }
        self.end().await;
    }

    /// Waits for a notification and follows it. Whether there will be more.
    async fn notified(&mut self) -> Goes {
        let Some(Notified { body, over }) = self.from.recv().await else { return Goes::Over };
        let followed = if body.is_empty() { Followed::Known } else { self.told.follow(&body) };
        match followed {
            _ if over => Goes::Over,
            Followed::Known => Goes::On,
            Followed::Whole => Goes::Whole,
            Followed::Gap => {
                // RFC 4575, 4.6: everything is asked for again.
                self.told = Told::default();
                self.subscribe(SUBSCRIBE_SECS).await.map_or(Goes::Over, |_secs| Goes::On)
            }
        }
    }

    /// Asks again in the same dialog; everything is told anew. For how long it was granted. If not, it is over.
    async fn subscribe(&mut self, secs: u32) -> Option<u32> {
        let asked = self.ask(secs).await;
        let refused = |error: &Error| {
            tracing::debug!(%error, "who is in the conference is not told any more");
            self.phone.watches().remove(&self.call_id);
        };
        asked.inspect_err(refused).ok()
    }

    async fn ask(&mut self, secs: u32) -> Result<u32, Error> {
        let what = "watching the conference";
        let request = self.dialog.request(Method::Subscribe);
        let request = request
            .map_err(|_over| Error::Ended("the subscription is over".to_owned()))?
            .with(Name::Event, Event::new("conference"))
            .with(Name::Accept, MEDIA_TYPE)
            .with(Name::Contact, self.phone.contact())
            .with(Name::Expires, secs);
        let (_, response) = self.phone.send(what, request).await?;
        Ok(response.headers.expires().ok().flatten().unwrap_or(SUBSCRIBE_SECS))
    }

    async fn end(mut self) {
        self.subscribe(0).await;
        self.phone.watches().remove(&self.call_id);
    }
}

#[cfg(test)]
mod tests {
    use sip::conference_info::{State, User};

    use super::*;

    fn document(version: u32, state: State, people: &[&str]) -> String {
        let users = people.iter().map(|name| User::new(&format!("sip:{name}@example.net")));
        ConferenceInfo {
            version,
            state,
            users: users.collect(),
            ..ConferenceInfo::new("sip:room7@example.net")
        }
        .to_xml()
    }

    #[test]
    fn cevt_06_a_version_that_is_missing_is_noticed_and_the_whole_begins_anew() {
        let mut told = Told::default();
        let partial = document(4, State::Partial, &["bob"]);
        assert_eq!(told.follow(partial.as_bytes()), Followed::Gap, "a change of nothing");

        let full = document(4, State::Full, &["alice"]);
        assert_eq!(told.follow(full.as_bytes()), Followed::Whole);
        let next = document(5, State::Partial, &["bob"]);
        assert_eq!(told.follow(next.as_bytes()), Followed::Known);
        assert_eq!(told.roster().people.len(), 2);

        let late = document(7, State::Partial, &["carol"]);
        assert_eq!(told.follow(late.as_bytes()), Followed::Gap);
        assert_eq!(told.follow(b"<nonsense"), Followed::Gap);
        assert_eq!(told.roster().people.len(), 2);
    }
}
