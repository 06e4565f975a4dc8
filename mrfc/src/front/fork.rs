//! One request that went to several devices of a person: the first success is the answer, or the best refusal once
//! nobody is left (RFC 3261, 16.7). Pure.
use bytes::Bytes;
use sip::header::Name;
use sip::{Response, Status};

/// Longest Warning of a device that is passed on.
const WARNING_BYTES_MAX: usize = 512;

/// What a device says: its status, and why, if it says that too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) status: Status,
    warning: Option<Bytes>,
}

impl From<Status> for Said {
    fn from(status: Status) -> Self {
        Self { status, warning: None }
    }
}

impl Said {
    /// With the first Warning of a refusal.
    pub(super) fn by(response: &Response) -> Self {
        let warning = response.headers.raw(&Name::Warning).next().cloned();
        let warning = warning
            .filter(|warning| !response.status.is_success() && warning.len() <= WARNING_BYTES_MAX);
        Self { status: response.status, warning }
    }

    /// Says why, as the device did.
    pub(super) fn tell(self, response: Response) -> Response {
        match self.warning {
            Some(why) => response.with(Name::Warning, String::from_utf8_lossy(&why)),
            None => response,
        }
    }
}

/// The devices that have not answered yet, and the best answer so far.
#[derive(Debug, Default)]
pub(super) struct Fork {
    left: usize,
    told: bool,
    best: Option<Said>,
}

impl Fork {
    /// So many more devices were asked.
    pub(super) fn add(&mut self, devices: usize) {
        self.left += devices;
    }

    /// One device's answer: what there is to tell whoever asked, if anything.
    pub(super) fn ended(&mut self, said: impl Into<Said>) -> Option<Said> {
        let said = said.into();
        self.left = self.left.saturating_sub(1);
        let tell = (said.status.is_success() || self.is_over()) && !self.told;
        self.best = self.best.take().into_iter().chain([said]).min_by_key(|said| rank(said.status));
        self.told |= tell;
        self.best.clone().filter(|_| tell)
    }

    /// Whether the person has declined for all devices (RFC 3261, 21.6).
    pub(super) fn is_refused(&self) -> bool {
        self.best.as_ref().is_some_and(|best| (600..=699).contains(&best.status.code()))
    }

    /// Whether every device has answered.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }
}

/// A success, then a decision of the person, then anything else.
fn rank(status: Status) -> u16 {
    match status.code() {
        200..=299 => 0,
        600..=699 => 1,
        400..=499 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fork(devices: usize) -> Fork {
        let mut fork = Fork::default();
        fork.add(devices);
        fork
    }

    #[test]
    fn the_first_success_is_told_and_nothing_after_it() {
        let mut fork = fork(3);

        assert_eq!(fork.ended(Status::BUSY_HERE), None);
        assert_eq!(fork.ended(Status::OK), Some(Status::OK.into()));
        assert_eq!(fork.ended(Status::OK), None);
        assert!(fork.is_over());
    }

    #[test]
    fn when_nobody_takes_it_the_best_refusal_is_told() {
        let mut fork = fork(2);

        assert_eq!(fork.ended(Status::DECLINE), None);
        assert_eq!(fork.ended(Status::REQUEST_TIMEOUT), Some(Status::DECLINE.into()));
    }

    #[test]
    fn why_is_told_with_the_refusal_that_is_told_and_only_if_it_is_short() {
        let asked =
            sip::Request::new(sip::Method::Message, "sip:bob@x".parse::<sip::Uri>().unwrap());
        let refused = |status, why: &str| {
            Said::by(&Response::to(&asked, status).with(Name::Warning, format!("399 d \"{why}\"")))
        };
        let told = |said: Said| {
            let told = said.clone().tell(Response::to(&asked, said.status));
            told.headers.text(&Name::Warning).map(std::borrow::Cow::into_owned)
        };
        let mut fork = fork(2);

        assert_eq!(fork.ended(refused(Status::DECLINE, "no")), None);
        let best = fork.ended(refused(Status::NOT_ACCEPTABLE_HERE, "what")).unwrap();

        assert_eq!((best.status, told(best)), (Status::DECLINE, Some("399 d \"no\"".into())));
        let long = "x".repeat(WARNING_BYTES_MAX);
        assert_eq!(told(refused(Status::DECLINE, &long)), None);
        assert_eq!(told(refused(Status::OK, "fine")), None);
    }
}
