//! What tests ask of a connection and nothing else does.
use std::rc::Rc;

use msrp::Frame;

use super::Connection;
use crate::shard::Shard;
use crate::writer::Writer;

impl Connection {
    pub(crate) fn take_waiting_frames(&self) -> Vec<Frame> {
        self.writer.take_waiting_frames()
    }

    /// Takes in what came without TLS; in how many turns.
    pub(crate) fn take_plain(self: &Rc<Self>, octets: &[u8], shard: &Rc<Shard>) -> usize {
        let (mut done, mut turns) = (self.take_in(octets, shard), 1);
        while done.is_ok() && self.backlog.get() {
            (done, turns) = (self.resume(shard), turns + 1);
        }
        turns
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.writer
    }

    pub(crate) fn is_ending(&self) -> bool {
        self.ending.get().is_some()
    }
}
