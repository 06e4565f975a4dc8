//! What a watcher may know of a conference: who is in it, on which devices, how they came and went, what they may do. It
//! depends on who watches (RFC 4575, 8.2). It changes nothing, and knows no SIP.
use std::time::SystemTime;

use ids::{Aor, ConferenceId, DeviceId};

use super::anonymous::known_as;
use super::nouns::{Came, Flow, Level, Why};
use super::refusal::Refusal;
use super::rules::Rules;
use super::{Conference, Seat};

/// A conference as watchers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scene {
    /// Its URI.
    pub uri: String,
    /// What holds in it.
    pub rules: Rules,
    /// Devices there may be.
    pub participants_max: usize,
    /// Everybody on the roster.
    pub people: Vec<Seen>,
    /// Who was there a moment ago.
    pub gone: Vec<Seen>,
    /// Who is kept out, each with the number to show in place of the name.
    pub barred: Vec<(Aor, Option<u32>)>,
    /// The conference, if those who hide there have pseudonyms of it.
    pub pseudonyms: Option<ConferenceId>,
}

/// Somebody in a conference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Who, as the roster has it.
    pub aor: Aor,
    /// Who it is, if that is a pseudonym.
    pub behind: Option<Aor>,
    /// The number to show in place of the name.
    pub hidden: Option<u32>,
    /// Whether this person may decide about others.
    pub moderator: bool,
    /// Whether this person may not talk.
    pub muted: bool,
    /// Being called, with no device that rings yet.
    pub called: bool,
    /// The devices.
    pub devices: Vec<Stand>,
}

/// Where a device stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stand {
    /// Which; none: nobody could be reached at all.
    pub device: Option<DeviceId>,
    /// Its nickname.
    pub nickname: Option<String>,
    /// Where it is.
    pub place: Place,
}

/// Where a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// It has a seat.
    Here {
        /// How it came.
        came: Came,
        /// Since when.
        since: SystemTime,
        /// It is called, and rings.
        alerting: bool,
        /// Its end of the session is known: it has come, and does not only ring.
        arrived: bool,
        /// Which way its messages flow.
        flow: Flow,
    },
    /// It has gone, or is away.
    Gone {
        /// Why and when, if that is known.
        how: Option<(Why, SystemTime)>,
    },
}

impl Scene {
    /// Whether this person may watch: who belongs to it, and nobody who was put out. Others where `open` says so.
    ///
    /// # Errors
    /// [`Refusal::Barred`], [`Refusal::NotWatcher`].
    pub fn admits(&self, who: &Aor, open: bool) -> Result<(), Refusal> {
        if self.barred.iter().any(|(barred, _)| barred == who) {
            return Err(Refusal::Barred);
        }
        let belongs = self.people.iter().any(|seen| seen.is(who));
        if belongs || open { Ok(()) } else { Err(Refusal::NotWatcher) }
    }

    /// Whether this person could come in: who belongs to it, or anybody, unless it is locked or they were put out.
    pub fn lets_in(&self, who: &Aor) -> bool {
        self.admits(who, !self.rules.locked).is_ok()
    }

    /// What others know somebody by who is kept out.
    pub fn shown(&self, who: &Aor, hidden: Option<u32>) -> String {
        match (&self.pseudonyms, hidden) {
            (Some(conference), Some(number)) => Aor::pseudonym(conference, number).to_string(),
            _ => known_as(who, hidden),
        }
    }

    /// Whether this person may decide about others.
    pub fn is_moderator(&self, who: &Aor) -> bool {
        self.people.iter().any(|seen| seen.is(who) && seen.moderator)
    }
}

impl Seen {
    fn is(&self, who: &Aor) -> bool {
        self.behind.as_ref().unwrap_or(&self.aor) == who
    }
}

impl Conference {
    /// The conference as watchers see it, while it exists.
    pub fn scene(&self) -> Option<Scene> {
        self.about.as_ref()?;
        let people = self.roster.people().map(|aor| Seen {
            aor: aor.clone(),
            behind: Some(self.roster.real(aor)).filter(|real| *real != aor).cloned(),
            hidden: self.roster.hidden(aor),
            moderator: self.roster.is_moderator(aor),
            muted: self.roster.is_muted(aor),
            called: self.roster.is_invited(aor) && self.roster.devices_of(aor).next().is_none(),
            devices: self
                .roster
                .devices_of(aor)
                .map(|(device, seat)| self.stand(aor, device, seat))
                .collect(),
        });
        Some(Scene {
            uri: self.uri(),
            rules: self.rules.clone(),
            participants_max: self.terms.bounds.participants_max,
            people: people.collect(),
            gone: self.gone(),
            barred: self.roster.barred().cloned().collect(),
            pseudonyms: (self.level() == Some(Level::Sealed)).then(|| self.id().clone()),
        })
    }

    fn stand(&self, aor: &Aor, device: &DeviceId, seat: Option<&Seat>) -> Stand {
        let nickname = seat.and_then(|seat| self.nickname(seat.id)).map(ToString::to_string);
        let place = match seat {
            Some(seat) => Place::Here {
                came: seat.came,
                since: seat.since.into(),
                alerting: seat.alerting,
                arrived: seat.peer_path.is_some() || seat.bound,
                flow: seat.end.flow,
            },
            None => {
                let parting = self.partings.of(aor, device);
                Place::Gone { how: parting.map(|parting| (parting.why, parting.at.into())) }
            }
        };
        Stand { device: Some(device.clone()), nickname, place }
    }

    /// Those who have gone and are on the roster no more.
    fn gone(&self) -> Vec<Seen> {
        let mut gone: Vec<Seen> = Vec::new();
        for parting in self.partings.iter() {
            let on_roster = match &parting.device {
                Some(device) => self.roster.devices_of(&parting.aor).any(|(it, _)| it == device),
                None => self.roster.has(&parting.aor),
            };
            if on_roster {
                continue;
            }
            let how = Some((parting.why, parting.at.into()));
            let (device, place) = (parting.device.clone(), Place::Gone { how });
            let stand = Stand { device, nickname: None, place };
            let same = |seen: &&mut Seen| seen.aor == parting.aor && seen.hidden == parting.hidden;
            match gone.iter_mut().find(same) {
                Some(seen) => seen.devices.push(stand),
                None => gone.push(Seen {
                    aor: parting.aor.clone(),
                    behind: None,
                    hidden: parting.hidden,
                    moderator: false,
                    muted: false,
                    called: false,
                    devices: vec![stand],
                }),
            }
        }
        gone
    }
}
