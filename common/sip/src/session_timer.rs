//! Session timers (RFC 4028): a session lasts as long as one side refreshes it, so that neither keeps one whose other
//! side has vanished. [`Terms`] settles with each INVITE and UPDATE how long and who; a [`SessionTimer`] says when to
//! refresh and when to give up. It sends nothing and reads no clock.
//!
//! ```text
//!            we refresh: UPDATE or INVITE            nobody has refreshed: BYE
//!   2xx ──────────────────┬────────────────────────────────────┬──────────┐
//!   0                  half of it              32 s or a third of it before  the interval
//! ```
use std::time::{Duration, Instant};

use crate::header::{BadHeader, Name, Refresher, SessionExpires};
use crate::message::{Request, Response, Status};

/// The option tag.
pub const TAG: &str = "timer";
/// No interval is below this (RFC 4028, 5), and none is announced to be.
pub const SECS_MIN: u32 = 90;

/// What this side wants of a session's interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The interval we ask for, and the longest we grant, in seconds.
    pub secs: u32,
    /// The shortest we take, in seconds.
    pub secs_min: u32,
}

/// One of the two sides of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Ours.
    Us,
    /// The peer's.
    Peer,
}

/// What has to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Refresh the session.
    Refresh,
    /// Nobody has refreshed it: end it.
    End,
}

/// The timer of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimer {
    secs: u32,
    refresher: Side,
    /// Of our next refresh; none while one is under way, or the peer refreshes.
    refresh_at: Option<Instant>,
    end_at: Instant,
}

/// Whether whoever sent this knows session timers.
fn knows(request: &Request) -> bool {
    request.headers.lists(&Name::Supported, TAG) || request.headers.lists(&Name::Require, TAG)
}

impl Terms {
    /// Whether an INVITE or UPDATE of the peer asks for something we can grant; otherwise its answer (9).
    pub fn check(&self, request: &Request) -> Result<(), Box<Response>> {
        let bad = |_: BadHeader| Box::new(Response::to(request, Status::BAD_REQUEST));
        let asked = request.headers.session_expires().map_err(bad)?;
        request.headers.min_se().map_err(bad)?;
        // Who does not know timers has not asked for this one, and could do nothing with a 422.
        let brief = asked.is_some_and(|asked| asked.secs < self.secs_min) && knows(request);
        if brief {
            let refused = Response::to(request, Status::SESSION_INTERVAL_TOO_SMALL);
            return Err(Box::new(refused.with(Name::MinSe, self.secs_min.max(SECS_MIN))));
        }
        Ok(())
    }

    /// What our 2xx to this request settles (9, table 2), and the 2xx that says so. `before` is the timer that runs.
    pub fn grant(
        &self,
        now: Instant,
        request: &Request,
        response: Response,
        before: Option<&SessionTimer>,
    ) -> (Response, SessionTimer) {
        let asked = request.headers.session_expires().ok().flatten();
        let least = request.headers.min_se().ok().flatten().unwrap_or_default().max(self.secs_min);
        let most = asked.as_ref().map_or(u32::MAX, |asked| asked.secs);
        let secs = most.min(self.secs.max(least)).max(self.secs_min);
        let refresher = match asked.and_then(|asked| asked.refresher) {
            _ if !knows(request) => Side::Us,
            Some(Refresher::Uac) => Side::Peer,
            Some(Refresher::Uas) => Side::Us,
            // Ours: then we learn by ourselves when the peer is gone.
            None => before.map_or(Side::Us, |timer| timer.refresher),
        };
        let said = match refresher {
            Side::Us => Refresher::Uas,
            Side::Peer => Refresher::Uac,
        };
        let settled = SessionExpires { secs, refresher: Some(said) };
        let response = response.with(Name::SessionExpires, settled);
        // Whoever refreshes must know how, and whoever does not should know when to give up.
        let response = if knows(request) { response.with(Name::Require, TAG) } else { response };
        (response, SessionTimer::new(now, secs, refresher))
    }

    /// A request of ours with what we ask for. A refresh leaves the roles as they are (7.4).
    pub fn ask(&self, request: Request, before: Option<&SessionTimer>) -> Request {
        let refresher = before.map(|timer| match timer.refresher {
            Side::Us => Refresher::Uac,
            Side::Peer => Refresher::Uas,
        });
        let asked = SessionExpires { secs: self.secs, refresher };
        let request = request.with(Name::SessionExpires, asked);
        if self.secs_min > SECS_MIN { request.with(Name::MinSe, self.secs_min) } else { request }
    }

    /// What the peer's 2xx to a request of ours settles (7.2). A peer that knows no timers is refreshed by us, so that
    /// we learn when it is gone.
    pub fn settled(&self, now: Instant, response: &Response) -> SessionTimer {
        let said = response.headers.session_expires().ok().flatten();
        let secs = said.as_ref().map_or(self.secs, |said| said.secs).max(self.secs_min);
        let refresher = match said.and_then(|said| said.refresher) {
            Some(Refresher::Uas) => Side::Peer,
            Some(Refresher::Uac) | None => Side::Us,
        };
        SessionTimer::new(now, secs, refresher)
    }

    /// What to ask for after a 422 (7.3); none if it does not say, or nothing that we did not offer.
    pub fn raised(&self, response: &Response) -> Option<Self> {
        let least = response.headers.min_se().ok().flatten()?;
        let brief = response.status == Status::SESSION_INTERVAL_TOO_SMALL && least > self.secs;
        brief.then_some(Self { secs: least, secs_min: self.secs_min.max(least) })
    }
}

impl SessionTimer {
    fn new(now: Instant, secs: u32, refresher: Side) -> Self {
        let interval = Duration::from_secs(u64::from(secs));
        let margin = Duration::from_secs(32).min(interval / 3);
        Self {
            secs,
            refresher,
            refresh_at: (refresher == Side::Us).then_some(now + interval / 2),
            end_at: now + interval.saturating_sub(margin),
        }
    }

    /// The interval, in seconds.
    pub fn secs(&self) -> u32 {
        self.secs
    }

    /// Who refreshes.
    pub fn refresher(&self) -> Side {
        self.refresher
    }

    /// When something is to be done.
    pub fn next(&self) -> Instant {
        self.refresh_at.map_or(self.end_at, |at| at.min(self.end_at))
    }

    /// What is to be done now, if anything. A refresh is due once.
    pub fn due(&mut self, now: Instant) -> Option<Due> {
        if now >= self.end_at {
            return Some(Due::End);
        }
        self.refresh_at.take_if(|at| now >= *at).map(|_| Due::Refresh)
    }

    /// Our refresh did not get through, and may at that time.
    pub fn again(&mut self, at: Instant) {
        self.refresh_at = Some(at);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::message::Method;
    use crate::uri::Uri;

    const TERMS: Terms = Terms { secs: 1800, secs_min: 120 };

    fn invite(fields: &[(Name, &str)]) -> Request {
        let request = Request::new(Method::Invite, "sip:room7@example.net".parse::<Uri>().unwrap())
            .with(Name::CSeq, "1 INVITE");
        fields.iter().fold(request, |request, (name, value)| request.with(name.clone(), *value))
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// The same at every call: a test compares what was granted at it with what is due after it.
    #[expect(clippy::disallowed_methods, reason = "some time, which the test moves itself")]
    fn start() -> Instant {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        *START
    }

    fn granted(fields: &[(Name, &str)]) -> (String, bool, SessionTimer) {
        let request = invite(fields);
        TERMS.check(&request).unwrap();
        let (response, timer) =
            TERMS.grant(start(), &request, Response::to(&request, Status::OK), None);
        let said = response.headers.text(&Name::SessionExpires).unwrap().into_owned();
        (said, response.headers.lists(&Name::Require, TAG), timer)
    }

    #[test]
    fn r4028_9_the_answer_grants_what_was_asked_within_our_bounds() {
        let timer = (Name::Supported, "path, timer");
        let expires = |text| (Name::SessionExpires, text);
        for (fields, said, required) in [
            (vec![], "1800;refresher=uas", false),
            (vec![timer.clone()], "1800;refresher=uas", true),
            (vec![timer.clone(), expires("600")], "600;refresher=uas", true),
            (vec![timer.clone(), expires("9999")], "1800;refresher=uas", true),
            (vec![timer.clone(), expires("600;refresher=uas")], "600;refresher=uas", true),
            (vec![timer.clone(), expires("600;refresher=uac")], "600;refresher=uac", true),
            // Its own least stands above what we would have liked.
            (vec![timer, expires("9999"), (Name::MinSe, "4000")], "4000;refresher=uas", true),
            // Put in by somebody between us: whoever knows no timers refreshes nothing.
            (vec![expires("600;refresher=uac")], "600;refresher=uas", false),
        ] {
            let (told, requires, _) = granted(&fields);
            assert_eq!((told.as_str(), requires), (said, required), "{fields:?}");
        }
    }

    #[test]
    fn r4028_9_a_brief_interval_is_422_with_ours_unless_its_client_knows_no_timers() {
        let brief = [(Name::Supported, TAG), (Name::SessionExpires, "119")];
        let refused = TERMS.check(&invite(&brief)).unwrap_err();
        assert_eq!(refused.status, Status::SESSION_INTERVAL_TOO_SMALL);
        assert_eq!(refused.headers.min_se(), Ok(Some(120)));

        let lax = Terms { secs_min: 1, ..TERMS };
        let refused = lax.check(&invite(&[(Name::Supported, TAG), (Name::SessionExpires, "0")]));
        assert_eq!(refused.unwrap_err().headers.min_se(), Ok(Some(90)), "RFC 4028, 5");

        assert!(TERMS.check(&invite(&brief[1..])).is_ok());
        assert_eq!(granted(&brief[1..]).2.secs(), 120);
        let broken = TERMS.check(&invite(&[(Name::SessionExpires, "soon")]));
        assert_eq!(broken.unwrap_err().status, Status::BAD_REQUEST);
    }

    #[test]
    fn r4028_10_who_refreshes_does_so_at_half_and_gives_up_before_the_end() {
        let (.., mut ours) = granted(&[]);
        let began = ours.next() - secs(900);

        assert_eq!(ours.due(began + secs(899)), None);
        assert_eq!(ours.due(began + secs(900)), Some(Due::Refresh));
        assert_eq!(ours.due(began + secs(901)), None, "once");
        assert_eq!(ours.next(), began + secs(1768));
        assert_eq!(ours.due(began + secs(1768)), Some(Due::End));
    }

    #[test]
    fn r4028_10_who_waits_for_the_peer_gives_up_32_seconds_or_a_third_before_the_end() {
        let asked =
            |secs: &'static str| granted(&[(Name::Supported, TAG), (Name::SessionExpires, secs)]).2;
        let now = start();
        let by_the_peer =
            [("1800;refresher=uac", 1768), ("120;refresher=uac", 88), ("150;refresher=uac", 118)];
        for (interval, end) in by_the_peer {
            let mut timer = asked(interval);
            assert_eq!(timer.refresher(), Side::Peer);
            assert_eq!(timer.due(now + secs(end - 1)), None, "{interval}");
            assert_eq!(timer.due(now + secs(end)), Some(Due::End), "{interval}");
        }
        let brief = SessionTimer::new(now, 30, Side::Peer);
        assert_eq!(brief.next(), now + secs(20));
    }

    #[test]
    fn r4028_7_2_the_answer_of_the_peer_decides_and_who_knows_no_timers_is_refreshed_by_us() {
        let to = |value: Option<&str>| {
            let response = Response::to(&invite(&[]), Status::OK);
            let response = match value {
                Some(value) => response.with(Name::SessionExpires, value),
                None => response,
            };
            let timer = TERMS.settled(start(), &response);
            (timer.secs(), timer.refresher())
        };

        assert_eq!(to(Some("600;refresher=uas")), (600, Side::Peer));
        assert_eq!(to(Some("600;refresher=uac")), (600, Side::Us));
        assert_eq!(to(None), (1800, Side::Us));
        assert_eq!(to(Some("1;refresher=uac")), (120, Side::Us), "nobody makes us hurry");
    }

    #[test]
    fn r4028_7_3_a_422_is_obeyed_once_and_a_senseless_one_is_not() {
        let refused = |least: &str| {
            Response::to(&invite(&[]), Status::SESSION_INTERVAL_TOO_SMALL).with(Name::MinSe, least)
        };

        let raised = TERMS.raised(&refused("4000")).unwrap();
        let request = raised.ask(invite(&[]), None);
        assert_eq!(request.headers.text(&Name::SessionExpires).unwrap(), "4000");
        assert_eq!(request.headers.min_se(), Ok(Some(4000)));
        assert_eq!(raised.raised(&refused("4000")), None);
        assert_eq!(TERMS.raised(&refused("90")), None);
        assert_eq!(TERMS.raised(&Response::to(&invite(&[]), Status::BUSY_HERE)), None);
    }

    #[test]
    fn r4028_7_4_a_refresh_keeps_the_roles() {
        let now = start();
        for (side, text) in [(Side::Us, "1800;refresher=uac"), (Side::Peer, "1800;refresher=uas")] {
            let timer = SessionTimer::new(now, 1800, side);
            let request = TERMS.ask(invite(&[]), Some(&timer));
            assert_eq!(request.headers.text(&Name::SessionExpires).unwrap(), text);

            let theirs = invite(&[(Name::Supported, TAG)]);
            let answer = Response::to(&theirs, Status::OK);
            assert_eq!(TERMS.grant(now, &theirs, answer, Some(&timer)).1.refresher(), side);
        }
    }

    #[test]
    fn a_refresh_that_met_another_request_is_sent_again() {
        let now = start();
        let mut timer = SessionTimer::new(now, 90, Side::Us);
        assert_eq!(timer.due(now + secs(45)), Some(Due::Refresh));

        timer.again(now + secs(47));

        assert_eq!(timer.next(), now + secs(47));
        assert_eq!(timer.due(now + secs(47)), Some(Due::Refresh));
    }
}
