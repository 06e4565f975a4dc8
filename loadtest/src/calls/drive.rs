//! The phones: one thread waits for all connections at once, answers what must be answered, and carries each call on when
//! its answer comes. When a call begins is for the caller of this to say.
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use anyhow::Context;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rand::SeedableRng;
use rand::rngs::StdRng;
use service::clock;
use sip::digest::Login;

use super::house::House;
use super::text::{About, Caller, DOMAIN, Heard, Item, Method, Remote};
use crate::fanout::line::{self, Line};
use crate::latency::Latencies;

const READ_OCTETS: usize = 64 * 1024;
const EVENTS_MAX: usize = 1024;

/// What became of requests.
#[derive(Debug, Default)]
pub struct Tally {
    /// From the intended start of a measured call to the 200 to its INVITE.
    pub invites: Latencies,
    /// From a measured BYE to its 200.
    pub byes: Latencies,
    /// Calls that were made and ended.
    pub cycles: u64,
    /// Of those the measured ones.
    pub measured: u64,
    /// Answers that were no 2xx, by method and code.
    pub refused: BTreeMap<(&'static str, u16), u64>,
    /// BYEs that the server sent.
    pub put_out: u64,
    /// From an immediate message to its 200.
    pub messages: Latencies,
    /// From the intended start of a measured call to its INVITE leaving.
    pub lag: Latencies,
    /// Calls that were due and not made, since every phone was in one.
    pub dropped: u64,
    /// Immediate messages that came to a phone.
    pub delivered: u64,
    /// Phones that are registered.
    pub registered: usize,
}

/// A call.
#[derive(Debug)]
struct Call {
    caller: Caller,
    stage: Stage,
    /// When it was to begin, and then when it was to end.
    meant: Instant,
    /// Whether it goes on when it is answered.
    stays: bool,
    measured: bool,
}

#[derive(Debug)]
enum Stage {
    Calling,
    Staying(Remote),
    Ending,
}

/// What came in on a connection.
struct Said {
    item: Item,
    /// Of the 200 to an INVITE.
    remote: Option<Remote>,
    /// Of a 401.
    challenges: Vec<String>,
}

/// All phones.
#[derive(Debug)]
pub struct Phones {
    lines: Vec<Line>,
    logins: Vec<Option<Login>>,
    poll: Poll,
    buffer: Vec<u8>,
    calls: HashMap<u64, Call>,
    messages: HashMap<u64, Instant>,
    last: u64,
    rng: StdRng,
    /// Calls that are beginning or ending, registrations under way.
    pub in_flight: usize,
    /// Phones that have hung up since this was last looked at.
    pub free: Vec<Caller>,
    /// What became of everything.
    pub tally: Tally,
    /// Only what begins while this is set is measured.
    pub measuring: bool,
}

impl Phones {
    /// Connects so many.
    ///
    /// # Errors
    /// The server does not take one.
    pub fn connect(house: &House, count: usize) -> anyhow::Result<Self> {
        let (sip, tls) = (house.sip()?, line::tls(house.roots()?)?);
        let poll = Poll::new()?;
        let (mut lines, mut logins) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for at in 0..count {
            let line =
                Line::connect(sip, Some(&tls), false).with_context(|| format!("phone {at}"))?;
            line.unblock()?;
            let (fd, interest) =
                (line.socket().as_raw_fd(), Interest::READABLE | Interest::WRITABLE);
            poll.registry().register(&mut SourceFd(&fd), Token(at), interest)?;
            lines.push(line);
            let caller = Caller(at);
            let password = house.password(caller)?;
            logins.push(password.map(|password| Login::new(&caller.user(), &password)));
        }
        Ok(Self {
            lines,
            logins,
            poll,
            buffer: vec![0; READ_OCTETS],
            calls: HashMap::new(),
            messages: HashMap::new(),
            last: 0,
            rng: StdRng::seed_from_u64(1),
            in_flight: 0,
            free: Vec::new(),
            tally: Tally::default(),
            measuring: false,
        })
    }

    /// Calls that stay.
    #[must_use]
    pub fn staying(&self) -> usize {
        self.calls.values().filter(|call| matches!(call.stage, Stage::Staying(_))).count()
    }

    /// Messages without an answer.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.messages.len()
    }

    fn say(&mut self, caller: Caller, text: &str) -> anyhow::Result<()> {
        let line = self.lines.get_mut(caller.0).context("there is no such phone")?;
        line.say(text.as_bytes()).with_context(|| format!("phone {}", caller.0))
    }

    /// A phone registers.
    ///
    /// # Errors
    /// Its connection is over.
    pub fn register(&mut self, caller: Caller) -> anyhow::Result<()> {
        self.in_flight += 1;
        self.say(caller, &caller.register(None))
    }

    /// A phone calls a conference.
    ///
    /// # Errors
    /// Its connection is over.
    pub fn call(
        &mut self,
        caller: Caller,
        room: usize,
        (meant, stays): (Instant, bool),
    ) -> anyhow::Result<()> {
        self.last += 1;
        self.in_flight += 1;
        let (measured, stage) = (self.measuring && !stays, Stage::Calling);
        if measured {
            self.tally.lag.record(clock::now().saturating_duration_since(meant));
        }
        self.calls.insert(self.last, Call { caller, stage, meant, stays, measured });
        self.say(caller, &caller.invite(self.last, room))
    }

    /// A phone writes to another.
    ///
    /// # Errors
    /// Its connection is over.
    pub fn write(&mut self, caller: Caller, to: Caller) -> anyhow::Result<()> {
        self.last += 1;
        self.messages.insert(self.last, clock::now());
        self.say(caller, &caller.message(self.last, to))
    }

    /// Ends up to so many of the calls that stay.
    ///
    /// # Errors
    /// A connection is over.
    pub fn hang_up(&mut self, count: usize) -> anyhow::Result<()> {
        let staying = |(number, call): (&u64, &Call)| match call.stage {
            Stage::Staying(_) => Some(*number),
            _ => None,
        };
        let numbers: Vec<u64> = self.calls.iter().filter_map(staying).take(count).collect();
        for number in numbers {
            let Some(call) = self.calls.get_mut(&number) else { continue };
            let Stage::Staying(remote) = std::mem::replace(&mut call.stage, Stage::Ending) else {
                continue;
            };
            call.meant = clock::now();
            let (caller, text) = (call.caller, call.caller.bye(number, &remote));
            self.in_flight += 1;
            self.say(caller, &text)?;
        }
        Ok(())
    }

    /// Keeps the connections of all phones open (RFC 5626, 4.4.1).
    ///
    /// # Errors
    /// One is over.
    pub fn keep_alive(&mut self) -> anyhow::Result<()> {
        (0..self.lines.len()).try_for_each(|at| self.say(Caller(at), "\r\n\r\n"))
    }

    /// Waits for answers, not longer than this, and carries on.
    ///
    /// # Errors
    /// A connection is over, or the server says what is not understood.
    pub fn step(&mut self, wait: Duration) -> anyhow::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        match self.poll.poll(&mut events, Some(wait)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &events {
            let at = event.token().0;
            let who = || format!("phone {at}");
            let Some(line) = self.lines.get_mut(at) else { continue };
            if event.is_writable() && line.is_behind() {
                line.flush().with_context(who)?;
            }
            if event.is_readable() {
                let said = hear(line, &mut self.buffer).with_context(who)?;
                for said in said {
                    self.said(Caller(at), said)?;
                }
            }
        }
        Ok(())
    }

    fn said(&mut self, caller: Caller, said: Said) -> anyhow::Result<()> {
        match said.item {
            Item::Request(Method::Message) => self.tally.delivered += 1,
            Item::Request(Method::Bye) => self.tally.put_out += 1,
            Item::Request(_) => {}
            Item::Response { code: 100..200, .. } => {}
            Item::Response { about: About::Registration(_), code, .. } => {
                self.registered(caller, code, &said.challenges)?;
            }
            Item::Response { about: About::Message(number), code, .. } => {
                if let Some(since) = self.messages.remove(&number) {
                    self.answered("MESSAGE", code);
                    self.tally.messages.record(clock::now().saturating_duration_since(since));
                }
            }
            Item::Response { about: About::Call(number), method, code } => {
                self.carry_on(number, method, code, said.remote)?;
            }
        }
        Ok(())
    }

    fn answered(&mut self, method: &'static str, code: u16) -> bool {
        let good = (200..300).contains(&code);
        if !good {
            *self.tally.refused.entry((method, code)).or_default() += 1;
        }
        good
    }

    fn registered(&mut self, caller: Caller, code: u16, asked: &[String]) -> anyhow::Result<()> {
        let login = self.logins.get_mut(caller.0).and_then(Option::as_mut);
        if let (401, Some(login)) = (code, login)
            && login.challenged(asked.iter().map(String::as_str), None).is_ok()
            && let Some(proof) =
                login.authorize("REGISTER", &format!("sip:{DOMAIN}"), &mut self.rng)
        {
            if let Some(login) = self.logins.get_mut(caller.0) {
                *login = None;
            }
            return self.say(caller, &caller.register(Some(&proof)));
        }
        self.in_flight -= 1;
        if self.answered("REGISTER", code) {
            self.tally.registered += 1;
        }
        Ok(())
    }

    fn carry_on(
        &mut self,
        number: u64,
        method: Method,
        code: u16,
        remote: Option<Remote>,
    ) -> anyhow::Result<()> {
        let Some(call) = self.calls.get_mut(&number) else { return Ok(()) };
        let (caller, measured) = (call.caller, call.measured);
        let now = clock::now();
        let took = now.saturating_duration_since(call.meant);
        match (method, remote) {
            (Method::Invite, Some(remote)) if (200..300).contains(&code) => {
                let mut text = caller.ack(number, &remote);
                if call.stays {
                    call.stage = Stage::Staying(remote);
                    self.in_flight -= 1;
                } else {
                    text += &caller.bye(number, &remote);
                    (call.stage, call.meant) = (Stage::Ending, now);
                }
                if measured {
                    self.tally.invites.record(took);
                }
                self.say(caller, &text)
            }
            (Method::Invite, _) => {
                self.over(number);
                self.answered("INVITE", code);
                // RFC 3261, 17.1.1.3: this ACK belongs to the transaction; nobody waits for it.
                Ok(())
            }
            _ => {
                self.over(number);
                if self.answered("BYE", code) {
                    self.tally.cycles += 1;
                    if measured {
                        self.tally.measured += 1;
                        self.tally.byes.record(took);
                    }
                }
                Ok(())
            }
        }
    }

    fn over(&mut self, number: u64) {
        self.in_flight -= 1;
        let call = self.calls.remove(&number);
        self.free.extend(call.filter(|call| !call.stays).map(|call| call.caller));
    }
}

/// Reads what is there, and answers requests.
fn hear(line: &mut Line, buffer: &mut [u8]) -> io::Result<Vec<Said>> {
    let (mut said, mut answers) = (Vec::new(), String::new());
    line.read(buffer, |octets| {
        let mut taken = 0;
        while let Some(heard) = Heard::cut(octets.get(taken..).unwrap_or_default())? {
            taken += heard.octets;
            let Some(item) = heard.item() else { continue };
            let (mut remote, mut challenges) = (None, Vec::new());
            match item {
                Item::Request(_) => answers += &heard.ok(),
                Item::Response { method: Method::Invite, code: 200..300, .. } => {
                    remote = heard.remote();
                }
                Item::Response { code: 401, .. } => {
                    challenges = heard.fields("WWW-Authenticate").map(str::to_owned).collect();
                }
                Item::Response { .. } => {}
            }
            said.push(Said { item, remote, challenges });
        }
        Ok(taken)
    })?;
    if !answers.is_empty() {
        line.say(answers.as_bytes())?;
    }
    Ok(said)
}
