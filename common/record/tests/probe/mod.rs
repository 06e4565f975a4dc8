//! What must hold whatever a peer sends behind the handshake. A program is octets: honest records, records that no honest
//! TLS would seal, and what somebody between the two could do to them.
pub(crate) mod peer;

use bytes::BytesMut;
use record::{Error, FRAGMENT_OCTETS_MAX, Incoming};

use peer::{ALERT, DATA, End, HANDSHAKE, Peer, pair};

/// Steps of one program: enough for every bound on what a peer may do in a row.
const STEPS_MAX: usize = 200;

/// What came of a program.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    opened: Vec<u8>,
    last: Result<Incoming, Error>,
}

/// Runs a program, cut in two ways.
pub(crate) fn probe(program: &[u8]) {
    let [how, cut, steps @ ..] = program else { return };
    let end = if how & 1 == 0 { End::Server } else { End::Client };
    let whole = run(end, usize::MAX, steps);
    let cut = run(end, usize::from(*cut) * 7 + 1, steps);
    assert_eq!(whole, cut, "it does not matter where the stream is cut");
}

/// What the peer and whoever sits between put on the wire.
struct Wire<'a> {
    peer: Peer,
    steps: &'a [u8],
    sent: Vec<u8>,
    /// What the record layer may hand out, at most: all that the peer said until somebody touched the stream.
    said: Vec<u8>,
    touched: bool,
    /// What the next record is to be changed by, and where.
    flip: Option<(u8, u8)>,
    last: Vec<u8>,
}

impl Wire<'_> {
    fn octet(&mut self) -> u8 {
        let Some((first, rest)) = self.steps.split_first() else { return 0 };
        self.steps = rest;
        *first
    }

    fn octets(&mut self) -> Vec<u8> {
        let count = usize::from(self.octet()).min(self.steps.len());
        let (octets, rest) = self.steps.split_at(count);
        self.steps = rest;
        octets.to_vec()
    }

    fn send(&mut self, mut record: Vec<u8>, said: &[u8]) {
        self.last.clone_from(&record);
        if let Some((place, change)) = self.flip.take() {
            let place = usize::from(place) * record.len() / 256;
            record[place] ^= change.max(1);
            self.touched = true;
        }
        if !self.touched {
            self.said.extend_from_slice(said);
        }
        self.sent.extend(record);
    }

    fn step(&mut self) {
        match self.octet() % 12 {
            0 => {
                let content = self.octets();
                let record = self.peer.seal(DATA, &content, 0);
                self.send(record, &content);
            }
            1 => {
                // Around the longest that a record may be.
                let content = vec![self.octet(); usize::from(self.octet()) * 66];
                let padding = usize::from(self.octet());
                let fits = content.len() + padding <= FRAGMENT_OCTETS_MAX;
                let record = self.peer.seal(DATA, &content, padding);
                self.send(record, if fits { &content } else { &[] });
            }
            2 => {
                let content = self.octets();
                let record = self.peer.seal(HANDSHAKE, &content, 0);
                self.send(record, &[]);
            }
            3 => {
                let content = [self.octet(), self.octet()];
                let record = self.peer.seal(ALERT, &content, 0);
                self.send(record, &[]);
            }
            4 => {
                // A zero would be padding, and the kind what stands before it.
                let (kind, content) = (self.octet().max(1), self.octets());
                let said = if kind == DATA { &*content } else { &[] };
                let record = self.peer.seal(kind, &content, 0);
                self.send(record, said);
            }
            5 | 6 => {
                let requested = self.octet() & 1 == 1;
                let record = self.peer.update(requested);
                self.send(record, &[]);
            }
            7 => {
                let octets = self.octets();
                self.touched |= !octets.is_empty();
                self.sent.extend(octets);
            }
            8 => self.flip = Some((self.octet(), self.octet())),
            9 => {
                self.touched |= !self.last.is_empty();
                self.sent.extend_from_slice(&self.last);
            }
            10 => {
                // Lost on the way.
                drop(self.peer.seal(DATA, b"lost", 0));
                self.touched = true;
            }
            _ => self.peer.change_key(),
        }
    }
}

fn run(end: End, cut: usize, steps: &[u8]) -> Outcome {
    let (mut records, peer) = pair(end);
    let mut wire = Wire {
        peer,
        steps,
        sent: Vec::new(),
        said: Vec::new(),
        touched: false,
        flip: None,
        last: Vec::new(),
    };
    for _ in 0..STEPS_MAX {
        if wire.steps.is_empty() {
            break;
        }
        wire.step();
    }

    let (mut opened, mut last) = (BytesMut::new(), Ok(Incoming::Open));
    for piece in wire.sent.chunks(cut.min(wire.sent.len().max(1))) {
        let before = opened.len();
        let now = records.open(piece, &mut opened);
        assert!(wire.said.starts_with(&opened), "only what the peer said is handed out");
        if last != Ok(Incoming::Open) {
            assert_eq!((now, opened.len()), (last, before), "nothing counts behind the end");
        }
        last = now;
    }

    let mut out = Vec::new();
    match last {
        Ok(_) => records.seal([&b"still here"[..]], &mut out).unwrap(),
        Err(error) => records.alert(error, &mut out).unwrap(),
    }
    let heard = wire.peer.open(&out);
    match last {
        Ok(_) => assert_eq!(heard.last(), Some(&(DATA, b"still here".to_vec()))),
        Err(Error::Alert(_)) => assert!(heard.is_empty(), "an alert is not answered"),
        Err(_) => assert!(matches!(&*heard, [(ALERT, said)] if said[0] == 2), "{heard:?}"),
    }
    Outcome { opened: opened.to_vec(), last }
}
