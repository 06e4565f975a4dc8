//! Where a run takes place: the system, who of its users sits where, and which rooms are this generator's.
use anyhow::Context;
use client::Profile;
use conclave::system::Directions;
use ids::{Aor, ConferenceId};
use serde::{Deserialize, Serialize};

use crate::scenario::{Level, Place, Scenario, Transport};

/// A system and the seats in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Stage {
    directions: Directions,
    /// What the names of the conferences begin with.
    prefix: String,
    /// Users of a system that is not our own, in the order of the places.
    users: Vec<String>,
    /// Everybody in a room.
    everybody: usize,
    /// What makes the devices of this run others than those of any other.
    run: u32,
    /// Protection of the rooms.
    pub(crate) level: Level,
    /// What MSRP runs over.
    transport: Transport,
}

impl Stage {
    /// A system of our own, whose users are named after their places.
    pub(crate) fn own(directions: Directions, scenario: &Scenario) -> Self {
        Self::new(directions, Some("load".to_owned()), Vec::new(), scenario)
    }

    /// Another system. Its users take the places in the order of their names.
    ///
    /// # Errors
    /// It has too few.
    pub(crate) fn found(
        directions: Directions,
        prefix: Option<String>,
        scenario: &Scenario,
    ) -> anyhow::Result<Self> {
        let users: Vec<String> = directions.users().map(str::to_owned).collect();
        let wanted = scenario.everybody().count();
        anyhow::ensure!(
            users.len() >= wanted,
            "the scenario needs {wanted} users and the directions name {}",
            users.len()
        );
        Ok(Self::new(directions, prefix, users, scenario))
    }

    fn new(
        directions: Directions,
        prefix: Option<String>,
        users: Vec<String>,
        scenario: &Scenario,
    ) -> Self {
        let everybody = scenario.members + scenario.guests();
        let run: u32 = rand::random();
        // What another run has left behind is none of this one's.
        let prefix = prefix.unwrap_or_else(|| format!("load-{run:08x}"));
        let Scenario { level, transport, .. } = *scenario;
        Self { directions, prefix, users, everybody, run, level, transport }
    }

    /// Whether the system goes on when the run is over: nobody may stay in its rooms.
    pub(crate) const fn goes_on(&self) -> bool {
        !self.users.is_empty()
    }

    /// The device of whoever sits there: the same one each time it is started.
    pub(crate) fn profile(&self, place: Place) -> anyhow::Result<Profile> {
        let device = format!(
            "urn:uuid:{:08x}-0000-4000-8000-{:06x}{:06x}",
            self.run, place.room, place.member
        );
        let device = device.parse().context("naming a device")?;
        let transport = match self.transport {
            Transport::Tls => client::Transport::Tls,
            Transport::Wss => client::Transport::WebSocket,
        };
        Ok(Profile { device, transport, ..self.directions.profile(&self.user(place)?)? })
    }

    /// Whoever sits there.
    pub(crate) fn aor(&self, place: Place) -> anyhow::Result<Aor> {
        let address = format!("sip:{}@{}", self.user(place)?, self.directions.domain);
        address.parse().context("a user's address")
    }

    /// The conference of a room.
    pub(crate) fn conference(&self, room: usize) -> anyhow::Result<ConferenceId> {
        format!("{}-{room}", self.prefix).parse().context("naming a room")
    }

    fn user(&self, place: Place) -> anyhow::Result<String> {
        if self.users.is_empty() {
            return Ok(place.user());
        }
        let index = place.room * self.everybody + place.member;
        self.users.get(index).cloned().context("there is no user for this place")
    }
}

/// Which rooms are a generator's: every so many-th, so that no two have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Share {
    /// Its number, from 0.
    pub(crate) index: usize,
    /// How many there are.
    pub(crate) of: usize,
}

impl Share {
    /// All rooms.
    pub(crate) const WHOLE: Self = Self { index: 0, of: 1 };

    /// Whether this room is among them.
    pub(crate) const fn has(self, room: usize) -> bool {
        room % self.of == self.index
    }
}
