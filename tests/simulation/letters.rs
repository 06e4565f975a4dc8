//! What people said and what became of it: each message has one outcome for each receiver.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use ids::{Epoch, Era, SeatId};
use mrfc::conference::Participant;
use mrfp::session::Message;

use super::watch::{Generation, Watch};

/// A message that the relay has passed on.
#[derive(Clone, Debug)]
pub(crate) struct Passed {
    /// `imdn.Message-ID`.
    pub(crate) id: String,
    pub(crate) generation: Generation,
    pub(crate) sender: SeatId,
    pub(crate) receivers: Vec<(SeatId, u64)>,
    pub(crate) sealed: Bytes,
    /// All of it, as it goes to receivers.
    pub(crate) letter: msrp::Body,
    at: Duration,
}

impl Passed {
    pub(crate) fn new(message: &Message, receivers: Vec<(SeatId, u64)>, at: Duration) -> Self {
        let letter = msrp::cpim::Message::read(message.body()).unwrap();
        let sealed = letter.content.gather();
        let prefix = control::gate::read(&sealed).unwrap();
        Self {
            id: letter.envelope.imdn_message_id().unwrap().into_owned(),
            generation: (prefix.era, prefix.epoch),
            sender: message.sender(),
            receivers,
            sealed,
            letter: message.body().clone(),
            at,
        }
    }
}

/// What somebody said.
#[derive(Debug)]
struct Letter {
    body: String,
    author: Participant,
    /// In which life of the device.
    life: u64,
    /// Accepted or failed, once its author knows.
    settled: Option<bool>,
    /// Its author has lost its memory, so that nobody is left to be told.
    orphaned: bool,
}

/// What a connection of a device has seen of the group, and when it was over.
#[derive(Debug, Default)]
struct Line {
    /// The epochs it entered in, and when.
    entries: Vec<(Generation, Duration)>,
    ended: Option<Duration>,
}

#[derive(Debug, Default)]
pub(crate) struct Letters {
    said: BTreeMap<String, Letter>,
    ids: BTreeMap<String, String>,
    pub(crate) passed: Vec<Passed>,
    /// By which device, and in which life of it: what was shown just before its end is shown once more after it.
    shown: BTreeMap<(String, Participant), BTreeMap<u64, usize>>,
    lines: BTreeMap<u64, Line>,
}

impl Letters {
    pub(crate) fn said(&mut self, id: String, body: &str, (author, life): (&Participant, u64)) {
        let (body_said, author) = (body.to_owned(), author.clone());
        let letter = Letter { body: body_said, author, life, settled: None, orphaned: false };
        self.ids.insert(body.to_owned(), id.clone());
        self.said.insert(id, letter);
    }

    /// A device has lost what it had in memory.
    pub(crate) fn orphan(&mut self, author: &Participant) {
        let own = self.said.values_mut().filter(|letter| letter.author == *author);
        own.filter(|letter| letter.settled.is_none()).for_each(|letter| letter.orphaned = true);
    }

    pub(crate) fn entered(&mut self, conn: u64, generation: (Era, Epoch), at: Duration) {
        self.lines.entry(conn).or_default().entries.push((generation, at));
    }

    pub(crate) fn ended(&mut self, conn: u64, at: Duration) {
        let line = self.lines.entry(conn).or_default();
        line.ended = Some(line.ended.unwrap_or(at));
    }

    pub(super) fn passed(&mut self, passed: Passed) -> bool {
        let first = !self.passed.iter().any(|known| known.id == passed.id);
        self.passed.push(passed);
        first
    }

    /// How many are said and not settled, of authors who remember.
    pub(crate) fn unsettled(&self) -> usize {
        let open = |letter: &&Letter| letter.settled.is_none() && !letter.orphaned;
        self.said.values().filter(open).count()
    }
}

impl Watch {
    /// An author knows what became of a message.
    pub(crate) fn settled(&mut self, body: &str, accepted: bool) {
        self.trace.line(&format!("settled {body} {accepted}"));
        self.counts.failed += usize::from(!accepted);
        let letters = &mut self.letters;
        let letter = letters.ids.get(body).and_then(|id| letters.said.get_mut(id));
        let Some(letter) = letter else { return };
        let first = letter.settled.replace(accepted).is_none();
        self.check("i7", first, || format!("{body} is settled twice"));
    }

    /// A device shows a message.
    pub(crate) fn shown(&mut self, (who, life): (&Participant, u64), id: &str, body: &str) {
        self.trace.line(&format!("{who} shows {body}"));
        self.counts.shown += 1;
        let known = self.letters.said.get(id).is_some_and(|letter| letter.body == body);
        self.check("i15", known, || format!("{who} shows {body}, which was not said under {id}"));
        self.i15_no_message_is_shown_again(who, life, body);
    }

    fn i15_no_message_is_shown_again(&mut self, who: &Participant, life: u64, body: &str) {
        let lives = self.letters.shown.entry((body.to_owned(), who.clone())).or_default();
        let times = lives.entry(life).or_default();
        *times += 1;
        let times = *times;
        self.check("i15", times == 1, || format!("{who} shows {body} {times} times"));
    }

    /// All is quiet: what was said has come to its end.
    pub(crate) fn i7_one_outcome_for_each_receiver(&mut self) {
        let passed = std::mem::take(&mut self.letters.passed);
        let mut sent = BTreeSet::new();
        let mut lives: BTreeMap<(Participant, Generation), u64> = BTreeMap::new();
        for message in &passed {
            if let Some(letter) = self.letters.said.get(&message.id) {
                let key = (letter.author.clone(), message.generation);
                let first = *lives.entry(key).or_insert(letter.life);
                let check = if first < letter.life { "i19" } else { "i7" };
                self.every_member_has_it(check, message);
            }
            self.i16_a_message_sealed_again_is_passed_once(&message.id, &mut sent);
        }
        for (id, letter) in std::mem::take(&mut self.letters.said) {
            let (body, settled) = (&letter.body, letter.settled);
            let open = settled.is_none() && !letter.orphaned;
            self.check("i7", !open, || format!("nobody knows what became of {body}"));
            let lost = settled == Some(true) && !sent.contains(&id);
            self.check("i7", !lost, || format!("{body} was accepted and never passed on"));
        }
    }

    fn i16_a_message_sealed_again_is_passed_once(
        &mut self,
        id: &str,
        passed: &mut BTreeSet<String>,
    ) {
        let again = !passed.insert(id.to_owned());
        self.check("i16", !again, || format!("{id} was passed on twice"));
    }

    /// A generation of the keys that is used twice opens nowhere the second time. So what is lost of a device that has died
    /// since it said something in the same epoch, and nothing else, is about I19.
    fn every_member_has_it(&mut self, check: &str, message: &Passed) {
        let Some(letter) = self.letters.said.get(&message.id) else { return };
        let (body, settled) = (letter.body.clone(), letter.settled);
        for (seat, conn) in &message.receivers {
            let Some(who) = self.who(*seat).cloned() else { continue };
            let member = self.members(message.generation).is_some_and(|all| all.contains(&who));
            if !member {
                continue;
            }
            self.counts.owed += 1;
            let shown = self.letters.shown.contains_key(&(body.clone(), who.clone()));
            if shown || settled == Some(false) {
                continue;
            }
            let excused = self.letters.lines.get(conn).is_none_or(|line| line.excuses(message));
            self.counts.excused += usize::from(excused);
            self.check(check, excused, || format!("{who} never had {body}, on connection {conn}"));
        }
    }
}

impl Line {
    /// Whether the device cannot have had it: its connection ended, or it came into the group anew and behind it.
    fn excuses(&self, message: &Passed) -> bool {
        let over = self.ended.is_some_and(|ended| ended <= message.at + Watch::WAY);
        let never = self.entries.iter().all(|(entered, _)| *entered > message.generation);
        let anew = self.entries.iter().any(|(entered, at)| {
            let near = *at + Watch::WAY >= message.at && *at <= message.at + Watch::WAY;
            near && *entered > message.generation
        });
        over || never || anew
    }
}
