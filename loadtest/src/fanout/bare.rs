//! The smallest switch there can be: what the fan-out itself costs, without a relay's duties. It checks nothing, orders
//! nothing, bounds nothing: whoever has sent a bodiless SEND is a receiver of every frame with a body, under its own path
//! lines; what has answered once is not looked at again. One thread, epoll, one vectored write for each receiver and batch. It can also break
//! what it forwards, so that the generator can be seen to notice.
use std::io::{self, IoSlice, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use memchr::memmem;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustls::{Connection, ServerConfig, ServerConnection};
use service::tls::{ClientAuth, Identity};

use super::line::Line;

const LISTENER: Token = Token(usize::MAX);
const READ_OCTETS: usize = 256 * 1024;
/// The frame that a planted fault befalls.
const PLANTED: u64 = 100;

/// The command line of the switch.
#[derive(Clone, Debug, Args)]
pub struct Bare {
    /// PEM file with the certificate chain; without it the switch speaks plain TCP
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// PEM file with its key
    #[arg(long)]
    key: Option<PathBuf>,
    /// Do this to the hundredth frame for the first receiver
    #[arg(long, value_enum)]
    plant: Option<Plant>,
    /// Do nothing for so long, from time to time
    #[arg(long, requires = "stall_every", value_parser = crate::units::duration)]
    stall: Option<Duration>,
    /// From the start of one stall to that of the next
    #[arg(long, requires = "stall", value_parser = crate::units::duration)]
    stall_every: Option<Duration>,
}

/// When the switch does nothing, on purpose, so that what a generator measures is known beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stalls {
    /// How long.
    pub time: Duration,
    /// From the start of one to the start of the next. The first begins after the rest of such a period.
    pub every: Duration,
}

impl Stalls {
    /// How long it still does nothing, so long after its start.
    #[must_use]
    pub fn left(self, since: Duration) -> Duration {
        let nanos = since.as_nanos() % self.every.as_nanos().max(1);
        let into = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let working = self.every.saturating_sub(self.time);
        if into < working { Duration::ZERO } else { self.every - into }
    }
}

/// A fault on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Plant {
    /// Change an octet
    Flip,
    /// Leave it out
    Drop,
    /// Send it twice
    Double,
}

impl Bare {
    /// Serves until standard input closes.
    ///
    /// # Errors
    /// It cannot listen.
    #[expect(clippy::print_stdout, reason = "the ready line")]
    pub fn serve(&self) -> anyhow::Result<()> {
        let tls = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let identity = Identity::load(certificate, key)?;
                Some(service::tls::server_config(&identity, ClientAuth::None, &[])?)
            }
            _ => None,
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        println!("{}", serde_json::json!({ "ready": "bare", "msrp": listener.local_addr()? }));
        io::stdout().flush()?;
        std::thread::spawn(|| {
            // Whoever started this has gone when there is nothing to read any more.
            drop(io::copy(&mut io::stdin(), &mut io::sink()));
            std::process::exit(0);
        });
        let stalls = self.stall.zip(self.stall_every).map(|(time, every)| Stalls { time, every });
        let switch = Switch { peers: Vec::new(), plant: self.plant, frames: 0, stalls };
        { switch }.run(&listener, tls.as_ref())
    }
}

/// A connection, and the path lines of what goes to it.
struct Peer {
    line: Line,
    lines: Vec<u8>,
    /// It has answered: it is a receiver, and nothing it says is looked at any more.
    answers: bool,
}

struct Switch {
    peers: Vec<Option<Peer>>,
    plant: Option<Plant>,
    frames: u64,
    stalls: Option<Stalls>,
}

/// Where a frame's start line ends, where its path lines end, and where it ends itself.
struct Cut {
    start: usize,
    paths: usize,
    end: usize,
}

impl Cut {
    fn of(octets: &[u8]) -> Option<Self> {
        let after = |from: usize, needle: &[u8]| {
            Some(from + memmem::find(octets.get(from..)?, needle)? + needle.len())
        };
        let start = after(0, b"\n")?;
        let paths = after(after(start, b"\n")?, b"\n")?;
        let end = after(after(paths, b"-------")?, b"\n")?;
        Some(Self { start, paths, end })
    }
}

impl Switch {
    fn run(
        &mut self,
        listener: &TcpListener,
        tls: Option<&Arc<ServerConfig>>,
    ) -> anyhow::Result<()> {
        listener.set_nonblocking(true)?;
        let mut poll = Poll::new()?;
        let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; READ_OCTETS]);
        let fd = listener.as_raw_fd();
        poll.registry().register(&mut SourceFd(&fd), LISTENER, Interest::READABLE)?;
        let start = service::clock::now();
        loop {
            poll.poll(&mut events, None)?;
            if let Some(stalls) = self.stalls {
                let since = service::clock::now().saturating_duration_since(start);
                std::thread::sleep(stalls.left(since));
            }
            for event in &events {
                if event.token() == LISTENER {
                    while let Ok((socket, _)) = listener.accept() {
                        self.accept(&poll, socket, tls, &mut buffer)?;
                    }
                } else if self.ready(event.token().0, &mut buffer).is_err()
                    && let Some(peer) = self.peers.get_mut(event.token().0)
                {
                    *peer = None;
                }
            }
        }
    }

    fn accept(
        &mut self,
        poll: &Poll,
        socket: std::net::TcpStream,
        tls: Option<&Arc<ServerConfig>>,
        buffer: &mut [u8],
    ) -> anyhow::Result<()> {
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        let tls = tls.map(|config| ServerConnection::new(Arc::clone(config))).transpose()?;
        // Somebody who only looks whether there is a listener says nothing.
        let Ok(line) = Line::over(socket, tls.map(Connection::Server)) else { return Ok(()) };
        line.unblock()?;
        let (fd, token) = (line.socket().as_raw_fd(), Token(self.peers.len()));
        poll.registry().register(
            &mut SourceFd(&fd),
            token,
            Interest::READABLE | Interest::WRITABLE,
        )?;
        self.peers.push(Some(Peer { line, lines: Vec::new(), answers: false }));
        // What came along with the handshake is not told of again.
        Ok(self.ready(token.0, buffer)?)
    }

    fn ready(&mut self, index: usize, buffer: &mut [u8]) -> io::Result<()> {
        let Some(mut peer) = self.peers.get_mut(index).and_then(Option::take) else {
            return Ok(());
        };
        let (mut answers, mut batch, mut cuts) = (Vec::new(), Vec::new(), Vec::new());
        let (lines, is_receiver) = (&mut peer.lines, &mut peer.answers);
        peer.line.flush()?;
        peer.line.read(buffer, |octets| {
            if *is_receiver {
                return Ok(octets.len());
            }
            let mut taken = 0;
            while let Some(rest) = octets.get(taken..)
                && let Some(cut) = Cut::of(rest)
            {
                let frame = rest.get(..cut.end).unwrap_or_default();
                let start = frame.get(..cut.start).unwrap_or_default();
                let paths = frame.get(cut.start..cut.paths).unwrap_or_default();
                taken += cut.end;
                if !start.ends_with(b" SEND\r\n") {
                    *is_receiver = true;
                    return Ok(octets.len());
                }
                answer(start, paths, &mut answers);
                if memmem::find(frame, b"Byte-Range").is_some() {
                    batch.extend_from_slice(frame);
                    cuts.push(cut);
                } else {
                    *lines = swapped(paths);
                }
            }
            Ok(taken)
        })?;
        self.forward(&batch, &cuts);
        if !answers.is_empty() {
            peer.line.say(&answers)?;
        }
        if let Some(kept) = self.peers.get_mut(index) {
            *kept = Some(peer);
        }
        Ok(())
    }

    /// Start line, the receiver's own path lines, everything else: for every frame and every receiver.
    fn forward(&mut self, mut batch: &[u8], cuts: &[Cut]) {
        let frames = cuts.iter().map(|cut| {
            let (frame, rest) = batch.split_at(cut.end.min(batch.len()));
            batch = rest;
            let start = frame.get(..cut.start).unwrap_or_default();
            (start, frame.get(cut.paths..).unwrap_or_default())
        });
        let frames: Vec<(&[u8], &[u8])> = frames.collect();
        if frames.is_empty() {
            return;
        }
        let first = self.peers.iter().position(Option::is_some);
        let planted =
            u64::try_from(frames.len()).map(|count| self.frames + count).unwrap_or(u64::MAX);
        let plant = self.plant.filter(|_| (self.frames..planted).contains(&PLANTED));
        self.frames = planted;
        for (at, peer) in self.peers.iter_mut().enumerate() {
            let Some(peer) = peer else { continue };
            let part = |(start, rest)| {
                [IoSlice::new(start), IoSlice::new(&peer.lines), IoSlice::new(rest)]
            };
            let mut slices: Vec<IoSlice<'_>> = frames.iter().copied().flat_map(part).collect();
            let flipped: Vec<u8>;
            match plant.filter(|_| first == Some(at)) {
                None => {}
                Some(Plant::Double) => slices.extend_from_within(..3),
                Some(Plant::Drop) => drop(slices.drain(..3)),
                Some(Plant::Flip) => {
                    let (_, rest) = frames.first().copied().unwrap_or_default();
                    flipped = rest
                        .iter()
                        .map(|octet| if *octet == b'z' { b'y' } else { *octet })
                        .collect();
                    if let Some(slice) = slices.get_mut(2) {
                        *slice = IoSlice::new(&flipped);
                    }
                }
            }
            // Whoever has gone is noticed when it is read from.
            drop(peer.line.say_all(&mut slices));
        }
    }
}

/// `MSRP tid SEND` becomes its 200.
fn answer(start: &[u8], lines: &[u8], out: &mut Vec<u8>) {
    let transaction = start.split(|octet| *octet == b' ').nth(1).unwrap_or_default();
    let parts: [&[u8]; 7] =
        [b"MSRP ", transaction, b" 200 OK\r\n", &swapped(lines), b"-------", transaction, b"$\r\n"];
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// The path lines the other way round.
fn swapped(lines: &[u8]) -> Vec<u8> {
    let mut values = lines.split(|octet| *octet == b'\n').filter_map(|line| {
        line.iter().position(|octet| *octet == b' ').and_then(|space| line.get(space + 1..))
    });
    let (to, from) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
    [b"To-Path: ", from, b"\nFrom-Path: ", to, b"\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_swapped_line_by_line() {
        let swapped = swapped(b"To-Path: a\r\nFrom-Path: b\r\n");

        assert_eq!(swapped, b"To-Path: b\r\nFrom-Path: a\r\n");
    }

    #[test]
    fn a_frame_is_cut_behind_its_start_its_paths_and_its_end() {
        let text =
            "MSRP t SEND\r\nTo-Path: a\r\nFrom-Path: b\r\nX: y\r\n\r\nbody\r\n-------t$\r\nMSRP u";
        let cut = Cut::of(text.as_bytes()).unwrap();

        assert_eq!(&text[..cut.start], "MSRP t SEND\r\n");
        assert_eq!(&text[cut.start..cut.paths], "To-Path: a\r\nFrom-Path: b\r\n");
        assert_eq!(&text[cut.end..], "MSRP u");
        assert!(Cut::of(&text.as_bytes()[..cut.end - 1]).is_none());
    }
}
