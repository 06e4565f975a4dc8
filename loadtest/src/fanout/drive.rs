//! The load itself: one thread waits for all connections at once, answers what must be answered, keeps the ledger, and
//! sends the next messages when the window or the clock says so.
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use super::ledger::{Counts, Ledger};
use super::line::{Line, SETUP_MAX};
use super::speech::{Item, Speech};
use crate::latency::{Figures, Latencies};
use crate::usage::{self, Machine, Usage};

/// Octets read at once.
const READ_OCTETS: usize = 256 * 1024;
const EVENTS_MAX: usize = 1024;
const WAKER: Token = Token(usize::MAX);
/// How often the loop looks at the clock when nothing happens.
const TICK: Duration = Duration::from_millis(20);
/// How often memory is looked at.
const SAMPLE: Duration = Duration::from_millis(250);
/// Octets that may wait for the server before no further message is sent.
const UNSENT_MESSAGES_MAX: usize = 100_000;

/// What to send and when to stop.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// Messages in flight, with a closed loop.
    pub window: usize,
    /// Messages a second, with an open one.
    pub rate: Option<f64>,
    /// How long to send before measuring.
    pub warmup: Duration,
    /// When to stop.
    pub until: Until,
    /// Whether the sender gets an answer for each message, which is waited for.
    pub answered: bool,
    /// How long nothing may arrive although something is in flight.
    pub patience: Duration,
}

/// When to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// So long after the warm-up.
    Time(Duration),
    /// After so many messages.
    Messages(u64),
}

/// One end of a connection and what it speaks.
#[derive(Debug)]
pub struct Member<S> {
    /// The connection.
    pub line: Line,
    /// Its protocol.
    pub speech: S,
}

/// What everything had cost at one time.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// From the start of the run.
    pub at: Duration,
    /// What had arrived.
    pub delivered: u64,
    /// The server.
    pub server: Usage,
    /// The generator.
    pub generator: Usage,
    /// The machine.
    pub machine: Machine,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Ran {
    /// When the warm-up was over.
    pub before: Sample,
    /// When the last measured message was sent, or all had arrived.
    pub after: Sample,
    /// What became of the messages.
    pub counts: Counts,
    /// Of measured messages.
    pub latency: Figures,
    /// From the intended start of a message to its leaving.
    pub lag: Figures,
    /// Times the sender wrote: messages that left together were one.
    pub writes: u64,
    /// Answers to the sender.
    pub accepted: u64,
    /// Resident octets of the server, every quarter of a second from the end of the warm-up on.
    pub rss: Vec<u64>,
}

/// Greets the server and waits for its answer.
///
/// # Errors
/// It refuses, or does not answer.
pub fn greet<S: Speech>(line: Line, speech: S) -> anyhow::Result<Member<S>> {
    let mut member = Member { line, speech };
    member.line.say(&member.speech.greeting())?;
    let (mut buffer, mut accepted) = (vec![0; 16 * 1024], false);
    let until = service::clock::now() + SETUP_MAX;
    while !accepted {
        anyhow::ensure!(service::clock::now() < until, "it does not answer");
        member.read(&mut buffer, |item| accepted |= item == Item::Accepted)?;
    }
    Ok(member)
}

impl<S: Speech> Member<S> {
    /// Reads what is there, tells of each item, and answers.
    fn read(&mut self, buffer: &mut [u8], mut tell: impl FnMut(Item<'_>)) -> io::Result<()> {
        let (speech, mut reply) = (&mut self.speech, Vec::new());
        self.line.read(buffer, |octets| {
            let mut taken = 0;
            while let Some(rest) = octets.get(taken..).filter(|rest| !rest.is_empty()) {
                let heard = speech.hear(rest, &mut reply).map_err(io::Error::other)?;
                let Some((count, item)) = heard else { break };
                tell(item);
                taken += count;
            }
            Ok(taken)
        })?;
        if reply.is_empty() { Ok(()) } else { self.line.say(&reply) }
    }
}

/// A run that is going on.
struct Drive<'a, S> {
    members: &'a mut [Member<S>],
    ledger: Ledger,
    course: Course,
    server: u32,
    start: Instant,
    out: Vec<u8>,
    lag: Latencies,
    writes: u64,
    accepted: u64,
    progress: Duration,
    rss: Vec<u64>,
}

/// Runs the load. The first member sends, all others receive.
///
/// # Errors
/// A connection ends, somebody talks nonsense, or the server's usage cannot be read.
pub fn drive<S: Speech>(
    members: &mut [Member<S>],
    ledger: Ledger,
    course: Course,
    server: u32,
) -> anyhow::Result<Ran> {
    let poll = Poll::new()?;
    for (at, member) in members.iter().enumerate() {
        member.line.unblock()?;
        let (fd, interest) =
            (member.line.socket().as_raw_fd(), Interest::READABLE | Interest::WRITABLE);
        poll.registry().register(&mut SourceFd(&fd), Token(at), interest)?;
    }
    let start = service::clock::now();
    let clock = course.rate.map(|rate| Clock::start(&poll, start, rate)).transpose()?;
    let drive = Drive {
        members,
        ledger,
        course,
        server,
        start,
        out: Vec::new(),
        lag: Latencies::default(),
        writes: 0,
        accepted: 0,
        progress: Duration::ZERO,
        rss: Vec::new(),
    };
    let ran = drive.run(poll);
    drop(clock);
    ran
}

impl<S: Speech> Drive<'_, S> {
    fn run(mut self, mut poll: Poll) -> anyhow::Result<Ran> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut buffer = vec![0; READ_OCTETS];
        let (mut before, mut after, mut warm, mut sampled) =
            (self.sample()?, None, false, Duration::ZERO);
        loop {
            let at = self.now();
            if !warm && at >= self.course.warmup {
                (before, warm) = (self.sample()?, true);
            }
            if warm && at >= sampled {
                self.rss.push(usage::of(self.server)?.rss_octets);
                sampled = at + SAMPLE;
            }
            let sending = !self.is_over(at);
            if !sending && after.is_none() && matches!(self.course.until, Until::Time(_)) {
                after = Some(self.sample()?);
            }
            if sending {
                self.send(at).context("the sender")?;
            } else if !self.is_waiting() {
                break;
            }
            if self.is_waiting() && at > self.progress + self.course.patience {
                break;
            }
            match poll.poll(&mut events, Some(TICK)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled?,
            }
            for event in events.iter().filter(|event| event.token() != WAKER) {
                self.ready(event.token().0, event, &mut buffer)?;
            }
        }
        let after = after.map_or_else(|| self.sample(), Ok)?;
        Ok(Ran {
            before,
            after,
            counts: self.ledger.close(),
            latency: self.ledger.latency(),
            lag: self.lag.figures(),
            writes: self.writes,
            accepted: self.accepted,
            rss: self.rss,
        })
    }

    fn now(&self) -> Duration {
        service::clock::now().saturating_duration_since(self.start)
    }

    /// Something has not arrived yet, or was not answered.
    fn is_waiting(&self) -> bool {
        let answered = !self.course.answered || self.accepted >= self.ledger.sent();
        self.ledger.in_flight() > 0 || !answered
    }

    fn is_over(&self, at: Duration) -> bool {
        match self.course.until {
            Until::Time(time) => at >= self.course.warmup + time,
            Until::Messages(count) => self.ledger.sent() >= count,
        }
    }

    fn sample(&self) -> anyhow::Result<Sample> {
        Ok(Sample {
            at: self.now(),
            delivered: self.ledger.delivered(),
            server: usage::of(self.server).context("the server has ended")?,
            generator: usage::of(std::process::id())?,
            machine: Machine::now()?,
        })
    }

    fn ready(
        &mut self,
        index: usize,
        event: &mio::event::Event,
        buffer: &mut [u8],
    ) -> anyhow::Result<()> {
        let Some(member) = self.members.get_mut(index) else { return Ok(()) };
        let who = || if index == 0 { "the sender".to_owned() } else { format!("receiver {index}") };
        if event.is_writable() && member.line.is_behind() {
            member.line.flush().with_context(who)?;
        }
        if event.is_readable() {
            let at = service::clock::now().saturating_duration_since(self.start);
            let (ledger, accepted) = (&mut self.ledger, &mut self.accepted);
            let read = member.read(buffer, |item| match (index.checked_sub(1), item) {
                (Some(receiver), Item::Piece { offset, octets, ends }) => {
                    ledger.piece(receiver, (offset, octets), ends, at);
                }
                (None, Item::Accepted) => *accepted += 1,
                _ => {}
            });
            read.with_context(who)?;
            self.progress = at;
        }
        Ok(())
    }

    /// Sends what is due, all of it in one write.
    fn send(&mut self, at: Duration) -> io::Result<()> {
        let Some(sender) = self.members.first_mut() else { return Ok(()) };
        self.out.clear();
        loop {
            let meant = match self.course.rate {
                None if self.ledger.in_flight() < self.course.window => at,
                Some(rate) => {
                    let sent = u32::try_from(self.ledger.sent()).unwrap_or(u32::MAX);
                    let meant = Duration::from_secs_f64(f64::from(sent) / rate);
                    if meant > at || self.ledger.in_flight() > UNSENT_MESSAGES_MAX {
                        break;
                    }
                    self.lag.record(at - meant);
                    meant
                }
                None => break,
            };
            if let Until::Messages(count) = self.course.until
                && self.ledger.sent() >= count
            {
                break;
            }
            let number = self.ledger.send(meant);
            sender.speech.message(number, self.ledger.content(), &mut self.out);
        }
        if !self.out.is_empty() {
            self.writes += 1;
            sender.line.say(&self.out)?;
        }
        Ok(())
    }
}

/// Wakes the loop at the time of each message: epoll counts in milliseconds, which is too coarse.
struct Clock {
    over: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Clock {
    fn start(poll: &Poll, start: Instant, rate: f64) -> anyhow::Result<Self> {
        let waker = Waker::new(poll.registry(), WAKER)?;
        let over = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&over);
        let step = Duration::from_secs_f64(1.0 / rate);
        let thread = std::thread::spawn(move || {
            let mut next = start;
            while !stop.load(Ordering::Relaxed) && waker.wake().is_ok() {
                next += step;
                std::thread::sleep(next.saturating_duration_since(service::clock::now()));
            }
        });
        Ok(Self { over, thread: Some(thread) })
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It only sleeps; there is nothing to learn from how it ended.
            drop(thread.join());
        }
    }
}
