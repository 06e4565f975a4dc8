//! One desk: takes one thing at a time, decides, keeps, follows, carries out.
//!
//! It stops when its conference has ended, when the store says that another owner has appended, or when the desks
//! are stopped.
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use control::{Cause, RoomNotice};
use ids::{ConferenceId, SeatId, Seq};
use mls::wire::{self, EpochReport};
use store::Entry;
use tracing::{debug, info, warn};

use super::ask::FromRelay;
use super::registry::{Asks, Notices};
use super::seating::{Seated, Seating};
use super::watched::Watched;
use super::{SeatGiven, Shared};
use crate::conference::{
    Command, Conference, Effect, Participant, Recovered, Refusal, Told, What, Why,
};
use crate::orders::{Keys, orders};
use crate::perform::Performer;

/// One conference and everything that belongs to its task.
pub(super) struct Desk {
    pub(super) shared: Arc<Shared>,
    pub(super) conference: Conference,
    performer: Performer,
    pub(super) seating: Seating,
    /// Keys for answers that are not in the journal.
    answers: Keys,
    /// What the last events before the start had said, and may not have reached the relay.
    tail: Vec<(Seq, Vec<Effect>)>,
    /// What was due could not be done: not again before then.
    rest: Option<SystemTime>,
    /// Another owner has appended, or the conference has ended.
    pub(super) over: bool,
    /// The conference has ended.
    ended: bool,
    /// Who watches, as far as the desk knows.
    pub(super) watched: Watched,
}

/// Starts the desk of a conference that is to be made.
pub(super) fn spawn_new(shared: &Arc<Shared>, id: ConferenceId, asks: Asks, notices: Notices) {
    let owner = Arc::clone(shared);
    shared.tasks.spawn(async move {
        // It may have existed before: eras, terms and keys go on from there.
        let conference = match load(&owner, &id).await {
            Ok(conference) => conference,
            Err(error) => {
                warn!(conference = %id, %error, "a conference cannot be made");
                owner.registry.remove(&id);
                return;
            }
        };
        let desk = Desk::new(owner, conference, Seating::default());
        desk.serve(asks, notices).await;
    });
}

async fn load(shared: &Shared, id: &ConferenceId) -> Result<Conference, super::OpenError> {
    let history = shared.store.read(id).await?;
    let store::History { before, events, group } = history;
    let recovered = Conference::recover_after(before, shared.terms(id), &events, group.as_ref());
    let journal = |why| super::OpenError::Journal { conference: id.clone(), why };
    Ok(recovered.map_err(journal)?.conference)
}

/// How long a desk leaves alone what is due and could not be done. While the store is full or away, trying again at
/// once would only burn a core.
const REST: Duration = Duration::from_secs(1);

/// When to do what is due, if the last try came to nothing.
fn rested(due: Option<SystemTime>, rest: Option<SystemTime>) -> Option<SystemTime> {
    due.map(|due| rest.map_or(due, |rest| due.max(rest)))
}

impl Desk {
    fn new(shared: Arc<Shared>, conference: Conference, seating: Seating) -> Self {
        let performer = Performer {
            relays: shared.relays.clone(),
            sip: shared.sip.clone(),
            charging: shared.charging.clone(),
            logs: shared.logs.clone(),
        };
        let answers = Keys::of_answers(conference.place());
        let (tail, rest) = (Vec::new(), None);
        let (watched, over, ended) = (Watched::default(), false, false);
        Self { shared, conference, performer, seating, answers, tail, rest, over, ended, watched }
    }

    /// A desk for a conference that was there before the start. Its dialogs are lost.
    pub(super) fn recovered(shared: Arc<Shared>, recovered: Recovered) -> Self {
        let Recovered { conference, tail } = recovered;
        let until = shared.now() + shared.limits.orphaned;
        let seating = Seating::orphaned(conference.roster().seats(), until);
        Self { tail, ..Self::new(shared, conference, seating) }
    }

    pub(super) fn relay(&self) -> String {
        self.conference.relay().unwrap_or_default().to_owned()
    }

    pub(super) fn spawn(self, asks: Asks, notices: Notices) {
        let tasks = self.shared.tasks.clone();
        tasks.spawn(self.serve(asks, notices));
    }

    async fn serve(mut self, mut asks: Asks, mut notices: Notices) {
        let shared = Arc::clone(&self.shared);
        self.repeat().await;
        while !self.over {
            let wait = self.wait();
            tokio::select! {
                ask = asks.recv() => match ask {
                    Some(ask) => self.ask(ask).await,
                    None => return,
                },
                Some((relay, from)) = notices.recv() => self.relay_says(&relay, from).await,
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
                () = shared.stopping.cancelled() => return,
            }
            self.late().await;
            self.due().await;
        }
        if self.ended {
            let (id, over) = (self.conference.id().clone(), self.conference.seq());
            self.answer_rest(asks).await;
            shared.forget(&id, over).await;
        } else {
            shared.registry.remove(self.conference.id());
        }
    }

    /// How long nothing is due; `None` until something else happens.
    fn wait(&self) -> Option<Duration> {
        let due = rested(self.conference.due(), self.rest);
        let due = due.into_iter().chain(self.seating.due()).min()?;
        Some(due.duration_since(self.shared.now()).unwrap_or_default())
    }

    /// Does what time asks for.
    async fn due(&mut self) {
        let is_due = |desk: &Self| {
            rested(desk.conference.due(), desk.rest).is_some_and(|due| due <= desk.shared.now())
        };
        while !self.over && is_due(self) {
            self.rest = None;
            if let Err(refusal) = self.run(&Command::Tick).await {
                debug!(conference = %self.conference.id(), %refusal, "tick");
                self.rest = Some(self.shared.now() + REST);
                return;
            }
        }
    }

    async fn late(&mut self) {
        let now = self.shared.now();
        for seat in self.seating.late(now) {
            self.gone(seat, Why::RelayLost).await;
        }
        for seat in self.seating.forgotten(now) {
            self.gone(seat, Why::Forgotten).await;
        }
    }

    /// The path of every change: decide, keep, follow, carry out.
    pub(super) async fn run(&mut self, command: &Command) -> Result<(), Refusal> {
        let mut follow = Some(self.step(command).await?);
        while let Some(of) = follow.take().filter(|of| !of.is_empty()) {
            let packages = self.claim(of).await;
            follow = Some(self.step(&Command::Claimed(packages)).await?);
        }
        Ok(())
    }

    async fn step(&mut self, command: &Command) -> Result<Vec<Participant>, Refusal> {
        let decision = self.conference.decide(self.shared.now(), command)?;
        let former = self.relay();
        let entry = Entry { event: decision.event().to_bytes(), group: decision.group() };
        let appended =
            self.shared.store.append(self.conference.id(), self.conference.seq(), entry).await;
        if let Err(error) = appended {
            return Err(self.not_kept(&error));
        }
        let what = decision.event().what.clone();
        let effects = self.conference.take(decision);
        self.answers = Keys::of_answers(self.conference.place());
        for effect in &effects {
            if let Effect::Unseat(seat, _) | Effect::Bye(seat, _) = effect {
                self.seating.over(*seat);
            }
        }
        let relay = self.conference.relay().map_or_else(|| former.clone(), ToOwned::to_owned);
        if !former.is_empty() && relay != former {
            let close = control::RoomOrder::Close { reason: Why::RelayLost.as_str().to_owned() };
            self.performer.order(&self.conference, &former, close).await;
        }
        let keys = Keys::of_event(self.conference.place());
        let claims = self.performer.all(&self.conference, &relay, keys, effects).await;
        self.shared.counting.followed(&self.conference, &what);
        self.noted(&what);
        self.tell_watchers(&what).await;
        Ok(claims)
    }

    fn noted(&mut self, what: &What) {
        let conference = self.conference.id();
        match what {
            What::Created { level, .. } => {
                self.shared.registry.opened(conference, *level);
                info!(%conference, ?level, "made");
            }
            What::Ended { .. } => {
                self.over = true;
                // At once, so that nobody who asks from now on waits for a desk that ends.
                self.shared.registry.ended(conference, self.shared.now());
                self.ended = true;
                info!(%conference, "ended");
            }
            What::Advanced { by, era, epoch, added, removed, .. } => {
                let (added, removed) = (added.len(), removed.len());
                info!(%conference, %era, %epoch, %by, added, removed, "new epoch");
            }
            What::GivenUp { author } => {
                warn!(%conference, %author, "nobody could follow a commit: the group begins anew");
            }
            What::Doubted { by, era, epoch, .. } => {
                info!(%conference, %by, %era, %epoch, "a member is ahead of the journal");
            }
            What::Upheld => info!(%conference, "who said that the journal is old is alone with it"),
            What::Outdated { term, era, .. } => {
                warn!(
                    %conference,
                    %term,
                    %era,
                    "this database is an old copy: its members, or its relay, have seen later changes of the group than it \
                     knows. The group begins anew; roles, bans and removals of the time that is lost are forgotten. Put a \
                     backup back with `conclave db restore`, never by copying"
                );
            }
            What::Astray { who, epoch } => {
                info!(%conference, %who, %epoch, "a member cannot follow a commit");
            }
            What::Inherited { creator } => self.shared.registry.inherited(conference, creator),
            What::Departed { why, .. } => info!(%conference, why = why.as_str(), "departed"),
            _ => {}
        }
    }

    fn not_kept(&mut self, error: &store::Error) -> Refusal {
        let conference = self.conference.id();
        match error {
            store::Error::Conflict { .. } | store::Error::Closed | store::Error::Fenced => {
                warn!(%conference, %error, "this focus gives the conference up");
                self.over = true;
                Refusal::NotOwner
            }
            other => {
                warn!(%conference, error = %other, "an event could not be kept");
                Refusal::StoreFailed
            }
        }
    }

    async fn claim(&self, of: Vec<Participant>) -> Vec<(Participant, Option<Bytes>)> {
        let names = of.iter().map(|who| (who.aor.clone(), who.device.clone())).collect();
        let claimed = self.shared.store.claim_for(names, self.shared.now()).await;
        let claimed = claimed.unwrap_or_else(|error| {
            warn!(conference = %self.conference.id(), %error, "no KeyPackages");
            Vec::new()
        });
        let given = of.iter().map(|who| &who.aor).zip(&claimed);
        let given = given.filter_map(|(aor, one)| Some((aor, one.as_ref()?)));
        super::devices::handed_out(&self.shared.sip, given);
        let packages = claimed.into_iter().map(|one| one.map(|one| one.package));
        of.into_iter().zip(packages.chain(std::iter::repeat(None))).collect()
    }

    /// Runs a command whose refusal nobody waits for.
    pub(super) async fn tried(&mut self, command: &Command) {
        if let Err(refusal) = self.run(command).await {
            debug!(conference = %self.conference.id(), %refusal, "refused");
        }
    }

    pub(super) async fn gone(&mut self, seat: SeatId, why: Why) {
        self.tried(&Command::Gone { seat, why }).await;
    }

    async fn relay_says(&mut self, relay: &str, from: FromRelay) {
        if self.conference.relay() != Some(relay) {
            return;
        }
        match from {
            FromRelay::Restarted => {
                let seats: Vec<SeatId> = self.conference.roster().seats().collect();
                for seat in seats {
                    if !self.seating.is_waiting(seat) {
                        self.gone(seat, Why::RelayLost).await;
                    }
                }
                if self.conference.keeps_log() {
                    self.tried(&Command::Reappoint).await;
                }
            }
            FromRelay::Notice { notice, done } => {
                self.notice(notice).await;
                drop(done);
            }
        }
    }

    async fn notice(&mut self, notice: RoomNotice) {
        match notice {
            RoomNotice::Seated { seat, path } => self.seated(seat, path).await,
            RoomNotice::Bound { seat } => self.tried(&Command::Bound(seat)).await,
            RoomNotice::Lost { seat, cause } => {
                // A relay that drains takes nobody; one that never had such a seat never will.
                let refusal = match cause {
                    Cause::Misbehaved => Refusal::Unseatable,
                    Cause::Disconnected | Cause::Slow | Cause::Silent => Refusal::NoRelay,
                };
                self.seating.refused(seat, refusal);
                self.gone(seat, why(cause)).await;
            }
            RoomNotice::Handshake { seat, content_type, body, .. } => {
                if msrp::media_type_is(content_type.as_bytes(), wire::BUNDLE) {
                    self.bundle(seat, body).await;
                } else if msrp::media_type_is(content_type.as_bytes(), wire::EPOCH_REPORT) {
                    self.report(seat, &body).await;
                } else {
                    debug!(conference = %self.conference.id(), content_type, "not for the focus");
                }
            }
            RoomNotice::Broadcasted { key, number } => {
                debug!(conference = %self.conference.id(), %key, %number, "broadcast");
            }
            RoomNotice::NicknameAsked { seat, request, nickname } => {
                let outcome = self.run(&Command::Rename { seat, nickname }).await;
                let status = super::nickname::status(&outcome);
                let answer = control::RoomOrder::NicknameAnswer { seat, request, status };
                let relay = self.relay();
                self.performer.order(&self.conference, &relay, answer).await;
            }
            // The logs take these before the desks hear of anything.
            RoomNotice::Deposit(_) | RoomNotice::Reached(_) | RoomNotice::ReplayAsked(_) => {
                debug!(conference = %self.conference.id(), "a log nobody keeps");
            }
            RoomNotice::Skipped { known } => {
                self.tried(&Command::Overtaken { place: Keys::place_of(known) }).await;
            }
            // The ledger takes charges before the desks hear of anything.
            RoomNotice::Charged(charge) => {
                debug!(conference = %self.conference.id(), ?charge, "a charge nobody asked for");
            }
        }
    }

    async fn seated(&mut self, seat: SeatId, path: String) {
        let Some((who, _)) = self.conference.roster().at(seat) else { return };
        let shown_as = self.conference.shown_as(&who.aor);
        let face = self.shared.relays.face(&self.relay());
        let fingerprint = face.map(|face| face.fingerprint).unwrap_or_default();
        let mask = who.aor.is_pseudonym().then(|| who.device.clone());
        match self.seating.seated(SeatGiven { seat, path, fingerprint, shown_as, mask }) {
            Seated::Known => {}
            Seated::NobodyWaits => self.gone(seat, Why::Away).await,
            Seated::Moved => self.gone(seat, Why::RelayLost).await,
        }
    }

    /// What a member says of the newest epoch. It is not answered: what follows from it is told to whom it is for.
    async fn report(&mut self, seat: SeatId, body: &[u8]) {
        match EpochReport::from_bytes(body) {
            Ok(report) => self.tried(&Command::Report { seat, report }).await,
            Err(error) => debug!(conference = %self.conference.id(), %seat, %error, "a report"),
        }
    }

    /// A change of the group: accepted, or its author is told why not.
    async fn bundle(&mut self, seat: SeatId, bundle: Bytes) {
        let refusal = match self.run(&Command::Bundle { seat, bundle }).await {
            Ok(()) => return,
            Err(refusal) => refusal,
        };
        debug!(conference = %self.conference.id(), %seat, %refusal, "a change was refused");
        self.shared.counting.turned_down(&refusal);
        let result = refusal.to_result();
        let (relay, tell) = (self.relay(), Effect::Tell(seat, Told::Result(result)));
        for order in orders(&self.conference, &mut self.answers, tell) {
            self.performer.order(&self.conference, &relay, order).await;
        }
        if let Some(failed) = self.conference.failed(seat, &refusal) {
            self.tried(&failed).await;
        }
    }

    /// Tells the relay everything it should have.
    pub(super) async fn restate(&self) {
        let relay = self.relay();
        let keys = Keys::of_event(self.conference.place());
        let wanted = self.conference.wanted();
        self.performer.all(&self.conference, &relay, keys, wanted).await;
    }

    /// Repeats what the relay may have missed. A link takes only so much that has to happen once, so that this waits
    /// for the relay; nothing else does that before the relays are dialled.
    async fn repeat(&mut self) {
        let relay = self.relay();
        for (place, effects) in std::mem::take(&mut self.tail) {
            self.performer.all(&self.conference, &relay, Keys::of_event(place), effects).await;
        }
    }
}

fn why(cause: Cause) -> Why {
    match cause {
        Cause::Disconnected => Why::Disconnected,
        Cause::Slow => Why::Slow,
        Cause::Silent => Why::Silent,
        Cause::Misbehaved => Why::Misbehaved,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_done_is_not_tried_again_at_once() {
        let now = SystemTime::UNIX_EPOCH;
        let later = now + REST;

        assert_eq!(rested(Some(now), None), Some(now));
        assert_eq!(rested(Some(now), Some(later)), Some(later));
        assert_eq!(rested(Some(later + REST), Some(later)), Some(later + REST));
        assert_eq!(rested(None, Some(later)), None);
    }
}
