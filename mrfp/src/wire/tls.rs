//! TLS between a socket's octets and MSRP's: opens what came in, seals what goes out. It owns no socket and starts no
//! task. rustls does the handshake (`tls/agreeing`); behind that, TLS 1.3 is `record`'s, which opens into the buffer that
//! is decoded and seals into the one that is written: no copy on the way in, one gather on the way out.
mod agreeing;

use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use msrp::Frame;
use record::Records;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ServerConfig};
use tokio::net::tcp::OwnedWriteHalf;

use super::{Incoming, WireError, Written};
use agreeing::{Agreeing, Progress};

/// One end of a TLS connection.
#[derive(Debug)]
pub(crate) struct Tls {
    stage: Stage,
    /// Sealed octets, of which the first `left` have left.
    out: Vec<u8>,
    left: usize,
    /// What the peer has shown.
    certificates: Option<Box<[CertificateDer<'static>]>>,
}

#[derive(Debug)]
enum Stage {
    /// With rustls: in the handshake, and for good with TLS 1.2.
    Agreeing(Box<Agreeing>),
    /// Behind the handshake of TLS 1.3.
    Agreed(Box<Records>),
    /// Nothing is sealed or opened any more: somebody gave up, or no key is left.
    Broken,
}

impl Tls {
    /// The server's end: the peer connected to us.
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self::over(Agreeing::server(config)?))
    }

    /// The client's end: we connected, to a peer of this name.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        let mut tls = Self::over(Agreeing::client(config, name)?);
        // A client speaks first.
        tls.agree(&[], &mut BytesMut::new()).map(|_| tls)
    }

    fn over(agreeing: Agreeing) -> Self {
        let stage = Stage::Agreeing(Box::new(agreeing));
        Self { stage, out: Vec::new(), left: 0, certificates: None }
    }

    pub(crate) fn certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.certificates.as_deref()
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        matches!(&self.stage, Stage::Agreeing(agreeing) if agreeing.is_handshaking())
    }

    /// Opens `sealed`, as it came from the socket, and adds what was inside to `opened`.
    pub(crate) fn open(
        &mut self,
        sealed: &[u8],
        opened: &mut BytesMut,
    ) -> Result<Incoming, WireError> {
        // One allocation of the right size for the batch: it is shared by all frames made of it, and keeps nothing
        // else alive while they wait.
        opened.reserve(sealed.len());
        let mut sealed = sealed;
        if matches!(self.stage, Stage::Agreeing(_)) {
            let incoming;
            (incoming, sealed) = self.agree(sealed, opened)?;
            if sealed.is_empty() {
                return Ok(incoming);
            }
        }
        let Stage::Agreed(records) = &mut self.stage else { return Ok(Incoming::Closed) };
        match records.open(sealed, opened) {
            Ok(record::Incoming::Open) => Ok(Incoming::Open),
            Ok(record::Incoming::Closed) => Ok(Incoming::Closed),
            Err(error) => {
                // RFC 8446, 6.2: nothing follows an alert, sent or received.
                let alert = records.alert(error, &mut self.out);
                self.stage = Stage::Broken;
                Err(alert.err().unwrap_or(error).into())
            }
        }
    }

    /// Lets the handshake go on. What is left of `sealed` lies behind it.
    fn agree<'a>(
        &mut self,
        sealed: &'a [u8],
        opened: &mut BytesMut,
    ) -> Result<(Incoming, &'a [u8]), rustls::Error> {
        let Stage::Agreeing(agreeing) = &mut self.stage else {
            return Ok((Incoming::Open, sealed));
        };
        let (progress, rest) = agreeing.open(sealed, opened, &mut self.out)?;
        if self.certificates.is_none() && !agreeing.is_handshaking() {
            self.certificates = agreeing.certificates().map(Into::into);
        }
        match progress {
            Progress::Closed => Ok((Incoming::Closed, &[])),
            Progress::Open => Ok((Incoming::Open, rest)),
            Progress::Complete => {
                let agreeing = std::mem::replace(&mut self.stage, Stage::Broken);
                if let Stage::Agreeing(agreeing) = agreeing {
                    self.stage = Stage::Agreed(Box::new(agreeing.into_records()?));
                }
                Ok((Incoming::Open, rest))
            }
        }
    }

    /// Whether sealed octets wait for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        let owes = matches!(&self.stage, Stage::Agreed(records) if records.wants_seal());
        owes || !self.out.is_empty()
    }

    /// Seals frames, one behind the other, into as few records as they fit.
    pub(crate) fn seal(&mut self, frames: &[Frame]) {
        self.seal_slices(frames.iter().flat_map(Frame::slices).map(|slice| &**slice));
    }

    /// Seals octets that lie in many places, one behind the other.
    pub(super) fn seal_slices<'a>(&mut self, slices: impl Iterator<Item = &'a [u8]>) {
        let sealed = match &mut self.stage {
            Stage::Agreeing(agreeing) => agreeing.seal(slices, &mut self.out),
            Stage::Agreed(records) => records.seal(slices, &mut self.out),
            Stage::Broken => Ok(()),
        };
        self.unless_broken(sealed);
    }

    /// Tells the peer that nothing follows.
    pub(crate) fn close(&mut self) {
        let closed = match &mut self.stage {
            Stage::Agreeing(agreeing) => agreeing.close(&mut self.out),
            Stage::Agreed(records) => records.close(&mut self.out),
            Stage::Broken => Ok(()),
        };
        self.unless_broken(closed);
    }

    fn unless_broken(&mut self, sealed: Result<(), record::Error>) {
        if let Err(error) = sealed {
            tracing::warn!(%error, "TLS cannot seal");
            self.stage = Stage::Broken;
        }
    }

    /// Lends room for what is sealed, which is asked back by [`Self::give_back`].
    pub(super) fn lend(&mut self, room: &mut Vec<u8>) {
        if self.out.capacity() == 0 {
            std::mem::swap(&mut self.out, room);
        }
    }

    /// Gives back the room, unless something waits in it.
    pub(super) fn give_back(&mut self, room: &mut Vec<u8>) {
        if self.out.is_empty() && room.capacity() == 0 {
            std::mem::swap(&mut self.out, room);
        } else if self.out.is_empty() {
            self.out = Vec::new();
        }
    }

    /// Writes what is sealed, in as few calls as the socket allows. Adds the number of calls to `writes`.
    pub(crate) fn write(&mut self, to: &OwnedWriteHalf, writes: &mut u64) -> io::Result<Written> {
        loop {
            if self.write_out(to, writes)? == Written::Blocked {
                return Ok(Written::Blocked);
            }
            // Only now, or a peer that asks for it again and again, and does not read, would fill the room.
            if !matches!(&self.stage, Stage::Agreed(records) if records.wants_seal()) {
                break;
            }
            self.seal(&[]);
        }
        match self.stage {
            Stage::Broken => Err(io::ErrorKind::BrokenPipe.into()),
            _ => Ok(Written::All),
        }
    }

    fn write_out(&mut self, to: &OwnedWriteHalf, writes: &mut u64) -> io::Result<Written> {
        while let Some(waiting) = self.out.get(self.left..).filter(|waiting| !waiting.is_empty()) {
            match to.try_write(waiting) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(octets) => {
                    *writes += 1;
                    self.left += octets;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Written::Blocked);
                }
                Err(error) => return Err(error),
            }
        }
        self.out.clear();
        self.left = 0;
        Ok(Written::All)
    }

    #[cfg(test)]
    pub(super) fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Sealed octets that have not left.
    pub(super) fn waiting(&self) -> usize {
        self.out.len() - self.left
    }
}

#[cfg(test)]
mod interop;
#[cfg(test)]
mod tests;
