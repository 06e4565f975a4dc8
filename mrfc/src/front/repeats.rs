//! 2xx to INVITE that nobody has acknowledged yet, and when each is sent again (RFC 3261, 13.3.1.4): also over TLS, for
//! behind the next hop the way may be one that loses. That it is in vain in the end is told by the transaction.
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use sip::endpoint::TransactionKey;
use sip::transaction::T1;
use sip::{Method, Request, Response};

/// The longest pause, T2.
const T2: Duration = Duration::from_secs(4);

/// What waits for its ACK.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    waiting: HashMap<TransactionKey, Waiting>,
    due: BTreeSet<(Instant, TransactionKey)>,
}

#[derive(Debug)]
struct Waiting {
    response: Response,
    at: Instant,
    pause: Duration,
}

impl Repeats {
    /// This answer leaves; if it is a 2xx to INVITE it is sent again until its ACK comes.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        key: TransactionKey,
        request: &Request,
        response: &Response,
    ) {
        if request.method == Method::Invite && response.status.is_success() {
            self.wait(key, response.clone(), now + T1, T1);
        }
    }

    fn wait(&mut self, key: TransactionKey, response: Response, at: Instant, pause: Duration) {
        self.due.insert((at, key));
        self.waiting.insert(key, Waiting { response, at, pause });
    }

    /// The ACK came, or nobody waits for it any more.
    pub(super) fn over(&mut self, key: TransactionKey) {
        if let Some(waiting) = self.waiting.remove(&key) {
            self.due.remove(&(waiting.at, key));
        }
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// What is to be sent again now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(TransactionKey, Response)> {
        let mut again = Vec::new();
        while let Some((at, key)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            self.due.remove(&(at, key));
            let Some(waiting) = self.waiting.remove(&key) else { continue };
            let pause = (waiting.pause * 2).min(T2);
            again.push((key, waiting.response.clone()));
            self.wait(key, waiting.response, now + pause, pause);
        }
        again
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::clock;
    use sip::endpoint::{Endpoint, EndpointLimits, FlowId};
    use sip::{Status, Uri};

    #[test]
    fn s13_3_1_4_a_2xx_to_invite_is_sent_again_with_growing_pauses_until_its_ack() {
        let (mut repeats, start) = (Repeats::default(), clock::now());
        let to = |method| Request::new(method, "sip:room7@example.net".parse::<Uri>().unwrap());
        let (invite, options) = (to(Method::Invite), to(Method::Options));
        // Any two keys will do.
        let mut endpoint = Endpoint::new(EndpointLimits::default(), [0; 32]);
        let [key, other] =
            [1, 2].map(|flow| endpoint.request(start, FlowId(flow), options.clone()));
        repeats.answered(start, other, &options, &Response::to(&options, Status::OK));
        repeats.answered(start, other, &invite, &Response::to(&invite, Status::BUSY_HERE));
        repeats.answered(start, key, &invite, &Response::to(&invite, Status::OK));

        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..6 {
            let at = repeats.next().unwrap();
            pauses.push((at - now).as_millis());
            now = at;
            assert_eq!(repeats.due(now).len(), 1);
        }
        assert_eq!(pauses, [500, 1000, 2000, 4000, 4000, 4000]);

        repeats.over(key);
        assert!(repeats.next().is_none() && repeats.waiting.is_empty());
    }
}
