//! MSRP without TLS, for a network that is protected by other means: octets pass as they are. Frames wait here as they
//! were queued, and leave gathered, without a copy.
use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::BytesMut;
use msrp::Frame;
use tokio::net::tcp::OwnedWriteHalf;

use super::Written;

/// What one call to the system may gather (`IOV_MAX` of Linux).
const SLICES_MAX: usize = 1024;

/// A plain connection's way out.
#[derive(Debug, Default)]
pub(crate) struct Plain {
    waiting: VecDeque<Frame>,
    /// Octets of the first frame that have left.
    left: usize,
}

impl Plain {
    pub(crate) fn open(octets: &[u8], opened: &mut BytesMut) {
        opened.extend_from_slice(octets);
    }

    pub(crate) fn wants_write(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(crate) fn seal(&mut self, frames: &mut Vec<Frame>) {
        self.waiting.extend(frames.drain(..));
    }

    pub(crate) fn write(&mut self, to: &OwnedWriteHalf, writes: &mut u64) -> io::Result<Written> {
        while !self.waiting.is_empty() {
            match to.try_write_vectored(&self.slices()) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(octets) => {
                    *writes += 1;
                    self.advance(octets);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Written::Blocked);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Written::All)
    }

    /// What waits, from the first octet that has not left.
    fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut skip = self.left;
        let slices = self.waiting.iter().flat_map(Frame::slices).filter_map(|slice| {
            let rest = slice.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(slice.len());
            (!rest.is_empty()).then(|| IoSlice::new(rest))
        });
        slices.take(SLICES_MAX).collect()
    }

    fn advance(&mut self, octets: usize) {
        self.left += octets;
        while let Some(first) = self.waiting.front()
            && self.left >= first.len()
        {
            self.left -= first.len();
            self.waiting.pop_front();
        }
        // A connection that was behind once keeps no room for it.
        if self.waiting.is_empty() {
            self.waiting = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use msrp::{Address, Body, MessageId, Path, SendRequest};
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn frames(count: u8) -> Vec<Frame> {
        let mut rng = StdRng::seed_from_u64(7);
        let path: Path = "msrp://a.example:1/s;tcp".parse().unwrap();
        let address = Address::new(&path, &path);
        let mut frame = |n: u8| {
            let body = Body::from(bytes::Bytes::from(vec![n; usize::from(n) * 10 + 1]));
            let id = MessageId::random(&mut rng);
            SendRequest::whole(id, "text/plain", body).encode(&mut rng).to(&address)
        };
        (0..count).map(&mut frame).collect()
    }

    #[test]
    fn however_little_a_socket_takes_every_octet_leaves_once_and_in_order() {
        let all: Vec<u8> = frames(5).iter().flat_map(|frame| frame.to_bytes().to_vec()).collect();
        for step in [1, 7, 100, 4096] {
            let (mut plain, mut gone) = (Plain::default(), Vec::new());
            plain.seal(&mut frames(5));
            while plain.wants_write() {
                let taken: Vec<u8> =
                    plain.slices().iter().flat_map(|slice| slice.to_vec()).take(step).collect();
                plain.advance(taken.len());
                gone.extend(taken);
            }
            assert_eq!(gone, all);
            assert_eq!(plain.left, 0);
        }
    }
}
