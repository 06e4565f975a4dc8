//! What a desk does with each ask, and how it answers.
use std::sync::Arc;

use ids::{Aor, SeatId};
use tracing::warn;

use super::ask::{Ask, Made, Reply};
use super::registry::Asks;
use super::task::Desk;
use super::{Gone, Joiner, SeatGiven};
use crate::conference::{Command, Joining, Participant, PeerPath, Refusal, Ruling, Scene, Why};

impl Desk {
    pub(super) async fn ask(&mut self, ask: Ask) {
        match ask {
            Ask::Create { new, reply } => {
                let Made { creator, level, relay, standing } = new;
                let made = self.run(&Command::Create { creator, level, relay, standing }).await;
                // A desk whose conference was not made has nothing to do.
                self.over |= !self.conference.is_open();
                reply.send(made).ok();
            }
            Ask::Join { seat, joiner, reply } => self.takes_seat(seat, joiner, reply).await,
            Ask::Alerting { seat } => self.tried(&Command::Alerting(seat)).await,
            Ask::Answered { seat, peer_path, end } => {
                let peer_path = PeerPath(peer_path);
                self.tried(&Command::Answered { seat, peer_path, end }).await;
            }
            Ask::Gone { seat, how } => self.ended(seat, how).await,
            Ask::Unreached { who } => self.tried(&Command::Unreached(who)).await,
            Ask::Rule { by, ruling, reply } => self.rule(by, ruling, reply).await,
            Ask::Delete { by, reply } => self.plain(&Command::Delete { by }, reply).await,
            Ask::Glance { reply } => {
                reply.send(self.conference.scene().ok_or(Refusal::NoSuchConference)).ok();
            }
            Ask::Scene { reply } => drop(reply.send(self.scene())),
            Ask::Invite { by, who, reply } => {
                self.plain(&Command::Invite { by, who }, reply).await;
            }
            Ask::Kick { by, who, reply } => match self.run(&Command::Kick { by, who }).await {
                Ok(()) => self.confirmed(reply).await,
                Err(refusal) => drop(reply.send(Err(refusal))),
            },
            Ask::Revoke { devices, reply } => match self.revoke(&devices).await {
                Ok(()) => self.confirmed(reply).await,
                Err(refusal) => drop(reply.send(Err(refusal))),
            },
            Ask::Expel { who, reply } => match self.run(&Command::Expel(who)).await {
                Ok(()) => self.confirmed(reply).await,
                Err(refusal) => drop(reply.send(Err(refusal))),
            },
            Ask::Call { who, reply } => self.plain(&Command::Call(who), reply).await,
            Ask::Close { reply } => self.plain(&Command::Close, reply).await,
            Ask::Overview { reply } => {
                let overview = self.conference.overview().ok_or(Refusal::NoSuchConference);
                reply.send(overview).ok();
            }
            Ask::IsMask { mask, of, reply } => {
                let known = self.conference.is_mask_of(&mask, &of);
                reply.send(if known { Ok(()) } else { Err(Refusal::NotOnRoster(mask.aor)) }).ok();
            }
            Ask::GroupState { who, reply } => {
                let state = self.conference.group_state(&who);
                reply.send(state.map(|state| state.map(|state| state.to_bytes()))).ok();
            }
        }
    }

    async fn takes_seat(&mut self, seat: SeatId, joiner: Joiner, reply: Reply<SeatGiven>) {
        let joining = Joining {
            who: Participant { aor: joiner.aor, device: joiner.device },
            seat,
            identities: joiner.identities,
            peer_path: joiner.peer_path.map(PeerPath),
            end: joiner.end,
            came: joiner.came,
            shown: joiner.shown,
            mask: Some(joiner.mask),
        };
        match self.join(joining).await {
            Ok(()) => {
                let until = self.shared.now() + self.shared.limits.seated;
                self.seating.wait(seat, reply, until);
            }
            Err(refusal) => drop(reply.send(Err(refusal))),
        }
    }

    async fn plain(&mut self, command: &Command, reply: Reply<()>) {
        let done = self.run(command).await;
        reply.send(done).ok();
    }

    /// Somebody comes. A conference that rests gets a room first.
    async fn join(&mut self, joining: Joining) -> Result<(), Refusal> {
        if self.conference.is_resting() {
            let relay = self.shared.relays.place().ok_or(Refusal::NoRelay)?;
            self.run(&Command::Wake { relay }).await?;
        }
        let (who, mask) = (joining.who.clone(), joining.mask.clone());
        self.run(&Command::Join(joining)).await?;
        // A device that comes anew has lost the keys of its former pseudonym, whose leaf is of no use any more.
        for former in self.conference.former_masks(&who, mask.as_ref()) {
            self.tried(&Command::Unmask(former)).await;
        }
        Ok(())
    }

    /// What is still asked of a conference that has just ended.
    pub(super) async fn answer_rest(&mut self, mut asks: Asks) {
        asks.close();
        while let Ok(ask) = asks.try_recv() {
            // Whoever would make it anew asks the next desk.
            if !matches!(ask, Ask::Create { .. }) {
                self.ask(ask).await;
            }
        }
    }

    async fn ended(&mut self, seat: SeatId, how: Gone) {
        match how {
            Gone::Left => self.tried(&Command::Leave(seat)).await,
            Gone::Away => self.gone(seat, Why::Away).await,
            Gone::Silent => self.gone(seat, Why::Silent).await,
            Gone::Refused => self.gone(seat, Why::Refused).await,
            Gone::Busy => self.gone(seat, Why::Busy).await,
            Gone::Unreached => self.gone(seat, Why::Unreachable).await,
        }
    }

    /// Answers when the relay has carried out what it was just ordered, or says that it has not yet. The desk goes
    /// on meanwhile.
    async fn confirmed(&self, reply: Reply<()>) {
        let (shared, id) = (Arc::clone(&self.shared), self.conference.id().clone());
        let Ok(receipt) = shared.relays.receipt(&self.relay(), &id).await else {
            return drop(reply.send(Err(Refusal::Unconfirmed)));
        };
        let tasks = shared.tasks.clone();
        tasks.spawn(async move {
            let receipt = tokio::time::timeout(shared.limits.confirmed, receipt);
            let confirmed = tokio::select! {
                receipt = receipt => matches!(receipt, Ok(Ok(()))),
                () = shared.stopping.cancelled() => false,
            };
            if !confirmed {
                warn!(conference = %id, "the relay has not confirmed a removal");
            }
            let answer = if confirmed { Ok(()) } else { Err(Refusal::Unconfirmed) };
            reply.send(answer).ok();
        });
    }

    /// What is so already is no failure.
    async fn rule(&mut self, by: Option<Aor>, ruling: Ruling, reply: Reply<()>) {
        let removes = self.conference.puts_out(by.as_ref(), &ruling);
        match self.run(&Command::Rule { by, ruling }).await {
            Ok(()) if removes => self.confirmed(reply).await,
            Ok(()) | Err(Refusal::NothingNew) => drop(reply.send(Ok(()))),
            Err(refusal) => drop(reply.send(Err(refusal))),
        }
    }

    fn scene(&mut self) -> Result<Scene, Refusal> {
        self.watched.looked();
        self.conference.scene().ok_or(Refusal::NoSuchConference)
    }
}
