//! NICKNAME requests of this device that the relay has not answered (RFC 7701, 7). They are always answered, so silence
//! is a failure. Which names a conference allows is for its focus.
use std::time::{Duration, Instant};

use msrp::{Frame, Head, Path, Request, TransactionId};
use rand::CryptoRng;

use super::outgoing::{Settled, Ticket};
use crate::event::Error;

/// What the person asked for, in words.
const WHAT: &str = "the nickname";

/// The requests under way.
#[derive(Debug)]
pub(super) struct Renames {
    to_path: Path,
    from_path: Path,
    patience: Duration,
    asked: Vec<Asked>,
}

#[derive(Debug)]
struct Asked {
    transaction: TransactionId,
    ticket: Ticket,
    until: Instant,
}

impl Renames {
    pub(super) fn new(to_path: Path, from_path: Path, patience: Duration) -> Self {
        Self { to_path, from_path, patience, asked: Vec::new() }
    }

    /// The request for this name; an empty one gives up what there is.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        rng: &mut impl CryptoRng,
        ticket: Ticket,
        nickname: &str,
    ) -> Frame {
        let transaction = TransactionId::random(rng);
        self.asked.push(Asked { transaction, ticket, until: now + self.patience });
        Request::nickname(&self.to_path, &self.from_path, nickname).encode(transaction)
    }

    /// The relay has answered something: what that settles, if it was a nickname.
    pub(super) fn answered(&mut self, head: &Head) -> Option<Settled> {
        let at = self.asked.iter().position(|asked| asked.transaction == head.transaction())?;
        let asked = self.asked.remove(at);
        let refused = head.status().filter(|status| !status.is_success());
        let outcome = refused.map_or(Ok(()), |status| {
            let reason = head.comment().unwrap_or_default().to_owned();
            Err(Error::Refused { what: WHAT, status: status.code(), reason })
        });
        Some((asked.ticket, outcome))
    }

    /// When the next one is late.
    pub(super) fn due(&self) -> Option<Instant> {
        self.asked.iter().map(|asked| asked.until).min()
    }

    /// Those that are late.
    pub(super) fn late(&mut self, now: Instant) -> Vec<Settled> {
        let late = self.asked.extract_if(.., |asked| asked.until <= now);
        late.map(|asked| (asked.ticket, Err(Error::Late(WHAT)))).collect()
    }

    /// The seat is gone.
    pub(super) fn end(&mut self, reason: &str) -> Vec<Settled> {
        let ended = |asked: Asked| (asked.ticket, Err(Error::Ended(reason.to_owned())));
        self.asked.drain(..).map(ended).collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use msrp::{Decoder, Item, Reply, Status};

    use super::*;

    fn renames() -> Renames {
        let path = |text: &str| text.parse().unwrap();
        let (to, from) = (path("msrps://r.example:1/s;tcp"), path("msrps://ua.example:9/u;tcp"));
        Renames::new(to, from, Duration::from_secs(30))
    }

    /// The relay's answer to a request.
    fn answer(asked: &Frame, status: Status) -> std::sync::Arc<Head> {
        let read = |frame: &Frame| {
            let mut octets = BytesMut::from(&frame.to_bytes()[..]);
            Decoder::default().next(&mut octets).unwrap().unwrap()
        };
        let Item::Request(chunk) = read(asked) else { panic!() };
        assert_eq!(chunk.head.use_nickname().as_deref(), Ok("Blue Jay"));
        let Item::Response(head) =
            read(&Reply::new(&chunk.head, status).unwrap().encode().unwrap())
        else {
            panic!()
        };
        head
    }

    #[test]
    fn a_nickname_is_settled_by_its_answer_or_by_silence() {
        let (mut renames, mut rng, now) = (renames(), rand::rng(), service::clock::now());
        let mut ask = |renames: &mut Renames, n| renames.ask(now, &mut rng, Ticket(n), "Blue Jay");
        let (first, second) = (ask(&mut renames, 1), ask(&mut renames, 2));
        ask(&mut renames, 3);

        let taken = renames.answered(&answer(&second, Status::NICKNAME_IN_USE)).unwrap();
        assert!(matches!(taken, (Ticket(2), Err(Error::Refused { status: 425, .. }))), "{taken:?}");
        assert!(matches!(renames.answered(&answer(&first, Status::OK)), Some((Ticket(1), Ok(())))));
        assert!(renames.answered(&answer(&first, Status::OK)).is_none(), "once");

        let due = renames.due().unwrap();
        assert!(renames.late(due - Duration::from_nanos(1)).is_empty());
        assert!(matches!(renames.late(due)[..], [(Ticket(3), Err(Error::Late(_)))]));
        assert_eq!(renames.due(), None);
    }
}
